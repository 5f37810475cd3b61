"""A full queue, and the ledger's last word."""

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import pytest

from hogline.delivery import delivery, ledger


@pytest.fixture
def stalled(make, sink):
    """Make a client whose sender is busy with one event, so that what comes next stays in the
    queue.
    """

    def build(**options):
        sink.answer(200, delay_s=1.5)
        client = make(timeout=20.0, **options)
        client.capture("first", distinct_id="u")
        client.flush(0)
        sink.wait_until(lambda: sink.requests)
        return client

    return build


def balanced(client):
    stats = client.stats()
    assert stats.accepted == stats.sent + stats.waiting + sum(stats.dropped.values())
    return stats


def test_drop_oldest_makes_room_for_the_new_event(stalled, sink):
    """Events that are being sent are not dropped.

    The hook is told which events were.
    """
    told = []
    client = stalled(max_queue_size=3, when_full="drop_oldest", on_drop=lambda *what: told.append(what))
    ids = [client.capture(f"e{n}", distinct_id="u") for n in range(5)]
    assert None not in ids
    assert [(reason, event["event"]) for reason, event in told] == [("queue_full", "e0"), ("queue_full", "e1")]
    assert balanced(client).dropped == {"queue_full": 2}
    assert client.flush(20)
    assert [event.event for event in sink.events] == ["first", "e2", "e3", "e4"]


def test_drop_oldest_does_not_empty_the_queue_for_what_never_fits(stalled):
    """An event over `max_queue_bytes` is refused once everything else is gone; nothing loops."""
    client = stalled(max_queue_bytes=2000, when_full="drop_oldest")
    assert client.capture("small", distinct_id="u")
    assert client.capture("large", distinct_id="u", properties={"x": "y" * 3000}) is None
    assert client.flush(20)
    assert balanced(client).waiting == 0


def test_block_waits_for_room(stalled, sink, monkeypatch):
    """Until the sender has taken what waited, and says so; nothing is dropped."""
    monkeypatch.setattr(delivery, "_POLL_S", 60.0)
    client = stalled(max_queue_size=2, when_full="block", when_full_timeout=30.0)
    assert None not in [client.capture(f"e{n}", distinct_id="u") for n in range(4)]
    assert client.flush(20)
    assert [event.event for event in sink.events] == ["first", "e0", "e1", "e2", "e3"]
    assert balanced(client).dropped == {}


def test_block_keeps_its_deadline(stalled):
    """`when_full_timeout`; then the event is refused, and counted."""
    client = stalled(max_queue_size=2, when_full="block", when_full_timeout=0.2)
    begun_s = time.monotonic()
    ids = [client.capture(f"e{n}", distinct_id="u") for n in range(3)]
    assert ids[2] is None
    assert 0.2 <= time.monotonic() - begun_s < 5
    assert balanced(client).dropped == {"queue_full": 1}


def test_block_never_waits_for_itself(make, sink):
    """A hook on the sender's thread that captures into a full queue is refused at once."""
    done = threading.Event()

    def on_error(error, events):
        for n in range(3):
            client.capture(f"from the hook {n}", distinct_id="u")
        done.set()

    sink.answer(400)
    client = make(max_queue_size=1, when_full="block", when_full_timeout=60.0, on_error=on_error)
    client.capture("x", distinct_id="u")
    assert client.flush(20)
    assert done.is_set()
    assert client.flush(20)
    assert balanced(client).dropped == {"rejected": 1, "queue_full": 2}


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs setitimer")
@pytest.mark.parametrize(
    ("when_full", "has_spool"), [("drop_oldest", False), ("drop_oldest", True), ("block", False), ("block", True)]
)
def test_a_handler_may_capture_into_a_full_queue_at_any_moment(sink, tmp_path, when_full, has_spool):
    """The counts stay those of real events, on a full disk too."""
    spool = f"spool_dir={str(tmp_path)!r}, spool_max_bytes=64 * 1024" if has_spool else ""
    script = f"""
        import os, signal, time
        from hogline import PostHog
        client = PostHog("phc_test", host=os.environ["SINK"], max_queue_size=20, flush_at=10, when_full={when_full!r}, {spool})
        def handle(*_):  # on a full disk it may take longer than any interval, so it sets its own end
            client.capture("handler", distinct_id="u")
            if time.monotonic() < until_s: signal.setitimer(signal.ITIMER_REAL, 0.0005)
        until_s = time.monotonic() + 1
        signal.signal(signal.SIGALRM, handle)
        handle()
        while time.monotonic() < until_s: client.capture("main", distinct_id="u")
        signal.setitimer(signal.ITIMER_REAL, 0)
        assert client.flush(30)
        stats = client.stats()
        assert stats.waiting == 0 and stats.accepted == stats.sent + sum(stats.dropped.values()), stats
        print(stats.sent)
    """
    process = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)],
        env=os.environ | {"SINK": sink.url}, capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    assert len({event.uuid for event in sink.events}) == len(sink.events) == int(process.stdout) > 0


def test_a_process_that_lost_something_says_so_in_one_last_line(sink):
    """Reason and count of all of it, and the last answer; one that lost nothing is silent."""
    script = """
        import os, sys
        from hogline import PostHog
        client = PostHog("phc_test", host=os.environ["SINK"], max_event_bytes=2000)
        if sys.argv[1] == "lose":
            client.capture("big", distinct_id="u", properties={"x": "y" * 3000})
            client.disable(); client.capture("asked for", distinct_id="u"); client.enable()
        for n in range(3): client.capture("e", distinct_id="u")
    """
    sink.answer(401, body=b"unknown token")
    lines = {}
    for what in ("lose", "keep"):
        process = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(script), what],
            env=os.environ | {"SINK": sink.url}, capture_output=True, text=True, timeout=60, check=True,
        )  # fmt: skip
        lines[what] = [line for line in process.stderr.splitlines() if "hogline: lost" in line]
    [line] = lines["lose"]
    assert line.startswith("hogline: lost 4 of 5 events: too_large 1, rejected 3; last answer from http://127.0.0.1:")
    assert line.endswith("401 unknown token")
    assert lines["keep"] == []


def test_every_reason_is_in_the_docs():
    """A count that nobody can look up helps nobody."""
    page = (Path(__file__).parents[3] / "docs" / "concepts" / "delivery.md").read_text()
    reasons = [getattr(ledger, name) for name in ledger.__all__ if name.isupper()]
    assert len(reasons) > 10
    assert [reason for reason in reasons if f"| `{reason}` |" not in page] == []
