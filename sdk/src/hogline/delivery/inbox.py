"""The inbox: small events that were put without the queue's lock, until its next holder takes them.

To take the lock, and to count, for each event is more work than all else that `put` does. So up to
`room` events wait here. The caller that fills the inbox takes the lock and counts all of them, and
so does whoever needs the queue's true counts. The queue makes room only for events that it surely
has space for, and only while its worker looks at it again by itself.
"""

from collections import deque

from hogline.delivery.pending import Event

__all__ = ["SMALL_EVENT_BYTES", "Inbox"]

SMALL_EVENT_BYTES = 16_384
"""The largest event that may wait here."""
_MAX_EVENTS = 64
# Each thread may put one event more than there is room for, at the same moment.
_FREE_EVENTS = 1000 + _MAX_EVENTS
_MAX_BYTES = _MAX_EVENTS * SMALL_EVENT_BYTES
_FREE_BYTES = _FREE_EVENTS * SMALL_EVENT_BYTES


class Inbox:
    """Events that are not counted yet. Both ends are used without the lock."""

    __slots__ = ("events", "room")

    def __init__(self) -> None:
        self.events: deque[Event] = deque()
        self.room: int = 0
        """How many events may wait here; 0: use the lock.

        It is read again after an event was appended: at 0 by then, the queue may never look again.
        """

    def make_room(self, adds_to_wake: int, *, bytes_to_wake: int, free_events: int, free_bytes: int) -> None:
        """Choose the room.

        So many more events, or bytes, wake the worker; and so many have space in the queue.
        """
        is_useful = adds_to_wake > 1 and bytes_to_wake >= _MAX_BYTES
        has_space = free_events >= _FREE_EVENTS and free_bytes >= _FREE_BYTES
        self.room = min(_MAX_EVENTS, adds_to_wake) if is_useful and has_space else 0

    def empty(self) -> list[Event]:
        """Remove and return all events. The caller holds the queue's lock."""
        events, taken = self.events, []
        while True:
            try:
                taken.append(events.popleft())
            except IndexError:  # a signal handler that interrupts this may take them, too
                return taken

    def holds(self, event: Event) -> bool:
        """Return whether *event* itself waits here. The caller holds the queue's lock."""
        return any(waiting is event for waiting in list(self.events))
