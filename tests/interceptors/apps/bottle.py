"""The app on Bottle."""

import time
from collections.abc import Callable, Iterator
from typing import Any

import bottle

import hogline
from hogline import PostHog
from hogline.interceptors.bottle import PostHogInterceptor
from tests.interceptors.apps import contract
from tests.interceptors.apps.contract import boom, chunks, say

_STRANGE = {
    "/lookalike": contract.UpstreamError,
    "/ignored": contract.IgnoredError,
    "/frozen": lambda: contract.FrozenError("frozen"),
    "/refusing": contract.RefusingError,
    "/reused": lambda: contract.REUSED,
    "/exit": SystemExit,
}


def build(client: PostHog, options: dict[str, Any] | None) -> bottle.Bottle:
    shop = bottle.Bottle()
    for once in contract.installs(options):
        shop.install(PostHogInterceptor(client=client, **once))
    shop.error(500)(lambda error: "sorry")  # Bottle's own page holds the URL, which differs
    _add_plain(shop, client)
    _add_context(shop, client)
    _add_streams(shop, client)
    _add_errors(shop, client)
    for path, make in _STRANGE.items():
        shop.get(path, callback=_raising(make))
    return shop


def _raising(make: Any) -> Callable[[], str]:
    def strange() -> str:
        raise make()

    return strange


def _rid() -> str:
    return bottle.request.query.get("rid", "")


def _add_plain(shop: bottle.Bottle, client: PostHog) -> None:
    @shop.get("/nothing")
    def nothing() -> str:
        return "nothing"

    @shop.get("/capture")
    def capture() -> str:
        say(client, "captured", _rid())
        return "ok"

    @shop.get("/items/<item_id>")
    def item(item_id: str) -> str:
        say(client, "captured", _rid())
        return item_id

    @shop.post("/checkout")
    def checkout() -> bytes:
        body = bottle.request.body.read()
        say(client, "checkout", _rid())
        return body

    @shop.get("/who")
    def who() -> str:
        return hogline.get_context_distinct_id() or "-"

    @shop.get("/headers")
    def headers() -> str:
        say(client, "captured", _rid())
        bottle.response.status = 201
        for name, value in contract.HEADERS:
            bottle.response.add_header(name, value)
        return "headers"


def _add_context(shop: bottle.Bottle, client: PostHog) -> None:
    @shop.get("/tag")
    def tag() -> str:
        hogline.tag("colour", _rid())
        say(client, "captured", _rid())
        return "ok"

    @shop.get("/override")
    def override() -> str:
        client.capture("captured", distinct_id="caller", properties={"rid": _rid(), "$request_method": "CALLER"})
        return "ok"

    @shop.get("/context")
    def context() -> str:
        hogline.identify_context("context")
        hogline.set_context_session("context-session")
        say(client, "captured", _rid())
        return "ok"

    @shop.get("/scope")
    def scope() -> str:
        with hogline.new_context(fresh=True):
            say(client, "inside", _rid())
        say(client, "outside", _rid())
        return "ok"

    @shop.get("/slow")
    def slow() -> str:
        time.sleep(int(bottle.request.query["delay_ms"]) / 1000)
        say(client, "captured", _rid())
        return _rid()


class _Closing:
    """A body that does something once it was sent."""

    def __init__(self, later: Callable[[], None]) -> None:
        self._later = later

    def __iter__(self) -> Iterator[bytes]:
        yield b"ok"

    def close(self) -> None:
        self._later()


def _add_streams(shop: bottle.Bottle, client: PostHog) -> None:
    @shop.get("/stream")
    def stream() -> Iterator[bytes]:
        return chunks(client, _rid())

    @shop.get("/stream-error")
    def stream_error() -> Iterator[bytes]:
        rid = _rid()
        yield b"a"
        raise ValueError(boom(rid))

    @shop.get("/stream-long")
    def stream_long() -> Iterator[bytes]:
        rid = _rid()
        try:
            for _ in range(contract.LONG_CHUNKS):
                yield b"x" * contract.CHUNK_BYTES
                time.sleep(contract.PAUSE_S)
        finally:
            say(client, "closed", rid)

    @shop.get("/background")
    def background() -> Any:
        rid = _rid()
        bottle.response.set_header("Content-Length", "2")
        return _Closing(lambda: say(client, "later", rid))

    @shop.get("/background-error")
    def background_error() -> Any:
        rid = _rid()

        def fail() -> None:
            raise ValueError(boom(rid))

        bottle.response.set_header("Content-Length", "2")
        return _Closing(fail)


def _add_errors(shop: bottle.Bottle, client: PostHog) -> None:
    @shop.get("/error")
    def error() -> str:
        raise ValueError(boom(_rid()))

    @shop.get("/http/<status:int>")
    def http(status: int) -> str:
        bottle.abort(status, "no")

    @shop.get("/caught")
    def caught() -> str:
        try:
            raise ValueError(boom(_rid()))
        except ValueError as mistake:
            client.capture_exception(mistake, properties={"by": "hand", "rid": _rid()})
            raise


app = contract.serve_wsgi(build, contract.of_request)
