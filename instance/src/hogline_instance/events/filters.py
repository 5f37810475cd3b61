"""Filters of events.

The store applies a filter in SQL, the live stream with `matches`; both mean the same.
"""

import json
from dataclasses import dataclass
from datetime import datetime

from hogline_instance.events.event import StoredEvent

__all__ = ["EventFilter", "matches", "search_variants"]


@dataclass(frozen=True, slots=True)
class EventFilter:
    """A filter of events.

    Event name, person and session match exactly; `after` < timestamp < `before`; *search* may match
    anywhere in the name, the distinct id or the properties. *distinct_ids* are those of one person;
    *person_id* is that of the row, which an event without a person has too.
    """

    event: str | None = None
    distinct_id: str | None = None
    session_id: str | None = None
    after: datetime | None = None
    before: datetime | None = None
    search: str | None = None
    distinct_ids: tuple[str, ...] | None = None
    person_id: str | None = None


def matches(event: StoredEvent, wanted: EventFilter) -> bool:
    """Return whether *event* passes the filter."""
    if (wanted.event not in {None, event.event}) or (wanted.distinct_id not in {None, event.distinct_id}):
        return False
    if wanted.session_id not in {None, event.session_id} or wanted.person_id not in {None, event.person_id}:
        return False
    if wanted.distinct_ids is not None and event.distinct_id not in wanted.distinct_ids:
        return False
    if (wanted.after and event.timestamp <= wanted.after) or (wanted.before and event.timestamp >= wanted.before):
        return False
    return not wanted.search or _contains(event, wanted.search)


def search_variants(search: str) -> list[str]:
    """Return the forms that *search* can have in JSON: verbatim, and as encoders escape it."""
    forms = (search, json.dumps(search, ensure_ascii=False)[1:-1], json.dumps(search)[1:-1])
    return list(dict.fromkeys(forms))


def _contains(event: StoredEvent, search: str) -> bool:
    text = event.properties_json.lower()
    words = search.lower()
    return (
        any(variant.lower() in text for variant in search_variants(search))
        or words in event.event.lower()
        or words in event.distinct_id.lower()
    )
