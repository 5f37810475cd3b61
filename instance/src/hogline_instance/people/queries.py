"""The SQL that people ask of the store: moves of ids, and the events of a person."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import cast

from hogline_instance.events.cursor import Cursor
from hogline_instance.events.event import StoredEvent, instant, microseconds
from hogline_instance.events.person_ids import OVERRIDES_TABLE
from hogline_instance.events.queries import arrivals, read_events
from hogline_instance.store import EVENTS_TABLE, Store

__all__ = [
    "Activity", "Move", "PersonCounts", "activity_of", "counts_of", "events_of_group", "events_of_person",
    "events_that_set", "events_without_people", "forget_people", "old_moves", "write_moves",
]  # fmt: skip

Move = tuple[int, str, str, int]
"""A project, a distinct id, the person it belongs to, and the version of the move."""
_PERSONAL = "['$set', '$set_once', '$unset', '$group_set']"
_FORGET = (
    "UPDATE person_properties = '{}', properties = if(JSONHas(properties, '$set') OR JSONHas(properties, '$set_once'),"
    " concat('{', arrayStringConcat(arrayMap(pair -> concat(toJSONString(pair.1), ':', pair.2),"
    f" arrayFilter(pair -> NOT has({_PERSONAL}, pair.1), JSONExtractKeysAndValuesRaw(properties))), ','), '}}'),"
    " properties)"
)
_FORGOTTEN = (
    " WHERE team_id = {team:UInt32} AND (distinct_id IN {ids:Array(String)} OR person_id IN {uuids:Array(UUID)})"
    " AND received_at <= fromUnixTimestamp64Micro({until_us:Int64}, 'UTC')"
)
_MAX_IDS = 5_000


@dataclass(frozen=True, slots=True)
class PersonCounts:
    """How much a person did, and when they were last seen."""

    events: int
    sessions: int
    errors: int
    first_seen: datetime
    last_seen: datetime


@dataclass(frozen=True, slots=True)
class Activity:
    """One session of a person."""

    session_id: str
    first_seen: datetime
    last_seen: datetime
    events: int
    errors: int
    entry_url: str


def old_moves(store: Store, *, min_age_s: int, limit: int) -> list[Move]:
    """Return moves of one project that are older than *min_age_s*."""
    rows = store.query(
        "SELECT team_id, distinct_id, toString(argMax(person_id, version)) AS person, max(version) AS newest"  # noqa: S608 - constants
        f" FROM {OVERRIDES_TABLE} GROUP BY team_id, distinct_id"
        " HAVING max(moved_at) < now64(3) - toIntervalSecond({age_s:UInt32})"
        " ORDER BY team_id, distinct_id LIMIT {limit:UInt32}",
        {"age_s": min_age_s, "limit": limit},
    )
    return [
        (int(str(row["team_id"])), str(row["distinct_id"]), str(row["person"]), int(str(row["newest"])))
        for row in rows
        if row["team_id"] == rows[0]["team_id"]
    ]


def events_without_people(
    store: Store, project_id: int, *, until: str, after: tuple[str, str], limit: int
) -> list[StoredEvent]:
    """Return the next events that were received before *until* and hold no person.

    They are in the order of their arrival, after the event with the place *after*.
    """
    clauses, parameters = arrivals("person_properties = '{}'", project_id, until=until, after=after, limit=limit)
    events, _ = read_events(store, clauses, parameters)
    return events


def write_moves(store: Store, moves: Sequence[Move]) -> None:
    """Write *moves*, all of one project, into the events' rows, then forget them."""
    parameters = {
        "team": moves[0][0],
        "ids": [distinct_id for _, distinct_id, _, _ in moves],
        "persons": [person for _, _, person, _ in moves],
        "versions": [version for _, _, _, version in moves],
    }
    store.change(
        EVENTS_TABLE,
        "UPDATE person_id = toUUID(transform(distinct_id, {ids:Array(String)}, {persons:Array(String)},"
        " toString(person_id))) WHERE team_id = {team:UInt32} AND distinct_id IN {ids:Array(String)}",
        parameters,
    )
    store.change(
        OVERRIDES_TABLE,
        "DELETE WHERE team_id = {team:UInt32} AND distinct_id IN {ids:Array(String)} AND version <="
        " transform(distinct_id, {ids:Array(String)}, {versions:Array(Int64)}, toInt64(-1))",
        parameters,
    )


def counts_of(store: Store, project_id: int, people: Mapping[str, Sequence[str]]) -> dict[str, PersonCounts]:
    """Return the counts of *people*, given as uuid -> distinct ids, by uuid."""
    owner = {distinct_id: uuid for uuid, ids in people.items() for distinct_id in ids[:_MAX_IDS]}
    if not owner:
        return {}
    rows = store.query(
        "SELECT transform(distinct_id, {ids:Array(String)}, {owners:Array(String)}, '') AS person,"  # noqa: S608 - constants
        " uniqExact(uuid) AS events, uniqExactIf(session_id, session_id != '') AS sessions,"
        " uniqExactIf(uuid, event = '$exception') AS errors,"
        " toUnixTimestamp64Micro(min(timestamp)) AS first_us, toUnixTimestamp64Micro(max(timestamp)) AS last_us"
        f" FROM {EVENTS_TABLE} WHERE team_id = {{project:UInt32}} AND distinct_id IN {{ids:Array(String)}} GROUP BY person",
        {"project": project_id, "ids": list(owner), "owners": list(owner.values())},
    )
    return {str(row["person"]): _counts(row) for row in rows}


def events_of_person(
    store: Store, project_id: int, distinct_ids: Sequence[str], *, limit: int, before: Cursor | None = None
) -> list[StoredEvent]:
    """Return the newest events of a person, those before a cursor.

    SQL knows whose each distinct id is today, so the moved ids need no join here.
    """
    parameters: dict[str, object] = {"project": project_id, "ids": list(distinct_ids[:_MAX_IDS]), "limit": limit}
    events, _ = read_events(
        store,
        f"WHERE team_id = {{project:UInt32}} AND distinct_id IN {{ids:Array(String)}}{_before(before, parameters)}"
        " ORDER BY timestamp DESC, uuid DESC LIMIT 1 BY uuid LIMIT {limit:UInt32}",
        parameters,
    )
    return events


def events_of_group(
    store: Store, project_id: int, type_index: int, key: str, *, limit: int, before: Cursor | None = None
) -> list[StoredEvent]:
    """Return the newest events of a group, those before a cursor."""
    if type_index not in range(5):
        return []
    parameters: dict[str, object] = {"project": project_id, "key": key, "limit": limit}
    condition = _before(before, parameters)
    events, _ = read_events(
        store,
        f"WHERE team_id = {{project:UInt32}} AND `$group_{type_index}` = {{key:String}}{condition}"
        " ORDER BY timestamp DESC, uuid DESC LIMIT 1 BY uuid LIMIT {limit:UInt32}",
        parameters,
    )
    return events


def activity_of(
    store: Store, project_id: int, distinct_ids: Sequence[str], *, limit: int = 20
) -> tuple[list[Activity], dict[str, str]]:
    """Return a person's latest sessions, and the latest key of each `$group_<index>`, by its column."""
    parameters = {"project": project_id, "ids": list(distinct_ids[:_MAX_IDS]), "limit": limit}
    where = "team_id = {project:UInt32} AND distinct_id IN {ids:Array(String)}"
    rows = store.query(
        "SELECT session_id, toUnixTimestamp64Micro(min(timestamp)) AS first_us,"  # noqa: S608 - constants
        " toUnixTimestamp64Micro(max(timestamp)) AS last_us, uniqExact(uuid) AS events,"
        " uniqExactIf(uuid, event = '$exception') AS errors, argMinIf(`mat_$current_url`, timestamp,"
        f" `mat_$current_url` != '') AS entry_url FROM {EVENTS_TABLE} WHERE {where} AND session_id != ''"
        " GROUP BY session_id ORDER BY last_us DESC LIMIT {limit:UInt32}",
        parameters,
    )
    columns = ", ".join(
        f"argMaxIf(`$group_{each}`, timestamp, `$group_{each}` != '') AS group_{each}" for each in range(5)
    )
    groups = store.query(f"SELECT {columns} FROM {EVENTS_TABLE} WHERE {where}", parameters)  # noqa: S608 - constants
    latest = {name: str(key) for name, key in (groups[0] if groups else {}).items() if key}
    return [_activity(row) for row in rows], latest


def events_that_set(
    store: Store, project_id: int, distinct_ids: Sequence[str], *, limit: int = 200
) -> list[StoredEvent]:
    """Return the newest events that set properties of a person or joined their ids, oldest first."""
    events, _ = read_events(
        store,
        "WHERE team_id = {project:UInt32} AND distinct_id IN {ids:Array(String)}"
        " AND (event IN ('$identify', '$create_alias', '$merge_dangerously', '$set') OR JSONHas(properties, '$set')"
        " OR JSONHas(properties, '$set_once'))"
        " ORDER BY timestamp DESC, uuid DESC LIMIT 1 BY uuid LIMIT {limit:UInt32}",
        {"project": project_id, "ids": list(distinct_ids[:_MAX_IDS]), "limit": limit},
    )
    return events[::-1]


def forget_people(
    store: Store,
    project_id: int,
    uuids: Sequence[str],
    distinct_ids: Sequence[str],
    *,
    until: datetime,
    with_events: bool,
) -> None:
    """Delete the events of people that arrived *until* a time, or only what they say of people."""
    parameters = {
        "team": project_id, "ids": list(distinct_ids), "uuids": list(uuids), "until_us": microseconds(until),
    }  # fmt: skip
    store.change(EVENTS_TABLE, ("DELETE" if with_events else _FORGET) + _FORGOTTEN, parameters)


def _before(cursor: Cursor | None, parameters: dict[str, object]) -> str:
    if cursor is None:
        return ""
    parameters |= {"cursor_us": cursor.timestamp_us, "cursor_uuid": cursor.uuid}
    return " AND (timestamp, uuid) < (fromUnixTimestamp64Micro({cursor_us:Int64}, 'UTC'), {cursor_uuid:UUID})"


def _counts(row: Mapping[str, object]) -> PersonCounts:
    return PersonCounts(
        cast("int", row["events"]), cast("int", row["sessions"]), cast("int", row["errors"]),
        instant(cast("int", row["first_us"])), instant(cast("int", row["last_us"])),
    )  # fmt: skip


def _activity(row: Mapping[str, object]) -> Activity:
    return Activity(
        str(row["session_id"]), instant(cast("int", row["first_us"])), instant(cast("int", row["last_us"])),
        cast("int", row["events"]), cast("int", row["errors"]), str(row["entry_url"]),
    )  # fmt: skip
