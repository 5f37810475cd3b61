"""Google functions run as the Functions Framework makes apps of them and serves them.

They handle requests, CloudEvents, older events, and typed data.
"""

import json
import os
import signal
import socket
import subprocess
import sys
from contextlib import contextmanager

import pytest
import urllib3

from hogline.interceptors import flask
from tests.support.servers import ROOT
from tests.support.serving import VISITOR, serving, serving_asgi
from tests.support.sink import exception_of, names, person_of

framework = pytest.importorskip("functions_framework")

SOURCE = ROOT / "tests/interceptors/functions/google_shop.py"
PATHS = ("ok", "plain", "abort", "missing", "foreign")
CLOUD_EVENT = {"ce-specversion": "1.0", "ce-id": "1", "ce-source": "//bucket", "ce-type": "file.finalized"}
OLDER_EVENT = {"eventId": "1", "eventType": "file.finalized", "timestamp": "2026-01-01T00:00:00Z", "resource": "bucket"}


@pytest.fixture
def serve(sink, monkeypatch):
    """Return a context manager that serves one function, in the app that the framework makes for
    it.
    """
    monkeypatch.setenv("SINK", sink.url)
    monkeypatch.setattr(sys, "path", [*sys.path])

    @contextmanager
    def serve(target, signature=None, around=None):
        app = framework.create_app(target, str(SOURCE), signature)
        client = sys.modules["google_shop"].client
        is_asgi = not hasattr(app, "wsgi_app")
        if not is_asgi:
            app.logger.disabled = True
        if around is not None:
            around(app, client=client, capture_exceptions=True)
        try:
            with (serving_asgi if is_asgi else serving)(app, client, sink) as site:
                site.base = f"http://127.0.0.1:{site.port}"
                yield site
        finally:
            client.shutdown(5)
            del sys.modules["google_shop"]

    return serve


def post(site, body, headers=VISITOR, path="/"):
    return urllib3.request("POST", site.base + path, json=body, headers=headers, timeout=30, retries=False)


class TestRequests:
    @pytest.mark.parametrize(
        ("target", "around"), [("http", None), ("http", flask.PostHogInterceptor), ("http_async", None)]
    )
    def test_a_function_is_a_request(self, serve, sink, target, around):
        """On Flask and on Starlette; with Flask's own interceptor around it too it is one event.

        Only the framework's own HTTP exceptions are answers: Starlette's HTTP exception is a 500 in
        Flask, and the reverse.
        """
        with serve(target, around=around) as site:
            statuses = [site.get(f"/{path}?token=s3cret", VISITOR).status for path in PATHS]
            events = sink.events if around is None else site.events
        assert statuses == [201, 500, 503, 404, 500]
        captured, *failures = events
        assert [exception_of(event)[1:] for event in failures] == [(False, 500), (True, 503), (False, 500)]
        assert exception_of(failures[0])[0] == "ValueError"
        expected = {
            "$session_id": "session-a",
            "$window_id": "window-a",
            "$current_url": "http://shop.example/ok?token=redacted",
            "$request_method": "GET",
            "$request_path": "/ok",
            "$ip": "127.0.0.1",
            "who": "alice",
        }
        assert {name: captured.properties.get(name) for name in expected} == expected
        assert {person_of(event) for event in events} == {"alice"}

    @pytest.mark.parametrize("target", ["http", "http_async"])
    def test_a_function_that_serves_again_begins_empty(self, serve, target):
        """A process serves visitors one after the other, also after a stream, whose steps
        set tags.
        """
        with serve(target) as site:
            for path in ("/ok", "/plain", "/stream"):
                site.get(path, VISITOR)
                assert site.get("/who").body == b"None {}"

    @pytest.mark.parametrize(
        ("target", "path", "later"),
        [
            ("http", "/iterator", []),
            ("http", "/stream", []),
            ("http_async", "/stream", ["background"]),
        ],
    )
    def test_a_streamed_body_belongs_to_the_visitor_and_is_sent_when_it_ends(self, serve, sink, target, path, later):
        """Its events have arrived when the response is complete.

        Tags that a step sets stay for the next one.
        """
        with serve(target) as site:
            assert site.get(path, VISITOR).body == b"ab"
            sink.wait_until(lambda: len(sink.events) == 2 + len(later))
        assert names(sink.events) == ["streamed a", "streamed b", *later]
        assert {(person_of(event), event.properties["colour"]) for event in sink.events[:2]} == {("alice", "red")}
        assert {event.properties["$session_id"] for event in sink.events} == {"session-a"}

    def test_a_body_that_breaks_off_is_one_event(self, serve, sink):
        """The event has the status that had been sent by then."""
        with serve("http") as site:
            site.get("/break", VISITOR)
            sink.wait_until(lambda: len(sink.events) == 3)
        assert exception_of(sink.events[2]) == ("ValueError", False, 200)
        assert person_of(sink.events[2]) == "alice"

    def test_background_tasks_belong_to_the_visitor(self, serve, sink):
        """Starlette's, of a response that has a whole body."""
        with serve("http_async") as site:
            assert site.get("/task", VISITOR).status == 200
            sink.wait_until(lambda: sink.events)
        assert [(event.event, person_of(event)) for event in sink.events] == [("background", "alice")]

    def test_a_function_in_a_thread_of_an_asynchronous_framework(self, serve, sink):
        """`def` under `functions_framework.aio`."""
        with serve("http_threaded") as site:
            assert json.loads(site.get("/", VISITOR).body) == {"who": "alice"}
            assert site.get("/plain", VISITOR).status == 500
        assert [person_of(event) for event in sink.events] == ["alice", "alice"]
        assert exception_of(sink.events[1]) == ("ValueError", False, 500)

    def test_a_typed_function_is_a_request_too(self, serve, sink):
        """The clients of a typed function send and receive JSON.

        The framework answers every exception with 500.
        """
        with serve("typed") as site:
            assert [post(site, {"number": number}).status for number in (7, -1)] == [200, 500]
        first, _, failure = sink.events
        assert (first.event, person_of(first), first.properties["$request_method"]) == ("captured", "alice", "POST")
        assert (exception_of(failure)[1:], person_of(failure)) == ((False, 500), "alice")


class TestEvents:
    @pytest.mark.filterwarnings("ignore:is_binary is deprecated")  # the framework's own
    @pytest.mark.parametrize(
        ("target", "signature"), [("happened", None), ("happened_async", None), ("background", "event")]
    )
    def test_what_happened_is_no_request(self, serve, sink, target, signature):
        """This holds for CloudEvents and events of the first generation.

        Their sender is no visitor, and an error is one event.
        """
        with serve(target, signature) as site:
            for fail in (False, True):
                body: dict = {"fail": fail}
                headers = {**CLOUD_EVENT, **VISITOR}
                if target == "background":
                    body, headers = {"data": body, "context": OLDER_EVENT}, VISITOR
                assert post(site, body, headers).status == (500 if fail else 200)
        assert names(sink.events) == ["file.finalized", "file.finalized", "$exception"]
        assert exception_of(sink.events[2]) == ("ValueError", False, 500)
        for event in sink.events:
            assert person_of(event) is None
            assert not {"$request_path", "$request_method", "$current_url", "$ip"} & event.properties.keys()


def test_what_was_captured_has_arrived_before_the_freeze(sink, tmp_path):
    """On the framework's own server, in a process that stands still after each answer."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [
        "-m",
        "functions_framework",
        "--target",
        "http",
        "--source",
        SOURCE,
        "--host",
        "127.0.0.1",
        "--port",
        port,
    ]
    environ = {**os.environ, "SINK": sink.url, "PYTHONPATH": str(ROOT), "WORKERS": "1"}
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, *map(str, command)], env=environ, stdout=log, stderr=log, start_new_session=True
        )
    try:
        for number, path in enumerate(("ok", "plain", "ok"), 1):
            os.killpg(process.pid, signal.SIGCONT)
            retries = urllib3.Retry(100, backoff_factor=0.1, backoff_max=0.2, raise_on_status=False)
            answer = urllib3.request(
                "GET", f"http://127.0.0.1:{port}/{path}", headers=VISITOR, timeout=30, retries=retries
            )
            os.killpg(process.pid, signal.SIGSTOP)
            assert (answer.status, len(sink.events)) == (500 if path == "plain" else 201, number)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(30)
    assert names(sink.events) == ["captured", "$exception", "captured"], (tmp_path / "log").read_text()


def test_the_example_sends_what_its_page_promises(sink, monkeypatch):
    """One event with the browser's session, one exception."""
    monkeypatch.setenv("HOGLINE_PROJECT_TOKEN", "phc_example")
    monkeypatch.setenv("HOGLINE_HOST", sink.url)
    monkeypatch.setattr(sys, "path", [*sys.path])
    app = framework.create_app("shop", str(ROOT / "examples/google_function.py"))
    app.logger.disabled = True
    client = app.test_client()
    assert [client.get(path, headers=VISITOR).status_code for path in ("/", "/broken")] == [200, 500]
    sys.modules.pop("google_function").posthog.shutdown(5)
    first, failure = sink.events
    assert (first.event, exception_of(failure)) == ("checkout", ("RuntimeError", False, 500))
    assert {event.properties["$session_id"] for event in sink.events} == {"session-a"}
