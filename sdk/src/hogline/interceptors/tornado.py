"""Tornado: eyes in each request handler, whatever its class overrides.

    PostHogInterceptor(application, client=posthog, capture_exceptions=True)

Tornado has no middleware. `Application.get_handler_delegate`, which is made to be overridden, is told which class serves a
request, and we put a subclass in its place: what users override in `prepare`, `log_exception` or `write_error` without
calling `super()` is no matter then. Each request is a task of its own, so the context need not be taken back.
Source: docs/internals/frameworks.md#tornado.
"""

import asyncio
import logging
import weakref
from collections.abc import Awaitable, Sequence
from types import TracebackType
from typing import Any, ClassVar, Unpack
from urllib.parse import unquote

from tornado.iostream import StreamClosedError
from tornado.routing import PathMatches
from tornado.web import Application, HTTPError, RequestHandler
from tornado.websocket import WebSocketHandler

from hogline.context import Context, current, restore
from hogline.exchange import Exchange, RequestLine
from hogline.exchange.policy import Policy
from hogline.facts import cors
from hogline.facts.url import joined_address, visited_scheme
from hogline.interceptors.common.callbacks import Callbacks
from hogline.interceptors.common.options import make_policy
from hogline.settings.typed import InterceptorOptions

__all__ = ["PostHogInterceptor", "TornadoExchange"]

_log = logging.getLogger("hogline")
_SETTING = "hogline"  # in the application's settings
_MAX_RULES = 10_000


class TornadoExchange(Exchange):
    """An exchange whose request is Tornado's, seen from its handler."""

    context: Context

    def __init__(self, policy: Policy, handler: RequestHandler) -> None:
        super().__init__(policy)
        self._handler = handler

    def read(self) -> RequestLine:
        """Return the facts; scheme and peer as `xheaders` says. `full_url()` is not asked: a bad Host makes it raise."""
        request = self._handler.request
        return (
            request.method,
            visited_scheme(request.protocol, request.headers.get("Upgrade")),
            unquote(request.path, errors="replace"),
            request.query,
            request.remote_ip,
        )

    def server(self) -> str | None:
        """Return the socket's own address."""
        return _address(self._handler.request)

    def headers(self, name: str) -> Sequence[str]:
        """Return the values of header *name*, which Tornado decodes as latin-1."""
        return self._handler.request.headers.get_list(name)

    def request(self) -> Any:
        """Return the `RequestHandler`: it has `request`, `current_user` and cookies."""
        return self._handler

    def find_route(self) -> str | None:
        """Return the pattern of the matched rule, a regular expression without its end mark; None for a 404."""
        application, request = self._handler.application, self._handler.request
        waiting, seen, found = [application.default_router], 0, None
        while waiting and seen < _MAX_RULES:
            for rule in getattr(waiting.pop(), "rules", ()):
                seen += 1
                if rule.matcher.match(request) is None:
                    continue
                if isinstance(rule.matcher, PathMatches):
                    found = rule.matcher.regex.pattern
                waiting = [rule.target]
                break
        return found.removesuffix("$") if found is not None else None

    def is_gone(self, error: BaseException) -> bool:
        """Tell whether *error* says that this request's own client left; Tornado's client raises the same class."""
        stream = getattr(self._handler.request.connection, "stream", None)
        return isinstance(error, StreamClosedError) and (stream is None or stream.closed())


class PostHogInterceptor:
    """An extension for Tornado applications. Keyword options are `InterceptorSettings`'."""

    def __init__(self, application: Application | None = None, **options: Unpack[InterceptorOptions]) -> None:
        self._policy = make_policy("tornado", options)
        self._callbacks = Callbacks(self._policy)
        self._classes: weakref.WeakKeyDictionary[type[RequestHandler], type[RequestHandler]]
        self._classes = weakref.WeakKeyDictionary()
        if application is not None:
            self.install(application)

    def install(self, application: Application) -> None:
        """Install the interceptor in *application*, which has one; a second one is ignored."""
        if _SETTING in application.settings:
            _log.warning("hogline: the Tornado application has an interceptor already; the second one is ignored")
            return
        application.settings[_SETTING] = self
        get_handler_delegate = application.get_handler_delegate

        def with_eyes(request: Any, target_class: type[RequestHandler], *args: Any, **kwargs: Any) -> Any:
            return get_handler_delegate(request, self._seeing(target_class), *args, **kwargs)

        application.get_handler_delegate = with_eyes  # type: ignore[method-assign]

    def _seeing(self, kind: type[RequestHandler]) -> type[RequestHandler]:
        """Return a subclass of *kind* that tells us of its requests; by name and module it is *kind*."""
        known: type[RequestHandler] | None = self._classes.get(kind)
        if known is None:
            names = ("__module__", "__qualname__", "__doc__")
            body = {name: getattr(kind, name) for name in names}
            make: Any = type(kind)
            known = self._classes[kind] = make(kind.__name__, (_Seeing, kind), {**body, "hogline_interceptor": self})
        return known

    async def begin(self, handler: RequestHandler) -> TornadoExchange | None:
        """Begin the request's context from nothing; None for a request that the filter leaves out."""
        exchange = TornadoExchange(self._policy, handler)
        if self._callbacks.any and not await self._callbacks.admit(exchange):
            current.set(None)
            return None
        exchange.context = exchange.enter()[0]
        return exchange

    def saw(self, exchange: TornadoExchange, error: BaseException, *, handled: bool) -> None:
        """Note an exception before Tornado, or a handler's own `log_exception`, sees it."""
        if self._policy.exceptions is not None and not exchange.is_gone(error):
            exchange.observe(error, handled=handled)


# A mixin in front of every handler's class: `_execute` and `_handle_request_exception` are private, but have been there since
# the first version, and Tornado offers no others. `prepare` and `log_exception`, which it offers, users override.
class _Seeing(RequestHandler):
    hogline_interceptor: ClassVar[PostHogInterceptor]
    # Weakly: the exchange holds its handler, and the context the exchange.
    _hogline_exchange: "weakref.ref[TornadoExchange] | None" = None

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Do nothing: the hook of the user's class is not for subclasses that are not the user's."""

    async def _execute(self, *args: Any, **kwargs: Any) -> None:
        exchange = await self.hogline_interceptor.begin(self)
        if exchange is None:
            await super()._execute(*args, **kwargs)
            return
        self._hogline_exchange = weakref.ref(exchange)
        try:
            await super()._execute(*args, **kwargs)
        finally:
            exchange.status = self.get_status()
            if self.request.method == "OPTIONS":
                get = self.request.headers.get
                exchange.policy.check_preflight(get(cors.ASKED), get("origin"), self._headers.get_all())
            exchange.close()

    def _handle_request_exception(self, e: BaseException) -> None:
        exchange = self._hogline()
        if exchange is not None:
            # After the response there is no answer any more: nothing became of the exception.
            answered = isinstance(e, HTTPError) and not self._finished and not self._headers_written
            self.hogline_interceptor.saw(exchange, e, handled=answered)
        super()._handle_request_exception(e)

    def log_exception(
        self, typ: type[BaseException] | None, value: BaseException | None, tb: TracebackType | None
    ) -> None:
        """See what a WebSocket's callbacks raise, after their handshake's request was done."""
        exchange = self._hogline()
        if (
            exchange is not None
            and value is not None
            and isinstance(self, WebSocketHandler)
            and self.get_status() == 101
        ):
            exchange.status = 101
            self.hogline_interceptor.saw(exchange, value, handled=False)
            exchange.close()
        super().log_exception(typ, value, tb)

    # Both are called by the connection, outside of the request's task.

    def data_received(self, chunk: bytes) -> Awaitable[None] | None:
        exchange, previous = self._hogline(), current.get()
        if exchange is None:
            return super().data_received(chunk)
        current.set(exchange.context)
        try:
            result = super().data_received(chunk)
            # As a task it keeps the context that it was made in.
            return asyncio.ensure_future(result) if result is not None else None
        finally:
            restore(exchange.context, previous)

    def on_connection_close(self) -> None:
        exchange, previous = self._hogline(), current.get()
        if exchange is not None:
            current.set(exchange.context)
        try:
            super().on_connection_close()
        finally:
            if exchange is not None:
                restore(exchange.context, previous)

    def _hogline(self) -> TornadoExchange | None:
        return self._hogline_exchange() if self._hogline_exchange is not None else None


def _address(request: Any) -> str | None:
    """Return `name:port` of the socket that took the connection, while there is one."""
    server = getattr(getattr(request.connection, "stream", None), "socket", None)
    try:
        return joined_address(server.getsockname()) if server is not None else None
    except OSError:
        return None
