"""These tests show the promises that are special to Litestar.

No exception leaves it; the tests cover layers of handlers, 404s, mounts, and servers without a
lifespan.
"""

import logging

import pytest
from litestar import Controller, Litestar, Request, Response, Router, asgi, get
from litestar.exceptions import InternalServerException
from litestar.types import Receive, Scope, Send
from starlette.applications import Starlette
from starlette.exceptions import HTTPException as StarletteHTTPException
from starlette.routing import Mount

from hogline.interceptors.litestar import PostHogInterceptor
from hogline.interceptors.starlette import PostHogInterceptor as StarletteInterceptor
from tests.support.behaviours import shows
from tests.support.serving import VISITOR, now, serving_asgi
from tests.support.sink import exception_of, person_of


class DomainError(Exception):
    """A domain error that a registered handler answers with 507."""


def answer_507(request, error):
    return Response("handled", status_code=507, media_type="text/plain")


@pytest.fixture
def serve(posthog, sink):
    """Return a context manager that serves an app of *handlers*; other keywords are Litestar's."""

    def serve(*handlers, options=None, **litestar):
        plugin = PostHogInterceptor(client=posthog, **(options or {"capture_exceptions": True}))
        app = Litestar(handlers, plugins=[plugin], logging_config=None, **litestar)
        return serving_asgi(app, posthog, sink, lifespan="on")

    return serve


@get("/fail")
async def fail() -> None:
    raise DomainError


@get("/broken")
async def broken() -> None:
    raise ValueError("x")


class TestExceptions:
    @shows("registered-handlers")
    @pytest.mark.parametrize("layer", ["route", "controller", "router", "app"])
    def test_a_handler_of_any_layer_counts_as_handled(self, serve, layer):
        """Handlers are declared at four layers; each is behind `after_exception`."""
        handlers = {DomainError: answer_507}

        class Things(Controller):
            exception_handlers = handlers if layer == "controller" else {}

            @get("/fail", exception_handlers=handlers if layer == "route" else {})
            async def own(self) -> None:
                raise DomainError

        router = Router("/", route_handlers=[Things], exception_handlers=handlers if layer == "router" else {})
        with serve(router, exception_handlers=handlers if layer == "app" else {}) as site:
            assert site.get("/fail").status == 507
            assert [exception_of(event) for event in site.events] == [("DomainError", True, 507)]

    @shows("error-handler-context")
    @pytest.mark.parametrize("key", [500, Exception])
    def test_a_page_for_500_leaves_it_unhandled_and_has_the_visitor(self, serve, posthog, key):
        """A handler for every exception leaves the exception unhandled.

        An event that it captures belongs to the visitor.
        """

        def sorry(request, error):
            posthog.capture("sorry")
            return Response("sorry", status_code=503)

        with serve(broken, exception_handlers={key: sorry}) as site:
            assert site.get("/broken", VISITOR).status == 503
            events = sorted(site.events, key=lambda event: event.event)
        assert exception_of(events[0]) == ("ValueError", False, 503)
        assert [person_of(event) for event in events] == ["alice"] * 2

    @shows("http-error-from-threshold", "pipelined-requests")
    def test_http_exceptions_of_litestar_and_starlette_are_handled(self, serve):
        """.3: Litestar honours Starlette's too."""

        @get("/{name:str}")
        async def view(request: Request) -> None:
            raise {
                "own": InternalServerException(), "other": StarletteHTTPException(503), "mild": StarletteHTTPException(404),
            }[request.path_params["name"]]  # fmt: skip

        with serve(view) as site:
            assert [site.get(f"/{name}").status for name in ("own", "other", "mild")] == [500, 503, 404]
            events = site.events
        assert [exception_of(event) for event in events] == [
            ("InternalServerException", True, 500), ("HTTPException", True, 503),
        ]  # fmt: skip

    @shows("validation-errors")
    def test_what_cannot_be_serialised_is_an_event(self, serve):
        """The response's own mistakes are the server's."""

        @get("/odd")
        async def odd() -> object:
            return object()

        with serve(odd) as site:
            assert site.get("/odd").status == 500
            [event] = site.events
        assert exception_of(event)[1:] == (False, 500) or exception_of(event)[1:] == (True, 500)

    @shows("django-uncaught")
    def test_middleware_that_fails_is_an_event(self, serve):
        """Exceptions of the app's own middleware are events."""

        def failing(app):
            async def run(scope, receive, send):
                raise ValueError("in middleware")

            return run

        with serve(fail, middleware=[failing]) as site:
            assert site.get("/fail").status == 500
            assert [exception_of(event) for event in site.events] == [("ValueError", False, 500)]

    def test_middleware_that_answers_finds_litestar_has_answered(self, serve):
        """Never in the way: middleware sees responses, not exceptions, with us and without."""
        seen = []

        def looking(app):
            async def run(scope, receive, send):
                try:
                    await app(scope, receive, send)
                except Exception as error:
                    seen.append(error)

            return run

        with serve(broken, middleware=[looking]) as site:
            assert site.get("/broken").status == 500
            assert len(site.events) == 1
        assert seen == []


class TestContext:
    def test_a_404_handler_belongs_to_the_visitor(self, serve, posthog):
        """Litestar runs no middleware for a 404, but the interceptor wraps the app.

        The event has no template.
        """

        def nowhere(request, error):
            posthog.capture("nowhere")
            return Response("nowhere", status_code=404)

        with serve(fail, exception_handlers={404: nowhere}) as site:
            assert site.get("/x/y", VISITOR).status == 404
            [event] = site.events
        assert (event.event, person_of(event), "$request_route" in event.properties) == ("nowhere", "alice", False)

    @shows("original-path")
    def test_a_mounted_app_has_the_browsers_path(self, serve, posthog):
        """Litestar strips the path for what it mounts."""

        @asgi("/raw", is_mount=True, copy_scope=True)
        async def raw(scope: Scope, receive: Receive, send: Send) -> None:
            posthog.capture("raw")
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": scope["path"].encode()})

        with serve(raw) as site:
            assert site.get("/raw/deep/x?a=1", VISITOR).body.startswith(b"/deep/x")
            [event] = site.events
        assert event.properties["$request_path"] == "/raw/deep/x"
        assert event.properties["$current_url"] == "http://shop.example/raw/deep/x?a=1"

    def test_callbacks_get_litestars_request(self, serve, posthog):
        """The request has its user, when authentication has put one there."""

        def signed(app):
            async def run(scope, receive, send):
                scope["user"] = "user-7"
                await app(scope, receive, send)

            return run

        @get("/{name:str}", media_type="text/plain")
        async def view(request: Request) -> str:
            posthog.capture("seen")
            return str(now())

        options = {"distinct_id": lambda r: r.user, "properties": lambda r: {"path": r.url.path}}
        with serve(view, middleware=[signed], options=options) as site:
            assert site.get("/x", VISITOR).body == b"user-7"
            [event] = site.events
        assert (event.distinct_id, event.properties["path"]) == ("user-7", "/x")

    @shows("stacked-interceptors", "captured-once")
    def test_inside_another_interceptor_it_tells_the_route(self, posthog, sink):
        """Mounted in Starlette: one context, one event, the whole template."""

        @get("/things/{name:str}")
        async def thing() -> None:
            raise ValueError("x")

        plugin = PostHogInterceptor(client=posthog, capture_exceptions=True)
        inner = Litestar([thing], plugins=[plugin], logging_config=None)
        plugin.install(inner)
        around = Starlette(routes=[Mount("/shop", inner)])
        around.add_middleware(StarletteInterceptor, client=posthog, capture_exceptions=True)
        with serving_asgi(around, posthog, sink) as site:
            assert site.get("/shop/things/x", VISITOR).status == 500
            [event] = site.events
        assert (exception_of(event)[::2], person_of(event)) == (("ValueError", 500), "alice")
        assert event.properties["$request_route"] == "/shop/things/{name}"


class TestWithoutLifespan:
    def test_install_takes_its_place(self, posthog, sink):
        """Daphne runs no lifespan, and `install(app)` does what the start would have done.

        A second call changes nothing.
        """
        plugin = PostHogInterceptor(client=posthog, capture_exceptions=True)
        app = Litestar([broken], plugins=[plugin], logging_config=None)
        for _ in range(2):
            plugin.install(app)
        with serving_asgi(app, posthog, sink, lifespan="off") as site:
            assert site.get("/broken", VISITOR).status == 500
            [event] = site.events
        assert (exception_of(event), person_of(event)) == (("ValueError", False, 500), "alice")

    def test_without_either_the_log_says_what_to_do(self, posthog, sink, caplog):
        """A clear error, once."""
        plugin = PostHogInterceptor(client=posthog, capture_exceptions=True)
        app = Litestar([broken], plugins=[plugin], logging_config=None)
        with caplog.at_level(logging.WARNING, "hogline"), serving_asgi(app, posthog, sink, lifespan="off") as site:
            assert [site.get("/broken").status for _ in range(2)] == [500, 500]
        assert caplog.text.count("runs no lifespan: call the interceptor's install(app)") == 1


def test_a_hook_of_the_apps_own_is_still_called(posthog, sink):
    """Rule `chain-single-slots`: `after_exception` has many."""
    seen = []

    async def own(error, scope):
        seen.append(error)

    plugin = PostHogInterceptor(client=posthog, capture_exceptions=True)
    app = Litestar([broken], plugins=[plugin], after_exception=[own], logging_config=None)
    with serving_asgi(app, posthog, sink, lifespan="on") as site:
        site.get("/broken")
        assert len(site.events) == 1
    assert [type(error) for error in seen] == [ValueError]
