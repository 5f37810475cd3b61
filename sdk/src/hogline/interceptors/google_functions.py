"""Google Cloud Functions: a decorator under the Functions Framework's own, for HTTP functions and for events.

    @functions_framework.http
    @PostHogInterceptor(client=posthog, capture_exceptions=True)
    def handler(request): ...

An HTTP function gets a `flask.Request`. Flask answers an HTTP exception that leaves it, and a 500 for any other.
"""

from collections.abc import Callable, Sequence
from typing import Any

from hogline.exchange import Exchange, RequestFacts
from hogline.interceptors import serverless, wsgi
from hogline.judgement import http_status
from hogline.policy import Policy

__all__ = ["FunctionInvocation", "PostHogInterceptor"]


class FunctionInvocation(serverless.Invocation):
    """An invocation whose event is a `flask.Request`, a CloudEvent, or data with a context."""

    def __init__(self, policy: Policy, event: Any, context: Any = None) -> None:
        super().__init__(policy, event, context)
        environ = getattr(event, "environ", None)
        self._http = wsgi.WsgiExchange(policy, environ) if isinstance(environ, dict) else None

    @property
    def is_http(self) -> bool:
        """Tell whether a request caused it."""
        return self._http is not None

    def read(self) -> RequestFacts:
        """Return the facts, as WSGI has them."""
        if self._http is None:
            return RequestFacts(None, "https", None, None, "/", "", None)
        return self._http.read()

    def headers(self, name: str) -> Sequence[str]:
        """Return the values of header *name*."""
        return self._http.headers(name) if self._http is not None else ()

    def answered(self, result: Any) -> int | None:
        """Return the status of what the function returned, in any of Flask's spellings."""
        if not self.is_http:
            return None
        if isinstance(result, tuple):
            result = next((part for part in result[1:] if isinstance(part, int)), result[0])
        return result if isinstance(result, int) else int(getattr(result, "status_code", 200))

    def failed(self, error: BaseException) -> int:
        """Return what Flask answers."""
        return http_status(error) or 500


class PostHogInterceptor(serverless.Functions):
    """A decorator for Google's functions. Keyword options are `InterceptorSettings`'; callbacks get the request or event."""

    source = "google_functions"
    invocation_class: Callable[..., Exchange] = FunctionInvocation

    def find_outer(self, event: Any) -> Exchange | None:
        """Return the exchange of an interceptor around us: also Flask's or WSGI's own, which the environ holds."""
        environ = getattr(event, "environ", None)
        outer: Exchange | None = environ.get(wsgi.EXCHANGE_KEY) if isinstance(environ, dict) else None
        return outer if outer is not None else super().find_outer(event)
