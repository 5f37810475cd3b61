"""A context for each request: fresh, alive in everything the request causes, and gone
afterwards.
"""

import random
import socket
from concurrent.futures import ThreadPoolExecutor

import pytest
from websockets.sync.client import connect

from tests.support.behaviours import shows
from tests.support.sink import names, person_of
from tests.support.site import HOST, needs, new_rid, on_every_server, request_bytes, visitor

BIG = b"x" * 300_000


def session_of(event):
    return event.properties.get("$session_id")


@on_every_server
class TestFresh:
    @shows("no-leak-on-connection")
    def test_a_big_post_leaves_nothing_for_the_next_request_of_the_connection(self, site):
        """After Alice's 300 kB, a request on the same connection has no person, session or tags."""
        first, second = new_rid(), new_rid()
        with site.connect() as connection:
            connection.send(
                request_bytes("/checkout", first, method="POST", headers=visitor("alice"), body=BIG, close=False)
            )
            answer = connection.read(first)
            assert answer.body == BIG
            kept = ("connection", "close") not in [(name.lower(), value.lower()) for name, value in answer.headers]
            if kept:
                connection.send(request_bytes("/capture", second))
                assert connection.read(second).status == 200
        if not kept:  # gunicorn's sync worker: the same thread serves another connection
            assert site.ask("/capture", rid=second).status == 200
        assert person_of(site.event(first)) == "alice"
        event = site.event(second)
        assert (person_of(event), session_of(event)) == (None, None)

    @shows("pipelined-requests")
    @needs("pipelined")
    def test_pipelined_requests_have_their_own_ids(self, site):
        """Three requests in one write."""
        asked = [(new_rid(), name) for name in ("alice", None, "carol")]
        with site.connect() as connection:
            connection.send(
                b"".join(
                    request_bytes("/tag", rid, headers=visitor(name) if name else [], close=rid == asked[-1][0])
                    for rid, name in asked
                )
            )
            for rid, _ in asked:
                assert connection.read(rid).body == b"ok"
        for rid, name in asked:
            event = site.event(rid)
            assert (person_of(event), event.properties["colour"]) == (name, rid)
            assert session_of(event) == (f"session-{name}" if name else None)

    @shows("clean-thread")
    def test_a_thread_that_serves_again_begins_empty(self, site):
        """Visitors share a thread one after the other, and none has the tags of another."""
        for number in range(8):
            tagged = site.ask("/tag", headers=visitor(f"visitor-{number}"))
            other = site.ask("/capture")
            assert site.event(tagged).properties["colour"] == tagged.rid
            event = site.event(other)
            assert (person_of(event), session_of(event), "colour" in event.properties) == (None, None, False)

    @shows("clean-thread", "client-leaves-body")
    @pytest.mark.parametrize("path", ["/stream", "/error", "/nothing", "/stream-error"])
    def test_nothing_is_left_whatever_happened(self, site, path):
        """After streams, errors and requests without events, the next one is nobody's."""
        with site.connect() as connection:
            connection.send(request_bytes(path, new_rid(), headers=visitor("alice")))
            while connection.receive(4096):
                pass
        assert [site.ask("/who").body for _ in range(4)] == [b"-"] * 4

    @shows("concurrent-requests")
    def test_forty_requests_at_once_are_never_mixed(self, site):
        """Random waits; every event, answer and session is its own request's."""
        rng = random.Random(8)
        asked = [(new_rid(), f"visitor-{number}") for number in range(40)]
        delays_ms = {rid: rng.randrange(2, 40) for rid, _ in asked}

        def ask(rid, name):
            return site.ask(f"/slow?delay_ms={delays_ms[rid]}", headers=visitor(name), rid=rid)

        with ThreadPoolExecutor(20) as pool:
            answers = list(pool.map(lambda pair: ask(*pair), asked))
        assert [answer.body.decode() for answer in answers] == [rid for rid, _ in asked]
        site.events(asked[-1][0], 1)
        for rid, name in asked:
            [event] = site.arrived(rid)
            assert (event.distinct_id, session_of(event)) == (name, f"session-{name}")
            assert f"rid={rid}" in event.properties["$current_url"]


@on_every_server
class TestAlive:
    @shows("context-everywhere")
    @needs("sync")
    def test_handlers_in_threads_belong_to_the_visitor(self, site):
        """A handler that the framework runs in a threadpool."""
        event = site.event(site.ask("/sync", headers=visitor("alice")))
        assert (person_of(event), session_of(event)) == ("alice", "session-alice")

    @shows("context-everywhere", "streamed-body-context")
    def test_streams_belong_to_the_visitor(self, site):
        """Events from inside the generator."""
        answer = site.ask("/stream", headers=visitor("alice"))
        assert answer.body == b"abc"
        events = site.events(answer, 3)
        assert [(e.properties["letter"], person_of(e), session_of(e)) for e in events] == [
            (letter, "alice", "session-alice") for letter in "abc"
        ]

    @shows("context-everywhere")
    @needs("stream-sync")
    def test_synchronous_streams_belong_to_the_visitor(self, site):
        """A plain generator, read in threads."""
        answer = site.ask("/stream-sync", headers=visitor("alice"))
        assert {person_of(event) for event in site.events(answer, 3)} == {"alice"}

    @shows("context-everywhere")
    @needs("background")
    def test_what_runs_after_the_response_belongs_to_the_visitor(self, site):
        """This holds for background tasks, and for code that runs when a response is closed."""
        answer = site.ask("/background", headers=visitor("alice"))
        assert answer.body == b"ok"
        event = site.event(answer)
        assert (event.event, person_of(event), session_of(event)) == ("later", "alice", "session-alice")

    @shows("outliving-tasks")
    @needs("task")
    def test_a_task_keeps_its_visitor_after_the_response(self, site):
        """The requests that are served meanwhile are not affected."""
        answer = site.ask("/task", headers=visitor("alice"))
        others = [site.ask("/capture", headers=visitor("bob")), site.ask("/capture")]
        assert [person_of(site.event(other)) for other in others] == ["bob", None]
        event = site.event(answer)
        assert (event.event, person_of(event)) == ("later", "alice")

    @shows("threads-inherit-nothing")
    @needs("thread")
    def test_to_thread_knows_the_visitor_and_a_bare_thread_nobody(self, site):
        """Never another request's."""
        inside, alone = site.events(site.ask("/thread", headers=visitor("alice")), 2)
        assert (inside.event, person_of(inside)) == ("in thread", "alice")
        assert (alone.event, person_of(alone), "$current_url" in alone.properties) == ("alone", None, False)


@on_every_server
class TestClientLeaves:
    @shows("late-stream-end", "client-leaves-body", "client-went-away", "cancellation")
    def test_a_client_that_leaves_is_no_mistake_and_leaves_nothing(self, site):
        """The socket is closed mid-stream.

        Events from the generator's end belong to its own visitor.
        """
        rid = _leave(site, "/stream-long")
        _be_themselves(site)
        site.sink.wait_until(lambda: site.flush() or site.arrived(rid))
        event = site.event(rid)
        assert (event.event, person_of(event)) == ("closed", "alice")

    @shows("late-stream-end", "late-collection")
    @needs("stream-long-sync")
    def test_a_generator_that_is_collected_later_takes_no_strangers_name(self, site):
        """A synchronous generator may end inside another request: it is its own visitor's or
        nobody's.
        """
        rid = _leave(site, "/stream-long-sync")
        _be_themselves(site)
        events = site.arrived(rid)
        assert names(events) in ([], ["closed"])
        assert {person_of(event) for event in events} <= {"alice", None}


def _leave(site, path):
    """Read the beginning of a long stream as alice, and close the socket."""
    rid = new_rid()
    with site.connect() as connection:
        connection.send(request_bytes(path, rid, headers=visitor("alice")))
        connection.receive(100_000)
    return rid


def _be_themselves(site):
    answers = [site.ask("/slow?delay_ms=30", headers=visitor("bob")) for _ in range(3)]
    assert {person_of(site.event(answer)) for answer in answers} == {"bob"}
    assert site.ask("/who").body == b"-"


@on_every_server
@needs("ws")
class TestSockets:
    @shows("context-everywhere", "client-went-away")
    def test_a_connection_belongs_to_its_visitor(self, site):
        """Each message and the end; the client's going is no exception."""
        rid = new_rid()
        with _socket(site, "/ws", rid, "alice") as ws:
            for text in ("one", "two"):
                ws.send(text)
                assert ws.recv(timeout=20) == text
        site.sink.wait_until(lambda: site.flush() or len(site.arrived(rid)) == 3)
        events = site.events(rid, 3)
        assert names(events) == ["message", "message", "gone"]
        assert {(person_of(event), session_of(event)) for event in events} == {("alice", "session-alice")}
        assert events[0].properties["$current_url"].startswith(f"ws://{HOST}/ws")

    @shows("concurrent-requests")
    def test_connections_at_once_are_never_mixed(self, site):
        """Two visitors take turns."""
        rids = {name: new_rid() for name in ("alice", "bob")}
        with _socket(site, "/ws", rids["alice"], "alice") as first, _socket(site, "/ws", rids["bob"], "bob") as second:
            for ws in (first, second, first, second):
                ws.send("x")
                ws.recv(timeout=20)
        for name, rid in rids.items():
            assert {person_of(event) for event in site.events(rid, 3)} == {name}


def _socket(site, path, rid, name):
    url = f"ws://{HOST}{path}?rid={rid}"
    headers = [*visitor(name), ("X-Options", "default")]
    return connect(
        url,
        sock=socket.create_connection(("127.0.0.1", site.server.port), timeout=20),
        additional_headers=headers,
        compression=None,
        open_timeout=20,
        close_timeout=20,
    )
