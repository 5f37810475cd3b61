"""The beginning and the end of a process.

Forked children start anew, and waiting events are sent before a process ends.

Every delivery is watched weakly. Python runs the fork hooks for `os.fork` and `multiprocessing`;
uWSGI forks without them, which the pid check in `Delivery.put` notices. Children of
`multiprocessing` leave through `os._exit`, which skips atexit but runs finalizers of their own.
Children of Celery's billiard leave the same way and run no finalizers, so a Celery signal stands
in. A process that a signal's default action kills runs none of these.
"""

import atexit
import os
import sys
import time
import weakref
from typing import Any, Protocol

from hogline.delivery import lazy_imports

__all__ = ["Watched", "watch", "watch_process"]

_FINALIZE_PRIORITY = 5  # before multiprocessing joins its own queues and pools (0 and below)


class Watched(Protocol):
    """An object that must know of forks and of the end of the process."""

    @property
    def used(self) -> bool:
        """Whether this process ever added an event, or flushed."""

    @property
    def shutdown_timeout_s(self) -> float:
        """How long the end of the process may wait for events that are not sent yet."""

    def after_fork(self) -> None:
        """Leave everything that belongs to the parent to the parent."""

    def flush(self, timeout_s: float | None) -> bool:
        """Send the waiting events."""

    def shutdown(self, timeout_s: float, *, at_exit: bool = False) -> bool:
        """Send the waiting events, and stop."""


_watched: "weakref.WeakSet[Watched]" = weakref.WeakSet()
_finalized_pid = 0


def watch(delivery: Watched) -> None:
    """Watch *delivery* for as long as somebody holds it."""
    _watched.add(delivery)


def watch_process() -> None:
    """Arrange for the end of this process if it is a child of `multiprocessing` or Celery.

    This is called when a worker starts.
    """
    global _finalized_pid  # noqa: PLW0603 - one registration for each process
    # Connecting twice is the same as once.
    if (signals := sys.modules.get("celery.signals")) is not None:
        signals.worker_process_shutdown.connect(_end_of_celery_child, weak=False, dispatch_uid="hogline")
    processes, util = sys.modules.get("multiprocessing.process"), sys.modules.get("multiprocessing.util")
    if processes is None or util is None or _finalized_pid == os.getpid():
        return
    if processes.parent_process() is not None:
        _finalized_pid = os.getpid()
        util.Finalize(None, _shut_down_all, exitpriority=_FINALIZE_PRIORITY)


def _end_of_celery_child(**_: Any) -> None:
    """Shut down in a pool process of Celery, on its way to `os._exit`.

    A SIGTERM from the pool has to wait.
    """
    import signal

    try:
        previous = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    except ValueError:  # not the main thread
        _shut_down_all()
        return
    try:
        _shut_down_all()
    finally:
        signal.signal(signal.SIGTERM, previous)


def _after_fork_in_child() -> None:
    lazy_imports.release_imports()
    for delivery in list(_watched):
        delivery.after_fork()


def _shut_down_all() -> None:
    """Shut all clients of this process down at the same time.

    A server that hangs therefore takes no time from other clients.
    """
    begun_s = time.monotonic()
    deliveries = list(_watched)
    for delivery in deliveries:
        if delivery.used:
            delivery.flush(0.0)
    for delivery in sorted(deliveries, key=lambda one: one.shutdown_timeout_s):
        delivery.shutdown(max(0.0, begun_s + delivery.shutdown_timeout_s - time.monotonic()), at_exit=True)


def _at_exit() -> None:
    """Shut all clients down at the end of the process.

    A uWSGI worker that is being recycled runs this too. When its master is told to stop meanwhile,
    it signals the worker, whose handler calls `exit()` a second time, and that cuts the first call
    off in the middle of the upload.
    """
    if "uwsgi" in sys.modules:
        import signal

        try:
            for number in (signal.SIGINT, signal.SIGTERM):
                # The process ends, and nobody needs the handlers again.
                signal.signal(number, signal.SIG_IGN)
        except ValueError:  # not the main thread
            pass
    _shut_down_all()


atexit.register(_at_exit)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=lazy_imports.hold_imports,
        after_in_parent=lazy_imports.release_imports,
        after_in_child=_after_fork_in_child,
    )
