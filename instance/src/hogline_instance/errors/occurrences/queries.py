"""What the store knows of one issue's occurrences.

An issue is given by its fingerprints. Large issues are counted in samples of people, so that a page
stays fast at a million occurrences.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import cast

from hogline_instance.errors.occurrences.comparison import Seen
from hogline_instance.errors.queries import EVENTS_WITH_PEOPLE, PERSON
from hogline_instance.events.columns import SELECT_LIST, event_of
from hogline_instance.events.event import StoredEvent, instant, microseconds
from hogline_instance.store import EVENTS_TABLE, Store

__all__ = [
    "Breakdown",
    "Totals",
    "breakdowns",
    "compared",
    "neighbour",
    "newest",
    "occurrence",
    "people_and_sessions",
    "totals",
]

_WINDOWS = (timedelta(days=3), timedelta(days=60), None)
_SAMPLE = 20_000
_MAX_VALUES = 8
_OF_ISSUE = (
    "team_id = {project:UInt32} AND event = '$exception'"
    " AND toString(`mat_$exception_fingerprint`) IN {fingerprints:Array(String)}"
)
_SINCE = " AND timestamp >= fromUnixTimestamp64Micro({after:Int64}, 'UTC')"
_KINDS = (
    "[('release', `mat_$release`), ('environment', `mat_$environment`), ('browser', `mat_$browser`),"
    " ('library', `mat_$lib`), ('route', if(JSONHas(properties, '$request_route'),"
    " JSONExtractString(properties, '$request_route'), `mat_$pathname`))]"
)
_COMPARED = (
    "$release", "$release_version", "$app_version", "$request_route", "$pathname", "$browser", "$browser_version", "$os",
    "$device_type", "$geoip_country_code", "$geoip_country_name", "plan", "$lib", "$lib_version", "$environment", "environment",
    "$request_method",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Totals:
    """The counts of an issue over all time, and its volume in equal parts of the last days."""

    occurrences: int
    users: int
    sessions: int
    first_seen: datetime | None
    last_seen: datetime | None
    volume: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Breakdown:
    """The most frequent values of one kind, with their counts."""

    kind: str
    values: tuple[tuple[str, int], ...]


def totals(store: Store, project_id: int, fingerprints: Sequence[str], *, days: int) -> Totals:
    """Return the counts of the issue."""
    start = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=days - 1)
    parameters = {**_issue(project_id, fingerprints), "after": microseconds(start)}
    [row] = store.query(
        f"SELECT uniqExact(uuid) AS occurrences, uniqExact({PERSON}) AS users,"  # noqa: S608 - constants; values are bound
        " uniqExactIf(session_id, session_id != '') AS sessions, toUnixTimestamp64Micro(min(timestamp)) AS first_us,"
        f" toUnixTimestamp64Micro(max(timestamp)) AS last_us FROM {EVENTS_WITH_PEOPLE} WHERE {_OF_ISSUE}",
        parameters,
    )
    counted = store.query(
        "SELECT toUInt32(dateDiff('day', fromUnixTimestamp64Micro({after:Int64}, 'UTC'), timestamp)) AS day, count() AS many"  # noqa: S608 - constants
        f" FROM {EVENTS_TABLE} WHERE {_OF_ISSUE}{_SINCE} GROUP BY day",
        parameters,
    )
    volume = [0] * days
    for each in counted:
        volume[min(cast("int", each["day"]), days - 1)] += cast("int", each["many"])
    many = cast("int", row["occurrences"])
    moments = [instant(cast("int", row[name])) if many else None for name in ("first_us", "last_us")]
    return Totals(many, cast("int", row["users"]), cast("int", row["sessions"]), moments[0], moments[1], tuple(volume))


def newest(store: Store, project_id: int, fingerprints: Sequence[str], *, limit: int = 1) -> list[StoredEvent]:
    """Return the latest occurrences."""
    for window in _WINDOWS:
        since = datetime.now(UTC) - window if window is not None else None
        rows = store.query(
            f"SELECT {SELECT_LIST} FROM {EVENTS_TABLE} WHERE {_OF_ISSUE}{_SINCE if since else ''}"  # noqa: S608 - constants
            " ORDER BY timestamp DESC, uuid DESC LIMIT 1 BY uuid LIMIT {limit:UInt32}",
            {**_issue(project_id, fingerprints), "limit": limit, **({"after": microseconds(since)} if since else {})},
        )
        if rows:
            return [event_of(row) for row in rows]
    return []


def occurrence(store: Store, project_id: int, fingerprints: Sequence[str], uuid: str) -> StoredEvent | None:
    """Return one occurrence, or None when the event is not of this issue."""
    rows = store.query(
        f"SELECT {SELECT_LIST} FROM {EVENTS_TABLE} WHERE {_OF_ISSUE} AND uuid = {{uuid:UUID}} LIMIT 1",  # noqa: S608 - constants
        {**_issue(project_id, fingerprints), "uuid": uuid},
    )
    return event_of(rows[0]) if rows else None


def neighbour(
    store: Store, project_id: int, fingerprints: Sequence[str], event: StoredEvent, *, newer: bool
) -> str | None:
    """Return the uuid of the occurrence just before or after *event*, or None at the end."""
    sign, order = (">", "ASC") if newer else ("<", "DESC")
    for window in _WINDOWS:
        parameters = {**_issue(project_id, fingerprints), "at": event.timestamp_us, "uuid": event.uuid}
        edge = ""
        if window is not None:
            span = int(window.total_seconds() * 1_000_000)
            parameters["edge"] = event.timestamp_us + (span if newer else -span)
            edge = f" AND timestamp {'<' if newer else '>'}= fromUnixTimestamp64Micro({{edge:Int64}}, 'UTC')"
        rows = store.query(
            f"SELECT toString(uuid) AS id FROM {EVENTS_TABLE} WHERE {_OF_ISSUE}{edge}"  # noqa: S608 - constants; values are bound
            f" AND timestamp {sign}= fromUnixTimestamp64Micro({{at:Int64}}, 'UTC')"
            f" AND (timestamp, uuid) {sign} (fromUnixTimestamp64Micro({{at:Int64}}, 'UTC'), {{uuid:UUID}})"
            f" ORDER BY timestamp {order}, uuid {order} LIMIT 1",
            parameters,
        )
        if rows:
            return str(rows[0]["id"])
    return None


def breakdowns(
    store: Store, project_id: int, fingerprints: Sequence[str], *, after: datetime, occurrences: int
) -> list[Breakdown]:
    """Return the releases, environments, browsers, libraries and routes of the issue."""
    rows = store.query(
        f"SELECT pair.1 AS kind, pair.2 AS value, count() AS many FROM {EVENTS_TABLE} {_sample(occurrences)}"  # noqa: S608 - constants
        f" ARRAY JOIN {_KINDS} AS pair WHERE {_OF_ISSUE}{_SINCE} AND pair.2 != ''"
        f" GROUP BY kind, value ORDER BY many DESC, value LIMIT {_MAX_VALUES} BY kind",
        {**_issue(project_id, fingerprints), "after": microseconds(after)},
    )
    found: dict[str, list[tuple[str, int]]] = {}
    for row in rows:
        found.setdefault(str(row["kind"]), []).append((str(row["value"]), cast("int", row["many"])))
    return [Breakdown(kind, tuple(values)) for kind, values in sorted(found.items())]


def people_and_sessions(
    store: Store, project_id: int, fingerprints: Sequence[str], *, after: datetime
) -> tuple[list[tuple[str, int]], list[tuple[str, int]]]:
    """Return the distinct ids and the sessions that met the issue most often, with counts."""
    found = []
    for column in ("distinct_id", "session_id"):
        rows = store.query(
            f"SELECT {column} AS id, count() AS many FROM {EVENTS_TABLE} WHERE {_OF_ISSUE}{_SINCE} AND {column} != ''"  # noqa: S608 - constants
            f" GROUP BY id ORDER BY max(timestamp) DESC, id LIMIT {_MAX_VALUES}",
            {**_issue(project_id, fingerprints), "after": microseconds(after)},
        )
        found.append([(str(row["id"]), cast("int", row["many"])) for row in rows])
    return found[0], found[1]


def compared(
    store: Store, project_id: int, fingerprints: Sequence[str], *, library: str, after: datetime
) -> tuple[Seen, Seen]:
    """Return the values of flags and properties among occurrences, and among other events.

    The others are the events of the same library in the same time that are no exceptions.
    """
    issue = {**_issue(project_id, fingerprints), "after": microseconds(after)}
    others = {"project": project_id, "library": library, "after": microseconds(after)}
    of_others = "team_id = {project:UInt32} AND event != '$exception' AND `mat_$lib` = {library:String}"
    return _seen(store, _OF_ISSUE + _SINCE, issue), _seen(store, of_others + _SINCE, others)


def _seen(store: Store, where: str, parameters: Mapping[str, object]) -> Seen:
    [counted] = store.query(f"SELECT count() AS many FROM {EVENTS_TABLE} WHERE {where}", parameters)  # noqa: S608 - constants
    many = cast("int", counted["many"])
    if not many:
        return Seen(0, {}, {})
    rows = store.query(
        "SELECT pair.1 AS name, pair.2 AS value, sum(found) AS many, uniq(who) AS people FROM (SELECT distinct_id AS who,"  # noqa: S608 - constants
        " 1 AS found, arrayJoin(arrayPushBack(arrayFilter(x -> startsWith(x.1, '$feature/') OR x.1 IN {names:Array(String)},"
        f" JSONExtractKeysAndValuesRaw(properties)), ('', ''))) AS pair FROM {EVENTS_TABLE} {_sample(many)} WHERE {where})"
        " GROUP BY name, value ORDER BY many DESC LIMIT 2000",
        {**parameters, "names": list(_COMPARED)},
    )
    values: dict[tuple[str, str], tuple[int, int]] = {}
    carrying: dict[str, int] = {}
    total = 0
    for row in rows:
        name, count = str(row["name"]), cast("int", row["many"])
        if not name:
            total = count
            continue
        carrying[name] = carrying.get(name, 0) + count
        values[name, str(row["value"])] = (count, cast("int", row["people"]))
    return Seen(total, carrying, values)


def _sample(rows: int) -> str:
    """Return the clause that reads about _SAMPLE of *rows*: the events of a part of the people."""
    return "" if rows <= _SAMPLE else f"SAMPLE {_SAMPLE / rows:.8f}"


def _issue(project_id: int, fingerprints: Sequence[str]) -> dict[str, object]:
    return {"project": project_id, "fingerprints": list(fingerprints)}
