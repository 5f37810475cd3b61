"""Delivery works over real sockets.

The tests show the events that reach the sink, the requests that carry them, and the ledger's
counts.
"""

import re
import threading
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest


def fill(client, count, name="e"):
    return [client.capture(f"{name}{n}", distinct_id="u") for n in range(count)]


def balanced(client):
    stats = client.stats()
    assert stats.accepted == stats.sent + stats.waiting + sum(stats.dropped.values())
    return stats


def test_a_request_is_posthogs_batch(make, sink):
    """Path, headers and body of docs/internals/capture-protocol.md#the-v0-request."""
    client = make()
    identity = client.capture("signed up", distinct_id="u1", properties={"plan": "pro"})
    assert client.flush()
    [request] = sink.requests
    assert (request.method, request.path) == ("POST", "/batch/")
    assert request.headers["content-type"] == "application/json"
    assert request.headers["content-encoding"] == "gzip"
    assert request.headers["user-agent"].startswith("hogline/")
    assert "authorization" not in request.headers
    assert set(request.body) == {"api_key", "historical_migration", "sent_at", "batch"}
    assert (request.body["api_key"], request.body["historical_migration"]) == ("phc_test", False)
    [event] = request.body["batch"]
    assert set(event) == {"event", "properties", "timestamp", "distinct_id", "uuid"}
    assert (event["event"], event["distinct_id"], event["uuid"]) == ("signed up", "u1", identity)
    assert event["properties"]["plan"] == "pro"


def test_nothing_runs_before_the_first_event(make):
    """No thread, no socket, no import of them: many clients are made and never used."""
    before = set(threading.enumerate())
    client = make()
    assert client.flush()
    assert set(threading.enumerate()) == before
    client.capture("x", distinct_id="u")
    assert {thread.name for thread in set(threading.enumerate()) - before} == {"hogline-worker"}


def test_a_full_batch_leaves_at_once_and_on_one_connection(make, sink):
    """`flush_at` events do not wait for the interval; the connection is kept."""
    client = make(flush_at=50)
    fill(client, 50)
    sink.wait_for(50)
    fill(client, 50)
    sink.wait_for(100)
    assert len({request.connection for request in sink.requests}) == 1
    assert [event.event for event in sink.events] == [f"e{n}" for n in range(50)] * 2


def test_a_lonely_event_leaves_after_the_interval(make, sink):
    """`flush_interval`."""
    client = make(flush_interval=0.2)
    client.capture("alone", distinct_id="u")
    assert [event.event for event in sink.wait_for(1)] == ["alone"]


def test_bodies_stay_under_max_batch_bytes(make, sink):
    """Unless one event alone is larger."""
    client = make(max_batch_bytes=20_000, flush_at=1000, gzip=False)
    for n in range(30):
        client.capture(f"e{n}", distinct_id="u", properties={"x": "y" * 3000})
    client.capture("big", distinct_id="u", properties={"x": "y" * 30_000})
    assert client.flush()
    assert len(sink.events) == 31
    assert all(request.size_bytes < 21_000 or len(request.events) == 1 for request in sink.requests)


def test_a_retry_carries_the_same_ids_and_times_and_a_fresh_sent_at(make, sink):
    """Otherwise the server stores events twice, or corrects their clock by the wait."""
    sink.answer(503, times=2)
    client = make()
    fill(client, 3)
    assert client.flush(20)
    assert [request.status for request in sink.requests] == [503, 503, 200]
    batches = [request.body["batch"] for request in sink.requests]
    assert batches[0] == batches[1] == batches[2]
    assert len({request.body["sent_at"] for request in sink.requests}) == 3
    stats = balanced(client)
    assert (stats.sent, stats.retried, stats.batches) == (3, 2, 1)


@pytest.mark.parametrize("form", ["seconds", "date"])
def test_retry_after_is_waited_for(make, sink, form):
    """A number of seconds, or an HTTP date."""
    date = (datetime.now(UTC) + timedelta(seconds=3)).replace(microsecond=0)
    when = "2" if form == "seconds" else format_datetime(date, usegmt=True)
    sink.answer(429, headers={"Retry-After": when})
    client = make()
    fill(client, 1)
    assert client.flush(20)
    first, second = sink.requests
    if form == "seconds":
        assert second.at_s - first.at_s >= 1.9
    else:  # by the clock: a busy machine may have used up some of the three seconds before the first request
        assert time.time() - (time.monotonic() - second.at_s) >= date.timestamp() - 0.1


def test_retries_are_exhausted_after_four_requests_and_counted(make, sink):
    """`max_retries=3`, then the batch is given up with a reason, to the ledger and to the hooks."""
    dropped, errors = [], []
    sink.answer(500, times=4)
    client = make(
        on_drop=lambda reason, event: dropped.append((reason, event["event"])),
        on_error=lambda *args: errors.append(args),
    )
    fill(client, 2)
    assert client.flush(60)
    assert [request.status for request in sink.requests] == [500] * 4
    assert balanced(client).dropped == {"retries_exhausted": 2}
    assert dropped == [("retries_exhausted", "e0"), ("retries_exhausted", "e1")]
    [(error, events)] = errors
    assert (error.reason, error.status, [event["event"] for event in events]) == (
        "retries_exhausted",
        500,
        ["e0", "e1"],
    )


def test_a_final_answer_is_loud_and_ends_it(make, sink, caplog):
    """401: a wrong token; one request, one log line with the answer."""
    sink.answer(401, body=b"unknown token")
    client = make()
    fill(client, 3)
    assert client.flush()
    assert len(sink.requests) == 1
    assert balanced(client).dropped == {"rejected": 3}
    [line] = [record.message for record in caplog.records if "dropped" in record.message]
    assert "dropped 3 events" in line
    assert "401 unknown token" in line


@pytest.fixture
def stalled(make, sink):
    """Make a client whose sender is busy with one event, so that what comes next stays in the
    queue.
    """

    def build(**options):
        sink.answer(200, delay_s=1.0)
        client = make(timeout=20.0, **options)
        client.capture("first", distinct_id="u")
        client.flush(0)
        sink.wait_until(lambda: sink.requests)
        return client

    return build


def test_losses_are_logged_once_a_minute_and_summed_at_the_end(stalled, caplog):
    """Logs count, they do not repeat."""
    client = stalled(max_queue_size=1)
    fill(client, 6)
    assert _losses(caplog) == ["hogline: dropped 1 event: queue_full"]
    client.shutdown()
    [line] = _losses(caplog)[1:]
    assert re.fullmatch(r"hogline: dropped 4 events in \d s: queue_full", line)


def _losses(caplog):
    return [record.message for record in caplog.records if "dropped" in record.message]


def test_a_batch_that_is_too_large_is_halved_until_it_fits(make, sink):
    """413 for 8, 4 and 2 events: everything arrives once, in order."""
    sink.answer(413, times=3)
    client = make()
    fill(client, 8)
    assert client.flush()
    assert [event.event for event in sink.events] == [f"e{n}" for n in range(8)]
    assert balanced(client).sent == 8


def test_only_the_event_that_is_too_large_alone_is_lost(make, sink):
    """Eight events, 413 for 8, 4, 2 and 1 of them: the first is dropped, seven arrive."""
    sink.answer(413, times=4)
    client = make()
    fill(client, 8)
    assert client.flush()
    assert [event.event for event in sink.events] == [f"e{n}" for n in range(1, 8)]
    assert balanced(client).dropped == {"too_large": 1}


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_keeps_the_method_and_the_body(make, sink, status):
    """posthog-python follows a 301 with a GET, whose 200 counts as delivered."""
    sink.answer(status, headers={"Location": "/moved/batch/"})
    client = make()
    fill(client, 2)
    assert client.flush()
    assert [(request.method, request.path) for request in sink.requests] == [
        ("POST", "/batch/"),
        ("POST", "/moved/batch/"),
    ]
    assert [event.event for event in sink.events] == ["e0", "e1"]


def test_a_redirect_in_circles_ends(make, sink):
    """At most five; then the batch is given up, and counted."""
    sink.answer(302, headers={"Location": "/a"}, times=50)
    client = make()
    fill(client, 1)
    assert client.flush()
    assert len(sink.requests) <= 7
    assert balanced(client).dropped == {"rejected": 1}


def test_a_server_that_comes_back_within_the_retries_gets_everything(make, sink):
    """Refused connections are no answer, and are tried again."""
    import socket

    with socket.create_server(("127.0.0.1", 0)) as placeholder:
        port = placeholder.getsockname()[1]
    client = make(host=f"http://127.0.0.1:{port}", max_retries=20)
    fill(client, 5)
    client.flush(0.5)
    assert balanced(client).waiting == 5
    relay = threading.Thread(target=_relay, args=(port, sink), daemon=True)
    relay.start()
    assert client.flush(60)
    assert [event.event for event in sink.events] == [f"e{n}" for n in range(5)]


def _relay(port, sink):
    """Answer on *port* for the sink, with a redirect to it."""
    import socket

    with socket.create_server(("127.0.0.1", port)) as server:
        connection, _ = server.accept()
        with connection:
            connection.recv(65536)
            connection.sendall(
                f"HTTP/1.1 307 Moved\r\nLocation: {sink.url}/batch/\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode()
            )


def test_a_full_queue_refuses_the_new_event_and_says_so(stalled, sink):
    """`capture()` returns None; nothing that was accepted is lost for it."""
    client = stalled(max_queue_size=3)
    ids = fill(client, 5)
    assert [identity is None for identity in ids] == [False, False, False, True, True]
    assert balanced(client).dropped == {"queue_full": 2}
    assert client.flush()
    assert [event.event for event in sink.events] == ["first", "e0", "e1", "e2"]


def test_the_queue_is_bounded_in_bytes_too(stalled):
    """`max_queue_bytes`."""
    client = stalled(max_queue_bytes=2000)
    ids = [client.capture("e", distinct_id="u", properties={"x": "y" * 1000}) for _ in range(3)]
    assert [identity is None for identity in ids] == [False, True, True]


@pytest.mark.parametrize(
    "options",
    [{"max_batch_bytes": 20_000}, {"max_queue_bytes": 20_000}, {"max_queue_size": 8}],
    ids=lambda options: next(iter(options)),
)
def test_what_is_full_leaves_at_once(make, sink, options):
    """By bytes, or because no more fits: a sender that waits for company meanwhile would only make
    room by dropping.
    """
    client = make(flush_at=1000, **options)
    for n in range(8):
        client.capture(f"e{n}", distinct_id="u", properties={"x": "y" * 3000})
        time.sleep(0.05)  # the sender looks at each, and goes back to its wait
    # The refused event, where one was refused, is counted; everything else leaves without a flush.
    sink.wait_for(balanced(client).accepted - sum(client.stats().dropped.values()) - 3)


@pytest.mark.parametrize("trouble", ["hang", "refused"])
def test_flush_and_shutdown_keep_their_deadline(make, sink, trouble):
    """This holds whatever the server does.

    Events that could not be sent are counted as lost at shutdown.
    """
    if trouble == "hang":
        sink.answer(200, delay_s=30)
        client = make(timeout=60)
    else:
        client = make(host="http://127.0.0.1:9", max_retries=50)
    fill(client, 2)
    begun_s = time.monotonic()
    assert client.flush(0.3) is False
    assert client.shutdown(0.3) is False
    assert time.monotonic() - begun_s < 5
    assert balanced(client).dropped == {"shutdown": 2}
    assert client.capture("late", distinct_id="u") is None
    assert balanced(client).waiting == 0


def test_hooks_may_flush_and_capture_without_a_deadlock(make, sink):
    """`on_error` runs on the sender's thread; a flush from there must not wait for itself."""
    done = threading.Event()

    def on_error(error, events):
        client.flush(5)
        client.capture("from the hook", distinct_id="u")
        done.set()

    sink.answer(400)
    client = make(on_error=on_error)
    fill(client, 1)
    client.flush()
    assert done.wait(5)
    assert client.flush()
    assert [event.event for event in sink.events] == ["from the hook"]


@pytest.mark.parametrize("error", [RuntimeError("hook"), SystemExit(1)], ids=["error", "exit"])
@pytest.mark.parametrize("hook", ["on_error", "on_drop"])
def test_a_hook_that_raises_ends_nothing(make, sink, caplog, hook, error):
    """The sender goes on, who flushes is not kept waiting, and the counts stay right."""

    def broken(*args):
        raise error

    sink.answer(400, times=3)
    client = make(**{hook: broken})
    for _ in range(3):
        fill(client, 2)
        assert client.flush(20)
    fill(client, 1, "next")
    assert client.flush(20)
    assert [event.event for event in sink.events] == ["next0"]
    stats = balanced(client)
    assert (stats.sent, stats.waiting, dict(stats.dropped)) == (1, 0, {"rejected": 6})
    assert len([record for record in caplog.records if "failed" in record.message]) == 1


def test_a_hook_that_raises_is_told_of_the_next_event_all_the_same(make, sink):
    """Each event of a batch that was given up."""
    told = []

    def picky(reason, event):
        told.append(event["event"])
        raise KeyError(reason)

    sink.answer(400)
    client = make(on_drop=picky)
    fill(client, 3)
    assert client.flush()
    assert told == ["e0", "e1", "e2"]


def test_the_ledger_balances_while_eight_threads_capture(make, sink):
    """At every moment, not only at the end."""
    client = make(flush_at=20, max_queue_size=200)
    stop = threading.Event()

    def work():
        for n in range(300):
            client.capture(f"e{n}", distinct_id="u")

    threads = [threading.Thread(target=work) for _ in range(8)]
    waits = []
    watcher = threading.Thread(target=lambda: waits.extend(balanced(client).waiting for _ in iter(stop.is_set, True)))
    for thread in [*threads, watcher]:
        thread.start()
    for thread in threads:
        thread.join()
    stop.set()
    watcher.join()
    # The queue and one batch on its way: the counts are those of real events, not only of each
    # other.
    assert 0 <= min(waits) <= max(waits) <= 400
    assert client.flush(30)
    stats = balanced(client)
    assert stats.accepted == 2400
    assert stats.waiting == 0
    assert len(sink.events) == stats.sent
    assert len({event.uuid for event in sink.events}) == stats.sent
