"""WSGI: any application that a server calls with `environ` and `start_response`; also what WSGI frameworks build on.

    app = PostHogInterceptor(app, client=posthog, capture_exceptions=True)

A server's thread serves one request after the other, and reads the body after the app returned. So a body that is made
while it is read takes up the request's context for each of its steps and puts it aside after; everything else ends with
the call. Lists, files and other whole results are handed on untouched (rule `hands-off-bodies`).
Source: docs/internals/frameworks.md#wsgi-servers.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeAlias, Unpack

from hogline.context import Context, current, restore
from hogline.exception_kinds import is_within
from hogline.exchange import Exchange, RequestLine
from hogline.exchange.policy import Policy
from hogline.facts import tracing
from hogline.facts.visitor import HEADERS as VISITOR_HEADERS
from hogline.facts.visitor import Visitor, plain_visitor
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

EXCHANGE_KEY = "hogline.exchange"
# Servers join duplicate headers with commas; only of ids do we know that a comma is never part of one.
_JOINED = frozenset({tracing.SESSION_ID, tracing.DISTINCT_ID, tracing.WINDOW_ID})


def _key(name: str) -> str:
    return "HTTP_" + name.upper().replace("-", "_")


_VISITOR_KEYS = {header: tuple(map(_key, names)) for header, names in VISITOR_HEADERS.items()}
_NOTHING = ("",) * 6


class WsgiExchange(Exchange):
    """An exchange whose request is a WSGI environ."""

    answers_with_exc_info = True
    """Whether the app itself has answered an exception that it passes to `start_response`, and not its last resort."""

    def __init__(self, policy: Policy, environ: Environ) -> None:
        self.policy = policy
        self.environ = environ
        # Mounts move a part of the path from the one to the other; the browser's request is what came first.
        self._script_name = environ.get("SCRIPT_NAME")
        self._path_info = environ.get("PATH_INFO")

    def read(self) -> RequestLine:
        """Return the facts; scheme, host and peer as a proxy's middleware, the only one to change them, corrected them."""
        environ = self.environ
        get = environ.get
        path = (self._script_name or "").rstrip("/") + (self._path_info or "")
        return (
            get("REQUEST_METHOD"),
            get("wsgi.url_scheme") or "http",
            # UTF-8 bytes, each of them spelled as a latin-1 character.  Source: PEP 3333, "Unicode Issues".
            path.encode("latin-1", "replace").decode("utf-8", "replace") or "/",
            get("QUERY_STRING") or "",
            get("REMOTE_ADDR") or None,
        )

    def server(self) -> str | None:
        """Return `name:port`, with brackets around an IPv6 address."""
        name, port = self.environ.get("SERVER_NAME"), self.environ.get("SERVER_PORT")
        if not name:
            return None
        host = f"[{name}]" if ":" in name and not name.startswith("[") else name
        return f"{host}:{port}" if port else host

    def find_visitor(self) -> Visitor:
        """Return the visitor at once where all values are plain, and no id is two that a server joined."""
        keys = _VISITOR_KEYS[self.policy.settings.address_header]
        try:
            joined = "\n".join(map(self.environ.get, keys, _NOTHING)).encode("latin-1")
        except (TypeError, UnicodeEncodeError):  # not what PEP 3333 says; some of it may still be of use
            return super().find_visitor()
        found = plain_visitor(joined)
        if found is None or "," in found.session or "," in found.window or "," in found.person:
            return super().find_visitor()
        return found

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
        """Return the server's own mount."""
        return self._script_name or ""

    def answering(self, status: int | None, headers: Headers) -> None:
        """Do what must be done while the app still holds its request: the response begins now."""


class Layer:
    """A WSGI app around *app* that opens and closes the exchange of each request."""

    keeps_request = False
    """Whether `answering` is wanted although no exception is."""

    def __init__(self, app: App, policy: Policy, make_exchange: Callable[[Policy, Environ], WsgiExchange]) -> None:
        self.app = app
        self._policy = policy
        self._make_exchange = make_exchange
        self._filter = policy.settings.request_filter
        self._watches = self.keeps_request or policy.exceptions is not None

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Run the app with the request's context around it."""
        if EXCHANGE_KEY in environ:
            return self._observe(environ[EXCHANGE_KEY], environ, start_response)
        exchange = self._make_exchange(self._policy, environ)
        if self._filter is not None and exchange.answer("request_filter") is False:
            return self._alone(environ, start_response)
        environ[EXCHANGE_KEY] = exchange
        if environ.get("REQUEST_METHOD") == "OPTIONS":
            start_response = _preflight(self._policy, environ, start_response)
        mine, previous = exchange.enter()
        response = None
        try:
            if self._watches:
                response = start_response = _Response(exchange, self._policy, start_response, owner=True)
            result = self.app(environ, start_response)
        except BaseException as error:
            if response is not None:
                response.escaped(error)
            _end(exchange)
            restore(mine, previous)
            raise
        now = current.get()
        restore(mine, previous)
        if _is_whole(result, environ):
            _end(exchange)
            return result
        # What is still there after leaving was not ours; then the body begins with what the request began with.
        context = mine if now is None or now is current.get() else now
        return _Body(result, exchange, mine, context, response)

    def know_inside(self, exchange: WsgiExchange, environ: Environ) -> None:
        """Tell the *exchange* of an interceptor around us what we know of its request."""

    def _observe(self, exchange: WsgiExchange, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Run the app inside another interceptor's exchange: see exceptions, and nothing else.

        Whether an exception that passes here was handled is the outermost layer's to say; until then somebody may.
        """
        self.know_inside(exchange, environ)
        if not self._watches:
            return self.app(environ, start_response)
        response = _Response(exchange, self._policy, start_response, owner=False)
        try:
            result = self.app(environ, response)
        except BaseException as error:
            response.escaped(error)
            raise
        return result if _is_whole(result, environ) else _WatchedBody(result, response)

    def _alone(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Run the app for a request that the filter left out: without a context, also without a surrounding request's."""
        previous = current.get()
        current.set(None)
        try:
            return self.app(environ, start_response)
        finally:
            if current.get() is None:
                current.set(previous)


class PostHogInterceptor(Layer):
    """Middleware for any WSGI app. Keyword options are `InterceptorSettings`'."""

    def __init__(self, app: App, **options: Unpack[InterceptorOptions]) -> None:
        super().__init__(app, make_policy("wsgi", options), WsgiExchange)


class _Response:
    """The `start_response` of one request: sees the status, and the exception that is answered with it."""

    __slots__ = ("_broken", "_exchange", "_owner", "_policy", "_start", "_write", "begun")

    def __init__(self, exchange: WsgiExchange, policy: Policy, start: StartResponse, *, owner: bool) -> None:
        self._exchange = exchange
        self._policy = policy
        self._start = start
        self._owner = owner
        self.begun = False  # whether bytes have left; until then a server that sees an exception answers 500
        self._broken: BaseException | None = None

    def __call__(self, status: str, headers: Headers, exc_info: Any = None) -> Callable[[bytes], object]:
        exchange = self._exchange
        if exc_info:
            if exc_info[1] is not None:
                knows = exchange.inner if isinstance(exchange.inner, WsgiExchange) else exchange
                exchange.observe(exc_info[1], handled=knows.answers_with_exc_info, policy=self._policy)
            self._write = self._start(status, headers, exc_info)
        else:
            self._write = self._start(status, headers)
        if self._owner:
            exchange.status = _code(status)
            try:
                exchange.answering(exchange.status, headers)
            except Exception as error:
                self._policy.complain("request", error)
            # Sent at once, not when the body ends: the facts of a framework's request may be gone by then, and the
            # server may forget to close the body.
            exchange.close()
        else:
            if exchange.status is None:
                exchange.status = _code(status)
            if isinstance(exchange.inner, WsgiExchange):
                exchange.inner.answering(exchange.status, headers)
        return self.write

    def write(self, data: bytes) -> object:
        """Hand *data* to the server. What it raises here is its own: the client went away, whatever the class."""
        self.begun = True
        try:
            return self._write(data)
        except BaseException as error:
            self._broken = error
            raise

    def escaped(self, error: BaseException) -> None:
        """Note an exception that the app let go."""
        if self._broken is not None and is_within(self._broken, error):
            return
        if self._owner and not self.begun:
            self._exchange.status = None  # what start_response was told never left
        self._exchange.observe(error, handled=not self._owner, policy=self._policy)

    def failed(self, error: BaseException) -> None:
        """Note an exception of the body's `close`, when the response is complete or its client gone."""
        self._exchange.observe(error, handled=not self._owner, policy=self._policy)


def _preflight(policy: Policy, environ: Environ, start_response: StartResponse) -> StartResponse:
    """Return *start_response* with a look at the answer, where a browser asks whether it may send tracing headers."""
    asked = environ.get("HTTP_ACCESS_CONTROL_REQUEST_HEADERS")
    if not asked:
        return start_response

    def watched(status: str, headers: Headers, *exc_info: Any) -> Callable[[bytes], object]:
        policy.check_preflight(asked, environ.get("HTTP_ORIGIN"), headers)
        write: Callable[[bytes], object] = start_response(status, headers, *exc_info)
        return write

    return watched


class _WatchedBody:
    """A body that is made while it is read, in the context that is there: only its exceptions are seen."""

    __slots__ = ("_reading", "_response", "_result")

    def __init__(self, result: Any, response: _Response | None) -> None:
        self._result = result
        self._response = response
        self._reading: Iterator[bytes] | None = None

    def __iter__(self) -> Iterator[bytes]:
        self._reading = self._read()
        return self._reading

    def __next__(self) -> bytes:
        """Serve middleware that takes every body for a generator."""
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
    """A body that is made while it is read: each step runs in the request's context, whoever asks for it, and when.

    Nothing of it stays on the thread between two steps, so it does no harm that some servers never close it.
    """

    __slots__ = ("_context", "_exchange", "_root")

    def __init__(
        self, result: Any, exchange: WsgiExchange, root: Context, context: Context, response: _Response | None
    ) -> None:
        self._result = result
        self._response = response
        self._reading = None
        self._exchange = exchange
        self._root = root
        self._context = context  # what the app, and each step, said in it stays for the next step

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
                self._put_aside(outer)
            _end(self._exchange)

    def _read(self) -> Iterator[bytes]:
        response, reading = self._response, True
        outer = current.get()
        current.set(self._context)
        try:
            for chunk in self._result:
                if current.get() is self._context:  # most steps; the rest is for those that say something
                    current.set(outer)
                else:
                    self._put_aside(outer)
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
            if reading:  # else it was given up between two steps, with nothing taken up
                if current.get() is self._context:
                    current.set(outer)
                else:
                    self._put_aside(outer)
                self._exchange.close()

    def _put_aside(self, outer: Context | None) -> None:
        """Write *outer* back if the variable holds something of this request's, and keep that for the next step (rule `no-token-reset`)."""
        now = current.get()
        restore(self._root, outer)
        if now is not None and current.get() is not now:
            self._context = now


def _end(exchange: WsgiExchange) -> None:
    exchange.close()
    # The environ holds the exchange and the exchange the environ: without this, each request would wait for the collector.
    exchange.environ.pop(EXCHANGE_KEY, None)


def _is_whole(result: Any, environ: Environ) -> bool:
    """Tell whether *result* is there already, or a file that the server sends by itself: it is not to be replaced."""
    kind = type(result)
    if kind is list or kind is tuple or hasattr(kind, "__len__"):
        return True
    wrapper = environ.get("wsgi.file_wrapper")
    if wrapper is None:
        return False
    if isinstance(wrapper, type):
        return isinstance(result, wrapper)
    # uWSGI's and mod_wsgi's is a function: the one recognises the file itself, the other a stream around it.
    return hasattr(result, "read") or hasattr(result, "filelike")


def _code(status: Any) -> int | None:
    try:
        return int(status[:3])
    except (TypeError, ValueError):
        return None
