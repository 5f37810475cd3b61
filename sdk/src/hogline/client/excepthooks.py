"""Hooks for the exceptions of a whole process that nothing caught.

They cover its main thread, threads, finalizers, event loops, greenlets and child processes.

One installation serves all clients that ask for it. Each hook calls the hook that it replaced. Only
hooks that are still ours are removed: a hook that somebody has wrapped meanwhile stays in place,
and does nothing any more.
Source: docs/internals/capture-protocol.md#deduplication-and-autocapture.
"""

import contextvars
import os
import sys
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Any, Protocol, cast

from hogline.client.exceptions import ExceptionEvents
from hogline.context import Context, current
from hogline.deduplication import CaptureScope, captured_before
from hogline.exception_kinds import is_exit, is_noise
from hogline.guard import guard
from hogline.settings import ClientSettings
from hogline.tracebacks import Mechanism

__all__ = ["install", "uninstall"]

_UNCAUGHT = Mechanism(type="onuncaughtexception", handled=False)
_UNRETRIEVED = Mechanism(type="onunhandledrejection", handled=False)


class WatchingClient(Protocol):
    """The part of a client that the hooks need."""

    settings: ClientSettings
    project_token: str
    exceptions: ExceptionEvents

    @property
    def disabled(self) -> bool:
        """Whether events are refused."""

    def lost(self, what: str, error: BaseException) -> None:
        """Count an event that *error* kept from being made, and log the failure."""


# Held strongly: a client that watches the process lives as long as the process.
_clients: list[WatchingClient] = []

_installed: "_Hooks | None" = None
_lock = threading.RLock()
# Threads in the middle of a report. Exceptions inside one are not reported.
_reporting: set[int] = set()


def install(client: WatchingClient) -> None:
    """Report exceptions that nothing caught to *client* from now on. Safe to call twice."""
    global _installed  # noqa: PLW0603 - the hooks are the process's, and so is this
    with _lock:
        if not any(known is client for known in _clients):
            _clients.append(client)
        if _installed is None:
            _installed = _Hooks()


def uninstall(client: WatchingClient) -> None:
    """Report nothing to *client* any more; the hooks are removed with the last client.

    It is safe to call this twice.
    """
    global _installed  # noqa: PLW0603
    with _lock:
        _clients[:] = [known for known in _clients if known is not client]
        if not _clients and _installed is not None:
            _installed.remove()
            _installed = None


def _after_fork_in_child() -> None:
    global _lock  # noqa: PLW0603
    _lock = threading.RLock()  # another thread of the parent may have held it
    _reporting.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)


class _Hooks:
    """One installation, with the hook that it found in each place."""

    def __init__(self) -> None:
        self._is_active = True
        self._main, self._previous_main = self._on_main, sys.excepthook
        self._thread, self._previous_thread = self._on_thread, threading.excepthook
        self._unraisable, self._previous_unraisable = self._on_unraisable, sys.unraisablehook
        sys.excepthook = self._main
        threading.excepthook = self._thread
        sys.unraisablehook = self._unraisable
        self._loops = _LoopHooks(self._on_loop)
        self._processes = _ProcessHook(self._on_process)
        self._greenlets = _GreenletHook(self._on_greenlet)

    def remove(self) -> None:
        """Put the previous hooks back, where ours is still in place."""
        self._is_active = False
        if sys.excepthook is self._main:
            sys.excepthook = self._previous_main
        if threading.excepthook is self._thread:
            threading.excepthook = self._previous_thread
        if sys.unraisablehook is self._unraisable:
            sys.unraisablehook = self._previous_unraisable
        self._loops.remove()
        self._processes.remove()
        self._greenlets.remove()

    # A bound method is a new object at each access, so `remove` compares with those that __init__
    # kept.

    def _on_main(self, kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        # At an interactive prompt an exception is shown to the user, and ends nothing.
        if self._is_active and not hasattr(sys, "ps1"):
            _report(error, trace, _UNCAUGHT, level="fatal", source="python.sys_excepthook")
        self._previous_main(kind, error, trace)

    def _on_thread(self, args: Any) -> None:
        if self._is_active:
            _report(args.exc_value, args.exc_traceback, _UNCAUGHT, source="python.threading_excepthook")
        self._previous_thread(args)

    def _on_unraisable(self, args: Any) -> None:
        if self._is_active and not sys.is_finalizing():
            _report(args.exc_value, args.exc_traceback, _UNCAUGHT, source="python.sys_unraisablehook")
        self._previous_unraisable(args)

    def _on_process(self, error: BaseException) -> None:
        if self._is_active:
            _report(error, None, _UNCAUGHT, level="fatal", source="python.multiprocessing")

    def _on_greenlet(self, error: BaseException) -> None:
        if self._is_active:
            _report(error, None, _UNCAUGHT, source="python.gevent")

    def _on_loop(self, told: dict[str, Any]) -> None:
        if self._is_active:
            source = "python.asyncio_exception_handler"
            _report(told.get("exception"), None, _UNRETRIEVED, source=source, find_context=lambda: _context_of(told))


class _LoopHooks:
    """The hook of every event loop, whoever makes it and whichever handler it is given.

    A patch: `set_exception_handler` belongs to the app, and works on one existing loop. Other
    implementations (uvloop) are classes of their own; those that are imported later are patched
    when their class is created.
    """

    def __init__(self, notice: Callable[[dict[str, Any]], None]) -> None:
        from asyncio.base_events import BaseEventLoop
        from asyncio.events import AbstractEventLoop

        self._notice = notice
        self._abstract = AbstractEventLoop
        self._patched: list[tuple[type, Any, Any]] = []
        self._patch(BaseEventLoop)
        for kind in AbstractEventLoop.__subclasses__():
            if not issubclass(kind, BaseEventLoop):
                self._patch(kind)

        def announced(kind: type[Any], /) -> None:
            # This replaces the method of `object`, which does nothing.
            if not issubclass(kind, BaseEventLoop):
                self._patch(kind)

        self._announced: Any = classmethod(announced)
        if "__init_subclass__" not in vars(AbstractEventLoop):
            setattr(AbstractEventLoop, "__init_subclass__", self._announced)  # noqa: B010 - typed as a method

    def _patch(self, kind: type) -> None:
        original = kind.call_exception_handler  # type: ignore[attr-defined]
        notice = self._notice

        def call_exception_handler(loop: Any, context: dict[str, Any]) -> None:
            notice(context)
            original(loop, context)

        try:
            before = vars(kind).get("call_exception_handler")
            kind.call_exception_handler = call_exception_handler  # type: ignore[attr-defined]
        except (AttributeError, TypeError):  # a class that cannot be changed
            return
        self._patched.append((kind, call_exception_handler, before))

    def remove(self) -> None:
        """Remove the patches that are still in place."""
        if vars(self._abstract).get("__init_subclass__") is self._announced:
            del self._abstract.__init_subclass__
        for kind, ours, before in self._patched:
            if vars(kind).get("call_exception_handler") is ours:
                if before is not None:
                    kind.call_exception_handler = before  # type: ignore[attr-defined]
                else:
                    del kind.call_exception_handler  # type: ignore[attr-defined]


class _ProcessHook:
    """The hook of `multiprocessing`'s children.

    A patch: `multiprocessing` itself prints the exception that ends a child, and no hook of the
    interpreter is called.
    """

    def __init__(self, notice: Callable[[BaseException], None]) -> None:
        from multiprocessing.process import BaseProcess

        self._patched = cast("Any", BaseProcess)
        self._before = original = self._patched._bootstrap  # noqa: SLF001 - every child runs it, whatever its class

        def _bootstrap(process: Any, *args: Any, **kwargs: Any) -> Any:
            run = process.run

            def watched() -> None:
                try:
                    run()
                except BaseException as error:
                    notice(error)
                    raise

            process.run = watched
            return original(process, *args, **kwargs)

        self._ours = _bootstrap
        self._patched._bootstrap = _bootstrap  # noqa: SLF001

    def remove(self) -> None:
        """Remove the patch if it is still in place."""
        if self._patched._bootstrap is self._ours:  # noqa: SLF001
            self._patched._bootstrap = self._before  # noqa: SLF001


class _GreenletHook:
    """The hook of gevent's hubs, if gevent is imported already.

    It sees greenlets that fail, and failing callbacks of gevent's loop.

    A patch: the app may set a hub's own `handle_error`, and threads that have not started yet will
    have hubs of their own.
    """

    def __init__(self, notice: Callable[[BaseException], None]) -> None:
        hub = sys.modules.get("gevent.hub")
        self._patched: Any = getattr(hub, "Hub", None)
        if self._patched is None:
            return
        self._before = original = self._patched.handle_error

        def handle_error(hub: Any, context: Any, kind: Any, error: Any, trace: Any) -> Any:
            if isinstance(error, BaseException) and not isinstance(error, hub.NOT_ERROR):
                notice(error)
            return original(hub, context, kind, error, trace)

        self._ours = self._patched.handle_error = handle_error

    def remove(self) -> None:
        """Remove the patch if it is still in place."""
        if self._patched is not None and self._patched.handle_error is self._ours:
            self._patched.handle_error = self._before


def _context_of(told: dict[str, Any]) -> Context | None:
    """Return the context of the task or callback that failed.

    Not every interpreter provides it: for tasks it exists from 3.12 on.
    """
    for name in ("task", "future", "handle"):
        thing = told.get(name)
        ask = getattr(thing, "get_context", None)
        variables = ask() if ask is not None else getattr(thing, "_context", None)
        if isinstance(variables, contextvars.Context) and current.variable in variables:
            return variables[current.variable]
    return current.get()


def _report(
    error: BaseException | None,
    trace: TracebackType | None,
    mechanism: Mechanism,
    *,
    source: str,
    level: str = "error",
    find_context: Callable[[], Context | None] = current.get,
) -> None:
    """Send *error* to each project that asked.

    Never raises, and a failure inside it is not reported by itself.
    """
    thread = threading.get_ident()
    if error is None or thread in _reporting:
        return
    _reporting.add(thread)
    try:
        with guard("capture_exceptions", _count_for_all):
            if is_exit(error) or (isinstance(error, Exception) and is_noise(error)):
                return
            context = find_context()
            origin = context.origin if context is not None else None
            if captured_before(error, origin if isinstance(origin, CaptureScope) else None):
                return
            _send(error, mechanism, level=level, source=source, context=context, traceback=trace)
    finally:
        _reporting.discard(thread)


def _send(error: BaseException, mechanism: Mechanism, **options: Any) -> None:
    projects = set()
    for client in tuple(_clients):
        project = client.settings.host, client.project_token
        if project in projects:
            continue
        # A disabled client counts the event, and another client of the project sends it.
        if not client.disabled:
            projects.add(project)
        with guard("capture_exceptions", client.lost):
            client.exceptions.capture_once(error, mechanism, is_new=True, is_limited=True, **options)


def _count_for_all(what: str, failure: Exception) -> None:
    for client in tuple(_clients):
        client.lost(what, failure)
