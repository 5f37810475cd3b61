"""A stored event: a row whose time and properties are decoded on first use."""

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cached_property

import msgspec

from hogline_instance.events.row import EventRow

__all__ = ["StoredEvent", "instant", "microseconds", "read_event"]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_STATUS = re.compile(r"[1-9][0-9]{2}")


class StoredEvent(EventRow, kw_only=True, dict=True):
    """An event read back from the store or the journal.

    `dict=True` lets the cached properties be stored.
    """

    @cached_property
    def timestamp(self) -> datetime:
        """The time of the event, in UTC."""
        return datetime.fromisoformat(self.timestamp_text).replace(tzinfo=UTC)

    @cached_property
    def properties_json(self) -> str:
        """The client's own JSON, in which numbers beyond a float's range stay exact."""
        return bytes(self.raw_properties).decode("utf-8", "replace")

    @cached_property
    def properties(self) -> Mapping[str, object]:
        """The decoded properties, which no step may change: all steps share them.

        Empty if the JSON is too deep or has too long a number.
        """
        try:
            value = _values.decode(self.raw_properties)
        except (msgspec.DecodeError, ValueError, RecursionError):
            value = _patiently(self.properties_json)
        return value if isinstance(value, dict) else {}

    @cached_property
    def property_names(self) -> tuple[str, ...]:
        """The names of the properties, in the client's order."""
        return tuple(self.properties)

    def replace_properties(self, raw: bytes) -> None:
        """Give the event other properties, as JSON on one line."""
        self.raw_properties = msgspec.Raw(raw)
        for decoded in ("properties", "properties_json", "property_names"):
            self.__dict__.pop(decoded, None)

    def text(self, name: str) -> str:
        """Return property *name* as a string, or '' when it is absent, null or a structure."""
        value = self.properties.get(name)
        if value is None or isinstance(value, (dict, list)):
            return ""
        return str(value)

    @property
    def status(self) -> int | None:
        """The HTTP status in its properties, a number of three digits, or None."""
        value = self.properties.get("$response_status_code")
        if isinstance(value, str) and _STATUS.fullmatch(value):
            return int(value)
        is_number = isinstance(value, int) and not isinstance(value, bool)
        return value if is_number and 100 <= value <= 999 else None  # type: ignore[operator,return-value]

    @property
    def timestamp_us(self) -> int:
        """Microseconds since the epoch, as the store and cursors count time."""
        return microseconds(self.timestamp)


_decoder = msgspec.json.Decoder(StoredEvent)
_values = msgspec.json.Decoder()


def read_event(line: bytes) -> StoredEvent:
    """Return the event in *line*, a row that `encode_row` wrote (or an earlier version did)."""
    return _decoder.decode(line)


def _patiently(text: str) -> object:
    """Return the value of JSON that the quick decoder refuses, such as a lone surrogate."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return {}


def instant(microseconds_since_epoch: int) -> datetime:
    """Return the UTC datetime of a count of microseconds, exactly."""
    seconds, rest = divmod(microseconds_since_epoch, 1_000_000)
    return datetime.fromtimestamp(seconds, UTC).replace(microsecond=rest)


def microseconds(moment: datetime) -> int:
    """Return microseconds since the epoch, without the rounding of a float."""
    delta = moment - _EPOCH
    return (delta.days * 86_400 + delta.seconds) * 1_000_000 + delta.microseconds
