"""The app on Tornado."""

import asyncio
import threading
from typing import Any

from tornado.httpserver import HTTPServer
from tornado.ioloop import IOLoop
from tornado.web import Application, Finish, HTTPError, RequestHandler
from tornado.websocket import WebSocketHandler

import hogline
from hogline import PostHog
from hogline.interceptors.tornado import PostHogInterceptor
from tests.interceptors.apps import contract
from tests.interceptors.apps.contract import boom, chunks, say


def build(client: PostHog, options: dict[str, Any] | None) -> Application:
    shop = Application(
        [
            (r"/nothing", Nothing),
            (r"/capture", Capture),
            (r"/items/([^/]+)", Item),
            (r"/checkout", Checkout),
            (r"/who", Who),
            (r"/headers", Headers),
            (r"/tag", Tag),
            (r"/override", Override),
            (r"/context", Context),
            (r"/scope", Scope),
            (r"/slow", Slow),
            (r"/stream", Stream),
            (r"/stream-error", StreamError),
            (r"/stream-long", StreamLong),
            (r"/background", Background),
            (r"/background-error", BackgroundError),
            (r"/task", Task),
            (r"/thread", Thread),
            (r"/error", Error),
            (r"/http/(\d+)", Http),
            (r"/caught", Caught),
            *((path, Strange, {"make": make}) for path, make in _STRANGE.items()),
            (r"/ws", Socket),
            (r"/ws-error", SocketError),
            (r"/ws-refused", SocketRefused),
        ],
        client=client,
        log_function=lambda handler: None,
    )
    for once in contract.installs(options):
        PostHogInterceptor(shop, client=client, **once)
    return shop


_STRANGE = {
    "/lookalike": contract.UpstreamError,
    "/ignored": contract.IgnoredError,
    "/group": lambda: contract.group(Finish()),
    "/group-noise": lambda: contract.noise_group(Finish()),
    "/group-http": lambda: ExceptionGroup("http", [HTTPError(404)]),
    "/frozen": lambda: contract.FrozenError("frozen"),
    "/hostile": contract.HostileError,
    "/refusing": contract.RefusingError,
    "/reused": lambda: contract.REUSED,
    "/exit": SystemExit,
}
_waiting: set[asyncio.Task[None]] = set()


class _Handler(RequestHandler):
    @property
    def client(self) -> PostHog:
        return self.settings["client"]

    @property
    def rid(self) -> str:
        return self.get_query_argument("rid", "")

    def say(self, event: str = "captured", **properties: Any) -> None:
        say(self.client, event, self.rid, **properties)


class Nothing(_Handler):
    async def get(self) -> None:
        self.finish("nothing")

    async def head(self) -> None:
        self.finish("nothing")


class Capture(_Handler):
    def get(self) -> None:
        self.say()
        self.finish("ok")


class Item(_Handler):
    async def get(self, item_id: str) -> None:
        self.say()
        self.finish(item_id)


class Checkout(_Handler):
    async def post(self) -> None:
        self.say("checkout")
        self.finish(self.request.body)


class Who(_Handler):
    async def get(self) -> None:
        self.finish(hogline.get_context_distinct_id() or "-")


class Headers(_Handler):
    async def get(self) -> None:
        self.say()
        self.set_status(201)
        for name, value in contract.HEADERS:
            self.add_header(name, value)
        self.finish("headers")


class Tag(_Handler):
    async def get(self) -> None:
        hogline.tag("colour", self.rid)
        self.say()
        self.finish("ok")


class Override(_Handler):
    async def get(self) -> None:
        properties = {"rid": self.rid, "$request_method": "CALLER"}
        self.client.capture("captured", distinct_id="caller", properties=properties)
        self.finish("ok")


class Context(_Handler):
    async def get(self) -> None:
        hogline.identify_context("context")
        hogline.set_context_session("context-session")
        self.say()
        self.finish("ok")


class Scope(_Handler):
    async def get(self) -> None:
        with hogline.new_context(fresh=True):
            self.say("inside")
        self.say("outside")
        self.finish("ok")


class Slow(_Handler):
    async def get(self) -> None:
        await asyncio.sleep(int(self.get_query_argument("delay_ms")) / 1000)
        self.say()
        self.finish(self.rid)


class Stream(_Handler):
    async def get(self) -> None:
        for chunk in chunks(self.client, self.rid):
            self.write(chunk)
            await self.flush()


class StreamError(_Handler):
    async def get(self) -> None:
        self.write(b"a")
        await self.flush()
        raise ValueError(boom(self.rid))


class StreamLong(_Handler):
    async def get(self) -> None:
        try:
            for _ in range(contract.LONG_CHUNKS):
                self.write(b"x" * contract.CHUNK_BYTES)
                await self.flush()
                await asyncio.sleep(contract.PAUSE_S)
        finally:
            self.say("closed")


class Background(_Handler):
    async def get(self) -> None:
        async def later() -> None:
            self.say("later")

        IOLoop.current().spawn_callback(later)
        self.finish("ok")


class BackgroundError(_Handler):
    async def get(self) -> None:
        await self.finish("ok")
        raise ValueError(boom(self.rid))


class Task(_Handler):
    async def get(self) -> None:
        async def later() -> None:
            await asyncio.sleep(0.3)
            self.say("later")

        started = asyncio.create_task(later())
        _waiting.add(started)
        started.add_done_callback(_waiting.discard)
        self.finish("ok")


class Thread(_Handler):
    async def get(self) -> None:
        await asyncio.to_thread(self.say, "in thread")
        alone = threading.Thread(target=self.say, args=("alone",))
        alone.start()
        await asyncio.to_thread(alone.join)
        self.finish("ok")


class Error(_Handler):
    async def error(self) -> None:
        raise ValueError(boom(self.rid))

    get = error


class Http(_Handler):
    async def get(self, status: str) -> None:
        raise HTTPError(int(status), reason="no")


class Caught(_Handler):
    async def get(self) -> None:
        try:
            raise ValueError(boom(self.rid))
        except ValueError as error:
            self.client.capture_exception(error, properties={"by": "hand", "rid": self.rid})
            raise


class Strange(_Handler):
    def initialize(self, make: Any) -> None:
        self.make = make

    async def get(self) -> None:
        raise self.make()


class Socket(WebSocketHandler, _Handler):
    def on_message(self, message: str | bytes) -> None:
        self.say("message")
        self.write_message(message)

    def on_close(self) -> None:
        self.say("gone")


class SocketError(WebSocketHandler, _Handler):
    def open(self) -> None:
        raise ValueError(boom(self.rid))


class SocketRefused(WebSocketHandler, _Handler):
    async def prepare(self) -> None:
        raise HTTPError(403)


# -- the front socket: each connection goes to the application of its option set -------------------


def _header(handler: RequestHandler, name: str) -> str | None:
    return handler.request.headers.get(name)


async def _serve() -> None:
    apps = contract.Apps(build, _header)
    loop = asyncio.get_running_loop()
    servers: dict[str, HTTPServer] = {}

    def take(name: str, connection: Any) -> None:
        if name not in servers:
            servers[name] = HTTPServer(apps.named(name))
        connection.setblocking(False)
        servers[name]._handle_connection(connection, connection.getpeername())

    front = contract.SharedSocket(apps, lambda name, connection: loop.call_soon_threadsafe(take, name, connection))
    end = asyncio.Event()
    loop.add_signal_handler(15, end.set)
    print(f"http://127.0.0.1:{front.port}", flush=True)
    await end.wait()


if __name__ == "__main__":
    asyncio.run(_serve())
