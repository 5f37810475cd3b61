"""When an event happened, as far as its client's clock can be believed.

Source: docs/internals/instance-protocol.md#clock-skew.
"""

from datetime import UTC, datetime, timedelta
from typing import Any

__all__ = ["corrected", "parse_time", "store_text"]

_FUTURE = timedelta(hours=23)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LAST_YEAR = 2200  # the store's column ends in 2299


def parse_time(value: Any) -> datetime | None:
    """Return an ISO 8601 text as an aware time (naive ones are UTC), or None."""
    if not isinstance(value, str) or not value:
        return None
    try:
        parsed = datetime.fromisoformat(value)
    except ValueError:
        return None
    return parsed if parsed.tzinfo is not None else parsed.replace(tzinfo=UTC)


def corrected(
    timestamp: datetime | None, sent_at: datetime | None, offset_ms: float | None, now: datetime, *, believe_clock: bool
) -> datetime:
    """Return the event's time by our clock: moved by what the client's clock was wrong when it sent."""
    try:
        if timestamp is None:
            moment = now - timedelta(milliseconds=offset_ms) if offset_ms is not None else now
        elif sent_at is not None and not believe_clock:
            moment = timestamp - (sent_at - now)
        else:
            moment = timestamp
        moment = moment.astimezone(UTC)
    except OverflowError:
        return _EPOCH
    except ValueError:  # an offset that is no number
        return now
    if moment - now > _FUTURE:
        return now
    return moment if moment >= _EPOCH and moment.year < _LAST_YEAR else _EPOCH


def store_text(moment: datetime) -> str:
    """Return *moment* (in UTC) as the store reads it, with microseconds."""
    return moment.strftime("%Y-%m-%d %H:%M:%S.") + f"{moment.microsecond:06d}"
