"""The app on FastAPI."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

from fastapi import BackgroundTasks, FastAPI, HTTPException, Request, WebSocket, WebSocketException
from fastapi.responses import PlainTextResponse, StreamingResponse
from starlette.requests import ClientDisconnect

import hogline
from hogline import PostHog
from hogline.interceptors.fastapi import PostHogInterceptor
from tests.interceptors.apps import contract
from tests.interceptors.apps.contract import DomainError, boom, chunks, say


def build(client: PostHog, options: dict[str, Any] | None) -> FastAPI:
    shop = FastAPI(openapi_url=None, default_response_class=PlainTextResponse)
    for once in contract.installs(options):
        shop.add_middleware(PostHogInterceptor, client=client, **once)
    shop.add_exception_handler(DomainError, _answer)
    _add_plain(shop, client)
    _add_context(shop, client)
    _add_streams(shop, client)
    _add_concurrent(shop, client)
    _add_errors(shop, client)
    _add_strange_errors(shop)
    _add_sockets(shop, client)
    return shop


async def _answer(request: Request, error: Exception) -> PlainTextResponse:
    assert isinstance(error, DomainError)
    return PlainTextResponse("handled", error.status)


def _add_plain(shop: FastAPI, client: PostHog) -> None:
    @shop.get("/nothing")
    async def nothing() -> str:
        return "nothing"

    @shop.get("/capture")
    async def capture(rid: str) -> str:
        say(client, "captured", rid)
        return "ok"

    @shop.get("/items/{item_id}")
    async def item(item_id: str, rid: str) -> str:
        say(client, "captured", rid)
        return item_id

    @shop.post("/checkout")
    async def checkout(request: Request, rid: str) -> PlainTextResponse:
        body = await request.body()
        say(client, "checkout", rid)
        return PlainTextResponse(body)

    @shop.get("/who")
    async def who() -> str:
        return hogline.get_context_distinct_id() or "-"

    @shop.get("/headers")
    async def headers(rid: str) -> PlainTextResponse:
        say(client, "captured", rid)
        response = PlainTextResponse("headers", 201)
        response.raw_headers += [(name.lower().encode(), value.encode()) for name, value in contract.HEADERS]
        return response

    @shop.get("/sync")
    def synchronous(rid: str) -> str:
        say(client, "captured", rid)
        return "ok"

    @shop.get("/validate")
    async def validate(number: int) -> str:
        return str(number)


def _add_context(shop: FastAPI, client: PostHog) -> None:
    @shop.get("/tag")
    async def tag(rid: str) -> str:
        hogline.tag("colour", rid)
        say(client, "captured", rid)
        return "ok"

    @shop.get("/override")
    async def override(rid: str) -> str:
        client.capture("captured", distinct_id="caller", properties={"rid": rid, "$request_method": "CALLER"})
        return "ok"

    @shop.get("/context")
    async def context(rid: str) -> str:
        hogline.identify_context("context")
        hogline.set_context_session("context-session")
        say(client, "captured", rid)
        return "ok"

    @shop.get("/scope")
    async def scope(rid: str) -> str:
        with hogline.new_context(fresh=True):
            say(client, "inside", rid)
        say(client, "outside", rid)
        return "ok"

    @shop.get("/slow")
    async def slow(rid: str, delay_ms: int) -> str:
        await asyncio.sleep(delay_ms / 1000)
        say(client, "captured", rid)
        return rid


def _add_streams(shop: FastAPI, client: PostHog) -> None:
    @shop.get("/stream")
    async def stream(rid: str) -> StreamingResponse:
        async def body() -> AsyncIterator[bytes]:
            for chunk in chunks(client, rid):
                yield chunk
                await asyncio.sleep(0)

        return StreamingResponse(body())

    @shop.get("/stream-sync")
    def stream_sync(rid: str) -> StreamingResponse:
        return StreamingResponse(chunks(client, rid))

    @shop.get("/stream-error")
    async def stream_error(rid: str) -> StreamingResponse:
        async def body() -> AsyncIterator[bytes]:
            yield b"a"
            await asyncio.sleep(0)
            raise ValueError(boom(rid))

        return StreamingResponse(body())

    @shop.get("/stream-long")
    async def stream_long(rid: str) -> StreamingResponse:
        async def body() -> AsyncIterator[bytes]:
            try:
                for _ in range(contract.LONG_CHUNKS):
                    yield b"x" * contract.CHUNK_BYTES
                    await asyncio.sleep(contract.PAUSE_S)
            finally:
                say(client, "closed", rid)

        return StreamingResponse(body())

    @shop.get("/stream-long-sync")
    def stream_long_sync(rid: str) -> StreamingResponse:
        def body() -> Iterator[bytes]:
            try:
                for _ in range(contract.LONG_CHUNKS):
                    yield b"x" * contract.CHUNK_BYTES
                    time.sleep(contract.PAUSE_S)
            finally:
                say(client, "closed", rid)

        return StreamingResponse(body())


def _add_concurrent(shop: FastAPI, client: PostHog) -> None:
    waiting: set[asyncio.Task[None]] = set()

    @shop.get("/background")
    async def background(rid: str, tasks: BackgroundTasks) -> str:
        tasks.add_task(say, client, "later", rid)
        return "ok"

    @shop.get("/background-error")
    async def background_error(rid: str, tasks: BackgroundTasks) -> str:
        def fail() -> None:
            raise ValueError(boom(rid))

        tasks.add_task(fail)
        return "ok"

    @shop.get("/task")
    async def task(rid: str) -> str:
        async def later() -> None:
            await asyncio.sleep(0.3)
            say(client, "later", rid)

        started = asyncio.create_task(later())
        waiting.add(started)
        started.add_done_callback(waiting.discard)
        return "ok"

    @shop.get("/thread")
    async def thread(rid: str) -> str:
        await asyncio.to_thread(say, client, "in thread", rid)
        alone = threading.Thread(target=say, args=(client, "alone", rid))
        alone.start()
        await asyncio.to_thread(alone.join)
        return "ok"


def _add_errors(shop: FastAPI, client: PostHog) -> None:
    @shop.get("/error")
    async def error(rid: str) -> str:
        raise ValueError(boom(rid))

    @shop.get("/error-sync")
    def error_sync(rid: str) -> str:
        raise ValueError(boom(rid))

    @shop.get("/handled/{status}")
    async def handled(status: int) -> str:
        raise DomainError(status)

    @shop.get("/http/{status}")
    async def http(status: int) -> str:
        raise HTTPException(status, "no")

    @shop.get("/caught")
    async def caught(rid: str) -> str:
        try:
            raise ValueError(boom(rid))
        except ValueError as error:
            client.capture_exception(error, properties={"by": "hand", "rid": rid})
            raise


def _add_strange_errors(shop: FastAPI) -> None:
    routes = {
        "/lookalike": contract.UpstreamError,
        "/ignored": contract.IgnoredError,
        "/group": lambda: contract.group(ClientDisconnect()),
        "/group-noise": lambda: contract.noise_group(ClientDisconnect()),
        "/group-http": lambda: ExceptionGroup("http", [HTTPException(404)]),
        "/frozen": lambda: contract.FrozenError("frozen"),
        "/hostile": contract.HostileError,
        "/refusing": contract.RefusingError,
        "/reused": lambda: contract.REUSED,
        "/exit": SystemExit,
    }

    def add(path: str, make: Any) -> None:
        @shop.get(path)
        async def strange() -> str:
            raise make()

    for path, make in routes.items():
        add(path, make)


def _add_sockets(shop: FastAPI, client: PostHog) -> None:
    @shop.websocket("/ws")
    async def ws(socket: WebSocket, rid: str) -> None:
        await socket.accept()
        try:
            while True:
                text = await socket.receive_text()
                say(client, "message", rid)
                await socket.send_text(text)
        finally:
            say(client, "gone", rid)

    @shop.websocket("/ws-error")
    async def ws_error(socket: WebSocket, rid: str) -> None:
        await socket.accept()
        raise ValueError(boom(rid))

    @shop.websocket("/ws-refused")
    async def ws_refused(socket: WebSocket) -> None:
        raise WebSocketException(1008)


app = contract.serve_asgi(build, contract.of_request)
