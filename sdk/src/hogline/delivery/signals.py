"""The lock and the conditions that a worker shares with the queues it serves."""

import threading

__all__ = ["Signals"]


class Signals:
    """One lock for all queues of a worker, and the conditions that its holders wait for."""

    __slots__ = ("lock", "settled", "work")

    def __init__(self) -> None:
        # Reentrant: a signal handler or a finalizer may capture while its own thread holds the
        # lock.
        self.lock: threading.RLock = threading.RLock()
        self.work: threading.Condition = threading.Condition(self.lock)
        """The worker waits here for events, and between two retries."""
        self.settled: threading.Condition = threading.Condition(self.lock)
        """`flush()` waits here, and so do callers who wait for room in a full queue."""

    def is_held_by_caller(self) -> bool:
        """Return whether the calling thread holds the lock, as `threading.Condition` asks it."""
        return self.lock._is_owned()  # type: ignore[attr-defined,no-any-return]  # noqa: SLF001 - there is no public way
