"""The filters of a cohort: checked when it is saved, with every part that cannot be evaluated named.

Source: docs/internals/management-api.md#cohorts.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from hogline.flags.evaluation.operators import property_check
from hogline_instance.web.errors import ApiError, invalid_field

__all__ = ["BEHAVIOURS", "check_filters", "cohort_ids", "is_behavioural", "leaves", "refuse_circle"]

_MAX_LEAVES = 100
_MAX_DEPTH = 5
_MAX_PERIODS = 1_000
BEHAVIOURS = (
    "performed_event",
    "performed_event_multiple",
    "performed_event_first_time",
    "performed_event_regularly",
    "performed_event_sequence",
    "stopped_performing_event",
    "restarted_performing_event",
)
_MORE_KEYS = {
    "performed_event_multiple": ("operator_value",),
    "performed_event_regularly": ("total_periods", "min_periods"),
    "performed_event_sequence": ("seq_event", "seq_time_value", "seq_time_interval"),
    "stopped_performing_event": ("seq_time_value", "seq_time_interval"),
    "restarted_performing_event": ("seq_time_value", "seq_time_interval"),
}
_COUNTS = ("operator_value", "time_value", "total_periods", "min_periods", "seq_time_value")
INTERVALS = ("day", "week", "month", "year")


def check_filters(filters: object) -> dict[str, Any]:
    """Return *filters* as a dict. Raises ApiError: a part of it cannot be evaluated."""
    if not isinstance(filters, dict) or not isinstance(filters.get("properties"), dict):
        raise _refused('Filters need {"properties": {"type": "AND", "values": [...]}}.')
    _check_group(filters["properties"], 1)
    count = sum(1 for _ in leaves(filters["properties"]))
    if not 1 <= count <= _MAX_LEAVES:
        raise _refused(f"A dynamic cohort needs 1 to {_MAX_LEAVES} conditions; it has {count}.")
    return filters


def leaves(group: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Yield the conditions of a group and of the groups in it."""
    for each in group.get("values", ()):
        if "values" in each:
            yield from leaves(each)
        else:
            yield each


def cohort_ids(filters: Mapping[str, Any]) -> set[int]:
    """Return the ids of the cohorts that *filters* name."""
    group = filters.get("properties") or {}
    return {int(leaf["value"]) for leaf in leaves(group) if leaf.get("type") == "cohort"}


def is_behavioural(filters: Mapping[str, Any]) -> bool:
    """Return whether *filters* depend on what people did, which only the instance knows."""
    return any(leaf.get("type") == "behavioral" for leaf in leaves(filters.get("properties") or {}))


def refuse_circle(own_id: int | None, filters: Mapping[str, Any], others: Mapping[int, Mapping[str, Any]]) -> None:
    """Raise ApiError when *filters* name an unknown cohort, or lead back to the cohort itself."""
    waiting, seen = list(cohort_ids(filters)), set()
    for each in waiting:
        if each not in others and each != own_id:
            raise invalid_field("filters", "does_not_exist", f"There is no cohort {each} in this project.")
    while waiting:
        each = waiting.pop()
        if each == own_id:
            raise _refused("Cohorts cannot reference other cohorts in a loop.")
        if each not in seen:
            seen.add(each)
            waiting += cohort_ids(others.get(each, {}))


def _check_group(group: Mapping[str, Any], depth: int) -> None:
    if depth > _MAX_DEPTH:
        raise _refused(f"Groups are nested at most {_MAX_DEPTH} deep.")
    if group.get("type") not in {"AND", "OR"} or not isinstance(group.get("values"), list):
        raise _refused('Each group needs "type": "AND" or "OR", and a list "values".')
    for each in group["values"]:
        if not isinstance(each, dict):
            raise _refused("Each condition must be an object.")
        if "values" in each:
            _check_group(each, depth + 1)
        else:
            _check_leaf(each)


def _check_leaf(leaf: Mapping[str, Any]) -> None:
    kind = leaf.get("type")
    if kind == "person":
        if property_check(leaf, 2)[1] or not _compiles(leaf):
            raise _refused(
                f"The condition on {str(leaf.get('key'))[:100]!r} cannot be evaluated: check its operator"
                f" {str(leaf.get('operator') or 'exact')[:50]!r} and its value."
            )
    elif kind == "cohort":
        if isinstance(leaf.get("value"), bool) or not str(leaf.get("value")).isdecimal():
            raise _refused("A cohort condition needs the id of a cohort as its value.")
    elif kind == "behavioral":
        _check_behaviour(leaf)
    else:
        raise _refused(f"Unknown type of condition {str(kind)[:50]!r}: use person, cohort or behavioral.")


def _compiles(leaf: Mapping[str, Any]) -> bool:
    if leaf.get("operator") not in {"regex", "not_regex"}:
        return True
    try:
        re.compile(str(leaf.get("value")))
    except (re.error, RecursionError):
        return False
    return True


def _check_behaviour(leaf: Mapping[str, Any]) -> None:
    value = leaf.get("value")
    if value not in BEHAVIOURS:
        raise _refused(f"Unknown behaviour {str(value)[:50]!r}: use {', '.join(BEHAVIOURS)}.")
    missing = [name for name in ("key", "event_type", *_MORE_KEYS.get(value, ())) if leaf.get(name) in {None, ""}]
    if "explicit_datetime" not in leaf:
        missing += [name for name in ("time_value", "time_interval") if leaf.get(name) in {None, ""}]
    if missing:
        raise _refused(f"Missing required keys for behavioral filter: {', '.join(missing)}")
    if leaf["event_type"] != "events" or not isinstance(leaf["key"], str):
        raise _refused('Behaviour is about events: "event_type" is "events", and "key" the name of an event.')
    for name in _COUNTS:
        if name in leaf and not (str(leaf[name]).isdecimal() and int(leaf[name]) <= _MAX_PERIODS):
            raise _refused(f"{name} must be a number from 0 to {_MAX_PERIODS}.")
    for name in ("time_interval", "seq_time_interval"):
        if name in leaf and leaf[name] not in INTERVALS:
            raise _refused(f"{name} must be day, week, month or year.")
    if leaf.get("event_filters"):
        raise _refused("event_filters are not supported: name an event that needs no further filter.")
    if "explicit_datetime" in leaf:
        raise _refused("explicit_datetime is not supported: give time_value and time_interval.")


def _refused(detail: str) -> ApiError:
    return invalid_field("filters", "invalid_input", detail)
