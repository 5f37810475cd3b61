"""Cursors: the position where a page of events starts."""

import base64
import binascii
from dataclasses import dataclass
from uuid import UUID

__all__ = ["BadCursorError", "Cursor"]


class BadCursorError(ValueError):
    """The text is not a cursor that this instance made."""


@dataclass(frozen=True, slots=True)
class Cursor:
    """The last event of a page.

    The uuid breaks ties: events may share a timestamp, and would be lost or repeated without it.
    """

    timestamp_us: int
    uuid: str

    def encode(self) -> str:
        """Return the cursor as text that fits in a URL."""
        return base64.urlsafe_b64encode(f"{self.timestamp_us}.{self.uuid}".encode()).rstrip(b"=").decode()

    @classmethod
    def decode(cls, text: str) -> "Cursor":
        """Read what `encode` wrote. Raises BadCursorError."""
        try:
            raw = base64.b64decode(text.encode("ascii") + b"=" * (-len(text) % 4), altchars=b"-_", validate=True)
            timestamp, _, uuid = raw.decode("ascii").partition(".")
            cursor = cls(int(timestamp), str(UUID(uuid)))
        except (ValueError, binascii.Error) as error:
            raise BadCursorError(f"cursor {text[:100]!r} is not one that 'next' gave") from error
        if not -(2**53) < cursor.timestamp_us < 2**53:
            raise BadCursorError(f"cursor {text[:100]!r} is not one that 'next' gave")
        return cursor
