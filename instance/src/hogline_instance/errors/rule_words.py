"""Rules in words, for the pages. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any

from hogline_instance.web.property_rows import OPERATORS, value_text

__all__ = ["KNOWN_PROPERTIES", "condition_words", "effect_words", "plain_filters"]

_NAMES = {
    "$exception_types": "type", "$exception_values": "message", "$exception_sources": "file",
    "$exception_functions": "function",
}  # fmt: skip
KNOWN_PROPERTIES: Sequence[str] = (
    *_NAMES, "$exception_handled", "$exception_level", "$lib", "$release", "$environment", "$browser", "$os",
    "$current_url", "$pathname", "$request_route", "$response_status_code",
)  # fmt: skip
_WORDS = dict(OPERATORS)
_WITHOUT_VALUE = frozenset({"is_set", "is_not_set"})


def condition_words(filters: Mapping[str, Any]) -> str:
    """Return the filters of a rule as a sentence, such as `type equals A and message contains b`."""
    return _group(filters, depth=0) or "nothing"


def effect_words(kind: str, rule: Mapping[str, Any]) -> str:
    """Return what a rule of *kind* does with the exceptions that match."""
    assignee = rule.get("assignee") or {}
    named = f"{assignee.get('type', 'user')} {assignee.get('id', '')}"
    if kind == "grouping":
        words = str(rule.get("description") or "makes one issue of them")
        return f"{words}, assigned to {named}" if assignee else words
    if kind == "suppression":
        share = rule.get("sampling_rate")
        return "drops them all" if share in {None, 1} else f"drops {share * 100:g} % of them"
    if kind == "assignment":
        return f"assigns new issues to {named}"
    if kind == "severity":
        return f"makes new issues {rule.get('severity')}"
    return "lets them pass the rate limits"


def plain_filters(filters: Mapping[str, Any]) -> list[Mapping[str, Any]] | None:
    """Return the filters as rows of a form, or None when rows cannot show them."""
    values = filters.get("values", [])
    flat = [each for each in values if isinstance(each, Mapping) and "values" not in each]
    shown = [each for each in flat if (each.get("operator") or "exact") in _WORDS]
    # The rows separate values by commas.
    whole = [each for each in shown if not any("," in str(one) for one in _listed(each.get("value")))]
    return flat if len(whole) == len(values) else None


def _listed(value: object) -> Sequence[object]:
    return value if isinstance(value, list) else ()


def _group(filters: Mapping[str, Any], depth: int) -> str:
    joined = f" {str(filters.get('type', 'AND')).lower()} ".join(
        _group(each, depth + 1) if "values" in each else _condition(each)
        for each in filters.get("values", ())
        if isinstance(each, Mapping)
    )
    return f"({joined})" if depth and joined else joined


def _condition(entry: Mapping[str, Any]) -> str:
    key, operator = str(entry.get("key")), str(entry.get("operator") or "exact")
    words = f"{_NAMES.get(key, key)} {_WORDS.get(operator, operator.replace('_', ' '))}"
    return words if operator in _WITHOUT_VALUE else f"{words} {value_text(entry.get('value'))}"
