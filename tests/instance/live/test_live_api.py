"""The live stream: complete events at once, filters, and a backlog."""

import contextlib
import json
import socket
import threading
import time
import uuid
from queue import Queue

from hogline_instance.live.tail import messages
from tests.instance.reader import WAIT_S, event


@contextlib.contextmanager
def listening(reader, **query):
    """Open a stream; yields a queue of (arrival time, event)."""
    answer = reader.pool.request(
        "GET",
        f"{reader.url}/api/projects/@current/live",
        fields=query,
        headers={"Authorization": f"Bearer {reader.key}"},
        preload_content=False,
    )
    assert answer.status == 200
    assert answer.headers["Content-Type"].startswith("text/event-stream")
    arrived = Queue()

    def chunks():
        # The test closes the connection while this thread reads from it.
        with contextlib.suppress(Exception):
            while chunk := answer.read1(65536):
                arrived.put(None) if b": hogline" in chunk else None
                yield chunk

    def listen():
        for name, data in messages(chunks()):
            if name == "events":
                for one in json.loads(data):
                    arrived.put((time.monotonic(), one))

    thread = threading.Thread(target=listen, daemon=True)
    thread.start()
    assert arrived.get(timeout=WAIT_S) is None
    try:
        yield arrived
    finally:
        # To close it would wait for the thread's read, which ends at the next sign of life.
        answer.connection.sock.shutdown(socket.SHUT_RDWR)
        thread.join(WAIT_S)
        answer.close()


def test_an_event_is_on_the_stream_as_it_is_stored(reader):
    """The event arrives complete, and the API finds it by then."""
    with listening(reader) as arrived:
        sent = event("live", total=42)
        reader.send(sent)
        while (one := arrived.get(timeout=WAIT_S)[1])["id"] != sent["uuid"]:
            pass
        assert one["properties"]["total"] == 42
        assert reader.get(f"/api/projects/@current/events/{sent['uuid']}/").status == 200


def test_a_filter_lets_only_its_events_through(reader):
    """Event, person and session filter the stream."""
    mark = str(uuid.uuid4())
    with listening(reader, distinct_id=mark) as arrived:
        reader.send(event("not mine"), event("mine", distinct_id=mark))
        assert arrived.get(timeout=WAIT_S)[1]["event"] == "mine"


def test_json_laid_out_in_lines_does_not_break_the_stream(reader):
    """Line breaks in a client's JSON do not end the message early."""
    sent = event("laid out", nested={"a": [1, 2]})
    with listening(reader, event="laid out") as arrived:
        reader.send(
            body=json.dumps({"api_key": reader.token, "batch": [sent]}, indent=2).replace("\n", "\r\n").encode()
        )
        assert arrived.get(timeout=WAIT_S)[1]["properties"]["nested"] == {"a": [1, 2]}


def test_the_backlog_comes_first_oldest_first(reader):
    """`backlog=` sends stored events first: none is missed between a page and its stream."""
    name = str(uuid.uuid4())
    sent = [event(name, after_s=index) for index in range(3)]
    reader.send(*sent)
    reader.wait_for(3, event=name)
    with listening(reader, event=name, backlog=2) as arrived:
        assert [arrived.get(timeout=WAIT_S)[1]["id"] for _ in range(2)] == [sent[1]["uuid"], sent[2]["uuid"]]
