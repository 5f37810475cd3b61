"""Litestar: a plugin that puts ASGI middleware around the whole app.

It observes exceptions in `after_exception`.

    app = Litestar(plugins=[PostHogInterceptor(client=posthog, capture_exceptions=True)])

No exception of a handler leaves Litestar, and its middleware does not run for a 404, so the
interceptor wraps `app.asgi_handler` when the app starts.
Source: docs/internals/frameworks.md#litestar.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Unpack

from litestar import Litestar, Request, WebSocket
from litestar.config.app import AppConfig
from litestar.exceptions import HTTPException

from hogline.exception_kinds import http_status, ungrouped, unwrapped
from hogline.exchange import Policy
from hogline.guard import guard
from hogline.interceptors import asgi
from hogline.interceptors.common.callbacks import Callbacks
from hogline.interceptors.common.options import make_policy
from hogline.settings.typed import InterceptorOptions

if TYPE_CHECKING:
    from litestar.plugins import InitPlugin
else:
    try:
        from litestar.plugins import InitPlugin
    except ImportError:  # the name in old versions
        from litestar.plugins import InitPluginProtocol as InitPlugin

__all__ = ["LitestarExchange", "PostHogInterceptor"]


class LitestarExchange(asgi.AsgiExchange):
    """An ASGI exchange that knows Litestar's request, its routes and its exception handlers."""

    _unanswered: Sequence[BaseException] = ()

    def request(self) -> Any:
        """Return a `Request` or `WebSocket` of the app's own class that cannot receive anything."""
        scope: Any = self.scope
        application = scope.get("litestar_app") or scope.get("app")
        if scope["type"] == "http":
            return getattr(application, "request_class", Request)(scope)
        return getattr(application, "websocket_class", WebSocket)(scope)

    def find_route(self) -> str | None:
        """Return the matched route's template, after an outer interceptor's mount.

        Returns None for 404s and mounted apps.
        """
        template = self.inner_scope.get("path_template") or self.scope.get("path_template")
        if not isinstance(template, str) or not template:
            return super().find_route()
        return self.mounted_at(self.prefix) + template

    def is_answered(self, error: BaseException) -> bool:
        """Return whether *error* has a handler, as `after_exception` found.

        Litestar's last resort answers the others.
        """
        return not any(error is known for known in self._unanswered)

    def original(self, error: BaseException) -> BaseException:
        """Return the exception that user code raised.

        Litestar streams inside a task group, which wraps exceptions.
        """
        return ungrouped(unwrapped(error), "litestar")

    def remember_unanswered(self, error: BaseException) -> None:
        """Remember that only Litestar's last resort answers *error*."""
        self._unanswered = [*self._unanswered, error]


class PostHogInterceptor(InitPlugin):
    """A plugin for Litestar apps. Keyword options are `InterceptorSettings`'."""

    def __init__(self, **options: Unpack[InterceptorOptions]) -> None:
        self._policy = make_policy("litestar", options)

    def on_app_init(self, app_config: AppConfig) -> AppConfig:
        """Install the hooks in the app that is about to be made."""
        app_config.on_startup.insert(0, self.install)
        app_config.on_shutdown.append(self._flush)  # the last hook to run
        if self._policy.exceptions is not None:
            app_config.after_exception.append(self._observe)
        return app_config

    def install(self, app: Litestar) -> None:
        """Wrap the whole of *app*.

        Litestar calls this when the app starts. Call it yourself if the server runs no lifespan.
        """
        handler: Any = app.asgi_handler
        if not (isinstance(handler, _LitestarLayer) and handler.policy is self._policy):
            layer: Any = _LitestarLayer(handler, self._policy)
            app.asgi_handler = layer

    async def _flush(self) -> None:
        """Send the events that are queued (rule `flush-at-lifespan`).

        Litestar passes the app to a hook with parameters.
        """
        await self._policy.aflush()

    async def _observe(self, error: Exception, scope: Any) -> None:
        """Record *error* before any handler sees it, and whether a handler exists.

        This is the `after_exception` hook.
        """
        with guard("exception capture", self._policy.lose_exception):
            exchange = scope.get(asgi.EXCHANGE_KEY)
            if exchange is None:
                self._warn_unless_installed(scope.get("litestar_app") or scope["app"])
                return
            answered = _has_handler(error, scope)
            if not answered:
                own = exchange.part(LitestarExchange)
                if own is not None:
                    own.remember_unanswered(error)
            exchange.observe(error, handled=answered, policy=self._policy)

    def _warn_unless_installed(self, app: Litestar) -> None:
        """Log once if `install` was never called."""
        if not isinstance(app.asgi_handler, _LitestarLayer):
            self._policy.complain(
                "start", RuntimeError("this server runs no lifespan: call the interceptor's install(app)")
            )


class _LitestarLayer(asgi.PostHogInterceptor):
    """The ASGI layer of a Litestar app."""

    exchange_class: asgi.MakeExchange = LitestarExchange
    source = "litestar"

    def __init__(self, app: Any, policy: Policy) -> None:
        self.app = app
        self._policy = policy
        self._callbacks = Callbacks(policy)


def _has_handler(error: Exception, scope: Any) -> bool:
    """Return whether more than the last resort answers *error*.

    Its own class may answer it, or a handler for one of its classes. A handler for 500 or for
    `Exception` is an error page and does not count, as in other frameworks.
    """
    if isinstance(error, HTTPException) or http_status(error) is not None:
        return True
    if scope["type"] != "http":
        return False
    route = scope.get("route_handler")
    application = scope.get("litestar_app") or scope["app"]
    handlers = route.resolve_exception_handlers() if route is not None else application.exception_handlers
    found = next((kind for kind in type(error).__mro__ if kind in handlers), None)
    return found is not None and found is not Exception
