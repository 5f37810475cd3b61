"""The ledger: what became of each event. Loss is counted by reason, reported to `on_drop`, and logged once a minute."""

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

import orjson

__all__ = [
    "BEFORE_SEND",
    "DISABLED",
    "NO_NAME",
    "QUEUE_FULL",
    "REJECTED",
    "RETRIES_EXHAUSTED",
    "SENDER_ERROR",
    "SEND_IS_FALSE",
    "SHUTDOWN",
    "TOO_LARGE",
    "Ledger",
    "Stats",
]

BEFORE_SEND: Final = "before_send"
DISABLED: Final = "disabled"
NO_NAME: Final = "no_name"
QUEUE_FULL: Final = "queue_full"
REJECTED: Final = "rejected"
RETRIES_EXHAUSTED: Final = "retries_exhausted"
SEND_IS_FALSE: Final = "send_is_false"
SHUTDOWN: Final = "shutdown"
TOO_LARGE: Final = "too_large"
SENDER_ERROR: Final = "sender_error"

_log = logging.getLogger("hogline")
_LOG_EVERY_S = 60.0
# Dropping these is what the user asked for; a log line would only repeat it.
_ASKED_FOR = frozenset({BEFORE_SEND, DISABLED, SEND_IS_FALSE})


@dataclass(frozen=True, slots=True)
class Stats:
    """What became of the events of this process: `accepted == sent + waiting + sum(dropped.values())`, always."""

    accepted: int
    """Events handed to the client, also those it then refused."""
    sent: int
    """Events that the server answered with success."""
    waiting: int
    """Events in the outbox or on their way."""
    retried: int
    """Requests that were made again."""
    batches: int
    """Requests that succeeded."""
    dropped: Mapping[str, int]
    """Events lost, by reason."""
    last_error: str | None
    """The last answer or failure that was no success."""


class Ledger:
    """Counts under one lock, which the outbox shares so that no snapshot falls between two counts."""

    def __init__(self, *, on_drop: Callable[[str, Any], None] | None = None, host: str = "") -> None:
        self._on_drop = on_drop
        self._host = host
        self.reset()

    def reset(self) -> None:
        """Start from zero, with a new lock: a forked child owns none of its parent's events."""
        self.lock = threading.Lock()
        self.accepted = 0
        self.sent = 0
        self.retried = 0
        self.batches = 0
        self.last_error: str | None = None
        self._dropped: dict[str, int] = {}
        self._unlogged: dict[str, int] = {}
        self._logged_at: dict[str, float] = {}
        self._telling = threading.local()

    def snapshot(self) -> Stats:
        """Return the counts as they stand."""
        with self.lock:
            dropped = dict(self._dropped)
            waiting = self.accepted - self.sent - sum(dropped.values())
            return Stats(
                accepted=self.accepted,
                sent=self.sent,
                waiting=waiting,
                retried=self.retried,
                batches=self.batches,
                dropped=MappingProxyType(dropped),
                last_error=self.last_error,
            )

    def refuse(self, reason: str, event: Any = None) -> None:
        """Count an event that never got into the outbox."""
        with self.lock:
            self.accepted += 1
            self._dropped[reason] = self._dropped.get(reason, 0) + 1
        self.tell(reason, [event])

    def lose(self, reason: str, count: int) -> None:
        """Count *count* events of the outbox as dropped; the caller holds the lock, and calls `tell` after letting go."""
        self._dropped[reason] = self._dropped.get(reason, 0) + count

    def tell(self, reason: str, events: Sequence[Any]) -> None:
        """Log a loss, at most once a minute for each reason, and report each event to `on_drop`. Call without the lock.

        An event is the assembled dict, its wire bytes, or None where it is not at hand.
        """
        if reason not in _ASKED_FOR:
            self._log(reason, len(events))
        # A hook that captures, and is refused, must not be told of that inside itself.
        if self._on_drop is None or getattr(self._telling, "now", False):
            return
        self._telling.now = True
        try:
            for event in events:
                self._on_drop(reason, orjson.loads(event) if isinstance(event, bytes) else event)
        except Exception as error:  # the user's hook
            _log.warning("hogline: on_drop failed: %r", error)
        finally:
            self._telling.now = False

    def _log(self, reason: str, count: int) -> None:
        now = time.monotonic()
        with self.lock:
            unlogged = self._unlogged.get(reason, 0) + count
            last = self._logged_at.get(reason)
            due = last is None or now - last >= _LOG_EVERY_S
            self._unlogged[reason] = 0 if due else unlogged
            if due:
                self._logged_at[reason] = now
            since = f" in {now - last:.0f} s" if last is not None else ""
            answer = f"; last answer from {self._host}: {self.last_error}" if self.last_error else ""
        if due:
            _log.error("hogline: dropped %d event%s%s: %s%s", unlogged, "s"[: unlogged != 1], since, reason, answer)

    def log_the_rest(self) -> None:
        """Log what the once-a-minute rule held back; called when the process ends."""
        with self.lock:
            rest = {reason: count for reason, count in self._unlogged.items() if count}
            self._unlogged.clear()
        for reason, count in rest.items():
            _log.error("hogline: dropped %d more events: %s", count, reason)
