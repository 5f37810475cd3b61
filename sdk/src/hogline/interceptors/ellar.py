"""Ellar: a global interceptor in Ellar's own sense, with a layer around the whole app.

    app.use_global_interceptors(PostHogInterceptor(client=posthog, capture_exceptions=True))

Ellar's interceptors run inside guards and middleware, and a route's `@UseInterceptors` replaces the
global ones. So this one only observes exceptions of handlers and inner interceptors. A layer around
the app's middleware owns the request's context, and sees the exceptions that are answered
elsewhere.
Source: docs/internals/frameworks.md#ellar-and-nestipy.
"""

import functools
from collections.abc import Callable
from typing import Any, Unpack

from ellar.app import App
from ellar.common import EllarInterceptor, IExecutionContext
from ellar.common.constants import CONTROLLER_OPERATION_HANDLER_KEY
from ellar.core import Request
from ellar.core.connection import HTTPConnection
from ellar.di import injectable
from ellar.reflect import reflect

from hogline.interceptors import asgi, starlette
from hogline.settings.typed import InterceptorOptions

__all__ = ["EllarExchange", "PostHogInterceptor"]


class EllarExchange(starlette.StarletteExchange):
    """An ASGI exchange that knows Ellar's request, routes and identities."""

    def request(self) -> Any:
        """Return Ellar's `Request`, or an `HTTPConnection` for a WebSocket.

        Its body cannot be read.
        """
        return Request(self.scope) if self.scope["type"] == "http" else HTTPConnection(self.scope)

    def find_route(self) -> str | None:
        """Return the template of the matched operation; None for a 404.

        It includes the prefix of its controller and of its mounts.
        """
        scope = self.inner_scope
        operation = reflect.get_metadata(CONTROLLER_OPERATION_HANDLER_KEY, scope.get("endpoint"))
        return self._prefix(scope, getattr(operation, "path_format", None))

    def find_user(self) -> Any:
        """Return the id of the identity that a guard or an authentication scheme found."""
        identity = self.inner_scope.get("user")
        return getattr(identity, "id", None) if getattr(identity, "is_authenticated", False) else None


class _Layer(asgi.PostHogInterceptor):
    """The part of the interceptor that stands around the app."""

    exchange_class: asgi.MakeExchange = EllarExchange
    source = "ellar"


@injectable
class PostHogInterceptor(EllarInterceptor):  # type: ignore[misc]
    """A global interceptor for Ellar apps, or `GLOBAL_INTERCEPTORS`.

    Keyword options are `InterceptorSettings`'.
    """

    def __init__(self, **options: Unpack[InterceptorOptions]) -> None:
        self.layer: _Layer = _Layer(_nowhere, **options)

    async def intercept(self, context: IExecutionContext, next_interceptor: Callable[..., Any]) -> Any:
        """Run the inner interceptors and the handler, and observe exceptions.

        The layer around the app knows how they are answered.
        """
        policy = self.layer.policy
        if policy.exceptions is None:
            return await next_interceptor()
        try:
            return await next_interceptor()
        except BaseException as error:
            exchange = context.get_args()[0].get(asgi.EXCHANGE_KEY)
            if exchange is not None:
                exchange.observe(error, handled=True, policy=policy)
            raise


async def _nowhere(scope: asgi.Scope, receive: asgi.Receive, send: asgi.Send) -> None:
    """Stand in for the app of an interceptor that has none yet."""


# A patch: the list of middleware is a setting, which is read before interceptors are registered on
# the app. This method is called once, with the app's first request or its lifespan, when every
# interceptor is known.
@functools.cache
def _hook_app() -> None:
    build = App.build_middleware_stack

    @functools.wraps(build)
    def build_middleware_stack(app: App) -> Any:
        stack = build(app)
        for interceptor in reversed(app.get_interceptors()):
            if isinstance(interceptor, type) and issubclass(interceptor, PostHogInterceptor):
                interceptor = app.injector.get(interceptor)  # noqa: PLW2901 - as Ellar does with classes
            if isinstance(interceptor, PostHogInterceptor):
                stack = interceptor.layer.around(stack)
        return stack

    App.build_middleware_stack = build_middleware_stack


_hook_app()
