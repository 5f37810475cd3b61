"""An event's id, time and person as they stand on the wire."""

import math
import re
import uuid
from datetime import UTC, date, datetime, timedelta, timezone, tzinfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hogline.event import checked_event_id, distinct_id_text, new_request_id, new_stamp, timestamp_text

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)


def test_ids_are_version_7_ordered_by_time_and_never_repeat():
    """RFC 9562: 48 bits of milliseconds lead, version and variant are stamped."""
    stamps = [new_stamp() for _ in range(2000)]
    parsed = [uuid.UUID(identity) for identity, _ in stamps]
    assert len(set(parsed)) == len(parsed)
    assert {(one.version, one.variant) for one in parsed} == {(7, uuid.RFC_4122)}
    milliseconds = [one.int >> 80 for one in parsed]
    assert milliseconds == sorted(milliseconds)
    for (identity, text), ms in zip(stamps, milliseconds, strict=True):
        assert str(uuid.UUID(identity)) == identity
        assert int(datetime.fromisoformat(text).timestamp() * 1000) == pytest.approx(ms, abs=1)


CLOCKS = st.one_of(
    st.floats(-1e15, 1e15),
    st.integers(-(10**15), 10**15),
    st.sampled_from([0, -1, -0.5, 0.5, 2**40 / 1000, 2**40 / 1000 - 0.001, 2**32, 253_402_300_799, 253_402_300_799.9, 253_402_300_800, 4_294_967_296.5]),
)  # fmt: skip


@given(st.lists(CLOCKS, min_size=1, max_size=8), st.integers(1, 3))
def test_ids_and_times_are_well_formed_whatever_the_clock_says(clocks, repeats):
    """The clock may be before 1970, in 1970, before 2004, frozen, set back, in 2106, or behind
    9999.
    """
    seen = []
    for now_s in clocks:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("hogline.event._time", lambda now_s=now_s: now_s)
            patch.setattr("hogline.event._time_ns", lambda now_s=now_s: int(now_s * 1_000_000_000))
            stamps = [new_stamp() for _ in range(repeats)]
            requests = [new_request_id() for _ in range(repeats)]
        shown_s = min(max(now_s, 0), 253_402_300_799)
        for identity, text in stamps:
            parsed = uuid.UUID(identity)
            assert (str(parsed), parsed.version, parsed.variant) == (identity, 7, uuid.RFC_4122)
            assert abs((parsed.int >> 80) - shown_s * 1000) <= 1
            assert (
                abs((datetime.fromisoformat(text) - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds() - shown_s) < 0.001
            )
            assert len(text) == len("YYYY-MM-DDTHH:MM:SS.ffffff+00:00")
        assert all(re.fullmatch("[0-9a-f]{32}", request) for request in requests)
        seen += [identity for identity, _ in stamps]
    assert len(set(seen)) == len(seen)


def test_the_time_of_an_event_is_now_in_utc():
    """Microseconds and an explicit offset; PostHog's harness wants RFC 3339."""
    before = datetime.now(UTC)
    _, text = new_stamp()
    assert text.endswith("+00:00")
    assert before <= datetime.fromisoformat(text) + timedelta(microseconds=1)
    assert datetime.fromisoformat(text) <= datetime.now(UTC)


@pytest.mark.parametrize(
    ("given_time", "wire"),
    [
        (datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC), "2026-01-02T03:04:05+00:00"),
        (datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=timezone(timedelta(hours=2))), "2026-01-02T01:04:05.000006+00:00"),
        ("2026-01-02T03:04:05Z", "2026-01-02T03:04:05+00:00"),
        ("2026-01-02T03:04:05+02:00", "2026-01-02T01:04:05+00:00"),
        (datetime(2020, 1, 2, 3, 4, 5), "2020-01-02T03:04:05+00:00"),
        ("2020-01-02 03:04:05", "2020-01-02T03:04:05+00:00"),
    ],
)
def test_times_are_rendered_in_utc(given_time, wire):
    """docs/internals/capture-protocol.md#timestamps."""
    assert timestamp_text(given_time, NOW) == wire


def test_a_naive_time_of_just_now_is_local_time():
    """`datetime.now()` without a zone is what people pass."""
    naive = NOW.astimezone().replace(tzinfo=None) - timedelta(seconds=1)
    assert timestamp_text(naive, NOW) == (NOW - timedelta(seconds=1)).isoformat()


class Broken(tzinfo):
    def utcoffset(self, _):
        raise RuntimeError

    dst = tzname = utcoffset


@given(
    st.datetimes(timezones=st.none() | st.timezones() | st.sampled_from([timezone(timedelta(hours=23)), timezone(-timedelta(hours=23)), Broken()]))
)  # fmt: skip
def test_any_time_of_the_callers_is_well_formed_or_none(value):
    """Years 1 to 9999, every zone."""
    text = timestamp_text(value, NOW)
    if text is not None:
        assert datetime.fromisoformat(text).utcoffset() == timedelta(0)
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{6})?\+00:00", text)
    else:
        assert value.year in (1, 9999) or isinstance(value.tzinfo, Broken)


@pytest.mark.parametrize("garbage", ["2026-01-02", "20260102", "yesterday", "", date(2026, 1, 2), 1.5, object(), None])
def test_what_is_no_time_is_none(garbage):
    """The caller then gets now and a warning; the event is not lost."""
    assert timestamp_text(garbage, NOW) is None


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("alice", "alice"), (" padded ", " padded "), (42, "42"), (0, "0"), (1.5, "1.5"),
        (uuid.UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (None, None), ("", None), ("  ", None), (math.nan, None), (math.inf, None), (True, None), (False, None),
    ],
)  # fmt: skip
def test_who_an_event_belongs_to(value, text):
    """Nobody is called `nan`, `None` or `True`."""
    assert distinct_id_text(value) == text


def test_a_person_whose_text_raises_is_nobody():
    """A broken `__str__` is no reason to lose the event."""

    class Broken:
        def __str__(self):
            raise RuntimeError

    assert distinct_id_text(Broken()) is None


@given(st.uuids())
def test_every_spelling_of_a_uuid_becomes_the_canonical_one(value):
    """Every form that `uuid.UUID` reads is accepted, as posthog-python does."""
    for spelling in (value, str(value), value.hex, value.urn, f"{{{value}}}"):
        assert checked_event_id(spelling) == str(value)


@pytest.mark.parametrize("value", ["", "nonsense", 3, b"x" * 16, object()])
def test_what_is_no_uuid_is_none(value):
    """The event then has a new id."""
    assert checked_event_id(value) is None
