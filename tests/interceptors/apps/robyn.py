"""The app on Robyn, which serves one app in a process.

Each option set has a process of its own, behind one front socket.
"""

import asyncio
import contextlib
import logging
import os
import queue
import signal
import socket
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any
from urllib.request import ProxyHandler, build_opener

from robyn import Headers, Request, Response, Robyn, StreamingResponse

import hogline
from hogline import PostHog
from hogline.context import current
from hogline.interceptors.robyn import PostHogInterceptor
from tests.interceptors.apps import contract
from tests.interceptors.apps.contract import DomainError, boom, chunks, say

_WAIT_S = 30.0
_STRANGE = {
    "/lookalike": contract.UpstreamError,
    "/ignored": contract.IgnoredError,
    "/frozen": lambda: contract.FrozenError("frozen"),
    "/hostile": contract.HostileError,
    "/refusing": contract.RefusingError,
    "/reused": lambda: contract.REUSED,
    "/exit": SystemExit,
}
_open = build_opener(ProxyHandler({})).open


def build(client: PostHog, options: dict[str, Any] | None) -> Robyn:
    logging.getLogger("robyn").setLevel(logging.CRITICAL)
    shop = Robyn(__file__)
    shop.config.disable_openapi = True
    for once in contract.installs(options):
        PostHogInterceptor(shop, client=client, **once)
    _add_plain(shop, client)
    _add_context(shop, client)
    _add_streams(shop, client)
    _add_later(shop, client)
    _add_errors(shop, client)
    for path, make in _STRANGE.items():
        shop.get(path)(_raising(make))

    @shop.exception  # for the routes that are added after it, and for whatever they raise
    def handle(error: Any) -> Response:
        return Response(error.status, {}, "handled")

    @shop.get("/handled/:status")
    async def handled(request: Request) -> str:
        raise DomainError(int(request.path_params["status"]))

    return shop


def _raising(make: Any) -> Callable[..., Any]:
    async def strange() -> str:
        raise make()

    return strange


def _rid(request: Request) -> str:
    return request.query_params.get("rid", "") or ""


def _add_plain(shop: Robyn, client: PostHog) -> None:
    @shop.get("/nothing")
    async def nothing() -> str:
        return "nothing"

    @shop.get("/capture")
    async def capture(request: Request) -> str:
        say(client, "captured", _rid(request))
        return "ok"

    @shop.get("/sync")
    def sync(request: Request) -> str:
        say(client, "captured", _rid(request))
        return "ok"

    @shop.get("/items/:item_id")
    async def item(request: Request) -> str:
        say(client, "captured", _rid(request))
        return request.path_params["item_id"]

    @shop.post("/checkout")
    async def checkout(request: Request) -> Any:
        say(client, "checkout", _rid(request))
        return request.body

    @shop.get("/who")
    async def who() -> str:
        return hogline.get_context_distinct_id() or "-"

    @shop.get("/headers")
    async def headers(request: Request) -> Response:
        say(client, "captured", _rid(request))
        said = Headers({})
        for name, value in contract.HEADERS:
            said.append(name, value)
        return Response(201, said, "headers")


def _add_context(shop: Robyn, client: PostHog) -> None:
    @shop.get("/tag")
    async def tag(request: Request) -> str:
        hogline.tag("colour", _rid(request))
        say(client, "captured", _rid(request))
        return "ok"

    @shop.get("/override")
    async def override(request: Request) -> str:
        properties = {"rid": _rid(request), "$request_method": "CALLER"}
        client.capture("captured", distinct_id="caller", properties=properties)
        return "ok"

    @shop.get("/context")
    async def context(request: Request) -> str:
        hogline.identify_context("context")
        hogline.set_context_session("context-session")
        say(client, "captured", _rid(request))
        return "ok"

    @shop.get("/scope")
    async def scope(request: Request) -> str:
        with hogline.new_context(fresh=True):
            say(client, "inside", _rid(request))
        say(client, "outside", _rid(request))
        return "ok"

    @shop.get("/slow")
    async def slow(request: Request) -> str:
        await asyncio.sleep(int(request.query_params.get("delay_ms", "1") or "1") / 1000)
        say(client, "captured", _rid(request))
        return _rid(request)


def _add_streams(shop: Robyn, client: PostHog) -> None:
    @shop.get("/stream")
    async def stream(request: Request) -> StreamingResponse:
        async def body(rid: str) -> AsyncIterator[str]:
            for chunk in chunks(client, rid):
                yield chunk.decode()

        return StreamingResponse(body(_rid(request)), media_type="text/plain")

    @shop.get("/stream-sync")
    def stream_sync(request: Request) -> StreamingResponse:
        body = (chunk.decode() for chunk in chunks(client, _rid(request)))
        return StreamingResponse(body, media_type="text/plain")

    @shop.get("/stream-error")  # synchronous: of an asynchronous one, old versions let go of what it raises
    def stream_error(request: Request) -> StreamingResponse:
        def body(rid: str) -> Iterator[str]:
            yield "a"
            raise ValueError(boom(rid))

        return StreamingResponse(body(_rid(request)), media_type="text/plain")

    @shop.get("/stream-long")
    def stream_long(request: Request) -> StreamingResponse:
        def body(rid: str) -> Iterator[str]:
            try:
                for _ in range(contract.LONG_CHUNKS):
                    yield "x" * contract.CHUNK_BYTES
                    time.sleep(contract.PAUSE_S)
            finally:
                say(client, "closed", rid)

        return StreamingResponse(body(_rid(request)), media_type="text/plain")


_waiting: set[asyncio.Task[None]] = set()


def _add_later(shop: Robyn, client: PostHog) -> None:
    @shop.get("/task")
    async def task(request: Request) -> str:
        async def later(rid: str) -> None:
            await asyncio.sleep(0.3)
            say(client, "later", rid)

        started = asyncio.create_task(later(_rid(request)))
        _waiting.add(started)
        started.add_done_callback(_waiting.discard)
        return "ok"

    @shop.get("/thread")
    async def thread(request: Request) -> str:
        rid = _rid(request)
        await asyncio.to_thread(say, client, "in thread", rid)
        alone = threading.Thread(target=say, args=(client, "alone", rid))
        alone.start()
        await asyncio.to_thread(alone.join)
        return "ok"


def _add_errors(shop: Robyn, client: PostHog) -> None:
    @shop.get("/error")
    async def error(request: Request) -> str:
        raise ValueError(boom(_rid(request)))

    @shop.get("/error-sync")
    def error_sync(request: Request) -> str:
        raise ValueError(boom(_rid(request)))

    @shop.get("/caught")
    async def caught(request: Request) -> str:
        try:
            raise ValueError(boom(_rid(request)))
        except ValueError as mistake:
            client.capture_exception(mistake, properties={"by": "hand", "rid": _rid(request)})
            raise


def _header(request: Request, name: str) -> str | None:
    return request.headers.get(name)


def _serve(name: str, port: int) -> None:
    """Be the process of one option set."""
    apps = contract.Apps(build, _header)
    shop = apps.named(name)

    @shop.get("/-/:what")
    def answer(request: Request) -> Response:
        query = f"call={request.query_params.get('call', '') or ''}"
        what = request.path_params["what"]
        body = apps.answer(f"/-/{what}", query)
        if what == "alive" and body is not None and current.get() is not None:
            body = b"%d" % (int(body) - 2)  # the exchange and the context of this very question
        return Response(200 if body is not None else 404, {}, body or b"")

    shop.start(host="127.0.0.1", port=port)


class _Processes:
    """The processes behind the front socket, a `SharedSocket`.

    The main thread forks each of them when its option set is first requested.
    """

    def __init__(self) -> None:
        self._running: dict[str, tuple[int, int]] = {}  # the process, and its port
        self._wanted: queue.Queue[tuple[str, queue.Queue[int]]] = queue.Queue()
        self.port = contract.SharedSocket(self, self.accept).port  # type: ignore[arg-type]

    def answer(self, path: str, query: str) -> bytes | None:
        """Answer for all processes: the last value where it is text, the sum where it is a
        number.
        """
        if path == "/-/pid":  # the front process's, or that of the option set that is named
            running = self._running.get(query.removeprefix("of="))
            return b"%d" % (running[0] if running else os.getpid())
        said = []
        for _, port in list(self._running.values()):
            with contextlib.suppress(OSError):  # it may have ended of what it was asked
                said.append(_open(f"http://127.0.0.1:{port}{path}?{query}", timeout=_WAIT_S).read())
        if path == "/-/flush":
            return b"flushed" if all(word == b"flushed" for word in said) else b"not flushed"
        return b"%d" % sum(int(number) for number in said)

    def accept(self, name: str, connection: socket.socket) -> None:
        """Hand what a connection says to the process of its option set, and back."""
        port: queue.Queue[int] = queue.Queue()
        self._wanted.put((name, port))
        inner = _connected(port.get(timeout=_WAIT_S))
        threading.Thread(target=_pump, args=(inner, connection), daemon=True).start()
        _pump(connection, inner)

    def serve(self) -> None:
        """Fork until a signal comes, which is then theirs too."""
        try:
            for name in ("default", "absent", "twice"):  # tests give these little time to answer
                self._running[name] = _forked(name)
            for _, port in self._running.values():
                _connected(port).close()
            print(f"http://127.0.0.1:{self.port}", flush=True)
            while True:
                name, answer = self._wanted.get()
                if name not in self._running or os.waitpid(self._running[name][0], os.WNOHANG)[0]:
                    self._running[name] = _forked(name)
                answer.put(self._running[name][1])
        finally:
            for pid, _ in self._running.values():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGINT)
            for pid, _ in self._running.values():
                with contextlib.suppress(ChildProcessError):
                    os.waitpid(pid, 0)


def _forked(name: str) -> tuple[int, int]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
    pid = os.fork()
    if pid:
        return pid, port
    try:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        _serve(name, port)
    finally:
        os._exit(0)


def _connected(port: int) -> socket.socket:
    deadline_s = time.monotonic() + _WAIT_S
    while True:
        try:
            return socket.create_connection(("127.0.0.1", port))
        except OSError:
            if time.monotonic() > deadline_s:
                raise
            time.sleep(0.01)


def _pump(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while chunk := source.recv(65536):
            target.sendall(chunk)
    for end in (source, target):
        with contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)


if __name__ == "__main__":
    sys.argv = sys.argv[:1]  # Robyn reads it
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with contextlib.suppress(KeyboardInterrupt):
        _Processes().serve()
