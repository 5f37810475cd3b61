"""The behaviour of people: the store's answer to each kind of behaviour, as sets of person ids.

Source: docs/internals/management-api.md#cohorts.
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from hogline_instance.events.person_ids import PERSON_ID, PERSON_JOIN
from hogline_instance.store import EVENTS_TABLE, Store

__all__ = ["people_who"]

_DAYS = {"day": 1, "week": 7, "month": 30, "year": 365}
_COMPARED = {"gte": ">=", "lte": "<=", "gt": ">", "lt": "<", "eq": "=", "exact": "="}
_FIRST = datetime(1970, 1, 1, tzinfo=UTC)


def people_who(store: Store, project_id: int, leaf: Mapping[str, Any], now: datetime) -> set[str]:
    """Return the ids of the people whose events match *leaf*, without its negation."""
    since = now - _span(leaf, "time_value", "time_interval")
    parameters: dict[str, object] = {
        "project": project_id, "event": leaf["key"], "since": _text(since), "now": _text(now), "recent": _text(now),
        "other": str(leaf.get("seq_event", "")), "count": int(leaf.get("operator_value") or 0),
    }  # fmt: skip
    window = "at > {since:DateTime64(6, 'UTC')} AND at <= {now:DateTime64(6, 'UTC')}"
    kind = leaf["value"]
    names = "events.event = {event:String}"
    if kind == "performed_event":
        having = f"countIf({window}) > 0"
    elif kind == "performed_event_multiple":
        having = f"countIf({window}) > 0 AND countIf({window}) {_COMPARED.get(str(leaf.get('operator', 'gte')), '>=')} {{count:UInt64}}"
    elif kind == "performed_event_first_time":
        having = "min(at) > {since:DateTime64(6, 'UTC')} AND min(at) <= {now:DateTime64(6, 'UTC')}"
    elif kind == "performed_event_regularly":
        parameters |= {"length": int(_span(leaf, "time_value", "time_interval").total_seconds()) or 1,
                       "periods": int(leaf["total_periods"]), "least": int(leaf["min_periods"])}  # fmt: skip
        age = "intDiv(dateDiff('second', at, {now:DateTime64(6, 'UTC')}), {length:UInt64})"
        having = (
            f"uniqExactIf({age}, at <= {{now:DateTime64(6, 'UTC')}} AND {age} < {{periods:UInt64}}) >= {{least:UInt64}}"
        )
    elif kind == "performed_event_sequence":
        parameters["within"] = int(_span(leaf, "seq_time_value", "seq_time_interval").total_seconds())
        names = "events.event IN ({event:String}, {other:String})"
        having = (
            "arrayExists(first -> arrayExists(second -> second > first AND second <= addSeconds(first, {within:UInt64}),"
            f" groupArrayIf(at, name = {{other:String}})), groupArrayIf(at, name = {{event:String}} AND {window}))"
        )
    else:
        parameters["recent"] = _text(now - _span(leaf, "seq_time_value", "seq_time_interval"))
        recent = "at > {recent:DateTime64(6, 'UTC')} AND at <= {now:DateTime64(6, 'UTC')}"
        if kind == "stopped_performing_event":
            before = "at > {since:DateTime64(6, 'UTC')} AND at <= {recent:DateTime64(6, 'UTC')}"
            having = f"countIf({before}) > 0 AND countIf({recent}) = 0"
        else:  # restarted: long ago and lately, with nothing in between
            between = "at > {since:DateTime64(6, 'UTC')} AND at <= {recent:DateTime64(6, 'UTC')}"
            having = f"countIf(at <= {{since:DateTime64(6, 'UTC')}}) > 0 AND countIf({between}) = 0 AND countIf({recent}) > 0"
    rows = store.query(
        f"SELECT toString(person) AS person FROM (SELECT {PERSON_ID} AS person, events.timestamp AS at, events.event AS name"  # noqa: S608 - constants
        f" FROM {EVENTS_TABLE} AS events {PERSON_JOIN} WHERE events.team_id = {{project:UInt32}} AND {names}"
        f" LIMIT 1 BY events.uuid) GROUP BY person HAVING {having}",
        parameters,
    )
    return {str(row["person"]) for row in rows}


def _span(leaf: Mapping[str, Any], value: str, interval: str) -> timedelta:
    return timedelta(days=int(leaf[value]) * _DAYS[leaf[interval]])


def _text(moment: datetime) -> str:
    return max(moment, _FIRST).astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S.%f")
