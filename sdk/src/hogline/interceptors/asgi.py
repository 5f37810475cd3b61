"""ASGI: any application that a server calls with `scope`, `receive` and `send`; also what ASGI frameworks build on.

    app = PostHogInterceptor(app, client=posthog, capture_exceptions=True)

The outermost interceptor of a request owns its exchange; interceptors inside it (a mounted app's, the same one twice)
find it in the scope and only observe. `receive` and the body are never touched (rule `hands-off-bodies`).
"""

import copy
import sys
from collections.abc import Callable, Sequence
from typing import Any, Self, TypeAlias, Unpack, cast

from hogline.context import current, restore
from hogline.exception_kinds import http_status, is_within
from hogline.exchange import HEADERS, Exchange, RequestLine
from hogline.exchange.policy import Policy
from hogline.facts import cors
from hogline.facts.url import joined_address
from hogline.facts.visitor import HEADERS as VISITOR_HEADERS
from hogline.facts.visitor import Visitor, plain_visitor
from hogline.interceptors.common.callbacks import Callbacks
from hogline.interceptors.common.lifespan import App, Message, Receive, Scope, Send, run_lifespan
from hogline.interceptors.common.options import make_policy
from hogline.settings.typed import InterceptorOptions

__all__ = ["EXCHANGE_KEY", "AsgiExchange", "MakeExchange", "PostHogInterceptor", "Receive", "Scope", "Send"]

EXCHANGE_KEY = "hogline.exchange"
_LEFT_OUT_KEY = "hogline.left_out"  # the policies whose filter left this request out
_ENCODED = {name: name.encode() for name in HEADERS}
_VISITOR_HEADERS = {chosen: tuple(map(str.encode, names)) for chosen, names in VISITOR_HEADERS.items()}
_NO_VALUES = (b"",) * 6


class AsgiExchange(Exchange):
    """An exchange whose request is an ASGI scope."""

    _headers: dict[bytes, bytes] | None = None
    _has_duplicates = False

    def __init__(self, policy: Policy, scope: Scope) -> None:
        self.policy = policy
        self.scope = scope
        self.inner_scope = scope  # the scope as the innermost layer has it; some middleware hands on a copy
        # Mounts and proxies' middleware change these on the way in; the browser's request is what came first.
        get = scope.get
        self._path = get("path")
        self._root_path = get("root_path")
        self._scheme = get("scheme")
        self._peer = get("client")

    @property
    def prefix(self) -> str:
        """Return the server's own mount."""
        return self._root_path or ""

    def read(self) -> RequestLine:
        """Return the facts as they stood when the request came in."""
        scope, path = self.scope, self._path or "/"
        # The specification has the root path in the path; some servers leave it out.
        if self._root_path and (root := self._root_path.rstrip("/")) and path != root:
            path = path if path.startswith(f"{root}/") else root + path
        peer, query, scheme = self._peer, scope.get("query_string"), self._scheme or "http"
        return (
            scope.get("method"),
            scheme,
            path,
            query.decode("latin-1") if query else "",
            str(peer[0]) if peer else None,
        )

    def server(self) -> str | None:
        """Return the address that the server is bound to."""
        return joined_address(self.scope.get("server"))

    def find_visitor(self) -> Visitor:
        """Return the visitor at once where no header came twice and all values are plain, which is nearly always."""
        given = self.scope.get("headers") or ()
        known = self._headers = dict(given)  # names are lower case by ASGI's word
        if len(known) != len(given):
            self._has_duplicates = True
            return super().find_visitor()
        names = _VISITOR_HEADERS[self.policy.settings.address_header]
        return plain_visitor(b"\n".join(map(known.get, names, _NO_VALUES))) or super().find_visitor()

    def headers(self, name: str) -> Sequence[str]:
        """Return the values of header *name*, decoded as latin-1: any byte may come."""
        known = self._headers
        if known is None:
            given = self.scope.get("headers") or ()
            known = self._headers = dict(given)  # names are lower case by ASGI's word
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
        """Tell whether an answer that is sent while *error* is being handled means that somebody handled it."""
        return True

    def original(self, error: BaseException) -> BaseException:
        """Return what user code raised, where a framework puts a wrapper of its own around what it lets go."""
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
        """What we were told."""
        return self._policy

    def around(self, app: App) -> Self:
        """Return the same interceptor around another app: for frameworks that are told of us before there is one."""
        other = copy.copy(self)
        other.app = app
        return other

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the app with the request's context around it."""
        kind = scope["type"]
        if kind == "lifespan":
            await run_lifespan(self.app, scope, receive, send, self._policy)
            return
        if kind not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        if self._callbacks.any and self._policy in scope.get(_LEFT_OUT_KEY, ()):
            await self.app(scope, receive, send)  # asked already, by the same interceptor further out
            return
        outer = scope.get(EXCHANGE_KEY)
        if outer is not None:
            self.know_inside(outer, scope)
            await Observer(self.app, self._policy)(scope, receive, send)
            return
        exchange = self.exchange_class(self._policy, scope)
        if self._callbacks.any and not await self._callbacks.admit(exchange):
            await self._alone(scope, receive, send)
            return
        scope[EXCHANGE_KEY] = exchange
        if scope.get("method") == "OPTIONS":
            send = _preflight(self._policy, scope, send)
        mine, previous = exchange.enter()
        watch = None
        try:
            if self._policy.exceptions is None:
                await self.app(scope, receive, send)
            else:
                watch = _Watch(exchange, self._policy, send)
                await self.app(scope, receive, watch.send)
        except BaseException as error:
            if watch is not None:
                watch.escaped(error, handled=False)
            if self._handled_outside(scope):
                previous = mine
            raise
        finally:
            exchange.close()
            restore(mine, previous)
            scope.pop(EXCHANGE_KEY, None)  # or the two would hold each other until a garbage collection

    def know_inside(self, exchange: AsgiExchange, scope: Scope) -> None:
        """Tell the *exchange* of an interceptor around us what we know of its request."""

    def _handled_outside(self, scope: Scope) -> bool:  # noqa: ARG002 - Starlette's interceptor needs it
        """Tell whether user code that answers an escaping exception still runs outside of us, and needs the context."""
        return False

    async def _alone(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the app for a request that the filter left out: without a context, also without an earlier request's."""
        previous, others = current.get(), scope.get(_LEFT_OUT_KEY, ())
        current.set(None)
        scope[_LEFT_OUT_KEY] = (*others, self._policy)
        try:
            await self.app(scope, receive, send)
        finally:
            scope[_LEFT_OUT_KEY] = others
            if current.get() is None:
                current.set(previous)


class Observer:
    """The part of an interceptor that stands inside another one's exchange: it sees exceptions and nothing else.

    Whether an exception that passes here was handled is the outermost layer's to say; until then somebody may.
    """

    def __init__(self, app: App, policy: Policy) -> None:
        self.app = app
        self._policy = policy

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the app, and note the exceptions that it answers or lets go."""
        exchange = scope.get(EXCHANGE_KEY)
        if exchange is None or self._policy.exceptions is None:
            await self.app(scope, receive, send)
            return
        exchange.inner_scope = scope
        watch = _Watch(exchange, self._policy, send)
        try:
            await self.app(scope, receive, watch.send)
        except BaseException as error:
            watch.escaped(error, handled=True)
            raise


class _Watch:
    """The `send` of one request: sees the status leave, and the exception that is being handled at that moment.

    Source: docs/internals/frameworks.md#observe-in-send.
    """

    __slots__ = ("_before", "_broken", "_exchange", "_policy", "_send")

    def __init__(self, exchange: AsgiExchange, policy: Policy, send: Send) -> None:
        self._exchange = exchange
        self._policy = policy
        self._send = send
        self._before = sys.exc_info()[1]  # an exception that was being handled around us is not this request's
        self._broken: BaseException | None = None

    async def send(self, message: Message) -> None:
        kind, exchange = message["type"], self._exchange
        if kind in ("http.response.start", "websocket.http.response.start"):
            if exchange.status is None:
                exchange.status = message.get("status")
            self._handling(sys.exc_info()[1])
        elif kind == "websocket.accept":
            exchange.status = 101
        elif kind == "websocket.close":
            if exchange.status is None:
                exchange.status = 403  # a handshake that was refused; ASGI specification, "Close - send event"
            error = sys.exc_info()[1]
            # An app that closes a socket inside its own `except` has dealt with it; a framework's answer has a known class.
            if error is not None and http_status(error) is not None:
                self._handling(error)
        try:
            await self._send(message)
        except BaseException as error:
            self._broken = error  # raised by the server: the client went away, whatever the class
            raise

    def _handling(self, error: BaseException | None) -> None:
        if error is not None and error is not self._before:
            handled = self._exchange.is_answered(error)
            self._exchange.observe(error, handled=handled, policy=self._policy)

    def escaped(self, error: BaseException, *, handled: bool) -> None:
        if error is self._before or (self._broken is not None and is_within(self._broken, error)):
            return
        self._exchange.observe(self._exchange.original(error), handled=handled, policy=self._policy)


def _preflight(policy: Policy, scope: Scope, send: Send) -> Send:
    """Return *send* with a look at the answer, where a browser asks whether it may send tracing headers."""
    asked = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope.get("headers") or ()}
    if cors.ASKED not in asked:
        return send

    async def watched(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = message.get("headers") or ()
            if not isinstance(headers, list | tuple):  # any iterable may come, and some can be read only once
                headers = list(headers)
                message = {**message, "headers": headers}
            answer = ((name.decode("latin-1"), value.decode("latin-1")) for name, value in headers)
            policy.check_preflight(asked[cors.ASKED], asked.get("origin"), answer)
        await send(message)

    return watched
