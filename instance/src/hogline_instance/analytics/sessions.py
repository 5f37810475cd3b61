"""Sessions: the recent ones, and one in full with who it was, how long it took and what went wrong."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import cast

from hogline_instance.analytics.events import COLUMNS, EVENTS_TABLE, event_of
from hogline_instance.analytics.stored import StoredEvent, instant, microseconds
from hogline_instance.analytics.summary import names_somebody, side_of
from hogline_instance.analytics.timeline import Timeline, build_timeline
from hogline_instance.store import Store

__all__ = ["MAX_TIMELINE_EVENTS", "Session", "SessionFacts", "SessionRow", "find_session", "recent_sessions"]

MAX_TIMELINE_EVENTS = 5_000
_RECENT_WINDOWS = (timedelta(days=1), timedelta(days=14), None)
# One pass over the sessions already chosen; a replayed event counts once because uuids are counted.
_SESSIONS_SQL = f"""
SELECT session_id, argMax(distinct_id, (JSONExtractString(properties, '$lib') = 'web' OR person_mode = 'full', timestamp)) AS who,
    toUnixTimestamp64Micro(min(timestamp)) AS first_us, toUnixTimestamp64Micro(max(timestamp)) AS last_us,
    argMinIf(JSONExtractString(properties, '$current_url'), timestamp,
        JSONExtractString(properties, '$current_url') != '') AS entry_url,
    uniqExact(uuid) AS events, uniqExactIf(uuid, event = '$pageview') AS pageviews,
    uniqExactIf(uuid, JSONHas(properties, '$request_method')) AS server_events,
    uniqExactIf(uuid, event = '$exception') AS errors
FROM {EVENTS_TABLE} WHERE team_id = {{project:UInt32}} AND session_id IN {{ids:Array(String)}}
GROUP BY session_id ORDER BY last_us DESC, session_id DESC
"""  # noqa: S608 - the table is a constant; values are bound


@dataclass(frozen=True, slots=True)
class SessionRow:
    """One session in a list."""

    session_id: str
    distinct_id: str
    first_seen: datetime
    last_seen: datetime
    entry_url: str
    events: int
    pageviews: int
    server_events: int
    errors: int


@dataclass(frozen=True, slots=True)
class SessionFacts:
    """The header of a session. `person` is a name to show: the email or name it identified with, else the distinct id."""

    session_id: str
    person: str
    distinct_ids: tuple[str, ...]
    first_seen: datetime
    last_seen: datetime
    pageviews: int
    requests: int
    errors: int
    entry_url: str
    referrer: str
    browser: str
    os: str
    device: str


@dataclass(frozen=True, slots=True)
class Session:
    """A session in full. `truncated` is True when it has more than MAX_TIMELINE_EVENTS events; the oldest are shown."""

    facts: SessionFacts
    timeline: Timeline
    truncated: bool


def recent_sessions(
    store: Store, project_id: int, *, limit: int, before: datetime | None = None
) -> tuple[SessionRow, ...]:
    """Return the sessions whose last event is newest (and older than *before*), newest first."""
    ids: list[str] = []
    for window in _RECENT_WINDOWS:
        ids = _recent_ids(store, project_id, limit=limit, before=before, window=window)
        if len(ids) >= limit:
            break
    if not ids:
        return ()
    rows = store.query(_SESSIONS_SQL, {"project": project_id, "ids": ids})
    return tuple(_session_row(row) for row in rows)


def find_session(store: Store, project_id: int, session_id: str) -> Session | None:
    """Return the session with its merged timeline, or None when no event carries this id."""
    rows = store.query(
        f"SELECT {COLUMNS} FROM {EVENTS_TABLE}"  # noqa: S608 - constants
        " WHERE team_id = {project:UInt32} AND session_id = {session_id:String}"
        " ORDER BY timestamp, uuid LIMIT 1 BY uuid LIMIT {limit:UInt32}",
        {"project": project_id, "session_id": session_id, "limit": MAX_TIMELINE_EVENTS + 1},
    )
    if not rows or not session_id:
        return None
    events = [event_of(row) for row in rows[:MAX_TIMELINE_EVENTS]]
    timeline = build_timeline(events)
    return Session(_facts(session_id, timeline), timeline, truncated=len(rows) > MAX_TIMELINE_EVENTS)


def _recent_ids(
    store: Store, project_id: int, *, limit: int, before: datetime | None, window: timedelta | None
) -> list[str]:
    parameters: dict[str, object] = {"project": project_id, "limit": limit}
    condition, having = "", ""
    if window is not None:
        parameters["floor"] = microseconds((before or datetime.now(UTC)) - window)
        condition = " AND timestamp >= fromUnixTimestamp64Micro({floor:Int64}, 'UTC')"
    if before is not None:
        parameters["before"] = microseconds(before)
        having = " HAVING max(timestamp) < fromUnixTimestamp64Micro({before:Int64}, 'UTC')"
    rows = store.query(
        f"SELECT session_id FROM {EVENTS_TABLE} WHERE team_id = {{project:UInt32}} AND session_id != ''{condition}"  # noqa: S608 - constants
        f" GROUP BY session_id{having} ORDER BY max(timestamp) DESC, session_id DESC LIMIT {{limit:UInt32}}",
        parameters,
    )
    return [str(row["session_id"]) for row in rows]


def _session_row(row: Mapping[str, object]) -> SessionRow:
    return SessionRow(
        session_id=str(row["session_id"]),
        distinct_id=str(row["who"]),
        first_seen=instant(cast("int", row["first_us"])),
        last_seen=instant(cast("int", row["last_us"])),
        entry_url=str(row["entry_url"]),
        events=cast("int", row["events"]),
        pageviews=cast("int", row["pageviews"]),
        server_events=cast("int", row["server_events"]),
        errors=cast("int", row["errors"]),
    )


def _facts(session_id: str, timeline: Timeline) -> SessionFacts:
    events = timeline.events
    browser = [event for event in events if side_of(event) == "browser"] or list(events)

    def first(name: str) -> str:
        return next((text for event in browser if (text := event.text(name))), "")

    entry = next((text for event in browser if event.event == "$pageview" and (text := event.text("$current_url"))), "")
    return SessionFacts(
        session_id=session_id,
        person=_person(events),
        distinct_ids=tuple(dict.fromkeys(event.distinct_id for event in events if names_somebody(event))),
        first_seen=events[0].timestamp,
        last_seen=events[-1].timestamp,
        pageviews=sum(event.event == "$pageview" for event in events),
        requests=sum(len(entry.requests) for entry in timeline.entries),
        errors=sum(event.event == "$exception" for event in events),
        entry_url=entry or first("$session_entry_url") or first("$current_url"),
        referrer=first("$session_entry_referrer") or first("$referrer"),
        browser=" ".join(filter(None, (first("$browser"), first("$browser_version")))),
        os=" ".join(filter(None, (first("$os"), first("$os_version")))),
        device=first("$device_type"),
    )


def _person(events: Sequence[StoredEvent]) -> str:
    for event in reversed(events):
        traits = event.properties.get("$set")
        if isinstance(traits, dict):
            for name in ("email", "name", "username"):
                if isinstance(traits.get(name), str) and traits[name].strip():
                    return str(traits[name])[:200]
    identified = [event.distinct_id for event in events if event.event == "$identify"]
    named = [event.distinct_id for event in events if names_somebody(event)]
    return (identified or named or [events[-1].distinct_id])[-1]
