"""The app on Falcon."""

import logging
import time
from collections.abc import Callable, Iterator
from typing import Any

import falcon

import hogline
from hogline import PostHog
from hogline.interceptors.falcon import PostHogInterceptor
from tests.interceptors.apps import contract
from tests.interceptors.apps.contract import DomainError, boom, chunks, say

STRANGE = {
    "/lookalike": contract.UpstreamError,
    "/ignored": contract.IgnoredError,
    "/group": lambda: contract.group(falcon.WebSocketDisconnected()),
    "/group-noise": lambda: contract.noise_group(falcon.WebSocketDisconnected()),
    "/group-http": lambda: ExceptionGroup("http", [falcon.HTTPNotFound()]),
    "/frozen": lambda: contract.FrozenError("frozen"),
    "/hostile": contract.HostileError,
    "/refusing": contract.RefusingError,
    "/reused": lambda: contract.REUSED,
    "/exit": SystemExit,
}


class Resource:
    """One path, answered by one function."""

    def __init__(self, answer: Callable[..., Any], method: str = "get") -> None:
        setattr(self, f"on_{method}", answer)


def header_of(request: Any, name: str) -> str | None:
    return request.get_header(name)


def rid_of(request: Any) -> str:
    return request.get_param("rid", default="")


def build(client: PostHog, options: dict[str, Any] | None) -> falcon.App:
    logging.getLogger("falcon").setLevel(logging.CRITICAL)
    shop = falcon.App(media_type=falcon.MEDIA_TEXT)
    for once in contract.installs(options):
        PostHogInterceptor(shop, client=client, **once)
    shop.add_error_handler(DomainError, _handle)
    for path, answer in _answers(client).items():
        shop.add_route(path, Resource(answer, "post" if path == "/checkout" else "get"))
    for path, make in STRANGE.items():
        shop.add_route(path, Resource(_raising(make)))
    return shop


def _handle(req: Any, resp: Any, ex: Any, params: Any) -> None:
    resp.status, resp.text = ex.status, "handled"


def _raising(make: Any) -> Callable[..., None]:
    def strange(req: Any, resp: Any) -> None:
        raise make()

    return strange


class _Closing:
    """A stream that does something once it was sent."""

    def __init__(self, later: Callable[[], None]) -> None:
        self._later = later

    def __iter__(self) -> Iterator[bytes]:
        yield b"ok"

    def close(self) -> None:
        self._later()


def _answers(client: PostHog) -> dict[str, Callable[..., None]]:
    return {**_plain(client), **_context(client), **_streams(client), **_errors(client)}


def _plain(client: PostHog) -> dict[str, Callable[..., None]]:
    def nothing(req: Any, resp: Any) -> None:
        resp.text = "nothing"

    def capture(req: Any, resp: Any) -> None:
        say(client, "captured", rid_of(req))
        resp.text = "ok"

    def item(req: Any, resp: Any, item_id: str) -> None:
        say(client, "captured", rid_of(req))
        resp.text = item_id

    def checkout(req: Any, resp: Any) -> None:
        resp.data = req.bounded_stream.read()
        say(client, "checkout", rid_of(req))

    def who(req: Any, resp: Any) -> None:
        resp.text = hogline.get_context_distinct_id() or "-"

    def headers(req: Any, resp: Any) -> None:
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


def _context(client: PostHog) -> dict[str, Callable[..., None]]:
    def tag(req: Any, resp: Any) -> None:
        hogline.tag("colour", rid_of(req))
        say(client, "captured", rid_of(req))
        resp.text = "ok"

    def override(req: Any, resp: Any) -> None:
        properties = {"rid": rid_of(req), "$request_method": "CALLER"}
        client.capture("captured", distinct_id="caller", properties=properties)
        resp.text = "ok"

    def context(req: Any, resp: Any) -> None:
        hogline.identify_context("context")
        hogline.set_context_session("context-session")
        say(client, "captured", rid_of(req))
        resp.text = "ok"

    def scope(req: Any, resp: Any) -> None:
        with hogline.new_context(fresh=True):
            say(client, "inside", rid_of(req))
        say(client, "outside", rid_of(req))
        resp.text = "ok"

    def slow(req: Any, resp: Any) -> None:
        time.sleep(req.get_param_as_int("delay_ms") / 1000)
        say(client, "captured", rid_of(req))
        resp.text = rid_of(req)

    return {"/tag": tag, "/override": override, "/context": context, "/scope": scope, "/slow": slow}


def _streams(client: PostHog) -> dict[str, Callable[..., None]]:
    def stream(req: Any, resp: Any) -> None:
        resp.stream = chunks(client, rid_of(req))

    def stream_error(req: Any, resp: Any) -> None:
        def body() -> Iterator[bytes]:
            yield b"a"
            raise ValueError(boom(rid_of(req)))

        resp.stream = body()

    def stream_long(req: Any, resp: Any) -> None:
        def body() -> Iterator[bytes]:
            try:
                for _ in range(contract.LONG_CHUNKS):
                    yield b"x" * contract.CHUNK_BYTES
                    time.sleep(contract.PAUSE_S)
            finally:
                say(client, "closed", rid_of(req))

        resp.stream = body()

    def background(req: Any, resp: Any) -> None:
        resp.set_stream(_Closing(lambda: say(client, "later", rid_of(req))), 2)

    def background_error(req: Any, resp: Any) -> None:
        def fail() -> None:
            raise ValueError(boom(rid_of(req)))

        resp.set_stream(_Closing(fail), 2)

    return {
        "/stream": stream,
        "/stream-error": stream_error,
        "/stream-long": stream_long,
        "/background": background,
        "/background-error": background_error,
    }


def _errors(client: PostHog) -> dict[str, Callable[..., None]]:
    def error(req: Any, resp: Any) -> None:
        raise ValueError(boom(rid_of(req)))

    def handled(req: Any, resp: Any, status: int) -> None:
        raise DomainError(status)

    def http(req: Any, resp: Any, status: int) -> None:
        raise falcon.HTTPError(status)

    def validate(req: Any, resp: Any) -> None:
        resp.text = str(req.get_param_as_int("number", required=True))

    def caught(req: Any, resp: Any) -> None:
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


app = contract.serve_wsgi(build, header_of)
