"""The app as bare WSGI: no framework answers anything, what is raised goes to the server."""

import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any
from urllib.parse import parse_qs

import hogline
from hogline import PostHog
from hogline.interceptors.wsgi import PostHogInterceptor
from tests.interceptors.apps import contract
from tests.interceptors.apps.contract import boom, chunks, say

Handler = Callable[["_Request"], Iterable[bytes]]


class _Request:
    """One request, and what it takes to answer it."""

    def __init__(self, client: PostHog, environ: Any, start_response: Any) -> None:
        self.client, self.environ, self._start = client, environ, start_response
        self.query = {name: values[0] for name, values in parse_qs(environ["QUERY_STRING"]).items()}
        self.rid = self.query.get("rid", "")

    def start(self, status: str = "200 OK", headers: list[tuple[str, str]] | None = None) -> None:
        self._start(status, headers or [])

    def answer(self, body: str | bytes = "ok", status: str = "200 OK") -> list[bytes]:
        raw = body.encode() if isinstance(body, str) else body
        self.start(status, [("Content-Length", str(len(raw)))])
        return [raw]

    def say(self, event: str = "captured") -> None:
        say(self.client, event, self.rid)


_handlers: dict[str, Handler] = {}


def _at(path: str) -> Callable[[Handler], Handler]:
    def note(handler: Handler) -> Handler:
        _handlers[path] = handler
        return handler

    return note


def build(client: PostHog, options: dict[str, Any] | None) -> Any:
    def shop(environ: Any, start_response: Any) -> Iterable[bytes]:
        request = _Request(client, environ, start_response)
        path = "/items" if environ["PATH_INFO"].startswith("/items/") else environ["PATH_INFO"]
        handler = _handlers.get(path)
        if handler is None or (environ["REQUEST_METHOD"] == "POST") != (path == "/checkout"):
            return request.answer("nowhere", "404 Not Found")
        return handler(request)

    layered: Any = shop
    for once in contract.installs(options):
        layered = PostHogInterceptor(layered, client=client, **once)
    return layered


@_at("/nothing")
def _nothing(request: _Request) -> Iterable[bytes]:
    return request.answer("nothing")


@_at("/capture")
def _capture(request: _Request) -> Iterable[bytes]:
    request.say()
    return request.answer()


@_at("/items")
def _item(request: _Request) -> Iterable[bytes]:
    request.say()
    return request.answer(request.environ["PATH_INFO"].rpartition("/")[2])


@_at("/checkout")
def _checkout(request: _Request) -> Iterable[bytes]:
    body = request.environ["wsgi.input"].read(int(request.environ["CONTENT_LENGTH"]))
    request.say("checkout")
    return request.answer(body)


@_at("/who")
def _who(request: _Request) -> Iterable[bytes]:
    return request.answer(hogline.get_context_distinct_id() or "-")


@_at("/headers")
def _headers(request: _Request) -> Iterable[bytes]:
    request.say()
    request.start("201 Created", contract.HEADERS)
    return [b"headers"]


@_at("/tag")
def _tag(request: _Request) -> Iterable[bytes]:
    hogline.tag("colour", request.rid)
    request.say()
    return request.answer()


@_at("/override")
def _override(request: _Request) -> Iterable[bytes]:
    properties = {"rid": request.rid, "$request_method": "CALLER"}
    request.client.capture("captured", distinct_id="caller", properties=properties)
    return request.answer()


@_at("/context")
def _context(request: _Request) -> Iterable[bytes]:
    hogline.identify_context("context")
    hogline.set_context_session("context-session")
    request.say()
    return request.answer()


@_at("/scope")
def _scope(request: _Request) -> Iterable[bytes]:
    with hogline.new_context(fresh=True):
        request.say("inside")
    request.say("outside")
    return request.answer()


@_at("/slow")
def _slow(request: _Request) -> Iterable[bytes]:
    time.sleep(int(request.query["delay_ms"]) / 1000)
    request.say()
    return request.answer(request.rid)


@_at("/stream")
def _stream(request: _Request) -> Iterable[bytes]:
    request.start()
    return chunks(request.client, request.rid)


@_at("/stream-error")
def _stream_error(request: _Request) -> Iterator[bytes]:
    request.start()
    yield b"a"
    raise ValueError(boom(request.rid))


@_at("/stream-long")
def _stream_long(request: _Request) -> Iterator[bytes]:
    request.start()
    try:
        for _ in range(contract.LONG_CHUNKS):
            yield b"x" * contract.CHUNK_BYTES
            time.sleep(contract.PAUSE_S)
    finally:
        request.say("closed")


class _Closing:
    """A body that does something once it was sent."""

    def __init__(self, later: Callable[[], None]) -> None:
        self._later = later

    def __iter__(self) -> Iterator[bytes]:
        yield b"ok"

    def close(self) -> None:
        self._later()


@_at("/background")
def _background(request: _Request) -> Iterable[bytes]:
    request.start("200 OK", [("Content-Length", "2")])
    return _Closing(lambda: request.say("later"))


@_at("/background-error")
def _background_error(request: _Request) -> Iterable[bytes]:
    def fail() -> None:
        raise ValueError(boom(request.rid))

    request.start("200 OK", [("Content-Length", "2")])
    return _Closing(fail)


@_at("/error")
def _error(request: _Request) -> Iterable[bytes]:
    raise ValueError(boom(request.rid))


@_at("/caught")
def _caught(request: _Request) -> Iterable[bytes]:
    try:
        raise ValueError(boom(request.rid))
    except ValueError as error:
        request.client.capture_exception(error, properties={"by": "hand", "rid": request.rid})
        raise


def _raise_at(path: str, make: Callable[[], BaseException]) -> None:
    @_at(path)
    def strange(request: _Request) -> Iterable[bytes]:
        raise make()


_raise_at("/lookalike", contract.UpstreamError)
_raise_at("/ignored", contract.IgnoredError)
_raise_at("/frozen", lambda: contract.FrozenError("frozen"))
_raise_at("/refusing", contract.RefusingError)
_raise_at("/hostile", contract.HostileError)
_raise_at("/reused", lambda: contract.REUSED)
_raise_at("/exit", SystemExit)


app = contract.serve_wsgi(build, contract.of_environ)
