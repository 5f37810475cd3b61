"""Parsing of event times: the formats of PostHog's edge are accepted, and no input raises."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hogline_instance.ingest.times import corrected, parse_time

SEVEN = datetime(2021, 4, 21, 7, 3, 11, tzinfo=UTC)
DAY = datetime(2021, 4, 21, tzinfo=UTC)
NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)

READ = {
    "2021-04-21T07:03:11Z": SEVEN,
    "2021-04-21T07:03:11z": SEVEN,
    "2021-04-21t07:03:11z": SEVEN,
    "2021-04-21T07:03:11.000+00:00": SEVEN,
    "2021-04-21T09:03:11+0200": SEVEN,
    "2021-04-21 07:03:11": SEVEN,
    "2021-04-21 07:03:11 UTC": SEVEN,
    "2021-04-21 07:03:11 +00:00": SEVEN,
    "  2021-04-21T07:03:11Z\n": SEVEN,
    "20210421T070311Z": SEVEN,
    "2021-04-21": DAY,
    "Wed, 21 Apr 2021 07:03:11 +0000": SEVEN,
    "Wed, 21 Apr 2021 07:03:11 GMT": SEVEN,
    "21 Apr 2021 03:03:11 EDT": SEVEN,
    "Wednesday, 21-Apr-21 07:03:11 GMT": SEVEN,
    "Wed Apr 21 07:03:11 2021": SEVEN,
    "2021/04/21 07:03:11": SEVEN,
    "4/21/2021 7:03:11": SEVEN,
    "April 21, 2021 7:03:11 AM": SEVEN,
    "1618988591": SEVEN,
    "1618988591000": SEVEN,
    "1618988591000000": SEVEN,
    "1618988591000000000": SEVEN,
    "1618988591.0": SEVEN,
    1618988591: SEVEN,
    1618988591000: SEVEN,
    1618988591.0: SEVEN,
    "1711012301234": datetime(2024, 3, 21, 9, 11, 41, 234000, tzinfo=UTC),
}
NO_TIMES = ["", " ", "12", "10:30", "May 5", "2021", "yesterday", "now", "1.2.3", "null", "0", "-1", "1e10", "\u00b2" * 10,
            "\u0661\u0666\u0661\u0668\u0669\u0668\u0668\u0665\u0669\u0661", "9" * 5000, "2021-13-45", "2021-04-21T25:00:00", True, None,
            [], {}, float("nan"), float("inf"), 10**400, 10**5000, -1]  # fmt: skip


@pytest.mark.parametrize("text", READ, ids=repr)
def test_a_time_is_read_as_the_edge_reads_it(text):
    """RFC 3339 and looser forms, RFC 2822, slashes and Unix times are accepted."""
    assert parse_time(text) == READ[text]


@pytest.mark.parametrize("text", NO_TIMES, ids=lambda text: repr(text)[:20] if not isinstance(text, int) else "number")
def test_what_is_no_whole_date_is_no_time(text):
    """A missing day, month or year is never filled in."""
    assert parse_time(text) is None


PIECES = st.sampled_from(["2021", "-", "/", ":", "T", "Z", " ", "04", "21", "07", "+", "Apr", "Wed", ",", ".", "99999999999", "UTC", "AM",
                          "\0", "\u0661", "0001-01-01", "9999-12-31", "+14:00", "-23:59"])  # fmt: skip


@settings(max_examples=500, deadline=None)
@given(st.text(max_size=70) | st.lists(PIECES, max_size=12).map("".join) | st.integers() | st.floats())
def test_no_value_raises(value):
    """The result is a time that can be corrected, or None."""
    parsed = parse_time(value)
    moment = corrected(parsed, parsed, None, NOW, believe_clock=False)
    assert parsed is None or parsed.tzinfo is not None
    assert datetime(1970, 1, 1, tzinfo=UTC) <= moment <= NOW + timedelta(hours=23)


@given(st.datetimes(min_value=datetime(1971, 1, 1), max_value=datetime(2100, 1, 1), timezones=st.just(UTC)))
def test_json_and_iso_texts_read_back(moment):
    """Times as Python and JavaScript write them are read to the microsecond."""
    assert parse_time(moment.isoformat()) == moment
    assert parse_time(json.loads(json.dumps(moment.isoformat().replace("+00:00", "Z")))) == moment


def test_an_offset_wins_over_a_timestamp():
    """As on PostHog's edge, `offset` (milliseconds before arrival) wins."""
    assert corrected(SEVEN, None, 1500, NOW, believe_clock=False) == NOW - timedelta(milliseconds=1500)
