"""The app on Pyramid."""

import time
from collections.abc import Callable, Iterator
from typing import Any

from pyramid import httpexceptions
from pyramid.config import Configurator
from pyramid.response import Response
from webob.request import DisconnectionError

import hogline
from hogline import PostHog
from hogline.interceptors.pyramid import PostHogInterceptor
from tests.interceptors.apps import contract
from tests.interceptors.apps.contract import DomainError, boom, chunks, say

_STRANGE = {
    "/lookalike": contract.UpstreamError,
    "/ignored": contract.IgnoredError,
    "/group": lambda: contract.group(DisconnectionError()),
    "/group-noise": lambda: contract.noise_group(DisconnectionError()),
    "/group-http": lambda: ExceptionGroup("http", [httpexceptions.HTTPNotFound()]),
    "/frozen": lambda: contract.FrozenError("frozen"),
    "/hostile": contract.HostileError,
    "/refusing": contract.RefusingError,
    "/reused": lambda: contract.REUSED,
    "/exit": SystemExit,
}


def build(client: PostHog, options: dict[str, Any] | None) -> Any:
    with Configurator() as config:
        for once in contract.installs(options):
            PostHogInterceptor(config, client=client, **once)
        views = {**_plain(client), **_context(client), **_streams(client), **_errors(client)}
        views |= {path: _raising(make) for path, make in _STRANGE.items()}
        for path, view in views.items():
            config.add_route(path, path)
            config.add_view(view, route_name=path, request_method="POST" if path == "/checkout" else "GET")
        config.add_exception_view(_handle, context=DomainError)
        return config.make_wsgi_app()


def _handle(error: Any, request: Any) -> Response:
    return Response("handled", error.status)


def _raising(make: Any) -> Callable[[Any], Response]:
    def strange(request: Any) -> Response:
        raise make()

    return strange


def _rid(request: Any) -> str:
    return request.GET.get("rid", "")


def _plain(client: PostHog) -> dict[str, Callable[[Any], Response]]:
    def capture(request: Any) -> Response:
        say(client, "captured", _rid(request))
        return Response("ok")

    def item(request: Any) -> Response:
        say(client, "captured", _rid(request))
        return Response(request.matchdict["item_id"])

    def checkout(request: Any) -> Response:
        body = request.body
        say(client, "checkout", _rid(request))
        return Response(body)

    def headers(request: Any) -> Response:
        say(client, "captured", _rid(request))
        response = Response("headers", 201)
        response.headerlist = [*response.headerlist, *contract.HEADERS]
        return response

    return {
        "/nothing": lambda request: Response("nothing"),
        "/capture": capture,
        "/items/{item_id}": item,
        "/checkout": checkout,
        "/who": lambda request: Response(hogline.get_context_distinct_id() or "-"),
        "/headers": headers,
    }


def _context(client: PostHog) -> dict[str, Callable[[Any], Response]]:
    def tag(request: Any) -> Response:
        hogline.tag("colour", _rid(request))
        say(client, "captured", _rid(request))
        return Response("ok")

    def override(request: Any) -> Response:
        properties = {"rid": _rid(request), "$request_method": "CALLER"}
        client.capture("captured", distinct_id="caller", properties=properties)
        return Response("ok")

    def context(request: Any) -> Response:
        hogline.identify_context("context")
        hogline.set_context_session("context-session")
        say(client, "captured", _rid(request))
        return Response("ok")

    def scope(request: Any) -> Response:
        with hogline.new_context(fresh=True):
            say(client, "inside", _rid(request))
        say(client, "outside", _rid(request))
        return Response("ok")

    def slow(request: Any) -> Response:
        time.sleep(int(request.GET["delay_ms"]) / 1000)
        say(client, "captured", _rid(request))
        return Response(_rid(request))

    return {"/tag": tag, "/override": override, "/context": context, "/scope": scope, "/slow": slow}


class _Closing:
    """A body that does something once it was sent."""

    def __init__(self, later: Callable[[], None]) -> None:
        self._later = later

    def __iter__(self) -> Iterator[bytes]:
        yield b"ok"

    def close(self) -> None:
        self._later()


def _streams(client: PostHog) -> dict[str, Callable[[Any], Response]]:
    def stream(request: Any) -> Response:
        return Response(app_iter=chunks(client, _rid(request)))

    def stream_error(request: Any) -> Response:
        def body() -> Iterator[bytes]:
            yield b"a"
            raise ValueError(boom(_rid(request)))

        return Response(app_iter=body())

    def stream_long(request: Any) -> Response:
        def body() -> Iterator[bytes]:
            try:
                for _ in range(contract.LONG_CHUNKS):
                    yield b"x" * contract.CHUNK_BYTES
                    time.sleep(contract.PAUSE_S)
            finally:
                say(client, "closed", _rid(request))

        return Response(app_iter=body())

    def background(request: Any) -> Response:
        return Response(app_iter=_Closing(lambda: say(client, "later", _rid(request))), content_length=2)

    def background_error(request: Any) -> Response:
        def fail() -> None:
            raise ValueError(boom(_rid(request)))

        return Response(app_iter=_Closing(fail), content_length=2)

    return {
        "/stream": stream,
        "/stream-error": stream_error,
        "/stream-long": stream_long,
        "/background": background,
        "/background-error": background_error,
    }


def _errors(client: PostHog) -> dict[str, Callable[[Any], Response]]:
    def error(request: Any) -> Response:
        raise ValueError(boom(_rid(request)))

    def handled(request: Any) -> Response:
        raise DomainError(int(request.matchdict["status"]))

    def http(request: Any) -> Response:
        status = int(request.matchdict["status"])
        known = httpexceptions.status_map.get(status)
        raise known() if known else type("Odd", (httpexceptions.HTTPClientError,), {"code": status, "title": "Odd"})()

    def caught(request: Any) -> Response:
        try:
            raise ValueError(boom(_rid(request)))
        except ValueError as mistake:
            client.capture_exception(mistake, properties={"by": "hand", "rid": _rid(request)})
            raise

    return {"/error": error, "/handled/{status}": handled, "/http/{status}": http, "/caught": caught}


app = contract.serve_wsgi(build, contract.of_request)
