"""The live bus in this process's memory.

A reader that is too slow loses events, and learns how many.
"""

import asyncio
import threading
from collections import deque
from collections.abc import AsyncIterator, Sequence

from hogline_instance.events.event import StoredEvent

__all__ = ["MemoryBus", "MemorySubscription"]


class MemorySubscription:
    """One reader's events, in order.

    Iterate in the event loop that created it; close it when done.
    """

    def __init__(self, bus: "MemoryBus", max_waiting: int) -> None:
        self.lost = 0
        """The number of events dropped because this reader was too slow."""
        self._bus = bus
        self._max_waiting = max_waiting
        self._events: deque[StoredEvent] = deque()
        self._loop = asyncio.get_running_loop()
        self._arrived = asyncio.Event()
        self._closed = False

    def put(self, events: Sequence[StoredEvent]) -> None:
        """Add *events*; those that exceed the limit are counted as lost."""
        room = self._max_waiting - len(self._events)
        self.lost += max(0, len(events) - room)
        self._events.extend(events[: max(0, room)])
        self._notify()

    def close(self) -> None:
        """Stop, and end the iteration."""
        self._closed = True
        self._bus.unsubscribe(self)
        self._notify()

    def _notify(self) -> None:
        try:
            self._loop.call_soon_threadsafe(self._arrived.set)
        except RuntimeError:  # the loop is closed, and its reader is gone
            self._bus.unsubscribe(self)

    async def __aiter__(self) -> AsyncIterator[StoredEvent]:
        while True:
            while self._events:
                yield self._events.popleft()
            if self._closed:
                return
            self._arrived.clear()
            if not self._events and not self._closed:
                await self._arrived.wait()


class MemoryBus:
    """A `LiveBus` for the readers of one process. `publish` is called on the pipeline's thread."""

    def __init__(self, *, max_waiting_events: int, max_readers: int) -> None:
        self._max_waiting = max_waiting_events
        self._max_readers = max_readers
        self._subscriptions: frozenset[MemorySubscription] = frozenset()
        self._lock = threading.Lock()

    @property
    def is_watched(self) -> bool:
        """Whether there is a subscription; without one the pipeline decodes no event."""
        return bool(self._subscriptions)

    @property
    def is_full(self) -> bool:
        """Whether as many readers are subscribed as the bus allows."""
        return len(self._subscriptions) >= self._max_readers

    def subscribe(self) -> MemorySubscription:
        """Return a new reader's subscription; call it in the reader's event loop."""
        subscription = MemorySubscription(self, self._max_waiting)
        with self._lock:
            self._subscriptions |= {subscription}
        return subscription

    def unsubscribe(self, subscription: MemorySubscription) -> None:
        """Remove a reader."""
        with self._lock:
            self._subscriptions -= {subscription}

    def publish(self, events: Sequence[StoredEvent]) -> None:
        """Give *events*, in the order they were stored, to every reader."""
        for subscription in self._subscriptions:
            subscription.put(events)

    def close(self) -> None:
        """End every subscription."""
        for subscription in list(self._subscriptions):
            subscription.close()
