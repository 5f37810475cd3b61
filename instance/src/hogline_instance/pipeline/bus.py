"""The protocol of the bus to which the pipeline publishes events that were just stored.

The feature `live` implements it in memory.
"""

from collections.abc import AsyncIterator, Sequence
from typing import Protocol

from hogline_instance.events.event import StoredEvent

__all__ = ["LiveBus", "Subscription"]


class Subscription(Protocol):
    """One reader's events, in order.

    Iterate in the event loop that subscribed; close it when done.
    """

    lost: int
    """The number of events dropped because this reader was too slow."""

    def __aiter__(self) -> AsyncIterator[StoredEvent]:
        """Yield events as they are published, until `close`."""
        ...

    def close(self) -> None:
        """Stop, and end the iteration."""
        ...


class LiveBus(Protocol):
    """Carries stored events from the pipeline to all subscriptions."""

    @property
    def is_watched(self) -> bool:
        """Whether there is a subscription; without one the pipeline decodes no event."""
        ...

    @property
    def is_full(self) -> bool:
        """Whether another reader must be refused."""
        ...

    def publish(self, events: Sequence[StoredEvent]) -> None:
        """Give *events*, in the order they were stored, to every subscription. Must not block."""
        ...

    def subscribe(self) -> Subscription:
        """Return a new reader's subscription; call it in the reader's event loop."""
        ...

    def close(self) -> None:
        """End every subscription."""
        ...
