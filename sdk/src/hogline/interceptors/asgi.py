"""ASGI: any application that a server calls with `scope`, `receive` and `send`.

The files of ASGI frameworks build on this one.

    app = PostHogInterceptor(app, client=posthog, capture_exceptions=True)

The outermost interceptor of a request owns its exchange. Interceptors inside it (a mounted app's,
or the same one twice) find that exchange and only observe. `receive` and the body are never touched
(rule `hands-off-bodies`).
"""

import asyncio
import copy
import inspect
import operator
import sys
from collections.abc import Awaitable, Callable, Sequence
from types import CodeType, CoroutineType
from typing import Any, Self, TypeAlias, TypeVar, Unpack, cast

from hogline.context import Context, StepContext, current, restore, without_context
from hogline.exception_kinds import chain, http_status, is_within
from hogline.exchange import HEADERS, Exchange, Policy, RequestLine
from hogline.facts import cors
from hogline.facts.url import joined_address
from hogline.facts.visitor import HEADERS as VISITOR_HEADERS
from hogline.facts.visitor import Visitor, joined_visitor
from hogline.interceptors.common.callbacks import Callbacks
from hogline.interceptors.common.lifespan import App, Message, Receive, Scope, Send, run_lifespan
from hogline.interceptors.common.nesting import ENVIRON_KEY, EXCHANGE_KEY, exchange_around
from hogline.interceptors.common.options import make_policy
from hogline.safe_attributes import own_attribute
from hogline.settings.typed import InterceptorOptions

__all__ = ["EXCHANGE_KEY", "AsgiExchange", "MakeExchange", "PostHogInterceptor", "Receive", "Scope", "Send"]

_F = TypeVar("_F", bound=Callable[..., Any])
_LEFT_OUT_KEY = "hogline.left_out"  # the policies whose filter left this request out
_ENCODED = {name: name.encode() for name in HEADERS}
_VISITOR_HEADERS = {chosen: tuple(map(str.encode, names)) for chosen, names in VISITOR_HEADERS.items()}
_NO_VALUES = (b"",) * 6
_NEWLINES = len(_NO_VALUES) - 1
_ARRIVED_KEYS = ("path", "root_path", "scheme", "client")
_LINE_KEYS = ("method", "query_string", "server")
_read_arrived = operator.itemgetter(*_ARRIVED_KEYS)
_read_line = operator.itemgetter(*_LINE_KEYS)
_current_exception = sys.exception
_MAX_FRAMES = 1000


class AsgiExchange(Exchange):
    """An exchange whose request is an ASGI scope."""

    protocol: str | None = "asgi"
    watch: "_Watch | None" = None
    """The `send` of the outermost interceptor, while the app runs."""
    _headers: dict[bytes, bytes] | None = None
    _has_duplicates = False
    _inner_scope: Scope | None = None

    def __init__(self, policy: Policy, scope: Scope) -> None:
        self.policy = policy
        self.scope = scope
        # Mounts and proxies' middleware change these on the way in; the browser's request came
        # first.
        try:
            self._arrived = _read_arrived(scope)
        except KeyError:  # some are optional
            self._arrived = tuple(map(scope.get, _ARRIVED_KEYS))

    @property
    def inner_scope(self) -> Scope:
        """The scope as the innermost layer has it; some middleware passes a copy on."""
        return self._inner_scope if self._inner_scope is not None else self.scope

    def keep_inner_scope(self, scope: Scope) -> None:
        """Keep the scope of a layer further in."""
        self._inner_scope = scope

    @property
    def prefix(self) -> str:
        """The mount that the server made."""
        return self._arrived[1] or ""

    def read(self) -> RequestLine:
        """Return the request line as it was when the request came in."""
        return self.line_of(self.raw()[0])

    def raw(self) -> tuple[Any, int]:
        """Return the values of the scope that `line_of` and `server_of` read, and their length."""
        path, root, scheme, peer = self._arrived
        try:
            method, query, server = _read_line(self.scope)
        except KeyError:  # some are optional
            method, query, server = map(self.scope.get, _LINE_KEYS)
        if type(server) is list:  # of Daphne
            server = tuple(server)
        return (peer, path, root, scheme, method, query, server), len(path or "") + len(query or b"")

    @staticmethod
    def line_of(raw: Any) -> RequestLine:
        """Return the request line in *raw*."""
        peer, path, root, scheme, method, query, _ = raw
        path = path or "/"
        # The specification has the root path in the path; some servers leave it out.
        if root and (root := root.rstrip("/")) and path != root:
            path = path if path.startswith(f"{root}/") else root + path
        return (
            method,
            scheme or "http",
            path,
            query.decode("latin-1") if query else "",
            str(peer[0]) if peer else None,
        )

    def paths(self) -> Sequence[str]:
        """Return the path with and without the root path in front."""
        return (self.read()[2], self._arrived[0] or "/")

    def end(self) -> None:
        """End the exchange, and break the cycle of scope and exchange."""
        self.scope.pop(EXCHANGE_KEY, None)
        super().end()

    @staticmethod
    def server_of(raw: Any) -> str | None:
        """Return the address that the server is bound to."""
        return joined_address(raw[-1])

    def server(self) -> str | None:
        """Return the address that the server is bound to."""
        return joined_address(self.scope.get("server"))

    def raw_visitor(self) -> bytes | Visitor:
        """Return the joined headers if none came twice. Nearly all requests are like this."""
        given = self.scope.get("headers") or ()
        known = self._headers = dict(given)  # ASGI has names in lower case
        if len(known) != len(given):
            self._has_duplicates = True
            return super().find_visitor()
        joined = b"\n".join(map(known.get, _VISITOR_HEADERS[self.policy.settings.address_header], _NO_VALUES))
        # A newline of a hostile server would be the end of a value.
        return joined if joined.count(b"\n") == _NEWLINES else super().find_visitor()

    def find_visitor(self) -> Visitor:
        """Return the visitor, at once if all values are plain."""
        found = self.raw_visitor()
        return joined_visitor(found) if type(found) is bytes else found  # type: ignore[return-value]

    def headers(self, name: str) -> Sequence[str]:
        """Return the values of header *name*, decoded as latin-1.

        A header may hold any byte.
        """
        known = self._headers
        if known is None:
            given = self.scope.get("headers") or ()
            known = self._headers = dict(given)  # ASGI has names in lower case
            self._has_duplicates = len(known) != len(given)
        wanted = _ENCODED[name]
        value = known.get(wanted)
        if value is None:
            return ()
        if self._has_duplicates:
            return [value.decode("latin-1") for key, value in self.scope["headers"] if key == wanted]
        return (value.decode("latin-1"),)

    def request(self) -> Any:
        """Return the scope: a bare ASGI app has no other request."""
        return self.scope

    def is_answered(self, error: BaseException) -> bool:  # noqa: ARG002 - Litestar's answers everything
        """Return whether a response sent while *error* is handled means that a handler answered."""
        return True

    def original(self, error: BaseException) -> BaseException:
        """Return the exception that user code raised.

        Frameworks may wrap the exceptions that they let go.
        """
        return error


MakeExchange: TypeAlias = Callable[[Policy, Scope], AsgiExchange]


class PostHogInterceptor:
    """Middleware for any ASGI app. Keyword options are `InterceptorSettings`'."""

    exchange_class: MakeExchange = AsgiExchange
    source = "asgi"

    def __init__(self, app: App | None = None, /, **options: Unpack[InterceptorOptions]) -> None:
        # Old versions of Starlette pass it by name, which the types do not allow.
        given: Any = cast("dict[str, Any]", options).pop("app", None) if app is None else app
        if given is None:
            raise TypeError("PostHogInterceptor goes around an app: PostHogInterceptor(app, client=posthog)")
        self.app: App = given
        self._policy = make_policy(self.source, options)
        self._callbacks = Callbacks(self._policy)

    @property
    def policy(self) -> Policy:
        """The options, and the client they belong to."""
        return self._policy

    def around(self, app: App) -> Self:
        """Return the same interceptor around another app.

        Some frameworks get the interceptor first and the app later.
        """
        other = copy.copy(self)
        other.app = app
        return other

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the app with the request's context around it."""
        # Plain steps, since each call and each object counts: this runs for every request.
        if scope["type"] not in ("http", "websocket"):
            await self._run_without_request(scope, receive, send)
            return
        policy = self._policy
        exchange = self.exchange_class(policy, scope)
        previous = current.get()
        if previous is not None or EXCHANGE_KEY in scope or ENVIRON_KEY in scope:
            outer = exchange_around(exchange, scope)
            if outer is not None:
                await self._run_inside(outer, exchange, scope, receive, send)
                return
        if self._callbacks.any and not await self._admits(exchange, scope):
            await self._run_left_out(scope, receive, send)
            return
        if scope.get("method") == "OPTIONS":
            send = _preflight(policy, scope, send)
        watch = None
        if policy.exceptions is not None:
            watch = exchange.watch = _Watch(exchange, policy, send)
        scope[EXCHANGE_KEY] = exchange
        exchange.is_open = True
        mine = Context(exchange, exchange)
        current.set(mine)
        try:
            await self.app(scope, receive, send if watch is None else watch.send)
        except BaseException as error:
            if watch is not None:
                watch.escaped(error, handled=False)
            if self._handled_outside(scope):
                previous = mine
            raise
        finally:
            exchange.watch = None  # breaks the cycle of the two
            if exchange.has_more_to_end or current.get() is not mine:
                exchange.end()
                restore(mine, previous)
            else:
                exchange.is_open = False
                scope.pop(EXCHANGE_KEY, None)  # breaks the cycle of scope and exchange
                current.set(previous)

    async def _admits(self, exchange: AsgiExchange, scope: Scope) -> bool:
        # This interceptor may have been asked already, further out.
        return self._policy not in scope.get(_LEFT_OUT_KEY, ()) and await self._callbacks.admit(exchange)

    async def _run_without_request(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await run_lifespan(self.app, scope, receive, send, self._policy)
        else:
            await self.app(scope, receive, send)

    async def _run_inside(
        self, exchange: Exchange, own: AsgiExchange, scope: Scope, receive: Receive, send: Send
    ) -> None:
        """Run the app inside another interceptor's *exchange* of the same request: only observe.

        The *exchange* finds routes and users with our *own*, if it cannot by itself.
        """
        if own.knows_framework and self.adds_to(exchange, own):
            exchange.adopt(own)
        is_new_scope = scope.get(EXCHANGE_KEY) is not exchange
        if is_new_scope:  # of a bridge; framework files look the exchange up in the scope
            scope[EXCHANGE_KEY] = exchange
        context = exchange.context_for_thread()
        try:
            with StepContext(context, context):
                await observe_inside(self.app, self._policy, scope, receive, send)
        finally:
            if is_new_scope:
                scope.pop(EXCHANGE_KEY, None)

    def adds_to(self, exchange: Exchange, own: AsgiExchange) -> bool:
        """Return whether *own* knows more of the request than the outer *exchange*."""
        return exchange.part(type(own)) is None

    def _handled_outside(self, scope: Scope) -> bool:  # noqa: ARG002 - Starlette's interceptor needs it
        """Return whether an error handler that needs the context still runs after this call."""
        return False

    async def _run_left_out(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the app for a request that the filter left out, without a context."""
        others = scope.get(_LEFT_OUT_KEY, ())
        scope[_LEFT_OUT_KEY] = (*others, self._policy)
        try:
            with without_context():
                await self.app(scope, receive, send)
        finally:
            scope[_LEFT_OUT_KEY] = others


class Observer:
    """The observing part of an interceptor, for a place inside another one's exchange."""

    def __init__(self, app: App, policy: Policy) -> None:
        self.app = app
        self.policy = policy

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the app, and record the exceptions that it answers or lets go."""
        await observe_inside(self.app, self.policy, scope, receive, send)


class EscapeObserver:
    """An observer inside the task of the outermost interceptor, which sees the responses.

    It sees the exceptions that the app lets go, before a layer between the two answers them.
    """

    def __init__(self, app: App, policy: Policy) -> None:
        self.app = app
        self.policy = policy

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the app, and record the exceptions that it lets go."""
        try:
            await self.app(scope, receive, send)
        except BaseException as error:
            exchange = scope.get(EXCHANGE_KEY)
            if isinstance(exchange, AsgiExchange) and exchange.watch is not None:
                exchange.watch.escaped(error, handled=True)
            raise


async def observe_inside(app: App, policy: Policy, scope: Scope, receive: Receive, send: Send) -> None:
    """Run *app* inside the exchange in *scope*, and record its exceptions.

    It records those that the app answers and those that it lets go.
    """
    exchange = scope.get(EXCHANGE_KEY)
    if exchange is None or policy.exceptions is None:
        await app(scope, receive, send)
        return
    _keep_inner_scope(exchange, scope)
    may_be_handled = exchange.is_observed_outside(policy)
    watch = _Watch(exchange, policy, send)
    try:
        await app(scope, receive, watch.send)
    except BaseException as error:
        watch.escaped(error, handled=may_be_handled)
        raise


def _keep_inner_scope(exchange: Exchange, scope: Scope) -> None:
    part: Exchange | None = exchange
    while part is not None:
        if isinstance(part, AsgiExchange):
            part.keep_inner_scope(scope)
        part = part.inner


def _marked_as_coroutine_function(function: _F) -> _F:
    """Mark *function* as a coroutine function.

    asgiref, and so Channels, asks whether `send` is a coroutine function.
    """
    if hasattr(inspect, "markcoroutinefunction"):  # Python 3.12
        return cast("_F", inspect.markcoroutinefunction(function))
    function._is_coroutine = asyncio.coroutines._is_coroutine  # type: ignore[attr-defined] # noqa: SLF001
    return function


class _Watch:
    """The `send` of one request.

    It observes the status that is sent, and the exception that is handled at that moment.

    Source: docs/internals/frameworks.md#observe-in-send.
    """

    # Class-level defaults: an attribute that a request never needs costs it nothing.
    _broken: BaseException | None = None  # the last exception that the server's `send` raised
    _sending: Any = None  # the server's coroutine, whose code tells an exception of the server's

    def __init__(self, exchange: Exchange, policy: Policy, send: Send) -> None:
        self._exchange = exchange
        self._policy = policy
        self._send = send
        # An exception that is handled around the app is not this request's.
        self._before = _current_exception()

    # Not a coroutine, which would be one more frame for each message: the caller awaits the
    # server's own.
    @_marked_as_coroutine_function
    def send(self, message: Message) -> Awaitable[None]:
        kind = message["type"]
        if kind == "http.response.body" or kind == "websocket.send":  # noqa: PLR1714 - the tuple would cost more
            return self._send(message)
        exchange, error = self._exchange, _current_exception()
        if kind == "http.response.start" or kind == "websocket.http.response.start":  # noqa: PLR1714 - as above
            if exchange.status is None:
                exchange.status = message.get("status")
            if error is not None:
                self._handling(error)
        elif kind == "websocket.accept":
            exchange.status = 101
        elif kind == "websocket.close":
            if exchange.status is None:
                # A handshake that was refused; ASGI specification, "Close - send event".
                exchange.status = 403
            # An app that closes a socket inside its own `except` has handled it; a framework's
            # answer has a known class.
            if error is not None and http_status(error) is not None:
                self._handling(error)
        sending = self._send(message)
        if type(sending) is CoroutineType:
            self._sending = sending
        elif self._sending is None and self._broken is None:
            self._send, sending = self._guarded(self._send), self._guard(sending)
        return sending

    def _guarded(self, send: Send) -> Send:
        """Return the server's *send* with a note of the exceptions that it raises.

        The server's function is not written in Python.
        """
        return lambda message: self._guard(send(message))

    async def _guard(self, sending: Awaitable[None]) -> None:
        try:
            await sending
        except BaseException as error:
            self._broken = error
            raise

    def _handling(self, error: BaseException) -> None:
        if error is not self._before:
            asgi = self._exchange.part(AsgiExchange)
            handled = asgi is None or asgi.is_answered(error)
            self._exchange.observe(error, handled=handled, policy=self._policy)

    def escaped(self, error: BaseException, *, handled: bool) -> None:
        """Record an exception that the app let go.

        If the server's `send` raised it, the client went away, and it is not recorded.
        """
        if error is self._before or self._is_of_server(error):
            return
        asgi = self._exchange.part(AsgiExchange)
        original = asgi.original(error) if asgi is not None else error
        self._exchange.observe(original, handled=handled, policy=self._policy)

    def _is_of_server(self, error: BaseException) -> bool:
        """Return whether *error*, or one that led to it, was raised in the server's `send`.

        The exception's class does not matter.
        """
        if self._broken is not None:
            return is_within(self._broken, error)
        code = getattr(self._sending, "cr_code", None)
        return code is not None and any(_passed(code, link) for link in chain(error))


def _passed(code: CodeType, error: BaseException) -> bool:
    """Return whether *error* was raised in, or passed through, a frame that runs *code*."""
    trace = own_attribute(error, "__traceback__")
    for _ in range(_MAX_FRAMES):
        if trace is None:
            break
        if trace.tb_frame.f_code is code:
            return True
        trace = trace.tb_next
    return False


def _preflight(policy: Policy, scope: Scope, send: Send) -> Send:
    """Return a *send* that observes the answer to a CORS preflight.

    A browser asks in it whether it may send tracing headers.
    """
    asked = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope.get("headers") or ()}
    if cors.ASKED not in asked:
        return send

    async def watched(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = message.get("headers") or ()
            # Any iterable may come, and some can be read only once.
            if not isinstance(headers, list | tuple):
                headers = list(headers)
                message = {**message, "headers": headers}
            answer = ((name.decode("latin-1"), value.decode("latin-1")) for name, value in headers)
            policy.check_preflight(asked[cors.ASKED], asked.get("origin"), answer)
        await send(message)

    return watched
