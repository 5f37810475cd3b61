"""The contract's routes as Django views, synchronous ones and asynchronous ones."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

from django.core.exceptions import RequestAborted
from django.http import Http404, HttpRequest, HttpResponse, StreamingHttpResponse

import hogline
from hogline import PostHog
from tests.interceptors.apps import contract
from tests.interceptors.apps.contract import DomainError, boom, chunks, say

STRANGE: dict[str, Callable[[], BaseException]] = {
    "lookalike": contract.UpstreamError,
    "ignored": contract.IgnoredError,
    "group": lambda: contract.group(RequestAborted()),
    "group-noise": lambda: contract.noise_group(RequestAborted()),
    "group-http": lambda: ExceptionGroup("http", [Http404()]),
    "frozen": lambda: contract.FrozenError("frozen"),
    "hostile": contract.HostileError,
    "refusing": contract.RefusingError,
    "reused": lambda: contract.REUSED,
    "exit": SystemExit,
}


def rid_of(request: HttpRequest) -> str:
    return request.GET.get("rid", "")


class Views:
    """The views that WSGI serves as they are, and ASGI from a coroutine."""

    def __init__(self, client: PostHog) -> None:
        self.client = client

    def routes(self) -> list[tuple[str, Callable[..., Any]]]:
        """Return each view at its path; parameters in `django.urls.path`'s spelling."""
        return [
            ("nothing", self.nothing),
            ("capture", self.capture),
            ("items/<item_id>", self.item),
            ("checkout", self.checkout),
            ("who", self.who),
            ("headers", self.headers),
            ("tag", self.tag),
            ("override", self.override),
            ("context", self.context),
            ("scope", self.scope),
            ("slow", self.slow),
            ("stream", self.stream),
            ("stream-error", self.stream_error),
            ("stream-long", self.stream_long),
            ("error", self.error),
            ("handled/<int:status>", self.handled),
            ("caught", self.caught),
            *((path, raising(make)) for path, make in STRANGE.items()),
        ]

    def nothing(self, request: HttpRequest) -> HttpResponse:
        return HttpResponse("nothing")

    def capture(self, request: HttpRequest) -> HttpResponse:
        say(self.client, "captured", rid_of(request))
        return HttpResponse("ok")

    def item(self, request: HttpRequest, item_id: str) -> HttpResponse:
        say(self.client, "captured", rid_of(request))
        return HttpResponse(item_id)

    def checkout(self, request: HttpRequest) -> HttpResponse:
        body = request.body
        say(self.client, "checkout", rid_of(request))
        return HttpResponse(body)

    def who(self, request: HttpRequest) -> HttpResponse:
        return HttpResponse(hogline.get_context_distinct_id() or "-")

    def headers(self, request: HttpRequest) -> HttpResponse:
        """Of other headers than cookies, Django keeps the last one."""
        say(self.client, "captured", rid_of(request))
        response = HttpResponse("headers", status=201)
        for name, value in contract.HEADERS:
            if name == "Set-Cookie":
                response.set_cookie(*value.split("="))
            else:
                response[name] = value
        return response

    def tag(self, request: HttpRequest) -> HttpResponse:
        hogline.tag("colour", rid_of(request))
        return self.capture(request)

    def override(self, request: HttpRequest) -> HttpResponse:
        properties = {"rid": rid_of(request), "$request_method": "CALLER"}
        self.client.capture("captured", distinct_id="caller", properties=properties)
        return HttpResponse("ok")

    def context(self, request: HttpRequest) -> HttpResponse:
        hogline.identify_context("context")
        hogline.set_context_session("context-session")
        return self.capture(request)

    def scope(self, request: HttpRequest) -> HttpResponse:
        with hogline.new_context(fresh=True):
            say(self.client, "inside", rid_of(request))
        say(self.client, "outside", rid_of(request))
        return HttpResponse("ok")

    def slow(self, request: HttpRequest) -> HttpResponse:
        time.sleep(int(request.GET["delay_ms"]) / 1000)
        say(self.client, "captured", rid_of(request))
        return HttpResponse(rid_of(request))

    def stream(self, request: HttpRequest) -> StreamingHttpResponse:
        return StreamingHttpResponse(chunks(self.client, rid_of(request)))

    def stream_error(self, request: HttpRequest) -> StreamingHttpResponse:
        def body() -> Iterator[bytes]:
            yield b"a"
            raise ValueError(boom(rid_of(request)))

        return StreamingHttpResponse(body())

    def stream_long(self, request: HttpRequest) -> StreamingHttpResponse:
        def body() -> Iterator[bytes]:
            try:
                for _ in range(contract.LONG_CHUNKS):
                    yield b"x" * contract.CHUNK_BYTES
                    time.sleep(contract.PAUSE_S)
            finally:
                say(self.client, "closed", rid_of(request))

        return StreamingHttpResponse(body())

    def error(self, request: HttpRequest) -> HttpResponse:
        raise ValueError(boom(rid_of(request)))

    def handled(self, request: HttpRequest, status: int) -> HttpResponse:
        raise DomainError(status)

    def caught(self, request: HttpRequest) -> HttpResponse:
        try:
            raise ValueError(boom(rid_of(request)))
        except ValueError as error:
            self.client.capture_exception(error, properties={"by": "hand", "rid": rid_of(request)})
            raise


class AsyncViews(Views):
    """The same views, and those that an event loop adds.

    Views without an `await` in them become coroutine functions as they are.
    """

    def __init__(self, client: PostHog) -> None:
        super().__init__(client)
        self._waiting: set[asyncio.Task[None]] = set()

    def routes(self) -> list[tuple[str, Callable[..., Any]]]:
        views = [(path, asynchronous(view)) for path, view in super().routes()]
        return [
            *views,
            ("sync", self.capture),
            ("error-sync", self.error),
            ("stream-sync", super().stream),
            ("task", self.task),
            ("thread", self.thread),
        ]

    async def slow(self, request: HttpRequest) -> HttpResponse:  # type: ignore[override]
        await asyncio.sleep(int(request.GET["delay_ms"]) / 1000)
        say(self.client, "captured", rid_of(request))
        return HttpResponse(rid_of(request))

    async def stream(self, request: HttpRequest) -> StreamingHttpResponse:  # type: ignore[override]
        async def body() -> AsyncIterator[bytes]:
            for chunk in chunks(self.client, rid_of(request)):
                yield chunk
                await asyncio.sleep(0)

        return StreamingHttpResponse(body())

    async def stream_error(self, request: HttpRequest) -> StreamingHttpResponse:  # type: ignore[override]
        async def body() -> AsyncIterator[bytes]:
            yield b"a"
            raise ValueError(boom(rid_of(request)))

        return StreamingHttpResponse(body())

    async def stream_long(self, request: HttpRequest) -> StreamingHttpResponse:  # type: ignore[override]
        async def body() -> AsyncIterator[bytes]:
            try:
                for _ in range(contract.LONG_CHUNKS):
                    yield b"x" * contract.CHUNK_BYTES
                    await asyncio.sleep(contract.PAUSE_S)
            finally:
                say(self.client, "closed", rid_of(request))

        return StreamingHttpResponse(body())

    async def task(self, request: HttpRequest) -> HttpResponse:
        async def later() -> None:
            await asyncio.sleep(0.3)
            say(self.client, "later", rid_of(request))

        started = asyncio.create_task(later())
        self._waiting.add(started)
        started.add_done_callback(self._waiting.discard)
        return HttpResponse("ok")

    async def thread(self, request: HttpRequest) -> HttpResponse:
        await asyncio.to_thread(say, self.client, "in thread", rid_of(request))
        alone = threading.Thread(target=say, args=(self.client, "alone", rid_of(request)))
        alone.start()
        await asyncio.to_thread(alone.join)
        return HttpResponse("ok")


def raising(make: Callable[[], BaseException]) -> Callable[..., Any]:
    """Return a view that raises what *make* returns."""

    def strange(request: HttpRequest) -> HttpResponse:
        raise make()

    return strange


def asynchronous(view: Callable[..., Any]) -> Callable[..., Any]:
    """Return *view* as a coroutine function."""
    if asyncio.iscoroutinefunction(view):
        return view

    async def coroutine(request: HttpRequest, **parameters: Any) -> Any:
        return view(request, **parameters)

    return coroutine
