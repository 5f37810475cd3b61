"""The outbox: serialised events that wait to be sent, oldest first, bounded by count and bytes.

An outbox is not thread-safe: the queue that owns one holds a lock. A signal handler may capture in
the middle of any method, so no call stands between reading a count and writing it back.
"""

from collections import deque
from collections.abc import Sequence
from typing import Any, Protocol

from hogline.delivery.pending import Event

__all__ = ["MemoryOutbox", "Outbox"]


class Outbox(Protocol):
    """A store of waiting events: in memory, or in the spool on disk."""

    has_backlog: bool
    """Dead processes may have left events, which are sent first."""
    recovered: int
    """How many events of the last `take` or `drop_oldest` came from a dead process."""
    lost: int
    """Events that the disk did not give back, since the queue last set this to 0."""
    damaged_bytes: int
    """Bytes on disk that held no event."""
    problem: tuple[str, str] | None
    """The problem with the disk: its kind and a text for the log.

    The caller that logs it sets None.
    """

    def __len__(self) -> int:
        """Return how many events wait."""

    @property
    def size_bytes(self) -> int:
        """Bytes of all events that wait."""

    @property
    def is_stuck(self) -> bool:
        """Whether a dead process's file cannot be opened, as the last look at the disk found."""

    @property
    def on_disk(self) -> int:
        """Events, waiting or being sent, that would survive the death of this process."""

    def add(self, event: Event) -> bool:
        """Append *event* and return whether there was room."""

    def extend(self, events: Sequence[Event]) -> None:
        """Append *events*, for which there is room."""

    def take(self, max_events: int, max_bytes: int) -> list[Any]:
        """Remove and return the oldest events.

        They are at most *max_events* and *max_bytes*, but at least one if any waits.
        """

    def drop_oldest(self) -> list[Any]:
        """Remove and return the oldest event in memory.

        If the disk is full, remove and return all events that wait in one of its files.
        """

    def drop_unsaved(self) -> list[Any]:
        """Remove and return all events that wait and are not on disk."""

    def settle(self, batch: Sequence[bytes]) -> None:
        """Record that events which were taken are sent or dropped."""

    def is_on_disk(self, event: bytes) -> bool:
        """Return whether *event*, which was taken, would survive the death of this process."""

    def find_backlog(self) -> None:
        """Set `has_backlog` if a dead process left events.

        This does not wait for the next regular look.
        """

    def backlog_check_in_s(self, now_s: float) -> float | None:
        """Return in how many seconds the next regular look for a backlog is due; None: never."""

    def maintain(self, now_s: float) -> float | None:
        """Repair what others did to the files.

        Returns in how many seconds to call this again; None means never.
        """

    def close(self, *, keep_in_flight: bool = False) -> None:
        """Release everything. Events on disk stay for the next process.

        With *keep_in_flight*, files with events that were taken and not settled stay locked until the
        next call, so that no other process sends these events meanwhile.
        """

    def forget(self) -> None:
        """Release, in the child of a fork, what belongs to the parent."""


def _size(event: Event) -> int:
    return event[1] if type(event) is tuple else len(event)


class MemoryOutbox:
    """An outbox in memory."""

    __slots__ = ("_events", "_max_bytes", "_max_events", "problem", "size_bytes")

    has_backlog = is_stuck = False
    recovered = on_disk = lost = damaged_bytes = 0

    def __init__(self, max_events: int, max_bytes: int) -> None:
        self._events: deque[Event] = deque()
        self._max_events = max_events
        self._max_bytes = max_bytes
        self.size_bytes: int = 0
        self.problem: tuple[str, str] | None = None

    def __len__(self) -> int:
        return len(self._events)

    def add(self, event: Event) -> bool:
        """Append *event* and return whether there was room."""
        size = event[1] if type(event) is tuple else len(event)
        if len(self._events) >= self._max_events or self.size_bytes + size > self._max_bytes:
            return False
        self.size_bytes += size
        self._events.append(event)
        return True

    def extend(self, events: Sequence[Event]) -> None:
        """Append *events*, for which there is room."""
        added = sum(map(_size, events))
        self.size_bytes += added
        self._events.extend(events)

    def put_back(self, event: Event) -> None:
        """Make *event*, which was just taken, the oldest again."""
        size = _size(event)
        self.size_bytes += size
        self._events.appendleft(event)

    def take(self, max_events: int, max_bytes: int) -> list[Any]:
        """Remove and return the oldest events.

        They are at most *max_events* and *max_bytes*, but at least one if any waits.
        """
        events = self._events
        if len(events) <= max_events and self.size_bytes <= max_bytes:
            batch: list[Any] = [events.popleft() for _ in range(len(events))]
        else:
            batch = self._take_some(max_events, max_bytes)
        freed = sum(map(_size, batch))
        self.size_bytes -= freed
        return batch

    def _take_some(self, max_events: int, max_bytes: int) -> list[Any]:
        batch: list[Any] = []
        size = 0
        events = self._events
        while events and len(batch) < max_events:
            size += _size(events[0])
            if batch and size > max_bytes:
                break
            batch.append(events.popleft())
        return batch

    def drop_oldest(self) -> list[Any]:
        """Remove and return the oldest event."""
        return self.take(1, 0)

    def drop_unsaved(self) -> list[Any]:
        """Remove and return all events."""
        events: list[Any] = []
        while batch := self.take(1, 0):
            events += batch
        return events

    def settle(self, batch: Sequence[bytes]) -> None:
        """Do nothing: events that were taken are not here any more."""

    def is_on_disk(self, event: bytes) -> bool:  # noqa: ARG002 - the protocol's signature
        """Return False."""
        return False

    def find_backlog(self) -> None:
        """Do nothing: memory holds no other process's events."""

    def backlog_check_in_s(self, now_s: float) -> float | None:  # noqa: ARG002 - the protocol's signature
        """Return None: never."""
        return None

    def maintain(self, now_s: float) -> float | None:  # noqa: ARG002 - the protocol's signature
        """Return None: memory needs no repair."""
        return None

    def close(self, *, keep_in_flight: bool = False) -> None:
        """Do nothing."""

    def forget(self) -> None:
        """Do nothing."""
