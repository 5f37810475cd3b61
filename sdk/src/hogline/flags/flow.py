"""Flow: a generator that yields what must wait (a function that blocks), and is sent what came of it.

One way of deciding serves both colours: `run` calls the function where it stands, `arun` lets a thread do so, and the loop run.
"""

from collections.abc import Callable, Generator
from typing import Any, TypeAlias, TypeVar

__all__ = ["Flow", "arun", "run"]

_T = TypeVar("_T")
Flow: TypeAlias = Generator[Callable[[], Any], Any, _T]


def run(flow: Flow[_T]) -> _T:
    """Return what *flow* comes to."""
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
    """Return what *flow* comes to, without keeping the event loop waiting."""
    import asyncio  # who calls this has it loaded

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
