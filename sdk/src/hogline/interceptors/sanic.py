"""Sanic: signals of a request's life, its exceptions and its WebSockets.

    PostHogInterceptor(app, client=posthog, capture_exceptions=True)

Sanic serves all requests of a connection in one task and one context: each begins from nothing when its head was read, and
its context is put aside when its response has been made.
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

from hogline.context import Context, current, restore
from hogline.exchange import Exchange, RequestLine
from hogline.exchange.policy import Policy
from hogline.facts import cors
from hogline.facts.tracing import as_latin1
from hogline.facts.url import joined_address
from hogline.interceptors.common.callbacks import Callbacks
from hogline.interceptors.common.options import make_policy
from hogline.settings.typed import InterceptorOptions

__all__ = ["PostHogInterceptor", "SanicExchange"]

_log = logging.getLogger("hogline")
_NAME = "hogline"  # in `app.ctx` and `request.ctx`
_FLUSH_S = 5.0  # a worker that is asked to end gets a few seconds
_LAST = -1000  # the priority of what must run after the app's own receivers of the same signal


class SanicExchange(Exchange):
    """An exchange whose request is Sanic's."""

    context: Context

    def __init__(self, policy: Policy, request: Request) -> None:
        super().__init__(policy)
        self._request = request

    def read(self) -> RequestLine:
        """Return the facts; scheme and peer as `PROXIES_COUNT` and its like say."""
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
        transport = self._request.transport
        return joined_address(transport.get_extra_info("sockname")) if transport is not None else None

    def headers(self, name: str) -> Sequence[str]:
        """Return the values of header *name*, as latin-1: Sanic decodes UTF-8, and keeps other bytes as surrogates."""
        return [as_latin1(value) for value in self._request.headers.getall(name, ())]

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
        """Install the interceptor in *app*, before it is served. An app has one; a second one is ignored."""
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

    # Receivers of signals. One that raises would change the response, so none of them may.

    async def _begin(self, request: Request, **_: Any) -> None:
        """Begin the request's context from nothing, whatever the connection's last request left (rule `fresh-context`)."""
        try:
            exchange = SanicExchange(self._policy, request)
            if self._callbacks.any and not await self._callbacks.admit(exchange):
                current.set(None)
                return
            exchange.context = exchange.enter()[0]
            # Weakly: the exchange holds its request, and the context the exchange.
            setattr(request.ctx, _NAME, weakref.ref(exchange))
        except Exception as error:
            self._policy.complain("request", error)

    async def _fail(self, request: Request, exception: BaseException, **_: Any) -> None:
        """Note an exception before any handler sees it."""
        try:
            exchange = _exchange_of(request)
            if exchange is None:
                current.set(None)  # a request that could not be read; what is there is an earlier one's
                return
            stream = request.stream
            begun = stream is not None and stream.stage is not Stage.HANDLER
            exchange.observe(exception, handled=not begun and _has_handler(request, exception))
            if begun:  # there is no answer to wait for
                response = getattr(stream, "response", None)
                self._end(exchange, response.status if response is not None else None)
        except Exception as error:
            self._policy.lose_exception(error)

    async def _fail_socket(self, request: Request, exception: BaseException, **_: Any) -> None:
        """Note what a WebSocket's handler raised."""
        try:
            exchange = _exchange_of(request)
            if exchange is not None:
                exchange.observe(exception, handled=False)
                self._end(exchange, 101)
        except Exception as error:
            self._policy.lose_exception(error)

    async def _answered(self, request: Request, response: Any = None, **_: Any) -> None:
        """End the request: its response is made, or streamed already, and nothing of the app's runs any more."""
        try:
            exchange = _exchange_of(request)
            if request.method == "OPTIONS" and response is not None:
                get = request.headers.get
                self._policy.check_preflight(get(cors.ASKED), get("origin"), response.headers.items())
            if exchange is not None:
                self._end(exchange, getattr(response, "status", None))
        except Exception as error:
            self._policy.lose_exception(error)

    def _end(self, exchange: SanicExchange, status: int | None) -> None:
        exchange.status = status
        exchange.close()
        restore(exchange.context, None)

    async def _flush(self, *_: Any) -> None:
        """Send what waits before the worker ends: Sanic's processes end without Python's exit handlers (rule `flush-at-lifespan`)."""
        try:
            await self._policy.client.aflush(_FLUSH_S)
        except Exception as error:
            self._policy.complain("flush", error)


def _exchange_of(request: Request) -> SanicExchange | None:
    reference = getattr(request.ctx, _NAME, None)
    return reference() if reference is not None else None


def _has_handler(request: Request, error: BaseException) -> bool:
    """Tell whether more than the last resort answers *error*: its own class, or a handler registered for one of its classes.

    A handler for every Exception is a page for errors that nobody handled; so it is for other frameworks.
    """
    if isinstance(error, SanicException):
        return True
    handlers = request.app.error_handler
    handler = handlers.lookup(error, request.name)
    pages = [handlers.cached_handlers.get((Exception, name)) for name in (request.name, None)]
    return handler is not None and handler not in pages
