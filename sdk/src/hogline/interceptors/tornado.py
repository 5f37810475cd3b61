"""Tornado: observes every request handler, even one that overrides Tornado's hooks.

    PostHogInterceptor(application, client=posthog, capture_exceptions=True)

Tornado has no middleware. `Application.get_handler_delegate`, which is documented as an extension
point, gets the class that serves a request, and the interceptor replaces that class by a subclass.
So it does not matter that apps override `prepare`, `log_exception` or `write_error` without calling
`super()`. Each request is a task of its own, so its context is not restored.
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

from hogline.context import Context, StepContext, clear_context
from hogline.exchange import Exchange, Policy, RequestLine
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
    """An exchange whose request is a Tornado handler's."""

    context: Context

    def __init__(self, policy: Policy, handler: RequestHandler) -> None:
        super().__init__(policy)
        self._handler = handler

    def read(self) -> RequestLine:
        """Return the request line, with scheme and peer as `xheaders` says.

        `full_url()` raises on a bad Host.
        """
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
        """Return the matched rule's pattern; None for a 404.

        It is a regular expression without its `$`.
        """
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
        """Return whether *error* means that this request's client left.

        Tornado's HTTP client raises the same class.
        """
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

        def get_observed_delegate(request: Any, target_class: type[RequestHandler], *args: Any, **kwargs: Any) -> Any:
            return get_handler_delegate(request, self._observed(target_class), *args, **kwargs)

        application.get_handler_delegate = get_observed_delegate  # type: ignore[method-assign]

    def _observed(self, kind: type[RequestHandler]) -> type[RequestHandler]:
        """Return a subclass of *kind* that reports its requests to this interceptor.

        It has *kind*'s name and module.
        """
        known: type[RequestHandler] | None = self._classes.get(kind)
        if known is None:
            names = ("__module__", "__qualname__", "__doc__")
            body = {name: getattr(kind, name) for name in names}
            make: Any = type(kind)
            known = self._classes[kind] = make(
                kind.__name__, (_ObservedHandler, kind), {**body, "hogline_interceptor": self}
            )
        return known

    async def begin(self, handler: RequestHandler) -> TornadoExchange | None:
        """Begin the request's context, which inherits nothing.

        Returns None for a request that the filter leaves out.
        """
        exchange = TornadoExchange(self._policy, handler)
        if self._callbacks.any and not await self._callbacks.admit(exchange):
            clear_context()
            return None
        exchange.context = exchange.enter()[0]
        return exchange

    def observe(self, exchange: TornadoExchange, error: BaseException, *, handled: bool) -> None:
        """Record an exception before Tornado, or a handler's own `log_exception`, sees it."""
        if self._policy.exceptions is not None and not exchange.is_gone(error):
            exchange.observe(error, handled=handled)


# A mixin before every handler's class. `_execute` and `_handle_request_exception` are private, but
# exist since the first version. Tornado has no better hook: apps override the public `prepare` and
# `log_exception`.
class _ObservedHandler(RequestHandler):
    hogline_interceptor: ClassVar[PostHogInterceptor]
    # A weak reference, since the exchange holds its handler.
    _hogline_exchange: "weakref.ref[TornadoExchange] | None" = None

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Do nothing: the hook of the app's class is meant for the app's own subclasses."""

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
            # After the response, nothing can answer the exception any more.
            answered = isinstance(e, HTTPError) and not self._finished and not self._headers_written
            self.hogline_interceptor.observe(exchange, e, handled=answered)
        super()._handle_request_exception(e)

    def log_exception(
        self, typ: type[BaseException] | None, value: BaseException | None, tb: TracebackType | None
    ) -> None:
        """Record the exceptions of a WebSocket's callbacks.

        They run after the handshake's request.
        """
        exchange = self._hogline()
        if (
            exchange is not None
            and value is not None
            and isinstance(self, WebSocketHandler)
            and self.get_status() == 101
        ):
            exchange.status = 101
            self.hogline_interceptor.observe(exchange, value, handled=False)
            exchange.close()
        super().log_exception(typ, value, tb)

    # The connection calls these two outside the request's task.

    def data_received(self, chunk: bytes) -> Awaitable[None] | None:
        if self._hogline() is None:
            return super().data_received(chunk)
        with self._request_context():
            result = super().data_received(chunk)
            # A task keeps the context that it was created in.
            return asyncio.ensure_future(result) if result is not None else None

    def on_connection_close(self) -> None:
        with self._request_context():
            super().on_connection_close()

    def _request_context(self) -> StepContext:
        exchange = self._hogline()
        context = exchange.context if exchange is not None else None
        return StepContext(context, context)

    def _hogline(self) -> TornadoExchange | None:
        return self._hogline_exchange() if self._hogline_exchange is not None else None


def _address(request: Any) -> str | None:
    """Return `name:port` of the server's socket, while the connection is open."""
    server = getattr(getattr(request.connection, "stream", None), "socket", None)
    try:
        return joined_address(server.getsockname()) if server is not None else None
    except OSError:
        return None
