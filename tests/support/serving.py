"""Serve a test's own app in this process: WSGI on one thread, so that leaks between requests show;
ASGI by uvicorn.
"""

import asyncio
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from dataclasses import dataclass, replace
from socketserver import TCPServer
from typing import Any, Literal
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

import uvicorn

import hogline
from hogline import PostHog
from tests.support.sink import Sink, SunkEvent

_WAIT_S = 30.0
VISITOR = {
    "X-POSTHOG-SESSION-ID": "session-a",
    "X-POSTHOG-DISTINCT-ID": "alice",
    "X-POSTHOG-WINDOW-ID": "window-a",
}


@dataclass(frozen=True)
class Answer:
    """One response as received, without the server's own `Date` and `Server`."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes

    @classmethod
    def read(cls, raw: bytes) -> "Answer":
        head, _, body = raw.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        headers = tuple((name, value.strip()) for name, _, value in (line.partition(":") for line in lines))
        return cls(int(first.split()[1]), tuple(h for h in headers if h[0] not in ("Date", "Server")), body)

    def header(self, name: str) -> str | None:
        return next((value for key, value in self.headers if key.lower() == name.lower()), None)


class Site:
    """An app that is being served, and the events of its requests."""

    def __init__(self, port: int, posthog: PostHog, sink: Sink) -> None:
        self.port = port
        self._posthog = posthog
        self._sink = sink

    def get(self, path: str, headers: dict[str, str] | None = None, *, host: str = "shop.example") -> Answer:
        """Send a request, and wait until the server has finished it."""
        with self.connect(path, headers, host=host) as connection:
            raw = b""
            while chunk := connection.recv(65536):
                raw += chunk
        return Answer.read(raw)

    def connect(self, path: str, headers: dict[str, str] | None = None, *, host: str = "shop.example") -> socket.socket:
        """Send a request, and let the caller read the response."""
        connection = socket.create_connection(("127.0.0.1", self.port), timeout=30)
        lines = [f"GET {path} HTTP/1.1", f"Host: {host}", "Connection: close"]
        lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
        connection.sendall("\r\n".join([*lines, "", ""]).encode("latin-1"))
        return connection

    @property
    def events(self) -> list[SunkEvent]:
        """All events captured so far, in order of arrival."""
        assert self._posthog.flush(20)
        return self._sink.events

    def wait_for(self, count: int) -> list[SunkEvent]:
        """Wait for *count* events and return all: some apps run on for a moment after their
        response was sent.
        """
        self._sink.wait_until(lambda: len(self.events) >= count, _WAIT_S)
        return self.events

    @property
    def exceptions(self) -> list[SunkEvent]:
        return [event for event in self.events if event.event == "$exception"]


@contextmanager
def serving(app: Any, posthog: PostHog, sink: Sink) -> Iterator[Site]:
    """Serve *app* on one thread, one request after the other."""

    class Handler(WSGIRequestHandler):
        def log_message(self, *args: object) -> None:
            """Log nothing."""

        def address_string(self) -> str:
            return str(self.client_address[0])

    class Server(WSGIServer):
        def server_bind(self) -> None:  # without looking up the machine's name
            TCPServer.server_bind(self)
            self.server_name, self.server_port = "127.0.0.1", self.server_address[1]
            self.setup_environ()

        def handle_error(self, request: object, address: object) -> None:
            """Log nothing: clients disconnect in the middle of responses."""

    server = Server(("127.0.0.1", 0), Handler)
    server.set_app(app)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield Site(server.server_address[1], posthog, sink)
    finally:
        server.shutdown()
        server.server_close()
        thread.join(20)


class AsgiSite(Site):
    """A site whose server sends chunked bodies."""

    def get(self, path: str, headers: dict[str, str] | None = None, *, host: str = "shop.example") -> Answer:
        answer = super().get(path, headers, host=host)
        if answer.header("Transfer-Encoding") != "chunked":
            return answer
        body, rest = b"", answer.body
        while rest:
            size, _, rest = rest.partition(b"\r\n")
            body, rest = body + rest[: int(size, 16)], rest[int(size, 16) + 2 :]
        return replace(answer, body=body)


@contextmanager
def serving_asgi(
    app: Any, posthog: PostHog, sink: Sink, lifespan: Literal["on", "off"] = "off", **options: Any
) -> Iterator[Site]:
    """Serve *app* with uvicorn and its *options*, on an event loop in a thread."""
    config = uvicorn.Config(
        app, host="127.0.0.1", port=0, log_config=None, lifespan=lifespan, loop="asyncio", **options
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=lambda: asyncio.run(server.serve()), daemon=True)
    thread.start()
    try:
        sink.wait_until(lambda: server.started, _WAIT_S)
        yield AsgiSite(server.servers[0].sockets[0].getsockname()[1], posthog, sink)
    finally:
        server.should_exit = True
        thread.join(_WAIT_S)


@contextmanager
def serving_own(start: Callable[[], AbstractAsyncContextManager[int]], posthog: PostHog, sink: Sink) -> Iterator[Site]:
    """Serve with a framework's own server, on an event loop in a thread; *start* opens it, yields
    its port, and closes it.
    """
    ports: list[int] = []
    failures: list[BaseException] = []
    end: list[Callable[[], object]] = []

    async def serve() -> None:
        over = asyncio.Event()
        async with start() as port:
            loop = asyncio.get_running_loop()
            end.append(lambda: loop.call_soon_threadsafe(over.set))
            ports.append(port)
            await over.wait()

    def run() -> None:
        try:
            asyncio.run(serve())
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        sink.wait_until(lambda: ports or failures, _WAIT_S)
        assert not failures, failures
        yield AsgiSite(ports[0], posthog, sink)
    finally:
        for call in end:
            call()
        thread.join(_WAIT_S)
    assert not failures, failures


def now() -> str | None:
    """Return the acting distinct id in the current context."""
    return hogline.get_context_distinct_id()
