"""Azure Functions: a decorator under the function app's own.

It accepts HTTP and other triggers, `def` and `async def`.

    @app.route("items/{item_id}")
    @PostHogInterceptor(client=posthog, capture_exceptions=True)
    def main(req: func.HttpRequest) -> func.HttpResponse: ...

The request has an absolute URL, as Azure's front end saw it, and no route template. Azure passes
arguments by the names of the function's bindings, so the request is recognised by its type; with
Azure's extension for streams it is Starlette's.
"""

from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import unquote, urlsplit

from hogline.exchange import Exchange, RequestLine
from hogline.interceptors.common import serverless

__all__ = ["FunctionInvocation", "PostHogInterceptor"]

_CONTEXT = "context"  # the only argument that Azure names


class FunctionInvocation(serverless.Invocation):
    """An invocation whose event is an `azure.functions.HttpRequest`, a timer, a message."""

    @property
    def is_http(self) -> bool:
        """Whether an HTTP request caused the invocation."""
        return _is_request(self.event)

    def read(self) -> RequestLine:
        """Return the request line; the client's address is only in `X-Forwarded-For`."""
        url = urlsplit(str(self.event.url))
        return self.event.method, url.scheme, unquote(url.path) or "/", url.query, None

    def host(self) -> str | None:
        """Return the host in the request's URL."""
        host: str = urlsplit(str(self.event.url)).netloc
        return host

    def headers(self, name: str) -> Sequence[str]:
        """Return the value of header *name*; Azure joins duplicates."""
        value = self.event.headers.get(name) if self.is_http else None
        return (value,) if value else ()

    def answered(self, result: Any) -> int | None:
        """Return the status of an `HttpResponse`."""
        return int(getattr(result, "status_code", 200)) if self.is_http else None


class PostHogInterceptor(serverless.Functions):
    """A decorator for Azure's functions.

    Keyword options are `InterceptorSettings`'; callbacks get the request or event.
    """

    source = "azure_functions"
    invocation_class: Callable[..., Exchange] = FunctionInvocation

    def find_event(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, Any]:
        """Return the request and Azure's context, from the function's arguments.

        Without a request, the first argument takes its place. The context may be absent.
        """
        given = [*args, *(value for name, value in kwargs.items() if name != _CONTEXT)]
        event = next(filter(_is_request, given), given[0] if given else None)
        return event, kwargs.get(_CONTEXT)


def _is_request(value: Any) -> bool:
    return hasattr(value, "method") and hasattr(value, "url") and hasattr(value, "headers")
