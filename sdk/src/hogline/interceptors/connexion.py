"""Connexion 3 (`AsyncApp` and `FlaskApp`): ASGI middleware, outside its exception handling.

    position = MiddlewarePosition.BEFORE_EXCEPTION
    app.add_middleware(PostHogInterceptor, position, client=posthog, capture_exceptions=True)

In this position only Connexion's last resort for errors of middleware is further out. Connexion
answers every exception inside the `except` that caught it, in the same task, so the exception is
current when the response starts. Its own handler for `Exception` is a last resort; a handler that
the app registered for it is not.
Source: docs/internals/frameworks.md#connexion.
"""

import logging
from functools import partial
from typing import Any, Unpack

import connexion.context
from connexion.lifecycle import ConnexionRequest
from connexion.middleware.exceptions import ExceptionMiddleware

from hogline.exception_kinds import http_status, is_within
from hogline.exchange import Policy
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
        self._observed: list[BaseException] = []

    def request(self) -> Any:
        """Return a `ConnexionRequest` whose body cannot be read."""
        return ConnexionRequest(self.scope)

    def find_route(self) -> str | None:
        """Return the path in the specification of the matched operation, if any.

        The API's base path comes before it.
        """
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
        """Record an exception.

        If only Connexion's own handler for `Exception` answers it, it was not handled.
        """
        # Starlette clears the traceback of an answered exception. An exception that refuses this
        # raises another, which is no second mistake.
        if self.status is not None and any(is_within(known, error) and known is not error for known in self._observed):
            return
        self._observed.append(error)
        if handled and self._is_last_resort(error):
            handled = False
        super().observe(error, handled=handled, status=status, policy=policy)

    def _is_last_resort(self, error: BaseException) -> bool:
        # Only this private table of Starlette's knows which handler answers a class.
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
        while isinstance(handling, asgi.PostHogInterceptor):  # the interceptor was added twice
            handling = handling.app
        if not isinstance(handling, ExceptionMiddleware):
            _log.warning(
                "hogline: the interceptor is not at MiddlewarePosition.BEFORE_EXCEPTION, so it does not see "
                "exceptions that Connexion answers"
            )
        self.exchange_class: asgi.MakeExchange = partial(ConnexionExchange, handling)
