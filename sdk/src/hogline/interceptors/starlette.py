"""Starlette: ASGI middleware that moves to places where `add_middleware` cannot put it.

    app.add_middleware(PostHogInterceptor, client=posthog, capture_exceptions=True)

`add_middleware` puts a middleware inside ServerErrorMiddleware, whose 500 handlers then run after
it; and an inner BaseHTTPMiddleware runs the app in another task, where an outer middleware cannot
see the exceptions that are answered. So with the first request the interceptor moves around the
whole stack (the public attribute `middleware_stack`). Where middleware may run the app in another
task, it leaves observers inside: in its old place, and around Starlette's own ExceptionMiddleware.
Source: docs/internals/frameworks.md#techniques and docs/internals/frameworks.md#starlette.
"""

from collections.abc import Iterator
from itertools import pairwise
from typing import Any, Unpack

from starlette.applications import Starlette
from starlette.middleware.exceptions import ExceptionMiddleware
from starlette.requests import HTTPConnection, Request
from starlette.routing import Mount

from hogline.interceptors import asgi
from hogline.interceptors.common.callbacks import Callbacks
from hogline.settings.typed import InterceptorOptions

__all__ = ["PostHogInterceptor", "StarletteExchange"]

_MAX_LAYERS = 200
_KEEP_TASK = frozenset(
    {
        ("fastapi._body_limit", "AppBodyLimitMiddleware"),
        ("fastapi.middleware.asyncexitstack", "AsyncExitStackMiddleware"),
        ("fastapi.telemetry._asgi", "ExceptionTelemetryMiddleware"),
        ("starlette.middleware.authentication", "AuthenticationMiddleware"),
        ("starlette.middleware.cors", "CORSMiddleware"),
        ("starlette.middleware.errors", "ServerErrorMiddleware"),
        ("starlette.middleware.exceptions", "ExceptionMiddleware"),
        ("starlette.middleware.gzip", "GZipMiddleware"),
        ("starlette.middleware.httpsredirect", "HTTPSRedirectMiddleware"),
        ("starlette.middleware.sessions", "SessionMiddleware"),
        ("starlette.middleware.trustedhost", "TrustedHostMiddleware"),
    }
)
# Of these, the layers that raise again each exception that they answer.
_RAISE_AGAIN = frozenset(
    {
        ("fastapi._body_limit", "AppBodyLimitMiddleware"),
        ("fastapi.telemetry._asgi", "ExceptionTelemetryMiddleware"),
        ("starlette.middleware.errors", "ServerErrorMiddleware"),
    }
)
_MAX_ROUTES = 10_000


class StarletteExchange(asgi.AsgiExchange):
    """An ASGI exchange that knows Starlette's request and routes."""

    def request(self) -> Any:
        """Return a `Request`, or an `HTTPConnection` for a WebSocket; its body cannot be read."""
        return Request(self.scope) if self.scope["type"] == "http" else HTTPConnection(self.scope)

    def find_route(self) -> str | None:
        """Return the matched route's template after its mounts.

        Returns None for 404s and mounted apps without routes.
        """
        get = (self._inner_scope or self.scope).get
        route = get("route")
        if route is None or isinstance(route, Mount):
            return (_searched(self.inner_scope) if route is None else None) or super().find_route()
        template = own_template(get("fastapi"), route)
        return self._prefix(self.inner_scope, template) if get("root_path") else template

    def _prefix(self, scope: asgi.Scope, template: str | None) -> str | None:
        """Put the mounts' prefix in front.

        Only its concrete text is known, so parameters in it become names again.
        """
        if not template:
            return None
        concrete = self.mounted_at(scope.get("root_path"))
        if not concrete:
            return template
        names = {
            str(value): name for name, value in scope.get("path_params", {}).items() if f"{{{name}" not in template
        }
        parts = [f"{{{names[part]}}}" if part in names else part for part in concrete.split("/")]
        return "/".join(parts) + template


def _searched(scope: asgi.Scope) -> str | None:
    """Return the route template of the running endpoint (Starlette before 1.7).

    Returns None if several routes have the endpoint.
    """
    endpoint, routes = scope.get("endpoint"), getattr(scope.get("router"), "routes", None)
    if endpoint is None or not isinstance(routes, list):
        return None
    found: set[str] = set()
    waiting, seen = [("", routes)], 0
    while waiting and seen < _MAX_ROUTES:
        prefix, routes = waiting.pop()
        seen += len(routes)
        # Only attributes are compared: routes may be of other frameworks' classes.
        for route in routes:
            path, inner = getattr(route, "path", ""), getattr(route, "routes", None)
            if getattr(route, "endpoint", None) is endpoint:
                found.add(prefix + path)
            elif isinstance(inner, list) and inner:
                waiting.append((prefix + path, inner))
    return found.pop() if len(found) == 1 else None


def own_template(fastapi: Any, route: Any) -> str | None:
    """Return *route*'s template.

    Since 0.137, FastAPI keeps the template with all `include_router` prefixes in the part of the
    scope that *fastapi* is.
    """
    template = None
    if type(fastapi) is dict and (context := fastapi.get("effective_route_context")) is not None:
        template = getattr(context, "path", None)
    if not template:
        template = getattr(route, "path", None)
    return template if isinstance(template, str) else None


class PostHogInterceptor(asgi.PostHogInterceptor):
    """Middleware for Starlette apps. Keyword options are `InterceptorSettings`'."""

    exchange_class: asgi.MakeExchange = StarletteExchange
    source = "starlette"

    def __init__(self, app: Any = None, /, **options: Unpack[InterceptorOptions]) -> None:
        super().__init__(app, **options)
        self._is_placed = self._stays = False
        if self._policy.exceptions is not None:
            self._observe_innermost()

    async def __call__(self, scope: asgi.Scope, receive: asgi.Receive, send: asgi.Send) -> None:
        """Run the app with the request's context around it, outermost if possible."""
        if not self._is_placed and asgi.EXCHANGE_KEY not in scope:
            application = scope.get("app")
            if isinstance(application, Starlette) and application.middleware_stack is not None:
                self._is_placed = True
                self._move_out(application, scope)
        await super().__call__(scope, receive, send)

    def _move_out(self, application: Starlette, scope: asgi.Scope) -> None:
        """Put a copy of this interceptor around the application's whole stack.

        In a Mount or a Route it stays, since its options hold for that part only. There the scope
        has a router already. A mounted application finds its parent's router in the scope too, so
        its own stack is searched for this interceptor.
        """
        stack: Any = application.middleware_stack
        layers = list(_layers(stack))
        if stack is self or ("router" in scope and self not in layers):
            self._stays = True
        elif not isinstance(stack, _Outermost):
            application.middleware_stack = _Outermost(stack, self)
            self._leave(layers)

    def _leave(self, layers: list[Any]) -> None:
        """Remove this interceptor from the stack's *layers*.

        Full observers stay only where they are needed. The outermost layer sees every exception
        that is answered in its own task. It does not see those in layers inside middleware that
        runs the app in another task.
        """
        is_hidden, hidden = False, []
        for layer in layers[:-1]:
            is_hidden = is_hidden or not (layer is self or _keeps_task(layer))
            hidden.append(is_hidden)
        for layer, inner, behind in reversed(list(zip(layers, layers[1:], hidden, strict=False))):
            if inner is self:
                outside = layers[: layers.index(self)]
                layer.app = self.app if all(map(_raises_again, outside)) else self._left_behind(is_hidden=behind)
            elif isinstance(inner, asgi.Observer) and inner.policy is self._policy and not behind:
                layer.app = inner.app

    def _left_behind(self, *, is_hidden: bool) -> Any:
        if self._policy.exceptions is None:
            return self.app
        return (asgi.Observer if is_hidden else asgi.EscapeObserver)(self.app, self._policy)

    def _handled_outside(self, scope: asgi.Scope) -> bool:
        # In the one request that moved the interceptor, the 500 handler runs after this call, and
        # needs the context. The next request inherits nothing in any case (rule `fresh-context`).
        return not self._stays and isinstance(scope.get("app"), Starlette)

    def _observe_innermost(self) -> None:
        """Put an observer around ExceptionMiddleware.

        It is inside any middleware that runs the app in another task.
        """
        for layer, inner in pairwise(_layers(self)):
            if isinstance(inner, ExceptionMiddleware):
                if layer is not self:
                    layer.app = asgi.Observer(inner, self._policy)
                return


def _raises_again(layer: Any) -> bool:
    """Return whether all exceptions that reach *layer* go on outwards, and run no code of the app.

    A 500 handler may capture, and its events come after that of the exception.
    """
    kind = type(layer)
    return (kind.__module__, kind.__qualname__) in _RAISE_AGAIN and getattr(layer, "handler", None) is None


def _keeps_task(layer: Any) -> bool:
    """Return whether *layer* is known to run the app, and to send, in its own task."""
    kind = type(layer)
    return isinstance(layer, asgi.PostHogInterceptor | asgi.Observer | asgi.EscapeObserver) or (
        (kind.__module__, kind.__qualname__) in _KEEP_TASK
    )


class _Outermost(asgi.PostHogInterceptor):
    """The copy of an interceptor around its application's whole stack."""

    def __init__(self, app: Any, interceptor: PostHogInterceptor) -> None:
        self.app = app
        self._policy = interceptor.policy
        self._callbacks = Callbacks(interceptor.policy)
        self.exchange_class: asgi.MakeExchange = interceptor.exchange_class


def _layers(stack: Any) -> Iterator[Any]:
    """Yield *stack* and the layers inside it."""
    for _ in range(_MAX_LAYERS):
        yield stack
        inner = getattr(stack, "app", None)
        if inner is None or inner is stack:
            return
        stack = inner
