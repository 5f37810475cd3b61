"""Why a person gets a flag's answer: each condition and each filter with its own verdict.

Every part is evaluated by itself, as a flag that consists of this part alone, so the same code
decides here and in `/flags/`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hogline.flags.evaluation import Subject
from hogline_instance.flags.flag_set import FlagSet

__all__ = ["ConditionVerdict", "FilterVerdict", "explain", "filter_text"]

_OPERATORS = {
    "exact": "is", "is_not": "is not", "icontains": "contains", "not_icontains": "does not contain", "regex": "matches",
    "not_regex": "does not match", "is_set": "is set", "is_not_set": "is not set", "gt": ">", "gte": "≥", "lt": "<",
    "lte": "≤", "is_date_before": "is before", "is_date_after": "is after", "in": "is in", "not_in": "is not in",
    "flag_evaluates_to": "evaluates to",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class FilterVerdict:
    """One filter, and whether it holds; None where it cannot be decided."""

    text: str
    holds: bool | None
    found: str
    """The property's value as the evaluation saw it."""


@dataclass(frozen=True, slots=True)
class ConditionVerdict:
    """One condition set: its filters, and whether the person is in its percentage."""

    index: int
    filters: tuple[FilterVerdict, ...]
    rollout: float | None
    is_in_rollout: bool
    matches: bool


def explain(flags: FlagSet, key: str, subject: Subject) -> tuple[ConditionVerdict, ...]:
    """Return the verdict of each condition set of flag *key* for *subject*."""
    definition = flags.ruleset.definitions[key]
    filters = definition.get("filters") or {}
    found = []
    for index, group in enumerate(filters.get("groups") or []):
        parts = tuple(
            _filter_verdict(flags, definition, group, each, subject) for each in group.get("properties") or []
        )
        is_in = _holds(flags, definition, {**group, "properties": []}, subject) is True
        found.append(
            ConditionVerdict(
                index,
                parts,
                group.get("rollout_percentage"),
                is_in,
                is_in and all(part.holds is True for part in parts),
            )
        )
    return tuple(found)


def filter_text(filter_: Mapping[str, Any]) -> str:
    """Return a filter as a person reads it."""
    operator = str(filter_.get("operator") or "exact")
    subject = "cohort" if filter_.get("type") == "cohort" else str(filter_.get("key"))
    value = filter_.get("value")
    shown = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    kind = "flag " if filter_.get("type") == "flag" else ""
    words = _OPERATORS.get(operator, operator.replace("_", " "))
    return f"{kind}{subject} {words}" + ("" if operator in ("is_set", "is_not_set") else f" {shown}")


def _filter_verdict(
    flags: FlagSet,
    definition: Mapping[str, Any],
    group: Mapping[str, Any],
    filter_: Mapping[str, Any],
    subject: Subject,
) -> FilterVerdict:
    alone = {**group, "properties": [filter_], "rollout_percentage": 100}
    index = group.get("aggregation_group_type_index")
    properties = subject.person_properties
    if index is not None:
        properties = subject.properties_of(flags.group_types.get(str(index), "")) or {}
    is_property = filter_.get("type") in ("person", "group", None)
    found = repr(properties.get(str(filter_.get("key")), "not set")) if is_property else ""
    return FilterVerdict(filter_text(filter_), _holds(flags, definition, alone, subject), found[:200])


def _holds(flags: FlagSet, definition: Mapping[str, Any], group: Mapping[str, Any], subject: Subject) -> bool | None:
    filters = {**(definition.get("filters") or {}), "groups": [group]}
    for name in ("holdout", "feature_enrollment", "multivariate"):
        filters.pop(name, None)
    rules = flags.ruleset.with_definition({**definition, "filters": filters})
    verdict = rules.verdict(str(definition["key"]), _fresh(subject))
    return None if verdict is None or verdict.value is None else verdict.value is not False


def _fresh(subject: Subject) -> Subject:
    """Return the same person without the answers of other flags that were found before."""
    return Subject(
        subject.distinct_id, person_properties=subject.person_properties, groups=subject.groups,
        group_properties=subject.group_properties, device_id=subject.device_id, complete=subject.complete,
        hash_keys=subject.hash_keys, now=subject.now,
    )  # fmt: skip
