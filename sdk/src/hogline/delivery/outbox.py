"""The outbox: serialised events that wait, oldest first, bounded by count and bytes. Not thread-safe: its owner locks.

A signal handler may capture in the middle of any method: no call stands between reading a count and writing it back.
"""

from collections import deque

__all__ = ["Outbox"]


class Outbox:
    """A bounded queue that gives out batches bounded by count and bytes."""

    __slots__ = ("_events", "_max_bytes", "_max_events", "size_bytes")

    def __init__(self, max_events: int, max_bytes: int) -> None:
        self._events: deque[bytes] = deque()
        self._max_events = max_events
        self._max_bytes = max_bytes
        self.size_bytes = 0

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
