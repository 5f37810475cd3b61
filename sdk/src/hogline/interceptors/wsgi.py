"""WSGI: any application that a server calls with `environ` and `start_response`.

The files of WSGI frameworks build on this one.

    app = PostHogInterceptor(app, client=posthog, capture_exceptions=True)

A server's thread serves one request after the other, and reads the body after the app returned. So
a body that is made while it is read restores the request's context for each step; otherwise the
context ends with the call. Lists, files and other whole results are returned untouched (rule
`hands-off-bodies`).
Source: docs/internals/frameworks.md#wsgi-servers.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeAlias, Unpack

from hogline.context import Context, StepContext, current, restore, without_context
from hogline.exception_kinds import is_within
from hogline.exchange import Exchange, Policy, RequestLine
from hogline.facts import tracing
from hogline.facts.visitor import HEADERS as VISITOR_HEADERS
from hogline.facts.visitor import Visitor, joined_visitor, visitor
from hogline.interceptors.common.callbacks import Callbacks
from hogline.interceptors.common.nesting import EXCHANGE_KEY, SCOPE_KEY, exchange_around
from hogline.interceptors.common.options import make_policy
from hogline.settings.typed import InterceptorOptions

__all__ = [
    "EXCHANGE_KEY",
    "App",
    "Environ",
    "Layer",
    "PostHogInterceptor",
    "StartResponse",
    "WsgiExchange",
]

Environ: TypeAlias = dict[str, Any]
StartResponse: TypeAlias = Callable[..., Any]
App: TypeAlias = Callable[[Environ, StartResponse], Iterable[bytes]]
Headers: TypeAlias = list[tuple[str, str]]

# Servers join duplicate headers with commas; ids never contain one.
_JOINED = frozenset({tracing.SESSION_ID, tracing.DISTINCT_ID, tracing.WINDOW_ID})


def _key(name: str) -> str:
    return "HTTP_" + name.upper().replace("-", "_")


_VISITOR_KEYS = {header: tuple(map(_key, names)) for header, names in VISITOR_HEADERS.items()}
_NOTHING = ("",) * 6
_NEWLINES = len(_NOTHING) - 1
_LINE_KEYS = ("REQUEST_METHOD", "wsgi.url_scheme", "QUERY_STRING", "REMOTE_ADDR", "SERVER_NAME", "SERVER_PORT")


class WsgiExchange(Exchange):
    """An exchange whose request is a WSGI environ."""

    protocol: str | None = "wsgi"
    answers_with_exc_info = True
    """Whether the app has answered an exception that it passes to `start_response`.

    An answer of its last resort does not count.
    """

    def __init__(self, policy: Policy, environ: Environ) -> None:
        self.policy = policy
        self.environ = environ
        # Mounts move a part of the path from the one to the other; the browser's request came
        # first.
        self._script_name = environ.get("SCRIPT_NAME")
        self._path_info = environ.get("PATH_INFO")

    def read(self) -> RequestLine:
        """Return the request line.

        Scheme and peer are those that a proxy's middleware has set; only such middleware changes
        them.
        """
        return self.line_of(self.raw()[0])

    def raw(self) -> tuple[Any, int]:
        """Return the values of the environ that `line_of` and `server_of` read, and their length."""
        script, path = self._script_name, self._path_info
        method, scheme, query, peer, name, port = map(self.environ.get, _LINE_KEYS)
        return (peer, script, path, method, scheme, query, name, port), len(path or "") + len(query or "")

    @staticmethod
    def line_of(raw: Any) -> RequestLine:
        """Return the request line in *raw*."""
        peer, script, path, method, scheme, query, _, _ = raw
        return (
            method,
            scheme or "http",
            _decoded((script or "").rstrip("/") + (path or "")) or "/",
            query or "",
            peer or None,
        )

    def paths(self) -> Sequence[str]:
        """Return the path with and without the mount in front."""
        return (self.read()[2], _decoded(self._path_info or "") or "/")

    def end(self) -> None:
        """End the exchange, and break the cycle of environ and exchange."""
        self.environ.pop(EXCHANGE_KEY, None)
        self.is_open = False
        if self.has_more_to_end:
            super().end()

    def server(self) -> str | None:
        """Return `name:port`, with brackets around an IPv6 address."""
        return self.server_of((self.environ.get("SERVER_NAME"), self.environ.get("SERVER_PORT")))

    @staticmethod
    def server_of(raw: Any) -> str | None:
        """Return `name:port`, with brackets around an IPv6 address."""
        name, port = raw[-2:]
        if not name:
            return None
        host = f"[{name}]" if ":" in name and not name.startswith("[") else name
        return f"{host}:{port}" if port else host

    def raw_visitor(self) -> bytes | Visitor:
        """Return the joined headers, if the server keeps to PEP 3333."""
        keys = _VISITOR_KEYS[self.policy.settings.address_header]
        try:
            joined = "\n".join(map(self.environ.get, keys, _NOTHING)).encode("latin-1")
        except (TypeError, UnicodeEncodeError):  # some of it may still be usable
            return super().find_visitor()
        return joined if joined.count(b"\n") == _NEWLINES else super().find_visitor()

    @staticmethod
    def visitor_of(joined: bytes) -> Visitor:
        """Return the visitor for *joined* header values.

        A value with a comma may be two that a server joined, so it is parsed in full.
        """
        found = joined_visitor(joined)
        if "," in found.session or "," in found.window or "," in found.person:
            *ids, agent, host, chain = joined.decode("latin-1").split("\n")
            session, window, person = (tracing.usable(tracing.split_joined(value)) or "" for value in ids)
            return visitor(session, window, person, tracing.clean(agent) or "", host, chain)
        return found

    def find_visitor(self) -> Visitor:
        """Return the visitor, at once if all values are plain."""
        found = self.raw_visitor()
        return self.visitor_of(found) if type(found) is bytes else found  # type: ignore[return-value]

    def headers(self, name: str) -> Sequence[str]:
        """Return the values of header *name*."""
        value = self.environ.get(_key(name))
        if not value:
            return ()
        return tracing.split_joined(value) if name in _JOINED else (value,)

    def request(self) -> Any:
        """Return the environ: a bare WSGI app has no other request."""
        return self.environ

    @property
    def prefix(self) -> str:
        """The mount that the server made."""
        return self._script_name or ""


class Layer:
    """A WSGI app around *app* that opens and closes the exchange of each request."""

    keeps_request = False
    """Whether `answering` must be called even if exceptions are not captured."""

    def __init__(self, app: App, policy: Policy, make_exchange: Callable[[Policy, Environ], WsgiExchange]) -> None:
        self.app = app
        self._policy = policy
        self._make_exchange = make_exchange
        self._callbacks = Callbacks(policy)
        self._watches = self.keeps_request or policy.exceptions is not None

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Run the app with the request's context around it."""
        # Plain steps, since each call and each object counts: this runs for every request.
        exchange = self._make_exchange(self._policy, environ)
        previous = current.get()
        if previous is not None or EXCHANGE_KEY in environ or SCOPE_KEY in environ:
            outer = exchange_around(exchange, environ)
            if outer is not None:
                return self._run_inside(outer, exchange, environ, start_response)
        if self._callbacks.any and not self._callbacks.admit_sync(exchange):
            with without_context():
                return self.app(environ, start_response)
        environ[EXCHANGE_KEY] = exchange
        if environ.get("REQUEST_METHOD") == "OPTIONS":
            start_response = _preflight(self._policy, environ, start_response)
        response = None
        if self._watches:
            response = start_response = _Response(exchange, self._policy, start_response)
        exchange.is_open = True
        mine = Context(exchange, exchange)
        current.set(mine)
        try:
            result = self.app(environ, start_response)
        except BaseException as error:
            if response is not None:
                response.escaped(error)
            exchange.end()
            restore(mine, previous)
            raise
        at_return = current.get()
        if at_return is mine:
            current.set(previous)
        else:
            restore(mine, previous)
        if _is_whole(result, environ):
            exchange.end()
            return result
        # A context that `restore` left in place was not ours; then the body starts with the
        # request's first one.
        context = mine if at_return is None or at_return is current.get() else at_return
        return _Body(result, response, mine, context, exchange)

    def _run_inside(
        self, exchange: Exchange, own: WsgiExchange, environ: Environ, start_response: StartResponse
    ) -> Iterable[bytes]:
        """Run the app inside another interceptor's *exchange* of the same request: only observe.

        The *exchange* finds routes and users with our *own*.
        """
        if own.knows_framework:
            exchange.adopt(own)
        # A bridge makes a new environ, in which framework files look the exchange up.
        environ[EXCHANGE_KEY] = exchange
        response = None
        if self._watches:
            response = start_response = _Response(exchange, self._policy, start_response, own)
        context = exchange.context_for_thread()
        if context is None:
            result = self._observe(environ, start_response, response)
            return result if response is None or _is_whole(result, environ) else _WatchedBody(result, response)
        with StepContext(context, context):
            result = self._observe(environ, start_response, response)
            at_return = current.get() or context
        return result if _is_whole(result, environ) else _Body(result, response, context, at_return)

    def _observe(
        self, environ: Environ, start_response: StartResponse, response: "_Response | None"
    ) -> Iterable[bytes]:
        try:
            return self.app(environ, start_response)
        except BaseException as error:
            if response is not None:
                response.escaped(error)
            raise


class PostHogInterceptor(Layer):
    """Middleware for any WSGI app. Keyword options are `InterceptorSettings`'."""

    def __init__(self, app: App, **options: Unpack[InterceptorOptions]) -> None:
        super().__init__(app, make_policy("wsgi", options), WsgiExchange)


class _Response:
    """The `start_response` of one request.

    It sees the status, and the exception that is answered with it. *inner* is the exchange of a
    layer inside another interceptor's *exchange*.
    """

    # Class-level defaults: an attribute that a request never needs costs it nothing.
    begun = False
    """Whether bytes were sent; until then a server that sees an exception answers 500."""
    _broken: BaseException | None = None
    _inner: WsgiExchange | None = None
    _may_be_handled = False

    def __init__(
        self, exchange: Exchange, policy: Policy, start: StartResponse, inner: WsgiExchange | None = None
    ) -> None:
        self._exchange = exchange
        self._policy = policy
        self._start = start
        if inner is not None:
            self._inner = inner
            self._may_be_handled = exchange.is_observed_outside(policy)

    def __call__(self, status: str, headers: Headers, exc_info: Any = None) -> Callable[[bytes], object]:
        exchange, inner = self._exchange, self._inner
        if exc_info:
            if exc_info[1] is not None:
                exchange.observe(exc_info[1], handled=_answers_with_exc_info(exchange), policy=self._policy)
            self._write = self._start(status, headers, exc_info)
        else:
            self._write = self._start(status, headers)
        if inner is None or exchange.status is None:
            exchange.status = _code(status)
        own = inner if inner is not None else exchange
        try:
            own.answering(exchange.status, headers)
        except Exception as error:
            self._policy.complain("request", error)
        if inner is None and exchange.has_more_to_end:
            # At once, not when the body ends: by then the facts of a framework's request may be
            # gone, and the server may not close the body.
            exchange.close()
        return self.write

    def write(self, data: bytes) -> object:
        """Pass *data* to the server.

        An exception that it raises here means that the client went away.
        """
        self.begun = True
        try:
            return self._write(data)
        except BaseException as error:
            self._broken = error
            raise

    def escaped(self, error: BaseException) -> None:
        """Record an exception that the app let go."""
        if self._broken is not None and is_within(self._broken, error):
            return
        if self._inner is None and not self.begun:
            self._exchange.status = None  # the status that start_response got was never sent
        self._exchange.observe(error, handled=self._may_be_handled, policy=self._policy)

    def failed(self, error: BaseException) -> None:
        """Record an exception of the body's `close`.

        By then the response is complete, or its client gone.
        """
        self._exchange.observe(error, handled=self._may_be_handled, policy=self._policy)


def _answers_with_exc_info(exchange: Exchange) -> bool:
    """Return whether the request's innermost WSGI app answers the exceptions it passes on."""
    answers, part = True, exchange.part(WsgiExchange)
    while part is not None:
        answers = part.answers_with_exc_info
        part = part.inner.part(WsgiExchange) if part.inner is not None else None
    return answers


def _preflight(policy: Policy, environ: Environ, start_response: StartResponse) -> StartResponse:
    """Return a *start_response* that observes the answer to a CORS preflight.

    A browser asks in it whether it may send tracing headers.
    """
    asked = environ.get("HTTP_ACCESS_CONTROL_REQUEST_HEADERS")
    if not asked:
        return start_response

    def watched(status: str, headers: Headers, *exc_info: Any) -> Callable[[bytes], object]:
        policy.check_preflight(asked, environ.get("HTTP_ORIGIN"), headers)
        write: Callable[[bytes], object] = start_response(status, headers, *exc_info)
        return write

    return watched


class _WatchedBody:
    """A body that is made while it is read: its exceptions are observed."""

    __slots__ = ("_reading", "_response", "_result")

    def __init__(self, result: Any, response: _Response | None) -> None:
        self._result = result
        self._response = response
        self._reading: Iterator[bytes] | None = None

    def __iter__(self) -> Iterator[bytes]:
        self._reading = self._read()
        return self._reading

    def __next__(self) -> bytes:
        """Return the next chunk, for middleware that expects a generator."""
        return next(self._reading or iter(self))

    def close(self) -> None:
        """Close the app's own result, as PEP 3333 asks for."""
        close = getattr(self._result, "close", None)
        if close is not None:
            try:
                close()
            except BaseException as error:
                if self._response is not None:
                    self._response.failed(error)
                raise

    def _read(self) -> Iterator[bytes]:
        response, reading = self._response, True
        try:
            for chunk in self._result:
                if chunk and response is not None:
                    response.begun = True
                reading = False
                yield chunk
                reading = True
        except BaseException as error:
            if reading and response is not None:
                response.escaped(error)
            raise


class _Body(_WatchedBody):
    """A body that is made while it is read: each step runs in the request's context.

    Between two steps nothing of it stays on the thread, so servers may leave it unclosed.
    *exchange* ends with the body, if it is the layer's own.
    """

    __slots__ = ("_context", "_exchange", "_root")

    def __init__(
        self,
        result: Any,
        response: _Response | None,
        root: Context,
        context: Context,
        exchange: WsgiExchange | None = None,
    ) -> None:
        self._result = result
        self._response = response
        self._reading = None
        self._exchange = exchange
        self._root = root
        self._context = context  # changed by the app, and by each step for the next

    def close(self) -> None:
        """Close the app's own result in the request's context, and the exchange with it."""
        close = getattr(self._result, "close", None)
        outer = current.get()
        current.set(self._context)
        try:
            if close is not None:
                close()
        except BaseException as error:
            if self._response is not None:
                self._response.failed(error)
            raise
        finally:
            if current.get() is self._context:
                current.set(outer)
            else:
                self._suspend(outer)
            if self._exchange is not None:
                self._exchange.end()

    def _read(self) -> Iterator[bytes]:
        response, reading = self._response, True
        outer = current.get()
        current.set(self._context)
        try:
            for chunk in self._result:
                if current.get() is self._context:  # most steps change nothing
                    current.set(outer)
                else:
                    self._suspend(outer)
                if chunk and response is not None:
                    response.begun = True
                reading = False
                yield chunk
                reading = True
                outer = current.get()
                current.set(self._context)
        except BaseException as error:
            if reading and response is not None:
                response.escaped(error)
            raise
        finally:
            if reading:  # otherwise it was closed between two steps, outside the context
                if current.get() is self._context:
                    current.set(outer)
                else:
                    self._suspend(outer)
                exchange = self._exchange
                if exchange is not None and exchange.has_more_to_end:
                    exchange.close()

    def _suspend(self, outer: Context | None) -> None:
        """Restore *outer* if the context is this request's, and keep that for the next step."""
        context = current.get()
        restore(self._root, outer)
        if context is not None and current.get() is not context:
            self._context = context


def _decoded(path: str) -> str:
    # UTF-8 bytes, each of them as a latin-1 character.  Source: PEP 3333, "Unicode Issues".
    return path.encode("latin-1", "replace").decode("utf-8", "replace")


def _is_whole(result: Any, environ: Environ) -> bool:
    """Return whether *result* is complete, or a file that the server sends by itself.

    Such a result must not be replaced.
    """
    kind = type(result)
    if kind is list or kind is tuple or hasattr(kind, "__len__"):
        return True
    wrapper = environ.get("wsgi.file_wrapper")
    if wrapper is None:
        return False
    if isinstance(wrapper, type):
        return isinstance(result, wrapper)
    # uWSGI's and mod_wsgi's wrapper is a function: uWSGI recognises the file itself, mod_wsgi a
    # stream around it.
    return hasattr(result, "read") or hasattr(result, "filelike")


def _code(status: Any) -> int | None:
    try:
        return int(status[:3])
    except (TypeError, ValueError):
        return None
