"""The app on Flask."""

import logging
import time
from collections.abc import Iterator
from typing import Any

from flask import Flask, Response, abort, request
from werkzeug.exceptions import ClientDisconnected, NotFound

import hogline
from hogline import PostHog
from hogline.interceptors.flask import PostHogInterceptor
from tests.interceptors.apps import contract
from tests.interceptors.apps.contract import DomainError, boom, chunks, say


def build(client: PostHog, options: dict[str, Any] | None) -> Flask:
    shop = Flask("shop")
    shop.logger.setLevel(logging.CRITICAL)
    for once in contract.installs(options):
        PostHogInterceptor(shop, client=client, **once)
    shop.register_error_handler(DomainError, lambda error: Response("handled", error.status))
    add_views(shop, client)
    return shop


def add_views(shop: Any, client: PostHog) -> None:
    """Add the contract's views to *shop*, or to what takes them as it does."""
    _add_plain(shop, client)
    _add_context(shop, client)
    _add_streams(shop, client)
    _add_errors(shop, client)
    for path, make in _STRANGE.items():
        shop.add_url_rule(path, path, _raising(make))


_STRANGE = {
    "/lookalike": contract.UpstreamError,
    "/ignored": contract.IgnoredError,
    "/group": lambda: contract.group(ClientDisconnected()),
    "/group-noise": lambda: contract.noise_group(ClientDisconnected()),
    "/group-http": lambda: ExceptionGroup("http", [NotFound()]),
    "/frozen": lambda: contract.FrozenError("frozen"),
    "/hostile": contract.HostileError,
    "/refusing": contract.RefusingError,
    "/reused": lambda: contract.REUSED,
    "/exit": SystemExit,
}


def _raising(make: Any) -> Any:
    def strange() -> str:
        raise make()

    return strange


def _rid() -> str:
    return request.args.get("rid", "")


def _add_plain(shop: Flask, client: PostHog) -> None:
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
        body = request.get_data()
        say(client, "checkout", _rid())
        return body

    @shop.get("/who")
    def who() -> str:
        return hogline.get_context_distinct_id() or "-"

    @shop.get("/headers")
    def headers() -> Response:
        say(client, "captured", _rid())
        response = Response("headers", 201)
        for name, value in contract.HEADERS:
            response.headers.add(name, value)
        return response


def _add_context(shop: Flask, client: PostHog) -> None:
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
        time.sleep(int(request.args["delay_ms"]) / 1000)
        say(client, "captured", _rid())
        return _rid()


def _add_streams(shop: Flask, client: PostHog) -> None:
    @shop.get("/stream")
    def stream() -> Iterator[bytes]:
        return chunks(client, _rid())

    @shop.get("/stream-error")
    def stream_error() -> Iterator[bytes]:
        rid = _rid()

        def body() -> Iterator[bytes]:
            yield b"a"
            raise ValueError(boom(rid))

        return body()

    @shop.get("/stream-long")
    def stream_long() -> Iterator[bytes]:
        rid = _rid()

        def body() -> Iterator[bytes]:
            try:
                for _ in range(contract.LONG_CHUNKS):
                    yield b"x" * contract.CHUNK_BYTES
                    time.sleep(contract.PAUSE_S)
            finally:
                say(client, "closed", rid)

        return body()

    @shop.get("/background")
    def background() -> Response:
        rid, response = _rid(), Response("ok")
        response.call_on_close(lambda: say(client, "later", rid))
        response.response = iter([b"ok"])  # a body that is made while it is read: closed after it was sent
        return response


def _add_errors(shop: Flask, client: PostHog) -> None:
    @shop.get("/error")
    def error() -> str:
        raise ValueError(boom(_rid()))

    @shop.get("/handled/<int:status>")
    def handled(status: int) -> str:
        raise DomainError(status)

    @shop.get("/http/<int:status>")
    def http(status: int) -> str:
        abort(status if status in (404, 500, 503) else Response("no", status))

    @shop.get("/caught")
    def caught() -> str:
        try:
            raise ValueError(boom(_rid()))
        except ValueError as error:
            client.capture_exception(error, properties={"by": "hand", "rid": _rid()})
            raise


app = contract.serve_wsgi(build, contract.of_request)
