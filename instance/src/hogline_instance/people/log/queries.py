"""The SQL about the past of people and groups: changes, properties over time, and who acts for whom."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast

from hogline_instance.events.event import StoredEvent, instant, microseconds
from hogline_instance.events.person_ids import PERSON_ID, PERSON_JOIN
from hogline_instance.events.queries import read_events
from hogline_instance.people.json_text import read_properties
from hogline_instance.store import EVENTS_TABLE, Store

__all__ = [
    "TimelinePoint", "changes_of_group", "changes_of_people", "count_changes", "groups_beside", "people_beside", "timeline_of",
]  # fmt: skip

_MAX_IDS = 5_000


@dataclass(frozen=True, slots=True)
class TimelinePoint:
    """The properties that a person had from one event on, and for how many events."""

    at: datetime
    properties: Mapping[str, Any]
    events: int


def changes_of_people(
    store: Store, project_id: int, distinct_ids: Sequence[str] | None, *, limit: int, offset: int
) -> list[StoredEvent]:
    """Return the events that joined ids or changed people over the API, the newest first.

    With None they are those of all people.
    """
    where, parameters = _changes(project_id, distinct_ids)
    events, _ = read_events(
        store,
        f"{where} ORDER BY timestamp DESC, uuid DESC LIMIT 1 BY uuid LIMIT {{limit:UInt32}} OFFSET {{offset:UInt32}}",
        {**parameters, "limit": limit, "offset": offset},
    )
    return events


def count_changes(store: Store, project_id: int, distinct_ids: Sequence[str] | None) -> int:
    """Return the number of events of `changes_of_people`."""
    where, parameters = _changes(project_id, distinct_ids)
    [row] = store.query(f"SELECT uniqExact(uuid) AS changes FROM {EVENTS_TABLE} {where}", parameters)  # noqa: S608 - constants
    return cast("int", row["changes"])


def changes_of_group(store: Store, project_id: int, group_type: str, key: str, *, limit: int) -> list[StoredEvent]:
    """Return the newest events that changed a group, oldest first."""
    events, _ = read_events(
        store,
        "WHERE team_id = {project:UInt32} AND event = '$groupidentify'"
        " AND JSONExtractString(properties, '$group_type') = {kind:String}"
        " AND replaceAll(JSONExtractRaw(properties, '$group_key'), '\"', '') = {key:String}"
        " ORDER BY timestamp DESC, uuid DESC LIMIT 1 BY uuid LIMIT {limit:UInt32}",
        {"project": project_id, "kind": group_type, "key": key.replace('"', ""), "limit": limit},
    )
    return events[::-1]


def timeline_of(
    store: Store, project_id: int, distinct_ids: Sequence[str], since: datetime, until: datetime, *, limit: int = 1_000
) -> list[TimelinePoint]:
    """Return the properties of a person as they were from one event to the next, oldest first."""
    rows = store.query(
        "SELECT min(at) AS at_us, any(held) AS properties, count() AS events FROM"  # noqa: S608 - constants
        " (SELECT at, held, sum(is_new) OVER (ORDER BY at, uuid) AS run FROM"
        " (SELECT at, uuid, held, held != lagInFrame(held) OVER"
        " (ORDER BY at, uuid ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) AS is_new FROM"
        " (SELECT toUnixTimestamp64Micro(timestamp) AS at, uuid, person_properties AS held"
        f" FROM {EVENTS_TABLE} WHERE team_id = {{project:UInt32}} AND distinct_id IN {{ids:Array(String)}}"
        " AND timestamp >= fromUnixTimestamp64Micro({since_us:Int64}, 'UTC')"
        " AND timestamp <= fromUnixTimestamp64Micro({until_us:Int64}, 'UTC') LIMIT 1 BY uuid)))"
        " GROUP BY run ORDER BY at_us LIMIT {limit:UInt32}",
        {
            "project": project_id, "ids": list(distinct_ids[:_MAX_IDS]), "since_us": microseconds(since),
            "until_us": microseconds(until), "limit": limit,
        },
    )  # fmt: skip
    return [
        TimelinePoint(
            instant(cast("int", row["at_us"])),
            read_properties(str(row["properties"]).encode()),
            cast("int", row["events"]),
        )
        for row in rows
    ]


def people_beside(store: Store, project_id: int, type_index: int, key: str, since: datetime) -> list[str]:
    """Return the uuids of the people of a group's events since a moment, those seen last first."""
    if type_index not in range(5):
        return []
    rows = store.query(
        f"SELECT toString({PERSON_ID}) AS person, max(events.timestamp) AS seen FROM {EVENTS_TABLE} AS events {PERSON_JOIN}"  # noqa: S608 - constants
        f" WHERE events.team_id = {{project:UInt32}} AND events.`$group_{type_index}` = {{key:String}}"
        " AND events.timestamp >= fromUnixTimestamp64Micro({since_us:Int64}, 'UTC')"
        " GROUP BY person ORDER BY seen DESC LIMIT 100",
        {"project": project_id, "key": key, "since_us": microseconds(since)},
    )
    return [str(row["person"]) for row in rows]


def groups_beside(
    store: Store, project_id: int, since: datetime, *, group: tuple[int, str] | None = None,
    distinct_ids: Sequence[str] = (),
) -> list[tuple[int, str]]:  # fmt: skip
    """Return (type, key) of the groups of the events of a *group* or of *distinct_ids*."""
    parameters: dict[str, object] = {"project": project_id, "since_us": microseconds(since)}
    if group is not None:
        where = f"`$group_{int(group[0])}` = {{key:String}}"
        parameters["key"] = group[1]
    else:
        where = "distinct_id IN {ids:Array(String)}"
        parameters["ids"] = list(distinct_ids[:_MAX_IDS])
    pairs = ", ".join(f"({each}, `$group_{each}`)" for each in range(5))
    rows = store.query(
        f"SELECT arrayJoin([{pairs}]) AS pair, pair.1 AS type_index, pair.2 AS group_key FROM {EVENTS_TABLE}"  # noqa: S608 - constants
        f" WHERE team_id = {{project:UInt32}} AND {where}"
        " AND timestamp >= fromUnixTimestamp64Micro({since_us:Int64}, 'UTC') AND group_key != ''"
        " GROUP BY pair ORDER BY type_index, group_key LIMIT 100",
        parameters,
    )
    found = [(cast("int", row["type_index"]), str(row["group_key"])) for row in rows]
    return [place for place in found if place != group]


def _changes(project_id: int, distinct_ids: Sequence[str] | None) -> tuple[str, dict[str, object]]:
    where = (
        "WHERE team_id = {project:UInt32} AND (event IN ('$identify', '$create_alias', '$merge_dangerously')"
        " AND (JSONHas(properties, '$anon_distinct_id') OR JSONHas(properties, 'alias'))"
        " OR event IN ('$set', '$delete_person_property')"
        " AND JSONExtractString(properties, '$lib') = 'hogline-instance')"
    )
    if distinct_ids is None:
        return where, {"project": project_id}
    return f"{where} AND distinct_id IN {{ids:Array(String)}}", {
        "project": project_id, "ids": list(distinct_ids[:_MAX_IDS]),
    }  # fmt: skip
