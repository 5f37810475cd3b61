"""The app on Quart."""

import asyncio
import logging
import threading
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

from quart import Quart, Response, abort, request, websocket
from werkzeug.exceptions import ClientDisconnected, NotFound

import hogline
from hogline import PostHog
from hogline.interceptors.quart import PostHogInterceptor
from tests.interceptors.apps import contract
from tests.interceptors.apps.contract import DomainError, boom, chunks, say


def build(client: PostHog, options: dict[str, Any] | None) -> Quart:
    shop = Quart("shop")
    shop.logger.setLevel(logging.CRITICAL)
    for once in contract.installs(options):
        PostHogInterceptor(shop, client=client, **once)
    shop.register_error_handler(DomainError, _answer)
    _add_plain(shop, client)
    _add_context(shop, client)
    _add_streams(shop, client)
    _add_later(shop, client)
    _add_sockets(shop, client)
    _add_errors(shop, client)
    for path, make in _STRANGE.items():
        shop.add_url_rule(path, path, _raising(make))
    return shop


_STRANGE = {
    "/lookalike": contract.UpstreamError,
    "/ignored": contract.IgnoredError,
    "/group": lambda: contract.group(ClientDisconnected()),
    "/group-noise": lambda: contract.noise_group(ClientDisconnected()),
    "/group-http": lambda: ExceptionGroup("http", [NotFound()]),
    "/frozen": lambda: contract.FrozenError("frozen"),
    "/hostile": contract.HostileError,
    "/refusing": contract.RefusingError,
    "/reused": lambda: contract.REUSED,
    "/exit": SystemExit,
}


def _raising(make: Any) -> Any:
    async def strange() -> str:
        raise make()

    return strange


async def _answer(error: DomainError) -> Response:
    return Response("handled", error.status)


def _rid() -> str:
    return request.args.get("rid", "")


def _add_plain(shop: Quart, client: PostHog) -> None:
    @shop.get("/nothing")
    async def nothing() -> str:
        return "nothing"

    @shop.get("/capture")
    async def capture() -> str:
        say(client, "captured", _rid())
        return "ok"

    @shop.get("/items/<item_id>")
    async def item(item_id: str) -> str:
        say(client, "captured", _rid())
        return item_id

    @shop.post("/checkout")
    async def checkout() -> bytes:
        body = await request.get_data()
        say(client, "checkout", _rid())
        return body

    @shop.get("/who")
    async def who() -> str:
        return hogline.get_context_distinct_id() or "-"

    @shop.get("/headers")
    async def headers() -> Response:
        say(client, "captured", _rid())
        response = Response("headers", 201)
        for name, value in contract.HEADERS:
            response.headers.add(name, value)
        return response


def _add_context(shop: Quart, client: PostHog) -> None:
    @shop.get("/tag")
    async def tag() -> str:
        hogline.tag("colour", _rid())
        say(client, "captured", _rid())
        return "ok"

    @shop.get("/override")
    async def override() -> str:
        client.capture("captured", distinct_id="caller", properties={"rid": _rid(), "$request_method": "CALLER"})
        return "ok"

    @shop.get("/context")
    async def context() -> str:
        hogline.identify_context("context")
        hogline.set_context_session("context-session")
        say(client, "captured", _rid())
        return "ok"

    @shop.get("/scope")
    async def scope() -> str:
        with hogline.new_context(fresh=True):
            say(client, "inside", _rid())
        say(client, "outside", _rid())
        return "ok"

    @shop.get("/slow")
    async def slow() -> str:
        await asyncio.sleep(int(request.args["delay_ms"]) / 1000)
        say(client, "captured", _rid())
        return _rid()


def _add_streams(shop: Quart, client: PostHog) -> None:
    @shop.get("/sync")
    def sync() -> str:
        say(client, "captured", _rid())
        return "ok"

    @shop.get("/stream")
    async def stream() -> AsyncIterator[bytes]:
        rid = _rid()

        async def body() -> AsyncIterator[bytes]:
            for chunk in chunks(client, rid):
                yield chunk
                await asyncio.sleep(0)

        return body()

    @shop.get("/stream-sync")
    async def stream_sync() -> Iterator[bytes]:
        return chunks(client, _rid())

    @shop.get("/stream-error")
    async def stream_error() -> AsyncIterator[bytes]:
        rid = _rid()

        async def body() -> AsyncIterator[bytes]:
            yield b"a"
            raise ValueError(boom(rid))

        return body()

    @shop.get("/stream-long")
    async def stream_long() -> AsyncIterator[bytes]:
        rid = _rid()

        async def body() -> AsyncIterator[bytes]:
            try:
                for _ in range(contract.LONG_CHUNKS):
                    yield b"x" * contract.CHUNK_BYTES
                    await asyncio.sleep(contract.PAUSE_S)
            finally:
                say(client, "closed", rid)

        return body()

    @shop.get("/stream-long-sync")
    async def stream_long_sync() -> Iterator[bytes]:
        rid = _rid()

        def body() -> Iterator[bytes]:
            try:
                for _ in range(contract.LONG_CHUNKS):
                    yield b"x" * contract.CHUNK_BYTES
                    time.sleep(contract.PAUSE_S)
            finally:
                say(client, "closed", rid)

        return body()


def _add_later(shop: Quart, client: PostHog) -> None:
    waiting: set[asyncio.Task[None]] = set()

    @shop.get("/background")
    async def background() -> str:
        rid = _rid()

        async def later() -> None:
            say(client, "later", rid)

        shop.add_background_task(later)
        return "ok"

    @shop.get("/background-error")
    async def background_error() -> str:
        rid = _rid()

        async def fail() -> None:
            await asyncio.sleep(0.2)
            raise ValueError(boom(rid))

        shop.add_background_task(fail)
        return "ok"

    @shop.get("/task")
    async def task() -> str:
        rid = _rid()

        async def later() -> None:
            await asyncio.sleep(0.3)
            say(client, "later", rid)

        started = asyncio.create_task(later())
        waiting.add(started)
        started.add_done_callback(waiting.discard)
        return "ok"

    @shop.get("/thread")
    async def thread() -> str:
        rid = _rid()
        await asyncio.to_thread(say, client, "in thread", rid)
        alone = threading.Thread(target=say, args=(client, "alone", rid))
        alone.start()
        await asyncio.to_thread(alone.join)
        return "ok"


def _add_sockets(shop: Quart, client: PostHog) -> None:
    @shop.websocket("/ws")
    async def ws() -> None:
        rid = websocket.args.get("rid", "")
        await websocket.accept()
        try:
            while True:
                text = await websocket.receive()
                say(client, "message", rid)
                await websocket.send(text)
        finally:
            say(client, "gone", rid)

    @shop.websocket("/ws-error")
    async def ws_error() -> None:
        await websocket.accept()
        raise ValueError(boom(websocket.args.get("rid", "")))

    @shop.websocket("/ws-refused")
    async def ws_refused() -> None:
        abort(403)


def _add_errors(shop: Quart, client: PostHog) -> None:
    @shop.get("/error")
    async def error() -> str:
        raise ValueError(boom(_rid()))

    @shop.get("/error-sync")
    def error_sync() -> str:
        raise ValueError(boom(_rid()))

    @shop.get("/handled/<int:status>")
    async def handled(status: int) -> str:
        raise DomainError(status)

    @shop.get("/http/<int:status>")
    async def http(status: int) -> str:
        abort(status if status in (404, 500, 503) else Response("no", status))

    @shop.get("/caught")
    async def caught() -> str:
        try:
            raise ValueError(boom(_rid()))
        except ValueError as error:
            client.capture_exception(error, properties={"by": "hand", "rid": _rid()})
            raise


app = contract.serve_asgi(build, contract.of_request)
