"""Event: what happened. Its id, its time and its person, as they stand on the wire. Pure: the clock is the only input."""

import math
import os
import time
from datetime import UTC, datetime, timedelta
from typing import Any

__all__ = ["checked_event_id", "distinct_id_text", "new_stamp", "timestamp_text"]

_urandom = os.urandom
_VARIANTS = "89ab"
_NAIVE_LOCAL_WINDOW = timedelta(seconds=5)  # a naive time this close to local now was meant as local; sdk-wire.md 1.4
# The ISO text of the current second; formatting a whole datetime for each event would be half of its cost.
_second: tuple[int, str] = (0, "1970-01-01T00:00:00")


def new_stamp() -> tuple[str, str]:
    """Return a UUIDv7 and the UTC time it was made at, `YYYY-MM-DDTHH:MM:SS.ffffff+00:00`.

    The random part comes from the kernel: a process forked without Python's hooks (uWSGI) would repeat any state of ours.
    Source: RFC 9562 5.7.
    """
    global _second  # noqa: PLW0603 - a cache of one immutable tuple, replaced whole
    now_ns = time.time_ns()
    seconds, rest_ns = divmod(now_ns, 1_000_000_000)
    known, text = _second
    if known != seconds:
        text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
        _second = (seconds, text)
    # 48 bits of milliseconds, the version 7, 12 random bits, the variant 10 with 2 bits of nanoseconds, 60 random bits.
    when, chance = f"{now_ns // 1_000_000:012x}", _urandom(9).hex()
    identity = f"{when[:8]}-{when[8:]}-7{chance[:3]}-{_VARIANTS[now_ns & 3]}{chance[3:6]}-{chance[6:]}"
    return identity, f"{text}.{rest_ns // 1000:06d}+00:00"


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
    """Return *value* (a datetime or an ISO 8601 text with a time of day) in UTC, or None when it is neither.

    A naive time within the last five seconds of local *now* was meant as local time, any other as UTC.
    Source: spec/sdk-wire.md 1.4.
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
    if value.tzinfo is None:
        local_now = now.astimezone().replace(tzinfo=None)
        is_local = timedelta(0) <= local_now - value < _NAIVE_LOCAL_WINDOW
        value = value.astimezone() if is_local else value.replace(tzinfo=UTC)
    try:
        text: str = value.astimezone(UTC).isoformat()
    except OverflowError:  # year 1 or 9999 with an offset
        return None
    return text


def distinct_id_text(value: Any) -> str | None:
    """Return *value* as the wire's distinct id, or None when it names nobody (None, blank, NaN, a bool, an empty value)."""
    if type(value) is str:
        return value if value and not value.isspace() else None
    if value is None or isinstance(value, bool) or (isinstance(value, float) and not math.isfinite(value)):
        return None
    try:
        text = str(value)
    except Exception:  # a broken __str__ is the caller's bug, and no reason to lose the event
        return None
    return text if text and not text.isspace() else None
