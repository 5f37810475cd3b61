"""The part of a session's timeline around a crash; without a session, the person's events then."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from hogline_instance.events.cursor import Cursor
from hogline_instance.events.event import StoredEvent, microseconds
from hogline_instance.events.filters import EventFilter
from hogline_instance.events.queries import list_events
from hogline_instance.sessions import Entry, build_timeline, find_session
from hogline_instance.store import Store

__all__ = ["Line", "line_around"]

_BEFORE, _AFTER = timedelta(minutes=10), timedelta(minutes=1)
_ENTRIES_BEFORE, _ENTRIES_AFTER = 12, 4
_MAX_EVENTS = 200
_FIRST_UUID = "00000000-0000-0000-0000-000000000000"


@dataclass(frozen=True, slots=True)
class Line:
    """Entries around the crash, oldest first; `omitted` counts those before that are left out."""

    entries: tuple[Entry, ...]
    omitted: int
    is_session: bool


def line_around(store: Store, project_id: int, event: StoredEvent) -> Line:
    """Return the line around *event*, browser and server."""
    entries: Sequence[Entry] = ()
    if event.session_id:
        start = Cursor(microseconds(event.timestamp - _BEFORE), _FIRST_UUID)
        session = find_session(store, project_id, event.session_id, after=start)
        entries = session.timeline.entries if session is not None else ()
    else:
        wanted = EventFilter(
            distinct_id=event.distinct_id, after=event.timestamp - _BEFORE, before=event.timestamp + _AFTER
        )
        entries = build_timeline(list_events(store, project_id, wanted, limit=_MAX_EVENTS).events).entries
    place = next((number for number, each in enumerate(entries) if _holds(each, event.uuid)), None)
    if place is None:
        return Line((), 0, is_session=bool(event.session_id))
    begin = max(place - _ENTRIES_BEFORE, 0)
    return Line(tuple(entries[begin : place + 1 + _ENTRIES_AFTER]), begin, is_session=bool(event.session_id))


def _holds(entry: Entry, uuid: str) -> bool:
    if entry.event is not None and entry.event.uuid == uuid:
        return True
    return any(event.uuid == uuid for request in entry.requests for event in request.events)
