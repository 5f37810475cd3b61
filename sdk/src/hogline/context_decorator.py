"""The decorator that gives each call of a function, coroutine or generator a context of its own."""

import functools
import inspect
from collections.abc import AsyncGenerator, Callable, Generator
from types import TracebackType
from typing import Any, TypeVar, cast

from hogline.context import Context, Scope, current

__all__ = ["scoped_with"]

_F = TypeVar("_F", bound=Callable[..., Any])


def scoped_with(make_scope: Callable[[], Scope]) -> Callable[[_F], _F]:
    """Return a decorator that runs each call in a new scope.

    It accepts functions, coroutines and generators.
    """

    def decorate(function: _F) -> _F:
        if inspect.isasyncgenfunction(function):

            @functools.wraps(function)
            async def wrapper_asyncgen(*args: Any, **kwargs: Any) -> Any:
                async for item in _each_async(function(*args, **kwargs), make_scope()):
                    yield item

            return cast("_F", wrapper_asyncgen)
        if inspect.isgeneratorfunction(function):

            @functools.wraps(function)
            def wrapper_generator(*args: Any, **kwargs: Any) -> Any:
                return (yield from _each(function(*args, **kwargs), make_scope()))

            return cast("_F", wrapper_generator)
        if inspect.iscoroutinefunction(function):

            @functools.wraps(function)
            async def wrapper_async(*args: Any, **kwargs: Any) -> Any:
                with make_scope():
                    return await function(*args, **kwargs)

            return cast("_F", wrapper_async)

        @functools.wraps(function)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            with make_scope():
                return function(*args, **kwargs)

        return cast("_F", wrapper)

    return decorate


class _GeneratorContext:
    """A generator's own context, which is current during each step, whoever runs the step."""

    __slots__ = ("_context", "_outer", "_scope")

    def __init__(self, scope: Scope) -> None:
        self._scope = scope
        self._context: Context | None = None
        self._outer: Context | None = None

    def __enter__(self) -> None:
        self._outer = current.get()
        if self._context is None:
            self._scope.__enter__()
        else:
            current.set(self._context)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._context = current.get()
        if isinstance(error, Exception) and not isinstance(error, StopIteration | StopAsyncIteration):
            self._scope.__exit__(kind, error, trace)
        current.set(self._outer)
        self._outer = None


def _each(generator: Generator[Any, Any, Any], scope: Scope) -> Generator[Any, Any, Any]:
    step = _GeneratorContext(scope)
    advance: Callable[[], Any] = functools.partial(next, generator)
    while True:
        try:
            with step:
                item = advance()
        except StopIteration as stop:
            return stop.value
        try:
            sent = yield item
        except GeneratorExit:
            with step:
                generator.close()
            raise
        except BaseException as error:
            advance = functools.partial(generator.throw, error)
        else:
            advance = functools.partial(generator.send, sent)


async def _each_async(generator: AsyncGenerator[Any, Any], scope: Scope) -> AsyncGenerator[Any, Any]:
    step = _GeneratorContext(scope)
    advance: Callable[[], Any] = generator.__anext__
    while True:
        try:
            with step:
                item = await advance()
        except StopAsyncIteration:
            return
        try:
            sent = yield item
        except GeneratorExit:
            with step:
                await generator.aclose()
            raise
        except BaseException as error:
            advance = functools.partial(generator.athrow, error)
        else:
            advance = functools.partial(generator.asend, sent)
