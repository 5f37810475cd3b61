"""A process's beginning and end: forked children start anew, and what waits is sent before the process goes.

Every delivery is watched weakly. Python runs the fork hook for `os.fork` and `multiprocessing`; uWSGI forks without it,
which the pid check in `put` sees. Children of `multiprocessing` leave through `os._exit`, where no atexit runs: they have
finalizers of their own. So do those of Celery's billiard, without finalizers: Celery sends a signal before. A process that dies
of a signal's default action runs none of these.
"""

import atexit
import os
import sys
import threading
import time
import weakref
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from types import ModuleType

    from hogline.delivery.delivery import Delivery

__all__ = ["import_upload", "importing", "watch", "watch_process"]

_watched: "weakref.WeakSet[Delivery]" = weakref.WeakSet()
_finalized_pid = 0
_FINALIZE_PRIORITY = 5  # before multiprocessing's own queues and pools are joined (0 and below)


def watch(delivery: "Delivery") -> None:
    """Look after *delivery* for as long as somebody holds it."""
    _watched.add(delivery)


def watch_process() -> None:
    """Arrange for the end of this process, if it is a child of `multiprocessing` or Celery; asked when the sender starts."""
    global _finalized_pid  # noqa: PLW0603 - one registration for each process
    if (signals := sys.modules.get("celery.signals")) is not None:  # connecting twice is connecting once
        signals.worker_process_shutdown.connect(_celery_child_ends, weak=False, dispatch_uid="hogline")
    processes, util = sys.modules.get("multiprocessing.process"), sys.modules.get("multiprocessing.util")
    if processes is None or util is None or _finalized_pid == os.getpid():
        return
    if processes.parent_process() is not None:
        _finalized_pid = os.getpid()
        util.Finalize(None, _shut_down_all, exitpriority=_FINALIZE_PRIORITY)


def _celery_child_ends(**_: Any) -> None:
    """Celery's last word in a pool process, on its way to `os._exit`. The pool's SIGTERM may come meanwhile, and can wait."""
    import signal

    try:
        previous = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    except ValueError:  # no main thread
        _shut_down_all()
        return
    try:
        _shut_down_all()
    finally:
        signal.signal(signal.SIGTERM, previous)


def _after_fork_in_child() -> None:
    _importing.release()
    for delivery in list(_watched):
        delivery.after_fork()


def _shut_down_all() -> None:
    """Shut all clients of this process down at once, each within its own time: one that hangs takes none from the others."""
    begun_s = time.monotonic()
    deliveries = list(_watched)
    for delivery in deliveries:
        if delivery.used:
            delivery.flush(0.0)
    for delivery in sorted(deliveries, key=lambda one: one.shutdown_timeout_s):
        delivery.shutdown(max(0.0, begun_s + delivery.shutdown_timeout_s - time.monotonic()), at_exit=True)


def import_upload() -> "ModuleType":
    """Return the module that carries batches, with everything that the sender's thread imports later or makes others import.

    All at once, and a fork waits for it: a child that inherits a half done import can never finish it.
    """
    with _importing:
        import email.utils  # noqa: F401 - dates in Retry-After
        import encodings.idna  # noqa: F401 - resolving a host name imports it, at a moment of its own choice

        from hogline.delivery import upload

        return upload


def importing() -> "AbstractContextManager[object]":
    """Return a block that no fork falls into: what is imported in it is whole in every child."""
    return _importing


_importing = threading.RLock()
atexit.register(_shut_down_all)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_importing.acquire, after_in_parent=_importing.release, after_in_child=_after_fork_in_child
    )
