"""Flow: a generator that yields blocking functions, and is sent their results.

The same decisions serve synchronous and asynchronous callers: `run` calls the functions in place,
`arun` in a thread.
"""

from collections.abc import Callable, Generator
from typing import Any, TypeAlias, TypeVar

__all__ = ["Flow", "arun", "run"]

_T = TypeVar("_T")
Flow: TypeAlias = Generator[Callable[[], Any], Any, _T]


def run(flow: Flow[_T]) -> _T:
    """Return the result of *flow*."""
    try:
        step = next(flow)
        while True:
            try:
                answer = step()
            except Exception as error:
                step = flow.throw(error)
            else:
                step = flow.send(answer)
    except StopIteration as stop:
        result: _T = stop.value
        return result


async def arun(flow: Flow[_T]) -> _T:
    """Return the result of *flow* without blocking the event loop."""
    import asyncio  # imported lazily: only asynchronous programs get here

    try:
        step = next(flow)
        while True:
            try:
                answer = await asyncio.to_thread(step)
            except Exception as error:
                step = flow.throw(error)
            else:
                step = flow.send(answer)
    except StopIteration as stop:
        result: _T = stop.value
        return result
