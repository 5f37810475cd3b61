"""The app on Litestar, its items inside a router so that templates have a prefix to find."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

from litestar import Litestar, Request, Response, Router, WebSocket, get, post, websocket
from litestar.background_tasks import BackgroundTask
from litestar.exceptions import HTTPException, NotFoundException, WebSocketDisconnect, WebSocketException
from litestar.response import Stream
from litestar.response.base import ASGIResponse

import hogline
from hogline import PostHog
from hogline.interceptors.litestar import PostHogInterceptor
from tests.interceptors.apps import contract
from tests.interceptors.apps.contract import DomainError, boom, chunks, say

TEXT = "text/plain"


def _gone() -> WebSocketDisconnect:
    return WebSocketDisconnect(detail="gone", code=1001)


_STRANGE = {
    "/lookalike": contract.UpstreamError,
    "/ignored": contract.IgnoredError,
    "/group": lambda: contract.group(_gone()),
    "/group-noise": lambda: contract.noise_group(_gone()),
    "/group-http": lambda: ExceptionGroup("http", [NotFoundException()]),
    "/frozen": lambda: contract.FrozenError("frozen"),
    "/hostile": contract.HostileError,
    "/refusing": contract.RefusingError,
    "/reused": lambda: contract.REUSED,
    "/exit": SystemExit,
}


def _answer(request: Request, error: DomainError) -> Response:
    return Response("handled", media_type=TEXT, status_code=error.status)


def build(client: PostHog, options: dict[str, Any] | None) -> Litestar:
    plugins = [PostHogInterceptor(client=client, **once) for once in contract.installs(options)]
    shop = Litestar(
        [
            *_plain(client),
            *_context(client),
            *_streams(client),
            *_later(client),
            *_errors(client),
            *_sockets(client),
            *(_raising(path, make) for path, make in _STRANGE.items()),
        ],
        exception_handlers={DomainError: _answer},
        plugins=plugins,
        logging_config=None,
        openapi_config=None,
    )
    for plugin in plugins:
        plugin.install(shop)  # only one of the apps behind the front socket is told that the server starts
    return shop


def _raising(path: str, make: Any) -> Any:
    @get(path)
    async def strange() -> None:
        raise make()

    return strange


def _rid(request: Any) -> str:
    return request.query_params.get("rid", "")


def _plain(client: PostHog) -> list[Any]:
    @get("/nothing", media_type=TEXT)
    async def nothing() -> str:
        return "nothing"

    @get("/capture", media_type=TEXT)
    async def capture(request: Request) -> str:
        say(client, "captured", _rid(request))
        return "ok"

    @get("/sync", media_type=TEXT, sync_to_thread=True)
    def sync(request: Request) -> str:
        say(client, "captured", _rid(request))
        return "ok"

    @get("/{item_id:str}", media_type=TEXT)
    async def item(request: Request, item_id: str) -> str:
        say(client, "captured", _rid(request))
        return item_id

    @post("/checkout", status_code=200, media_type="application/octet-stream")
    async def checkout(request: Request) -> bytes:
        body = await request.body()
        say(client, "checkout", _rid(request))
        return body

    @get("/who", media_type=TEXT)
    async def who() -> str:
        return hogline.get_context_distinct_id() or "-"

    @get("/headers", media_type=TEXT)
    async def headers(request: Request) -> ASGIResponse:
        say(client, "captured", _rid(request))
        # Litestar's own Response keeps its headers in a mapping.
        encoded = [(name.lower().encode(), value.encode()) for name, value in contract.HEADERS]
        return ASGIResponse(body=b"headers", status_code=201, encoded_headers=encoded)

    @get("/validate", media_type=TEXT)
    async def validate(number: int) -> str:
        return str(number)

    return [nothing, capture, sync, Router("/items", route_handlers=[item]), checkout, who, headers, validate]


def _context(client: PostHog) -> list[Any]:
    @get("/tag", media_type=TEXT)
    async def tag(request: Request) -> str:
        hogline.tag("colour", _rid(request))
        say(client, "captured", _rid(request))
        return "ok"

    @get("/override", media_type=TEXT)
    async def override(request: Request) -> str:
        client.capture("captured", distinct_id="caller", properties={"rid": _rid(request), "$request_method": "CALLER"})
        return "ok"

    @get("/context", media_type=TEXT)
    async def context(request: Request) -> str:
        hogline.identify_context("context")
        hogline.set_context_session("context-session")
        say(client, "captured", _rid(request))
        return "ok"

    @get("/scope", media_type=TEXT)
    async def scoped(request: Request) -> str:
        with hogline.new_context(fresh=True):
            say(client, "inside", _rid(request))
        say(client, "outside", _rid(request))
        return "ok"

    @get("/slow", media_type=TEXT)
    async def slow(request: Request, delay_ms: int) -> str:
        await asyncio.sleep(delay_ms / 1000)
        say(client, "captured", _rid(request))
        return _rid(request)

    return [tag, override, context, scoped, slow]


def _streams(client: PostHog) -> list[Any]:
    @get("/stream", media_type=TEXT)
    async def stream(request: Request) -> Stream:
        async def body() -> AsyncIterator[bytes]:
            for chunk in chunks(client, _rid(request)):
                yield chunk
                await asyncio.sleep(0)

        return Stream(body())

    @get("/stream-sync", media_type=TEXT)
    async def stream_sync(request: Request) -> Stream:
        return Stream(chunks(client, _rid(request)))

    @get("/stream-error", media_type=TEXT)
    async def stream_error(request: Request) -> Stream:
        async def body() -> AsyncIterator[bytes]:
            yield b"a"
            raise ValueError(boom(_rid(request)))

        return Stream(body())

    @get("/stream-long", media_type=TEXT)
    async def stream_long(request: Request) -> Stream:
        async def body() -> AsyncIterator[bytes]:
            try:
                for _ in range(contract.LONG_CHUNKS):
                    yield b"x" * contract.CHUNK_BYTES
                    await asyncio.sleep(contract.PAUSE_S)
            finally:
                say(client, "closed", _rid(request))

        return Stream(body())

    @get("/stream-long-sync", media_type=TEXT)
    async def stream_long_sync(request: Request) -> Stream:
        def body() -> Iterator[bytes]:
            try:
                for _ in range(contract.LONG_CHUNKS):
                    yield b"x" * contract.CHUNK_BYTES
                    time.sleep(contract.PAUSE_S)
            finally:
                say(client, "closed", _rid(request))

        return Stream(body())

    return [stream, stream_sync, stream_error, stream_long, stream_long_sync]


def _later(client: PostHog) -> list[Any]:
    waiting: set[asyncio.Task[None]] = set()

    @get("/background", media_type=TEXT)
    async def background(request: Request) -> Response[str]:
        return Response("ok", media_type=TEXT, background=BackgroundTask(_say, client, "later", _rid(request)))

    @get("/background-error", media_type=TEXT)
    async def background_error(request: Request) -> Response[str]:
        async def fail() -> None:
            raise ValueError(boom(_rid(request)))

        return Response("ok", media_type=TEXT, background=BackgroundTask(fail))

    @get("/task", media_type=TEXT)
    async def task(request: Request) -> str:
        rid = _rid(request)

        async def later() -> None:
            await asyncio.sleep(0.3)
            say(client, "later", rid)

        started = asyncio.create_task(later())
        waiting.add(started)
        started.add_done_callback(waiting.discard)
        return "ok"

    @get("/thread", media_type=TEXT)
    async def thread(request: Request) -> str:
        await asyncio.to_thread(say, client, "in thread", _rid(request))
        alone = threading.Thread(target=say, args=(client, "alone", _rid(request)))
        alone.start()
        await asyncio.to_thread(alone.join)
        return "ok"

    return [background, background_error, task, thread]


async def _say(client: PostHog, event: str, rid: str) -> None:
    say(client, event, rid)


def _errors(client: PostHog) -> list[Any]:
    @get("/error", media_type=TEXT)
    async def error(request: Request) -> str:
        raise ValueError(boom(_rid(request)))

    @get("/error-sync", media_type=TEXT, sync_to_thread=True)
    def error_sync(request: Request) -> str:
        raise ValueError(boom(_rid(request)))

    @get("/handled/{status:int}", media_type=TEXT)
    async def handled(status: int) -> str:
        raise DomainError(status)

    @get("/http/{status:int}", media_type=TEXT)
    async def http(status: int) -> str:
        raise HTTPException("no", status_code=status)

    @get("/caught", media_type=TEXT)
    async def caught(request: Request) -> str:
        try:
            raise ValueError(boom(_rid(request)))
        except ValueError as error:
            client.capture_exception(error, properties={"by": "hand", "rid": _rid(request)})
            raise

    return [error, error_sync, handled, http, caught]


def _sockets(client: PostHog) -> list[Any]:
    @websocket("/ws")
    async def ws(socket: WebSocket) -> None:
        await socket.accept()
        try:
            while True:
                text = await socket.receive_text()
                say(client, "message", _rid(socket))
                await socket.send_text(text)
        finally:
            say(client, "gone", _rid(socket))

    @websocket("/ws-error")
    async def ws_error(socket: WebSocket) -> None:
        await socket.accept()
        raise ValueError(boom(_rid(socket)))

    @websocket("/ws-refused")
    async def ws_refused(socket: WebSocket) -> None:
        raise WebSocketException(detail="no", code=1008)

    return [ws, ws_error, ws_refused]


app = contract.serve_asgi(build, contract.of_request)
