"""The app on PyNest: controllers of a module; its sockets are its FastAPI server's."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

from fastapi import BackgroundTasks, FastAPI, HTTPException, Request, WebSocket, WebSocketException
from fastapi.responses import PlainTextResponse, StreamingResponse
from nest.common.exceptions import ExceptionFilter
from nest.core import Controller, Get, Module, Post, PyNestFactory
from nest.core.decorators.filters import Catch
from starlette.requests import ClientDisconnect

import hogline
from hogline import PostHog
from hogline.interceptors.pynest import PostHogInterceptor
from tests.interceptors.apps import contract
from tests.interceptors.apps.contract import DomainError, boom, chunks, say


def build(client: PostHog, options: dict[str, Any] | None) -> FastAPI:
    groups = (_plain, _context, _streams, _concurrent, _errors)

    @Module(controllers=[*(group(client) for group in groups), _strange_errors()])
    class Shop:
        pass

    shop = PyNestFactory.create(Shop, openapi_url=None, default_response_class=PlainTextResponse)
    for once in contract.installs(options):
        shop.use(PostHogInterceptor, client=client, **once)
    shop.use_global_filters(_Answers())
    _add_sockets(shop.get_server(), client)
    return shop.get_server()


@Catch(DomainError)
class _Answers(ExceptionFilter):
    def catch(self, exception: DomainError, host: Any) -> PlainTextResponse:
        return PlainTextResponse("handled", exception.status)


def _plain(client: PostHog) -> type:
    @Controller("/")
    class Plain:
        @Get("/nothing")
        async def nothing(self) -> str:
            return "nothing"

        @Get("/capture")
        async def capture(self, rid: str) -> str:
            say(client, "captured", rid)
            return "ok"

        @Get("/items/{item_id}")
        async def item(self, item_id: str, rid: str) -> str:
            say(client, "captured", rid)
            return item_id

        @Post("/checkout")
        async def checkout(self, request: Request, rid: str) -> PlainTextResponse:
            body = await request.body()
            say(client, "checkout", rid)
            return PlainTextResponse(body)

        @Get("/who")
        async def who(self) -> str:
            return hogline.get_context_distinct_id() or "-"

        @Get("/headers")
        async def headers(self, rid: str) -> PlainTextResponse:
            say(client, "captured", rid)
            response = PlainTextResponse("headers", 201)
            response.raw_headers += [(name.lower().encode(), value.encode()) for name, value in contract.HEADERS]
            return response

        @Get("/sync")
        def synchronous(self, rid: str) -> str:
            say(client, "captured", rid)
            return "ok"

        @Get("/validate")
        async def validate(self, number: int) -> str:
            return str(number)

    return Plain


def _context(client: PostHog) -> type:
    @Controller("/")
    class Context:
        @Get("/tag")
        async def tag(self, rid: str) -> str:
            hogline.tag("colour", rid)
            say(client, "captured", rid)
            return "ok"

        @Get("/override")
        async def override(self, rid: str) -> str:
            client.capture("captured", distinct_id="caller", properties={"rid": rid, "$request_method": "CALLER"})
            return "ok"

        @Get("/context")
        async def context(self, rid: str) -> str:
            hogline.identify_context("context")
            hogline.set_context_session("context-session")
            say(client, "captured", rid)
            return "ok"

        @Get("/scope")
        async def scope(self, rid: str) -> str:
            with hogline.new_context(fresh=True):
                say(client, "inside", rid)
            say(client, "outside", rid)
            return "ok"

        @Get("/slow")
        async def slow(self, rid: str, delay_ms: int) -> str:
            await asyncio.sleep(delay_ms / 1000)
            say(client, "captured", rid)
            return rid

    return Context


def _streams(client: PostHog) -> type:
    @Controller("/")
    class Streams:
        @Get("/stream")
        async def stream(self, rid: str) -> StreamingResponse:
            async def body() -> AsyncIterator[bytes]:
                for chunk in chunks(client, rid):
                    yield chunk
                    await asyncio.sleep(0)

            return StreamingResponse(body())

        @Get("/stream-sync")
        def stream_sync(self, rid: str) -> StreamingResponse:
            return StreamingResponse(chunks(client, rid))

        @Get("/stream-error")
        async def stream_error(self, rid: str) -> StreamingResponse:
            async def body() -> AsyncIterator[bytes]:
                yield b"a"
                await asyncio.sleep(0)
                raise ValueError(boom(rid))

            return StreamingResponse(body())

        @Get("/stream-long")
        async def stream_long(self, rid: str) -> StreamingResponse:
            async def body() -> AsyncIterator[bytes]:
                try:
                    for _ in range(contract.LONG_CHUNKS):
                        yield b"x" * contract.CHUNK_BYTES
                        await asyncio.sleep(contract.PAUSE_S)
                finally:
                    say(client, "closed", rid)

            return StreamingResponse(body())

        @Get("/stream-long-sync")
        def stream_long_sync(self, rid: str) -> StreamingResponse:
            def body() -> Iterator[bytes]:
                try:
                    for _ in range(contract.LONG_CHUNKS):
                        yield b"x" * contract.CHUNK_BYTES
                        time.sleep(contract.PAUSE_S)
                finally:
                    say(client, "closed", rid)

            return StreamingResponse(body())

    return Streams


def _concurrent(client: PostHog) -> type:
    waiting: set[asyncio.Task[None]] = set()

    @Controller("/")
    class Concurrent:
        @Get("/background")
        async def background(self, rid: str, tasks: BackgroundTasks) -> str:
            tasks.add_task(say, client, "later", rid)
            return "ok"

        @Get("/background-error")
        async def background_error(self, rid: str, tasks: BackgroundTasks) -> str:
            def fail() -> None:
                raise ValueError(boom(rid))

            tasks.add_task(fail)
            return "ok"

        @Get("/task")
        async def task(self, rid: str) -> str:
            async def later() -> None:
                await asyncio.sleep(0.3)
                say(client, "later", rid)

            started = asyncio.create_task(later())
            waiting.add(started)
            started.add_done_callback(waiting.discard)
            return "ok"

        @Get("/thread")
        async def thread(self, rid: str) -> str:
            await asyncio.to_thread(say, client, "in thread", rid)
            alone = threading.Thread(target=say, args=(client, "alone", rid))
            alone.start()
            await asyncio.to_thread(alone.join)
            return "ok"

    return Concurrent


def _errors(client: PostHog) -> type:
    @Controller("/")
    class Errors:
        @Get("/error")
        async def error(self, rid: str) -> str:
            raise ValueError(boom(rid))

        @Get("/error-sync")
        def error_sync(self, rid: str) -> str:
            raise ValueError(boom(rid))

        @Get("/handled/{status}")
        async def handled(self, status: int) -> str:
            raise DomainError(status)

        @Get("/http/{status}")
        async def http(self, status: int) -> str:
            raise HTTPException(status, "no")

        @Get("/caught")
        async def caught(self, rid: str) -> str:
            try:
                raise ValueError(boom(rid))
            except ValueError as error:
                client.capture_exception(error, properties={"by": "hand", "rid": rid})
                raise

    return Errors


def _strange_errors() -> type:
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

    def raising(path: str, make: Any) -> Any:
        @Get(path)
        async def strange(self: Any) -> str:
            raise make()

        return strange

    return Controller("/")(type("Strange", (), {path[1:]: raising(path, make) for path, make in routes.items()}))


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
