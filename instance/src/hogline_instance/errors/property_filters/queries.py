"""Property filters as conditions in the store's SQL. Keys and values are bound, never pasted."""

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta

from hogline.flags.evaluation.dates import absolute, is_relative, relative
from hogline.flags.evaluation.semver import bounds, parsed
from hogline_instance.errors.property_filters.tree import Condition, FilterNode, FilterTreeError
from hogline_instance.events.event import microseconds
from hogline_instance.exceptions import StoreError
from hogline_instance.store import Store

__all__ = ["BoundValues", "check_patterns", "filter_sql"]

_PROPERTIES = {"event": "properties", "person": "person_properties"}
_ARRAYS = frozenset({"$exception_types", "$exception_values", "$exception_sources", "$exception_functions"})
_METADATA = {"$session_id": "session_id", "timestamp": "formatDateTime(timestamp, '%Y-%m-%dT%H:%i:%SZ', 'UTC')"}
_ORDER = {"gt": ">", "gte": ">=", "lt": "<", "lte": "<="}
_VERSION = (
    "arrayResize(arrayMap(part -> toUInt64OrZero(part),"
    " splitByChar('.', extract(x, '^[vV]?([0-9]+(?:\\\\.[0-9]+)*)'))), 3, 0)"
)
_IS_VERSION = "match(x, '^[vV]?[0-9]')"
_MOMENT = "parseDateTime64BestEffortOrNull(x, 6, 'UTC')"
_PATTERN_REFUSED = "cannot compile re2"
_DAY = len("2026-01-31")


class BoundValues:
    """Names for the values of a statement, which the engine binds."""

    def __init__(self) -> None:
        self.parameters: dict[str, object] = {}

    def add(self, value: object, kind: str) -> str:
        """Return the placeholder of *value*."""
        name = f"filter{len(self.parameters)}"
        self.parameters[name] = value
        return f"{{{name}:{kind}}}"


def filter_sql(node: FilterNode, bound: BoundValues, person: str) -> str:
    """Return the condition of *node*; *person* is the expression of an event's person.

    Raises FilterTreeError: a value cannot be compared by its operator.
    """
    if isinstance(node, Condition):
        return _condition(node, bound, person)
    if not node.parts:
        return "true"
    return "(" + (" AND " if node.is_all else " OR ").join(filter_sql(each, bound, person) for each in node.parts) + ")"


def check_patterns(store: Store, node: FilterNode) -> None:
    """Raise FilterTreeError when the store cannot read a regular expression of *node*."""
    bound = BoundValues()
    tests = [f"match('', {bound.add(text, 'String')})" for text in _patterns(node)]
    if not tests:
        return
    try:
        store.query(f"SELECT {' OR '.join(tests)} AS found", bound.parameters)
    except StoreError as error:
        if _PATTERN_REFUSED not in str(error):
            raise
        raise FilterTreeError("the store cannot read a regular expression; it takes those of RE2") from error


def _patterns(node: FilterNode) -> list[str]:
    if isinstance(node, Condition):
        return list(node.values) if node.operator == "regex" else []
    return [text for each in node.parts for text in _patterns(each)]


def _condition(condition: Condition, bound: BoundValues, person: str) -> str:
    if condition.source == "event_metadata":
        column = person if condition.key == "person_id" else _METADATA.get(condition.key, f"`{condition.key}`")
        texts, is_set = f"[toString({column})]", f"toString({column}) != ''"
    else:
        texts, is_set = _texts(condition, bound)
    test = is_set if condition.operator == "is_set" else _test(condition, bound, texts)
    return f"NOT ({test})" if condition.negated else f"({test})"


def _texts(condition: Condition, bound: BoundValues) -> tuple[str, str]:
    """Return the texts of a property, those of a list's elements, and whether it is set."""
    if condition.source == "event" and condition.key in _ARRAYS:
        return f"`mat_{condition.key}`", f"notEmpty(`mat_{condition.key}`)"
    column, key = _PROPERTIES[condition.source], bound.add(condition.key, "String")
    raw = f"JSONExtractRaw({column}, {key})"
    plain = "if(startsWith({0}, '\"'), JSONExtractString({0}), {0})"
    texts = (
        f"arrayMap(x -> {plain.format('x')}, multiIf({raw} IN ('', 'null'), [], startsWith({raw}, '['),"
        f" JSONExtractArrayRaw({column}, {key}), [{raw}]))"
    )
    return texts, f"{raw} NOT IN ('', 'null')"


def _test(condition: Condition, bound: BoundValues, texts: str) -> str:
    operator, values = condition.operator, condition.values
    if not values:
        return "false"
    if operator == "exact":
        return f"hasAny({texts}, {bound.add(list(values), 'Array(String)')})"
    return f"arrayExists(x -> {_TESTS[operator](operator, values, bound)}, {texts})"


def _contains(_operator: str, values: tuple[str, ...], bound: BoundValues) -> str:
    return f"multiSearchAnyCaseInsensitiveUTF8(x, {bound.add(list(values), 'Array(String)')})"


def _edge(operator: str, values: tuple[str, ...], bound: BoundValues) -> str:
    function = "startsWith" if operator == "starts_with" else "endsWith"
    return _any(f"{function}(lowerUTF8(x), lowerUTF8({bound.add(each, 'String')}))" for each in values)


def _matches(_operator: str, values: tuple[str, ...], bound: BoundValues) -> str:
    return _any(f"match(x, {bound.add(each, 'String')})" for each in values)


def _compares(operator: str, values: tuple[str, ...], bound: BoundValues) -> str:
    return _any(
        f"toFloat64OrNull(x) {_ORDER[operator]} {bound.add(_number(operator, each), 'Float64')}" for each in values
    )


def _between(operator: str, values: tuple[str, ...], bound: BoundValues) -> str:
    first, last = (bound.add(_number(operator, each), "Float64") for each in values)
    return f"ifNull(toFloat64OrNull(x) BETWEEN {first} AND {last}, false)"


def _dated(operator: str, values: tuple[str, ...], bound: BoundValues) -> str:
    return _any(_one_date(operator, each, bound) for each in values)


def _one_date(operator: str, text: str, bound: BoundValues) -> str:
    now = datetime.now(UTC)
    moment = relative(text, now) if is_relative(text) else absolute(text, now)
    if moment is None:
        raise FilterTreeError(f"{operator} needs a date such as 2026-01-31 or -7d, got {text[:50]!r}")
    # A date without a time is a whole day.
    is_day = len(text.strip()) == _DAY and not is_relative(text)
    end = moment + timedelta(days=1) if is_day else moment + timedelta(microseconds=1)
    first, after = (
        f"fromUnixTimestamp64Micro({bound.add(microseconds(each), 'Int64')}, 'UTC')" for each in (moment, end)
    )
    tests = {
        "is_date_before": f"{_MOMENT} < {first}", "is_date_after": f"{_MOMENT} >= {after}",
        "is_date_exact": f"({_MOMENT} >= {first} AND {_MOMENT} < {after})",
    }  # fmt: skip
    return tests[operator]


def _version(operator: str, values: tuple[str, ...], bound: BoundValues) -> str:
    return _any(_one_version(operator, each, bound) for each in values)


def _one_version(operator: str, text: str, bound: BoundValues) -> str:
    sign = {"semver_eq": "=", "semver_gt": ">", "semver_gte": ">=", "semver_lt": "<", "semver_lte": "<="}.get(operator)
    if sign is not None and (version := parsed(text)) is not None:
        return f"{_IS_VERSION} AND {_VERSION} {sign} {bound.add(list(version), 'Array(UInt64)')}"
    if sign is None and (span := bounds(operator, text)) is not None:
        first, after = (bound.add(list(each), "Array(UInt64)") for each in span)
        return f"{_IS_VERSION} AND {_VERSION} >= {first} AND {_VERSION} < {after}"
    raise FilterTreeError(f"{operator} needs a version such as 1.2.3, got {text[:50]!r}")


def _number(operator: str, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise FilterTreeError(f"{operator} needs a number, got {text[:50]!r}") from None


def _any(tests: Iterable[str]) -> str:
    return "(" + " OR ".join(f"ifNull({each}, false)" for each in tests) + ")"


_TESTS: Mapping[str, Callable[[str, tuple[str, ...], BoundValues], str]] = {
    "icontains": _contains, "starts_with": _edge, "ends_with": _edge, "regex": _matches, "between": _between,
    **dict.fromkeys(_ORDER, _compares), **dict.fromkeys(("is_date_exact", "is_date_before", "is_date_after"), _dated),
    **dict.fromkeys(
        ("semver_eq", "semver_gt", "semver_gte", "semver_lt", "semver_lte", "semver_tilde", "semver_caret", "semver_wildcard"),
        _version,
    ),
}  # fmt: skip
