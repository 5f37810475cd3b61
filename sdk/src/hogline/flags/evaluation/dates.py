"""The dates of filters and properties.

Relative dates count back from now, in calendar steps.
"""

import calendar
from datetime import UTC, date, datetime, timedelta
from typing import Any

__all__ = ["absolute", "is_relative", "property_moment", "relative", "seconds_moment"]

_MOST = 10_000  # from here on a number of days is a mistake, not a date
_SPANS = {"h": timedelta(hours=1), "d": timedelta(days=1), "w": timedelta(weeks=1)}


def is_relative(text: str) -> bool:
    """Return whether *text* is a date relative to now: `-7d`, `3m`."""
    digits = text.removeprefix("-")[:-1]
    return digits.isdecimal() and digits.isascii() and text[-1] in "hdwmy" and int(digits) < _MOST


def relative(text: str, now: datetime) -> datetime | None:
    """Return the moment that *text* names, seen from *now*.

    The result is None if the moment is before the calendar began.
    """
    amount, unit = int(text.removeprefix("-")[:-1]), text[-1]
    try:
        if unit in _SPANS:
            return now - amount * _SPANS[unit]
        return _months_before(now, amount if unit == "m" else amount * 12, step=1 if unit == "m" else 12)
    except (OverflowError, ValueError):
        return None


def _months_before(now: datetime, months: int, *, step: int) -> datetime:
    """Step back month by month, or year by year.

    The day is cut to the length of each month on the way.

    31 March less two months is 28 January, as the server has it.
    """
    last = now.year * 12 + now.month - 1 - months
    day = now.day
    for index in range(last + months - step, last - 1, -step):
        if day <= 28:
            break
        day = min(day, calendar.monthrange(index // 12, index % 12 + 1)[1])
    return now.replace(year=last // 12, month=last % 12 + 1, day=day)


def absolute(text: str, now: datetime) -> datetime | None:
    """Return the moment in the ISO 8601 date or time *text*; without a zone it is UTC.

    The result is None if *text* is no date.
    A bare year means this day of that year; `... UTC` and a space before the zone are accepted.
    """
    text = text.strip()
    try:
        if len(text) == 4 and text.isdecimal():
            return datetime(int(text), now.month, now.day, tzinfo=UTC)
        if text[-4:].upper() == " UTC":
            text = text[:-4] + "+00:00"
        elif text[-7:-5] in (" +", " -"):
            text = text[:-7] + text[-6:]
        moment = datetime.fromisoformat(text)
    except (ValueError, IndexError):
        return None
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


def property_moment(value: Any, now: datetime) -> datetime | date | None:
    """Return the moment that a property's *value* is, a bare date as a date.

    The result is None if *value* is no moment.
    """
    if isinstance(value, datetime):
        return value if value.tzinfo is not None else value.replace(tzinfo=UTC)
    if isinstance(value, date):
        return value
    return absolute(value, now) if isinstance(value, str) else None


def seconds_moment(value: Any) -> datetime | None:
    """Return the moment that is *value* seconds after 1970, a number or its text.

    The result is None if *value* is no number, or too large.
    """
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        return datetime.fromtimestamp(float(value), UTC)
    except (ValueError, OverflowError, OSError):
        return None
