"""BlackSheep: ASGI middleware around the application, with two observers among its own middlewares.

    app = PostHogInterceptor(app, client=posthog, capture_exceptions=True)

BlackSheep answers exceptions after all middlewares, and streams bodies later, so one of its own
middlewares would know neither the status nor what a streamed body raises. So the interceptor stands
around the application, and adds two middlewares, the first and the last, that observe exceptions.
Source: docs/internals/frameworks.md#blacksheep.
"""

import weakref
from collections.abc import Awaitable, Callable
from typing import Any, Unpack

from blacksheep import Application, Request, Response, WebSocket
from blacksheep.server.routing import RouteMethod

from hogline.exception_kinds import http_status
from hogline.guard import guard
from hogline.interceptors import asgi
from hogline.settings.typed import InterceptorOptions

try:
    from blacksheep.middlewares import MiddlewareCategory
except ImportError:  # old versions have a plain list, without categories
    MiddlewareCategory = None  # type: ignore[assignment, misc]

__all__ = ["BlackSheepExchange", "PostHogInterceptor"]

_OUTERMOST, _INNERMOST = -1_000_000, 1_000_000  # priorities within the first and the last category
_BAD_REQUEST = 400
_MAX_LAYERS = 100


class BlackSheepExchange(asgi.AsgiExchange):
    """An ASGI exchange that knows BlackSheep's request and routes."""

    _application: Any = None
    _request: Any = None
    _mount: str = ""

    def request(self) -> Any:
        """Return the app's own `Request` or `WebSocket` while it is in use.

        Otherwise, return a new one without a body.
        """
        request = self._request
        if request is not None and request.scope is not None:
            return request
        scope: Any = self.scope
        if scope["type"] == "websocket":
            return WebSocket(scope, _nothing, _nothing)
        path = scope.get("raw_path") or (scope.get("path") or "/").encode()
        made = Request.incoming(scope["method"], path, scope.get("query_string", b""), list(scope.get("headers", ())))
        made.scope = scope
        return made

    def find_route(self) -> str | None:
        """Return the pattern of the matched route, with the prefix of its mount; None for a 404."""
        request, application = self._request, self._application
        if request is None:  # before routing
            return super().find_route()
        if isinstance(request, WebSocket):
            matched = application.router.get_match_by_method_and_path(RouteMethod.GET_WS, request.path)
        else:
            matched = application.router.get_match(request)
        if matched is None or matched.pattern is None or matched.pattern == b"*":
            return None
        return self.mounted_at(self._mount) + bytes(matched.pattern).decode("utf-8", "replace")

    def keep(self, application: Any, request: Any) -> None:
        """Keep the application and the request, which `find_route` needs."""
        self._application = application
        self._request = request
        # BlackSheep removes the scope when it has answered.
        self._mount = str(request.scope.get("root_path") or "")


class PostHogInterceptor(asgi.PostHogInterceptor):
    """Middleware around BlackSheep applications. Keyword options are `InterceptorSettings`'."""

    exchange_class: asgi.MakeExchange = BlackSheepExchange
    source = "blacksheep"

    def __init__(self, app: Any, /, **options: Unpack[InterceptorOptions]) -> None:
        super().__init__(app, **options)
        application = app
        for _ in range(_MAX_LAYERS):  # through other middleware and other interceptors
            if isinstance(application, Application) or application is None:
                break
            application = getattr(application, "app", None)
        self._observed: weakref.WeakSet[Application] = weakref.WeakSet()
        if isinstance(application, Application):
            self._add_observers(application)

    def _add_observers(self, application: Application) -> None:
        """Add our middlewares when *application* configures its own.

        Apps that are mounted in it before it starts get them, too.
        """
        if application in self._observed:
            return
        self._observed.add(application)

        async def on_start(_: Any) -> None:
            for mounted in application.mount_registry.mounted_apps:
                if isinstance(mounted.handler, Application) and not mounted.handler.started:
                    self._add_observers(mounted.handler)

        added: list[bool] = []  # a parent application fires the events of mounted ones again

        def on_configuration(_: Any) -> None:
            if not added:
                added.append(True)
                first, last = self._observer(application, outermost=True), self._observer(application, outermost=False)
                middlewares: Any = application.middlewares
                if MiddlewareCategory is None:
                    middlewares[:] = [first, *middlewares, last]
                    return
                middlewares.append(first, MiddlewareCategory.INIT, _OUTERMOST)
                middlewares.append(last, MiddlewareCategory.MESSAGE, _INNERMOST)

        application.on_start += on_start
        application.on_middlewares_configuration += on_configuration  # type: ignore[misc]
        for mounted in application.mount_registry.mounted_apps:
            if isinstance(mounted.handler, Application):
                self._add_observers(mounted.handler)

    def _observer(self, application: Application, *, outermost: bool) -> Callable[..., Awaitable[Response]]:
        async def posthog_interceptor(request: Request, handler: Any) -> Response:
            scope: Any = request.scope or {}
            exchange = scope.get(asgi.EXCHANGE_KEY)
            if exchange is None:
                return await handler(request)  # type: ignore[no-any-return]
            own = exchange.part(BlackSheepExchange)
            if own is not None:
                own.keep(application, request)
            try:
                return await handler(request)  # type: ignore[no-any-return]
            except BaseException as error:
                in_socket = isinstance(request, WebSocket)
                self._observe(exchange, application, error, in_socket=in_socket, outermost=outermost)
                raise

        return posthog_interceptor

    def _observe(
        self, exchange: Any, application: Application, error: BaseException, *, in_socket: bool, outermost: bool
    ) -> None:
        rules = self._policy.exceptions
        if rules is None:
            return
        with guard("route", self._policy.complain):
            # BlackSheep drops its request before the status is known, so the route is read now.
            exchange.annotate(route=exchange.find_route())
        handler = None if in_socket else _handler_of(application, error)
        if handler is not None and handler.__module__.startswith("blacksheep.") and http_status(error) is None:
            # BlackSheep's own handler, for requests that pydantic finds invalid: the exception has
            # no status yet.
            if rules.min_status_to_capture <= _BAD_REQUEST:
                exchange.observe(error, handled=True, policy=self._policy)
            return
        # Until it leaves the first middleware, one of them may answer it.
        answered = not outermost or handler is not None or http_status(error) is not None
        exchange.observe(error, handled=answered and not in_socket, policy=self._policy)


def _handler_of(application: Application, error: BaseException) -> Any:
    """Return the handler registered for *error*'s class.

    A handler for `Exception` is an error page and does not count.
    """
    handlers: Any = application.exceptions_handlers
    return next((handlers[kind] for kind in type(error).__mro__ if kind in handlers and kind is not Exception), None)


async def _nothing(*_: Any) -> Any:
    raise RuntimeError("only the app's own socket can send and receive")
