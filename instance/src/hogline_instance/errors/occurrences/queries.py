"""Queries of one issue's occurrences.

An issue is given by its fingerprints. Properties of large issues are read in samples of people, so
that a page stays fast at a million occurrences.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import cast

from hogline_instance.errors.occurrences.comparison import Seen, json_text
from hogline_instance.errors.queries import distinct_counts, people_source
from hogline_instance.events.columns import SELECT_LIST, event_of
from hogline_instance.events.event import StoredEvent, instant, microseconds
from hogline_instance.store import EVENTS_TABLE, Store

__all__ = [
    "Breakdown",
    "Totals",
    "breakdowns",
    "compared",
    "compared_since",
    "neighbour",
    "newest",
    "occurrence",
    "oldest",
    "people_and_sessions",
    "routes",
    "totals",
]

_WINDOWS = (timedelta(days=3), timedelta(days=60), None)
_KEY = "toString(uuid) AS id, toUnixTimestamp64Micro(timestamp) AS at, distinct_id AS who"
_SAMPLE = 2_000
"""So many events of each side are compared: their shares are within about 2 %."""
_MAX_VALUES = 8
_MAX_PAIRS = 200
_OF_ISSUE = (
    "team_id = {project:UInt32} AND event = '$exception'"
    " AND toString(`mat_$exception_fingerprint`) IN {fingerprints:Array(String)}"
)
_SINCE = " AND timestamp >= fromUnixTimestamp64Micro({after:Int64}, 'UTC')"
_KINDS = {
    "release": "`mat_$release`", "environment": "`mat_$environment`", "browser": "`mat_$browser`", "library": "`mat_$lib`",
}  # fmt: skip
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
    is_estimate: bool = False


def totals(store: Store, project_id: int, fingerprints: Sequence[str], *, days: int) -> Totals:
    """Return the counts of the issue.

    Of more than EXACT_UNTIL occurrences, people and sessions are counted within about 1 %.
    """
    counted = store.query(
        "SELECT toDate(timestamp) AS day, count() AS many, toUnixTimestamp64Micro(min(timestamp)) AS first_us,"  # noqa: S608 - constants
        f" toUnixTimestamp64Micro(max(timestamp)) AS last_us FROM {EVENTS_TABLE} WHERE {_OF_ISSUE} GROUP BY day ORDER BY day",
        _issue(project_id, fingerprints),
    )
    many = sum(cast("int", each["many"]) for each in counted)
    people = people_source(store, project_id)
    [row] = store.query(
        f"SELECT {distinct_counts(many, people)} FROM {people.table} WHERE {_OF_ISSUE}",  # noqa: S608 - constants
        _issue(project_id, fingerprints),
    )
    first_day = datetime.now(UTC).date() - timedelta(days=days - 1)
    volume = [0] * days
    for each in counted:
        place = (cast("date", each["day"]) - first_day).days
        if place >= 0:
            volume[min(place, days - 1)] += cast("int", each["many"])
    return Totals(
        cast("int", row["occurrences"]), cast("int", row["users"]), cast("int", row["sessions"]),
        instant(cast("int", counted[0]["first_us"])) if counted else None,
        instant(cast("int", counted[-1]["last_us"])) if counted else None, tuple(volume),
    )  # fmt: skip


def compared_since(volume: Sequence[int]) -> tuple[datetime, int]:
    """Return the beginning of the latest days with enough occurrences to compare, and their number.

    *volume* ends with today. Each day's rows lie together, so fewer days are fewer bytes to read.
    """
    days = found = 0
    for many in reversed(volume):
        days, found = days + 1, found + many
        if found >= _SAMPLE:
            break
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return today - timedelta(days=days - 1), found


def newest(store: Store, project_id: int, fingerprints: Sequence[str]) -> StoredEvent | None:
    """Return the latest occurrence.

    It is found by short columns alone: properties of many rows would not fit into the query's memory.
    """
    for window in _WINDOWS:
        since = datetime.now(UTC) - window if window is not None else None
        rows = store.query(
            f"SELECT {_KEY} FROM {EVENTS_TABLE} WHERE {_OF_ISSUE}{_SINCE if since else ''}"  # noqa: S608 - constants
            " ORDER BY timestamp DESC, uuid DESC LIMIT 1",
            {**_issue(project_id, fingerprints), **({"after": microseconds(since)} if since else {})},
        )
        if rows:
            return _whole(store, project_id, rows[0])
    return None


def oldest(store: Store, project_id: int, fingerprints: Sequence[str]) -> StoredEvent | None:
    """Return the first occurrence that is stored."""
    rows = store.query(
        f"SELECT {_KEY} FROM {EVENTS_TABLE} WHERE {_OF_ISSUE} ORDER BY timestamp, uuid LIMIT 1",  # noqa: S608 - constants
        _issue(project_id, fingerprints),
    )
    return _whole(store, project_id, rows[0]) if rows else None


def _whole(store: Store, project_id: int, key: Mapping[str, object]) -> StoredEvent | None:
    """Return the event of a row of _KEY; its time and distinct id lead to few blocks of the table."""
    rows = store.query(
        f"SELECT {SELECT_LIST} FROM {EVENTS_TABLE} WHERE team_id = {{project:UInt32}} AND event = '$exception'"  # noqa: S608 - constants
        " AND timestamp = fromUnixTimestamp64Micro({at:Int64}, 'UTC') AND distinct_id = {who:String} AND uuid = {id:UUID} LIMIT 1",
        {"project": project_id, "at": key["at"], "who": key["who"], "id": key["id"]},
    )
    return event_of(rows[0]) if rows else None


def occurrence(store: Store, project_id: int, fingerprints: Sequence[str], uuid: str) -> StoredEvent | None:
    """Return one occurrence, or None when the event is not of this issue."""
    rows = store.query(
        f"SELECT {_KEY} FROM {EVENTS_TABLE} WHERE {_OF_ISSUE} AND uuid = {{uuid:UUID}} LIMIT 1",  # noqa: S608 - constants
        {**_issue(project_id, fingerprints), "uuid": uuid},
    )
    return _whole(store, project_id, rows[0]) if rows else None


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


def breakdowns(store: Store, project_id: int, fingerprints: Sequence[str], *, after: datetime) -> list[Breakdown]:
    """Return the releases, environments, browsers and libraries of the issue."""
    columns, sets = ", ".join(_KINDS.values()), ", ".join(f"({column})" for column in _KINDS.values())
    names = ", ".join(f"{column} AS {kind}" for kind, column in _KINDS.items())
    rows = store.query(
        f"SELECT {names}, count() AS many FROM {EVENTS_TABLE} WHERE {_OF_ISSUE}{_SINCE}"  # noqa: S608 - constants; values are bound
        f" GROUP BY GROUPING SETS ({sets}) HAVING concat({columns}) != '' ORDER BY many DESC LIMIT 1000",
        {**_issue(project_id, fingerprints), "after": microseconds(after)},
    )
    found: dict[str, list[tuple[str, int]]] = {}
    for row in rows:
        kind, value = next((kind, str(row[kind])) for kind in _KINDS if row[kind])
        found.setdefault(kind, []).append((value, cast("int", row["many"])))
    return [Breakdown(kind, tuple(values[:_MAX_VALUES])) for kind, values in sorted(found.items())]


def routes(seen: Seen, occurrences: int) -> Breakdown | None:
    """Return the routes among the compared occurrences, or the paths where there are no routes.

    Of a sample the counts are estimates for all *occurrences*.
    """
    name = next((each for each in ("$request_route", "$pathname") if seen.carrying.get(each)), None)
    if name is None:
        return None
    scale = max(occurrences / seen.total, 1.0)
    found = [(json_text(raw), round(count * scale)) for (key, raw), (count, _) in seen.values.items() if key == name]
    found.sort(key=lambda each: (-each[1], each[0]))
    return Breakdown("route", tuple(found[:_MAX_VALUES]), is_estimate=scale > 1.0)


def people_and_sessions(
    store: Store, project_id: int, fingerprints: Sequence[str], *, after: datetime, recent: datetime
) -> tuple[list[tuple[str, int]], list[tuple[str, int]]]:
    """Return the distinct ids and the sessions that met the issue last, with counts since *after*.

    They are looked for since *recent*, and then counted. Of people with many sessions each, there
    may be fewer than of others: the latest _MAX_PAIRS pairs of both are read.
    """
    issue = _issue(project_id, fingerprints)
    pairs = store.query(
        f"SELECT distinct_id AS who, session_id AS session FROM {EVENTS_TABLE} WHERE {_OF_ISSUE}{_SINCE}"  # noqa: S608 - constants
        f" GROUP BY who, session ORDER BY max(timestamp) DESC, who, session LIMIT {_MAX_PAIRS}",
        {**issue, "after": microseconds(recent)},
    )
    people = list(dict.fromkeys(str(row["who"]) for row in pairs))[:_MAX_VALUES]
    sessions = list(dict.fromkeys(str(row["session"]) for row in pairs if row["session"]))[:_MAX_VALUES]
    rows = store.query(
        f"SELECT distinct_id AS who, session_id AS session, count() AS many FROM {EVENTS_TABLE} WHERE {_OF_ISSUE}{_SINCE}"  # noqa: S608 - constants
        " AND (distinct_id IN {people:Array(String)} OR session_id IN {sessions:Array(String)}) GROUP BY who, session",
        {**issue, "after": microseconds(after), "people": people, "sessions": sessions},
    )
    return _summed(rows, "who", people), _summed(rows, "session", sessions)


def _summed(rows: Sequence[Mapping[str, object]], name: str, wanted: Sequence[str]) -> list[tuple[str, int]]:
    """Return *wanted* values of a column with the sums of their counts."""
    sums = dict.fromkeys(wanted, 0)
    for row in rows:
        if (value := str(row[name])) in sums:
            sums[value] += cast("int", row["many"])
    return [(value, many) for value, many in sums.items() if many]


def compared(
    store: Store, project_id: int, fingerprints: Sequence[str], *, library: str, after: datetime, many: int
) -> tuple[Seen, Seen]:
    """Return the values of flags and properties among occurrences, and among other events.

    *many* occurrences are since *after*. The others are the events of the same library in the same
    time that are no exceptions.
    """
    issue = {**_issue(project_id, fingerprints), "after": microseconds(after)}
    others = {"project": project_id, "library": library, "after": microseconds(after)}
    of_others = "team_id = {project:UInt32} AND event != '$exception' AND `mat_$lib` = {library:String}" + _SINCE
    [counted] = store.query(f"SELECT count() AS many FROM {EVENTS_TABLE} WHERE {of_others}", others)  # noqa: S608 - constants
    of_issue = _seen(store, _OF_ISSUE + _SINCE, issue, many)
    return of_issue, _seen(store, of_others, others, cast("int", counted["many"]))


def _seen(store: Store, where: str, parameters: Mapping[str, object], many: int) -> Seen:
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
