"""Connexion 3, both flavours: ASGI middleware, outside its exception handling.

    app.add_middleware(PostHogInterceptor, MiddlewarePosition.BEFORE_EXCEPTION, client=posthog, capture_exceptions=True)

There it is outside of everything but the last resort for middleware's own errors. Connexion answers every exception from inside
the `except` that caught it, in the same task, so what passes with the response's start is what was raised. Its own handler
for `Exception` is a last resort; one that the app registered for it is not.
Source: docs/internals/frameworks.md#connexion.
"""

import logging
from functools import partial
from typing import Any, Unpack

import connexion.context
from connexion.lifecycle import ConnexionRequest
from connexion.middleware.exceptions import ExceptionMiddleware

from hogline.exception_kinds import http_status, is_within
from hogline.exchange.policy import Policy
from hogline.interceptors import asgi
from hogline.settings.typed import InterceptorOptions

__all__ = ["ConnexionExchange", "PostHogInterceptor"]

_log = logging.getLogger("hogline")
_ROUTING = "connexion_routing"


class ConnexionExchange(asgi.AsgiExchange):
    """An ASGI exchange that knows Connexion's request, operations and handlers."""

    def __init__(self, handling: Any, policy: Policy, scope: asgi.Scope) -> None:
        super().__init__(policy, scope)
        self._handling = handling
        self._told: list[BaseException] = []

    def request(self) -> Any:
        """Return a `ConnexionRequest` whose body cannot be read."""
        return ConnexionRequest(self.scope)

    def find_route(self) -> str | None:
        """Return the operation's path as the specification has it, with the API's base path; None where none matched."""
        try:
            scope = connexion.context.scope
            if scope.get(asgi.EXCHANGE_KEY) is not self:
                return super().find_route()
            base = scope["extensions"][_ROUTING].get("api_base_path") or ""
            path = connexion.context.operation.path
        except (RuntimeError, LookupError, AttributeError):  # outside any operation
            return super().find_route()
        return f"{base.rstrip('/')}{path}"

    def observe(
        self, error: BaseException, *, handled: bool, status: int | None = None, policy: Policy | None = None
    ) -> None:
        """Note an exception; what only Connexion's own handler for `Exception` answers was not handled."""
        # Starlette forgets the traceback of what it has answered; an exception that refuses even that is no second mistake.
        if self.status is not None and any(is_within(told, error) and told is not error for told in self._told):
            return
        self._told.append(error)
        if handled and self._is_last_resort(error):
            handled = False
        super().observe(error, handled=handled, status=status, policy=policy)

    def _is_last_resort(self, error: BaseException) -> bool:
        # Starlette's table, private as it is, is the one place that knows which handler answers a class.
        handlers = getattr(self._handling, "_exception_handlers", {})
        handler = next((handlers[kind] for kind in type(error).__mro__ if kind in handlers), None)
        own = getattr(handler, "__wrapped__", handler)
        return http_status(error) is None and (own is None or own is ExceptionMiddleware.common_error_handler)


class PostHogInterceptor(asgi.PostHogInterceptor):
    """Middleware for Connexion apps. Keyword options are `InterceptorSettings`'."""

    source = "connexion"

    def __init__(self, app: Any, /, **options: Unpack[InterceptorOptions]) -> None:
        super().__init__(app, **options)
        handling: Any = app
        while isinstance(handling, asgi.PostHogInterceptor):  # twice on the stack
            handling = handling.app
        if not isinstance(handling, ExceptionMiddleware):
            _log.warning(
                "hogline: the interceptor is not at MiddlewarePosition.BEFORE_EXCEPTION, so what Connexion answers is not seen"
            )
        self.exchange_class: asgi.MakeExchange = partial(ConnexionExchange, handling)
