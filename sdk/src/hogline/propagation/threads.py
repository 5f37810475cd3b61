"""Threads, executors and process pools that carry the context along.

The standard ones do not inherit a context by themselves.

    with ThreadPoolExecutor() as pool:                  # in place of concurrent.futures'
        pool.submit(work)
    Thread(target=work).start()                         # in place of threading's
    loop.run_in_executor(None, carry(work))             # any callable, for any executor
    process_pool.submit(carry(work))

Only Hogline's context is carried, no other context variable. Changes that the function makes stay
there, and the thread's own context is restored when it ends. `asyncio.to_thread`, created tasks and
anyio need none of this. Source: docs/internals/frameworks.md#context-visibility.
"""

import concurrent.futures
import functools
import inspect
import threading
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar, cast

from hogline.context import Context, current, restore, without_context
from hogline.guard import guard
from hogline.log_throttle import ONCE, ThrottledLog
from hogline.propagation.carrier import MAX_BYTES, origin_of, pack

__all__ = ["Thread", "ThreadPoolExecutor", "carry", "patch", "unpatch"]

_P = ParamSpec("_P")
_T = TypeVar("_T")
_throttled = ThrottledLog(ONCE)
_originals: dict[str, Any] = {}
# The threads of these modules outlive a request.
_POOLS = frozenset({"concurrent.futures.thread", "multiprocessing.pool"})


def carry(function: Callable[_P, _T]) -> Callable[_P, _T]:
    """Return *function*, to be called wherever and whenever in the context of this moment.

    It may be a coroutine function. The result can be pickled if *function* can be, so process pools
    of the standard library, joblib and dask run it too; another process gets the ids, the facts and
    the tags.
    """
    if not inspect.iscoroutinefunction(function):
        return cast("Callable[_P, _T]", _CarriedFunction(function, current.get()))
    context = current.get()
    if context is None:
        return cast("Callable[_P, _T]", function)

    @functools.wraps(function)
    async def carried_async(*args: Any, **kwargs: Any) -> Any:
        with _Visit(context):
            return await function(*args, **kwargs)

    return cast("Callable[_P, _T]", carried_async)


class _CarriedFunction:
    """A function with the context that it runs in.

    If the context is None, the function runs without one, even where a thread has kept one.
    """

    def __init__(self, function: Callable[..., Any], context: Context | None) -> None:
        functools.update_wrapper(self, function)
        self._function = function
        self._context = context

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        context = self._context
        with without_context() if context is None else _Visit(context):
            return self._function(*args, **kwargs)

    def __reduce__(self) -> Any:
        carrier = None
        with guard("carrier", _complain):
            tags = tuple(self._context.tags or ()) if self._context is not None else ()
            carrier = pack(self._context, tags, MAX_BYTES)
        return _carried_here, (self._function, carrier)


def _carried_here(function: Callable[..., Any], carrier: str | None) -> _CarriedFunction:
    """Return a function that was pickled, with its context as this process knows it."""
    if carrier is None:
        return _CarriedFunction(function, None)
    origin = origin_of(carrier)
    return _CarriedFunction(function, Context(origin, origin))


def _complain(name: str, error: BaseException) -> None:
    _throttled.warning(
        name, "the %s of a carried function failed, so it runs without a context: %r (logged once)", name, error
    )


class ThreadPoolExecutor(concurrent.futures.ThreadPoolExecutor):
    """An executor whose calls run in the context that they were submitted in."""

    def submit(self, fn: Callable[..., _T], /, *args: Any, **kwargs: Any) -> concurrent.futures.Future[_T]:
        """Submit a call; `map` calls this, too."""
        return super().submit(carry(fn), *args, **kwargs)


class Thread(threading.Thread):
    """A thread that runs in the context that it was started in."""

    def start(self) -> None:
        """Start the thread."""
        self.run: Callable[..., None] = _carried(self.run)
        super().start()


def _carried(run: Callable[[], None]) -> Callable[..., None]:
    """Return a thread's *run* that carries the context.

    Sentry's patch of threads passes the thread to it.
    """
    carried = carry(run)

    def run_anyhow(*_: Any) -> None:
        carried()

    return run_anyhow


def patch() -> None:
    """Let every `threading.Thread` and `ThreadPoolExecutor` of this process carry the context.

    Safe to call twice. A patch, since neither has a hook; opt-in, since it changes other people's
    threads: one that a request happens to start and that outlives it, a library's connection pool
    for example, keeps that visitor.

    It does not reach other processes (`ProcessPoolExecutor`, `multiprocessing`, joblib, dask), the
    threads of `multiprocessing.pool`, greenlets, or threads of `_thread.start_new_thread`:
    wrap functions in `carry` there.
    """
    if _originals:
        return
    _originals.update(start=threading.Thread.start, submit=concurrent.futures.ThreadPoolExecutor.submit)

    @functools.wraps(_originals["start"])
    def start(self: threading.Thread) -> None:
        # An executor's own threads outlive the request; each submitted call carries its own
        # context.
        if current.get() is not None and not _serves_many(self) and not isinstance(self, Thread):
            self.run = _carried(self.run)  # type: ignore[method-assign]
        _originals["start"](self)

    @functools.wraps(_originals["submit"])
    def submit(self: Any, fn: Any, /, *args: Any, **kwargs: Any) -> Any:
        return _originals["submit"](self, fn if isinstance(self, ThreadPoolExecutor) else carry(fn), *args, **kwargs)

    threading.Thread.start = start  # type: ignore[method-assign]
    concurrent.futures.ThreadPoolExecutor.submit = submit  # type: ignore[method-assign]


def unpatch() -> None:
    """Remove the patch."""
    if _originals:
        threading.Thread.start = _originals.pop("start")  # type: ignore[method-assign]
        concurrent.futures.ThreadPoolExecutor.submit = _originals.pop("submit")  # type: ignore[method-assign]


def _serves_many(thread: threading.Thread) -> bool:
    target = getattr(thread, "_target", None)
    module = getattr(target, "__module__", None) or ""
    return module in _POOLS or module.startswith("hogline.")


class _Visit:
    """A context that is current during one call, on any thread."""

    __slots__ = ("_guest", "_previous")

    def __init__(self, context: Context) -> None:
        # Without the parent: threads that start threads would chain contexts without end.
        self._guest = context.changed(scope=object(), parent=None)

    def __enter__(self) -> None:
        self._previous = current.get()
        current.set(self._guest)

    # No contextlib here: its __exit__ assigns exc.__traceback__, which replaces exceptions that
    # refuse it (rule `no-contextlib-around-app`).
    def __exit__(self, *exc: object) -> None:
        restore(self._guest, self._previous)
