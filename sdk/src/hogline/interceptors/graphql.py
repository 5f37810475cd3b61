"""GraphQL on graphql-core (Graphene, Ariadne): middleware around resolvers; also what Strawberry's interceptor builds on.

    schema.execute(query, middleware=[PostHogInterceptor(client=posthog, capture_exceptions=True)])

GraphQL answers 200 with a list of errors, so no HTTP interceptor sees what a resolver raises; and the context is the HTTP
request's, for which the interceptor of the framework around it is there.
Source: docs/internals/frameworks.md#graphql.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Unpack

from hogline.context import Scope, tag
from hogline.exchange import Exchange, RequestLine, current_exchange
from hogline.exchange.policy import Policy
from hogline.interceptors.common.options import make_policy
from hogline.safe_attributes import own_attribute
from hogline.settings.typed import InterceptorOptions

__all__ = ["Operation", "PostHogInterceptor", "original_of"]

_MAX_WRAPPERS = 20
_GRAPHQL_ERROR = ("graphql.error.graphql_error", "GraphQLError")


class Operation:
    """What an operation's errors are told to: the request around it, or nobody's, where there is none."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy

    def note(self, error: BaseException, name: str | None, path: Sequence[Any] | None) -> None:
        """Note what a resolver raised; GraphQL has made an entry of its answer's `errors` of it."""
        if self._policy.exceptions is None:
            return
        try:
            error = original_of(error)
            exchange = current_exchange()
            with Scope():
                if name:
                    tag("graphql_operation", name)
                if path:
                    tag("graphql_path", ".".join(map(str, path)))
                exchange = exchange or _Alone(self._policy)
                exchange.observe(error, handled=True, policy=self._policy)
                _settle(exchange, error)
        except Exception as failure:
            self._policy.lose_exception(failure)


def _settle(exchange: Exchange, error: BaseException) -> None:
    """Have *error* judged at once if it can be: GraphQL lets none go any further, and a socket may stay open for days."""
    if exchange.status is not None or exchange.policy.exceptions is not None:
        exchange.judge(error)
        return
    # The interceptor of the framework captures nothing, so it does not look at the status either: it is GraphQL's own.
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
    """Middleware for graphql-core's execution. Keyword options are `InterceptorSettings`'; those of the context are HTTP's."""

    source = "graphql"

    def __init__(self, **options: Unpack[InterceptorOptions]) -> None:
        self.policy: Policy = make_policy(self.source, options)
        self._operation = Operation(self.policy)

    def resolve(self, following: Callable[..., Any], root: Any, info: Any, **arguments: Any) -> Any:
        """Resolve one field; a resolver that is asynchronous stays so."""
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


class _Alone(Exchange):
    """An operation outside any request: in a script, over a connection of its own."""

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
    """Return what a `GraphQLError` was made of, or *error* itself."""
    for _ in range(_MAX_WRAPPERS):
        cause = own_attribute(error, "original_error") if _is_graphql(error) else None
        if not isinstance(cause, BaseException):
            break
        error = cause
    return error


def _is_graphql(error: BaseException) -> bool:
    return any((kind.__module__, kind.__qualname__) == _GRAPHQL_ERROR for kind in type(error).__mro__)
