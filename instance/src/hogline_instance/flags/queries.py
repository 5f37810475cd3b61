"""Questions to the store about the calls of flags: how often, by whom, with which answers."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from hogline_instance.store import EVENTS_TABLE, Store

__all__ = ["Exposures", "exposures", "last_calls", "recent_ids"]

_CALLED = f"""
FROM {EVENTS_TABLE} WHERE team_id = {{project:UInt32}} AND event = '$feature_flag_called'
    AND timestamp >= fromUnixTimestamp64Micro({{floor_us:Int64}}, 'UTC')
"""
_LAST_SQL = f"""
SELECT JSONExtractString(properties, '$feature_flag') AS flag, toUnixTimestamp64Micro(max(timestamp)) AS last_us {_CALLED}
GROUP BY flag LIMIT 10000
"""
# A value is asked for by its raw text: true and "true" are different answers.
_EXPOSURES_SQL = f"""
SELECT toString(toDate(timestamp, 'UTC')) AS day, JSONExtractRaw(properties, '$feature_flag_response') AS value,
    uniqExact(uuid) AS calls, uniqExact(distinct_id) AS people {_CALLED}
    AND JSONExtractString(properties, '$feature_flag') = {{flag:String}}
GROUP BY day, value ORDER BY day LIMIT 10000
"""
_RECENT_SQL = f"""
SELECT distinct_id, max(timestamp) AS last FROM {EVENTS_TABLE}
WHERE team_id = {{project:UInt32}} AND timestamp >= fromUnixTimestamp64Micro({{floor_us:Int64}}, 'UTC')
GROUP BY distinct_id ORDER BY last DESC LIMIT {{limit:UInt32}}
"""  # noqa: S608 - the table is a constant; values are bound
_STALE_AFTER = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class Exposures:
    """The calls of one flag by day."""

    days: tuple[str, ...]
    values: Mapping[str, tuple[int, ...]]
    """Answer -> the people who got it on each day."""
    calls: Mapping[str, int]
    """Answer -> calls in all."""


def last_calls(store: Store, project_id: int, *, now: datetime | None = None) -> dict[str, datetime]:
    """Return when each flag was last called, for those called within the last 90 days."""
    rows = store.query(_LAST_SQL, {"project": project_id, "floor_us": _floor(now, timedelta(days=90))})
    return {str(row["flag"]): datetime.fromtimestamp(int(str(row["last_us"])) / 1e6, UTC) for row in rows}


def exposures(store: Store, project_id: int, key: str, *, days: int = 30, now: datetime | None = None) -> Exposures:
    """Return the calls of a flag on each of the last *days* days."""
    moment = now or datetime.now(UTC)
    names = tuple((moment - timedelta(days=back)).date().isoformat() for back in range(days - 1, -1, -1))
    floor = datetime.fromisoformat(names[0]).replace(tzinfo=UTC)
    rows = store.query(_EXPOSURES_SQL, {"project": project_id, "flag": key, "floor_us": int(floor.timestamp() * 1e6)})
    people: dict[str, dict[str, int]] = {}
    calls: dict[str, int] = {}
    for row in rows:
        value = str(row["value"]).strip('"')[:200] or "null"
        people.setdefault(value, {})[str(row["day"])] = int(str(row["people"]))
        calls[value] = calls.get(value, 0) + int(str(row["calls"]))
    return Exposures(
        names, {value: tuple(found.get(day, 0) for day in names) for value, found in sorted(people.items())}, calls
    )


def recent_ids(store: Store, project_id: int, *, limit: int) -> list[str]:
    """Return the distinct ids of the newest events of the last 30 days."""
    parameters = {"project": project_id, "limit": limit, "floor_us": _floor(None, _STALE_AFTER)}
    return [str(row["distinct_id"]) for row in store.query(_RECENT_SQL, parameters)]


def _floor(now: datetime | None, span: timedelta) -> int:
    return int(((now or datetime.now(UTC)) - span).timestamp() * 1_000_000)
