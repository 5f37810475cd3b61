"""Threads and executors: a context does not go into them by itself; these take it along.

    with ThreadPoolExecutor() as pool:                  # in place of concurrent.futures'
        pool.submit(work)
    Thread(target=work).start()                         # in place of threading's
    loop.run_in_executor(None, carry(work))             # any callable that somebody else runs

Only Hogline's context goes along, nothing else of the caller's: what the function says there stays there, and the thread's
own context is back when it ends. `asyncio.to_thread`, created tasks and anyio need none of this. Source:
docs/internals/frameworks.md#context-visibility.
"""

import concurrent.futures
import functools
import inspect
import threading
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar, cast

from hogline.context import Context, current, restore

__all__ = ["Thread", "ThreadPoolExecutor", "carry", "patch", "unpatch"]

_P = ParamSpec("_P")
_T = TypeVar("_T")
_originals: dict[str, Any] = {}
_POOLS = frozenset({"concurrent.futures.thread", "multiprocessing.pool"})  # whose threads live on


def carry(function: Callable[_P, _T]) -> Callable[_P, _T]:
    """Return *function*, to be called wherever and whenever in the context of this moment; also a coroutine function."""
    mine = current.get()
    if mine is None:
        return _alone(function)
    if inspect.iscoroutinefunction(function):

        @functools.wraps(function)
        async def carried_async(*args: Any, **kwargs: Any) -> Any:
            with _Visit(mine):
                return await function(*args, **kwargs)

        return cast("Callable[_P, _T]", carried_async)

    @functools.wraps(function)
    def carried(*args: _P.args, **kwargs: _P.kwargs) -> _T:
        with _Visit(mine):
            return function(*args, **kwargs)

    return carried


class ThreadPoolExecutor(concurrent.futures.ThreadPoolExecutor):
    """An executor whose calls run in the context that they were submitted in."""

    def submit(self, fn: Callable[..., _T], /, *args: Any, **kwargs: Any) -> concurrent.futures.Future[_T]:
        """Submit a call; `map` comes through here too."""
        return super().submit(carry(fn), *args, **kwargs)


class Thread(threading.Thread):
    """A thread that runs in the context that it was started in."""

    def start(self) -> None:
        """Start the thread."""
        self.run: Callable[..., None] = _carried(self.run)
        super().start()


def _carried(run: Callable[[], None]) -> Callable[..., None]:
    """Return a thread's *run* that carries the context; Sentry's patch of threads hands the thread to whatever it finds."""
    carried = carry(run)

    def run_anyhow(*_: Any) -> None:
        carried()

    return run_anyhow


def patch() -> None:
    """Let every `threading.Thread` and `ThreadPoolExecutor` of this process carry the context. Safe to call twice.

    A patch, since neither has a hook; opt-in, since it changes other people's threads: one that a request happens to start
    and that outlives it, a library's connection pool for example, would keep that visitor.
    """
    if _originals:
        return
    _originals.update(start=threading.Thread.start, submit=concurrent.futures.ThreadPoolExecutor.submit)

    @functools.wraps(_originals["start"])
    def start(self: threading.Thread) -> None:
        # An executor's own threads live on and serve others; what is submitted to them carries for itself. And ours sends.
        if current.get() is not None and not _serves_many(self) and not isinstance(self, Thread):
            self.run = _carried(self.run)  # type: ignore[method-assign]
        _originals["start"](self)

    @functools.wraps(_originals["submit"])
    def submit(self: Any, fn: Any, /, *args: Any, **kwargs: Any) -> Any:
        return _originals["submit"](self, fn if isinstance(self, ThreadPoolExecutor) else carry(fn), *args, **kwargs)

    threading.Thread.start = start  # type: ignore[method-assign]
    concurrent.futures.ThreadPoolExecutor.submit = submit  # type: ignore[method-assign]


def unpatch() -> None:
    """Take the patch away again."""
    if _originals:
        threading.Thread.start = _originals.pop("start")  # type: ignore[method-assign]
        concurrent.futures.ThreadPoolExecutor.submit = _originals.pop("submit")  # type: ignore[method-assign]


def _serves_many(thread: threading.Thread) -> bool:
    target = getattr(thread, "_target", None)
    module = getattr(target, "__module__", None) or ""
    return module in _POOLS or module.startswith("hogline.")


def _alone(function: Callable[_P, _T]) -> Callable[_P, _T]:
    """Return *function* for who has no context: the thread may have kept somebody else's, which is none of its business."""
    if inspect.iscoroutinefunction(function):
        return cast("Callable[_P, _T]", function)

    @functools.wraps(function)
    def alone(*args: _P.args, **kwargs: _P.kwargs) -> _T:
        previous = current.get()
        if previous is None:
            return function(*args, **kwargs)
        current.set(None)
        try:
            return function(*args, **kwargs)
        finally:
            if current.get() is None:
                current.set(previous)

    return alone


class _Visit:
    """A context that is current for the time of one call, on whatever thread."""

    __slots__ = ("_guest", "_previous")

    def __init__(self, context: Context) -> None:
        # Without the parent: threads that start threads, and jobs that queue themselves again, would chain without end.
        self._guest = context.changed(scope=object(), parent=None)

    def __enter__(self) -> None:
        self._previous = current.get()
        current.set(self._guest)

    # No contextlib here: its __exit__ assigns exc.__traceback__, which replaces exceptions that refuse it (rule `no-contextlib-around-app`).
    def __exit__(self, *exc: object) -> None:
        restore(self._guest, self._previous)
