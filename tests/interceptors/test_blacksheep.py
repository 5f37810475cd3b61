"""These tests show the promises that are special to BlackSheep.

They cover who answers an exception, middlewares in between, mounts, and callbacks with its request.
"""

import asyncio
import logging
import threading

import pytest
from blacksheep import Application, Request, Response, Router, text
from blacksheep.exceptions import HTTPException
from blacksheep.middlewares import MiddlewareCategory
from pydantic import BaseModel
from starlette.applications import Starlette
from starlette.routing import Mount

from hogline import ExceptionCapture
from hogline.interceptors.blacksheep import PostHogInterceptor
from hogline.interceptors.starlette import PostHogInterceptor as StarletteInterceptor
from tests.support.behaviours import shows
from tests.support.serving import VISITOR, serving_asgi
from tests.support.sink import exception_of, person_of


class DomainError(Exception):
    """A domain error that a registered handler, or a middleware, answers with 507."""


class Order(BaseModel):
    number: int


async def answer_507(*_):
    return text("handled", 507)


@pytest.fixture
def app():
    application = Application(router=Router())
    application.logger.setLevel(logging.CRITICAL)
    return application


@pytest.fixture
def serve(app, posthog, sink):
    """Return a context manager that serves *app* behind an interceptor with the options given."""

    def serve(**options):
        interceptor = PostHogInterceptor(app, client=posthog, **(options or {"capture_exceptions": True}))
        return serving_asgi(interceptor, posthog, sink, lifespan="on")

    return serve


def raising(error):
    async def fail(request: Request) -> Response:
        raise error

    return fail


class TestExceptions:
    @shows("registered-handlers")
    @pytest.mark.parametrize("where", ["handler", "middleware"])
    def test_what_somebody_answers_is_handled(self, app, serve, where):
        """A registered handler; a middleware, whatever its category."""
        app.router.add_get("/", raising(DomainError()))

        async def answering(request, handler):
            try:
                return await handler(request)
            except DomainError:
                return text("handled", 507)

        if where == "handler":
            app.exceptions_handlers[DomainError] = answer_507
        else:
            app.middlewares.append(answering, MiddlewareCategory.MESSAGE, 5)
        with serve() as site:
            assert site.get("/").status == 507
            events = site.wait_for(1)
        assert [exception_of(event) for event in events] == [("DomainError", True, 507)]

    @shows("django-uncaught")
    def test_middleware_that_fails_is_an_event(self, app, serve):
        """The exception is seen in the first of all middlewares too."""

        async def failing(request, handler):
            raise ValueError("in middleware")

        app.router.add_get("/", raising(DomainError()))
        app.middlewares.append(failing, MiddlewareCategory.INIT)
        with serve() as site:
            assert site.get("/").status == 500
            assert [exception_of(event) for event in site.wait_for(1)] == [("ValueError", False, 500)]

    @shows("error-handler-context")
    @pytest.mark.parametrize("key", [500, Exception])
    def test_a_page_for_500_leaves_it_unhandled(self, app, serve, posthog, key):
        """A handler for every exception leaves the exception unhandled.

        An event that it captures belongs to the visitor.
        """

        async def sorry(*_):
            posthog.capture("sorry")
            return text("sorry", 503)

        app.exceptions_handlers[key] = sorry
        app.router.add_get("/", raising(ValueError("x")))
        with serve() as site:
            assert site.get("/", VISITOR).status == 503
            events = sorted(site.wait_for(2), key=lambda event: event.event)
        assert exception_of(events[0]) == ("ValueError", False, 503)
        assert [person_of(event) for event in events] == ["alice"] * 2

    @pytest.mark.parametrize(("threshold", "count"), [(500, 0), (400, 1)])
    def test_a_request_that_is_not_valid_is_the_clients(self, app, serve, threshold, count):
        """BlackSheep answers pydantic's ValidationError with 400."""

        async def order(request: Request) -> Response:
            return text(str(Order(number=(request.query.get("number") or [""])[0])))

        app.router.add_get("/", order)
        with serve(capture_exceptions=ExceptionCapture(min_status_to_capture=threshold)) as site:
            assert site.get("/?number=x").status == 400
            site.get("/?number=3")
            assert [exception_of(event) for event in site.events] == [("ValidationError", True, 400)] * count

    @shows("http-error-from-threshold", "http-error-below-threshold")
    def test_http_exceptions_are_judged_by_their_status(self, app, serve):
        """A route's, and the router's own 404."""
        app.router.add_get("/busy", raising(HTTPException(503)))
        app.router.add_get("/mild", raising(HTTPException(404)))
        with serve() as site:
            assert [site.get(path).status for path in ("/busy", "/mild", "/nowhere")] == [503, 404, 404]
            assert [exception_of(event) for event in site.wait_for(1)] == [("HTTPException", True, 503)]


class TestContext:
    @shows("context-everywhere")
    def test_middlewares_belong_to_the_visitor(self, app, serve, posthog):
        """All of them, and a 404's; the pattern is the template, and a 404 has none."""

        async def first(request, handler):
            posthog.capture("first")
            return await handler(request)

        async def view(request: Request) -> Response:
            posthog.capture("view")
            return text("ok")

        app.middlewares.append(first, MiddlewareCategory.INIT)
        app.router.add_get("/things/:name", view)
        with serve() as site:
            assert [site.get(path, VISITOR).status for path in ("/things/x", "/nowhere")] == [200, 404]
            events = site.wait_for(3)
        assert [event.event for event in events] == ["first", "view", "first"]
        assert [event.properties.get("$request_route") for event in events] == ["/things/:name", "/things/:name", None]
        assert {person_of(event) for event in events} == {"alice"}

    @shows("route-template")
    def test_a_mounted_application_has_its_prefix(self, app, serve, posthog):
        """BlackSheep in BlackSheep, with one interceptor around both."""

        async def view(request: Request) -> Response:
            posthog.capture("view")
            raise ValueError("x")

        child = Application(router=Router())
        child.logger.setLevel(logging.CRITICAL)
        child.router.add_get("/things/:name", view)
        app.mount("/shop", child)
        with serve() as site:
            assert site.get("/shop/things/x", VISITOR).status == 500
            events = site.wait_for(2)
        assert {event.properties["$request_route"] for event in events} == {"/shop/things/:name"}
        assert exception_of(events[1]) == ("ValueError", False, 500)

    @shows("context-everywhere", "route-template")
    @pytest.mark.parametrize("prefix", ["", "/shop"])
    def test_what_comes_after_the_response_has_the_route_still(self, app, serve, posthog, prefix):
        """A task that captures for the first time when BlackSheep has let go of its request."""
        over, tasks = threading.Event(), []

        async def late():
            await asyncio.to_thread(over.wait, 20)
            posthog.capture("late")

        async def view(request: Request) -> Response:
            tasks.append(asyncio.create_task(late()))
            return text("ok")

        inner = app
        if prefix:
            inner = Application(router=Router())
            app.mount(prefix, inner)
        inner.router.add_get("/things/:name", view)
        with serve() as site:
            assert site.get(f"{prefix}/things/x", VISITOR).status == 200
            over.set()
            [event] = site.wait_for(1)
        assert (person_of(event), event.properties.get("$request_route")) == ("alice", f"{prefix}/things/:name")

    @shows("stacked-interceptors", "captured-once")
    def test_inside_another_interceptor_it_tells_the_route(self, app, posthog, sink):
        """Mounted in Starlette: one context, one event, the whole template."""
        app.router.add_get("/things/:name", raising(ValueError("x")))
        inner = PostHogInterceptor(app, client=posthog, capture_exceptions=True)
        around = Starlette(routes=[Mount("/shop", inner)])
        around.add_middleware(StarletteInterceptor, client=posthog, capture_exceptions=True)
        with serving_asgi(around, posthog, sink) as site:
            assert site.get("/shop/things/x", VISITOR).status == 500
            [event] = site.wait_for(1)
        assert (exception_of(event)[::2], person_of(event)) == (("ValueError", 500), "alice")
        assert event.properties["$request_route"] == "/shop/things/:name"

    def test_callbacks_get_blacksheeps_request(self, app, serve, posthog):
        """Callbacks get the app's own request, with its user, when something is captured.

        The filter gets one like it.
        """
        filtered = []

        async def signed(request, handler):
            request.user = "user-7"
            return await handler(request)

        async def view(request: Request) -> Response:
            posthog.capture("seen")
            return text("ok")

        app.middlewares.append(signed)
        app.router.add_get("/x", view)
        options = {
            "distinct_id": lambda request: request.user,
            "properties": lambda request: {"colour": request.query["colour"][0]},
            "request_filter": lambda request: filtered.append((request.path, request.method)),
        }
        with serve(**options) as site:
            assert site.get("/x?colour=red", VISITOR).status == 200
            [event] = site.wait_for(1)
        assert (event.distinct_id, event.properties["colour"]) == ("user-7", "red")
        assert filtered == [("/x", "GET")]
