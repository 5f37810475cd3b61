"""The query parameters that filter events, shared by the API, the pages and the live stream."""

from datetime import UTC, datetime
from typing import Annotated

from fastapi import Query

from hogline_instance.events.filters import EventFilter
from hogline_instance.web.errors import bad_request

__all__ = ["event_filter", "parse_time"]

_MAX_CHARS = 1_000
_FIRST = datetime(1970, 1, 1, tzinfo=UTC)
_LAST = datetime(2200, 1, 1, tzinfo=UTC)


def event_filter(
    event: Annotated[str | None, Query(description="Only events with exactly this name", max_length=_MAX_CHARS)] = None,
    distinct_id: Annotated[
        str | None, Query(description="Only events of this distinct id", max_length=_MAX_CHARS)
    ] = None,
    session_id: Annotated[str | None, Query(description="Only events of this session", max_length=_MAX_CHARS)] = None,
    after: Annotated[
        str | None, Query(description="Only events later than this ISO 8601 time (UTC if it names no zone)")
    ] = None,
    before: Annotated[str | None, Query(description="Only events earlier than this ISO 8601 time")] = None,
    search: Annotated[
        str | None,
        Query(description="Only events with this text in name, distinct id or properties", max_length=_MAX_CHARS),
    ] = None,
) -> EventFilter:
    """Return the filter that a request's query names.

    An empty parameter filters nothing, as an empty form field does.
    """
    return EventFilter(
        event or None,
        distinct_id or None,
        session_id or None,
        parse_time("after", after),
        parse_time("before", before),
        search or None,
    )


def parse_time(attr: str, text: str | None) -> datetime | None:
    """Parse an ISO 8601 date or time; a '+' that a URL turned into a space is accepted."""
    if not text:
        return None
    try:
        read = datetime.fromisoformat(text.strip().replace(" ", "+") if "T" in text else text.strip())
        read = read.replace(tzinfo=UTC) if read.tzinfo is None else read.astimezone(UTC)
        # The store counts microseconds from 1900 to 2299; every event lies between.
        return min(max(read, _FIRST), _LAST)
    except (ValueError, OverflowError) as error:
        raise bad_request(
            attr, f"{attr} must be an ISO 8601 time such as 2026-01-31T09:30:00Z, got {text[:100]!r}"
        ) from error
