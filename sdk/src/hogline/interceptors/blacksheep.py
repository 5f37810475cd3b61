"""BlackSheep: around the application as ASGI middleware, with eyes inside its own middlewares.

    app = PostHogInterceptor(app, client=posthog, capture_exceptions=True)

A middleware of BlackSheep's alone would know neither the status, since exceptions are answered after all middlewares, nor what
a streamed body raises. So the context is put around the application; what its handlers and middlewares raise is seen by two
middlewares that are added when it configures them, the first and the last.
Source: docs/internals/frameworks.md#blacksheep.
"""

import weakref
from collections.abc import Awaitable, Callable
from typing import Any, Unpack

from blacksheep import Application, Request, Response, WebSocket
from blacksheep.server.routing import RouteMethod

from hogline.exception_kinds import http_status
from hogline.interceptors import asgi
from hogline.settings.typed import InterceptorOptions

try:
    from blacksheep.middlewares import MiddlewareCategory
except ImportError:  # old versions have a plain list, in which order alone counts
    MiddlewareCategory = None  # type: ignore[assignment, misc]

__all__ = ["BlackSheepExchange", "PostHogInterceptor"]

_OUTERMOST, _INNERMOST = -1_000_000, 1_000_000  # priorities within the first and the last category
_BAD_REQUEST = 400


class BlackSheepExchange(asgi.AsgiExchange):
    """An ASGI exchange that knows BlackSheep's request and routes."""

    _application: Any = None
    _request: Any = None
    _mount: str = ""
    _outer_prefix: str | None = None

    def request(self) -> Any:
        """Return the app's own `Request` or `WebSocket` while it works on it, else one whose body cannot be read."""
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
        outer = self._outer_prefix if self._outer_prefix is not None else self.prefix
        mount = self._mount.removeprefix(outer).rstrip("/")
        return mount + bytes(matched.pattern).decode("utf-8", "replace")

    def keep(self, application: Any, request: Any) -> None:
        """Keep what routes are found with."""
        self._application = application
        self._request = request
        self._mount = str(request.scope.get("root_path") or "")  # BlackSheep takes the scope away when it has answered

    def stand_inside(self, outer: asgi.AsgiExchange) -> None:
        """Find routes for *outer*, the exchange of an interceptor around us."""
        self._outer_prefix = outer.prefix
        outer.adopt(self)


class PostHogInterceptor(asgi.PostHogInterceptor):
    """Middleware around BlackSheep applications. Keyword options are `InterceptorSettings`'."""

    exchange_class: asgi.MakeExchange = BlackSheepExchange
    source = "blacksheep"

    def __init__(self, app: Any, /, **options: Unpack[InterceptorOptions]) -> None:
        super().__init__(app, **options)
        application = app
        for _ in range(100):  # through other middleware, another interceptor among it
            if isinstance(application, Application) or application is None:
                break
            application = getattr(application, "app", None)
        self._seen: weakref.WeakSet[Application] = weakref.WeakSet()
        if isinstance(application, Application):
            self._look_into(application)

    def know_inside(self, exchange: asgi.AsgiExchange, scope: asgi.Scope) -> None:
        """Let an exchange that knows no BlackSheep find routes through us."""
        if not isinstance(exchange, BlackSheepExchange):
            BlackSheepExchange(self._policy, scope).stand_inside(exchange)

    def _look_into(self, application: Application) -> None:
        """Add our eyes when *application*, and what it mounts until it starts, configures its middlewares."""
        if application in self._seen:
            return
        self._seen.add(application)

        async def look_again(_: Any) -> None:
            for mounted in application.mount_registry.mounted_apps:
                if isinstance(mounted.handler, Application) and not mounted.handler.started:
                    self._look_into(mounted.handler)

        added: list[bool] = []  # a parent fires the events of what it mounts once more

        def add_eyes(_: Any) -> None:
            if not added:
                added.append(True)
                first, last = self._eyes(application, outermost=True), self._eyes(application, outermost=False)
                middlewares: Any = application.middlewares
                if MiddlewareCategory is None:
                    middlewares[:] = [first, *middlewares, last]
                    return
                middlewares.append(first, MiddlewareCategory.INIT, _OUTERMOST)
                middlewares.append(last, MiddlewareCategory.MESSAGE, _INNERMOST)

        application.on_start += look_again
        application.on_middlewares_configuration += add_eyes  # type: ignore[misc]
        for mounted in application.mount_registry.mounted_apps:
            if isinstance(mounted.handler, Application):
                self._look_into(mounted.handler)

    def _eyes(self, application: Application, *, outermost: bool) -> Callable[..., Awaitable[Response]]:
        async def posthog_interceptor(request: Request, handler: Any) -> Response:
            scope: Any = request.scope or {}
            exchange = scope.get(asgi.EXCHANGE_KEY)
            if exchange is None:
                return await handler(request)  # type: ignore[no-any-return]
            for one in (exchange, exchange.inner):
                if isinstance(one, BlackSheepExchange):
                    one.keep(application, request)
            try:
                return await handler(request)  # type: ignore[no-any-return]
            except BaseException as error:
                in_socket = isinstance(request, WebSocket)
                self._see(exchange, application, error, in_socket=in_socket, outermost=outermost)
                raise

        return posthog_interceptor

    def _see(
        self, exchange: Any, application: Application, error: BaseException, *, in_socket: bool, outermost: bool
    ) -> None:
        rules = self._policy.exceptions
        if rules is None:
            return
        try:
            exchange.annotate(
                route=exchange.find_route()
            )  # now: BlackSheep lets go of its request before the status is known
        except Exception as failure:
            self._policy.complain("route", failure)
        handler = None if in_socket else _handler_of(application, error)
        if handler is not None and handler.__module__.startswith("blacksheep.") and http_status(error) is None:
            # BlackSheep's own, for requests that pydantic found not valid: they have no status of their own yet.
            if rules.min_status_to_capture <= _BAD_REQUEST:
                exchange.observe(error, handled=True, policy=self._policy)
            return
        # Until it leaves the first of all middlewares, one of them may answer it.
        answered = not outermost or handler is not None or http_status(error) is not None
        exchange.observe(error, handled=answered and not in_socket, policy=self._policy)


def _handler_of(application: Application, error: BaseException) -> Any:
    """Return the handler that is registered for a class of *error*; one for every Exception is a page for what nobody handled."""
    handlers: Any = application.exceptions_handlers
    return next((handlers[kind] for kind in type(error).__mro__ if kind in handlers and kind is not Exception), None)


async def _nothing(*_: Any) -> Any:
    raise RuntimeError("only the app's own socket can send and receive")
