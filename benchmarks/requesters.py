"""Send many requests to an empty app, and measure the CPU time that its process spent on them."""

import asyncio
import io
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

__all__ = ["HEADERS", "AsgiRequester", "ServerRequester", "WsgiRequester"]

HEADERS = {
    "host": "shop.example", "user-agent": "Mozilla/5.0 (X11; Linux x86_64)", "accept": "*/*", "accept-encoding": "gzip, br",
    "x-forwarded-for": "198.51.100.1", "x-posthog-session-id": "0192f0c0-0000-7000-8000-000000000000", "x-posthog-distinct-id": "alice",
    "x-posthog-window-id": "0192f0c0-0000-7000-8000-000000000001", "cookie": "a=b",
}  # fmt: skip
_START_S = 30.0


class AsgiRequester:
    """Calls an ASGI app in process, as a server would after the lifespan has started. No socket
    is involved.
    """

    def __init__(self, app: Any, query: str = "") -> None:
        self._app = app
        self._query = query.encode()
        self._loop = asyncio.new_event_loop()
        self._headers = [(name.encode(), value.encode()) for name, value in HEADERS.items()]
        self._loop.run_until_complete(self._start_up())

    def run(self, count: int) -> float:
        """Return the CPU seconds that *count* requests took."""
        return self._loop.run_until_complete(self._run(count))

    async def _run(self, count: int) -> float:
        never = asyncio.Event()
        bodies: list[dict[str, Any]] = []

        async def receive() -> dict[str, Any]:
            if not bodies:
                await never.wait()  # the client stays connected
            return bodies.pop()

        async def send(message: dict[str, Any]) -> None:
            assert message.get("status", 200) < 300, message

        app, headers, query = self._app, self._headers, self._query
        begun = time.process_time()
        for _ in range(count):
            scope = {
                "type": "http", "asgi": {"version": "3.0", "spec_version": "2.3"}, "http_version": "1.1", "method": "GET", "path": "/",
                "raw_path": b"/", "root_path": "", "query_string": query, "client": ("127.0.0.1", 5), "server": ("127.0.0.1", 80),
                "scheme": "http", "headers": headers, "state": {},
            }  # fmt: skip
            bodies[:] = [{"type": "http.request", "body": b"", "more_body": False}]
            await app(scope, receive, send)
        return time.process_time() - begun

    async def _start_up(self) -> None:
        """Run the app's lifespan until its startup is complete. Some frameworks and interceptors
        need it.
        """
        answered, never = asyncio.Event(), asyncio.Event()
        messages = [{"type": "lifespan.startup"}]

        async def receive() -> dict[str, Any]:
            if not messages:
                await never.wait()
            return messages.pop()

        async def send(message: dict[str, Any]) -> None:
            assert message["type"] == "lifespan.startup.complete", message
            answered.set()

        scope = {"type": "lifespan", "asgi": {"version": "3.0"}, "state": {}}
        self._lifespan = asyncio.ensure_future(self._app(scope, receive, send))
        waiting = asyncio.ensure_future(answered.wait())
        await asyncio.wait({self._lifespan, waiting}, timeout=_START_S, return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        if self._lifespan.done():
            self._lifespan.exception()  # an app without a lifespan raises; the exception is read so that asyncio does not log it


class WsgiRequester:
    """Calls a WSGI app in process, as a server would. No socket is involved."""

    def __init__(self, app: Any) -> None:
        self._app = app
        self._given = {f"HTTP_{name.upper().replace('-', '_')}": value for name, value in HEADERS.items()}

    def run(self, count: int) -> float:
        """Return the CPU seconds that *count* requests took."""

        def start_response(status: str, headers: Any, exc_info: Any = None) -> Callable[[bytes], None]:
            assert status.startswith("2"), status
            return lambda _: None

        app, given = self._app, self._given
        begun = time.process_time()
        for _ in range(count):
            environ = {
                "REQUEST_METHOD": "GET", "SCRIPT_NAME": "", "PATH_INFO": "/", "QUERY_STRING": "", "SERVER_NAME": "127.0.0.1", "SERVER_PORT": "80",
                "SERVER_PROTOCOL": "HTTP/1.1", "REMOTE_ADDR": "127.0.0.1", "wsgi.version": (1, 0), "wsgi.url_scheme": "http",
                "wsgi.input": io.BytesIO(), "wsgi.errors": sys.stderr, "wsgi.multithread": True, "wsgi.multiprocess": False,
                "wsgi.run_once": False, **given,
            }  # fmt: skip
            result = app(environ, start_response)
            for _chunk in result:
                pass
            if hasattr(result, "close"):
                result.close()
        return time.process_time() - begun


class ServerRequester:
    """Sends requests to a framework's own server from a separate process, whose CPU time is not
    counted.
    """

    def __init__(self, protocol: str, port: int) -> None:
        self._client = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.requesters", protocol, str(port)],
            cwd=Path(__file__).parents[1], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip

    def run(self, count: int) -> float:
        """Return the CPU seconds that this process, the server, spent on *count* requests."""
        begun = time.process_time()
        assert self._client.stdin is not None
        assert self._client.stdout is not None
        self._client.stdin.write(f"{count}\n")
        self._client.stdin.flush()
        if self._client.stdout.readline() != "done\n":
            raise SystemExit("the client process ended before it answered")
        return time.process_time() - begun


def serve_and(protocol: str, serve: Callable[[int], object], work: Callable[[ServerRequester], object]) -> None:
    """Call *serve* on the main thread, as servers require, and *work* on a daemon thread."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
    threading.Thread(target=lambda: work(ServerRequester(protocol, port)), daemon=True).start()
    serve(port)


def _client(send: Callable[[], object]) -> None:
    for line in sys.stdin:
        for _ in range(int(line)):
            send()
        print("done", flush=True)


def _http(port: int) -> Callable[[], object]:
    request = "\r\n".join(["GET / HTTP/1.1", *(f"{name}: {value}" for name, value in HEADERS.items()), "", ""]).encode()
    connection = _connect(port)

    def send() -> None:
        connection.sendall(request)
        answer = b""
        while b"\r\n\r\n" not in answer:  # the body is empty, so the head is the whole response
            chunk = connection.recv(65536)
            assert chunk, "the server closed the connection"
            answer += chunk
        assert answer.startswith(b"HTTP/1.1 2"), answer

    return send


def _grpc(port: int) -> Callable[[], object]:
    import grpc

    _connect(port).close()
    call = grpc.insecure_channel(f"127.0.0.1:{port}").unary_unary("/shop.Shop/Empty")
    metadata = [(name, value) for name, value in HEADERS.items() if name.startswith("x-")]
    return lambda: call(b"", metadata=metadata, timeout=_START_S)


def _connect(port: int) -> socket.socket:
    deadline_s = time.monotonic() + _START_S
    while True:
        try:
            return socket.create_connection(("127.0.0.1", port), timeout=_START_S)
        except ConnectionRefusedError:
            if time.monotonic() > deadline_s:
                raise
            time.sleep(0.05)


if __name__ == "__main__":
    _client({"own": _http, "grpc": _grpc}[sys.argv[1]](int(sys.argv[2])))
