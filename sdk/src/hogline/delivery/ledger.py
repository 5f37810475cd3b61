"""The ledger: counts what became of each event.

Losses are counted by reason, reported to `on_drop`, and logged once a minute.
"""

import logging
import threading
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

import orjson

from hogline.delivery.pending import finished
from hogline.log_throttle import ThrottledLog

__all__ = [
    "BEFORE_SEND",
    "CAPTURE_ERROR",
    "DISABLED",
    "INCOMPLETE",
    "NO_NAME",
    "QUEUE_FULL",
    "RATE_LIMITED",
    "REJECTED",
    "RETRIES_EXHAUSTED",
    "SENDER_ERROR",
    "SEND_IS_FALSE",
    "SHUTDOWN",
    "SPOOL_DAMAGED",
    "SPOOL_FULL",
    "TOO_LARGE",
    "TOO_MANY_EXCEPTIONS",
    "UNREADABLE_ANSWER",
    "Ledger",
    "Stats",
]

BEFORE_SEND: Final = "before_send"
CAPTURE_ERROR: Final = "capture_error"
DISABLED: Final = "disabled"
INCOMPLETE: Final = "incomplete"
NO_NAME: Final = "no_name"
QUEUE_FULL: Final = "queue_full"
RATE_LIMITED: Final = "rate_limited"
REJECTED: Final = "rejected"
RETRIES_EXHAUSTED: Final = "retries_exhausted"
SEND_IS_FALSE: Final = "send_is_false"
SHUTDOWN: Final = "shutdown"
TOO_LARGE: Final = "too_large"
TOO_MANY_EXCEPTIONS: Final = "too_many_exceptions"
SENDER_ERROR: Final = "sender_error"
SPOOL_DAMAGED: Final = "spool_damaged"
SPOOL_FULL: Final = "spool_full"
UNREADABLE_ANSWER: Final = "unreadable_answer"

_log = logging.getLogger("hogline")
_LOG_EVERY_S = 60.0
# The user asked for these losses.
_REQUESTED = frozenset({BEFORE_SEND, DISABLED, RATE_LIMITED, SEND_IS_FALSE})
# An incomplete event has a log line of its own, which says what is missing.
_NOT_LOGGED = _REQUESTED | {INCOMPLETE}


@dataclass(frozen=True, slots=True)
class Stats:
    """Counts of what became of the events of this process.

    `accepted == sent + waiting + sum(dropped.values())`, always.
    """

    accepted: int
    """Events handed to the client.

    They include those it refused, and those taken over from dead processes.
    """
    sent: int
    """Events that the server accepted."""
    waiting: int
    """Events in the queue or being sent."""
    retried: int
    """Requests that were retried."""
    batches: int
    """Requests that succeeded."""
    dropped: Mapping[str, int]
    """Events lost, by reason."""
    last_error: str | None
    """The last response or failure that was no success."""
    spooled: int = 0
    """The part of `waiting` that is on disk, and would survive the death of this process."""
    recovered: int = 0
    """The part of `accepted` that dead processes had left in the spool."""
    damaged_bytes: int = 0
    """Bytes in the spool that held no event (torn or corrupt).

    They are kept in files of their own.
    """


class Ledger:
    """Counts under one lock, which the queue shares so that no snapshot falls between two counts.

    The lock is reentrant: a signal handler or a finalizer may capture while its own thread is
    counting.
    """

    def __init__(self, *, on_drop: Callable[[str, Any], None] | None = None, host: str = "") -> None:
        self._on_drop = on_drop
        self._host = host
        self._disk_counts: Callable[[], tuple[int, int]] | None = None
        self._catch_up: Callable[[], None] | None = None
        self.reset()

    def reset(self) -> None:
        """Start from zero, with a new lock: a forked child owns none of its parent's events."""
        self.lock: threading.RLock = threading.RLock()
        self.accepted: int = 0
        self.sent = 0
        self.retried = 0
        self.batches = 0
        self.recovered = 0
        self.last_error: str | None = None
        self._dropped: defaultdict[str, int] = defaultdict(int)
        self._unlogged: defaultdict[str, int] = defaultdict(int)
        self._throttled = ThrottledLog(_LOG_EVERY_S)
        self._reporting = threading.local()

    def share(
        self,
        lock: threading.RLock,
        disk_counts: Callable[[], tuple[int, int]] | None = None,
        catch_up: Callable[[], None] | None = None,
    ) -> None:
        """Count under *lock* from now on.

        *disk_counts* returns the number of events and of damaged bytes on disk. *catch_up* counts
        the events that were put without the lock.
        """
        self.lock = lock
        self._disk_counts = disk_counts
        self._catch_up = catch_up

    def snapshot(self) -> Stats:
        """Return the counts as they stand."""
        with self.lock:
            if self._catch_up is not None:
                self._catch_up()
            dropped = dict(self._dropped)
            spooled, damaged_bytes = self._disk_counts() if self._disk_counts is not None else (0, 0)
            waiting = self.accepted - self.sent - sum(dropped.values())
            return Stats(
                accepted=self.accepted,
                sent=self.sent,
                waiting=waiting,
                retried=self.retried,
                batches=self.batches,
                dropped=MappingProxyType(dropped),
                last_error=self.last_error,
                spooled=spooled,
                recovered=self.recovered,
                damaged_bytes=damaged_bytes,
            )

    def refuse(self, reason: str, event: Any = None) -> None:
        """Count an event that never entered the queue."""
        with self.lock:
            self.accepted += 1
            self._dropped[reason] += 1
        self.report(reason, [event])

    def count_unsent(self) -> None:
        """Count an event that is refused because the user asked for that with `send=False`."""
        with self.lock:
            self.accepted += 1
            self._dropped[SEND_IS_FALSE] += 1
        if self._on_drop is not None:
            self.report(SEND_IS_FALSE, [None])

    def lose(self, reason: str, count: int) -> None:
        """Count *count* events of the queue as dropped.

        The caller holds the lock, and calls `report` after releasing it.
        """
        self._dropped[reason] += count

    def report(self, reason: str, events: Sequence[Any]) -> None:
        """Log a loss, at most once a minute for each reason, and pass each event to `on_drop`.

        Call without the lock.

        An event is the assembled dict, its wire bytes, or None if it is not available.
        """
        if reason not in _NOT_LOGGED:
            with self.lock:
                self._unlogged[reason] += len(events)
            self.log_losses()
        # A hook that captures and is refused must not be called again inside itself.
        if self._on_drop is None or getattr(self._reporting, "active", False):
            return
        self._reporting.active = True
        try:
            for event in events:
                try:
                    self._on_drop(reason, orjson.loads(finished(event)) if isinstance(event, bytes | tuple) else event)
                except Exception as error:  # the user's hook; go on with the next event
                    self.hook_failed("on_drop", error)
        finally:
            self._reporting.active = False

    def log_losses(self, every_s: float = _LOG_EVERY_S) -> None:
        """Log the losses since the last line, if that is *every_s* seconds ago.

        Each reason has lines of its own.
        """
        if not self._unlogged:
            return
        lines: list[str] = []
        with self.lock:
            for reason in [reason for reason in self._unlogged if self._throttled.is_due(reason, every_s)]:
                count, ago_s = self._unlogged.pop(reason), self._throttled.note(reason)
                since = f" in {ago_s:.0f} s" if ago_s is not None else ""
                lines.append(f"dropped {count} event{'s'[: count != 1]}{since}: {reason}")
            suffix = f"; last answer from {self._host}: {self.last_error}" if self.last_error else ""
        for line in lines:
            _log.error("hogline: %s%s", line, suffix)

    def log_summary(self) -> None:
        """Log one line for all losses of this process, if there were any."""
        with self.lock:
            lost = {reason: count for reason, count in self._dropped.items() if reason not in _REQUESTED}
            accepted, last_error = self.accepted, self.last_error
            self._unlogged.clear()
        if lost:
            reasons = ", ".join(f"{reason} {count}" for reason, count in lost.items())
            suffix = f"; last answer from {self._host}: {last_error}" if last_error else ""
            _log.error("hogline: lost %d of %d events: %s%s", sum(lost.values()), accepted, reasons, suffix)

    def hook_failed(self, name: str, error: BaseException) -> None:
        """Log that the user's hook *name* raised, at most once a minute."""
        self.warn(name, f"{name} failed: {error!r}")

    def warn(self, subject: str, text: str, level: int = logging.WARNING) -> None:
        """Log *text*, at most once a minute for each *subject*. Call without the lock."""
        self._throttled.log(level, subject, "%s", text)
