"""The app on Nestipy: one controller, a global filter for domain errors, and its adapter for
FastAPI.
"""

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Annotated, Any

from nestipy.common import Controller, Get, HttpException, Module, ParseIntPipe, Post, Request, Response
from nestipy.common.exception.decorator import Catch
from nestipy.common.exception.interface import ExceptionFilter
from nestipy.core import NestipyConfig, NestipyFactory
from nestipy.ioc import Query, Req, Res
from starlette.requests import ClientDisconnect

import hogline
from hogline import PostHog
from hogline.interceptors.nestipy import posthog_interceptor
from tests.interceptors.apps import contract
from tests.interceptors.apps.contract import DomainError, boom, chunks, say

View = Callable[[Request, Response], Awaitable[Response]]


def build(client: PostHog, options: dict[str, Any] | None) -> Any:
    @Module(controllers=[_controller(client)])
    class Shop:
        pass

    config = NestipyConfig(debug=False, log_bootstrap=False, log_level="CRITICAL", health_enabled=False)
    app = NestipyFactory.create(Shop, config=config)
    app.use_global_filters(_Answers)
    interceptors = [posthog_interceptor(client=client, **once) for once in contract.installs(options)]
    if interceptors:
        app.use_global_interceptors(*interceptors)

    async def ready(scope: Any, receive: Any, send: Any) -> None:
        await app.ready()  # Nestipy's own way is the lifespan, which only one of the process's apps is given
        scope.setdefault("state", {})["request_id"] = "same"  # else each answer has one of its own
        await app(scope, receive, send)

    return ready


@Catch()
class _Answers(ExceptionFilter):
    """A filter that answers domain errors.

    Filters are given an HttpException for everything; only its text names the original exception.
    """

    async def catch(self, exception: HttpException, host: Any) -> Any:
        text, _, status = str(exception.message).rpartition(" ")
        if text == str(DomainError(0)).rpartition(" ")[0]:
            return await host.get_response().status(int(status)).send("handled")
        return None


def _controller(client: PostHog) -> type:
    views = _Views(client)
    routes: dict[str, View] = {
        "/nothing": views.nothing,
        "/capture": views.capture,
        "/items/{item_id}": views.item,
        "/who": views.who,
        "/headers": views.headers,
        "/tag": views.tag,
        "/override": views.override,
        "/context": views.context,
        "/scope": views.scope,
        "/slow": views.slow,
        "/stream": views.stream,
        "/stream-error": views.stream_error,
        "/stream-long": views.stream_long,
        "/task": views.task,
        "/thread": views.thread,
        "/error": views.error,
        "/handled/{status}": views.handled,
        "/http/{status}": views.http,
        "/caught": views.caught,
        **{path: _raising(make) for path, make in _STRANGE.items()},
    }
    methods: dict[str, Any] = {f"get_{n}": _method(Get(path), view) for n, (path, view) in enumerate(routes.items())}
    methods["checkout"] = _method(Post("/checkout"), views.checkout)

    @Get("/validate")
    async def validate(self: Any, number: Annotated[int, Query("number", ParseIntPipe)]) -> str:
        return str(number)

    return Controller("/")(type("ShopController", (), {**methods, "validate": validate}))


def _method(route: Any, view: View) -> Any:
    async def method(self: Any, req: Annotated[Request, Req()], res: Annotated[Response, Res()]) -> Response:
        return await view(req, res)

    return route(method)


def _rid(req: Request) -> str:
    return str(req.query_params.get("rid", ""))


class _Views:
    def __init__(self, client: PostHog) -> None:
        self._client = client
        self._waiting: set[asyncio.Task[None]] = set()

    def say(self, event: str, req: Request) -> None:
        say(self._client, event, _rid(req))

    async def nothing(self, req: Request, res: Response) -> Response:
        return await res.send("nothing")

    async def capture(self, req: Request, res: Response) -> Response:
        self.say("captured", req)
        return await res.send("ok")

    async def item(self, req: Request, res: Response) -> Response:
        self.say("captured", req)
        return await res.send(req.path_params["item_id"])

    async def checkout(self, req: Request, res: Response) -> Response:
        body = b"".join([chunk async for chunk in req.stream()])
        self.say("checkout", req)
        return await res.send(body.decode())

    async def who(self, req: Request, res: Response) -> Response:
        return await res.send(hogline.get_context_distinct_id() or "-")

    async def headers(self, req: Request, res: Response) -> Response:
        self.say("captured", req)
        for name, value in contract.HEADERS:
            res.header(name, value)
        return await res.send("headers", 201)

    async def tag(self, req: Request, res: Response) -> Response:
        hogline.tag("colour", _rid(req))
        return await self.capture(req, res)

    async def override(self, req: Request, res: Response) -> Response:
        properties = {"rid": _rid(req), "$request_method": "CALLER"}
        self._client.capture("captured", distinct_id="caller", properties=properties)
        return await res.send("ok")

    async def context(self, req: Request, res: Response) -> Response:
        hogline.identify_context("context")
        hogline.set_context_session("context-session")
        return await self.capture(req, res)

    async def scope(self, req: Request, res: Response) -> Response:
        with hogline.new_context(fresh=True):
            self.say("inside", req)
        self.say("outside", req)
        return await res.send("ok")

    async def slow(self, req: Request, res: Response) -> Response:
        await asyncio.sleep(int(req.query_params["delay_ms"]) / 1000)
        self.say("captured", req)
        return await res.send(_rid(req))

    async def stream(self, req: Request, res: Response) -> Response:
        async def body() -> AsyncIterator[bytes]:
            for chunk in chunks(self._client, _rid(req)):
                yield chunk
                await asyncio.sleep(0)

        return await res.stream(body)

    async def stream_error(self, req: Request, res: Response) -> Response:
        async def body() -> AsyncIterator[bytes]:
            yield b"a"
            await asyncio.sleep(0)
            raise ValueError(boom(_rid(req)))

        return await res.stream(body)

    async def stream_long(self, req: Request, res: Response) -> Response:
        async def body() -> AsyncIterator[bytes]:
            try:
                for _ in range(contract.LONG_CHUNKS):
                    yield b"x" * contract.CHUNK_BYTES
                    await asyncio.sleep(contract.PAUSE_S)
            finally:
                self.say("closed", req)

        return await res.stream(body)

    async def task(self, req: Request, res: Response) -> Response:
        async def later() -> None:
            await asyncio.sleep(0.3)
            self.say("later", req)

        started = asyncio.create_task(later())
        self._waiting.add(started)
        started.add_done_callback(self._waiting.discard)
        return await res.send("ok")

    async def thread(self, req: Request, res: Response) -> Response:
        await asyncio.to_thread(self.say, "in thread", req)
        alone = threading.Thread(target=self.say, args=("alone", req))
        alone.start()
        await asyncio.to_thread(alone.join)
        return await res.send("ok")

    async def error(self, req: Request, res: Response) -> Response:
        raise ValueError(boom(_rid(req)))

    async def handled(self, req: Request, res: Response) -> Response:
        raise DomainError(int(req.path_params["status"]))

    async def http(self, req: Request, res: Response) -> Response:
        raise HttpException(int(req.path_params["status"]), "no")

    async def caught(self, req: Request, res: Response) -> Response:
        try:
            raise ValueError(boom(_rid(req)))
        except ValueError as error:
            self._client.capture_exception(error, properties={"by": "hand", "rid": _rid(req)})
            raise


_STRANGE: dict[str, Callable[[], BaseException]] = {
    "/lookalike": contract.UpstreamError,
    "/ignored": contract.IgnoredError,
    "/group": lambda: contract.group(ClientDisconnect()),
    "/group-noise": lambda: contract.noise_group(ClientDisconnect()),
    "/group-http": lambda: ExceptionGroup("http", [HttpException(404, "no")]),
    "/frozen": lambda: contract.FrozenError("frozen"),
    "/hostile": contract.HostileError,
    "/refusing": contract.RefusingError,
    "/reused": lambda: contract.REUSED,
    "/exit": SystemExit,
}


def _raising(make: Callable[[], BaseException]) -> View:
    async def strange(req: Request, res: Response) -> Response:
        raise make()

    return strange


app = contract.serve_asgi(build, contract.of_scope)
