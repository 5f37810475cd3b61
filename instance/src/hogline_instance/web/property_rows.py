"""Property filters as rows of a form: the operators to choose from, and the filters that were sent.

`property_rows.html` shows them. The editors of cohorts, flags and projects share it.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from hogline_instance.web.errors import bad_request

__all__ = ["OPERATORS", "operator_words", "posted_filters", "value_text"]

OPERATORS: tuple[tuple[str, str], ...] = (
    ("exact", "equals"),
    ("is_not", "does not equal"),
    ("icontains", "contains"),
    ("not_icontains", "does not contain"),
    ("regex", "matches the regex"),
    ("not_regex", "does not match the regex"),
    ("is_set", "is set"),
    ("is_not_set", "is not set"),
    ("gt", "is greater than"),
    ("gte", "is at least"),
    ("lt", "is less than"),
    ("lte", "is at most"),
    ("is_date_before", "is before the date"),
    ("is_date_after", "is after the date"),
)
"""PostHog's operators, each with its words."""
_WORDS = {
    **dict(OPERATORS),
    "starts_with": "starts with", "not_starts_with": "does not start with", "ends_with": "ends with",
    "not_ends_with": "does not end with", "icontains_multi": "contains one of", "not_icontains_multi": "contains none of",
    "is_date_exact": "is the date", "semver_eq": "is the version", "semver_neq": "is not the version",
    "semver_gt": "is a version after", "semver_gte": "is at least the version", "semver_lt": "is a version before",
    "semver_lte": "is at most the version", "semver_tilde": "is a patch of the version", "semver_caret": "is compatible with the version",
    "semver_wildcard": "matches the version", "in": "is in the cohort", "not_in": "is not in the cohort",
    "flag_evaluates_to": "flag evaluates to",
}  # fmt: skip
_NAMES = frozenset(name for name, _ in OPERATORS)
_LISTS = frozenset({"exact", "is_not"})
_MAX_ROWS = 100


def posted_filters(form: Mapping[str, Sequence[str]], prefix: str = "filter") -> list[dict[str, Any]]:
    """Return the filters of the rows whose key is not empty.

    Several values of `exact` and `is_not` are separated by commas. Raises ApiError: a row has an
    unknown operator.
    """
    columns = [list(form.get(f"{prefix}_{name}", ())) for name in ("type", "key", "operator", "value")]
    found: list[dict[str, Any]] = []
    for kind, key, operator, value in zip(*columns, strict=False):
        if not key.strip():
            continue
        if operator not in _NAMES:
            raise bad_request(
                f"{prefix}_operator", f"{operator[:50]!r} is not an operator: {', '.join(sorted(_NAMES))}"
            )
        if len(found) == _MAX_ROWS:
            raise bad_request(f"{prefix}_key", f"there are more than {_MAX_ROWS} filters")
        found.append({"key": key.strip(), "type": kind, "operator": operator, "value": _value(operator, value)})
    return found


def operator_words(name: str) -> str:
    """Return an operator as people read it."""
    return _WORDS.get(name, name.replace("_", " "))


def value_text(value: object) -> str:
    """Return the *value* of a filter as the text that `posted_filters` reads."""
    if value is None or isinstance(value, bool):
        return "" if value is None else str(value).lower()
    return ", ".join(str(each) for each in value) if isinstance(value, list) else str(value)


def _value(operator: str, text: str) -> Any:
    if operator in {"is_set", "is_not_set"}:
        return operator
    if operator in _LISTS:
        return [each.strip() for each in text.split(",") if each.strip()]
    return text.strip()
