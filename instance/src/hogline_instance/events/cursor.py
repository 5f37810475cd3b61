"""Cursors: the position where a page of events starts."""

import base64
import binascii
from dataclasses import dataclass
from uuid import UUID

__all__ = ["BadCursorError", "Cursor", "pack", "unpack"]

_MAX_CHARACTERS = 1_500


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
        return pack(self.timestamp_us, self.uuid)

    @classmethod
    def decode(cls, text: str) -> "Cursor":
        """Read what `encode` wrote. Raises BadCursorError."""
        timestamp_us, uuid = unpack(text)
        try:
            return cls(timestamp_us, str(UUID(uuid)))
        except ValueError as error:
            raise BadCursorError(_said(text)) from error


def pack(time_us: int, tie_breaker: str) -> str:
    """Return both parts of a cursor as text that fits in a URL."""
    return base64.urlsafe_b64encode(f"{time_us}.{tie_breaker}".encode()).rstrip(b"=").decode()


def unpack(text: str) -> tuple[int, str]:
    """Read what `pack` wrote. Raises BadCursorError."""
    try:
        raw = base64.b64decode(text.encode("ascii") + b"=" * (-len(text) % 4), altchars=b"-_", validate=True)
        digits, _, tie_breaker = raw.decode().partition(".")
        time_us = int(digits)
    except (ValueError, binascii.Error) as error:
        raise BadCursorError(_said(text)) from error
    if len(text) > _MAX_CHARACTERS or not -(2**53) < time_us < 2**53:
        raise BadCursorError(_said(text))
    return time_us, tie_breaker


def _said(text: str) -> str:
    return f"cursor {text[:100]!r} is not one that 'next' gave"
