"""Sanic: signals for the life of a request, its exceptions and its WebSockets.

    PostHogInterceptor(app, client=posthog, capture_exceptions=True)

Sanic serves all requests of a connection in one task and one context. Each request's context begins
when its head was read, inherits nothing, and ends when its response was made.
Source: docs/internals/frameworks.md#sanic.
"""

import logging
import weakref
from collections.abc import Sequence
from typing import Any, Unpack
from urllib.parse import unquote

from sanic import Request, Sanic
from sanic.exceptions import SanicException
from sanic.http import Stage

from hogline.context import Context, clear_context, restore
from hogline.exchange import Exchange, Policy, RequestLine
from hogline.facts import cors
from hogline.facts.tracing import latin1_headers
from hogline.facts.url import local_address
from hogline.guard import guard
from hogline.interceptors.common.callbacks import Callbacks
from hogline.interceptors.common.options import make_policy
from hogline.settings.typed import InterceptorOptions

__all__ = ["PostHogInterceptor", "SanicExchange"]

_log = logging.getLogger("hogline")
_NAME = "hogline"  # in `app.ctx` and `request.ctx`
_LAST = -1000  # the priority that runs after the app's own receivers of a signal


class SanicExchange(Exchange):
    """An exchange whose request is Sanic's."""

    context: Context

    def __init__(self, policy: Policy, request: Request) -> None:
        super().__init__(policy)
        self._request = request

    def read(self) -> RequestLine:
        """Return the request line.

        Its scheme and peer follow `PROXIES_COUNT` and similar settings.
        """
        request = self._request
        return (
            request.method,
            request.scheme,
            unquote(request.path, errors="replace"),
            request.query_string,
            request.remote_addr or request.ip or None,
        )

    def server(self) -> str | None:
        """Return the socket's own address."""
        return local_address(self._request.transport)

    def headers(self, name: str) -> Sequence[str]:
        """Return the values of header *name*."""
        return latin1_headers(self._request.headers, name)

    def request(self) -> Any:
        """Return the `sanic.Request`."""
        return self._request

    def find_route(self) -> str | None:
        """Return the route's template, with its blueprint's prefix; None for a 404."""
        return self._request.uri_template


class PostHogInterceptor:
    """An extension for Sanic apps. Keyword options are `InterceptorSettings`'."""

    def __init__(self, app: "Sanic[Any, Any] | None" = None, **options: Unpack[InterceptorOptions]) -> None:
        self._policy = make_policy("sanic", options)
        self._callbacks = Callbacks(self._policy)
        if app is not None:
            self.init_app(app)

    def init_app(self, app: "Sanic[Any, Any]") -> None:
        """Install the interceptor in *app*, before it is served.

        An app has one; a second one is ignored.
        """
        if hasattr(app.ctx, _NAME):
            _log.warning("hogline: the Sanic app %r has an interceptor already; the second one is ignored", app.name)
            return
        setattr(app.ctx, _NAME, self)
        app.signal("http.lifecycle.request", priority=-_LAST)(self._begin)
        app.signal("http.lifecycle.exception", priority=-_LAST)(self._fail)
        app.signal("http.lifecycle.response", priority=_LAST)(self._answered)
        if self._policy.exceptions is not None:
            app.signal("websocket.handler.exception", priority=-_LAST)(self._fail_socket)
        app.register_listener(self._flush, "after_server_stop")

    # Receivers of signals. One that raises would change the response, so each is guarded.

    async def _begin(self, request: Request, **_: Any) -> None:
        """Begin the request's context, which inherits nothing (rule `fresh-context`)."""
        with guard("request", self._policy.complain):
            exchange = SanicExchange(self._policy, request)
            if self._callbacks.any and not await self._callbacks.admit(exchange):
                clear_context()
                return
            exchange.context = exchange.enter()[0]
            # A weak reference, since the exchange holds its request.
            setattr(request.ctx, _NAME, weakref.ref(exchange))

    async def _fail(self, request: Request, exception: BaseException, **_: Any) -> None:
        """Record an exception before any handler sees it."""
        with guard("exception capture", self._policy.lose_exception):
            exchange = _exchange_of(request)
            if exchange is None:
                # This request could not be parsed; the context belongs to an earlier one.
                clear_context()
                return
            stream = request.stream
            begun = stream is not None and stream.stage is not Stage.HANDLER
            exchange.observe(exception, handled=not begun and _has_handler(request, exception))
            if begun:  # no other answer will follow
                response = getattr(stream, "response", None)
                self._end(exchange, response.status if response is not None else None)

    async def _fail_socket(self, request: Request, exception: BaseException, **_: Any) -> None:
        """Record an exception of a WebSocket's handler."""
        with guard("exception capture", self._policy.lose_exception):
            exchange = _exchange_of(request)
            if exchange is not None:
                exchange.observe(exception, handled=False)
                self._end(exchange, 101)

    async def _answered(self, request: Request, response: Any = None, **_: Any) -> None:
        """End the request.

        Its response was made or streamed, and no more code of the app runs for it.
        """
        with guard("exception capture", self._policy.lose_exception):
            exchange = _exchange_of(request)
            if request.method == "OPTIONS" and response is not None:
                get = request.headers.get
                self._policy.check_preflight(get(cors.ASKED), get("origin"), response.headers.items())
            if exchange is not None:
                self._end(exchange, getattr(response, "status", None))

    def _end(self, exchange: SanicExchange, status: int | None) -> None:
        exchange.status = status
        exchange.end()
        restore(exchange.context, None)

    async def _flush(self, *_: Any) -> None:
        """Flush before the worker ends (rule `flush-at-lifespan`).

        Sanic's processes skip Python's exit handlers.
        """
        await self._policy.aflush()


def _exchange_of(request: Request) -> SanicExchange | None:
    reference = getattr(request.ctx, _NAME, None)
    return reference() if reference is not None else None


def _has_handler(request: Request, error: BaseException) -> bool:
    """Return whether more than the last resort answers *error*.

    Its own class may answer it, or a handler for one of its classes. A handler for `Exception` is
    an error page and does not count, as in other frameworks.
    """
    if isinstance(error, SanicException):
        return True
    handlers = request.app.error_handler
    handler = handlers.lookup(error, request.name)
    pages = [handlers.cached_handlers.get((Exception, name)) for name in (request.name, None)]
    return handler is not None and handler not in pages
