"""The app on BlackSheep."""

import asyncio
import logging
import threading
from collections.abc import AsyncIterator
from typing import Any

from blacksheep import Application, Content, Request, Response, Router, StreamedContent, TextContent, WebSocket, text
from blacksheep.exceptions import HTTPException, MessageAborted, NotFound

import hogline
from hogline import PostHog
from hogline.interceptors.blacksheep import PostHogInterceptor
from tests.interceptors.apps import contract
from tests.interceptors.apps.contract import DomainError, boom, chunks, say


def build(client: PostHog, options: dict[str, Any] | None) -> Any:
    logging.getLogger("blacksheep.server").setLevel(logging.CRITICAL)
    shop = Application(router=Router())
    shop.logger.setLevel(logging.CRITICAL)
    shop.exceptions_handlers[DomainError] = _answer
    shop.exceptions_handlers[499] = _closed  # a status that Python has no phrase for
    _add_plain(shop.router, client)
    _add_context(shop.router, client)
    _add_streams(shop.router, client)
    _add_later(shop.router, client)
    _add_errors(shop.router, client)
    _add_sockets(shop.router, client)
    for path, make in _STRANGE.items():
        shop.router.add_get(path, _raising(make))
    layered: Any = shop
    for once in contract.installs(options):
        layered = PostHogInterceptor(layered, client=client, **once)
    return _Started(shop, layered)


class _Started:
    """Start an app at its first request.

    Old versions wait for a lifespan, and the server runs one for the first app only.
    """

    def __init__(self, shop: Application, layered: Any) -> None:
        self._shop = shop
        self._layered = layered

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "lifespan" and not self._shop.started:
            await self._shop.start()
        await self._layered(scope, receive, send)


_STRANGE = {
    "/lookalike": contract.UpstreamError,
    "/ignored": contract.IgnoredError,
    "/group": lambda: contract.group(MessageAborted()),
    "/group-noise": lambda: contract.noise_group(MessageAborted()),
    "/group-http": lambda: ExceptionGroup("http", [NotFound()]),
    "/frozen": lambda: contract.FrozenError("frozen"),
    "/hostile": contract.HostileError,
    "/refusing": contract.RefusingError,
    "/reused": lambda: contract.REUSED,
    "/exit": SystemExit,
}


def _raising(make: Any) -> Any:
    async def strange() -> Response:
        raise make()

    return strange


async def _answer(app: Any, request: Request, error: DomainError) -> Response:
    return text("handled", error.status)


async def _closed(app: Any, request: Request, error: HTTPException) -> Response:
    return Response(499, content=TextContent("no"))


def _rid(request: Request) -> str:
    return (request.query.get("rid") or [""])[0]


def _add_plain(router: Any, client: PostHog) -> None:
    @router.get("/nothing")
    async def nothing() -> Response:
        return text("nothing")

    @router.get("/capture")
    async def capture(request: Request) -> Response:
        say(client, "captured", _rid(request))
        return text("ok")

    @router.get("/items/:item_id")
    async def item(request: Request, item_id: str) -> Response:
        say(client, "captured", _rid(request))
        return text(item_id)

    @router.post("/checkout")
    async def checkout(request: Request) -> Response:
        body = await request.read() or b""
        say(client, "checkout", _rid(request))
        return Response(200, content=Content(b"application/octet-stream", body))

    @router.get("/who")
    async def who() -> Response:
        return text(hogline.get_context_distinct_id() or "-")

    @router.get("/headers")
    async def headers(request: Request) -> Response:
        say(client, "captured", _rid(request))
        response = text("headers", 201)
        for name, value in contract.HEADERS:
            response.headers.add(name.encode(), value.encode())
        return response

    @router.get("/validate")
    async def validate(number: int) -> Response:
        return text(str(number))


def _add_context(router: Any, client: PostHog) -> None:
    @router.get("/tag")
    async def tag(request: Request) -> Response:
        hogline.tag("colour", _rid(request))
        say(client, "captured", _rid(request))
        return text("ok")

    @router.get("/override")
    async def override(request: Request) -> Response:
        client.capture("captured", distinct_id="caller", properties={"rid": _rid(request), "$request_method": "CALLER"})
        return text("ok")

    @router.get("/context")
    async def context(request: Request) -> Response:
        hogline.identify_context("context")
        hogline.set_context_session("context-session")
        say(client, "captured", _rid(request))
        return text("ok")

    @router.get("/scope")
    async def scope(request: Request) -> Response:
        with hogline.new_context(fresh=True):
            say(client, "inside", _rid(request))
        say(client, "outside", _rid(request))
        return text("ok")

    @router.get("/slow")
    async def slow(request: Request, delay_ms: int) -> Response:
        await asyncio.sleep(delay_ms / 1000)
        say(client, "captured", _rid(request))
        return text(_rid(request))


def _streamed(body: Any) -> Response:
    return Response(200, content=StreamedContent(b"text/plain", body))


def _add_streams(router: Any, client: PostHog) -> None:
    @router.get("/stream")
    async def stream(request: Request) -> Response:
        rid = _rid(request)

        async def body() -> AsyncIterator[bytes]:
            for chunk in chunks(client, rid):
                yield chunk
                await asyncio.sleep(0)

        return _streamed(body)

    @router.get("/stream-error")
    async def stream_error(request: Request) -> Response:
        rid = _rid(request)

        async def body() -> AsyncIterator[bytes]:
            yield b"a"
            raise ValueError(boom(rid))

        return _streamed(body)

    @router.get("/stream-long")
    async def stream_long(request: Request) -> Response:
        rid = _rid(request)

        async def body() -> AsyncIterator[bytes]:
            try:
                for _ in range(contract.LONG_CHUNKS):
                    yield b"x" * contract.CHUNK_BYTES
                    await asyncio.sleep(contract.PAUSE_S)
            finally:
                say(client, "closed", rid)

        return _streamed(body)


def _add_later(router: Any, client: PostHog) -> None:
    waiting: set[asyncio.Task[None]] = set()

    @router.get("/task")
    async def task(request: Request) -> Response:
        rid = _rid(request)

        async def later() -> None:
            await asyncio.sleep(0.3)
            say(client, "later", rid)

        started = asyncio.create_task(later())
        waiting.add(started)
        started.add_done_callback(waiting.discard)
        return text("ok")

    @router.get("/thread")
    async def thread(request: Request) -> Response:
        await asyncio.to_thread(say, client, "in thread", _rid(request))
        alone = threading.Thread(target=say, args=(client, "alone", _rid(request)))
        alone.start()
        await asyncio.to_thread(alone.join)
        return text("ok")


def _add_errors(router: Any, client: PostHog) -> None:
    @router.get("/error")
    async def error(request: Request) -> Response:
        raise ValueError(boom(_rid(request)))

    @router.get("/handled/:status")
    async def handled(status: int) -> Response:
        raise DomainError(status)

    @router.get("/http/:status")
    async def http(status: int) -> Response:
        raise HTTPException(status, "no")

    @router.get("/caught")
    async def caught(request: Request) -> Response:
        try:
            raise ValueError(boom(_rid(request)))
        except ValueError as error:
            client.capture_exception(error, properties={"by": "hand", "rid": _rid(request)})
            raise


def _add_sockets(router: Any, client: PostHog) -> None:
    @router.ws("/ws")
    async def ws(socket: WebSocket) -> None:
        await socket.accept()
        try:
            while True:
                message = await socket.receive_text()
                say(client, "message", _rid(socket))
                await socket.send_text(message)
        finally:
            say(client, "gone", _rid(socket))

    @router.ws("/ws-error")
    async def ws_error(socket: WebSocket) -> None:
        await socket.accept()
        raise ValueError(boom(_rid(socket)))


def _header(request: Request, name: str) -> str | None:
    value = request.get_first_header(name.encode())
    return value.decode("latin-1") if value is not None else None


app = contract.serve_asgi(build, _header)
