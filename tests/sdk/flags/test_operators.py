"""Operators: a table of filters and property values, each row judged by posthog-python too."""

from datetime import UTC, date, datetime
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from posthog.feature_flags import InconclusiveMatchError, match_property

from hogline.flags.evaluation import Subject, UnresolvedFlagReason
from hogline.flags.evaluation.operators import OPERATORS, property_check
from hogline.flags.evaluation.regexes import Deferred, read
from hogline.flags.evaluation.texts import value_text
from hogline.flags.evaluation.verdict import Unknown
from tests.sdk.flags.definitions import property_filters, values

NOW = datetime(2026, 3, 31, 12, tzinfo=UTC)
UNKNOWN = "unknown"
CASES = [
    ("exact", "Enterprise", "enterprise", True), ("exact", ["a", "B"], "b", True), ("exact", ["a"], "b", False), ("exact", 1, "1", True),
    ("exact", "1", 1.0, False), ("exact", [], "true", True), ("exact", [], "x", False), ("exact", True, "TRUE", True),
    ("exact", "false", "anything", True), ("exact", ["true", True], "true", True), ("exact", {"b": 1, "a": None}, {"a": None, "b": 1}, True),
    ("exact", "null", None, True), ("is_not", "x", None, True), ("is_not", "Straße", "STRASSE", True), ("exact", 1e-5, "0.00001", True),
    ("exact", "x", {1, 2}, UNKNOWN), ("is_set", None, None, True), ("is_not_set", None, None, False),
    ("icontains", "ELL", "Hello", True), ("icontains", "É", "é", False), ("not_icontains", "ell", "Hello", False), ("icontains", "ul", None, True),
    ("icontains_multi", ["X", "ELL"], "Hello", UNKNOWN), ("icontains_multi", [], "x", UNKNOWN), ("not_icontains_multi", ["x", "ell"], "Hello", UNKNOWN),
    ("starts_with", "HE", "hello", True), ("not_starts_with", "he", "hello", False), ("ends_with", "LO", "hello", True),
    ("not_ends_with", "x", "hello", True), ("icontains", "1", [1, 2], True),
    ("regex", "", "x", True), ("not_regex", "", "x", False), ("regex", "(", "x", False), ("not_regex", "(", "x", False),
    ("regex", "o$", "hello", True), ("regex", "o$", "hello\n", False), ("regex", "l+o$", "hello\n", UNKNOWN), ("regex", r"\w", "e\u0301", UNKNOWN),
    ("regex", r"(?=a)", "a", UNKNOWN), ("regex", r"\bx", "x", UNKNOWN), ("regex", "(a+)+", "aa", UNKNOWN), ("regex", "1", 21, True),
    ("gt", 3, "4", True), ("gte", "3", 3, True), ("lt", 3, True, False), ("lte", "1e3", 1000, True), ("gt", "x", 3, UNKNOWN), ("gt", 3, "x", False),
    ("gt", 3, None, False), ("lt", 3, Decimal("2.5"), True),
    ("is_date_exact", "2024-01-01", date(2024, 1, 1), UNKNOWN),
    ("is_date_before", "-7d", "2020-01-01", True), ("is_date_after", "2024-01-01", date(2024, 1, 2), True),
    ("is_date_after", "2024-01-01", datetime(2024, 1, 1, 0, 0, 1), True), ("is_date_before", "2024-06-01 12:00:00 UTC", "2024-06-01T12:00:00Z", False),
    ("is_date_before", "2024-06-01T12:00:00 +02:00", "2024-06-01T10:00:00Z", False), ("is_date_before", "10000d", "2020-01-01", UNKNOWN),
    ("is_date_before", "-7d", "soon", UNKNOWN), ("is_date_before", "-7d", 5, UNKNOWN), ("is_date_before", "-7d", None, False),
    ("semver_eq", "1.2", "v1.2.0-rc1", True), ("semver_neq", "1.2.3", "1.2.4", True), ("semver_gt", "1.9.0", "1.10", True),
    ("semver_gte", "1", "1.0.0", True), ("semver_lte", "01.2", "1", UNKNOWN), ("semver_lt", "1.2", "x", UNKNOWN), ("semver_tilde", "1.2.3", "1.2.9", True), ("semver_tilde", "1.2.3", "1.3.0", False),
    ("semver_caret", "1.2.3", "1.9.9", True), ("semver_caret", "0.2.3", "0.3.0", False), ("semver_caret", "0.0.3", "0.0.4", False),
    ("semver_wildcard", "1.*", "1.99.0", True), ("semver_wildcard", "1.2.*", "1.3.0", False), ("semver_wildcard", "*", "1.3.0", UNKNOWN),
    ("semver_eq", "1.2", None, False), ("wat", "x", "x", UNKNOWN),
]  # fmt: skip


def answer(filter_, properties, version=1, **subject):
    check, _ = property_check(filter_, version)
    found = check(properties, Subject("u", now=NOW, **subject))
    return UNKNOWN if isinstance(found, Unknown) else found


def judged(filter_, properties, version=1):
    try:
        return match_property(filter_, properties, version)
    except InconclusiveMatchError:
        return UNKNOWN


@pytest.mark.parametrize(
    ("operator", "value", "found", "expected"), CASES, ids=[f"{n}-{case[0]}" for n, case in enumerate(CASES)]
)
def test_an_operator_answers_as_specified_and_as_the_judge_does(operator, value, found, expected):
    """docs/internals/flags-protocol.md#operators."""
    filter_ = {"key": "p", "operator": operator, "value": value}
    assert answer(filter_, {"p": found}) == expected
    assert judged(filter_, {"p": found}) == expected


@pytest.mark.parametrize(
    ("operator", "value", "found", "expected"),
    [
        ("icontains_multi", ["X", "ELL"], "Hello", True),
        ("not_icontains_multi", ["x", "ell"], "Hello", False),
        ("is_date_exact", "2024-01-01", "2024-01-01", True),
        ("is_date_exact", "2024-01-01", "2024-01-02", False),
    ],
)
def test_the_server_decides_the_operators_that_sdks_leave_to_it(operator, value, found, expected):
    """It knows every property of its subject."""
    check, broken = property_check({"key": "p", "operator": operator, "value": value}, 1)
    assert (check({"p": found}, Subject("ada", complete=True)), broken) == (expected, False)


def test_the_table_leaves_no_operator_out():
    """A new one must be added there."""
    assert set(OPERATORS) == {case[0] for case in CASES} - {"wat"}


@given(property_filters(), values, st.sampled_from([1, 2]))
def test_any_filter_and_any_value_are_judged_alike(filter_, found, version):
    """Relative dates apart by microseconds, nothing here depends on the time."""
    assert answer(filter_, {filter_["key"]: found}, version) == judged(filter_, {filter_["key"]: found}, version)


@given(property_filters())
def test_a_property_that_is_missing_is_unknown(filter_):
    """It does not count as unset, because the server may know it.

    This holds for `is_not_set` too.
    """
    check, broken = property_check(filter_, 1)
    reason = UnresolvedFlagReason.UNSUPPORTED_DEFINITION if broken else UnresolvedFlagReason.MISSING_CONTEXT
    found = check({}, Subject("u"))
    assert isinstance(found, Unknown)
    assert found.reason == reason


@pytest.mark.parametrize("operator", sorted(OPERATORS))
def test_a_property_that_is_certainly_unset_answers_what_the_server_answers(operator):
    """The instance knows all of a person: positive operators are false, negative ones true."""
    negative = operator in ("is_not", "is_not_set") or operator.startswith("not_")
    assert answer({"key": "p", "operator": operator, "value": "1"}, {}, complete=True) is negative


@pytest.mark.parametrize(
    ("text", "now", "moment"),
    [
        ("-2m", datetime(2026, 3, 31, tzinfo=UTC), "2026-01-28"), ("1y", datetime(2024, 2, 29, tzinfo=UTC), "2023-02-28"),
        ("-4y", datetime(2024, 2, 29, tzinfo=UTC), "2020-02-28"), ("1m", datetime(2026, 1, 31, tzinfo=UTC), "2025-12-31"),
        ("36h", datetime(2026, 3, 2, tzinfo=UTC), "2026-02-28"), ("2w", datetime(2026, 3, 15, tzinfo=UTC), "2026-03-01"),
    ],
)  # fmt: skip
def test_relative_dates_take_calendar_steps(text, now, moment):
    """Each step is cut to its month's length: 31 March less two months is 28 January."""
    filter_ = {"key": "p", "operator": "is_date_before", "value": text}
    check, _ = property_check(filter_, 1)
    day = datetime.fromisoformat(moment).replace(tzinfo=UTC, hour=now.hour)
    if text == "36h":
        day = day.replace(hour=12)
    assert check({"p": day}, Subject("u", now=now)) is False
    assert check({"p": day.replace(year=day.year - 1)}, Subject("u", now=now)) is True


@given(st.text(alphabet="ab()[]{}*+?|\\^$.-,12dwsbx:=<!&", max_size=8), st.text(alphabet="ab12 \n-", max_size=6))
def test_a_pattern_that_is_not_deferred_means_what_the_judge_says(pattern, text):
    """We may defer more than posthog-python does, and never answer otherwise."""
    ours = answer({"key": "p", "operator": "regex", "value": pattern}, {"p": text})
    theirs = judged({"key": "p", "operator": "regex", "value": pattern}, {"p": text})
    allowed = (False,) if theirs == UNKNOWN else (theirs,)  # False: no dialect accepts it, which needs no server
    assert ours in (UNKNOWN, *allowed)


@pytest.mark.parametrize("pattern", ["a**", "a{2000}", r"[\b]", "[a||b]", "a??+"])
def test_patterns_that_only_we_defer(pattern):
    """Rust may accept them, or refuse their size: see the list of differences."""
    with pytest.raises(Deferred):
        read(pattern)


@settings(max_examples=40, deadline=None)
@given(st.recursive(st.one_of(st.none(), st.booleans(), st.floats(), st.text(), st.binary()), st.lists, max_leaves=6))
def test_any_value_renders_or_is_refused(value):
    """Never an exception: a property's value is the caller's data."""
    assert value_text(value) is None or isinstance(value_text(value), str)
