"""Middleware that stands beside the interceptor in Django's list, and a server for ASGI in a thread of the test's own process."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import uvicorn
from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.http import HttpRequest, HttpResponse

from hogline import PostHog
from tests.interceptors.apps.contract import DomainError
from tests.interceptors.apps.wsgi import Answer, Site
from tests.support.sink import Sink

WAIT_S = 30.0


class Neighbour:
    """Middleware for either kind of handler that does nothing."""

    sync_capable = async_capable = True

    def __init__(self, get_response: Any) -> None:
        self.get_response = get_response
        if iscoroutinefunction(get_response):
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> Any:
        return self.get_response(request)


class SyncOnly(Neighbour):
    """Django runs it, and what stands next to it, in threads."""

    async_capable = False


class Answers(Neighbour):
    """Answers domain errors."""

    def process_exception(self, request: HttpRequest, error: Exception) -> HttpResponse | None:
        return HttpResponse("answered", status=error.status) if isinstance(error, DomainError) else None


class FailsToAnswer(Neighbour):
    """Raises where it should answer."""

    def process_exception(self, request: HttpRequest, error: Exception) -> HttpResponse | None:
        raise KeyError("no answer")


class RaisesBefore(SyncOnly):
    def __call__(self, request: HttpRequest) -> HttpResponse:
        raise LookupError("before")


class RaisesAfter(SyncOnly):
    def __call__(self, request: HttpRequest) -> HttpResponse:
        self.get_response(request)
        raise LookupError("after")


class AsgiSite(Site):
    """A site whose server sends bodies in chunks."""

    def get(self, path: str, headers: dict[str, str] | None = None, *, host: str = "shop.example") -> Answer:
        answer = super().get(path, headers, host=host)
        if answer.header("Transfer-Encoding") != "chunked":
            return answer
        body, rest = b"", answer.body
        while rest:
            size, _, rest = rest.partition(b"\r\n")
            body, rest = body + rest[: int(size, 16)], rest[int(size, 16) + 2 :]
        return replace(answer, body=body)


@contextmanager
def serving_asgi(app: Any, posthog: PostHog, sink: Sink) -> Iterator[Site]:
    """Serve *app* with uvicorn, on an event loop in a thread."""
    config = uvicorn.Config(app, host="127.0.0.1", port=0, log_config=None, lifespan="off", loop="asyncio")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=lambda: asyncio.run(server.serve()), daemon=True)
    thread.start()
    try:
        sink.wait_until(lambda: server.started, WAIT_S)
        yield AsgiSite(server.servers[0].sockets[0].getsockname()[1], posthog, sink)
    finally:
        server.should_exit = True
        thread.join(WAIT_S)
