"""The app on Falcon's ASGI side."""

import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Callable
from typing import Any

import falcon
import falcon.asgi

import hogline
from hogline import PostHog
from hogline.interceptors.falcon import PostHogInterceptor
from tests.interceptors.apps import contract
from tests.interceptors.apps.contract import DomainError, boom, chunks, say
from tests.interceptors.apps.falcon import STRANGE, Resource, header_of, rid_of


def build(client: PostHog, options: dict[str, Any] | None) -> falcon.asgi.App:
    logging.getLogger("falcon").setLevel(logging.CRITICAL)
    shop = falcon.asgi.App(media_type=falcon.MEDIA_TEXT)
    for once in contract.installs(options):
        PostHogInterceptor(shop, client=client, **once)
    shop.add_error_handler(DomainError, _handle)
    for path, answer in {**_plain(client), **_context(client), **_streams(client), **_errors(client)}.items():
        shop.add_route(path, Resource(answer, "post" if path == "/checkout" else "get"))
    for path, answer in _sockets(client).items():
        shop.add_route(path, Resource(answer, "websocket"))
    for path, make in STRANGE.items():
        shop.add_route(path, Resource(_raising(make)))
    return shop


async def _handle(req: Any, resp: Any, ex: Any, params: Any) -> None:
    resp.status, resp.text = ex.status, "handled"


def _raising(make: Any) -> Callable[..., Any]:
    async def strange(req: Any, resp: Any) -> None:
        raise make()

    return strange


def _plain(client: PostHog) -> dict[str, Callable[..., Any]]:
    async def nothing(req: Any, resp: Any) -> None:
        resp.text = "nothing"

    async def capture(req: Any, resp: Any) -> None:
        say(client, "captured", rid_of(req))
        resp.text = "ok"

    async def item(req: Any, resp: Any, item_id: str) -> None:
        say(client, "captured", rid_of(req))
        resp.text = item_id

    async def checkout(req: Any, resp: Any) -> None:
        resp.data = await req.stream.read()
        say(client, "checkout", rid_of(req))

    async def who(req: Any, resp: Any) -> None:
        resp.text = hogline.get_context_distinct_id() or "-"

    async def headers(req: Any, resp: Any) -> None:
        say(client, "captured", rid_of(req))
        resp.status, resp.text = 201, "headers"
        for name, value in contract.HEADERS:
            resp.append_header(name, value)

    return {
        "/nothing": nothing,
        "/capture": capture,
        "/items/{item_id}": item,
        "/checkout": checkout,
        "/who": who,
        "/headers": headers,
    }


def _context(client: PostHog) -> dict[str, Callable[..., Any]]:
    async def tag(req: Any, resp: Any) -> None:
        hogline.tag("colour", rid_of(req))
        say(client, "captured", rid_of(req))
        resp.text = "ok"

    async def override(req: Any, resp: Any) -> None:
        properties = {"rid": rid_of(req), "$request_method": "CALLER"}
        client.capture("captured", distinct_id="caller", properties=properties)
        resp.text = "ok"

    async def context(req: Any, resp: Any) -> None:
        hogline.identify_context("context")
        hogline.set_context_session("context-session")
        say(client, "captured", rid_of(req))
        resp.text = "ok"

    async def scope(req: Any, resp: Any) -> None:
        with hogline.new_context(fresh=True):
            say(client, "inside", rid_of(req))
        say(client, "outside", rid_of(req))
        resp.text = "ok"

    async def slow(req: Any, resp: Any) -> None:
        await asyncio.sleep(req.get_param_as_int("delay_ms") / 1000)
        say(client, "captured", rid_of(req))
        resp.text = rid_of(req)

    async def task(req: Any, resp: Any) -> None:
        async def later() -> None:
            await asyncio.sleep(0.3)
            say(client, "later", rid_of(req))

        started = asyncio.create_task(later())
        _waiting.add(started)
        started.add_done_callback(_waiting.discard)
        resp.text = "ok"

    async def thread(req: Any, resp: Any) -> None:
        await asyncio.to_thread(say, client, "in thread", rid_of(req))
        alone = threading.Thread(target=say, args=(client, "alone", rid_of(req)))
        alone.start()
        await asyncio.to_thread(alone.join)
        resp.text = "ok"

    return {
        "/tag": tag,
        "/override": override,
        "/context": context,
        "/scope": scope,
        "/slow": slow,
        "/task": task,
        "/thread": thread,
    }


_waiting: set[asyncio.Task[None]] = set()


def _streams(client: PostHog) -> dict[str, Callable[..., Any]]:
    async def stream(req: Any, resp: Any) -> None:
        async def body() -> AsyncIterator[bytes]:
            for chunk in chunks(client, rid_of(req)):
                yield chunk
                await asyncio.sleep(0)

        resp.stream = body()

    async def stream_error(req: Any, resp: Any) -> None:
        async def body() -> AsyncIterator[bytes]:
            yield b"a"
            await asyncio.sleep(0)
            raise ValueError(boom(rid_of(req)))

        resp.stream = body()

    async def stream_long(req: Any, resp: Any) -> None:
        async def body() -> AsyncIterator[bytes]:
            try:
                for _ in range(contract.LONG_CHUNKS):
                    yield b"x" * contract.CHUNK_BYTES
                    await asyncio.sleep(contract.PAUSE_S)
            finally:
                say(client, "closed", rid_of(req))

        resp.stream = body()

    async def background(req: Any, resp: Any) -> None:
        async def later() -> None:
            say(client, "later", rid_of(req))

        resp.schedule(later)
        resp.text = "ok"

    return {
        "/stream": stream,
        "/stream-error": stream_error,
        "/stream-long": stream_long,
        "/background": background,
    }


def _errors(client: PostHog) -> dict[str, Callable[..., Any]]:
    async def error(req: Any, resp: Any) -> None:
        raise ValueError(boom(rid_of(req)))

    async def handled(req: Any, resp: Any, status: int) -> None:
        raise DomainError(status)

    async def http(req: Any, resp: Any, status: int) -> None:
        raise falcon.HTTPError(status)

    async def validate(req: Any, resp: Any) -> None:
        resp.text = str(req.get_param_as_int("number", required=True))

    async def caught(req: Any, resp: Any) -> None:
        try:
            raise ValueError(boom(rid_of(req)))
        except ValueError as mistake:
            client.capture_exception(mistake, properties={"by": "hand", "rid": rid_of(req)})
            raise

    return {
        "/error": error,
        "/handled/{status:int}": handled,
        "/http/{status:int}": http,
        "/validate": validate,
        "/caught": caught,
    }


def _sockets(client: PostHog) -> dict[str, Callable[..., Any]]:
    async def ws(req: Any, socket: Any) -> None:
        await socket.accept()
        try:
            while True:
                text = await socket.receive_text()
                say(client, "message", rid_of(req))
                await socket.send_text(text)
        finally:
            say(client, "gone", rid_of(req))

    async def ws_error(req: Any, socket: Any) -> None:
        await socket.accept()
        raise ValueError(boom(rid_of(req)))

    async def ws_refused(req: Any, socket: Any) -> None:
        raise falcon.HTTPForbidden

    return {"/ws": ws, "/ws-error": ws_error, "/ws-refused": ws_refused}


app = contract.serve_asgi(build, header_of)
