"""Determine the time of an event, corrected for the error of its client's clock.

Source: docs/internals/instance-protocol.md#clock-skew.
"""

import math
import re
from datetime import UTC, datetime, timedelta
from typing import Any

__all__ = ["corrected", "parse_time"]

_FUTURE = timedelta(hours=23)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LAST_YEAR = 2200  # the store's column ends in 2299
_MAX_CHARACTERS = 64
_MAX_NUMBER = 10**19
_UNIX_TIME = re.compile(r"([0-9]{9,19})(?:\.([0-9]{1,9}))?")
_UNIX_UNITS = {9: 1, 10: 1, 13: 1_000, 16: 1_000_000, 19: 1_000_000_000}
_HAS_YEAR = re.compile(r"[0-9]{4}|[0-9]{1,2}/[0-9]{1,2}/[0-9]{2}|-[A-Za-z]{3}-[0-9]{2}")
_STAND_INS = (datetime(1904, 1, 1), datetime(1908, 2, 2))  # noqa: DTZ001 - leap years without a zone
_HOUR_S = 3600
# Source: RFC 2822, section 4.3.
_ZONES = {"UT": 0, "Z": 0, "EST": -5 * _HOUR_S, "EDT": -4 * _HOUR_S, "CST": -6 * _HOUR_S, "CDT": -5 * _HOUR_S,
          "MST": -7 * _HOUR_S, "MDT": -6 * _HOUR_S, "PST": -8 * _HOUR_S, "PDT": -7 * _HOUR_S}  # fmt: skip


def parse_time(value: Any) -> datetime | None:
    """Return *value* as an aware time (UTC if it names no zone), or None if it is not a time.

    Accepts the formats that PostHog's edge accepts: RFC 3339 and its looser forms, RFC 2822, dates
    with slashes or names of months, and Unix times of 10, 13, 16 or 19 digits (seconds to
    nanoseconds). Never raises.
    """
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < _MAX_NUMBER:
        value = repr(value)
    if not isinstance(value, str) or not value or len(value) > _MAX_CHARACTERS:
        return None
    text = value.strip()
    if number := _UNIX_TIME.fullmatch(text):
        return _from_unix(number[1], number[2] or "")
    try:
        parsed: datetime | None = datetime.fromisoformat(text)
    except ValueError:
        parsed = _loosely(text)
    return parsed.replace(tzinfo=UTC) if parsed is not None and parsed.tzinfo is None else parsed


def _from_unix(digits: str, fraction: str) -> datetime | None:
    unit = _UNIX_UNITS.get(len(digits))
    if unit is None:
        return None
    microseconds = int(digits + fraction) * 1_000_000 // (unit * 10 ** len(fraction))
    try:
        return _EPOCH + timedelta(microseconds=microseconds)
    except OverflowError:
        return None


def _loosely(text: str) -> datetime | None:
    """Return *text* as dateutil parses it, or None when day, month or year is missing."""
    from dateutil import parser  # imported lazily: SDKs write RFC 3339

    if not _HAS_YEAR.search(text):
        return None
    try:
        # dateutil fills missing fields from the default, so two different defaults show whether any
        # field was missing.
        first, second = (parser.parse(text, default=stand_in, tzinfos=_zone_s) for stand_in in _STAND_INS)
        return first if first.replace(tzinfo=None) == second.replace(tzinfo=None) else None
    except (ValueError, OverflowError, TypeError, AttributeError, IndexError, ArithmeticError):
        return None  # dateutil documents the first two; hostile input raises the others


def _zone_s(name: str | None, offset_s: int | None) -> int:
    """Return the offset of a zone in seconds; an unknown name is taken for UTC."""
    return offset_s if offset_s is not None else _ZONES.get((name or "").upper(), 0)


def corrected(
    timestamp: datetime | None, sent_at: datetime | None, offset_ms: float | None, now: datetime, *, believe_clock: bool
) -> datetime:
    """Return the event's time, corrected for the error of the client's clock.

    *offset_ms*, the age of the event at *now*, wins over *timestamp*. Never raises.
    """
    try:
        if offset_ms is not None and math.isfinite(offset_ms):
            moment = now - timedelta(milliseconds=offset_ms)
        elif timestamp is None:
            moment = now
        elif sent_at is not None and not believe_clock:
            moment = timestamp - (sent_at - now)
        else:
            moment = timestamp
        moment = moment.astimezone(UTC)
    except (OverflowError, ValueError):
        return _EPOCH
    if moment - now > _FUTURE:
        return now
    return moment if moment >= _EPOCH and moment.year < _LAST_YEAR else _EPOCH
