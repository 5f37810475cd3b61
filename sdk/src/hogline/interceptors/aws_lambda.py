"""AWS Lambda: a decorator for the handler.

It handles HTTP requests (API Gateway, function URLs, load balancers) and other events.

    @PostHogInterceptor(client=posthog, capture_exceptions=True)
    def handler(event, context): ...

Sources: AWS's pages on the proxy integration's formats 1.0 and 2.0, and on Lambda behind an
Application Load Balancer.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

from hogline.exchange import Exchange, RequestLine
from hogline.exchange.policy import FLUSH_S, Policy
from hogline.interceptors.common import serverless

__all__ = ["LambdaInvocation", "PostHogInterceptor"]

_MARGIN_S = 0.5  # left for the runtime to deliver the answer


class LambdaInvocation(serverless.Invocation):
    """An invocation whose event may be an HTTP request in one of three formats."""

    def __init__(self, policy: Policy, event: Any, context: Any = None) -> None:
        super().__init__(policy, event, context)
        self._read_headers: dict[str, list[str]] | None = None

    @property
    def is_http(self) -> bool:
        """Whether an HTTP request caused the invocation."""
        return self._newer is not None or (isinstance(self.event, Mapping) and "httpMethod" in self.event)

    @property
    def _newer(self) -> Mapping[str, Any] | None:
        """The request's part of an event in format 2.0; None for the other formats."""
        http = _mapping(_mapping(self.event).get("requestContext")).get("http")
        return http if isinstance(http, Mapping) else None

    def read(self) -> RequestLine:
        """Return the request line.

        The peer is the address that AWS saw; behind a load balancer it is unknown.
        """
        event, outer = _mapping(self.event), _mapping(_mapping(self.event).get("requestContext"))
        newer = self._newer
        if newer is not None:
            method, path, query = newer.get("method"), event.get("rawPath"), event.get("rawQueryString")
            peer = newer.get("sourceIp")
        else:
            method, path, query = event.get("httpMethod"), outer.get("path") or event.get("path"), _query(event, outer)
            peer = _mapping(outer.get("identity")).get("sourceIp")
        scheme = self.headers("x-forwarded-proto")
        return method, scheme[0] if scheme else "https", path or "/", query or "", peer

    def host(self) -> str | None:
        """Return the Host header, else the domain name that API Gateway passes."""
        return super().host() or _mapping(_mapping(self.event).get("requestContext")).get("domainName")

    def headers(self, name: str) -> Sequence[str]:
        """Return the values of header *name*.

        Format 2.0 lists cookies apart and joins duplicates with commas.
        """
        known = self._read_headers
        if known is None:
            known = self._read_headers = {}
            event = _mapping(self.event)
            several = event.get("multiValueHeaders")
            for key, value in _mapping(several or event.get("headers")).items():
                known.setdefault(str(key).lower(), []).extend(value if isinstance(value, list) else [str(value)])
            if isinstance(event.get("cookies"), list):
                known["cookie"] = event["cookies"]
        return known.get(name, ())

    def find_route(self) -> str | None:
        """Return API Gateway's template, for example `/items/{id}`.

        Returns None for `$default`, function URLs and load balancers.
        """
        event = _mapping(self.event)
        if self._newer is not None:
            template = str(event.get("routeKey") or "").partition(" ")[2]
        else:
            template = event.get("resource") or ""
        return template or super().find_route()

    def answered(self, result: Any) -> int | None:
        """Return the status in the handler's result."""
        if not self.is_http:
            return None
        status = result.get("statusCode") if isinstance(result, Mapping) else None
        return int(status) if status is not None else 200

    def failed(self, error: BaseException) -> int:  # noqa: ARG002 - every error gets the same answer
        """Return the status for a handler that raised: 502, from HTTP APIs 500."""
        outer = _mapping(_mapping(self.event).get("requestContext"))
        if self._newer is not None:
            return 502 if ".lambda-url." in str(outer.get("domainName")) else 500
        return 502 if self.is_http else 500

    def rest_s(self) -> float:
        """Return how many seconds the invocation has left, minus a margin for the runtime."""
        left_ms = getattr(self.context, "get_remaining_time_in_millis", None)
        return left_ms() / 1000 - _MARGIN_S if left_ms is not None else FLUSH_S


class PostHogInterceptor(serverless.Functions):
    """A decorator for Lambda handlers.

    Keyword options are `InterceptorSettings`'; callbacks get the event.
    """

    source = "aws_lambda"
    invocation_class: Callable[..., Exchange] = LambdaInvocation


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _query(event: Mapping[str, Any], outer: Mapping[str, Any]) -> str:
    several = event.get("multiValueQueryStringParameters") or event.get("queryStringParameters") or {}
    pairs = [(key, item) for key, value in several.items() for item in (value if isinstance(value, list) else [value])]
    if "elb" in outer:  # a load balancer passes them on still encoded
        return "&".join(f"{key}={value}" for key, value in pairs)
    return urlencode(pairs)
