"""Events in the queue: whole ones, and those whose bytes are made when they leave."""

from typing import Any, TypeAlias

__all__ = ["Event", "finished"]

Event: TypeAlias = bytes | tuple[Any, ...]
"""An event's bytes, or a tuple of which they are made when the event leaves.

Such a tuple begins with the function that makes the bytes of the tuple, and with their length, as
far as it is known. The function never raises.
"""


def finished(event: Event) -> bytes:
    """Return the bytes of *event*."""
    return event if type(event) is bytes else event[0](event)  # type: ignore[operator]
