"""Rules of a project's exceptions: which event a rule matches, and what it says about it.

Pure. Source: docs/internals/instance-protocol.md#error-rules-and-spikes.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hogline.flags.evaluation.operators import OPERATORS, property_check
from hogline.flags.evaluation.subject import Subject

__all__ = ["KINDS", "SEVERITIES", "FilterError", "Rule", "RuleSet", "check_filters", "sampled_out"]

KINDS = ("grouping", "suppression", "assignment", "severity", "bypass")
SEVERITIES = ("critical", "high", "medium", "low")
_MATCHING_VERSION = 2
_MAX_DEPTH = 5
_MAX_FILTERS = 100
_NEGATIVE = {
    "is_not": "exact", "not_icontains": "icontains", "not_regex": "regex", "is_not_set": "is_set",
    "not_starts_with": "starts_with", "not_ends_with": "ends_with", "not_icontains_multi": "icontains_multi",
}  # fmt: skip
_OF_EVENTS = (None, "event", "feature")
# Operators that take one value; a list of values passes when one of them does.
_ONE_VALUE = frozenset({"icontains", "starts_with", "ends_with", "regex", "gt", "gte", "lt", "lte"})


class FilterError(ValueError):
    """A rule's filters cannot be used; the text says why."""


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule, as the API stores it."""

    id: str
    kind: str
    filters: Mapping[str, Any]
    values: Mapping[str, Any] = field(default_factory=dict)

    def matches(self, properties: Mapping[str, Any]) -> bool:
        """Return whether *properties* of an event match. Raises FilterError."""
        return _group(self.filters, properties, 0)


class RuleSet:
    """The rules of one project, each kind in its order."""

    def __init__(self, rules: Sequence[Rule]) -> None:
        self._by_kind: dict[str, list[Rule]] = {}
        for rule in rules:
            self._by_kind.setdefault(rule.kind, []).append(rule)
        self.broken: dict[str, str] = {}
        """The rules that raised an error, with its text; they are to be disabled."""

    def has(self, kind: str) -> bool:
        """Return whether there is a rule of *kind*."""
        return kind in self._by_kind

    def first(self, kind: str, properties: Mapping[str, Any]) -> Rule | None:
        """Return the first rule of *kind* that matches."""
        for rule in self._by_kind.get(kind, ()):
            if rule.id in self.broken:
                continue
            try:
                if rule.matches(properties):
                    return rule
            except FilterError as error:
                self.broken[rule.id] = str(error)
        return None


def check_filters(filters: object) -> None:
    """Raise FilterError when *filters* can never be used."""
    if not isinstance(filters, Mapping):
        raise FilterError('filters must be an object such as {"type": "AND", "values": []}')
    _group(filters, {}, 0)


def sampled_out(uuid: str, share: float) -> bool:
    """Return whether *share* of events, 0 to 1, includes the event *uuid*; always the same answer."""
    number = int.from_bytes(hashlib.sha256(uuid.encode()).digest()[:8])
    return number < share * 2**64


def _group(filters: Mapping[str, Any], properties: Mapping[str, Any], depth: int) -> bool:
    kind, values = filters.get("type", "AND"), filters.get("values", [])
    if kind not in {"AND", "OR"} or not isinstance(values, list):
        raise FilterError(f"a group of filters needs type AND or OR and a list of values, got type {str(kind)[:50]!r}")
    if depth > _MAX_DEPTH or len(values) > _MAX_FILTERS:
        raise FilterError(f"filters may have {_MAX_DEPTH} levels and {_MAX_FILTERS} entries in each")
    found = [_entry(entry, properties, depth) for entry in values]
    # A rule without a filter matches nothing: an empty form must not suppress every event.
    return bool(found) and (all(found) if kind == "AND" else any(found))


def _entry(entry: object, properties: Mapping[str, Any], depth: int) -> bool:
    if not isinstance(entry, Mapping):
        raise FilterError(f"a filter must be an object, got {type(entry).__name__}")
    if "values" in entry and entry.get("type") in {"AND", "OR"}:
        return _group(entry, properties, depth + 1)
    if entry.get("type") not in _OF_EVENTS:
        raise FilterError(
            f"a rule asks for properties of the exception, of type event; the filter of {str(entry.get('key'))[:100]!r}"
            f" has type {str(entry['type'])[:50]!r}"
        )
    operator, value = str(entry.get("operator") or "exact"), entry.get("value")
    if operator not in OPERATORS:
        raise FilterError(f"operator {operator[:50]!r} is unknown")
    positive = _NEGATIVE.get(operator, operator)
    if positive in _ONE_VALUE and isinstance(value, list):
        given = [dict(entry, operator=positive, value=each) for each in value[:_MAX_FILTERS]]
    else:
        given = [dict(entry, operator=positive)]
    # Every value is checked, so that a broken one is found whatever the event holds.
    found = [_any(each, properties) for each in given]
    return any(found) is (positive == operator)


def _any(entry: Mapping[str, Any], properties: Mapping[str, Any]) -> bool:
    """Return whether the property, or any element of a list, passes the filter."""
    check, broken = property_check(entry, _MATCHING_VERSION)
    if broken:
        raise FilterError(f"the filter of {str(entry.get('key'))[:100]!r} has a value that its operator can't use")
    key = str(entry.get("key"))
    found = properties.get(key)
    elements = found if isinstance(found, list) and entry.get("operator") != "is_set" else None
    subject = Subject("", complete=True)
    if elements is None:
        return check(properties, subject) is True
    return any(check({key: element}, subject) is True for element in elements[:1_000])
