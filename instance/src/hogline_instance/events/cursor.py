"""Where a page of events starts."""

import base64
import binascii
from dataclasses import dataclass
from uuid import UUID

__all__ = ["BadCursorError", "Cursor"]


class BadCursorError(ValueError):
    """A cursor that this instance did not make."""


@dataclass(frozen=True, slots=True)
class Cursor:
    """The last event of a page.

    Time alone would lose or repeat events that share an instant, so the uuid decides.
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
