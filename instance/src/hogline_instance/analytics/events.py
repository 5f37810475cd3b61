"""Stored events, newest first: filtered, in pages that neither lose nor repeat one, and one by its uuid."""

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import cast
from uuid import UUID

from hogline_instance.analytics.stored import StoredEvent, instant, microseconds
from hogline_instance.store import Store

__all__ = [
    "COLUMNS",
    "EVENTS_TABLE",
    "BadCursorError",
    "Cursor",
    "EventFilter",
    "Page",
    "event_of",
    "find_event",
    "list_events",
    "needles",
]

EVENTS_TABLE = "analytics.events"
COLUMNS = (
    "toString(uuid) AS id, event, distinct_id, session_id, toUnixTimestamp64Micro(timestamp) AS timestamp_us,"
    " properties, elements_chain"
)
# Most pages are found in the last day, and the table is sorted by day: look there first, then widen.
_WINDOWS = (timedelta(days=1), timedelta(days=31), None)
_CLOCKS_AHEAD = timedelta(days=2)  # events of fast clocks are stamped in the future and are still the newest
_MAX_ROUNDS = 50  # bounds the loop when a page is full of not yet merged duplicates


class BadCursorError(ValueError):
    """A cursor that this instance did not make."""


@dataclass(frozen=True, slots=True)
class EventFilter:
    """Which events: exact event name, person and session; `after` < timestamp < `before`; *search* anywhere in the text."""

    event: str | None = None
    distinct_id: str | None = None
    session_id: str | None = None
    after: datetime | None = None
    before: datetime | None = None
    search: str | None = None


@dataclass(frozen=True, slots=True)
class Cursor:
    """The last event of a page. Time alone would lose or repeat events that share an instant, so the uuid decides."""

    timestamp_us: int
    uuid: str

    def encode(self) -> str:
        """Return the cursor as text that fits in a URL."""
        return base64.urlsafe_b64encode(f"{self.timestamp_us}.{self.uuid}".encode()).rstrip(b"=").decode()

    @classmethod
    def decode(cls, text: str) -> "Cursor":
        """Read what `encode` wrote. Raises BadCursorError."""
        try:
            raw = base64.b64decode(text.encode("ascii") + b"=" * (-len(text) % 4), altchars=b"-_", validate=True)
            timestamp, _, uuid = raw.decode("ascii").partition(".")
            cursor = cls(int(timestamp), str(UUID(uuid)))
        except (ValueError, binascii.Error) as error:
            raise BadCursorError(f"cursor {text[:100]!r} is not one that 'next' gave") from error
        if not -(2**53) < cursor.timestamp_us < 2**53:
            raise BadCursorError(f"cursor {text[:100]!r} is not one that 'next' gave")
        return cursor


@dataclass(frozen=True, slots=True)
class Page:
    """Events newest first, and where the next page starts (None at the end)."""

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
        rows = _rows(store, project_id, wanted, limit=limit + 1, cursor=position, window=windows[0])
        for row in rows:
            event = event_of(row)
            position = Cursor(event.timestamp_us, event.uuid)
            if event.uuid not in seen:  # a replayed insert that the engine has not merged yet
                seen.add(event.uuid)
                found.append(event)
        if len(found) > limit:
            kept = tuple(found[:limit])
            return Page(kept, Cursor(kept[-1].timestamp_us, kept[-1].uuid))
        if len(rows) <= limit:
            windows.pop(0)
            if not windows:
                break
    return Page(tuple(found[:limit]), None)


def find_event(store: Store, project_id: int, uuid: str) -> StoredEvent | None:
    """Return the event with this uuid, or None."""
    rows = store.query(
        f"SELECT {COLUMNS} FROM {EVENTS_TABLE} WHERE team_id = {{project:UInt32}} AND uuid = {{uuid:UUID}}"  # noqa: S608 - constants
        " ORDER BY received_at DESC LIMIT 1",
        {"project": project_id, "uuid": uuid},
    )
    return event_of(rows[0]) if rows else None


def needles(search: str) -> list[str]:
    """Return the forms that *search* can have inside a client's JSON: as it is, and as JSON encoders escape it."""
    forms = (search, json.dumps(search, ensure_ascii=False)[1:-1], json.dumps(search)[1:-1])
    return list(dict.fromkeys(forms))


def event_of(row: Mapping[str, object]) -> StoredEvent:
    """Turn a row of COLUMNS into an event."""
    return StoredEvent(
        uuid=str(row["id"]),
        event=str(row["event"]),
        distinct_id=str(row["distinct_id"]),
        session_id=str(row["session_id"]),
        timestamp=instant(cast("int", row["timestamp_us"])),
        properties_json=str(row["properties"]),
        elements_chain=str(row["elements_chain"]),
    )


def _rows(
    store: Store, project_id: int, wanted: EventFilter, *, limit: int, cursor: Cursor | None, window: timedelta | None
) -> list[dict[str, object]]:
    conditions = ["team_id = {project:UInt32}"]
    parameters: dict[str, object] = {"project": project_id, "limit": limit}

    def add(condition: str, name: str, value: object) -> None:
        conditions.append(condition)
        parameters[name] = value

    if wanted.event is not None:
        add("event = {event:String}", "event", wanted.event)
    if wanted.distinct_id is not None:
        add("distinct_id = {distinct_id:String}", "distinct_id", wanted.distinct_id)
    if wanted.session_id is not None:
        add("session_id = {session_id:String}", "session_id", wanted.session_id)
    if wanted.search:
        add(
            "(multiSearchAnyCaseInsensitiveUTF8(properties, {needles:Array(String)})"
            " OR positionCaseInsensitiveUTF8(event, {search:String}) > 0"
            " OR positionCaseInsensitiveUTF8(distinct_id, {search:String}) > 0)",
            "search",
            wanted.search,
        )
        parameters["needles"] = needles(wanted.search)
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
        # Redundant for the answer; it lets the engine skip the days after the cursor.
        conditions.append("timestamp <= fromUnixTimestamp64Micro({cursor_us:Int64}, 'UTC')")
    if window is not None:
        add("timestamp >= fromUnixTimestamp64Micro({floor:Int64}, 'UTC')", "floor", _floor(wanted, cursor, window))
    return store.query(
        f"SELECT {COLUMNS} FROM {EVENTS_TABLE} WHERE {' AND '.join(conditions)}"  # noqa: S608 - constants; values are bound
        " ORDER BY timestamp DESC, uuid DESC LIMIT {limit:UInt32}",
        parameters,
    )


def _floor(wanted: EventFilter, cursor: Cursor | None, window: timedelta) -> int:
    newest = microseconds(datetime.now(UTC) + _CLOCKS_AHEAD)
    if wanted.before is not None:
        newest = min(newest, microseconds(wanted.before))
    if cursor is not None:
        newest = min(newest, cursor.timestamp_us)
    return newest - int((window + _CLOCKS_AHEAD) / timedelta(microseconds=1))
