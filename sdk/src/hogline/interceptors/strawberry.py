"""Strawberry: a schema extension.

    interceptor = PostHogInterceptor(client=posthog, capture_exceptions=True)
    schema = strawberry.Schema(Query, extensions=[interceptor])

Strawberry calls the interceptor to make an extension for each operation. The extension reads the
errors right after execution, before other extensions mask them, and again at the end, for errors
before execution.
"""

from collections.abc import Iterator
from typing import Any, Unpack

from strawberry.extensions import SchemaExtension

from hogline.exchange import Policy
from hogline.interceptors import graphql
from hogline.interceptors.common.options import make_policy
from hogline.settings.typed import InterceptorOptions

__all__ = ["PostHogInterceptor"]


class PostHogInterceptor:
    """Makes the extension of each operation.

    Keyword options are those of `InterceptorSettings` for exceptions.
    """

    def __init__(self, **options: Unpack[InterceptorOptions]) -> None:
        self.policy: Policy = make_policy("strawberry", options)
        self._operation = graphql.Operation(self.policy)

    def __call__(self, *, execution_context: Any = None, **_: Any) -> SchemaExtension:
        """Return a new extension.

        Old versions pass the execution context here, later ones set it.
        """
        extension = _Extension(self._operation)
        if execution_context is not None:
            extension.execution_context = execution_context
        return extension


class _Extension(SchemaExtension):
    def __init__(self, operation: graphql.Operation) -> None:
        self._operation = operation
        self._recorded: list[Any] = []  # deduplicates an operation's errors outside any request

    def on_execute(self) -> Iterator[None]:
        """Record the exceptions of resolvers."""
        yield
        self._record_all(self.execution_context.result)

    def on_operation(self) -> Iterator[None]:
        """Record the exceptions of other extensions."""
        try:
            yield
        except Exception as error:
            self._record(error, None)
            raise
        self._record_all(self.execution_context.result)

    def on_stream_result(self, result: Any) -> Iterator[None]:
        """Record the exceptions in each result of a subscription."""
        self._record_all(result)
        yield

    def _record_all(self, result: Any) -> None:
        for error in getattr(result, "errors", None) or ():
            original = graphql.original_of(error)
            if original is not error:
                self._record(original, error.path)

    def _record(self, error: BaseException, path: Any) -> None:
        if any(known is error for known in self._recorded):
            return
        self._recorded.append(error)
        try:
            name = self.execution_context.operation_name
        except Exception:  # it has none before a document was parsed
            name = None
        self._operation.note(error, name, path)
