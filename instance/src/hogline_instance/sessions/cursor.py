"""Cursors: the position where a page of sessions starts."""

from dataclasses import dataclass
from datetime import datetime

from hogline_instance.events.cursor import pack, unpack
from hogline_instance.events.event import microseconds

__all__ = ["SessionCursor"]


@dataclass(frozen=True, slots=True)
class SessionCursor:
    """The last session of a page. Sessions may end at the same instant, so the id breaks ties."""

    last_seen_us: int
    session_id: str = ""

    @classmethod
    def at(cls, moment: datetime) -> "SessionCursor":
        """Return the cursor of the sessions that ended before *moment*."""
        return cls(microseconds(moment))

    def encode(self) -> str:
        """Return the cursor as text that fits in a URL."""
        return pack(self.last_seen_us, self.session_id)

    @classmethod
    def decode(cls, text: str) -> "SessionCursor":
        """Read what `encode` wrote. Raises BadCursorError."""
        return cls(*unpack(text))
