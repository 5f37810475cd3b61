"""Counts and occurrences of issues, asked of the store.

The condition of an issue is its fingerprints, so past events follow a merge at once.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import cast

import msgspec

from hogline_instance.errors.property_filters.queries import BoundValues, filter_sql
from hogline_instance.errors.property_filters.tree import Group
from hogline_instance.events.columns import SELECT_LIST, event_of
from hogline_instance.events.event import StoredEvent, instant, microseconds
from hogline_instance.events.person_ids import OVERRIDES_TABLE, PERSON_ID, PERSON_JOIN
from hogline_instance.events.queries import arrivals
from hogline_instance.events.row import NO_ISSUE
from hogline_instance.store import EVENTS_TABLE, Store

__all__ = [
    "Counts",
    "Found",
    "IssueFilter",
    "count_issues",
    "event_sample",
    "events_at",
    "events_without_issues",
    "newest_events",
    "order_issues",
    "people_source",
    "recent_buckets",
    "volumes",
]

_MAX_ISSUES = 50_000
_FINGERPRINT = "toString(`mat_$exception_fingerprint`)"
# An event that was stored before there were people names none; its distinct id then stands for one.
PERSON = f"if({PERSON_ID} = toUUID('{NO_ISSUE}'), events.distinct_id, toString({PERSON_ID}))"
# Counting distinct numbers takes a third of the time that distinct texts take.
PERSON_KEY = f"if({PERSON_ID} = toUUID('{NO_ISSUE}'), cityHash64(events.distinct_id), cityHash64({PERSON_ID}))"
SESSION_KEY = "cityHash64(session_id)"
_EVENTS = f"{EVENTS_TABLE} AS events"
EVENTS_WITH_PEOPLE = f"{_EVENTS} {PERSON_JOIN}"
"""The events joined with the ids that moved to another person; PERSON and PERSON_KEY need it."""
EXACT_UNTIL = 200_000
"""Of more events than these, people and sessions are counted within about 1 %, in half the time."""
_ORDERS = {
    "last_seen": "maxIf(timestamp, is_found)",
    "occurrences": "many",
    "users": f"uniqCombinedIf({PERSON_KEY}, is_found)",
    "sessions": f"uniqCombinedIf({SESSION_KEY}, is_found AND session_id != '')",
}
_SEARCHED = (
    "`mat_$exception_types`", "`mat_$exception_values`", "`mat_$exception_sources`", "`mat_$exception_functions`",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class IssueFilter:
    """Which exceptions count; every part is optional but the time, from (inclusive) to (exclusive)."""

    after: datetime
    before: datetime
    search: str = ""
    release: str | None = None
    library: str | None = None
    environment: str | None = None
    handled: bool | None = None
    person: str | None = None
    properties: Group | None = None

    @property
    def reads_people(self) -> bool:
        """Whether a condition reads the person of an event, which needs the ids that moved."""
        return bool(self.person) or self.properties is not None


@dataclass(frozen=True, slots=True)
class Found:
    """How many rows of an issue pass a filter, and whether every row passes its search."""

    rows: int
    is_whole: bool


@dataclass(frozen=True, slots=True)
class Counts:
    """The counts and times of one issue within a filter."""

    issue_id: str
    occurrences: int
    users: int
    sessions: int
    last_seen: datetime
    library: str
    source: str | None
    function: str | None
    first_event: str
    last_event: str


@dataclass(slots=True)
class _Where:
    """The conditions of a filter, and the values bound in them."""

    conditions: list[str]
    parameters: dict[str, object] = field(default_factory=dict)
    search: str = "true"
    """The condition of the words that are searched for; `conditions` do not hold it."""

    @property
    def others(self) -> str:
        """Return all conditions but the search."""
        return " AND ".join(self.conditions)

    @property
    def sql(self) -> str:
        """Return all conditions."""
        return " AND ".join([*self.conditions, self.search])


@dataclass(frozen=True, slots=True)
class PeopleSource:
    """A table of events in which people can be counted, and the expression to count."""

    table: str
    key: str


_AS_MOVED = PeopleSource(EVENTS_WITH_PEOPLE, PERSON_KEY)
_AS_STORED = PeopleSource(_EVENTS, PERSON_KEY.replace(PERSON_ID, "events.person_id"))


def people_source(store: Store, project_id: int) -> PeopleSource:
    """Return where to count a project's people: while no id has moved, the stored ids are right.

    The join with moved ids takes half the time of a count, also without any.
    """
    moved = f"SELECT 1 AS found FROM {OVERRIDES_TABLE} WHERE team_id = {{project:UInt32}} LIMIT 1"  # noqa: S608 - constants
    return _AS_MOVED if store.query(moved, {"project": project_id}) else _AS_STORED


def distinct_counts(rows: int, people: PeopleSource) -> str:
    """Return the expressions of occurrences, people and sessions among about *rows* rows.

    A row may be there twice until the store merges its parts; so few of many that they don't count.
    """
    exact = rows <= EXACT_UNTIL
    occurrences, function = ("uniqExact(uuid)", "uniqExact") if exact else ("count()", "uniqCombined")
    return (
        f"{occurrences} AS occurrences, {function}({people.key}) AS users,"
        f" {function}If({SESSION_KEY}, session_id != '') AS sessions"
    )


def order_issues(
    store: Store, project_id: int, wanted: IssueFilter, moved: Mapping[str, str], *, order: str, ascending: bool
) -> dict[str, Found]:
    """Return the ids of all issues with exceptions in the filter, in *order*."""
    where = _where(project_id, wanted)
    issue = _issue(moved, where)
    rows = store.query(
        f"WITH {where.search} AS is_found SELECT toString({issue}) AS id, countIf(is_found) AS many, count() AS in_all"  # noqa: S608 - constants; values are bound
        f" FROM {_table(wanted, with_people=order == 'users')} WHERE {where.others} AND {issue} != toUUID('{NO_ISSUE}')"
        f" GROUP BY {issue} HAVING many > 0 ORDER BY {_ORDERS.get(order, _ORDERS['last_seen'])}"
        f" {'ASC' if ascending else 'DESC'}, id LIMIT {_MAX_ISSUES}",
        where.parameters,
    )
    return {str(row["id"]): Found(cast("int", row["many"]), is_whole=row["many"] == row["in_all"]) for row in rows}


def _by_search(wanted: IssueFilter, ids: Mapping[str, Found]) -> Iterator[tuple[IssueFilter, list[str]]]:
    """Return the filter to ask with, for those issues whose rows all pass the search and for the others.

    A search reads long columns, so that it takes most of the time of a query.
    """
    for is_whole in (True, False):
        group = [each for each, found in ids.items() if found.is_whole is is_whole]
        if group:
            yield (replace(wanted, search="") if is_whole else wanted), group


def count_issues(
    store: Store,
    project_id: int,
    wanted: IssueFilter,
    moved: Mapping[str, str],
    ids: Mapping[str, Found],
    *,
    with_first: bool,
) -> dict[str, Counts]:
    """Return the counts of the issues *ids* within the filter.

    Without *with_first* no first event is looked for.
    """
    if not ids:
        return {}
    people = _AS_MOVED if wanted.reads_people else people_source(store, project_id)
    first = "toString(argMin(uuid, (timestamp, uuid)))" if with_first else "''"
    rows, places = list[dict[str, object]](), dict[str, Mapping[str, object]]()
    for asked, group in _by_search(wanted, ids):
        counted = list[dict[str, object]]()
        for is_large in (False, True):
            part = [each for each in group if (ids[each].rows > EXACT_UNTIL) is is_large]
            if part:
                counts = f"{distinct_counts(EXACT_UNTIL + is_large, people)}, {first} AS first_event"
                counted += _counted(store, project_id, asked, moved, part, counts, people.table)
        places |= _last_events(store, project_id, asked, moved, counted)
        rows += counted
    return {
        str(row["id"]): Counts(
            str(row["id"]), cast("int", row["occurrences"]), cast("int", row["users"]), cast("int", row["sessions"]),
            instant(cast("int", row["last_us"])), str(place["library"]), _last(place["sources"]), _last(place["functions"]),
            str(row["first_event"]), str(place["uuid_text"]),
        )
        for row in rows
        if (place := places.get(str(row["id"]))) is not None
    }  # fmt: skip


def _counted(
    store: Store,
    project_id: int,
    wanted: IssueFilter,
    moved: Mapping[str, str],
    ids: Sequence[str],
    counts: str,
    table: str,
) -> list[dict[str, object]]:
    where = _where(project_id, wanted)
    where.parameters["ids"] = list(ids)
    issue = _issue(moved, where)
    return store.query(
        f"SELECT toString({issue}) AS id, {counts}, toUnixTimestamp64Micro(max(timestamp)) AS last_us FROM {table}"  # noqa: S608 - constants; values are bound
        f" WHERE {where.sql} AND {issue} IN {{ids:Array(UUID)}} GROUP BY {issue}",
        where.parameters,
    )


def _last_events(
    store: Store,
    project_id: int,
    wanted: IssueFilter,
    moved: Mapping[str, str],
    counted: Sequence[Mapping[str, object]],
) -> dict[str, Mapping[str, object]]:
    """Return the last event of each issue with its library, files and functions.

    Its time is known, so that few rows are read. To keep the greatest pair of time and uuid while
    all rows are counted takes twice as long as everything else that is counted.
    """
    if not counted:
        return {}
    where = _where(project_id, wanted)
    issue = _issue(moved, where)
    times = sorted({cast("int", row["last_us"]) for row in counted})
    where.parameters |= {"ids": [str(row["id"]) for row in counted], "times": times}
    where.parameters |= {"first": times[0], "last": times[-1]}
    found = store.query(
        f"SELECT toString({issue}) AS id, toString(uuid) AS uuid_text, toString(`mat_$lib`) AS library,"  # noqa: S608 - constants; values are bound
        " `mat_$exception_sources` AS sources, `mat_$exception_functions` AS functions"
        f" FROM {_table(wanted)} WHERE {where.sql} AND {issue} IN {{ids:Array(UUID)}}"
        " AND timestamp >= fromUnixTimestamp64Micro({first:Int64}, 'UTC')"
        " AND timestamp <= fromUnixTimestamp64Micro({last:Int64}, 'UTC')"
        " AND toUnixTimestamp64Micro(timestamp) IN {times:Array(Int64)}"
        f" ORDER BY timestamp DESC, uuid DESC LIMIT 1 BY {issue}",
        where.parameters,
    )
    return {str(row["id"]): row for row in found}


def volumes(
    store: Store, project_id: int, wanted: IssueFilter, moved: Mapping[str, str], ids: Mapping[str, Found], buckets: int
) -> dict[str, list[int]]:
    """Return how often each of *ids* occurred in each of *buckets* equal parts of the time."""
    found = {each: [0] * buckets for each in ids}
    if buckets < 1:
        return {}
    for asked, group in _by_search(wanted, ids):
        for row in _buckets(store, project_id, asked, moved, group, buckets):
            place = min(cast("int", row["bucket"]), buckets - 1)
            found[str(row["id"])][place] += cast("int", row["many"])
    return found


def _buckets(
    store: Store, project_id: int, wanted: IssueFilter, moved: Mapping[str, str], ids: Sequence[str], buckets: int
) -> list[dict[str, object]]:
    where = _where(project_id, wanted)
    issue = _issue(moved, where)
    start, end = microseconds(wanted.after), microseconds(wanted.before)
    where.parameters |= {"ids": list(ids), "start": start, "step": max((end - start) // buckets, 1)}
    return store.query(
        f"SELECT toString({issue}) AS id,"  # noqa: S608 - constants; values are bound
        " intDiv(toUnixTimestamp64Micro(timestamp) - {start:Int64}, {step:Int64}) AS bucket, count() AS many"
        f" FROM {_table(wanted)} WHERE {where.sql} AND {issue} IN {{ids:Array(UUID)}} GROUP BY {issue}, bucket",
        where.parameters,
    )


def events_at(store: Store, project_id: int, uuids: Sequence[str]) -> dict[str, StoredEvent]:
    """Return the events with these uuids."""
    if not uuids:
        return {}
    rows = store.query(
        f"SELECT {SELECT_LIST} FROM {EVENTS_TABLE} WHERE team_id = {{project:UInt32}} AND uuid IN {{uuids:Array(UUID)}}"  # noqa: S608 - constants
        " AND event = '$exception' LIMIT 1 BY uuid",
        {"project": project_id, "uuids": list(uuids)},
    )
    return {event.uuid: event for event in map(event_of, rows)}


def newest_events(
    store: Store, project_id: int, fingerprints: Sequence[str], *, since: datetime
) -> dict[str, StoredEvent]:
    """Return the latest event since then of each fingerprint that has one."""
    rows = store.query(
        f"SELECT {_FINGERPRINT} AS fingerprint, toString(argMax(uuid, timestamp)) AS latest FROM {EVENTS_TABLE}"  # noqa: S608 - constants
        " WHERE team_id = {project:UInt32} AND event = '$exception' AND fingerprint IN {fingerprints:Array(String)}"
        " AND timestamp >= fromUnixTimestamp64Micro({since:Int64}, 'UTC') GROUP BY fingerprint",
        {"project": project_id, "fingerprints": list(fingerprints), "since": microseconds(since)},
    )
    latest = {str(row["fingerprint"]): str(row["latest"]) for row in rows}
    events = events_at(store, project_id, sorted(latest.values()))
    return {fingerprint: events[uuid] for fingerprint, uuid in latest.items() if uuid in events}


def events_without_issues(
    store: Store, project_id: int, *, until: str, after: tuple[str, str], limit: int
) -> list[StoredEvent]:
    """Return the next exceptions that were received before *until* and have no issue.

    They are whole rows in the order of their arrival, after the event with the place *after*.
    """
    condition = f"event = '$exception' AND issue_id = toUUID('{NO_ISSUE}')"
    clauses, parameters = arrivals(condition, project_id, until=until, after=after, limit=limit)
    rows = store.query(f"SELECT {SELECT_LIST}, person_properties FROM {EVENTS_TABLE} {clauses}", parameters)  # noqa: S608 - constants
    events = []
    for row in rows:
        event = event_of(row)
        event.raw_person_properties = msgspec.Raw(str(row["person_properties"]).encode())
        events.append(event)
    return events


def event_sample(store: Store, project_id: int, needles: Sequence[str], *, limit: int) -> list[StoredEvent]:
    """Return recent exceptions whose properties contain one of *needles*, to look up their frames."""
    rows = store.query(
        f"SELECT {SELECT_LIST} FROM {EVENTS_TABLE} WHERE team_id = {{project:UInt32}} AND event = '$exception'"  # noqa: S608 - constants
        " AND timestamp >= now() - INTERVAL 90 DAY AND multiSearchAny(properties, {needles:Array(String)})"
        " ORDER BY timestamp DESC LIMIT {limit:UInt32}",
        {"project": project_id, "needles": list(needles)[:100], "limit": limit},
    )
    return [event_of(row) for row in rows]


def _table(wanted: IssueFilter, *, with_people: bool = False) -> str:
    """Return the events, joined with moved ids only where a person is asked for."""
    return EVENTS_WITH_PEOPLE if with_people or wanted.reads_people else _EVENTS


def _issue(moved: Mapping[str, str], where: _Where) -> str:
    """Return the expression of an event's issue today."""
    if not moved:
        return "issue_id"
    where.parameters |= {"moved": list(moved), "moved_to": list(moved.values())}
    return f"toUUID(transform({_FINGERPRINT}, {{moved:Array(String)}}, {{moved_to:Array(String)}}, toString(issue_id)))"


def _where(project_id: int, wanted: IssueFilter) -> _Where:
    where = _Where(
        [
            "team_id = {project:UInt32}", "event = '$exception'",
            "timestamp >= fromUnixTimestamp64Micro({after:Int64}, 'UTC')",
            "timestamp < fromUnixTimestamp64Micro({before:Int64}, 'UTC')",
        ],
        {"project": project_id, "after": microseconds(wanted.after), "before": microseconds(wanted.before)},
    )  # fmt: skip
    searched = []
    for number, word in enumerate(wanted.search.split()[:20]):
        name = f"word{number}"
        matches = " OR ".join(
            f"arrayExists(x -> positionCaseInsensitiveUTF8(x, {{{name}:String}}) > 0, {column})" for column in _SEARCHED
        )
        searched.append(f"({matches} OR positionCaseInsensitiveUTF8(distinct_id, {{{name}:String}}) > 0)")
        where.parameters[name] = word
    if searched:
        where.search = f"({' AND '.join(searched)})"
    for name, column in (("release", "mat_$release"), ("library", "mat_$lib"), ("environment", "mat_$environment")):
        value = getattr(wanted, name)
        if value:
            where.conditions.append(f"`{column}` = {{{name}:String}}")
            where.parameters[name] = value
    if wanted.handled is not None:
        where.conditions.append(f"`mat_$exception_handled` = {'true' if wanted.handled else 'false'}")
    if wanted.person:
        where.conditions.append(f"({PERSON} = {{person:String}} OR distinct_id = {{person:String}})")
        where.parameters["person"] = wanted.person
    if wanted.properties is not None:
        bound = BoundValues()
        where.conditions.append(filter_sql(wanted.properties, bound, PERSON))
        where.parameters |= bound.parameters
    return where


def _last(values: object) -> str | None:
    listed = cast("Sequence[str]", values)
    return str(listed[-1]) if listed else None


def follow_moves(store: Store, project_id: int, moved: Mapping[str, str]) -> None:
    """Write the issue of moved fingerprints into the stored events, for queries that read the column."""
    store.change(
        EVENTS_TABLE,
        f"UPDATE issue_id = toUUID(transform({_FINGERPRINT}, {{moved:Array(String)}}, {{moved_to:Array(String)}},"
        " toString(issue_id))) WHERE team_id = {project:UInt32} AND event = '$exception'"
        f" AND {_FINGERPRINT} IN {{moved:Array(String)}}",
        {"project": project_id, "moved": list(moved), "moved_to": list(moved.values())},
    )


def recent_buckets(store: Store, *, now: datetime, buckets: int, minutes: int) -> dict[int, dict[str, list[int]]]:
    """Return how often each fingerprint of each project occurred in the last *buckets* of *minutes*.

    The last number is the bucket that ends now.
    """
    start = now - timedelta(minutes=buckets * minutes)
    rows = store.query(
        f"SELECT team_id, {_FINGERPRINT} AS fingerprint,"  # noqa: S608 - constants; values are bound
        " intDiv(toUnixTimestamp64Micro(timestamp) - {start:Int64}, {step:Int64}) AS bucket, count() AS many"
        f" FROM {EVENTS_TABLE} WHERE event = '$exception' AND timestamp >= fromUnixTimestamp64Micro({{start:Int64}}, 'UTC')"
        " AND timestamp < fromUnixTimestamp64Micro({end:Int64}, 'UTC') AND fingerprint != ''"
        " GROUP BY team_id, fingerprint, bucket",
        {"start": microseconds(start), "end": microseconds(now), "step": minutes * 60_000_000},
    )
    found: dict[int, dict[str, list[int]]] = {}
    for row in rows:
        counts = found.setdefault(cast("int", row["team_id"]), {}).setdefault(str(row["fingerprint"]), [0] * buckets)
        counts[min(cast("int", row["bucket"]), buckets - 1)] += cast("int", row["many"])
    return found
