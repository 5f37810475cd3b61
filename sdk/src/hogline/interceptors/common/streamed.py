"""Code that runs after a serverless function has returned: a streamed body, a background task.

Each step runs in the context of its call, and the last one ends the call. Three kinds are
recognised: an iterator, as Flask accepts it; Werkzeug's response with an iterator inside;
Starlette's response, with a streamed body or a background task.
"""

from collections.abc import AsyncIterator, Callable, Iterator
from types import TracebackType
from typing import Any, Protocol

from hogline.context import Context, StepContext

__all__ = ["Held", "HeldCall", "hold", "lasts"]


class HeldCall(Protocol):
    """A call that ends with its body."""

    def broken(self, error: BaseException) -> None:
        """Record an exception that a step raised."""

    def end(self) -> None:
        """Send the events that were captured."""

    async def end_async(self) -> None:
        """Send the events that were captured."""


class Held:
    """A call between its function's return and the end of its body.

    Each step runs in a `with` block of it. *root* is None where another interceptor owns the call.
    """

    def __init__(self, call: HeldCall, root: Context | None, context: Context | None) -> None:
        self._call = call
        self._step = StepContext(root, context)
        self._ended = False

    def __enter__(self) -> None:
        self._step.__enter__()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None and not isinstance(error, StopIteration | StopAsyncIteration):
            self._call.broken(error)
        self._step.__exit__(kind, error, trace)

    def end(self) -> None:
        """End the call, once."""
        if not self._ended:
            self._ended = True
            self._call.end()

    async def end_async(self) -> None:
        """End the call, once."""
        if not self._ended:
            self._ended = True
            await self._call.end_async()


def lasts(result: Any) -> bool:
    """Return whether some of *result* remains to be made when its function has returned."""
    body = _first(result)
    return isinstance(body, Iterator) or _inner_iterator(body) is not None or _is_starlette_response(body)


def hold(result: Any, held: Held) -> Any:
    """Return *result*, for which `lasts` is true, with *held* around the steps that remain."""
    body = _first(result)
    if isinstance(body, Iterator):
        held_body: Any = _Body(body, held)
        return (held_body, *result[1:]) if isinstance(result, tuple) else held_body
    if (inner := _inner_iterator(body)) is not None:
        body.response = _Body(inner, held)
        return result
    task, steps = body.background, getattr(body, "body_iterator", None)
    if steps is not None:
        body.body_iterator = _AsyncBody(steps, held, ends=task is None)
    if task is not None:
        body.background = _task(task, held)
    return result


def _first(result: Any) -> Any:
    return result[0] if isinstance(result, tuple) and result else result


def _inner_iterator(body: Any) -> Any:
    """Return the iterator of Werkzeug's streamed response.

    Returns None for a file that the server sends by itself.
    """
    if getattr(body, "is_streamed", False) is not True or getattr(body, "direct_passthrough", False):
        return None
    return getattr(body, "response", None)


def _is_starlette_response(body: Any) -> bool:
    # Both names are checked: other classes have one of them.
    return hasattr(body, "background") and (
        body.background is not None or getattr(body, "body_iterator", None) is not None
    )


def _task(task: Callable[[], Any], held: Held) -> Callable[[], Any]:
    async def run() -> None:
        # One step: a task runs to its end, in the asyncio task of its request.
        try:
            with held:
                await task()
        finally:
            await held.end_async()

    return run


class _Body:
    """An iterator whose steps run in the call's context.

    Flask accepts no other iterable as a body.
    """

    def __init__(self, items: Any, held: Held) -> None:
        self._items = items
        self._steps: Iterator[Any] | None = None
        self._held = held

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        held = self._held
        try:
            with held:
                if self._steps is None:
                    self._steps = iter(self._items)
                return next(self._steps)
        except BaseException:
            held.end()
            raise

    def close(self) -> None:
        """Close the function's body.

        Servers do so when they have read it, or their client has gone.
        """
        close = getattr(self._items, "close", None)
        try:
            with self._held:
                if close is not None:
                    close()
        finally:
            self._held.end()


class _AsyncBody:
    """The same for asynchronous steps, which run in the task of their request."""

    def __init__(self, items: Any, held: Held, *, ends: bool) -> None:
        self._steps: AsyncIterator[Any] = items.__aiter__()
        self._held = held
        self._ends = ends  # whether nothing follows the body

    def __aiter__(self) -> AsyncIterator[Any]:
        return self

    async def __anext__(self) -> Any:
        held = self._held
        try:
            with held:
                return await self._steps.__anext__()
        except StopAsyncIteration:
            if self._ends:
                await held.end_async()
            raise
        except BaseException:
            await held.end_async()
            raise

    async def aclose(self) -> None:
        """Close the function's body."""
        close = getattr(self._steps, "aclose", None)
        try:
            with self._held:
                if close is not None:
                    await close()
        finally:
            await self._held.end_async()
