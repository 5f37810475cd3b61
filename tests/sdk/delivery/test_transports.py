"""`PostHog(transport=...)`: batches go to the user's object, and everything else of delivery stays
as it is.
"""

import gzip
import json
import os
import subprocess
import sys
import threading
import types
from pathlib import Path

import orjson
import pytest

from examples.json_lines_transport import JSONLinesTransport
from examples.recording_transport import RecordingTransport
from hogline import PostHog, SettingsError, Transport, UploadRequest, UploadResponse
from hogline.delivery.http_transport import HTTPTransport

ROOT = Path(__file__).parents[3]


class Scripted(RecordingTransport):
    """Answers with each of the given responses or exceptions in turn, then with 200."""

    def __init__(self, *answers):
        super().__init__()
        self.answers = list(answers)
        self.threads = []

    def send(self, request):
        self.threads.append(threading.current_thread().name)
        super().send(request)
        answer = self.answers.pop(0) if self.answers else UploadResponse(200)
        if isinstance(answer, BaseException):
            raise answer
        return answer


def test_a_transport_gets_the_request_that_http_would_send(make, sink):
    """URL, headers, body, and the events before compression; the network sees nothing."""
    transport = RecordingTransport()
    client = make(transport=transport)
    identity = client.capture("checkout", distinct_id="u", properties={"total": 42})
    assert client.flush(20)
    [request] = transport.requests
    assert request.url == f"{sink.url}/batch/"
    assert request.headers["Content-Encoding"] == "gzip"
    assert request.headers["User-Agent"].startswith("hogline/")
    body = orjson.loads(gzip.decompress(request.body))
    assert body["batch"] == transport.events
    assert [event["uuid"] for event in transport.events] == [identity]
    assert sink.requests == []
    assert (client.stats().sent, client.stats().waiting) == (1, 0)


def test_a_transport_never_runs_on_the_thread_that_captures(make):
    """On the worker's, whose name says so."""
    transport = Scripted()
    client = make(transport=transport, flush_at=1)
    for n in range(5):
        client.capture(f"e{n}", distinct_id="u")
    assert client.flush(20)
    assert set(transport.threads) == {"hogline-worker"}


@pytest.mark.parametrize(
    "answer", [UploadResponse(None, text="no way"), UploadResponse(503), OSError("no way")], ids=str
)
def test_no_response_and_an_exception_are_retried(make, answer):
    """They are treated like an unreachable server.

    Nothing is lost, and the last error is known.
    """
    transport = Scripted(answer)
    client = make(transport=transport)
    client.capture("e", distinct_id="u")
    assert client.flush(20)
    first, second = transport.requests
    assert list(first.events) == list(second.events)
    stats = client.stats()
    assert (stats.sent, stats.retried, dict(stats.dropped)) == (1, 1, {})
    assert ("503" if answer == UploadResponse(503) else "no way") in stats.last_error


def test_a_final_status_drops_the_batch(make):
    """It is counted as rejected, and `on_error` gets the status."""
    errors = []
    client = make(
        transport=Scripted(UploadResponse(401, text="unknown token")), on_error=lambda *args: errors.append(args)
    )
    client.capture("e", distinct_id="u")
    assert client.flush(20)
    assert dict(client.stats().dropped) == {"rejected": 1}
    [(error, [event])] = errors
    assert (error.status, event["event"]) == (401, "e")


def test_a_transport_is_closed_when_the_last_of_its_clients_is_shut_down(make):
    """It is closed before `shutdown()` returns.

    One that never sent anything is closed too.
    """
    transport = RecordingTransport()
    first, second, other = (
        make(transport=transport),
        make(transport=transport),
        make(transport=(unused := RecordingTransport())),
    )
    first.capture("a", distinct_id="u")
    second.capture("b", distinct_id="u")
    assert first.shutdown(20)
    assert not transport.closed
    assert second.shutdown(20)
    assert transport.closed
    assert {event["event"] for event in transport.events} == {"a", "b"}
    assert other.shutdown(20)
    assert unused.closed


def test_a_transport_that_cannot_be_closed_stops_nobody(make, caplog):
    """The log says so."""

    class Broken(RecordingTransport):
        def close(self):
            raise OSError("stuck")

    client = make(transport=Broken())
    client.capture("a", distinct_id="u")
    assert client.shutdown(20)
    assert "closing the transport failed: OSError('stuck')" in caplog.text


@pytest.mark.parametrize("wrong", [object(), "http", RecordingTransport], ids=["an object", "a text", "a class"])
def test_what_is_no_transport_is_refused_where_the_client_is_made(wrong):
    """The error names the two methods that it needs."""
    with pytest.raises(
        SettingsError, match=r"transport must be an object with the methods send\(request\) and close\(\)"
    ):
        PostHog("phc_test", transport=wrong)


def test_the_protocol_is_checked_by_its_methods():
    """A type checker and `isinstance` agree on the default transport."""
    assert isinstance(HTTPTransport(), Transport)
    assert not isinstance(object(), Transport)


def test_capture_v1_goes_through_a_transport(make):
    """Its answer is read for each event."""

    class V1(RecordingTransport):
        def send(self, request):
            super().send(request)
            results = {orjson.loads(event)["uuid"]: {"result": "drop", "details": "no"} for event in request.events[:1]}
            return UploadResponse(200, orjson.dumps({"results": results}))

    transport = V1()
    client = make(transport=transport, capture_mode="v1")
    for name in ("bad", "good"):
        client.capture(name, distinct_id="u")
    assert client.flush(20)
    assert transport.requests[0].url.endswith("/i/v1/analytics/events")
    assert (client.stats().sent, dict(client.stats().dropped)) == (1, {"rejected": 1})


def test_the_file_of_json_lines_is_whole_when_the_process_ends(tmp_path):
    """The end of the process closes transports, without a call of `shutdown()`."""
    path = tmp_path / "events.jsonl"
    command = [sys.executable, str(ROOT / "examples" / "json_lines_transport.py"), str(path)]
    subprocess.run(command, cwd=ROOT, check=True, timeout=60)
    [event] = map(json.loads, path.read_text().splitlines())
    assert (event["event"], event["properties"]["total"]) == ("checkout", 42)


def test_json_lines_that_cannot_be_written_are_written_later(make, tmp_path):
    """The folder is not there yet when the first batch comes."""
    path = tmp_path / "later" / "events.jsonl"
    client = make(transport=JSONLinesTransport(str(path)))
    client.capture("e", distinct_id="u", properties={"text": "two\nlines"})
    assert client.flush(0.2) is False
    path.parent.mkdir()
    assert client.flush(20)
    assert [json.loads(line)["properties"]["text"] for line in path.read_text().splitlines()] == ["two\nlines"]


def test_batches_travel_through_a_serverless_queue(sink, monkeypatch):
    """The function's own flush hands them over, and the delivering function posts them.

    What fails is named.
    """
    messages = []
    sqs = types.SimpleNamespace(send_message=lambda **message: messages.append(message), close=lambda: None)
    monkeypatch.setitem(sys.modules, "boto3", types.SimpleNamespace(client=lambda _name: sqs))
    for name, value in {
        "EVENTS_QUEUE_URL": "https://sqs",
        "HOGLINE_PROJECT_TOKEN": "phc_test",
        "HOGLINE_HOST": sink.url,
    }.items():
        monkeypatch.setenv(name, value)
    import examples.serverless_transport as example

    request = {
        "version": "2.0",
        "rawPath": "/",
        "requestContext": {"http": {"method": "GET", "path": "/"}},
        "headers": {},
    }
    assert example.handler(request, types.SimpleNamespace(aws_request_id="1"))["statusCode"] == 200
    assert [message["QueueUrl"] for message in messages] == ["https://sqs"]
    assert sink.events == []
    records = {
        "Records": [{"messageId": f"m{n}", "body": message["MessageBody"]} for n, message in enumerate(messages)]
    }
    sink.answer(503)
    assert example.deliver(records, None) == {"batchItemFailures": [{"itemIdentifier": "m0"}]}
    assert example.deliver(records, None) == {"batchItemFailures": []}
    assert [event.event for event in sink.events] == ["checkout"]
    assert [request.status for request in sink.requests] == [503, 200]
    example.posthog.shutdown(5)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
def test_a_wrapped_http_transport_opens_a_connection_of_its_own_in_a_forked_child(sink):
    """The parent's connection would mix the answers of two processes."""
    script = """
        import os
        from hogline import PostHog
        from hogline.delivery.http_transport import HTTPTransport
        class Wrapped:
            def __init__(self): self.http = HTTPTransport()
            def send(self, request): return self.http.send(request)
            def close(self): self.http.close()
        client = PostHog("phc_test", host=os.environ["SINK"], transport=Wrapped())
        client.capture("parent", distinct_id="u")
        assert client.flush(20)
        pid = os.fork()
        client.capture("child" if pid == 0 else "parent again", distinct_id="u")
        assert client.flush(20)
        if pid == 0: os._exit(0)
        assert os.waitpid(pid, 0)[1] == 0
    """
    import textwrap

    subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)], env=os.environ | {"SINK": sink.url}, check=True, timeout=60
    )
    connections = {request.events[0].event: request.connection for request in sink.requests}
    assert set(connections) == {"parent", "child", "parent again"}
    assert connections["parent"] == connections["parent again"] != connections["child"]


def test_a_request_reads_well_in_a_log():
    """Bodies and events stay out of its repr, which a transport may log."""
    request = UploadRequest("http://localhost/batch/", {}, b"secret", [b"secret"])
    assert "secret" not in repr(request)
