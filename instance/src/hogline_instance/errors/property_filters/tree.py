"""Property filters of a query as a tree of groups. Pure.

Source: docs/internals/query-semantics.md#property-filters.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

from hogline_instance.db import storable_text

__all__ = [
    "ISSUE_VALUES", "METADATA", "OPERATORS", "SESSION_VALUES", "Condition", "FilterNode", "FilterTreeError", "Group", "Membership", "in_group",
    "read_filter_group",
]  # fmt: skip

METADATA = ("event", "distinct_id", "timestamp", "person_id", "$session_id", *(f"$group_{n}" for n in range(5)))
OPERATORS = (
    "exact", "is_not", "in", "not_in", "icontains", "not_icontains", "icontains_multi", "not_icontains_multi",
    "starts_with", "not_starts_with", "ends_with", "not_ends_with", "regex", "not_regex", "is_set", "is_not_set",
    "gt", "gte", "lt", "lte", "min", "max", "between", "not_between", "is_date_exact", "is_date_before", "is_date_after",
    "semver_eq", "semver_neq", "semver_gt", "semver_gte", "semver_lt", "semver_lte", "semver_tilde", "semver_caret",
    "semver_wildcard",
)  # fmt: skip
_OPPOSITES = {
    "is_not": "exact", "not_in": "exact", "not_icontains": "icontains", "not_icontains_multi": "icontains",
    "not_starts_with": "starts_with", "not_ends_with": "ends_with", "not_regex": "regex", "is_not_set": "is_set",
    "not_between": "between", "semver_neq": "semver_eq",
}  # fmt: skip
_SAME = {"in": "exact", "icontains_multi": "icontains", "min": "gte", "max": "lte"}
_SOURCES = {
    "event": "event", "feature": "event", "person": "person", "event_metadata": "event_metadata", "session": "session",
    "group": "group", "cohort": "cohort", "error_tracking_issue": "issue",
}  # fmt: skip
ISSUE_VALUES = ("name", "issue_description", "status", "severity", "assignee", "first_seen")
SESSION_VALUES = (
    "$session_duration", "$start_timestamp", "$end_timestamp", "$entry_current_url", "$entry_pathname", "$entry_hostname",
    "$end_current_url", "$end_pathname", "$end_hostname", "$entry_referring_domain", "$entry_utm_source", "$entry_utm_medium",
    "$entry_utm_campaign", "$entry_utm_term", "$entry_utm_content", "$pageview_count", "$screen_count", "$autocapture_count",
)  # fmt: skip
_GROUP_TYPES = 5
_MAX_COHORT = 2**31 - 1
_MAX_DEPTH, _MAX_CONDITIONS, _MAX_VALUES, _MAX_TEXT = 5, 50, 100, 1_000


class FilterTreeError(ValueError):
    """The filters cannot be used; the text says why."""


@dataclass(frozen=True, slots=True)
class Condition:
    """A test of one property. *negated* turns it around, so a property that is not set passes."""

    source: str
    """`event`, `person`, `event_metadata`, `session`, `group`, `cohort` or `issue`."""
    key: str
    operator: str
    """One of the operators that are no opposite of another."""
    values: tuple[str, ...]
    negated: bool
    group_type: int = 0
    """The index of the type, of a group's property."""


@dataclass(frozen=True, slots=True)
class Membership:
    """A test whether a column of the event, `person_id` or `$group_<index>`, is one of *values*.

    Conditions on cohorts and groups become this, since SQL knows who is in them.
    """

    column: str
    values: tuple[str, ...]
    negated: bool


@dataclass(frozen=True, slots=True)
class Group:
    """Parts that must all pass, or one of which must; without parts, everything passes."""

    is_all: bool
    parts: "tuple[FilterNode, ...]"


FilterNode: TypeAlias = Group | Condition | Membership


def read_filter_group(given: object) -> Group:
    """Return the tree of a `filterGroup`, or of a list of filters, which must all pass.

    Raises FilterTreeError.
    """
    if given is None:
        return Group(is_all=True, parts=())
    group = _group({"type": "AND", "values": given} if isinstance(given, list) else given, 0)
    if (count := _count(group)) > _MAX_CONDITIONS:
        raise FilterTreeError(f"there may be {_MAX_CONDITIONS} property filters, got {count}")
    return group


def _group(given: object, depth: int) -> Group:
    if not isinstance(given, Mapping) or not isinstance(given.get("values"), list) or depth > _MAX_DEPTH:
        raise FilterTreeError(
            f"it must hold groups with type AND or OR and values, up to {_MAX_DEPTH} levels, and property filters"
        )
    kind = given.get("type", "AND")
    if kind not in {"AND", "OR"}:
        raise FilterTreeError(f"the type of a group must be AND or OR, got {str(kind)[:50]!r}")
    parts = tuple(_node(each, depth + 1) for each in given["values"][: _MAX_CONDITIONS + 1])
    return Group(is_all=kind == "AND", parts=parts)


def _node(given: object, depth: int) -> FilterNode:
    if isinstance(given, Mapping) and "key" in given:
        return _condition(given)
    return _group(given, depth)


def in_group(type_index: object, key: object) -> Condition:
    """Return the condition that an event is of one group. Raises FilterTreeError."""
    if not isinstance(key, (str, int)) or isinstance(key, bool) or key == "":
        raise FilterTreeError("groupKey must be the key of a group")
    return Condition(
        "event_metadata", f"$group_{_group_type(type_index)}", "exact", (_text(key)[:_MAX_TEXT],), negated=False
    )


def _condition(given: Mapping[str, Any]) -> Condition:
    key, kind = given.get("key"), given.get("type") or "event"
    if not isinstance(key, str) or not key or len(key) > _MAX_TEXT:
        raise FilterTreeError(f"a property filter needs a key, a text of up to {_MAX_TEXT} characters")
    key = _text(key)
    source = _source(kind, key)
    operator = given.get("operator") or ("in" if source == "cohort" else "exact")
    if operator not in OPERATORS:
        raise FilterTreeError(f"operator must be one of {', '.join(OPERATORS)}, got {str(operator)[:50]!r}")
    positive = _OPPOSITES.get(operator, _SAME.get(operator, operator))
    values = _values(given.get("value"))
    if (source, key) == ("issue", "assignee"):
        values = tuple(map(_assignee_id, values))
    if positive == "between" and not _is_span(values):
        raise FilterTreeError(f"{operator} of {key[:50]!r} needs a list of two numbers, the smaller one first")
    if source == "cohort":
        _check_cohort(operator, positive, values)
    found = Condition(source, key, positive, values, negated=operator in _OPPOSITES)
    if source != "group":
        return found
    index = _group_type(given.get("group_type_index"))
    if key == "$group_key":
        return replace(found, source="event_metadata", key=f"$group_{index}")
    return replace(found, group_type=index)


def _source(kind: object, key: str) -> str:
    source = _SOURCES.get(kind) if isinstance(kind, str) else None
    known = {"event_metadata": METADATA, "session": SESSION_VALUES, "cohort": ("id",), "issue": ISSUE_VALUES}
    if source is None:
        raise FilterTreeError(
            f"exceptions are filtered by types {', '.join(_SOURCES)}; got type {str(kind)[:50]!r} with key {key[:50]!r}"
        )
    if key not in known.get(source, (key,)):
        raise FilterTreeError(f"the keys of type {kind} are {', '.join(known[source])}; got key {key[:50]!r}")
    return source


def _check_cohort(operator: str, positive: str, values: tuple[str, ...]) -> None:
    if positive != "exact":
        raise FilterTreeError(f"a cohort needs the operator in or not_in, got {operator!r}")
    if not values or not all(re.fullmatch(r"[0-9]{1,10}", each) and int(each) <= _MAX_COHORT for each in values):
        raise FilterTreeError("the value of a cohort must be its id, a number")


def _group_type(given: object) -> int:
    if isinstance(given, bool) or not isinstance(given, int) or not 0 <= given < _GROUP_TYPES:
        raise FilterTreeError(
            f"a group needs its type's index, a number from 0 to {_GROUP_TYPES - 1}, got {str(given)[:50]!r}"
        )
    return given


def _values(given: object) -> tuple[str, ...]:
    listed = given if isinstance(given, list) else [] if given is None else [given]
    if len(listed) > _MAX_VALUES:
        raise FilterTreeError(f"a property filter may have {_MAX_VALUES} values, got {len(listed)}")
    return tuple(_text(each)[:_MAX_TEXT] for each in listed)


def _text(value: object) -> str:
    """Return *value* as JSON writes it, a text as it is."""
    return storable_text(value) if isinstance(value, str) else json.dumps(value)


def _assignee_id(text: str) -> str:
    """Return the id of an assignee, which may be an object with type and id."""
    try:
        found = json.loads(text)
    except ValueError:
        return text
    return str(found.get("id")) if isinstance(found, dict) else text


def _is_span(values: tuple[str, ...]) -> bool:
    numbers = [float(text) for text in values if re.fullmatch(r"-?\d{1,300}(\.\d{1,300})?([eE][-+]?\d{1,2})?", text)]
    return len(values) == len(numbers) == 2 and numbers[0] <= numbers[1]


def _count(node: FilterNode) -> int:
    return sum(map(_count, node.parts)) if isinstance(node, Group) else 1
