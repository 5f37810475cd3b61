"""Which exceptions of a request become events: each once, with the visitor and the status that was
sent.
"""

import pytest

from tests.support.behaviours import shows
from tests.support.sink import exception_of, person_of
from tests.support.site import WAIT_S, Site, needs, new_rid, on_every_server, request_bytes, visitor

THRESHOLDS = {"default": 500, "from-400": 400, "from-503": 503}


def frames_of(event):
    return event.properties["$exception_list"][0]["stacktrace"]["frames"]


class TestSeen:
    @shows("swallowed-errors", "crash-frame-last")
    def test_a_plain_error_is_one_unhandled_event(self, site):
        """The event has visitor, URL, route template and source.

        Its last frame is the line that raised.
        """
        answer = site.ask("/error", headers=visitor("alice"))
        event = site.event(answer)
        assert answer.status == 500
        assert exception_of(event) == ("ValueError", False, 500)
        entry = event.properties["$exception_list"][0]
        assert entry["value"] == f"boom {answer.rid}"
        assert entry["mechanism"]["type"] == "middleware"
        assert (person_of(event), event.properties["$session_id"]) == ("alice", "session-alice")
        assert event.properties["$request_route"] == "/error" if site.framework.route else True
        assert event.properties["$exception_source"].startswith(site.framework.source)
        last = frames_of(event)[-1]
        assert last["function"].endswith("error")
        assert "raise ValueError(boom(" in last["context_line"]

    @shows("swallowed-errors")
    @needs("error-sync")
    def test_an_error_of_a_thread_is_seen_too(self, site):
        """The handler runs in the framework's thread pool."""
        assert exception_of(site.event(site.ask("/error-sync"))) == ("ValueError", False, 500)

    @on_every_server
    @shows("error-after-start")
    def test_an_error_in_a_stream_has_the_status_that_was_sent(self, site):
        """The event is of the original exception, no wrapper, and has the 200 that was sent
        before.
        """
        answer = site.ask("/stream-error", headers=visitor("alice"))
        event = site.event(answer)
        assert answer.body == b"a"
        if "cut" not in site.framework.lacks:
            assert not answer.complete or ("transfer-encoding", "chunked") not in answer.headers
        assert (exception_of(event), person_of(event)) == (("ValueError", False, 200), "alice")

    @on_every_server
    @shows("background-error")
    @needs("background-error")
    def test_an_error_after_the_response_has_its_status(self, site):
        """The error is raised by a background task."""
        answer = site.ask("/background-error", headers=visitor("alice"))
        assert (answer.status, answer.body) == (200, b"ok")
        event = site.event(answer)
        assert (exception_of(event), person_of(event)) == (("ValueError", False, 200), "alice")

    @on_every_server
    @shows("context-everywhere")
    @needs("ws")
    def test_an_error_of_a_socket_is_seen(self, site):
        """The error comes after the handshake, so the event has its status, 101."""
        rid = new_rid()
        with site.connect() as connection:
            _upgrade(connection, "/ws-error", rid)
            assert connection.receive(12) == b"HTTP/1.1 101"
            event = site.event(rid)
        assert (exception_of(event), person_of(event)) == (("ValueError", False, 101), "alice")

    @on_every_server
    @shows("client-went-away")
    @needs("ws", "ws-refused")
    def test_a_refused_handshake_is_no_mistake(self, site):
        """A handler refuses a WebSocket with an exception of the framework: no event."""
        rid = new_rid()
        with site.connect() as connection:
            _upgrade(connection, "/ws-refused", rid)
            assert connection.receive(12) == b"HTTP/1.1 403"
        site.events(rid, 0)


def _upgrade(connection, path, rid):
    headers = [
        *visitor("alice"),
        ("Connection", "Upgrade"),
        ("Upgrade", "websocket"),
        ("Sec-WebSocket-Version", "13"),
        ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ]
    connection.send(request_bytes(path, rid, headers=headers, close=False))


class TestJudged:
    @shows("http-error-from-threshold", "http-error-below-threshold", "abort-with-response", "drf-and-ninja")
    @needs("http")
    @pytest.mark.parametrize("status", [404, 499, 500, 503])
    @pytest.mark.parametrize("options", THRESHOLDS)
    def test_http_exceptions_are_events_from_the_threshold_on(self, site, options, status):
        """The events are `handled`, and have the status that the client got."""
        answer = site.ask(f"/http/{status}", options=options, headers=visitor("alice"))
        assert answer.status == status
        events = site.events(answer, 1 if status >= THRESHOLDS[options] else 0)
        assert [(exception_of(event)[1:], person_of(event)) for event in events] == [((True, status), "alice")] * len(
            events
        )

    @shows("registered-handlers")
    @needs("handled")
    @pytest.mark.parametrize("status", [200, 418, 500])
    @pytest.mark.parametrize(
        ("options", "captured"),
        [("default", (500,)), ("handled-too", (200, 418, 500)), ("unhandled-only", ()), ("off", ())],
    )
    def test_an_exception_that_a_handler_answered_is_an_error_from_500_on(self, site, options, captured, status):
        """That is the default; `handled=` also captures these exceptions always, or never.

        The event is `handled`.
        """
        answer = site.ask(f"/handled/{status}", options=options)
        assert (answer.status, answer.body) == (status, b"handled")
        events = site.events(answer, 1 if status in captured else 0)
        assert [exception_of(event) for event in events] == [("DomainError", True, status)] * len(events)

    def test_what_nothing_handled_is_captured_under_every_rule(self, site):
        """An exception without a handler is an event whatever `handled=` says."""
        for options in ("handled-too", "unhandled-only", "from-503"):
            assert exception_of(site.event(site.ask("/error", options=options)))[:2] == ("ValueError", False)

    @shows("validation-errors")
    @needs("validate")
    def test_a_bad_request_is_no_event(self, site):
        """A request that the framework's own validation refuses is the client's mistake, below the
        threshold.
        """
        answer = site.ask("/validate?number=x")
        assert answer.status in (400, 422)
        site.events(answer, 0)
        event = site.event(site.ask("/validate?number=x", options="from-400"))
        assert exception_of(event)[1:] == (True, answer.status)

    @shows("upstream-status")
    def test_an_upstreams_status_is_not_ours(self, site):
        """The exception has an attribute `status` of 404; the event has this server's 500."""
        answer = site.ask("/lookalike")
        assert exception_of(site.event(answer)) == ("UpstreamError", False, 500)

    def test_ignored_classes_are_none(self, site):
        """Classes in `ignore=` are no events; without that option they are."""
        site.events(site.ask("/ignored", options="ignoring"), 0)
        assert exception_of(site.event(site.ask("/ignored")))[0] == "IgnoredError"

    def test_nothing_is_captured_unless_asked_for(self, site):
        """Exception capture is off by default; the context works without it."""
        site.events(site.ask("/error", options="off"), 0)
        assert person_of(site.event(site.ask("/capture", options="off", headers=visitor("alice")))) == "alice"

    @shows("groups-by-members")
    @needs("noise")
    def test_groups_are_judged_by_their_leaves(self, site):
        """A group of client disconnects only is no event.

        A group with any other exception is one.
        """
        site.events(site.ask("/group-noise"), 0)
        for path, status in (("/group", 500), ("/group-http", 500)):
            answer = site.ask(path)
            assert answer.status == status
            assert exception_of(site.event(answer)) == ("ExceptionGroup", False, status)


class TestOnce:
    @shows("captured-once")
    def test_captured_by_hand_and_raised_again_is_one_event(self, site):
        """The capture in the user's code is the one event, and it is `handled`."""
        answer = site.ask("/caught", headers=visitor("alice"))
        event = site.event(answer)
        assert answer.status == 500
        assert (event.properties["by"], person_of(event)) == ("hand", "alice")
        assert exception_of(event)[1] is True

    @shows("stacked-interceptors", "captured-once")
    @pytest.mark.parametrize("path", ["/error", "/stream-error", "/caught", "/frozen", "/capture", "/stream"])
    def test_installed_twice_it_is_one_event(self, site, path):
        """Two interceptors on one app make no second event, and change no answer."""
        once, twice = site.ask(path), site.ask(path, options="twice")
        assert once.shape == twice.shape
        count = 3 if path == "/stream" else 1
        for first, second in zip(site.events(once, count), site.events(twice, count), strict=True):
            assert first.event == second.event
            if first.event == "$exception":
                assert exception_of(first) == exception_of(second)

    @shows("captured-once")
    @needs("handled")
    def test_installed_twice_handled_stays_true_to_life(self, site):
        """The inner interceptor sees the exception, the outer one whether it was handled."""
        answer = site.ask("/handled/500", options="twice")
        assert exception_of(site.event(answer)) == ("DomainError", True, 500)
        site.events(site.ask("/handled/418", options="twice"), 0)

    @shows("raised-again")
    def test_one_instance_raised_in_two_requests_is_two_events(self, site):
        """Deduplication is per request: the same exception object in another request is another
        event.
        """
        answers = [site.ask("/reused") for _ in range(3)]
        assert [exception_of(site.event(answer)) for answer in answers] == [("ValueError", False, 500)] * 3


class TestStrange:
    @shows("unmarkable-exceptions")
    @pytest.mark.parametrize(("path", "name"), [("/frozen", "FrozenError"), ("/refusing", "RefusingError")])
    def test_exceptions_that_refuse_attributes_are_one_event_and_change_nothing(self, site, path, name):
        """The same object reaches the server, and the answer does not change."""
        without = site.ask(path, options="absent")
        for options in ("default", "twice"):
            answer = site.ask(path, options=options)
            assert answer.shape == without.shape
            assert exception_of(site.event(answer))[0] == name

    @shows("hostile-exceptions")
    @needs("hostile")
    def test_exceptions_whose_dunders_raise_are_one_event_and_change_nothing(self, lone_site):
        """Every dunder method of the exception raises.

        A server that logs it may fail at that, as without us.
        """
        assert lone_site.ask("/who").status == 200  # the first request may take longer than the wait for an answer
        without = lone_site.end_of("/hostile", options="absent")
        for options in ("default", "twice"):
            rid = new_rid()
            assert lone_site.end_of("/hostile", options=options, rid=rid) == without
            assert exception_of(lone_site.event(rid))[0] == "HostileError"

    @shows("exit-leaves-clean", "exits-propagate")
    @needs("exit")
    def test_an_exit_is_no_event_and_goes_its_way(self, lone_site, tmp_path):
        """SystemExit reaches the server.

        If the server survives it, its next request begins empty.
        """
        rid = new_rid()
        end = lone_site.end_of("/exit", rid=rid)
        if _lives(lone_site):
            assert lone_site.ask("/who").body == b"-"
            lone_site.flush()
            assert end == lone_site.end_of("/exit", options="absent")
        else:
            assert end == _end_of_another(lone_site, tmp_path)
        assert lone_site.arrived(rid) == []


def _lives(site):
    """Return whether the server survives an exit; some end, some end a worker and start another."""
    if site.server.ends():
        return False
    site.sink.wait_until(lambda: site.server.process.poll() is not None or site.answers(), WAIT_S)
    return site.server.process.poll() is None


def _end_of_another(site, tmp_path):
    """Return how the connection ends on a second server, without the interceptor.

    That server ends too.
    """
    other = Site.start(site.framework, site.server.name, tmp_path / "other.log")
    try:
        end = other.end_of("/exit", options="absent")
        assert not _lives(other)
        return end
    finally:
        other.stop()
