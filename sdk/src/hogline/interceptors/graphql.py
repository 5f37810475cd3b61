"""GraphQL on graphql-core (Graphene, Ariadne): middleware around resolvers.

Strawberry's interceptor builds on it, too.

    schema.execute(query, middleware=[PostHogInterceptor(client=posthog, capture_exceptions=True)])

GraphQL answers 200 with a list of errors, so no HTTP interceptor sees what a resolver raises. The
context is that of the HTTP request: the interceptor of the surrounding framework begins it.
Source: docs/internals/frameworks.md#graphql.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Unpack

from hogline.context import Scope, tag
from hogline.exception_kinds import http_status
from hogline.exchange import Exchange, Policy, RequestLine, current_exchange
from hogline.guard import guard
from hogline.interceptors.common.options import make_policy
from hogline.safe_attributes import own_attribute
from hogline.settings.typed import InterceptorOptions

__all__ = ["Operation", "PostHogInterceptor", "original_of"]

_MAX_WRAPPERS = 20
_GRAPHQL_ERROR = ("graphql.error.graphql_error", "GraphQLError")


class Operation:
    """Records the errors of operations, in the request around them or outside any."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy

    def note(self, error: BaseException, name: str | None, path: Sequence[Any] | None) -> None:
        """Record an exception that a resolver raised.

        GraphQL adds it to the `errors` of its answer.
        """
        if self._policy.exceptions is None:
            return
        with guard("exception capture", self._policy.lose_exception):
            error = original_of(error)
            exchange = current_exchange()
            with Scope():
                if name:
                    tag("graphql_operation", name)
                if path:
                    tag("graphql_path", ".".join(map(str, path)))
                exchange = exchange or _WithoutRequest(self._policy)
                # Only GraphQL's last resort answers an exception; code raises its own errors on
                # purpose.
                exchange.observe(error, handled=http_status(error) is not None, policy=self._policy)
                _judge(exchange, error)


def _judge(exchange: Exchange, error: BaseException) -> None:
    """Judge *error* at once if possible.

    GraphQL lets no exception propagate, and a WebSocket may stay open for days.
    """
    if exchange.status is not None or exchange.policy.exceptions is not None:
        exchange.judge(error)
        return
    # An outer interceptor that captures no exceptions does not observe the status; GraphQL's own is
    # known.
    exchange.status = 101 if _is_socket(exchange) else 200
    try:
        exchange.judge(error)
    finally:
        exchange.status = None


def _is_socket(exchange: Exchange) -> bool:
    scope = getattr(exchange, "scope", None)
    if scope is not None:
        return bool(scope["type"] == "websocket")
    headers = getattr(exchange.request(), "headers", None)
    return headers is not None and str(headers.get("upgrade")).lower() == "websocket"


class PostHogInterceptor:
    """Middleware for graphql-core's execution.

    Keyword options are `InterceptorSettings`'; those of the context are HTTP's.
    """

    source = "graphql"

    def __init__(self, **options: Unpack[InterceptorOptions]) -> None:
        self.policy: Policy = make_policy(self.source, options)
        self._operation = Operation(self.policy)

    def resolve(self, following: Callable[..., Any], root: Any, info: Any, **arguments: Any) -> Any:
        """Resolve one field; an asynchronous resolver stays asynchronous."""
        try:
            value = following(root, info, **arguments)
        except Exception as error:
            self._note(error, info)
            raise
        return self._awaited(value, info) if hasattr(value, "__await__") else value

    async def _awaited(self, value: Awaitable[Any], info: Any) -> Any:
        try:
            return await value
        except Exception as error:
            self._note(error, info)
            raise

    def _note(self, error: BaseException, info: Any) -> None:
        name = getattr(getattr(info.operation, "name", None), "value", None)
        path = info.path.as_list() if info.path is not None else None
        self._operation.note(error, name, path)


class _WithoutRequest(Exchange):
    """The exchange of an operation outside any request, such as in a script."""

    status = 200

    def read(self) -> RequestLine:
        """Return nothing: there is no request."""
        return None, "http", "/", "", None

    def headers(self, name: str) -> Sequence[str]:  # noqa: ARG002 - there are none
        """Return nothing."""
        return ()

    def request(self) -> Any:
        """Return nothing."""


def original_of(error: BaseException) -> BaseException:
    """Return the exception that a `GraphQLError` wraps, or *error* itself."""
    for _ in range(_MAX_WRAPPERS):
        cause = own_attribute(error, "original_error") if _is_graphql(error) else None
        if not isinstance(cause, BaseException):
            break
        error = cause
    return error


def _is_graphql(error: BaseException) -> bool:
    return any((kind.__module__, kind.__qualname__) == _GRAPHQL_ERROR for kind in type(error).__mro__)
