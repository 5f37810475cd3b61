"""An event as readers see it: the stored row, whose time and properties are decoded on first use."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cached_property

import msgspec

from hogline_instance.events.row import EventRow

__all__ = ["StoredEvent", "instant", "microseconds", "read_event"]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class StoredEvent(EventRow, kw_only=True, dict=True):
    """An event read back from the store or the journal.

    `dict=True` gives the cached properties their place.
    """

    @cached_property
    def timestamp(self) -> datetime:
        """The moment it happened, in UTC."""
        return datetime.fromisoformat(self.timestamp_text).replace(tzinfo=UTC)

    @cached_property
    def properties_json(self) -> str:
        """The client's own JSON, so that numbers which no float can hold stay exact."""
        return bytes(self.raw_properties).decode("utf-8", "replace")

    @cached_property
    def properties(self) -> Mapping[str, object]:
        """The properties as a mapping; empty when the JSON can't be read (too deep, a number too long)."""
        try:
            value = json.loads(self.properties_json)
        except (ValueError, RecursionError):
            return {}
        return value if isinstance(value, dict) else {}

    def text(self, name: str) -> str:
        """Return property *name* as a string, '' when it is absent, null or a structure."""
        value = self.properties.get(name)
        if value is None or isinstance(value, (dict, list)):
            return ""
        return str(value)

    def number(self, name: str) -> int | None:
        """Return property *name* as an integer when it is one (or digits in a string)."""
        value = self.properties.get(name)
        if isinstance(value, bool):
            return None
        if isinstance(value, int):
            return value
        return (
            int(value) if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 10 else None
        )

    @property
    def timestamp_us(self) -> int:
        """Microseconds since the epoch, as the store and cursors count time."""
        return microseconds(self.timestamp)


_decoder = msgspec.json.Decoder(StoredEvent)


def read_event(line: bytes) -> StoredEvent:
    """Return the event in *line*, a row that `encode_row` wrote (or an earlier version did)."""
    return _decoder.decode(line)


def instant(microseconds_since_epoch: int) -> datetime:
    """Return the UTC datetime of a count of microseconds, exactly."""
    seconds, rest = divmod(microseconds_since_epoch, 1_000_000)
    return datetime.fromtimestamp(seconds, UTC).replace(microsecond=rest)


def microseconds(moment: datetime) -> int:
    """Return microseconds since the epoch, without the rounding of a float."""
    delta = moment - _EPOCH
    return (delta.days * 86_400 + delta.seconds) * 1_000_000 + delta.microseconds
