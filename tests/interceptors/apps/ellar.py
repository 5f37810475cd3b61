"""The app on Ellar."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

from ellar.app import AppFactory
from ellar.common import IHostContext, Inject, ModuleRouter
from ellar.common.exceptions import HTTPException, WebSocketException
from ellar.core import Request
from ellar.core.connection import WebSocket
from ellar.core.exceptions import as_exception_handler
from starlette.background import BackgroundTask
from starlette.requests import ClientDisconnect
from starlette.responses import PlainTextResponse, StreamingResponse

import hogline
from hogline import PostHog
from hogline.interceptors.ellar import PostHogInterceptor
from tests.interceptors.apps import contract
from tests.interceptors.apps.contract import DomainError, boom, chunks, say


def build(client: PostHog, options: dict[str, Any] | None) -> Any:
    shop = ModuleRouter("/")
    _add_plain(shop, client)
    _add_context(shop, client)
    _add_streams(shop, client)
    _add_concurrent(shop, client)
    _add_errors(shop, client)
    _add_strange_errors(shop)
    _add_sockets(shop, client)
    app = AppFactory.create_app(routers=[shop], config_module={"EXCEPTION_HANDLERS": [_answer]})
    app.use_global_interceptors(*(PostHogInterceptor(client=client, **once) for once in contract.installs(options)))
    return app


@as_exception_handler(DomainError)
async def _answer(context: IHostContext, error: DomainError) -> PlainTextResponse:
    return PlainTextResponse("handled", error.status)


def _add_plain(shop: ModuleRouter, client: PostHog) -> None:
    @shop.get("/nothing")
    async def nothing() -> PlainTextResponse:
        return PlainTextResponse("nothing")

    @shop.get("/capture")
    async def capture(rid: str) -> PlainTextResponse:
        say(client, "captured", rid)
        return PlainTextResponse("ok")

    @shop.get("/items/{item_id}")
    async def item(item_id: str, rid: str) -> PlainTextResponse:
        say(client, "captured", rid)
        return PlainTextResponse(item_id)

    @shop.post("/checkout")
    async def checkout(request: Inject[Request], rid: str) -> PlainTextResponse:
        body = await request.body()
        say(client, "checkout", rid)
        return PlainTextResponse(body)

    @shop.get("/who")
    async def who() -> PlainTextResponse:
        return PlainTextResponse(hogline.get_context_distinct_id() or "-")

    @shop.get("/headers")
    async def headers(rid: str) -> PlainTextResponse:
        say(client, "captured", rid)
        response = PlainTextResponse("headers", 201)
        response.raw_headers += [(name.lower().encode(), value.encode()) for name, value in contract.HEADERS]
        return response

    @shop.get("/sync")
    def synchronous(rid: str) -> PlainTextResponse:
        say(client, "captured", rid)
        return PlainTextResponse("ok")

    @shop.get("/validate")
    async def validate(number: int) -> PlainTextResponse:
        return PlainTextResponse(str(number))


def _add_context(shop: ModuleRouter, client: PostHog) -> None:
    @shop.get("/tag")
    async def tag(rid: str) -> PlainTextResponse:
        hogline.tag("colour", rid)
        say(client, "captured", rid)
        return PlainTextResponse("ok")

    @shop.get("/override")
    async def override(rid: str) -> PlainTextResponse:
        client.capture("captured", distinct_id="caller", properties={"rid": rid, "$request_method": "CALLER"})
        return PlainTextResponse("ok")

    @shop.get("/context")
    async def context(rid: str) -> PlainTextResponse:
        hogline.identify_context("context")
        hogline.set_context_session("context-session")
        say(client, "captured", rid)
        return PlainTextResponse("ok")

    @shop.get("/scope")
    async def scope(rid: str) -> PlainTextResponse:
        with hogline.new_context(fresh=True):
            say(client, "inside", rid)
        say(client, "outside", rid)
        return PlainTextResponse("ok")

    @shop.get("/slow")
    async def slow(rid: str, delay_ms: int) -> PlainTextResponse:
        await asyncio.sleep(delay_ms / 1000)
        say(client, "captured", rid)
        return PlainTextResponse(rid)


def _add_streams(shop: ModuleRouter, client: PostHog) -> None:
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


def _add_concurrent(shop: ModuleRouter, client: PostHog) -> None:
    waiting: set[asyncio.Task[None]] = set()

    @shop.get("/background")
    async def background(rid: str) -> PlainTextResponse:
        return PlainTextResponse("ok", background=BackgroundTask(say, client, "later", rid))

    @shop.get("/background-error")
    async def background_error(rid: str) -> PlainTextResponse:
        def fail() -> None:
            raise ValueError(boom(rid))

        return PlainTextResponse("ok", background=BackgroundTask(fail))

    @shop.get("/task")
    async def task(rid: str) -> PlainTextResponse:
        async def later() -> None:
            await asyncio.sleep(0.3)
            say(client, "later", rid)

        started = asyncio.create_task(later())
        waiting.add(started)
        started.add_done_callback(waiting.discard)
        return PlainTextResponse("ok")

    @shop.get("/thread")
    async def thread(rid: str) -> PlainTextResponse:
        await asyncio.to_thread(say, client, "in thread", rid)
        alone = threading.Thread(target=say, args=(client, "alone", rid))
        alone.start()
        await asyncio.to_thread(alone.join)
        return PlainTextResponse("ok")


def _add_errors(shop: ModuleRouter, client: PostHog) -> None:
    @shop.get("/error")
    async def error(rid: str) -> PlainTextResponse:
        raise ValueError(boom(rid))

    @shop.get("/error-sync")
    def error_sync(rid: str) -> PlainTextResponse:
        raise ValueError(boom(rid))

    @shop.get("/handled/{status}")
    async def handled(status: int) -> PlainTextResponse:
        raise DomainError(status)

    @shop.get("/http/{status}")
    async def http(status: int) -> PlainTextResponse:
        raise HTTPException(status, "no")

    @shop.get("/caught")
    async def caught(rid: str) -> PlainTextResponse:
        try:
            raise ValueError(boom(rid))
        except ValueError as error:
            client.capture_exception(error, properties={"by": "hand", "rid": rid})
            raise


def _add_strange_errors(shop: ModuleRouter) -> None:
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
        async def strange() -> PlainTextResponse:
            raise make()

    for path, make in routes.items():
        add(path, make)


def _add_sockets(shop: ModuleRouter, client: PostHog) -> None:
    @shop.ws_route("/ws")
    async def ws(socket: Inject[WebSocket], rid: str) -> None:
        await socket.accept()
        try:
            while True:
                text = await socket.receive_text()
                say(client, "message", rid)
                await socket.send_text(text)
        finally:
            say(client, "gone", rid)

    @shop.ws_route("/ws-error")
    async def ws_error(socket: Inject[WebSocket], rid: str) -> None:
        await socket.accept()
        raise ValueError(boom(rid))

    @shop.ws_route("/ws-refused")
    async def ws_refused(socket: Inject[WebSocket]) -> None:
        raise WebSocketException(1008)


app = contract.serve_asgi(build, contract.of_request)
