"""The app on Sanic, its items in a blueprint so that templates have a prefix to find."""

import asyncio
import socket
import threading
from typing import Any

from sanic import Blueprint, HTTPResponse, Request, Sanic, Websocket
from sanic.application.constants import ServerStage
from sanic.application.state import ApplicationServerInfo
from sanic.exceptions import SanicException
from sanic.response import raw, text
from websockets.exceptions import ConnectionClosed

import hogline
from hogline import PostHog
from hogline.interceptors.sanic import PostHogInterceptor
from tests.interceptors.apps import contract
from tests.interceptors.apps.contract import DomainError, boom, chunks, say


def build(client: PostHog, options: dict[str, Any] | None) -> Sanic:
    build.count += 1
    shop = Sanic(f"shop{build.count}", log_config=_QUIET)
    shop.config.ACCESS_LOG = False
    shop.config.MOTD = False
    for once in contract.installs(options):
        PostHogInterceptor(shop, client=client, **once)
    shop.config.TOUCHUP = (
        False  # at an app's start, Sanic rewrites its own classes, which can be done once in a process
    )
    shop.exception(DomainError)(_answer)
    _add_plain(shop, client)
    _add_context(shop, client)
    _add_streams(shop, client)
    _add_later(shop, client)
    _add_errors(shop, client)
    _add_sockets(shop, client)
    for path, make in _STRANGE.items():
        shop.add_route(_raising(make), path, name=path.strip("/").replace("-", "_"))
    return shop


build.count = 0
_QUIET = {"version": 1, "disable_existing_loggers": False}
_STRANGE = {
    "/lookalike": contract.UpstreamError,
    "/ignored": contract.IgnoredError,
    "/group-http": lambda: ExceptionGroup("http", [SanicException("no", 404)]),
    "/frozen": lambda: contract.FrozenError("frozen"),
    "/hostile": contract.HostileError,
    "/refusing": contract.RefusingError,
    "/reused": lambda: contract.REUSED,
    "/exit": SystemExit,
}


async def _answer(request: Request, error: DomainError) -> HTTPResponse:
    return text("handled", error.status)


def _raising(make: Any) -> Any:
    async def strange(request: Request) -> HTTPResponse:
        raise make()

    return strange


def _rid(request: Request) -> str:
    return request.args.get("rid", "")


def _add_plain(shop: Sanic, client: PostHog) -> None:
    items = Blueprint("items", url_prefix="/items")

    @shop.get("/nothing")
    async def nothing(request: Request) -> HTTPResponse:
        return text("nothing")

    @shop.get("/capture")
    async def capture(request: Request) -> HTTPResponse:
        say(client, "captured", _rid(request))
        return text("ok")

    @items.get("/<item_id>", unquote=True)
    async def item(request: Request, item_id: str) -> HTTPResponse:
        say(client, "captured", _rid(request))
        return text(item_id)

    @shop.post("/checkout")
    async def checkout(request: Request) -> HTTPResponse:
        say(client, "checkout", _rid(request))
        return raw(request.body)

    @shop.get("/who")
    async def who(request: Request) -> HTTPResponse:
        return text(hogline.get_context_distinct_id() or "-")

    @shop.get("/headers")
    async def headers(request: Request) -> HTTPResponse:
        say(client, "captured", _rid(request))
        response = text("headers", 201)
        for name, value in contract.HEADERS:
            response.headers.add(name, value)
        return response

    shop.blueprint(items)


def _add_context(shop: Sanic, client: PostHog) -> None:
    @shop.get("/tag")
    async def tag(request: Request) -> HTTPResponse:
        hogline.tag("colour", _rid(request))
        say(client, "captured", _rid(request))
        return text("ok")

    @shop.get("/override")
    async def override(request: Request) -> HTTPResponse:
        client.capture("captured", distinct_id="caller", properties={"rid": _rid(request), "$request_method": "CALLER"})
        return text("ok")

    @shop.get("/context")
    async def context(request: Request) -> HTTPResponse:
        hogline.identify_context("context")
        hogline.set_context_session("context-session")
        say(client, "captured", _rid(request))
        return text("ok")

    @shop.get("/scope")
    async def scope(request: Request) -> HTTPResponse:
        with hogline.new_context(fresh=True):
            say(client, "inside", _rid(request))
        say(client, "outside", _rid(request))
        return text("ok")

    @shop.get("/slow")
    async def slow(request: Request) -> HTTPResponse:
        await asyncio.sleep(int(request.args.get("delay_ms")) / 1000)
        say(client, "captured", _rid(request))
        return text(_rid(request))


def _add_streams(shop: Sanic, client: PostHog) -> None:
    @shop.get("/stream")
    async def stream(request: Request) -> None:
        response = await request.respond(content_type="text/plain")
        for chunk in chunks(client, _rid(request)):
            await response.send(chunk)
            await asyncio.sleep(0)
        await response.eof()

    @shop.get("/stream-error")
    async def stream_error(request: Request) -> None:
        response = await request.respond(content_type="text/plain")
        await response.send(b"a")
        raise ValueError(boom(_rid(request)))

    @shop.get("/stream-long")
    async def stream_long(request: Request) -> None:
        response = await request.respond(content_type="text/plain")
        try:
            for _ in range(contract.LONG_CHUNKS):
                await response.send(b"x" * contract.CHUNK_BYTES)
                await asyncio.sleep(contract.PAUSE_S)
        finally:
            say(client, "closed", _rid(request))


def _add_later(shop: Sanic, client: PostHog) -> None:
    waiting: set[asyncio.Task[None]] = set()

    @shop.get("/background")
    async def background(request: Request) -> HTTPResponse:
        async def later() -> None:
            await asyncio.sleep(0.2)
            say(client, "later", _rid(request))

        request.app.add_task(later())
        return text("ok")

    @shop.get("/task")
    async def task(request: Request) -> HTTPResponse:
        async def later() -> None:
            await asyncio.sleep(0.3)
            say(client, "later", _rid(request))

        started = asyncio.create_task(later())
        waiting.add(started)
        started.add_done_callback(waiting.discard)
        return text("ok")

    @shop.get("/thread")
    async def thread(request: Request) -> HTTPResponse:
        await asyncio.to_thread(say, client, "in thread", _rid(request))
        alone = threading.Thread(target=say, args=(client, "alone", _rid(request)))
        alone.start()
        await asyncio.to_thread(alone.join)
        return text("ok")


def _add_errors(shop: Sanic, client: PostHog) -> None:
    @shop.get("/error")
    async def error(request: Request) -> HTTPResponse:
        raise ValueError(boom(_rid(request)))

    @shop.get("/handled/<status:int>")
    async def handled(request: Request, status: int) -> HTTPResponse:
        raise DomainError(status)

    @shop.get("/http/<status:int>")
    async def http(request: Request, status: int) -> HTTPResponse:
        raise SanicException("no", status)

    @shop.get("/caught")
    async def caught(request: Request) -> HTTPResponse:
        try:
            raise ValueError(boom(_rid(request)))
        except ValueError as error:
            client.capture_exception(error, properties={"by": "hand", "rid": _rid(request)})
            raise


def _add_sockets(shop: Sanic, client: PostHog) -> None:
    @shop.websocket("/ws")
    async def ws(request: Request, peer: Websocket) -> None:
        try:
            async for message in peer:
                say(client, "message", _rid(request))
                await peer.send(message)
        except ConnectionClosed:
            pass
        finally:
            say(client, "gone", _rid(request))

    @shop.websocket("/ws-error")
    async def ws_error(request: Request, peer: Websocket) -> None:
        raise ValueError(boom(_rid(request)))


# -- the front socket: each connection goes to the app of its option set ---------------------------


async def _serve() -> None:
    apps = contract.Apps(build, contract.of_request)
    servers = {}
    for name in contract.OPTION_SETS:
        unused = socket.create_server(("127.0.0.1", 0))
        server = await apps.named(name).create_server(sock=unused, return_asyncio_server=True, access_log=False)
        await server.startup()
        await server.before_start()
        await server.after_start()
        # As the server's own start says it; else tasks would wait for that.
        apps.named(name).state.server_info.append(ApplicationServerInfo({}, ServerStage.SERVING))
        servers[name] = server
    loop = asyncio.get_running_loop()

    def accept(name: str, connection: Any) -> None:
        factory = servers[name].server._protocol_factory
        connection.setblocking(False)
        asyncio.run_coroutine_threadsafe(loop.connect_accepted_socket(factory, connection), loop)

    end = asyncio.Event()
    loop.add_signal_handler(15, end.set)
    print(f"http://127.0.0.1:{contract.SharedSocket(apps, accept).port}", flush=True)
    await end.wait()
    for server in servers.values():
        await server.before_stop()
        await server.after_stop()


if __name__ == "__main__":
    asyncio.run(_serve())
