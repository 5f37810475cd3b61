"""Channels: ASGI middleware around the outermost application.

Each connection has one context for all its messages.

    router = ProtocolTypeRouter({...})
    application = PostHogInterceptor(router, client=posthog, capture_exceptions=True)

Exceptions of consumers propagate to the server.  Source: docs/internals/frameworks.md#channels.
"""

from collections.abc import Iterator
from typing import Any, Unpack

from channels.routing import ProtocolTypeRouter, URLRouter
from django.urls.exceptions import Resolver404

from hogline.exchange import Exchange, Policy
from hogline.interceptors import asgi
from hogline.settings.typed import InterceptorOptions

__all__ = ["ChannelsExchange", "PostHogInterceptor"]

_MAX_LAYERS = 100
_UNROUTED = "No route found for path"  # a ValueError of the outermost URLRouter


class ChannelsExchange(asgi.AsgiExchange):
    """An ASGI exchange that knows Channels' routers and the user.

    An outer `AuthMiddleware` finds the user.
    """

    application: Any = None

    def find_route(self) -> str | None:
        """Return the pattern of the matched route; None if no router matches.

        The pattern is a template or a regular expression.
        """
        path = (self.scope.get("path") or "/").removeprefix(self.prefix).lstrip("/")
        parts: list[str] = []
        application = self.application
        while (router := _router_in(application, self.scope["type"])) is not None:
            for route in router.routes:
                try:
                    matched = route.pattern.match(path)
                except Resolver404:
                    matched = None
                if matched:
                    parts.append(str(route.pattern))
                    path, application = matched[0], route.callback
                    break
            else:
                return super().find_route()
        return f"/{''.join(parts)}" if parts else super().find_route()

    def find_user(self) -> Any:
        """Return the signed-in user's primary key, if an outer `AuthMiddleware` found one."""
        user = self.scope.get("user")
        if user is not None and getattr(user, "is_authenticated", False):
            return user.pk
        return super().find_user()

    def observe(
        self, error: BaseException, *, handled: bool, status: int | None = None, policy: Policy | None = None
    ) -> None:
        """Record an exception, except for a path that no router knows.

        Such a path is the client's mistake.
        """
        if not _is_unrouted(error):
            super().observe(error, handled=handled, status=status, policy=policy)


class PostHogInterceptor(asgi.PostHogInterceptor):
    """Middleware around Channels applications. Keyword options are `InterceptorSettings`'."""

    source = "channels"

    def __init__(self, app: Any, /, **options: Unpack[InterceptorOptions]) -> None:
        super().__init__(app, **options)

        def make_exchange(policy: Policy, scope: asgi.Scope) -> ChannelsExchange:
            exchange = ChannelsExchange(policy, scope)
            exchange.application = self.app
            return exchange

        self.exchange_class: asgi.MakeExchange = make_exchange

    def adds_to(self, exchange: Exchange, own: asgi.AsgiExchange) -> bool:  # noqa: ARG002
        """Return True: inside an `AuthMiddleware`, the user is known here and not further out."""
        return True


def _is_unrouted(error: BaseException) -> bool:
    try:
        return isinstance(error, Resolver404) or (isinstance(error, ValueError) and str(error).startswith(_UNROUTED))
    except Exception:  # the exception's own `__str__` may raise
        return False


def _router_in(application: Any, kind: str) -> Any:
    """Return the URLRouter inside *application* and its middleware, for scopes of type *kind*."""
    for layer in _layers(application, kind):
        if isinstance(layer, URLRouter):
            return layer
    return None


def _layers(application: Any, kind: str) -> Iterator[Any]:
    for _ in range(_MAX_LAYERS):
        if application is None:
            return
        yield application
        if isinstance(application, ProtocolTypeRouter):
            application = application.application_mapping.get(kind)
            continue
        inner = (getattr(application, name, None) for name in ("inner", "application", "app"))
        application = next((layer for layer in inner if layer is not None), None)
