"""The app on Connexion, its asynchronous flavour: a specification, and functions that it names."""

import asyncio
import logging
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import connexion
from connexion.middleware import MiddlewarePosition
from connexion.resolver import Resolver
from starlette.background import BackgroundTask
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import PlainTextResponse, Response, StreamingResponse

import hogline
from hogline import PostHog
from hogline.interceptors.connexion import PostHogInterceptor
from tests.interceptors.apps import contract
from tests.interceptors.apps.connexion_specification import specification
from tests.interceptors.apps.contract import DomainError, boom, chunks, say

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


def build(client: PostHog, options: dict[str, Any] | None) -> connexion.AsyncApp:
    logging.getLogger("connexion").setLevel(logging.CRITICAL)
    shop = connexion.AsyncApp("shop")
    for once in contract.installs(options):
        shop.add_middleware(PostHogInterceptor, MiddlewarePosition.BEFORE_EXCEPTION, client=client, **once)
    shop.add_error_handler(DomainError, _handle)
    answers = {**_plain(client), **_context(client), **_streams(client), **_concurrent(client), **_errors(client)}
    answers |= {path: _raising(make) for path, make in _STRANGE.items()}
    shop.add_api(specification(answers), resolver=Resolver(answers.__getitem__))
    return shop


def _handle(request: Any, error: Any) -> Any:
    return connexion.lifecycle.ConnexionResponse(status_code=error.status, body="handled")


def _raising(make: Any) -> Callable[..., Any]:
    async def strange() -> Response:
        raise make()

    return strange


def _rid() -> str:
    return connexion.request.query_params.get("rid", "")


def _ok() -> Response:
    return PlainTextResponse("ok")


def _plain(client: PostHog) -> dict[str, Callable[..., Any]]:
    async def nothing() -> Response:
        return PlainTextResponse("nothing")

    async def capture() -> Response:
        say(client, "captured", _rid())
        return _ok()

    def sync() -> Response:
        say(client, "captured", _rid())
        return _ok()

    async def item(item_id: str) -> Response:
        say(client, "captured", _rid())
        return PlainTextResponse(item_id)

    async def checkout() -> Response:
        body = await connexion.request.body()
        say(client, "checkout", _rid())
        return Response(body)

    async def who() -> Response:
        return PlainTextResponse(hogline.get_context_distinct_id() or "-")

    async def headers() -> Response:
        say(client, "captured", _rid())
        response = PlainTextResponse("headers", 201)
        response.raw_headers += [(name.lower().encode(), value.encode()) for name, value in contract.HEADERS]
        return response

    return {
        "/nothing": nothing,
        "/capture": capture,
        "/sync": sync,
        "/items/{item_id}": item,
        "/checkout": checkout,
        "/who": who,
        "/headers": headers,
    }


def _context(client: PostHog) -> dict[str, Callable[..., Any]]:
    async def tag() -> Response:
        hogline.tag("colour", _rid())
        say(client, "captured", _rid())
        return _ok()

    async def override() -> Response:
        properties = {"rid": _rid(), "$request_method": "CALLER"}
        client.capture("captured", distinct_id="caller", properties=properties)
        return _ok()

    async def context() -> Response:
        hogline.identify_context("context")
        hogline.set_context_session("context-session")
        say(client, "captured", _rid())
        return _ok()

    async def scope() -> Response:
        with hogline.new_context(fresh=True):
            say(client, "inside", _rid())
        say(client, "outside", _rid())
        return _ok()

    async def slow(delay_ms: int) -> Response:
        await asyncio.sleep(delay_ms / 1000)
        say(client, "captured", _rid())
        return PlainTextResponse(_rid())

    return {"/tag": tag, "/override": override, "/context": context, "/scope": scope, "/slow": slow}


def _streams(client: PostHog) -> dict[str, Callable[..., Any]]:
    async def stream() -> Response:
        async def body(rid: str) -> AsyncIterator[bytes]:
            for chunk in chunks(client, rid):
                yield chunk
                await asyncio.sleep(0)

        return StreamingResponse(body(_rid()))

    async def stream_sync() -> Response:
        return StreamingResponse(chunks(client, _rid()))

    async def stream_error() -> Response:
        async def body(rid: str) -> AsyncIterator[bytes]:
            yield b"a"
            await asyncio.sleep(0)
            raise ValueError(boom(rid))

        return StreamingResponse(body(_rid()))

    async def stream_long() -> Response:
        async def body(rid: str) -> AsyncIterator[bytes]:
            try:
                for _ in range(contract.LONG_CHUNKS):
                    yield b"x" * contract.CHUNK_BYTES
                    await asyncio.sleep(contract.PAUSE_S)
            finally:
                say(client, "closed", rid)

        return StreamingResponse(body(_rid()))

    async def stream_long_sync() -> Response:
        def body(rid: str) -> Iterator[bytes]:
            try:
                for _ in range(contract.LONG_CHUNKS):
                    yield b"x" * contract.CHUNK_BYTES
                    time.sleep(contract.PAUSE_S)
            finally:
                say(client, "closed", rid)

        return StreamingResponse(body(_rid()))

    return {
        "/stream": stream,
        "/stream-sync": stream_sync,
        "/stream-error": stream_error,
        "/stream-long": stream_long,
        "/stream-long-sync": stream_long_sync,
    }


_waiting: set[asyncio.Task[None]] = set()


def _concurrent(client: PostHog) -> dict[str, Callable[..., Any]]:
    async def background() -> Response:
        return PlainTextResponse("ok", background=BackgroundTask(say, client, "later", _rid()))

    async def background_error() -> Response:
        def fail(rid: str) -> None:
            raise ValueError(boom(rid))

        return PlainTextResponse("ok", background=BackgroundTask(fail, _rid()))

    async def task() -> Response:
        async def later() -> None:
            await asyncio.sleep(0.3)
            say(client, "later", _rid())

        started = asyncio.create_task(later())
        _waiting.add(started)
        started.add_done_callback(_waiting.discard)
        return _ok()

    async def thread() -> Response:
        rid = _rid()
        await asyncio.to_thread(say, client, "in thread", rid)
        alone = threading.Thread(target=say, args=(client, "alone", rid))
        alone.start()
        await asyncio.to_thread(alone.join)
        return _ok()

    return {"/background": background, "/background-error": background_error, "/task": task, "/thread": thread}


def _errors(client: PostHog) -> dict[str, Callable[..., Any]]:
    async def error() -> Response:
        raise ValueError(boom(_rid()))

    def error_sync() -> Response:
        raise ValueError(boom(_rid()))

    async def handled(status: int) -> Response:
        raise DomainError(status)

    async def http(status: int) -> Response:
        raise HTTPException(status, "no")

    async def validate(number: int) -> Response:
        return PlainTextResponse(str(number))

    async def caught() -> Response:
        try:
            raise ValueError(boom(_rid()))
        except ValueError as mistake:
            client.capture_exception(mistake, properties={"by": "hand", "rid": _rid()})
            raise

    return {
        "/error": error,
        "/error-sync": error_sync,
        "/handled/{status}": handled,
        "/http/{status}": http,
        "/validate": validate,
        "/caught": caught,
    }


app = contract.serve_asgi(build, contract.of_request)
