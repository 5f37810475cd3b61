"""A site: one framework's app on one real server, and the events of its requests at the sink.

Each request carries a unique id (`rid`), so that tests can share a server: `site.events(answer)`
are the events of one request.
"""

import http.client
import itertools
import os
import socket
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self, TypeVar

from tests.support.frameworks import Framework
from tests.support.servers import Server, start_server
from tests.support.sink import Sink, SunkEvent

HOST = "shop.example"
WAIT_S = 20.0
_SILENT_S = 3.0  # waitress never closes the connection of a thread that exited
_ALIVE = 4  # the most servers of one test process; the least recently used one is stopped
_rids = itertools.count(1)
_F = TypeVar("_F", bound=Callable[..., Any])


def needs(*features: str) -> Callable[[_F], _F]:
    """Run only for the frameworks that have all of *features*."""

    def note(function: _F) -> _F:
        function.needs = features  # type: ignore[attr-defined]
        return function

    return note


def on_every_server(function: _F) -> _F:
    """Mark a promise that depends on the server too: it runs on every server of a row.

    Other promises run on the first server of a row that has what they need; `nox -s nightly` runs
    all on every server.
    """
    function.on_every_server = True  # type: ignore[attr-defined]
    return function


def new_rid() -> str:
    return f"r{os.getpid()}x{next(_rids)}."


def visitor(name: str) -> list[tuple[str, str]]:
    """Return the headers that posthog-js puts on the requests of *name*."""
    return [
        ("X-POSTHOG-SESSION-ID", f"session-{name}"),
        ("X-POSTHOG-DISTINCT-ID", name),
        ("X-POSTHOG-WINDOW-ID", f"window-{name}"),
    ]


@dataclass(frozen=True)
class Answer:
    """One response as received."""

    rid: str
    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes
    complete: bool = True

    @property
    def shape(self) -> tuple[Any, ...]:
        """The response without the headers in which a server names itself and the time."""
        return (
            self.status,
            [h for h in self.headers if h[0].lower() not in ("date", "server")],
            self.body,
            self.complete,
        )


class Connection:
    """A keep-alive connection, on which a test controls every byte."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=WAIT_S)
        self._reader = self._socket.makefile("rb")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def send(self, raw: bytes) -> None:
        self._socket.sendall(raw)

    def read(self, rid: str, method: str = "GET") -> Answer:
        """Read one response, to its end or the connection's."""
        response = http.client.HTTPResponse(_Lent(self._reader), method=method)  # type: ignore[arg-type]
        response.begin()
        complete = True
        try:
            body = response.read()
        except http.client.IncompleteRead as cut:
            body, complete = cut.partial, False
        return Answer(rid, response.status, tuple(response.getheaders()), body, complete)

    def receive(self, size: int) -> bytes:
        """Read *size* bytes."""
        return self._reader.read(size)

    def begin(self) -> bytes:
        """Read the start of the status line; b"" if the connection closes first."""
        self._socket.settimeout(_SILENT_S)
        try:
            return self._reader.read(12)
        except (ConnectionError, TimeoutError):
            return b""

    def close(self) -> None:
        self._reader.close()
        self._socket.close()


class _Lent:
    """A reader that stays open after a response, so that the next response begins where the last
    ended.
    """

    def __init__(self, reader: Any) -> None:
        self._reader = reader

    def makefile(self, _mode: str) -> "_Lent":
        return self

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reader, name)

    def close(self) -> None:
        """Leave the reader open."""


def request_bytes(
    path: str,
    rid: str,
    *,
    method: str = "GET",
    headers: Iterable[tuple[str, str | bytes]] = (),
    options: str = "default",
    body: bytes | None = None,
    host: str | None = HOST,
    close: bool = True,
) -> bytes:
    """Return the bytes of a request; header values may be any bytes."""
    lines = [f"{method} {path}{'&' if '?' in path else '?'}rid={rid} HTTP/1.1".encode()]
    if host is not None:
        lines.append(b"Host: " + host.encode("latin-1"))
    lines.append(f"X-Options: {options}".encode())
    for name, value in headers:
        lines.append(name.encode() + b": " + (value if isinstance(value, bytes) else value.encode("latin-1")))
    if close:
        lines.append(b"Connection: close")
    if body is not None:
        lines.append(b"Content-Length: %d" % len(body))
    return b"\r\n".join([*lines, b"", body or b""])


class Site:
    """An app that is being served."""

    def __init__(self, framework: Framework, server: Server, sink: Sink) -> None:
        self.framework = framework
        self.server = server
        self.sink = sink

    @classmethod
    def start(cls, framework: Framework, server_name: str, log_path: Path, **environ: str) -> "Site":
        """Start a server and a sink for it; *environ* is added to the server's environment."""
        sink = Sink()
        try:
            environ = {"SINK": sink.url, **framework.environ, **environ}
            return cls(framework, start_server(server_name, framework.app, log_path, environ), sink)
        except BaseException:
            sink.stop()
            raise

    def stop(self) -> None:
        """Stop the server after its queued events have arrived."""
        try:
            self.server.stop()
        finally:
            self.sink.stop()

    def __repr__(self) -> str:
        return f"{self.framework.name} on {self.server.name}"

    def ask(self, path: str, **request: Any) -> Answer:
        """Send a request on a new connection and read the response; keywords are those of
        `request_bytes`.
        """
        rid = request.pop("rid", None) or new_rid()
        with self.connect() as connection:
            connection.send(request_bytes(path, rid, **request))
            answer = connection.read(rid, request.get("method", "GET"))
        return replace(answer, headers=tuple(sorted(answer.headers))) if self.framework.unordered else answer

    def connect(self) -> Connection:
        try:
            return Connection(self.server.port)
        except OSError as error:
            raise AssertionError(f"{self!r} does not answer:\n{self.server.log[-3000:]}") from error

    def end_of(self, path: str, **request: Any) -> bytes:
        """Send a request and return the start of the response; b"" if the connection closes or
        hangs without one.
        """
        with self.connect() as connection:
            connection.send(request_bytes(path, request.pop("rid", None) or new_rid(), **request))
            return connection.begin()

    def answers(self) -> bool:
        """Return whether the server responds; some end a worker and start another."""
        try:
            return self.ask("/who").status == 200
        except (OSError, AssertionError, http.client.HTTPException):
            return False

    def flush(self) -> None:
        """Have the process flush its queued events."""
        with self.connect() as connection:
            connection.send(f"GET /-/flush HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n".encode())
            assert connection.read("-").body == b"flushed"

    def alive(self) -> int:
        """Return how many contexts and exchanges the process holds. The server must have one
        process.
        """
        with self.connect() as connection:
            connection.send(f"GET /-/alive HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n".encode())
            return int(connection.read("-").body)

    def asked(self, call: str) -> int:
        """Return how often callbacks ran in requests with the header X-Call: *call*."""
        with self.connect() as connection:
            connection.send(f"GET /-/calls?call={call} HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n".encode())
            return int(connection.read("-").body)

    def arrived(self, rid: str) -> list[SunkEvent]:
        """Return the arrived events of one request, found by the test's id or by the URL."""
        return [event for event in self.sink.events if _rid_of(event) == rid]

    def events(self, answer: Answer | str, count: int) -> list[SunkEvent]:
        """Return the events of one request: wait for *count*, and check that there are no more."""
        rid = answer if isinstance(answer, str) else answer.rid
        deadline_s = time.monotonic() + WAIT_S
        self.flush()
        while len(self.arrived(rid)) < count and time.monotonic() < deadline_s:
            time.sleep(0.02)
            self.flush()
        self.flush()
        events = self.arrived(rid)
        assert len(events) == count, f"{self!r}: {len(events)} events instead of {count}: {events}"
        return events

    def event(self, answer: Answer | str) -> SunkEvent:
        """Return the one event of a request."""
        return self.events(answer, 1)[0]

    def complaints(self) -> list[str]:
        """Return faults in the log, and events that belong to no request."""
        without_request = [event for event in self.sink.events if _rid_of(event) is None]
        found = [*self.server.complaints(), *(f"event of no request: {event.raw}"[:2000] for event in without_request)]
        return [f"{self!r}: {text}" for text in found]


class Sites:
    """The servers of one test process, started on first use and kept for later tests."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._running: OrderedDict[tuple[str, str], Site] = OrderedDict()
        self._number = itertools.count(1)
        self._complaints: list[str] = []

    def get(self, framework: Framework, server_name: str) -> Site:
        key = framework.name, server_name
        if key not in self._running:
            while len(self._running) >= _ALIVE:
                self._stop(next(iter(self._running)))
            log_path = self._folder / f"{framework.name}-{server_name}-{next(self._number)}.log"
            self._running[key] = Site.start(framework, server_name, log_path)
        self._running.move_to_end(key)
        return self._running[key]

    def stop(self) -> None:
        """Stop all servers. Fails if one of them had a fault in any test."""
        while self._running:
            self._stop(next(iter(self._running)))
        assert not self._complaints, "\n".join(self._complaints[:20])

    def _stop(self, key: tuple[str, str]) -> None:
        site = self._running.pop(key)
        site.stop()
        self._complaints += site.complaints()


def _rid_of(event: SunkEvent) -> str | None:
    said = event.properties.get("rid")
    if said is None:
        url = event.properties.get("$current_url", "")
        said = url.partition("rid=")[2].partition("&")[0] or None
    return said
