"""An event's id, time and person as they stand on the wire."""

import math
import uuid
from datetime import UTC, date, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hogline.event import checked_event_id, distinct_id_text, new_stamp, timestamp_text

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
    """What `uuid.UUID` reads is accepted, as posthog-python does."""
    for spelling in (value, str(value), value.hex, value.urn, f"{{{value}}}"):
        assert checked_event_id(spelling) == str(value)


@pytest.mark.parametrize("value", ["", "nonsense", 3, b"x" * 16, object()])
def test_what_is_no_uuid_is_none(value):
    """The event then has a new id."""
    assert checked_event_id(value) is None
