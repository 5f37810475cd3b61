"""Under load the worker sends at intervals, in larger batches, instead of being woken each
time that `flush_at` events wait.
"""

import threading
import time


def test_a_steady_load_leaves_in_few_requests(make, sink):
    """Five requests a second, whatever the load; the first batch leaves at once."""
    client = make(flush_at=10, max_queue_size=100_000)
    begun_s = time.monotonic()
    count = 0
    while time.monotonic() - begun_s < 1.5:
        for _ in range(10):
            count += client.capture("e", distinct_id="u") is not None
        time.sleep(0.002)
    took_s = time.monotonic() - begun_s
    requests = len(sink.requests)
    assert 2 <= requests <= took_s / 0.2 + 2
    assert client.flush(20)
    assert len(sink.events) == count > requests * 10
    assert client.stats().sent == count


def test_a_burst_that_fills_a_quarter_of_the_queue_is_sent_at_once(make, sink):
    """A queue of usual size loses nothing to the interval."""
    client = make(flush_at=10, max_queue_size=1000)
    for n in range(10):
        client.capture(f"first{n}", distinct_id="u")
    sink.wait_for(10)
    begun_s = time.monotonic()
    for n in range(300):
        client.capture(f"burst{n}", distinct_id="u")
    sink.wait_until(lambda: len(sink.requests) >= 2)
    assert len(sink.events) > 10
    assert client.flush(20)
    assert dict(client.stats().dropped) == {}
    assert time.monotonic() - begun_s < 20


def test_an_event_after_a_batch_waits_no_longer_than_the_interval(make, sink):
    """`flush_interval` holds for what comes while the worker paces itself."""
    client = make(flush_at=5, flush_interval=0.5)
    for n in range(5):
        client.capture(f"e{n}", distinct_id="u")
    sink.wait_for(5)
    client.capture("late", distinct_id="u")
    begun_s = time.monotonic()
    sink.wait_for(6)
    assert time.monotonic() - begun_s < 5
    assert [event.event for event in sink.events][-1] == "late"


def test_an_event_after_a_quiet_time_wakes_the_worker(make, sink):
    """It has stopped watching the queue by then."""
    client = make(flush_at=1)
    for n in range(3):
        client.capture(f"e{n}", distinct_id="u")
        sink.wait_for(n + 1)
        time.sleep(0.3)
    assert [event.event for event in sink.events] == ["e0", "e1", "e2"]


def test_a_flush_does_not_wait_for_the_interval(make, sink):
    """`shutdown()` does not wait for it either."""
    client = make(flush_at=2)
    for n in range(2):
        client.capture(f"e{n}", distinct_id="u")
    sink.wait_for(2)
    client.capture("more", distinct_id="u")
    done = threading.Event()
    threading.Thread(target=lambda: client.flush(20) and done.set()).start()
    assert done.wait(20)
    assert [event.event for event in sink.events] == ["e0", "e1", "more"]


def test_a_shorter_interval_than_the_pace_holds(make, sink):
    """`flush_interval=0` sends each event as soon as the worker is free."""
    client = make(flush_interval=0.0)
    took_s = []
    for n in range(20):
        begun_s = time.monotonic()
        client.capture(f"e{n}", distinct_id="u")
        sink.wait_for(n + 1)
        took_s.append(time.monotonic() - begun_s)
    assert sorted(took_s)[len(took_s) // 2] < 0.15
