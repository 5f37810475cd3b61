"""Live events: what was just written to the store, for everybody who watches. A slow watcher loses events, with a count."""

import asyncio
import threading
from collections import deque
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime

__all__ = ["Live", "LiveEvent", "Subscription"]


@dataclass(frozen=True, slots=True)
class LiveEvent:
    """A stored event; `properties` are the client's JSON bytes."""

    uuid: str
    event: str
    distinct_id: str
    session_id: str
    timestamp: datetime
    properties: bytes
    project_id: int


class Subscription:
    """One watcher's events, in order. Iterate in the event loop that made it; `close` it when done."""

    def __init__(self, live: "Live", max_waiting: int) -> None:
        self.lost = 0
        """Events that this watcher was too slow for."""
        self._live = live
        self._max_waiting = max_waiting
        self._events: deque[LiveEvent] = deque()
        self._loop = asyncio.get_running_loop()
        self._arrived = asyncio.Event()
        self._closed = False

    def put(self, events: Sequence[LiveEvent]) -> None:
        """Hand over *events*; called by the pipeline's thread."""
        room = self._max_waiting - len(self._events)
        self.lost += max(0, len(events) - room)
        self._events.extend(events[: max(0, room)])
        self._notify()

    def close(self) -> None:
        """Stop watching; whoever iterates comes to an end."""
        self._closed = True
        self._live.unsubscribe(self)
        self._notify()

    def _notify(self) -> None:
        try:
            self._loop.call_soon_threadsafe(self._arrived.set)
        except RuntimeError:  # the loop is closed, and its watcher with it
            self._live.unsubscribe(self)

    async def __aiter__(self) -> AsyncIterator[LiveEvent]:
        while True:
            while self._events:
                yield self._events.popleft()
            if self._closed:
                return
            self._arrived.clear()
            if not self._events and not self._closed:
                await self._arrived.wait()


class Live:
    """Where the pipeline publishes and watchers subscribe."""

    def __init__(self, *, max_waiting_events: int) -> None:
        self._max_waiting = max_waiting_events
        self._subscriptions: frozenset[Subscription] = frozenset()
        self._lock = threading.Lock()

    @property
    def is_watched(self) -> bool:
        """Whether anybody watches; the pipeline parses no event otherwise."""
        return bool(self._subscriptions)

    def subscribe(self) -> Subscription:
        """Return a new watcher's subscription; call in its event loop."""
        subscription = Subscription(self, self._max_waiting)
        with self._lock:
            self._subscriptions |= {subscription}
        return subscription

    def unsubscribe(self, subscription: Subscription) -> None:
        """Forget a watcher."""
        with self._lock:
            self._subscriptions -= {subscription}

    def publish(self, events: Sequence[LiveEvent]) -> None:
        """Give *events*, in the order they were stored, to every watcher."""
        for subscription in self._subscriptions:
            subscription.put(events)

    def close(self) -> None:
        """End every subscription."""
        for subscription in list(self._subscriptions):
            subscription.close()
