"""One event as the store holds it: identity, time, and the client's own JSON kept as it came."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property

__all__ = ["StoredEvent", "instant", "microseconds"]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class StoredEvent:
    """An event read back. `properties_json` is the client's text, so numbers no float can hold stay exact."""

    uuid: str
    event: str
    distinct_id: str
    session_id: str
    timestamp: datetime
    properties_json: str
    elements_chain: str = ""

    @cached_property
    def properties(self) -> Mapping[str, object]:
        """The properties as a mapping; empty when the text can't be read (too deep, an absurdly long number)."""
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


def instant(microseconds_since_epoch: int) -> datetime:
    """Return the UTC datetime of a count of microseconds, exactly."""
    seconds, rest = divmod(microseconds_since_epoch, 1_000_000)
    return datetime.fromtimestamp(seconds, UTC).replace(microsecond=rest)


def microseconds(moment: datetime) -> int:
    """Return microseconds since the epoch, without the rounding of a float."""
    delta = moment - _EPOCH
    return (delta.days * 86_400 + delta.seconds) * 1_000_000 + delta.microseconds
