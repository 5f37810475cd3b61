"""Cursors: the position where a page of sessions starts."""

import base64
import binascii
from dataclasses import dataclass
from datetime import datetime

from hogline_instance.events.cursor import BadCursorError
from hogline_instance.events.event import microseconds

__all__ = ["SessionCursor"]

_MAX_CHARACTERS = 1_500


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
        return base64.urlsafe_b64encode(f"{self.last_seen_us}.{self.session_id}".encode()).rstrip(b"=").decode()

    @classmethod
    def decode(cls, text: str) -> "SessionCursor":
        """Read what `encode` wrote. Raises BadCursorError."""
        try:
            raw = base64.b64decode(text.encode("ascii") + b"=" * (-len(text) % 4), altchars=b"-_", validate=True)
            last_seen, _, session_id = raw.decode().partition(".")
            cursor = cls(int(last_seen[:20]), session_id)
        except (ValueError, binascii.Error) as error:
            raise BadCursorError(f"cursor {text[:100]!r} is not one that 'next' gave") from error
        if len(text) > _MAX_CHARACTERS or not -(2**53) < cursor.last_seen_us < 2**53:
            raise BadCursorError(f"cursor {text[:100]!r} is not one that 'next' gave")
        return cursor
