"""Filters of people and groups by their properties, as conditions in SQL.

Source: docs/internals/management-api.md#persons.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Float, String, and_, case, cast, false, func, literal, not_, or_

__all__ = ["OPERATORS", "FilterError", "PropertyFilter", "condition", "property_text", "read_filters"]

OPERATORS = (
    "exact", "is_not", "icontains", "not_icontains", "is_set", "is_not_set", "gt", "gte", "lt", "lte",
    "starts_with", "ends_with",
)  # fmt: skip
_MAX_FILTERS = 50
_MAX_CHARACTERS = 400
_NUMERIC = {"gt": "__gt__", "gte": "__ge__", "lt": "__lt__", "lte": "__le__"}


class FilterError(ValueError):
    """A filter cannot be read; the message says why."""


@dataclass(frozen=True, slots=True)
class PropertyFilter:
    """One condition on a property; *values* are texts, as JSON writes them."""

    key: str
    operator: str
    values: tuple[str, ...]


def read_filters(text: str | None) -> tuple[PropertyFilter, ...]:
    """Return the filters in *text*, a JSON list as in PostHog's API. Raises FilterError."""
    if not text:
        return ()
    try:
        given = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise FilterError(f"properties must be a JSON list of filters: {error}") from error
    if isinstance(given, dict):
        given = given.get("values", [{"key": key, "value": value} for key, value in given.items()])
    if not isinstance(given, list) or len(given) > _MAX_FILTERS:
        raise FilterError(f"properties must be a JSON list of at most {_MAX_FILTERS} filters")
    return tuple(_filter(each) for each in given)


def condition(dialect: str, column: Any, wanted: PropertyFilter) -> ColumnElement[bool]:
    """Return the SQL condition that the JSON in *column* passes *wanted*."""
    value = property_text(dialect, column, wanted.key)
    operator = wanted.operator
    if operator == "is_set":
        return value.is_not(None)
    if operator == "is_not_set":
        return value.is_(None)
    if operator in _NUMERIC:
        return or_(false(), *(_compared(dialect, value, operator, each) for each in wanted.values))
    folded = func.lower(value)
    tests: dict[str, Any] = {
        "exact": lambda text: value == text,
        "is_not": lambda text: value == text,
        "icontains": lambda text: folded.contains(text.lower(), autoescape=True),
        "not_icontains": lambda text: folded.contains(text.lower(), autoescape=True),
        "starts_with": lambda text: folded.startswith(text.lower(), autoescape=True),
        "ends_with": lambda text: folded.endswith(text.lower(), autoescape=True),
    }
    matched = or_(false(), *(tests[operator](text) for text in wanted.values))
    if operator in {"is_not", "not_icontains"}:
        return or_(value.is_(None), not_(matched))
    return matched


def property_text(dialect: str, column: Any, key: str) -> ColumnElement[Any]:
    """Return property *key* of the JSON in *column* as text, NULL without one."""
    if dialect == "postgresql":
        text: ColumnElement[Any] = column.op("->>")(literal(key, String))
        return text
    path = f'$."{key}"'
    kind = func.json_type(column, path)
    # SQLite reads true and false as 1 and 0.
    return case((kind.in_(("true", "false")), kind), else_=cast(func.json_extract(column, path), String))


def _compared(dialect: str, value: Any, operator: str, text: str) -> ColumnElement[bool]:
    try:
        number = float(text)
    except ValueError:
        return getattr(value, _NUMERIC[operator])(text)  # type: ignore[no-any-return]
    if dialect == "postgresql":
        # A text that is no number must not be cast: PostgreSQL would refuse the query.
        is_number = value.regexp_match(r"^-?[0-9]{1,300}(\.[0-9]{1,300})?([eE][-+]?[0-9]{1,2})?$")
        as_number: ColumnElement[Any] = case((is_number, cast(value, Float)), else_=None)
    else:
        is_number = or_(value.op("GLOB")("[0-9]*"), value.op("GLOB")("-[0-9]*"))
        as_number = cast(value, Float)
    return and_(is_number, getattr(as_number, _NUMERIC[operator])(number))


def _filter(given: Any) -> PropertyFilter:
    if not isinstance(given, Mapping) or not isinstance(given.get("key"), str) or not given["key"]:
        raise FilterError('each filter is an object such as {"key": "email", "value": "a@b.c", "operator": "exact"}')
    key = given["key"]
    if len(key) > _MAX_CHARACTERS or '"' in key or "\0" in key:
        raise FilterError(f"a property's name has at most {_MAX_CHARACTERS} characters and no double quote")
    operator = given.get("operator") or "exact"
    if operator not in OPERATORS:
        raise FilterError(f"unknown operator {str(operator)[:50]!r}; people are filtered by {', '.join(OPERATORS)}")
    values = given.get("value")
    listed = values if isinstance(values, list) else [values]
    return PropertyFilter(key, operator, tuple(_text(each) for each in listed[:1_000]))


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value.replace("\0", "")
    return json.dumps(value)
