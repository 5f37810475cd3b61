"""Date ranges as PostHog's queries name them: relative (`-7d`), ISO 8601, or `all`.

Source: docs/internals/query-semantics.md#date-range.
"""

import re
from datetime import UTC, datetime, timedelta

__all__ = ["DateRangeError", "date_range"]

_RELATIVE = re.compile(r"-(\d{1,5})([hdwmqyMs])(Start|End)?")
_FIRST = datetime(1970, 1, 1, tzinfo=UTC)
_LAST = datetime(2200, 1, 1, tzinfo=UTC)
# Events of clients whose clocks run ahead still count as recent.
_AHEAD = timedelta(days=2)
_UNITS = {
    "h": timedelta(hours=1), "d": timedelta(days=1), "w": timedelta(weeks=1), "m": timedelta(days=30),
    "q": timedelta(days=91), "y": timedelta(days=365), "M": timedelta(minutes=1), "s": timedelta(seconds=1),
}  # fmt: skip


class DateRangeError(ValueError):
    """A date cannot be read; the text says what is accepted."""


def date_range(start: str | None, end: str | None, *, now: datetime, default: str = "-7d") -> tuple[datetime, datetime]:
    """Return the first moment and the moment after the last. Raises DateRangeError."""
    before = _moment(end, now, is_end=True) if end else now + _AHEAD
    after = _FIRST if start == "all" else _moment(start or default, now, is_end=False)
    return after, max(before, after)


def _moment(text: str, now: datetime, *, is_end: bool) -> datetime:
    if relative := _RELATIVE.fullmatch(text):
        moment = now - int(relative[1]) * _UNITS[relative[2]]
        # Days and longer units begin at midnight.
        if not is_end and relative[2] in "dwmqy":
            moment = moment.replace(hour=0, minute=0, second=0, microsecond=0)
        return max(moment, _FIRST)
    try:
        read = datetime.fromisoformat(text.strip())
    except ValueError as error:
        raise DateRangeError(
            f"a date must be relative such as -7d, or ISO 8601 such as 2026-01-31, got {text[:100]!r}"
        ) from error
    if is_end and len(text.strip()) == len("2026-01-31"):
        read += timedelta(days=1)
    read = read.replace(tzinfo=UTC) if read.tzinfo is None else read.astimezone(UTC)
    return min(max(read, _FIRST), _LAST)
