"""Starlette: ASGI middleware that also stands where `add_middleware` alone cannot put it.

    app.add_middleware(PostHogInterceptor, client=posthog, capture_exceptions=True)

`add_middleware` puts us inside ServerErrorMiddleware, whose 500 handlers then run after us; and a BaseHTTPMiddleware inside
of us runs the app in another task, where the exceptions it answers cannot be seen. So the interceptor moves its context
around the whole stack (the public attribute `middleware_stack`) as soon as it knows the application, at the latest with
the first request, and puts an observer in front of Starlette's own ExceptionMiddleware.
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
        """Return the template of the matched route with its mounts' prefix; None for 404s and mounted apps without routes."""
        scope = self.inner_scope
        route = scope.get("route")
        if route is None or isinstance(route, Mount):
            return (_searched(scope) if route is None else None) or super().find_route()
        return self._prefix(scope, own_template(scope, route))

    def _prefix(self, scope: asgi.Scope, template: str | None) -> str | None:
        """Put the mounts' prefix in front. Only its concrete text is known: parameters in it become their names again."""
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
    """Return the template of the route whose endpoint runs, where Starlette does not say which (before 1.7); None if several may."""
    endpoint, routes = scope.get("endpoint"), getattr(scope.get("router"), "routes", None)
    if endpoint is None or not isinstance(routes, list):
        return None
    found: set[str] = set()
    waiting, seen = [("", routes)], 0
    while waiting and seen < _MAX_ROUTES:
        prefix, routes = waiting.pop()
        seen += len(routes)
        for route in routes:  # compared, never asked: routes of other frameworks' making may not take questions
            path, inner = getattr(route, "path", ""), getattr(route, "routes", None)
            if getattr(route, "endpoint", None) is endpoint:
                found.add(prefix + path)
            elif isinstance(inner, list) and inner:
                waiting.append((prefix + path, inner))
    return found.pop() if len(found) == 1 else None


def own_template(scope: asgi.Scope, route: Any) -> str | None:
    """Return *route*'s template; FastAPI keeps the one with every `include_router` prefix beside it (since 0.137)."""
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
        self._outermost = self._stays = False
        if self._policy.exceptions is not None:
            self._observe_innermost()

    async def __call__(self, scope: asgi.Scope, receive: asgi.Receive, send: asgi.Send) -> None:
        """Run the app with the request's context around it, outermost if we can."""
        if not (self._outermost or self._stays) and asgi.EXCHANGE_KEY not in scope:
            self._move_out(scope.get("app"), scope)
        await super().__call__(scope, receive, send)

    def _move_out(self, application: Any, scope: asgi.Scope) -> None:
        """Put a copy of ourselves around the application's whole stack, once; inside of it we only observe from then on.

        In a Mount or a Route we stay: what we were told holds for that part only. There the application's router has been
        passed. But a mounted application finds its parent's router in the scope too, so its own stack is looked through.
        """
        if not isinstance(application, Starlette) or application.middleware_stack is None:
            return
        if "router" in scope and not self._is_in(application.middleware_stack):
            self._stays = True
            return
        if isinstance(application.middleware_stack, PostHogInterceptor):
            return
        outer = self.around(application.middleware_stack)
        outer._outermost = True  # noqa: SLF001 - a copy of ourselves
        application.middleware_stack = outer

    def _handled_outside(self, scope: asgi.Scope) -> bool:
        # The one request that moved us out: its 500 handler runs after us, and finds the person only if we leave it there.
        # The next request begins from nothing whatever it finds (rule `fresh-context`).
        return not (self._outermost or self._stays) and isinstance(scope.get("app"), Starlette)

    def _is_in(self, stack: Any) -> bool:
        """Tell whether we are one of the layers of *stack*."""
        for _ in range(_MAX_LAYERS):
            if stack is None or stack is self:
                break
            stack = getattr(stack, "app", None)
        return stack is self

    def _observe_innermost(self) -> None:
        """Put an observer around ExceptionMiddleware, inside every middleware that runs the app in another task."""
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
