"""Property filters as conditions in the store's SQL. Keys and values are bound, never pasted."""

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta

from hogline.flags.evaluation.dates import absolute, is_relative, relative
from hogline.flags.evaluation.semver import bounds, parsed
from hogline_instance.errors.property_filters.session_values import session_value
from hogline_instance.errors.property_filters.tree import Condition, FilterNode, FilterTreeError, Membership
from hogline_instance.events.event import microseconds
from hogline_instance.events.person_ids import PERSON_ID, PERSON_JOIN
from hogline_instance.exceptions import StoreError
from hogline_instance.store import EVENTS_TABLE, Store

__all__ = [
    "BoundValues", "check_patterns", "filter_sql", "groups_with_exceptions", "matching_keys", "people_with_exceptions",
]  # fmt: skip

_PROPERTIES = {"event": "properties", "person": "person_properties", "group": "group_properties"}
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
    if isinstance(node, Membership):
        column = person if node.column == "person_id" else f"`{node.column}`"
        return f"{column} {'NOT ' if node.negated else ''}IN {bound.add(list(node.values), 'Array(String)')}"
    if isinstance(node, Condition):
        return _session(node, bound) if node.source == "session" else _condition(node, bound, person)
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
    if isinstance(node, Membership):
        return []
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


def matching_keys(store: Store, condition: Condition, properties: Mapping[str, str]) -> list[str]:
    """Return the keys in *properties* whose JSON passes *condition*, without its negation."""
    bound = BoundValues()
    texts, is_set = _texts(condition, bound)
    pairs = f"arrayZip({bound.add(list(properties), 'Array(String)')}, {bound.add(list(properties.values()), 'Array(String)')})"
    rows = store.query(
        "SELECT key FROM (SELECT tupleElement(pair, 1) AS key, tupleElement(pair, 2) AS group_properties"  # noqa: S608 - values are bound
        f" FROM (SELECT arrayJoin({pairs}) AS pair)) WHERE {is_set if condition.operator == 'is_set' else _test(condition, bound, texts)}",
        bound.parameters,
    )  # fmt: skip
    return [str(row["key"]) for row in rows]


def people_with_exceptions(
    store: Store, project_id: int, span: tuple[datetime, datetime], *, limit: int
) -> frozenset[str]:
    """Return the ids of people who have exceptions in the time *span*."""
    sql = f"SELECT DISTINCT toString({PERSON_ID}) AS value FROM {EVENTS_TABLE} AS events {PERSON_JOIN} WHERE true"  # noqa: S608 - constants
    return frozenset(_values_of_exceptions(store, project_id, span, sql, limit))


def groups_with_exceptions(
    store: Store, project_id: int, span: tuple[datetime, datetime], group_type: int, *, limit: int
) -> list[str]:
    """Return the keys of groups of one type that have exceptions in the time *span*."""
    column = f"`$group_{group_type}`"
    sql = f"SELECT DISTINCT {column} AS value FROM {EVENTS_TABLE} WHERE {column} != ''"  # noqa: S608 - constants
    return _values_of_exceptions(store, project_id, span, sql, limit)


def _values_of_exceptions(
    store: Store, project_id: int, span: tuple[datetime, datetime], sql: str, limit: int
) -> list[str]:
    after, before = map(microseconds, span)
    rows = store.query(
        f"{sql} AND team_id = {{project:UInt32}} AND event = '$exception'"
        " AND timestamp >= fromUnixTimestamp64Micro({after:Int64}, 'UTC')"
        " AND timestamp < fromUnixTimestamp64Micro({before:Int64}, 'UTC') LIMIT {most:UInt64}",
        {"project": project_id, "after": after, "before": before, "most": limit},
    )
    return [str(row["value"]) for row in rows]


def _session(condition: Condition, bound: BoundValues) -> str:
    """Return the condition that the session of an event, with all its events, passes."""
    test = "value != ''" if condition.operator == "is_set" else _test(condition, bound, "[value]")
    sessions = (
        f"SELECT session_id FROM (SELECT session_id, toString({session_value(condition.key)}) AS value FROM {EVENTS_TABLE}"  # noqa: S608 - constants
        " WHERE team_id = {project:UInt32} AND session_id != ''"
        " AND timestamp >= fromUnixTimestamp64Micro({after:Int64}, 'UTC') - INTERVAL 1 DAY"
        " AND timestamp < fromUnixTimestamp64Micro({before:Int64}, 'UTC') + INTERVAL 1 DAY"
        f" GROUP BY session_id) WHERE {test}"
    )
    return f"session_id GLOBAL {'NOT ' if condition.negated else ''}IN ({sessions})"


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
