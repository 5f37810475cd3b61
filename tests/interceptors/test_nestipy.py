"""These tests show the promises that are special to Nestipy.

They cover requests that it mixes up, interceptors in classes, filters, and a 404 that is a route.
"""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from typing import Annotated, Any

import pytest

pytest.importorskip("nestipy", reason="in an environment of its own: ./dev frameworks nestipy")

from nestipy.common import (
    CanActivate,
    Controller,
    Get,
    HttpException,
    Injectable,
    Module,
    NestipyInterceptor,
    UseGuards,
    UseInterceptors,
)
from nestipy.common import Request as NestipyRequest
from nestipy.core import NestipyConfig, NestipyFactory
from nestipy.ioc import Req

from hogline.interceptors.nestipy import PostHogInterceptor, posthog_interceptor
from tests.support.behaviours import shows
from tests.support.serving import VISITOR, serving_asgi
from tests.support.sink import exception_of, person_of


@pytest.fixture
def serve(posthog, sink):
    """Return a function that serves a controller, with the interceptors that its caller
    registers.
    """

    def serve(controller: type, *interceptors: type, middleware: Any = None) -> AbstractContextManager[Any]:
        @Module(controllers=[controller])
        class Shop:
            pass

        config = NestipyConfig(debug=False, log_bootstrap=False, log_level="CRITICAL", health_enabled=False)
        app = NestipyFactory.create(Shop, config=config)
        app.use_global_interceptors(*(interceptors or [posthog_interceptor(client=posthog, capture_exceptions=True)]))
        if middleware is not None:
            app.get_adapter().get_instance().add_middleware(middleware)
        return serving_asgi(app, posthog, sink, lifespan="on")

    return serve


class Waits:
    """A middleware inside of Nestipy's adapter that waits, so that another request becomes the
    adapter's.
    """

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            await asyncio.sleep(0.05)
        await self.app(scope, receive, send)


@shows("nestipy-visitors")
def test_concurrent_visitors_are_never_mixed(serve, posthog, sink):
    """With middleware that waits, Nestipy hands a request another one's path and headers.

    Events keep to their own.
    """
    mixed = []

    @Controller("/")
    class Shop:
        @Get("/hello/{name}")
        async def hello(self, req: Annotated[NestipyRequest, Req()]) -> str:
            mixed.append(req.path)
            posthog.capture("hello")
            raise ValueError("boom")

    names = [f"visitor-{number}" for number in range(12)]
    with serve(Shop, middleware=Waits) as site:

        def ask(name: str) -> int:
            return site.get(f"/hello/{name}", {**VISITOR, "X-POSTHOG-DISTINCT-ID": name}).status

        with ThreadPoolExecutor(len(names)) as pool:
            assert set(pool.map(ask, names)) == {500}
        events = site.events
    assert len(set(mixed)) < len(names), "Nestipy mixes nothing up any more: the reason for our layer is gone"
    for kind in ("hello", "$exception"):
        found = [event for event in events if event.event == kind]
        assert sorted(event.distinct_id for event in found) == sorted(names)
        assert all(event.properties["$request_path"] == f"/hello/{event.distinct_id}" for event in found)
        assert {event.properties["$request_route"] for event in found} == {"/hello/{name}"}


def test_other_interceptors_are_inside_of_ours(serve, posthog):
    """The global interceptor sees an exception of a route's own interceptor, once."""

    @Injectable()
    class Fails(NestipyInterceptor):
        async def intercept(self, context: Any, next_fn: Any) -> Any:
            await next_fn()
            raise LookupError("an interceptor's mistake")

    @Controller("/")
    class Shop:
        @UseInterceptors(Fails)
        @Get("/own")
        async def own(self) -> str:
            return "ok"

    with serve(Shop) as site:
        assert site.get("/own", VISITOR).status == 500
        [event] = site.exceptions
    assert (exception_of(event), person_of(event)) == (("LookupError", False, 500), "alice")


def test_guards_belong_to_the_visitor(serve, posthog):
    """Guards run before interceptors, as in NestJS.

    Their events belong to the visitor, and a refusal is no event.
    """

    @Injectable()
    class Guard(CanActivate):
        async def can_activate(self, context: Any) -> bool:
            posthog.capture("guarded")
            return False

    @Controller("/")
    class Shop:
        @UseGuards(Guard)
        @Get("/guarded")
        async def guarded(self) -> str:
            return "never"

    with serve(Shop) as site:
        assert site.get("/guarded", VISITOR).status in (401, 403)
        [event] = site.events
    assert (event.event, person_of(event)) == ("guarded", "alice")


@shows("http-error-below-threshold", "route-template")
def test_a_404_is_no_event_and_has_no_template(serve, posthog):
    """The router's own 404 passes interceptors as an exception.

    From 400 on it counts, without a template.
    """

    @Controller("/")
    class Shop:
        @Get("/status/{code}")
        async def status(self, req: Annotated[NestipyRequest, Req()]) -> str:
            raise HttpException(int(req.path_params["code"]), "no")

    with serve(Shop) as site:
        assert [site.get(path, VISITOR).status for path in ("/nowhere", "/status/404", "/status/1234")] == [
            404,
            404,
            500,
        ]
        [event] = site.exceptions  # a remote procedure's code is Nestipy's 500
    assert exception_of(event) == ("HttpException", True, 500)
    assert event.properties["$request_route"] == "/status/{code}"


def test_a_subclass_says_its_options(serve, posthog):
    """Nestipy makes interceptors itself: a class of one's own holds the options."""

    class Analytics(PostHogInterceptor):
        options = {"client": posthog, "capture_exceptions": True, "properties": lambda _: {"app": "shop"}}

    @Controller("/")
    class Shop:
        @Get("/fails")
        async def fails(self) -> str:
            raise ValueError("boom")

    with serve(Shop, Analytics) as site:
        assert site.get("/fails", VISITOR).status == 500
        [event] = site.exceptions
    assert (exception_of(event), event.properties["app"]) == (("ValueError", False, 500), "shop")


def test_an_option_that_does_not_exist_is_an_error():
    """At the start, not with the first request."""
    with pytest.raises(TypeError, match="no option 'capture'"):
        posthog_interceptor(capture=True)
