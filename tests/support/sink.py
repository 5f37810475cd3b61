"""The sink: a real HTTP server that responds like PostHog and keeps the events, on which tests
assert.
"""

import threading
import time
import zlib
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import orjson


@dataclass(frozen=True)
class SunkEvent:
    """One event as it arrived."""

    event: str
    distinct_id: str
    properties: dict[str, Any]
    uuid: str
    timestamp: str
    raw: dict[str, Any]


@dataclass(frozen=True)
class SunkRequest:
    """One request as it arrived; `body` is decompressed and decoded."""

    method: str
    path: str
    headers: dict[str, str]
    body: Any
    size_bytes: int
    at_s: float
    status: int
    connection: int
    verdicts: dict[str, str]
    """The result of each event, if the response has results (capture v1)."""

    @property
    def events(self) -> list[SunkEvent]:
        """The events that were accepted."""
        batch = self.body.get("batch", []) if isinstance(self.body, dict) else []
        batch = [item for item in batch if self.verdicts.get(item["uuid"]) not in ("drop", "retry")]
        return [
            SunkEvent(
                event=item["event"],
                distinct_id=item["distinct_id"],
                properties=item["properties"],
                uuid=item["uuid"],
                timestamp=item["timestamp"],
                raw=item,
            )
            for item in batch
        ]


@dataclass
class _Answer:
    status: int
    headers: dict[str, str]
    body: bytes | None
    delay_s: float
    verdict: Callable[[dict[str, Any]], str]
    path: str = ""

    def content(self, verdicts: dict[str, str]) -> bytes:
        if self.body is not None:
            return self.body
        if verdicts:
            return orjson.dumps({"results": {identity: {"result": verdict} for identity, verdict in verdicts.items()}})
        return b'{"status": 1}'


def _ok(_event: dict[str, Any]) -> str:
    return "ok"


def _answer(status: int, body: bytes | None, headers: dict[str, str] | None = None) -> _Answer:
    return _Answer(status, headers or {}, body, 0.0, _ok)


def _is_v1(path: str) -> bool:
    return path.rstrip("/").endswith("/i/v1/analytics/events")


def _decompressed(raw: bytes, encoding: str) -> bytes:
    if encoding == "zstd":
        from backports import zstd

        return zstd.decompress(raw)
    if encoding == "deflate":
        return zlib.decompress(raw)  # fails on raw deflate, as PostHog's server does
    return zlib.decompress(raw, 31) if encoding == "gzip" else raw


class Sink:
    """Responds to every POST with 200 `{"status": 1}`, or "ok" for each event of capture v1;
    `answer()` changes that.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._answers: deque[_Answer] = deque()
        self.flags: dict[str, Any] = {}  # the flags in responses of `/flags/`: keys to values, or to whole records
        self.flags_more: dict[str, Any] = {}  # other fields of that response
        self.definitions: dict[str, Any] | None = None  # the response of `/flags/definitions`; None means 401
        self.remote_config: dict[str, bytes] = {}
        self.requests: list[SunkRequest] = []
        sink = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_POST(self) -> None:
                sink._receive(self)

            do_GET = do_POST  # noqa: N815 - the name that http.server calls

            def log_message(self, *args: object) -> None:
                """Log nothing: tests read `requests`."""

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 128

            def handle_error(self, request: object, address: object) -> None:
                """Log nothing: clients under test are killed in the middle of requests."""

        self._server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()

    def _receive(self, handler: BaseHTTPRequestHandler) -> None:
        raw = handler.rfile.read(int(handler.headers.get("Content-Length") or 0))
        plain = _decompressed(raw, handler.headers.get("Content-Encoding") or "")
        body = orjson.loads(plain) if plain else None
        with self._changed:
            answer = next((one for one in self._answers if handler.path.startswith(one.path)), None)
            if answer is not None:
                self._answers.remove(answer)
            else:
                answer = self._usual_answer(handler)
            judged = answer.status == 200 and answer.body is None and _is_v1(handler.path)
            verdicts = {event["uuid"]: answer.verdict(event) for event in body["batch"]} if judged else {}
            self.requests.append(
                SunkRequest(
                    method=handler.command,
                    path=handler.path,
                    headers={name.lower(): value for name, value in handler.headers.items()},
                    body=body,
                    size_bytes=len(raw),
                    at_s=time.monotonic(),
                    status=answer.status,
                    connection=handler.client_address[1],
                    verdicts=verdicts,
                )
            )
            self._changed.notify_all()
        if answer.delay_s:
            time.sleep(answer.delay_s)
        handler.send_response(answer.status)
        for name, value in answer.headers.items():
            handler.send_header(name, value)
        content = answer.content(verdicts)
        handler.send_header("Content-Length", str(len(content)))
        handler.end_headers()
        handler.wfile.write(content)

    def answer(
        self,
        status: int,
        *,
        times: int = 1,
        headers: dict[str, str] | None = None,
        body: bytes | None = b"",
        delay_s: float = 0.0,
        verdict: Callable[[dict[str, Any]], str] | None = None,
        path: str = "",
    ) -> None:
        """Respond to the next *times* requests, to a path that begins with *path*, in this way.

        With a *verdict*, capture v1 gets its result for each event.
        """
        with self._changed:
            answer = _Answer(status, headers or {}, None if verdict else body, delay_s, verdict or _ok, path)
            self._answers.extend([answer] * times)

    def _usual_answer(self, handler: BaseHTTPRequestHandler) -> _Answer:
        path = handler.path.partition("?")[0]
        if path == "/flags/":
            return _answer(200, orjson.dumps(self._flags_answer()), {})
        if path == "/flags/definitions":
            return self._definitions_answer(handler)
        if path.endswith("/remote_config"):
            body = self.remote_config.get(path.split("/")[-2])
            return _answer(404, b"{}", {}) if body is None else _answer(200, body, {})
        return _answer(200, None)

    def _flags_answer(self) -> dict[str, Any]:
        records = {}
        for key, value in self.flags.items():
            variant = value if isinstance(value, str) else None
            made = {
                "key": key,
                "enabled": value is not False,
                "variant": variant,
                "reason": {"code": "condition_match", "description": "Matched condition set 1"},
                "metadata": {"id": 7, "version": 2},
            }
            records[key] = value if isinstance(value, dict) else made
        more = {"errorsWhileComputingFlags": False, "requestId": "r-1", "evaluatedAt": 1790000000000}
        return {"flags": records, **more, **self.flags_more}

    def _definitions_answer(self, handler: BaseHTTPRequestHandler) -> _Answer:
        if self.definitions is None:
            return _answer(401, b'{"detail": "no such key"}', {})
        body = orjson.dumps(self.definitions)
        etag = f'W/"{zlib.crc32(body):x}"'
        unchanged = handler.headers.get("If-None-Match") == etag
        return _answer(304, b"", {"ETag": etag}) if unchanged else _answer(200, body, {"ETag": etag})

    def asked(self, path: str) -> list[SunkRequest]:
        """Return the requests to *path*, without its query."""
        with self._changed:
            return [request for request in self.requests if request.path.partition("?")[0] == path]

    @property
    def events(self) -> list[SunkEvent]:
        """The events of all requests that succeeded, in order of arrival."""
        with self._changed:
            return [event for request in self.requests if 200 <= request.status < 300 for event in request.events]

    def named(self, name: str) -> list[SunkEvent]:
        return [event for event in self.events if event.event == name]

    def wait_for(self, count: int, timeout_s: float = 20.0, *, name: str | None = None) -> list[SunkEvent]:
        """Wait until at least *count* events (of that *name*) have arrived, and return them all."""
        self.wait_until(lambda: len(self.named(name) if name else self.events) >= count, timeout_s)
        return self.named(name) if name else self.events

    def wait_until(self, condition: Any, timeout_s: float = 20.0) -> None:
        """Wait until *condition()* is true; otherwise fail the test and show the events that
        arrived.
        """
        deadline_s = time.monotonic() + timeout_s
        while not condition():
            rest_s = deadline_s - time.monotonic()
            if rest_s <= 0:
                arrived = [event.event for event in self.events]
                raise AssertionError(
                    f"waited {timeout_s} s in vain; arrived: {arrived}, requests: {len(self.requests)}"
                )
            with self._changed:
                self._changed.wait(min(rest_s, 0.2))

    def clear(self) -> None:
        """Forget all requests and planned responses."""
        with self._changed:
            self.requests.clear()
            self._answers.clear()

    def stop(self) -> None:
        """Close the socket; later connections are refused."""
        self._server.shutdown()
        self._server.server_close()


def person_of(event: SunkEvent) -> str | None:
    """Return the distinct id of an event, or None for a personless one."""
    return None if event.properties.get("$process_person_profile") is False else event.distinct_id


def names(events: Sequence[SunkEvent]) -> list[str]:
    return [event.event for event in events]


def exception_of(event: SunkEvent) -> tuple[str, bool, int]:
    """Return an exception event's type, whether it was handled, and the response's status."""
    assert event.event == "$exception"
    first = event.properties["$exception_list"][0]
    return first["type"], first["mechanism"]["handled"], event.properties.get("$response_status_code")
