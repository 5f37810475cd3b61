"""An event's id, time and person in the form that the wire needs.

The functions are pure: the clock is their only input.
"""

import functools
import itertools
import math
import os
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from hogline.process_id import current_pid

__all__ = [
    "checked_event_id",
    "distinct_id_text",
    "new_id",
    "new_request_id",
    "new_stamp",
    "time_text",
    "timestamp_text",
]

_time, _time_ns = time.time, time.time_ns
# Twelve digits, with room to count on for a second.
_FIRST_NUMBER, _NUMBERS = 100_000_000_000, 800_000_000_000
# A naive time this close to the local time was meant as local time:
# docs/internals/capture-protocol.md#timestamps
_NAIVE_LOCAL_WINDOW = timedelta(seconds=5)
_THREE_DIGITS = tuple(f"{number:03d}" for number in range(1000))
# Added to milliseconds, so that hex() always has twelve digits behind the first.
_ABOVE_48_BITS = 1 << 48
# 1970 to 9999: the range that the 48 bits of an id, and a timestamp with a year of four digits, can
# hold.
_FIRST_S, _LAST_S = 0.0, 253_402_300_799.0
_NEVER = math.nan  # as the known second: it equals no other
_DIGITS_19, _LEAST_OF_19_DIGITS = 9_000_000_000_000_000_000, 1_000_000_000_000_000_000
_DIGITS_7, _LEAST_OF_7_DIGITS = 9_000_000, 1_000_000
# The current second and process, the random middle of the second's ids, and the counter at their
# end, which starts at a random number. The tuple is replaced as a whole. To format
# a datetime and to ask the kernel for random bytes for each event would be half of its cost.
_now: tuple[float, int, str, Iterator[int]] = (_NEVER, 0, "", iter(()))
_beginning = os.urandom(3).hex()
_request_numbers = itertools.count()


def new_stamp() -> tuple[str, str]:
    """Return a UUIDv7 and the UTC time it was made at, `YYYY-MM-DDTHH:MM:SS.ffffff+00:00`."""
    event_id, now_s = new_id()
    return event_id, time_text(now_s)


def new_id() -> tuple[str, float]:
    """Return a UUIDv7 and the time it was made at, for `time_text`.

    The id is well formed whatever the clock says: a time before 1970 is 1970, one after 9999 is the
    last second of 9999. Source: RFC 9562 5.7, and 6.2 for the counter at the end of what is random
    (method 2).
    """
    now_s = _time()
    known, pid, middle, numbers = _now
    if known != int(now_s) or pid != current_pid():
        now_s = min(max(now_s, _FIRST_S), _LAST_S)
        middle, numbers = _start_second(int(now_s))
    # Slices, since Python's own formats take three times as long.
    when = hex(int(now_s * 1000) + _ABOVE_48_BITS)
    return f"{when[3:11]}-{when[11:]}-{middle}-{next(numbers)}", now_s


def time_text(now_s: float) -> str:
    """Return the time that `new_id` gave as `YYYY-MM-DDTHH:MM:SS.ffffff+00:00`."""
    seconds = int(now_s)
    micros = int((now_s - seconds) * 1_000_000)
    # Tables and a cache, since to format a datetime takes three times as long.
    return f"{_second_text(seconds)}.{_THREE_DIGITS[micros // 1000]}{_THREE_DIGITS[micros % 1000]}+00:00"


@functools.lru_cache(maxsize=16)
def _second_text(seconds: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))


def _start_second(seconds: int) -> tuple[str, Iterator[int]]:
    """Draw the random part of the ids of a new second, or of a new process, and remember it.

    It is used only in the second and the process that drew it: a process forked without Python's
    hooks (uWSGI) and a machine that was restored from a snapshot would repeat any older state of
    ours.
    """
    global _now  # noqa: PLW0603 - a cache of one immutable tuple, replaced whole
    chance = os.urandom(12)
    digits = chance[:4].hex()
    # The version 7 with 12 random bits, the variant 10 with 14 more; then twelve digits, which here
    # are decimal ones.
    middle = f"7{digits[:3]}-{'89ab'[chance[3] & 3]}{digits[3:6]}"
    numbers = itertools.count(_FIRST_NUMBER + int.from_bytes(chance[4:], "big") % _NUMBERS)
    # A time that was clamped is clamped anew for each event.
    is_as_read = _FIRST_S < seconds < _LAST_S
    _now = (seconds if is_as_read else _NEVER, current_pid(), middle, numbers)
    return middle, numbers


def new_request_id() -> str:
    """Return 32 hexadecimal digits.

    They hold a random beginning for the process, the time in nanoseconds, and a number.

    The time differs in a process that was forked without Python's hooks, and is cheaper to read
    than the pid.
    """
    # This has 19 digits before 2001 and before 1970, too.
    when = _time_ns() % _DIGITS_19 + _LEAST_OF_19_DIGITS
    return f"{_beginning}{when}{next(_request_numbers) % _DIGITS_7 + _LEAST_OF_7_DIGITS}"


def checked_event_id(value: Any) -> str | None:
    """Return *value* as a canonical UUID text, or None when it is not one."""
    from uuid import UUID  # own ids are rare, and the module is slow to import

    if isinstance(value, UUID):
        return str(value)
    try:
        return str(UUID(value))
    except (ValueError, TypeError, AttributeError):
        return None


def timestamp_text(value: Any, now: datetime) -> str | None:
    """Return *value* in UTC, or None when it is no time.

    *value* may be a datetime, or an ISO 8601 text with a time of day.

    A naive time within the last five seconds of local *now* was meant as local time, any other as
    UTC. Source: docs/internals/capture-protocol.md#timestamps.
    """
    if isinstance(value, str):
        if len(value) <= len("YYYY-MM-DD"):
            return None
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            return None
    if not isinstance(value, datetime):
        return None
    try:
        if value != value:  # noqa: PLR0124 - pandas' NaT is a datetime, and equals nothing
            return None
        if value.tzinfo is None:
            local_now = now.astimezone().replace(tzinfo=None)
            is_local = timedelta(0) <= local_now - value < _NAIVE_LOCAL_WINDOW
            value = value.astimezone() if is_local else value.replace(tzinfo=UTC)
        return datetime.isoformat(value.astimezone(UTC))
    except Exception:  # years 1 and 9999 with an offset overflow; a time zone may raise anything
        return None


def distinct_id_text(value: Any) -> str | None:
    """Return *value* as the wire's distinct id, or None when it names nobody.

    None, blank texts, NaN, booleans and empty values name nobody.
    """
    if type(value) is str:
        return value if value and not value.isspace() else None
    if value is None or isinstance(value, bool) or (isinstance(value, float) and not math.isfinite(value)):
        return None
    try:
        text = str(value)
    except Exception:  # a broken __str__ is the caller's bug, and no reason to lose the event
        return None
    return text if text and not text.isspace() else None
