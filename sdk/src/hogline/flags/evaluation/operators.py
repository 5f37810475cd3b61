"""Operators: each turns a filter's value into a test for a property's value.

That happens once, when a flag is first asked for.

A test answers True, False or `Unknown`. A filter is *broken* when its own value cannot be used,
whatever the property is. That is then the reason to report, not the missing property.
Source: docs/internals/flags-protocol.md#operators.
"""

import operator as compare
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, TypeAlias

from hogline.flags.evaluation.dates import absolute, is_relative, property_moment, relative, seconds_moment
from hogline.flags.evaluation.regexes import Deferred, read
from hogline.flags.evaluation.semver import Version, bounds, parsed
from hogline.flags.evaluation.subject import Subject
from hogline.flags.evaluation.texts import ascii_lower, boolean_like, number, truth, value_text
from hogline.flags.evaluation.verdict import MISSING, UNSUPPORTED, Answer, Unknown

__all__ = ["OPERATORS", "Check", "property_check"]

Test: TypeAlias = Callable[[Any, Subject], Answer]
Check: TypeAlias = Callable[[Mapping[str, Any], Subject], Answer]

_ABSENT: Any = object()
_PROBE = datetime(2000, 1, 1, tzinfo=UTC)  # any day on which a bare year is a date
# Operators that answer True for a property that is certainly unset; all others answer False.
_TRUE_WHEN_UNSET = frozenset(
    {
        "is_not", "is_not_set", "not_icontains", "not_icontains_multi", "not_starts_with", "not_ends_with", "not_regex",
    }
)  # fmt: skip


def property_check(filter_: Mapping[str, Any], matching_version: int) -> tuple[Check, bool]:
    """Return the check of one property filter, and whether the filter is broken."""
    operator = str(filter_.get("operator") or "exact")
    key = filter_.get("key")
    make = OPERATORS.get(operator)
    made = make(operator, filter_.get("value"), matching_version) if make is not None else None
    broken = made is None or not isinstance(key, str)
    test = _unsupported if made is None or broken else made
    missing = UNSUPPORTED if broken else MISSING
    # Null is a text to the operators of text, a value that is set to `is_set`, and nothing to all
    # others.
    null_is_false = operator.startswith(("is_date", "semver"))
    unset = operator in _TRUE_WHEN_UNSET

    def check(properties: Mapping[str, Any], subject: Subject) -> Answer:
        found = properties.get(key, _ABSENT)  # type: ignore[arg-type]  # a key that is no text finds nothing
        if found is _ABSENT:
            return unset if subject.complete else missing
        if found is None and null_is_false:
            return False
        answer = test(found, subject)
        # To the server a value that it cannot read is one that does not match.
        return False if answer is MISSING and subject.complete else answer

    return check, broken


def _unsupported(_found: Any, _subject: Subject) -> Answer:
    return UNSUPPORTED


def _negated(test: Test) -> Test:
    def negated(found: Any, subject: Subject) -> Answer:
        answer = test(found, subject)
        return answer if isinstance(answer, Unknown) else not answer

    return negated


def _server_only(test: Test) -> Test:
    """Return *test* for the server alone: the official SDKs leave these operators to it, too."""
    return lambda found, subject: test(found, subject) if subject.complete else UNSUPPORTED


def _presence(operator: str, _value: Any, _version: int) -> Test | None:
    answer = operator == "is_set"
    return lambda _found, _subject: answer


def _equality(operator: str, value: Any, version: int) -> Test | None:
    test = _truth_test(value, version) or _text_test(value)
    return _negated(test) if test is not None and operator == "is_not" else test


def _truth_test(value: Any, version: int) -> Test | None:
    """Booleans, and texts and lists of such, compare by truth; an empty list asks for truth."""
    if value == []:
        wanted = True
    elif version != 2 and boolean_like(value):
        wanted = truth(value)
    else:
        return None

    def test(found: Any, _subject: Subject) -> Answer:
        return MISSING if value_text(found) is None else truth(found) is wanted

    return test


def _text_test(value: Any) -> Test | None:
    texts = [value_text(one) for one in (value if isinstance(value, list) else [value])]
    if None in texts:
        return None
    wanted = frozenset(text.lower() for text in texts if text is not None)

    def test(found: Any, _subject: Subject) -> Answer:
        text = found if type(found) is str else value_text(found)
        return MISSING if text is None else text.lower() in wanted

    return test


def _containment(operator: str, value: Any, _version: int) -> Test | None:
    given = value_text(value)
    if given is None:
        return None
    part = ascii_lower(given)
    kind = operator.removeprefix("not_")

    def test(found: Any, _subject: Subject) -> Answer:
        text = value_text(found)
        if text is None:
            return MISSING
        text = ascii_lower(text)
        if kind == "icontains":
            return part in text
        return text.startswith(part) if kind == "starts_with" else text.endswith(part)

    return _negated(test) if operator.startswith("not_") else test


def _containment_multi(operator: str, value: Any, _version: int) -> Test | None:
    texts = [value_text(one) for one in value] if isinstance(value, list) else [None]
    parts = [ascii_lower(text) for text in texts if text is not None]
    if len(parts) < len(texts) or not parts:
        return None

    def test(found: Any, _subject: Subject) -> Answer:
        text = value_text(found)
        if text is None:
            return MISSING
        text = ascii_lower(text)
        return any(part in text for part in parts)

    return _server_only(_negated(test) if operator.startswith("not_") else test)


def _regex(operator: str, value: Any, _version: int) -> Test | None:
    text_of_pattern = str(value)
    try:
        pattern = read(text_of_pattern) if text_of_pattern else None
    except Deferred:
        return None
    wanted = operator == "regex"

    def test(found: Any, _subject: Subject) -> Answer:
        text = value_text(found)
        if text is None:
            return MISSING
        # An empty pattern is found everywhere. With an invalid one, `regex` and `not_regex` are
        # both False.
        if pattern is None:
            return wanted and not text_of_pattern
        answer = pattern.found_in(text)
        return UNSUPPORTED if answer is None else answer is wanted

    return test


def _order(operator: str, value: Any, _version: int) -> Test | None:
    limit = number(value)
    if limit is None:
        return None
    ordered = {"gt": compare.gt, "gte": compare.ge, "lt": compare.lt, "lte": compare.le}[operator]

    def test(found: Any, _subject: Subject) -> Answer:
        amount = number(found)
        return amount is not None and ordered(amount, limit)

    return test


def _date(operator: str, value: Any, _version: int) -> Test | None:
    text = str(value)
    from_now = is_relative(text)
    fixed = None if from_now else absolute(text, _PROBE)
    if not from_now and fixed is None:
        return None
    if len(text.strip()) == len("YYYY"):
        fixed = None  # this day of that year: it moves
    compared = {"is_date_before": compare.lt, "is_date_after": compare.gt, "is_date_exact": compare.eq}[operator]

    def test(found: Any, subject: Subject) -> Answer:
        limit = fixed or (relative(text, subject.now) if from_now else absolute(text, subject.now))
        if limit is None:
            return UNSUPPORTED
        moment = property_moment(found, subject.now)
        if moment is None and subject.complete:
            moment = seconds_moment(found)
        if moment is None:
            return MISSING
        return bool(compared(moment, limit if isinstance(moment, datetime) else limit.date()))

    return _server_only(test) if operator == "is_date_exact" else test


def _version_order(operator: str, value: Any, _version: int) -> Test | None:
    limit = parsed(value)
    if limit is None:
        return None
    name = operator.removeprefix("semver_")
    ordered: Callable[[Version, Version], bool] = {
        "eq": compare.eq, "neq": compare.ne, "gt": compare.gt, "gte": compare.ge, "lt": compare.lt, "lte": compare.le,
    }[name]  # fmt: skip

    def test(found: Any, _subject: Subject) -> Answer:
        version = parsed(found)
        return MISSING if version is None else ordered(version, limit)

    return test


def _version_range(operator: str, value: Any, _version: int) -> Test | None:
    span = bounds(operator, value)
    if span is None:
        return None
    first, after = span

    def test(found: Any, _subject: Subject) -> Answer:
        version = parsed(found)
        return MISSING if version is None else first <= version < after

    return test


OPERATORS: Mapping[str, Callable[[str, Any, int], Test | None]] = {
    **dict.fromkeys(("exact", "is_not"), _equality),
    **dict.fromkeys(("is_set", "is_not_set"), _presence),
    **dict.fromkeys(
        ("icontains", "not_icontains", "starts_with", "not_starts_with", "ends_with", "not_ends_with"), _containment
    ),
    **dict.fromkeys(("icontains_multi", "not_icontains_multi"), _containment_multi),
    **dict.fromkeys(("regex", "not_regex"), _regex),
    **dict.fromkeys(("gt", "gte", "lt", "lte"), _order),
    **dict.fromkeys(("is_date_before", "is_date_after", "is_date_exact"), _date),
    **dict.fromkeys(("semver_eq", "semver_neq", "semver_gt", "semver_gte", "semver_lt", "semver_lte"), _version_order),
    **dict.fromkeys(("semver_tilde", "semver_caret", "semver_wildcard"), _version_range),
}
"""Functions that make a test of an operator, a filter's value and the matching version.

None: the value does not suit the operator.
"""
