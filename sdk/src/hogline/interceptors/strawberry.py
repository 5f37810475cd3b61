"""Strawberry: a schema extension.

    schema = strawberry.Schema(Query, extensions=[PostHogInterceptor(client=posthog, capture_exceptions=True)])

Strawberry wants something that makes an extension for each operation, which is what our object is. It looks at the errors
right after execution, before extensions that mask them, and once more at the end for what went wrong before.
"""

from collections.abc import Iterator
from typing import Any, Unpack

from strawberry.extensions import SchemaExtension

from hogline.exchange.policy import Policy
from hogline.interceptors import graphql
from hogline.interceptors.common.options import make_policy
from hogline.settings.typed import InterceptorOptions

__all__ = ["PostHogInterceptor"]


class PostHogInterceptor:
    """Makes the extension of each operation. Keyword options are `InterceptorSettings`'; those of the context are HTTP's."""

    def __init__(self, **options: Unpack[InterceptorOptions]) -> None:
        self.policy: Policy = make_policy("strawberry", options)
        self._operation = graphql.Operation(self.policy)

    def __call__(self, *, execution_context: Any = None, **_: Any) -> SchemaExtension:
        """Return a new extension; old versions tell what it is for here, later ones set it."""
        extension = _Extension(self._operation)
        if execution_context is not None:
            extension.execution_context = execution_context
        return extension


class _Extension(SchemaExtension):
    def __init__(self, operation: graphql.Operation) -> None:
        self._operation = operation
        self._seen: list[Any] = []  # an operation's errors are told once, also where no request remembers them

    def on_execute(self) -> Iterator[None]:
        """Look at what resolvers raised."""
        yield
        self._look(self.execution_context.result)

    def on_operation(self) -> Iterator[None]:
        """Look at what other extensions raised, before there was anything to execute or after."""
        try:
            yield
        except Exception as error:
            self._told(error, None)
            raise
        self._look(self.execution_context.result)

    def on_stream_result(self, result: Any) -> Iterator[None]:
        """Look at each result of a subscription."""
        self._look(result)
        yield

    def _look(self, result: Any) -> None:
        for error in getattr(result, "errors", None) or ():
            original = graphql.original_of(error)
            if original is not error:
                self._told(original, error.path)

    def _told(self, error: BaseException, path: Any) -> None:
        if any(known is error for known in self._seen):
            return
        self._seen.append(error)
        try:
            name = self.execution_context.operation_name
        except Exception:  # there is none before a document was parsed
            name = None
        self._operation.note(error, name, path)
