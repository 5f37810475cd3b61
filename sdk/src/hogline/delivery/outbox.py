"""The outbox: serialised events that wait in memory, oldest first, bounded by count and bytes. Not thread-safe: its owner locks.

A signal handler may capture in the middle of any method: no call stands between reading a count and writing it back.
"""

from collections import deque
from collections.abc import Sequence
from typing import Protocol

__all__ = ["Outbox", "Store"]


class Store(Protocol):
    """Where events wait: the outbox in memory, or the spool on disk."""

    behind: bool
    """There may be events of dead processes to send first."""
    recovered: int
    """How many events of the last `take` or `drop_oldest` were a dead process's."""
    kept: int
    """Events, waiting and on their way, that the death of this process would not lose."""
    lost: int
    """Events that the disk did not give back, since somebody asked."""
    damaged_bytes: int
    """Bytes on disk that held no event."""
    stuck: bool
    """The last look found something of a dead process that cannot be reached."""
    trouble: tuple[str, str] | None
    """What is wrong with the disk, its kind and a text for the log; who logs it sets None."""

    def __len__(self) -> int:
        """Tell how many events wait."""

    @property
    def size_bytes(self) -> int:
        """Bytes of what waits."""

    def add(self, event: bytes) -> bool:
        """Append *event*; False: there is no room for it."""

    def take(self, max_events: int, max_bytes: int) -> list[bytes]:
        """Hand out the oldest events: at most *max_events* and *max_bytes*, but one at least if any waits."""

    def drop_oldest(self) -> list[bytes]:
        """Remove and return what waited longest, to make room: one event of memory, or all that wait in one file of a full disk."""

    def forgo(self) -> list[bytes]:
        """Remove and return what waits in memory only."""

    def settle(self, batch: Sequence[bytes]) -> None:
        """Note that events which were taken are dealt with, whatever became of them."""

    def keeps(self, event: bytes) -> bool:
        """Tell whether *event*, which was taken, is still in the store."""

    def look(self) -> None:
        """Set `behind` if a dead process left something, without waiting for the next regular look."""

    def look_in_s(self, now_s: float) -> float | None:
        """Return in how many seconds the next regular look is due; None: never."""

    def close(self) -> None:
        """Let go of everything; what is on disk stays for the next process."""

    def forget(self) -> None:
        """Let go of what belongs to the process that this one was forked from."""


class Outbox:
    """A bounded queue that gives out batches bounded by count and bytes."""

    __slots__ = ("_events", "_max_bytes", "_max_events", "size_bytes", "trouble")

    behind = stuck = False
    recovered = kept = lost = damaged_bytes = 0

    def __init__(self, max_events: int, max_bytes: int) -> None:
        self._events: deque[bytes] = deque()
        self._max_events = max_events
        self._max_bytes = max_bytes
        self.size_bytes: int = 0
        self.trouble: tuple[str, str] | None = None

    def __len__(self) -> int:
        return len(self._events)

    def add(self, event: bytes) -> bool:
        """Append *event*; False: there is no room for it."""
        size = len(event)
        if len(self._events) >= self._max_events or self.size_bytes + size > self._max_bytes:
            return False
        self.size_bytes += size
        self._events.append(event)
        return True

    def put_back(self, event: bytes) -> None:
        """Make *event*, which was just taken, the oldest again."""
        size = len(event)
        self.size_bytes += size
        self._events.appendleft(event)

    def take(self, max_events: int, max_bytes: int) -> list[bytes]:
        """Remove and return the oldest events: at most *max_events* and *max_bytes*, but one at least if any waits."""
        batch: list[bytes] = []
        size = 0
        events = self._events
        while events and len(batch) < max_events:
            size += len(events[0])
            if batch and size > max_bytes:
                break
            batch.append(events.popleft())
        freed = sum(map(len, batch))
        self.size_bytes -= freed
        return batch

    def drop_oldest(self) -> list[bytes]:
        """Remove and return the event that waited longest."""
        return self.take(1, 0)

    def forgo(self) -> list[bytes]:
        """Remove and return all that waits."""
        events: list[bytes] = []
        while batch := self.take(1, 0):
            events += batch
        return events

    def settle(self, batch: Sequence[bytes]) -> None:
        """Do nothing: what was taken is out of here."""

    def keeps(self, event: bytes) -> bool:  # noqa: ARG002 - a Store's question
        """Tell that it does not."""
        return False

    def look(self) -> None:
        """Do nothing: memory has no other process's events."""

    def look_in_s(self, now_s: float) -> float | None:  # noqa: ARG002 - as above
        """Return None: never."""
        return None

    def close(self) -> None:
        """Do nothing."""

    def forget(self) -> None:
        """Do nothing."""
