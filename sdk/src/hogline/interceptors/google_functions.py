"""Google Cloud Functions: a decorator under the Functions Framework's own.

It accepts HTTP functions and event functions.

    @functions_framework.http
    @PostHogInterceptor(client=posthog, capture_exceptions=True)
    def handler(request): ...

An HTTP function gets a `flask.Request`, or Starlette's under `functions_framework.aio`. Each
framework answers its own HTTP exceptions that leave the function, and 500 for any other. A typed
function gets an object that was made from the body of Flask's request.
"""

import sys
from collections.abc import Callable, Sequence
from typing import Any

from hogline.exception_kinds import http_status
from hogline.exchange import Exchange, RequestLine
from hogline.exchange.policy import Policy
from hogline.interceptors import asgi, wsgi
from hogline.interceptors.common import serverless
from hogline.interceptors.common.nesting import exchange_in

__all__ = ["FunctionInvocation", "PostHogInterceptor"]

_HTTP_EXCEPTIONS = {"environ": "werkzeug.exceptions", "scope": "starlette.exceptions", "typed": None}


class FunctionInvocation(serverless.Invocation):
    """An invocation of a Google function.

    Its event is a Flask or Starlette request, a typed object, a CloudEvent, or data with a context.
    """

    _http: Exchange | None = None

    def __init__(self, policy: Policy, event: Any, context: Any = None) -> None:
        super().__init__(policy, event, context)
        kind, request = _request_of(event, context)
        self._kind = kind
        self._request = request
        if kind == "scope":
            self._http = asgi.AsgiExchange(policy, request.scope)
        elif kind is not None:
            self._http = wsgi.WsgiExchange(policy, request.environ)

    @property
    def is_http(self) -> bool:
        """Whether an HTTP request caused the invocation."""
        return self._http is not None

    def read(self) -> RequestLine:
        """Return the request line, as the WSGI or ASGI exchange reads it."""
        if self._http is None:
            return None, "https", "/", "", None
        return self._http.read()

    def server(self) -> str | None:
        """Return the server's own address."""
        return self._http.server() if self._http is not None else None

    def headers(self, name: str) -> Sequence[str]:
        """Return the values of header *name*."""
        return self._http.headers(name) if self._http is not None else ()

    def request(self) -> Any:
        """Return the request, or the event where there is none."""
        return self._request if self._request is not None else self.event

    def answered(self, result: Any) -> int | None:
        """Return the status of *result*: any kind of result that Flask or Starlette accepts."""
        if not self.is_http:
            return None
        if result is None:  # only typed functions may return nothing
            return 200 if self._kind == "typed" else 500
        if isinstance(result, tuple):
            for part in result[1:]:
                if isinstance(part, int | str):
                    return int(str(int(part)) if isinstance(part, int) else part.split()[0])
            result = result[0]
        return int(getattr(result, "status_code", 200))

    def failed(self, error: BaseException) -> int:
        """Return the status that the framework answers with."""
        return (http_status(error) if self.answers(error) else None) or 500

    def answers(self, error: BaseException) -> bool:
        """Return whether *error* is an HTTP exception of the function's own framework."""
        module = _HTTP_EXCEPTIONS.get(self._kind or "typed")
        return module is not None and any(
            (kind.__module__, kind.__qualname__) == (module, "HTTPException") for kind in type(error).__mro__
        )


class PostHogInterceptor(serverless.Functions):
    """A decorator for Google's functions.

    Keyword options are `InterceptorSettings`'; callbacks get the request or event.
    """

    source = "google_functions"
    invocation_class: Callable[..., Exchange] = FunctionInvocation

    def find_outer(self, event: Any) -> Exchange | None:
        """Return the exchange of an outer interceptor.

        It is another one of ours, or the one that the request holds.
        """
        kind, request = _request_of(event, None)
        around = None if kind is None else getattr(request, "scope" if kind == "scope" else "environ")
        outer = exchange_in(around) if around is not None else None
        return outer if outer is not None else super().find_outer(event)


def _request_of(event: Any, context: Any) -> tuple[str | None, Any]:
    """Return how *event* belongs to an HTTP request, and that request.

    Returns (None, None) for an event that belongs to no request.
    """
    if isinstance(getattr(event, "environ", None), dict):
        return "environ", event
    if isinstance(getattr(event, "scope", None), dict):
        return "scope", event
    if context is None and event is not None and not type(event).__module__.startswith("cloudevents."):
        flask = sys.modules.get("flask")
        if flask is not None and flask.has_request_context():
            return "typed", flask.request._get_current_object()  # noqa: SLF001 - documented by Werkzeug
    return None, None
