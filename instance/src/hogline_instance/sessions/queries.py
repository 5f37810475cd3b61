"""Queries of sessions: the recent ones, and one in full."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import cast

from hogline_instance.events.cursor import Cursor
from hogline_instance.events.event import instant, microseconds
from hogline_instance.events.queries import read_events
from hogline_instance.sessions.cursor import SessionCursor
from hogline_instance.sessions.model import PART_EVENTS, Session, SessionRow, session_facts
from hogline_instance.sessions.timeline import build_timeline
from hogline_instance.store import EVENTS_TABLE, Store

__all__ = ["find_session", "recent_sessions"]

_RECENT_WINDOWS = (timedelta(days=1), timedelta(days=14), None)
# One pass over the sessions already chosen. It counts distinct uuids, since an event may have been
# inserted twice.
_SESSIONS_SQL = f"""
SELECT session_id, argMax(distinct_id, (JSONExtractString(properties, '$lib') = 'web' OR person_mode = 'full', timestamp)) AS who,
    toUnixTimestamp64Micro(min(timestamp)) AS first_us, toUnixTimestamp64Micro(max(timestamp)) AS last_us,
    argMinIf(JSONExtractString(properties, '$current_url'), timestamp,
        JSONExtractString(properties, '$current_url') != '') AS entry_url,
    uniqExact(uuid) AS events, uniqExactIf(uuid, event = '$pageview') AS pageviews,
    uniqExactIf(uuid, JSONHas(properties, '$request_method')) AS server_events,
    uniqExactIf(JSONExtractString(properties, '$request_id'), JSONHas(properties, '$request_id')) AS requests,
    uniqExactIf(uuid, event = '$exception') AS errors
FROM {EVENTS_TABLE} WHERE team_id = {{project:UInt32}} AND session_id IN {{ids:Array(String)}}
GROUP BY session_id ORDER BY last_us DESC, session_id DESC
"""  # noqa: S608 - the table is a constant; values are bound


def recent_sessions(
    store: Store, project_id: int, *, limit: int, before: SessionCursor | None = None
) -> tuple[SessionRow, ...]:
    """Return the sessions whose last event is newest, those before the cursor, newest first."""
    ids: list[str] = []
    for window in _RECENT_WINDOWS:
        ids = _recent_ids(store, project_id, limit=limit, before=before, window=window)
        if len(ids) >= limit:
            break
    if not ids:
        return ()
    return _session_rows(store, project_id, ids)


def find_session(store: Store, project_id: int, session_id: str, *, after: Cursor | None = None) -> Session | None:
    """Return the session with its merged timeline, or None when no event carries this id.

    Of a long session this returns the part that begins *after* a cursor, or the first part.
    """
    if not session_id:
        return None
    parameters: dict[str, object] = {"project": project_id, "session_id": session_id, "limit": PART_EVENTS + 1}
    condition = ""
    if after is not None:
        condition = " AND (timestamp, uuid) > (fromUnixTimestamp64Micro({after_us:Int64}, 'UTC'), {after_uuid:UUID})"
        parameters |= {"after_us": after.timestamp_us, "after_uuid": after.uuid}
    events, whole = read_events(
        store,
        f"WHERE team_id = {{project:UInt32}} AND session_id = {{session_id:String}}{condition}"
        " ORDER BY timestamp, uuid LIMIT 1 BY uuid LIMIT {limit:UInt32}",
        parameters,
    )
    if not events:
        return None
    is_last = whole and len(events) <= PART_EVENTS
    events = events[:PART_EVENTS]
    timeline = build_timeline(events)
    is_whole = after is None and is_last
    row = None if is_whole else next(iter(_session_rows(store, project_id, [session_id])), None)
    following = None if is_last else Cursor(events[-1].timestamp_us, events[-1].uuid)
    return Session(session_facts(session_id, timeline, row), timeline, following)


def _session_rows(store: Store, project_id: int, ids: list[str]) -> tuple[SessionRow, ...]:
    return tuple(_session_row(row) for row in store.query(_SESSIONS_SQL, {"project": project_id, "ids": ids}))


def _recent_ids(
    store: Store, project_id: int, *, limit: int, before: SessionCursor | None, window: timedelta | None
) -> list[str]:
    parameters: dict[str, object] = {"project": project_id, "limit": limit}
    condition, having = "", ""
    if window is not None:
        newest_us = before.last_seen_us if before is not None else microseconds(datetime.now(UTC))
        parameters["floor"] = newest_us - window // timedelta(microseconds=1)
        condition = " AND timestamp >= fromUnixTimestamp64Micro({floor:Int64}, 'UTC')"
    if before is not None:
        parameters |= {"before": before.last_seen_us, "before_id": before.session_id}
        having = (
            " HAVING (max(timestamp), session_id)"
            " < (fromUnixTimestamp64Micro({before:Int64}, 'UTC'), {before_id:String})"
        )
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
        requests=cast("int", row["requests"]),
        errors=cast("int", row["errors"]),
    )
