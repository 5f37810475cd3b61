"""Queries of stored events: filtered lists in pages, and one event by its uuid.

No event is lost or repeated between pages.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import cast

from hogline_instance.events.columns import LISTED, SELECT_LIST, event_of
from hogline_instance.events.cursor import Cursor
from hogline_instance.events.event import StoredEvent, microseconds
from hogline_instance.events.filters import EventFilter, search_variants
from hogline_instance.store import EVENTS_TABLE, Store

__all__ = ["MAX_LIST_BYTES", "Page", "arrivals", "find_event", "list_events", "read_events"]

# Most pages are found in the last day, and the table is sorted by day: look there first, then
# widen.
_WINDOWS = (timedelta(days=1), timedelta(days=31), None)
# A client with a fast clock stamps events in the future; they still count as the newest.
_CLOCKS_AHEAD = timedelta(days=2)
MAX_LIST_BYTES = 16 * 1024 * 1024
_SMALL_BYTES = 64 * 1024
_COLUMNS = ", ".join(each.expression for each in LISTED if each.name != "properties")
_PLACE = "toUnixTimestamp64Micro(timestamp), event, distinct_id"
_MAX_ROUNDS = 50  # bounds the loop when a page is full of duplicates that are not merged yet


@dataclass(frozen=True, slots=True)
class Page:
    """Events newest first, and the cursor of the next page (None at the end)."""

    events: tuple[StoredEvent, ...]
    next: Cursor | None


def list_events(
    store: Store, project_id: int, wanted: EventFilter, *, limit: int, cursor: Cursor | None = None
) -> Page:
    """Return the newest *limit* events that match, older than *cursor* when one is given."""
    found: list[StoredEvent] = []
    seen: set[str] = set()
    position = cursor
    windows = list(_WINDOWS)
    for _ in range(_MAX_ROUNDS):
        rows, whole = _rows(store, project_id, wanted, limit=limit + 1, cursor=position, window=windows[0])
        first_copies = _first_copies(store, project_id, {event.uuid for event in rows})
        for event in rows:
            position = Cursor(event.timestamp_us, event.uuid)
            # A repeated insert that the engine has not merged yet, or a later copy of the event.
            if event.uuid not in seen and first_copies.get(event.uuid, _place(event)) == _place(event):
                seen.add(event.uuid)
                found.append(event)
        if len(found) > limit or (found and not whole):
            kept = tuple(found[:limit])
            return Page(kept, Cursor(kept[-1].timestamp_us, kept[-1].uuid))
        if whole and len(rows) <= limit:
            windows.pop(0)
            if not windows:
                break
    return Page(tuple(found[:limit]), None)


def find_event(store: Store, project_id: int, uuid: str) -> StoredEvent | None:
    """Return the event with this uuid, or None."""
    rows = store.query(
        f"SELECT {SELECT_LIST} FROM {EVENTS_TABLE} WHERE team_id = {{project:UInt32}} AND uuid = {{uuid:UUID}}"  # noqa: S608 - constants
        " ORDER BY received_at, timestamp, event LIMIT 1",
        {"project": project_id, "uuid": uuid},
    )
    return event_of(rows[0]) if rows else None


def _place(event: StoredEvent) -> tuple[int, str, str]:
    return event.timestamp_us, event.event, event.distinct_id


def _first_copies(store: Store, project_id: int, uuids: set[str]) -> dict[str, tuple[int, str, str]]:
    """Return the place of the first copy, for each of *uuids* with copies at several places.

    A client that resends an event may give it another time or name. The engine merges only copies
    at the same place, so lists show the copy that came first.
    """
    if not uuids:
        return {}
    rows = store.query(
        f"SELECT toString(uuid) AS id, argMin(({_PLACE}), (received_at, timestamp, event)) AS place"  # noqa: S608 - constants
        f" FROM {EVENTS_TABLE} WHERE team_id = {{project:UInt32}} AND uuid IN {{uuids:Array(UUID)}}"
        " GROUP BY uuid HAVING uniq(timestamp, event, distinct_id) > 1",
        {"project": project_id, "uuids": sorted(uuids)},
    )
    return {str(row["id"]): cast("tuple[int, str, str]", tuple(cast("Sequence[object]", row["place"]))) for row in rows}


def _rows(
    store: Store, project_id: int, wanted: EventFilter, *, limit: int, cursor: Cursor | None, window: timedelta | None
) -> tuple[list[StoredEvent], bool]:
    conditions = ["team_id = {project:UInt32}"]
    parameters: dict[str, object] = {"project": project_id, "limit": limit}

    def add(condition: str, name: str, value: object) -> None:
        conditions.append(condition)
        parameters[name] = value

    if wanted.event is not None:
        add("event = {event:String}", "event", wanted.event)
    if wanted.distinct_id is not None:
        add("distinct_id = {distinct_id:String}", "distinct_id", wanted.distinct_id)
    if wanted.distinct_ids is not None:
        add("distinct_id IN {distinct_ids:Array(String)}", "distinct_ids", list(wanted.distinct_ids))
    if wanted.person_id is not None:
        add("toString(person_id) = {person_id:String}", "person_id", wanted.person_id)
    if wanted.session_id is not None:
        add("session_id = {session_id:String}", "session_id", wanted.session_id)
    if wanted.search:
        add(
            "(multiSearchAnyCaseInsensitiveUTF8(properties, {variants:Array(String)})"
            " OR positionCaseInsensitiveUTF8(event, {search:String}) > 0"
            " OR positionCaseInsensitiveUTF8(distinct_id, {search:String}) > 0)",
            "search",
            wanted.search,
        )
        parameters["variants"] = search_variants(wanted.search)
    if wanted.after is not None:
        add("timestamp > fromUnixTimestamp64Micro({after:Int64}, 'UTC')", "after", microseconds(wanted.after))
    if wanted.before is not None:
        add("timestamp < fromUnixTimestamp64Micro({before:Int64}, 'UTC')", "before", microseconds(wanted.before))
    if cursor is not None:
        add(
            "(timestamp < fromUnixTimestamp64Micro({cursor_us:Int64}, 'UTC') OR (timestamp ="
            " fromUnixTimestamp64Micro({cursor_us:Int64}, 'UTC') AND uuid < {cursor_uuid:UUID}))",
            "cursor_us",
            cursor.timestamp_us,
        )
        parameters["cursor_uuid"] = cursor.uuid
        # This condition changes no result; it lets the store skip the days after the cursor.
        conditions.append("timestamp <= fromUnixTimestamp64Micro({cursor_us:Int64}, 'UTC')")
    if window is not None:
        add("timestamp >= fromUnixTimestamp64Micro({floor:Int64}, 'UTC')", "floor", _floor(wanted, cursor, window))
    return read_events(
        store,
        f"WHERE {' AND '.join(conditions)} ORDER BY timestamp DESC, uuid DESC LIMIT {{limit:UInt32}}",
        parameters,
    )


def _floor(wanted: EventFilter, cursor: Cursor | None, window: timedelta) -> int:
    newest = microseconds(datetime.now(UTC) + _CLOCKS_AHEAD)
    if wanted.before is not None:
        newest = min(newest, microseconds(wanted.before))
    if cursor is not None:
        newest = min(newest, cursor.timestamp_us)
    return newest - int((window + _CLOCKS_AHEAD) / timedelta(microseconds=1))


def arrivals(
    condition: str, project_id: int, *, until: str, after: tuple[str, str], limit: int
) -> tuple[str, dict[str, object]]:
    """Return the clauses from WHERE on that find the next events by arrival, and their parameters.

    The events meet *condition*, were received before *until*, and come after the event with the
    place *after*: its time of arrival and its uuid.
    """
    wanted = (
        f"WHERE team_id = {{project:UInt32}} AND {condition} AND received_at < {{until:DateTime64(3, 'UTC')}}"
        " AND received_at >= {received:DateTime64(3, 'UTC')}"
        " AND (received_at, uuid) > ({received:DateTime64(3, 'UTC')}, {uuid:UUID})"
    )
    # The last arrival of the page is found first, so that properties are read for its rows alone.
    last = f"SELECT max(received_at) FROM (SELECT received_at FROM {EVENTS_TABLE} {wanted} ORDER BY received_at LIMIT {{limit:UInt32}})"  # noqa: S608 - constants
    return f"{wanted} AND received_at <= ({last}) ORDER BY received_at, uuid LIMIT {{limit:UInt32}}", {
        "project": project_id, "until": until, "received": after[0], "uuid": after[1], "limit": limit,
    }  # fmt: skip


def read_events(store: Store, tail: str, parameters: Mapping[str, object]) -> tuple[list[StoredEvent], bool]:
    """Return the events that `SELECT ... FROM events` with *tail* finds, and whether these are all.

    *tail* is SQL from WHERE on, with placeholders for *parameters*. At least one event is returned
    if any is found; the list ends where its properties would exceed MAX_LIST_BYTES, because a list
    of 1,000 events could hold a gigabyte. Large properties are read one by one.
    """
    rows = store.query(
        f"SELECT {_COLUMNS}, length(properties) AS properties_bytes,"  # noqa: S608 - constants; values are bound
        f" if(length(properties) > {_SMALL_BYTES}, '', properties) AS small_properties FROM {EVENTS_TABLE} {tail}",
        parameters,
    )
    events: list[StoredEvent] = []
    total_bytes = 0
    for row in rows:
        size = cast("int", row["properties_bytes"])
        total_bytes += size
        if total_bytes > MAX_LIST_BYTES and events:
            return events, False
        properties = row["small_properties"] if size <= _SMALL_BYTES else _properties(store, row)
        events.append(event_of({**row, "properties": properties}))
    return events, True


def _properties(store: Store, row: Mapping[str, object]) -> str:
    found = store.query(
        f"SELECT properties FROM {EVENTS_TABLE} WHERE team_id = {{team:UInt32}} AND uuid = {{uuid:UUID}}"  # noqa: S608 - constants
        " AND length(properties) = {size:UInt64} LIMIT 1",
        {"team": row["team_id"], "uuid": row["uuid_text"], "size": row["properties_bytes"]},
    )
    return str(found[0]["properties"]) if found else "{}"
