"""A table shows the next step for a batch after each answer.

The decision knows no clock and no socket.
"""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hogline.delivery.retry import Accepted, Refused, RetryAfter, RetryPolicy, Split, next_step, retry_after_s
from hogline.transports import UploadResponse

NOW = datetime(2026, 11, 24, 12, 0, 0, tzinfo=UTC)


def step(attempt=1, status=None, retry_after=None, events=10, max_retries=3, chance=0.5):
    response = UploadResponse(status, retry_after=retry_after)
    return next_step(attempt, response, events=events, policy=RetryPolicy(max_retries), chance=chance, now=NOW)


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
def test_any_2xx_is_success(status):
    """posthog-python retries a 204 to exhaustion."""
    assert step(status=status) == Accepted()


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504, 599, None])
def test_what_may_pass_is_tried_again(status):
    """None is no answer at all."""
    assert isinstance(step(status=status), RetryAfter)


@pytest.mark.parametrize("status", [400, 401, 402, 403, 404, 410, 422])
def test_other_4xx_are_final(status):
    """The same request would get the same answer."""
    assert step(status=status) == Refused("rejected")


def test_too_large_is_halved_and_one_event_alone_is_dropped():
    """posthog-python drops the whole batch."""
    assert step(status=413) == Split()
    assert step(status=413, events=1) == Refused("too_large")


def test_three_retries_mean_four_requests():
    """`max_retries=3`."""
    assert [type(step(attempt, 503)) for attempt in (1, 2, 3, 4)] == [RetryAfter, RetryAfter, RetryAfter, Refused]
    assert step(4, 503) == Refused("retries_exhausted")
    assert step(1, 503, max_retries=0) == Refused("retries_exhausted")


def test_waits_double_and_are_spread():
    """Between half and all of 1, 2, 4 ... 30 s: the default's three retries outlast three seconds
    of refused connections.
    """
    assert [step(n, 503, chance=1.0, max_retries=99).seconds for n in (1, 2, 3, 4, 5, 6, 50)] == [
        1,
        2,
        4,
        8,
        16,
        30,
        30,
    ]
    assert [step(n, 503, chance=0.0, max_retries=99).seconds for n in (1, 2, 3, 50)] == [0.5, 1, 2, 15]
    assert sum(step(n, None, chance=0.0).seconds for n in (1, 2, 3)) > 3


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("3", 3.0), ("0", 0.0), ("1.5", 1.5), ("Tue, 24 Nov 2026 12:00:07 GMT", 7.0), ("Tue, 24 Nov 2026 11:00:00 GMT", 0.0),
        ("soon", None), ("", None), (None, None), ("-5", None), ("²", None),
    ],
)  # fmt: skip
def test_retry_after_is_seconds_or_a_date(header, seconds):
    """Anything else is ignored."""
    assert retry_after_s(header, NOW) == seconds


def test_retry_after_is_a_minimum_and_has_a_maximum():
    """docs/internals/capture-protocol.md#retries: a minimum over the backoff, clamped to 30 s."""
    assert step(1, 429, "3", chance=0.0).seconds == 3.0
    assert step(5, 429, "3", chance=1.0, max_retries=9).seconds == 16.0
    assert step(1, 429, "86400").seconds == 30.0


@given(st.integers(1, 99), st.none() | st.integers(100, 599), st.text(), st.integers(1, 1000), st.floats(0, 0.999))
def test_every_answer_has_a_step_and_every_wait_a_bound(attempt, status, retry_after, events, chance):
    """This holds for every response that a server may send."""
    outcome = step(attempt, status, retry_after, events, 3, chance)
    assert not isinstance(outcome, RetryAfter) or 0.1 <= outcome.seconds <= 30.0
