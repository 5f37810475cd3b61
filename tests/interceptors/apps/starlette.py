"""The app on Starlette, its routes inside a mount so that templates have a prefix to find."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.exceptions import HTTPException, WebSocketException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, StreamingResponse
from starlette.routing import Mount, Route, Router, WebSocketRoute
from starlette.websockets import WebSocket

import hogline
from hogline import PostHog
from hogline.interceptors.starlette import PostHogInterceptor
from tests.interceptors.apps import contract
from tests.interceptors.apps.contract import DomainError, boom, chunks, say


def build(client: PostHog, options: dict[str, Any] | None) -> Starlette:
    views = _Views(client)
    routes: list[Any] = [
        Route("/nothing", views.nothing),
        Route("/capture", views.capture),
        Route("/checkout", views.checkout, methods=["POST"]),
        Route("/who", views.who),
        Route("/headers", views.headers),
        Route("/tag", views.tag),
        Route("/override", views.override),
        Route("/context", views.context),
        Route("/scope", views.scope),
        Route("/slow", views.slow),
        Route("/sync", views.sync),
        Route("/stream", views.stream),
        Route("/stream-sync", views.stream_sync),
        Route("/stream-error", views.stream_error),
        Route("/stream-long", views.stream_long),
        Route("/stream-long-sync", views.stream_long_sync),
        Route("/background", views.background),
        Route("/background-error", views.background_error),
        Route("/task", views.task),
        Route("/thread", views.thread),
        Route("/error", views.error),
        Route("/error-sync", views.error_sync),
        Route("/handled/{status:int}", views.handled),
        Route("/http/{status:int}", views.http),
        Route("/caught", views.caught),
        *(Route(path, _raising(make)) for path, make in _STRANGE.items()),
        Mount("/items", Router([Route("/{item_id}", views.item)])),
        WebSocketRoute("/ws", views.ws),
        WebSocketRoute("/ws-error", views.ws_error),
        WebSocketRoute("/ws-refused", views.ws_refused),
    ]
    shop = Starlette(routes=routes, exception_handlers={DomainError: _answer})
    for once in contract.installs(options):
        shop.add_middleware(PostHogInterceptor, client=client, **once)
    return shop


_STRANGE = {
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


def _raising(make: Any) -> Any:
    async def strange(request: Request) -> PlainTextResponse:
        raise make()

    return strange


def _answer(request: Request, error: Exception) -> PlainTextResponse:
    """A synchronous handler, which Starlette runs in a thread."""
    assert isinstance(error, DomainError)
    assert threading.current_thread() is not threading.main_thread()
    return PlainTextResponse("handled", error.status)


def _rid(request: Request | WebSocket) -> str:
    return request.query_params.get("rid", "")


class _Views:
    def __init__(self, client: PostHog) -> None:
        self._client = client
        self._waiting: set[asyncio.Task[None]] = set()

    def _captured(self, request: Request, body: str = "ok") -> PlainTextResponse:
        say(self._client, "captured", _rid(request))
        return PlainTextResponse(body)

    async def nothing(self, request: Request) -> PlainTextResponse:
        return PlainTextResponse("nothing")

    async def capture(self, request: Request) -> PlainTextResponse:
        return self._captured(request)

    async def item(self, request: Request) -> PlainTextResponse:
        return self._captured(request, request.path_params["item_id"])

    async def checkout(self, request: Request) -> PlainTextResponse:
        body = await request.body()
        say(self._client, "checkout", _rid(request))
        return PlainTextResponse(body)

    async def who(self, request: Request) -> PlainTextResponse:
        return PlainTextResponse(hogline.get_context_distinct_id() or "-")

    async def headers(self, request: Request) -> PlainTextResponse:
        say(self._client, "captured", _rid(request))
        response = PlainTextResponse("headers", 201)
        response.raw_headers += [(name.lower().encode(), value.encode()) for name, value in contract.HEADERS]
        return response

    async def tag(self, request: Request) -> PlainTextResponse:
        hogline.tag("colour", _rid(request))
        return self._captured(request)

    async def override(self, request: Request) -> PlainTextResponse:
        self._client.capture(
            "captured", distinct_id="caller", properties={"rid": _rid(request), "$request_method": "CALLER"}
        )
        return PlainTextResponse("ok")

    async def context(self, request: Request) -> PlainTextResponse:
        hogline.identify_context("context")
        hogline.set_context_session("context-session")
        return self._captured(request)

    async def scope(self, request: Request) -> PlainTextResponse:
        with hogline.new_context(fresh=True):
            say(self._client, "inside", _rid(request))
        say(self._client, "outside", _rid(request))
        return PlainTextResponse("ok")

    async def slow(self, request: Request) -> PlainTextResponse:
        await asyncio.sleep(int(request.query_params["delay_ms"]) / 1000)
        return self._captured(request, _rid(request))

    def sync(self, request: Request) -> PlainTextResponse:
        return self._captured(request)

    async def stream(self, request: Request) -> StreamingResponse:
        async def body() -> AsyncIterator[bytes]:
            for chunk in chunks(self._client, _rid(request)):
                yield chunk
                await asyncio.sleep(0)

        return StreamingResponse(body())

    async def stream_sync(self, request: Request) -> StreamingResponse:
        return StreamingResponse(chunks(self._client, _rid(request)))

    async def stream_error(self, request: Request) -> StreamingResponse:
        async def body() -> AsyncIterator[bytes]:
            yield b"a"
            raise ValueError(boom(_rid(request)))

        return StreamingResponse(body())

    async def stream_long(self, request: Request) -> StreamingResponse:
        async def body() -> AsyncIterator[bytes]:
            try:
                for _ in range(contract.LONG_CHUNKS):
                    yield b"x" * contract.CHUNK_BYTES
                    await asyncio.sleep(contract.PAUSE_S)
            finally:
                say(self._client, "closed", _rid(request))

        return StreamingResponse(body())

    async def stream_long_sync(self, request: Request) -> StreamingResponse:
        def body() -> Iterator[bytes]:
            try:
                for _ in range(contract.LONG_CHUNKS):
                    yield b"x" * contract.CHUNK_BYTES
                    time.sleep(contract.PAUSE_S)
            finally:
                say(self._client, "closed", _rid(request))

        return StreamingResponse(body())

    async def background(self, request: Request) -> PlainTextResponse:
        return PlainTextResponse("ok", background=BackgroundTask(say, self._client, "later", _rid(request)))

    async def background_error(self, request: Request) -> PlainTextResponse:
        async def fail() -> None:
            raise ValueError(boom(_rid(request)))

        return PlainTextResponse("ok", background=BackgroundTask(fail))

    async def task(self, request: Request) -> PlainTextResponse:
        async def later() -> None:
            await asyncio.sleep(0.3)
            say(self._client, "later", _rid(request))

        started = asyncio.create_task(later())
        self._waiting.add(started)
        started.add_done_callback(self._waiting.discard)
        return PlainTextResponse("ok")

    async def thread(self, request: Request) -> PlainTextResponse:
        await asyncio.to_thread(say, self._client, "in thread", _rid(request))
        alone = threading.Thread(target=say, args=(self._client, "alone", _rid(request)))
        alone.start()
        await asyncio.to_thread(alone.join)
        return PlainTextResponse("ok")

    async def error(self, request: Request) -> PlainTextResponse:
        raise ValueError(boom(_rid(request)))

    def error_sync(self, request: Request) -> PlainTextResponse:
        raise ValueError(boom(_rid(request)))

    async def handled(self, request: Request) -> PlainTextResponse:
        raise DomainError(request.path_params["status"])

    async def http(self, request: Request) -> PlainTextResponse:
        raise HTTPException(request.path_params["status"], "no")

    async def caught(self, request: Request) -> PlainTextResponse:
        try:
            raise ValueError(boom(_rid(request)))
        except ValueError as error:
            self._client.capture_exception(error, properties={"by": "hand", "rid": _rid(request)})
            raise

    async def ws(self, socket: WebSocket) -> None:
        await socket.accept()
        try:
            while True:
                text = await socket.receive_text()
                say(self._client, "message", _rid(socket))
                await socket.send_text(text)
        finally:
            say(self._client, "gone", _rid(socket))

    async def ws_error(self, socket: WebSocket) -> None:
        await socket.accept()
        raise ValueError(boom(_rid(socket)))

    async def ws_refused(self, socket: WebSocket) -> None:
        raise WebSocketException(1008)


app = contract.serve_asgi(build, contract.of_request)
