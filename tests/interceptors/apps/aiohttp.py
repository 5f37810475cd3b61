"""The app on aiohttp.web, its items inside a sub-application so that templates have a prefix to
find.
"""

import asyncio
import threading
from typing import Any

from aiohttp import WSMsgType, web

import hogline
from hogline import PostHog
from hogline.interceptors.aiohttp import PostHogInterceptor
from tests.interceptors.apps import contract
from tests.interceptors.apps.contract import DomainError, boom, chunks, say


class ClientClosedRequest(web.HTTPClientError):
    status_code = 499


_HTTP = {
    404: web.HTTPNotFound,
    499: ClientClosedRequest,
    500: web.HTTPInternalServerError,
    503: web.HTTPServiceUnavailable,
}


@web.middleware
async def _answer(request: web.Request, handler: Any) -> web.StreamResponse:
    """aiohttp's registered handler: a middleware."""
    try:
        return await handler(request)
    except DomainError as error:
        return web.Response(text="handled", status=error.status)


def build(client: PostHog, options: dict[str, Any] | None) -> web.Application:
    layers = [PostHogInterceptor(client=client, **once) for once in contract.installs(options)]
    shop = web.Application(middlewares=[*layers, _answer], client_max_size=2**20)
    views = _Views(client)
    shop.add_routes(
        [
            web.get("/nothing", views.nothing),
            web.get("/capture", views.capture),
            web.post("/checkout", views.checkout),
            web.get("/who", views.who),
            web.get("/headers", views.headers),
            web.get("/tag", views.tag),
            web.get("/override", views.override),
            web.get("/context", views.context),
            web.get("/scope", views.scope),
            web.get("/slow", views.slow),
            web.get("/stream", views.stream),
            web.get("/stream-error", views.stream_error),
            web.get("/stream-long", views.stream_long),
            web.get("/task", views.task),
            web.get("/thread", views.thread),
            web.get("/error", views.error),
            web.get(r"/handled/{status:\d+}", views.handled),
            web.get(r"/http/{status:\d+}", views.http),
            web.get("/caught", views.caught),
            web.get("/ws", views.ws),
            web.get("/ws-error", views.ws_error),
            *(web.get(path, _raising(make)) for path, make in _STRANGE.items()),
        ]
    )
    items = web.Application()
    items.add_routes([web.get("/{item_id}", views.item)])
    shop.add_subapp("/items", items)
    return shop


_STRANGE = {
    "/lookalike": contract.UpstreamError,
    "/ignored": contract.IgnoredError,
    "/group-http": lambda: ExceptionGroup("http", [web.HTTPNotFound()]),
    "/frozen": lambda: contract.FrozenError("frozen"),
    "/hostile": contract.HostileError,
    "/refusing": contract.RefusingError,
    "/reused": lambda: contract.REUSED,
    "/exit": SystemExit,
}


def _raising(make: Any) -> Any:
    async def strange(request: web.Request) -> web.Response:
        raise make()

    return strange


def _rid(request: web.Request) -> str:
    return request.query.get("rid", "")


class _Views:
    def __init__(self, client: PostHog) -> None:
        self._client = client
        self._waiting: set[asyncio.Task[None]] = set()

    def _captured(self, request: web.Request, body: str = "ok") -> web.Response:
        say(self._client, "captured", _rid(request))
        return web.Response(text=body)

    async def nothing(self, request: web.Request) -> web.Response:
        return web.Response(text="nothing")

    async def capture(self, request: web.Request) -> web.Response:
        return self._captured(request)

    async def item(self, request: web.Request) -> web.Response:
        return self._captured(request, request.match_info["item_id"])

    async def checkout(self, request: web.Request) -> web.Response:
        body = await request.read()
        say(self._client, "checkout", _rid(request))
        return web.Response(body=body)

    async def who(self, request: web.Request) -> web.Response:
        return web.Response(text=hogline.get_context_distinct_id() or "-")

    async def headers(self, request: web.Request) -> web.Response:
        say(self._client, "captured", _rid(request))
        response = web.Response(text="headers", status=201)
        for name, value in contract.HEADERS:
            response.headers.add(name, value)
        return response

    async def tag(self, request: web.Request) -> web.Response:
        hogline.tag("colour", _rid(request))
        return self._captured(request)

    async def override(self, request: web.Request) -> web.Response:
        properties = {"rid": _rid(request), "$request_method": "CALLER"}
        self._client.capture("captured", distinct_id="caller", properties=properties)
        return web.Response(text="ok")

    async def context(self, request: web.Request) -> web.Response:
        hogline.identify_context("context")
        hogline.set_context_session("context-session")
        return self._captured(request)

    async def scope(self, request: web.Request) -> web.Response:
        with hogline.new_context(fresh=True):
            say(self._client, "inside", _rid(request))
        say(self._client, "outside", _rid(request))
        return web.Response(text="ok")

    async def slow(self, request: web.Request) -> web.Response:
        await asyncio.sleep(int(request.query["delay_ms"]) / 1000)
        return self._captured(request, _rid(request))

    async def stream(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for chunk in chunks(self._client, _rid(request)):
            await response.write(chunk)
            await asyncio.sleep(0)
        return response

    async def stream_error(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"a")
        raise ValueError(boom(_rid(request)))

    async def stream_long(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        try:
            for _ in range(contract.LONG_CHUNKS):
                await response.write(b"x" * contract.CHUNK_BYTES)
                await asyncio.sleep(contract.PAUSE_S)
        finally:
            say(self._client, "closed", _rid(request))
        return response

    async def task(self, request: web.Request) -> web.Response:
        async def later() -> None:
            await asyncio.sleep(0.3)
            say(self._client, "later", _rid(request))

        started = asyncio.create_task(later())
        self._waiting.add(started)
        started.add_done_callback(self._waiting.discard)
        return web.Response(text="ok")

    async def thread(self, request: web.Request) -> web.Response:
        await asyncio.to_thread(say, self._client, "in thread", _rid(request))
        alone = threading.Thread(target=say, args=(self._client, "alone", _rid(request)))
        alone.start()
        await asyncio.to_thread(alone.join)
        return web.Response(text="ok")

    async def error(self, request: web.Request) -> web.Response:
        raise ValueError(boom(_rid(request)))

    async def handled(self, request: web.Request) -> web.Response:
        raise DomainError(int(request.match_info["status"]))

    async def http(self, request: web.Request) -> web.Response:
        raise _HTTP[int(request.match_info["status"])](text="no")

    async def caught(self, request: web.Request) -> web.Response:
        try:
            raise ValueError(boom(_rid(request)))
        except ValueError as error:
            self._client.capture_exception(error, properties={"by": "hand", "rid": _rid(request)})
            raise

    async def ws(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        try:
            async for message in socket:
                if message.type == WSMsgType.TEXT:
                    say(self._client, "message", _rid(request))
                    await socket.send_str(message.data)
        finally:
            say(self._client, "gone", _rid(request))
        return socket

    async def ws_error(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        raise ValueError(boom(_rid(request)))


# -- the front socket: each connection's requests go to the application of their option set --------


async def _serve() -> None:
    apps = contract.Apps(build, contract.of_request)
    runners = {name: web.AppRunner(apps.named(name), access_log=None) for name in contract.OPTION_SETS}
    for runner in runners.values():
        await runner.setup()
    servers = {name: runner.server for name, runner in runners.items()}

    def make_request(message: Any, *rest: Any) -> web.Request:
        request = servers[message.headers.get("X-Options", "default")].request_factory(message, *rest)
        request["handler"] = servers[message.headers.get("X-Options", "default")].request_handler
        return request

    async def handle(request: web.Request) -> web.StreamResponse:
        if request.path.startswith("/-/"):
            body = await asyncio.to_thread(apps.answer, request.path, request.query_string)
            return web.Response(body=body or b"", status=200 if body else 404)
        return await request["handler"](request)

    runner = web.ServerRunner(web.Server(handle, request_factory=make_request), handle_signals=True, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    print(f"http://127.0.0.1:{runner.addresses[0][1]}")
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_serve())
