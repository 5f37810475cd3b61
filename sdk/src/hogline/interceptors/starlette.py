"""Starlette: ASGI middleware that moves to places where `add_middleware` cannot put it.

    app.add_middleware(PostHogInterceptor, client=posthog, capture_exceptions=True)

`add_middleware` puts a middleware inside ServerErrorMiddleware, whose 500 handlers then run after it; and an inner
BaseHTTPMiddleware runs the app in another task, where an outer middleware cannot see the exceptions that are
answered. So with the first request the interceptor moves around the whole stack (the public attribute
`middleware_stack`), and puts an observer around Starlette's own ExceptionMiddleware.
Source: docs/internals/frameworks.md#techniques and docs/internals/frameworks.md#starlette.
"""

from typing import Any, Unpack

from starlette.applications import Starlette
from starlette.middleware.exceptions import ExceptionMiddleware
from starlette.requests import HTTPConnection, Request
from starlette.routing import Mount

from hogline.interceptors import asgi
from hogline.settings.typed import InterceptorOptions

__all__ = ["PostHogInterceptor", "StarletteExchange"]

_MAX_LAYERS = 200
_MAX_ROUTES = 10_000


class StarletteExchange(asgi.AsgiExchange):
    """An ASGI exchange that knows Starlette's request and routes."""

    def request(self) -> Any:
        """Return a `Request`, or an `HTTPConnection` for a WebSocket; its body cannot be read."""
        return Request(self.scope) if self.scope["type"] == "http" else HTTPConnection(self.scope)

    def find_route(self) -> str | None:
        """Return the matched route's template after its mounts; None for 404s and mounted apps without routes."""
        scope = self.inner_scope
        route = scope.get("route")
        if route is None or isinstance(route, Mount):
            return (_searched(scope) if route is None else None) or super().find_route()
        return self._prefix(scope, own_template(scope, route))

    def _prefix(self, scope: asgi.Scope, template: str | None) -> str | None:
        """Put the mounts' prefix in front. Only its concrete text is known, so parameters in it become names again."""
        if not template:
            return None
        concrete = (scope.get("root_path") or "").removeprefix(self._root_path or "")
        if not concrete:
            return template
        names = {
            str(value): name for name, value in scope.get("path_params", {}).items() if f"{{{name}" not in template
        }
        parts = [f"{{{names[part]}}}" if part in names else part for part in concrete.split("/")]
        return "/".join(parts) + template


def _searched(scope: asgi.Scope) -> str | None:
    """Return the template of the route of the running endpoint (Starlette before 1.7); None if several have it."""
    endpoint, routes = scope.get("endpoint"), getattr(scope.get("router"), "routes", None)
    if endpoint is None or not isinstance(routes, list):
        return None
    found: set[str] = set()
    waiting, seen = [("", routes)], 0
    while waiting and seen < _MAX_ROUTES:
        prefix, routes = waiting.pop()
        seen += len(routes)
        for route in routes:  # only attributes are compared: routes may be of other frameworks' classes
            path, inner = getattr(route, "path", ""), getattr(route, "routes", None)
            if getattr(route, "endpoint", None) is endpoint:
                found.add(prefix + path)
            elif isinstance(inner, list) and inner:
                waiting.append((prefix + path, inner))
    return found.pop() if len(found) == 1 else None


def own_template(scope: asgi.Scope, route: Any) -> str | None:
    """Return *route*'s template; FastAPI keeps it with all `include_router` prefixes beside it (since 0.137)."""
    beside = scope.get("fastapi")
    context = beside.get("effective_route_context") if isinstance(beside, dict) else None
    template = getattr(context, "path", None) or getattr(route, "path", None)
    return template if isinstance(template, str) else None


class PostHogInterceptor(asgi.PostHogInterceptor):
    """Middleware for Starlette apps. Keyword options are `InterceptorSettings`'."""

    exchange_class: asgi.MakeExchange = StarletteExchange
    source = "starlette"

    def __init__(self, app: Any = None, /, **options: Unpack[InterceptorOptions]) -> None:
        super().__init__(app, **options)
        self.is_outermost = self._stays = False
        if self._policy.exceptions is not None:
            self._observe_innermost()

    async def __call__(self, scope: asgi.Scope, receive: asgi.Receive, send: asgi.Send) -> None:
        """Run the app with the request's context around it, outermost if possible."""
        if not (self.is_outermost or self._stays) and asgi.EXCHANGE_KEY not in scope:
            self._move_out(scope.get("app"), scope)
        await super().__call__(scope, receive, send)

    def _move_out(self, application: Any, scope: asgi.Scope) -> None:
        """Put a copy of this interceptor around the application's whole stack, once; this one then only observes.

        In a Mount or a Route it stays, since its options hold for that part only. There the scope has a
        router already. A mounted application finds its parent's router in the scope too, so its own stack
        is searched for this interceptor.
        """
        if not isinstance(application, Starlette) or application.middleware_stack is None:
            return
        if "router" in scope and not self._is_in(application.middleware_stack):
            self._stays = True
            return
        if isinstance(application.middleware_stack, PostHogInterceptor):
            return
        outer = self.around(application.middleware_stack)
        outer.is_outermost = True
        application.middleware_stack = outer

    def _handled_outside(self, scope: asgi.Scope) -> bool:
        # In the one request that moved the interceptor, the 500 handler runs after this call, and needs the context.
        # The next request inherits nothing in any case (rule `fresh-context`).
        return not (self.is_outermost or self._stays) and isinstance(scope.get("app"), Starlette)

    def _is_in(self, stack: Any) -> bool:
        """Return whether this interceptor is one of the layers of *stack*."""
        for _ in range(_MAX_LAYERS):
            if stack is None or stack is self:
                break
            stack = getattr(stack, "app", None)
        return stack is self

    def _observe_innermost(self) -> None:
        """Put an observer around ExceptionMiddleware, inside any middleware that runs the app in another task."""
        layer: Any = self
        for _ in range(_MAX_LAYERS):
            inner = getattr(layer, "app", None)
            if isinstance(inner, ExceptionMiddleware):
                if layer is not self:
                    layer.app = asgi.Observer(inner, self._policy)
                return
            if inner is None or inner is layer:
                return
            layer = inner
