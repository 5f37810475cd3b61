"""The rate limit: so many exceptions of a kind, then so many in each interval.

The next event says how many were held back.
"""

import os
import sys
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hogline.interceptors.wsgi import PostHogInterceptor
from hogline.rate_limiter import Limiter
from hogline.testing import RecordingPostHog
from hogline.tracebacks.event import fingerprint


def limiter(size=3, refill=2, interval_s=10.0, max_buckets=100):
    return Limiter(size=size, refill=refill, interval_s=interval_s, max_buckets=max_buckets)


def test_a_full_bucket_lets_its_whole_size_through():
    """posthog-python keeps the last one back."""
    limit = limiter(size=3)
    assert [limit.take("a", 0.0) for _ in range(5)] == [0, 0, 0, None, None]
    assert [limit.take("b", 0.0) for _ in range(4)] == [0, 0, 0, None]


def test_the_next_that_goes_through_says_how_many_did_not():
    """Once; counted for each kind by itself."""
    limit = limiter(size=1, refill=2)
    took = [limit.take("a", now_s) for now_s in (0, 1, 2, 3, 10, 11, 20, 20, 20)]
    assert took == [0, None, None, None, 3, None, 1, None, None]
    assert limit.take("b", 20) == 0


def test_only_whole_intervals_refill_and_the_rest_is_carried():
    """At 25 s two intervals have passed, at 30 s the third."""
    limit = limiter(size=9, refill=1)
    for _ in range(9):
        limit.take("a", 0.0)
    assert [limit.take("a", now_s) for now_s in (9.9, 25, 25, 25, 29.9, 30, 30)] == [None, 1, 0, None, None, 2, None]


def test_asking_takes_nothing():
    """`has_room`."""
    limit = limiter(size=1)
    assert [limit.has_room("a", 0.0), limit.has_room("a", 0.0)] == [True, True]
    limit.take("a", 0.0)
    assert [limit.has_room("a", 0.0), limit.has_room("a", 10.0)] == [False, True]


@settings(deadline=None)
@given(st.integers(1, 20), st.integers(0, 20), st.lists(st.tuples(st.integers(0, 3), st.floats(0, 30)), max_size=200))
def test_no_kind_ever_has_more_than_its_share(size, refill, steps):
    """The law: in any time at most the size and what that time refills.

    None is counted twice, none is forgotten.
    """
    limit, now_s = limiter(size=size, refill=refill), 0.0
    through, held, told = dict.fromkeys(range(4), 0), dict.fromkeys(range(4), 0), dict.fromkeys(range(4), 0)
    for key, pause_s in steps:
        now_s += pause_s
        suppressed = limit.take(key, now_s)
        if suppressed is None:
            held[key] += 1
        else:
            through[key] += 1
            told[key] += suppressed
            assert told[key] == held[key]
        assert through[key] <= size + refill * (now_s / 10.0)


def test_the_memory_is_bounded_and_the_latest_stay():
    """A million kinds take no more room than a hundred; those in use are kept."""
    limit = limiter(size=1, max_buckets=100)
    for n in range(100_000):
        limit.take(("kind", n), 0.0)
        assert limit.take("busy", 0.0) == (0 if n == 0 else None)
    assert len(limit._buckets) == 100


def test_many_threads_get_no_more_than_one():
    """Counted under a lock."""
    limit, through = limiter(size=500), []

    def work():
        through.extend(n for n in range(500) if limit.take("a", 0.0) is not None)

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(before)
    assert len(through) == 500


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
def test_a_forked_child_has_buckets_and_a_lock_of_its_own():
    """This holds whatever another thread of the parent was doing at the fork."""
    limit = limiter(size=1)
    limit.take("a", 0.0)
    taken, go = threading.Event(), threading.Event()

    def hold():
        with limit._lock:
            taken.set()
            go.wait()

    thread = threading.Thread(target=hold)
    thread.start()
    taken.wait()
    pid = os.fork()
    if pid == 0:
        os._exit(0 if limit.take("a", 0.0) == 0 else 1)
    assert os.waitpid(pid, 0)[1] == 0
    go.set()
    thread.join()


# -- at the client ---------------------------------------------------------------------------------


def limited(**options):
    return RecordingPostHog(
        enable_exception_autocapture_rate_limiting=True, exception_autocapture_bucket_size=2,
        exception_autocapture_refill_rate=2, exception_autocapture_refill_interval_seconds=1e6, **options,
    )  # fmt: skip


def crowd(client, count, fail):
    """Let *fail* leave an intercepted app *count* times."""
    app = PostHogInterceptor(lambda environ, start: fail(), client=client, capture_exceptions=True)
    for _ in range(count):
        with pytest.raises(ValueError, match="x"):
            app({"REQUEST_METHOD": "GET"}, None)


def fail():
    raise ValueError("x")


def fail_elsewhere():
    raise ValueError("x")


def test_an_interceptors_exceptions_are_held_back_by_kind():
    """The same type from another place is another kind.

    The count is on the next event, and in `stats()`.
    """
    client = limited()
    crowd(client, 5, fail)
    crowd(client, 1, fail_elsewhere)
    assert len(client.events) == 3
    client.exceptions._limiter._interval_s = 0.0  # as if the next interval had begun
    app = PostHogInterceptor(lambda environ, start: fail(), client=client, capture_exceptions=True)
    with pytest.raises(ValueError, match="x"):
        app({"REQUEST_METHOD": "GET"}, None)
    assert [event.properties.get("$exception_suppressed_count") for event in client.events] == [None, None, None, 3]
    assert client.stats().dropped == {"rate_limited": 3}


def test_what_is_captured_by_hand_is_never_held_back():
    """Somebody asked for it."""
    client = limited()
    for _ in range(5):
        try:
            fail()
        except ValueError as error:
            client.capture_exception(error)
    assert len(client.events) == 5


def test_hooks_are_held_back_too(monkeypatch):
    """A finalizer in a loop."""
    monkeypatch.setattr(sys, "excepthook", lambda *_: None)
    client = limited(capture_exceptions=True)
    for _ in range(5):
        try:
            fail()
        except ValueError as error:
            sys.excepthook(ValueError, error, error.__traceback__)
    client.shutdown()
    assert len(client.events) == 2


def test_nothing_is_held_back_unless_asked_for():
    """Off by default, as in posthog-python."""
    client = RecordingPostHog()
    crowd(client, 120, fail)
    assert len(client.events) == 120


def test_in_a_storm_no_variables_are_read(monkeypatch):
    """They cost most, and most events are not sent."""
    client = limited(capture_exception_code_variables=True, project_root=os.path.dirname(__file__))  # noqa: PTH120
    read = []
    from hogline.tracebacks import variables

    fill = variables.fill
    monkeypatch.setattr(variables, "fill", lambda *args: (read.append(1), fill(*args)))
    crowd(client, 6, fail)
    assert (len(client.events), len(read)) == (2, 2)


def listed(client, work, **properties):
    try:
        work()
    except Exception as error:
        client.capture_exception(error, properties=properties)
    event = client.events[-1]
    return fingerprint(event.properties["$exception_list"], event.properties.get("$exception_fingerprint"))


def test_a_kind_is_types_and_places_or_what_the_caller_says():
    """Neither the message nor the calling line counts; the cause does."""
    client = RecordingPostHog()

    def from_cause(kind):
        try:
            raise kind("a")
        except kind as error:
            raise RuntimeError("b") from error

    def with_message(text):
        raise ValueError(text)

    same = [listed(client, lambda: with_message("a")), listed(client, lambda: with_message("b"))]
    assert same[0] == same[1]
    assert listed(client, lambda: from_cause(KeyError)) != listed(client, lambda: from_cause(TypeError))
    assert listed(client, fail) != listed(client, fail_elsewhere)
    forced = [listed(client, work, **{"$exception_fingerprint": "one"}) for work in (fail, fail_elsewhere)]
    assert forced == ["one", "one"]
    assert len({hash(key) for key in (*same, *forced)}) == 2
