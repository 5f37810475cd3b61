"""The app on Channels: consumers behind a URLRouter, no Django views."""

import asyncio
import threading
from typing import Any
from urllib.parse import parse_qs

import django
from django.conf import settings

if not settings.configured:
    settings.configure(SECRET_KEY="x", USE_TZ=True)
    django.setup()

from channels.exceptions import DenyConnection, StopConsumer
from channels.generic.http import AsyncHttpConsumer
from channels.generic.websocket import AsyncWebsocketConsumer
from channels.routing import ProtocolTypeRouter, URLRouter
from django.http import Http404
from django.urls import path

import hogline
from hogline import PostHog
from hogline.interceptors.channels import PostHogInterceptor
from tests.interceptors.apps import contract
from tests.interceptors.apps.contract import boom, chunks, say


def build(client: PostHog, options: dict[str, Any] | None) -> Any:
    items = URLRouter([path("<str:item_id>", Item.as_asgi(client=client))])
    http = [path(name, kind.as_asgi(client=client)) for name, kind in _CONSUMERS.items()]
    strange = [path(name, Strange.as_asgi(client=client, make=make)) for name, make in _STRANGE.items()]
    sockets = {"ws": Socket, "ws-error": SocketError, "ws-refused": SocketRefused}
    layered: Any = ProtocolTypeRouter(
        {
            "http": URLRouter([*http, *strange, path("items/", items)]),
            "websocket": URLRouter([path(name, kind.as_asgi(client=client)) for name, kind in sockets.items()]),
        }
    )
    for once in contract.installs(options):
        layered = PostHogInterceptor(layered, client=client, **once)
    return layered


_STRANGE = {
    "lookalike": contract.UpstreamError,
    "ignored": contract.IgnoredError,
    "group": lambda: contract.group(StopConsumer()),
    "group-noise": lambda: contract.noise_group(StopConsumer()),
    "group-http": lambda: ExceptionGroup("http", [Http404()]),
    "frozen": lambda: contract.FrozenError("frozen"),
    "hostile": contract.HostileError,
    "refusing": contract.RefusingError,
    "reused": lambda: contract.REUSED,
    "exit": SystemExit,
}
_waiting: set[asyncio.Task[None]] = set()


class _Consumer(AsyncHttpConsumer):
    client: PostHog
    make: Any = None

    def __init__(self, client: PostHog, make: Any = None) -> None:
        super().__init__()
        self.client, self.make = client, make

    @property
    def query(self) -> dict[str, list[str]]:
        return parse_qs(self.scope["query_string"].decode())

    @property
    def rid(self) -> str:
        return self.query.get("rid", [""])[0]

    def say(self, event: str = "captured") -> None:
        say(self.client, event, self.rid)

    async def answer(self, body: str | bytes = "ok", status: int = 200, headers: Any = ()) -> None:
        raw = body.encode() if isinstance(body, str) else body
        await self.send_response(status, raw, headers=[*headers, (b"content-length", b"%d" % len(raw))])


class Nothing(_Consumer):
    async def handle(self, body: bytes) -> None:
        await self.answer("nothing")


class Capture(_Consumer):
    async def handle(self, body: bytes) -> None:
        self.say()
        await self.answer()


class Item(_Consumer):
    async def handle(self, body: bytes) -> None:
        self.say()
        await self.answer(self.scope["url_route"]["kwargs"]["item_id"])


class Checkout(_Consumer):
    async def handle(self, body: bytes) -> None:
        self.say("checkout")
        await self.answer(body)


class Who(_Consumer):
    async def handle(self, body: bytes) -> None:
        await self.answer(hogline.get_context_distinct_id() or "-")


class Headers(_Consumer):
    async def handle(self, body: bytes) -> None:
        self.say()
        await self.answer("headers", 201, [(name.lower().encode(), value.encode()) for name, value in contract.HEADERS])


class Tag(_Consumer):
    async def handle(self, body: bytes) -> None:
        hogline.tag("colour", self.rid)
        self.say()
        await self.answer()


class Override(_Consumer):
    async def handle(self, body: bytes) -> None:
        properties = {"rid": self.rid, "$request_method": "CALLER"}
        self.client.capture("captured", distinct_id="caller", properties=properties)
        await self.answer()


class Context(_Consumer):
    async def handle(self, body: bytes) -> None:
        hogline.identify_context("context")
        hogline.set_context_session("context-session")
        self.say()
        await self.answer()


class Scope(_Consumer):
    async def handle(self, body: bytes) -> None:
        with hogline.new_context(fresh=True):
            self.say("inside")
        self.say("outside")
        await self.answer()


class Slow(_Consumer):
    async def handle(self, body: bytes) -> None:
        await asyncio.sleep(int(self.query["delay_ms"][0]) / 1000)
        self.say()
        await self.answer(self.rid)


class Stream(_Consumer):
    async def handle(self, body: bytes) -> None:
        await self.send_headers()
        for chunk in chunks(self.client, self.rid):
            await self.send_body(chunk, more_body=True)
        await self.send_body(b"")


class StreamError(_Consumer):
    async def handle(self, body: bytes) -> None:
        await self.send_headers()
        await self.send_body(b"a", more_body=True)
        raise ValueError(boom(self.rid))


class StreamLong(_Consumer):
    async def handle(self, body: bytes) -> None:
        try:
            await self.send_headers()
            for _ in range(contract.LONG_CHUNKS // 4):
                await self.send_body(b"x" * contract.CHUNK_BYTES, more_body=True)
                await asyncio.sleep(contract.PAUSE_S)
        finally:
            self.say("closed")


class Task(_Consumer):
    async def handle(self, body: bytes) -> None:
        async def later() -> None:
            await asyncio.sleep(0.3)
            self.say("later")

        started = asyncio.create_task(later())
        _waiting.add(started)
        started.add_done_callback(_waiting.discard)
        await self.answer()


class Thread(_Consumer):
    async def handle(self, body: bytes) -> None:
        await asyncio.to_thread(self.say, "in thread")
        alone = threading.Thread(target=self.say, args=("alone",))
        alone.start()
        await asyncio.to_thread(alone.join)
        await self.answer()


class Error(_Consumer):
    async def error(self, body: bytes) -> None:
        raise ValueError(boom(self.rid))

    handle = error


class Caught(_Consumer):
    async def handle(self, body: bytes) -> None:
        try:
            raise ValueError(boom(self.rid))
        except ValueError as error:
            self.client.capture_exception(error, properties={"by": "hand", "rid": self.rid})
            raise


class Strange(_Consumer):
    async def handle(self, body: bytes) -> None:
        raise self.make()


_CONSUMERS = {
    "nothing": Nothing, "capture": Capture, "checkout": Checkout, "who": Who, "headers": Headers, "tag": Tag, "override": Override,
    "context": Context, "scope": Scope, "slow": Slow, "stream": Stream, "stream-error": StreamError, "stream-long": StreamLong,
    "task": Task, "thread": Thread, "error": Error, "caught": Caught,
}  # fmt: skip


class _Socket(AsyncWebsocketConsumer):
    def __init__(self, client: PostHog) -> None:
        super().__init__()
        self.client = client

    def say(self, event: str) -> None:
        say(self.client, event, parse_qs(self.scope["query_string"].decode())["rid"][0])


class Socket(_Socket):
    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        self.say("message")
        await self.send(text_data)

    async def disconnect(self, code: int) -> None:
        self.say("gone")


class SocketError(_Socket):
    async def connect(self) -> None:
        await self.accept()
        raise ValueError(boom(parse_qs(self.scope["query_string"].decode())["rid"][0]))


class SocketRefused(_Socket):
    async def connect(self) -> None:
        raise DenyConnection


app = contract.serve_asgi(build, contract.of_scope)
