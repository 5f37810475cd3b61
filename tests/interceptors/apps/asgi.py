"""The app as bare ASGI: no framework answers anything, what is raised goes to the server."""

import asyncio
import threading
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import parse_qs

import hogline
from hogline import PostHog
from hogline.interceptors.asgi import PostHogInterceptor
from tests.interceptors.apps import contract
from tests.interceptors.apps.contract import boom, chunks, say

Handler = Callable[["_Request"], Awaitable[None]]


class _Request:
    """One request, and what it takes to answer it."""

    def __init__(self, client: PostHog, scope: Any, receive: Any, send: Any) -> None:
        self.client, self.scope, self.receive, self.send = client, scope, receive, send
        self.query = {name: values[0] for name, values in parse_qs(scope["query_string"].decode()).items()}
        self.rid = self.query.get("rid", "")

    async def start(self, status: int = 200, headers: list[tuple[bytes, bytes]] | None = None) -> None:
        await self.send({"type": "http.response.start", "status": status, "headers": headers or []})

    async def more(self, body: bytes, *, end: bool = False) -> None:
        await self.send({"type": "http.response.body", "body": body, "more_body": not end})

    async def answer(self, body: str | bytes = "ok", status: int = 200) -> None:
        raw = body.encode() if isinstance(body, str) else body
        await self.start(status, [(b"content-length", b"%d" % len(raw))])
        await self.more(raw, end=True)

    def say(self, event: str = "captured") -> None:
        say(self.client, event, self.rid)


_handlers: dict[str, Handler] = {}
_waiting: set[asyncio.Task[None]] = set()


def _at(path: str) -> Callable[[Handler], Handler]:
    def note(handler: Handler) -> Handler:
        _handlers[path] = handler
        return handler

    return note


def build(client: PostHog, options: dict[str, Any] | None) -> Any:
    async def shop(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await _lifespan(receive, send)
            return
        request = _Request(client, scope, receive, send)
        if scope["type"] == "websocket":
            await (_ws_error if scope["path"] == "/ws-error" else _ws)(request)
            return
        path = "/items" if scope["path"].startswith("/items/") else scope["path"]
        handler = _handlers.get(path)
        if handler is None or (scope["method"] == "POST") != (path == "/checkout"):
            await request.answer("nowhere", 404)
        else:
            await handler(request)

    layered: Any = shop
    for once in contract.installs(options):
        layered = PostHogInterceptor(layered, client=client, **once)
    return layered


async def _lifespan(receive: Any, send: Any) -> None:
    for phase in ("startup", "shutdown"):
        await receive()
        await send({"type": f"lifespan.{phase}.complete"})


@_at("/nothing")
async def _nothing(request: _Request) -> None:
    await request.answer("nothing")


@_at("/capture")
async def _capture(request: _Request) -> None:
    request.say()
    await request.answer()


@_at("/items")
async def _item(request: _Request) -> None:
    request.say()
    await request.answer(request.scope["path"].rpartition("/")[2])


@_at("/checkout")
async def _checkout(request: _Request) -> None:
    body, more = b"", True
    while more:
        message = await request.receive()
        body, more = body + message.get("body", b""), message.get("more_body", False)
    request.say("checkout")
    await request.answer(body)


@_at("/who")
async def _who(request: _Request) -> None:
    await request.answer(hogline.get_context_distinct_id() or "-")


@_at("/headers")
async def _headers(request: _Request) -> None:
    request.say()
    await request.start(201, [(name.lower().encode(), value.encode()) for name, value in contract.HEADERS])
    await request.more(b"headers", end=True)


@_at("/tag")
async def _tag(request: _Request) -> None:
    hogline.tag("colour", request.rid)
    request.say()
    await request.answer()


@_at("/override")
async def _override(request: _Request) -> None:
    properties = {"rid": request.rid, "$request_method": "CALLER"}
    request.client.capture("captured", distinct_id="caller", properties=properties)
    await request.answer()


@_at("/context")
async def _context(request: _Request) -> None:
    hogline.identify_context("context")
    hogline.set_context_session("context-session")
    request.say()
    await request.answer()


@_at("/scope")
async def _scope(request: _Request) -> None:
    with hogline.new_context(fresh=True):
        request.say("inside")
    request.say("outside")
    await request.answer()


@_at("/slow")
async def _slow(request: _Request) -> None:
    await asyncio.sleep(int(request.query["delay_ms"]) / 1000)
    request.say()
    await request.answer(request.rid)


@_at("/stream")
async def _stream(request: _Request) -> None:
    await request.start()
    for chunk in chunks(request.client, request.rid):
        await request.more(chunk)
    await request.more(b"", end=True)


@_at("/stream-error")
async def _stream_error(request: _Request) -> None:
    await request.start()
    await request.more(b"a")
    raise ValueError(boom(request.rid))


@_at("/stream-long")
async def _stream_long(request: _Request) -> None:
    async def left() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass

    gone = asyncio.create_task(left())
    try:
        await request.start()
        for _ in range(contract.LONG_CHUNKS):
            if gone.done():
                raise asyncio.CancelledError  # as frameworks end a stream whose client left
            await request.more(b"x" * contract.CHUNK_BYTES)
            await asyncio.sleep(contract.PAUSE_S)
    finally:
        gone.cancel()
        request.say("closed")


@_at("/background")
async def _background(request: _Request) -> None:
    await request.answer()
    request.say("later")


@_at("/background-error")
async def _background_error(request: _Request) -> None:
    await request.answer()
    raise ValueError(boom(request.rid))


@_at("/task")
async def _task(request: _Request) -> None:
    async def later() -> None:
        await asyncio.sleep(0.3)
        request.say("later")

    started = asyncio.create_task(later())
    _waiting.add(started)
    started.add_done_callback(_waiting.discard)
    await request.answer()


@_at("/thread")
async def _thread(request: _Request) -> None:
    await asyncio.to_thread(request.say, "in thread")
    alone = threading.Thread(target=request.say, args=("alone",))
    alone.start()
    await asyncio.to_thread(alone.join)
    await request.answer()


@_at("/error")
async def _error(request: _Request) -> None:
    raise ValueError(boom(request.rid))


@_at("/caught")
async def _caught(request: _Request) -> None:
    try:
        raise ValueError(boom(request.rid))
    except ValueError as error:
        request.client.capture_exception(error, properties={"by": "hand", "rid": request.rid})
        raise


def _raise_at(path: str, make: Callable[[], BaseException]) -> None:
    @_at(path)
    async def strange(request: _Request) -> None:
        raise make()


_raise_at("/lookalike", contract.UpstreamError)
_raise_at("/ignored", contract.IgnoredError)
_raise_at("/frozen", lambda: contract.FrozenError("frozen"))
_raise_at("/refusing", contract.RefusingError)
_raise_at("/hostile", contract.HostileError)
_raise_at("/reused", lambda: contract.REUSED)
_raise_at("/exit", SystemExit)


async def _ws(request: _Request) -> None:
    await request.receive()
    await request.send({"type": "websocket.accept"})
    try:
        while (message := await request.receive())["type"] == "websocket.receive":
            request.say("message")
            await request.send({"type": "websocket.send", "text": message["text"]})
    finally:
        request.say("gone")


async def _ws_error(request: _Request) -> None:
    await request.receive()
    await request.send({"type": "websocket.accept"})
    raise ValueError(boom(request.rid))


app = contract.serve_asgi(build, contract.of_scope)
