"""These tests show the promises that are special to Quart.

They cover who answers an exception, streams after the request context, callbacks that need it, and
sockets.
"""

import asyncio
import logging

import pytest
from quart import Quart, Response, abort, request, session, websocket
from starlette.applications import Starlette
from starlette.routing import Mount

from hogline.context import current
from hogline.interceptors.quart import PostHogInterceptor
from hogline.interceptors.starlette import PostHogInterceptor as StarletteInterceptor
from tests.support.behaviours import shows
from tests.support.serving import VISITOR, now, serving_asgi
from tests.support.sink import exception_of, person_of


class DomainError(Exception):
    """A domain error that a registered handler answers."""


@pytest.fixture
def app():
    application = Quart("shop")
    application.secret_key = "x"
    application.logger.setLevel(logging.CRITICAL)
    return application


@pytest.fixture
def serve(app, posthog, sink):
    """Return a context manager that serves *app* behind an interceptor with the options given."""

    def serve(**options):
        PostHogInterceptor(app, client=posthog, **options)
        return serving_asgi(app, posthog, sink)

    return serve


def raising(error):
    async def fail(*_, **__):
        raise error

    return fail


class TestContext:
    @shows("context-everywhere")
    def test_handlers_hooks_and_ends_belong_to_the_visitor(self, app, serve, posthog):
        """This holds for hooks, sync and async handlers, and teardown.

        The rule is their template, and the next request is nobody's.
        """

        @app.before_request
        async def before():
            posthog.capture("before")

        @app.get("/things/<int:number>")
        async def view(number):
            posthog.capture("view")
            return "ok"

        @app.get("/sync/<name>")
        def synchronous(name):
            posthog.capture("view")
            return "ok"

        @app.teardown_request
        async def teardown(error):
            posthog.capture("teardown")

        with serve() as site:
            site.get("/things/7", VISITOR)
            first = site.events
            site.get("/sync/x", VISITOR)
            second = site.events[len(first) :]
            site.get("/things/7")
            third = site.events[len(first) + len(second) :]
        for events, rule in ((first, "/things/<int:number>"), (second, "/sync/<name>")):
            assert [event.event for event in events] == ["before", "view", "teardown"]
            assert {event.properties["$request_route"] for event in events} == {rule}
            assert {person_of(event) for event in events} == {"alice"}
        assert {person_of(event) for event in third} == {None}

    @shows("context-everywhere")
    def test_a_stream_belongs_to_its_visitor(self, app, serve, posthog):
        """The body is sent after Quart has dropped its request.

        Visitor, rule and signed-in user are still known.
        """

        @app.get("/stream/<name>")
        async def stream(name):
            session["user"] = "user-7"

            async def body():
                posthog.capture("one")
                yield b"a"
                posthog.capture("two")
                yield b"b"

            return body()

        with serve(distinct_id=lambda r: session.get("user"), properties=lambda r: {"path": r.path}) as site:
            assert site.get("/stream/x", VISITOR).body == b"ab"
            events = site.events
        assert [(event.event, event.distinct_id) for event in events] == [("one", "user-7"), ("two", "user-7")]
        assert {event.properties["$request_route"] for event in events} == {"/stream/<name>"}
        assert {event.properties["path"] for event in events} == {"/stream/x"}

    def test_the_filter_gets_a_request_before_there_is_one(self, app, serve):
        """Callbacks get a `Request` for HTTP and a `Websocket` for a socket.

        Body and messages are left to the app.
        """
        seen = []

        @app.websocket("/<name>")
        async def socket(name):
            abort(403)

        @app.post("/<name>")
        async def view(name):
            return await request.get_data()

        def admit(one):
            seen.append((type(one).__name__, one.path, one.args["colour"], one.headers["X-One"]))

        asked = {
            "X-One": "1", "Upgrade": "websocket", "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
        }  # fmt: skip
        with serve(request_filter=admit) as site:
            assert site.get("/x?colour=red", asked | {"Connection": "Upgrade"}).status == 403
            assert site.get("/x?colour=red", {"X-One": "1"}).status == 405
        assert seen == [("Websocket", "/x", "red", "1"), ("Request", "/x", "red", "1")]

    @shows("nested-requests", "nested-test-client")
    def test_a_request_inside_a_handler_gives_the_outer_one_back(self, app, serve, posthog):
        """A test client inside a handler is another request."""

        @app.get("/inner/<name>")
        async def inner(name):
            posthog.capture("inner")
            return "ok"

        @app.get("/outer")
        async def outer():
            await app.test_client().get("/inner/x", headers={"X-POSTHOG-DISTINCT-ID": "bob"})
            posthog.capture("outer")
            return str(now())

        with serve() as site:
            assert site.get("/outer", VISITOR).body == b"alice"
            events = site.events
        assert [(event.event, event.distinct_id, event.properties["$request_route"]) for event in events] == [
            ("inner", "bob", "/inner/<name>"),
            ("outer", "alice", "/outer"),
        ]

    @shows("stacked-interceptors", "captured-once")
    def test_a_mounted_app_tells_its_route_to_the_interceptor_around_it(self, app, posthog, sink):
        """One context, one event, the inner rule with the prefix of its mount."""
        app.add_url_rule("/things/<name>", view_func=raising(ValueError("x")))
        PostHogInterceptor(app, client=posthog, capture_exceptions=True)
        around = Starlette(routes=[Mount("/shop", app)])
        around.add_middleware(StarletteInterceptor, client=posthog, capture_exceptions=True)
        with serving_asgi(around, posthog, sink) as site:
            assert site.get("/shop/things/x", VISITOR).status == 500
            [event] = site.wait_for(1)
        assert (exception_of(event), person_of(event)) == (("ValueError", False, 500), "alice")
        assert event.properties["$request_route"] == "/shop/things/<name>"
        assert event.properties["$request_path"] == "/shop/things/x"

    @shows("stacked-interceptors")
    def test_a_second_interceptor_is_ignored_and_says_so(self, app, posthog, serve, caplog):
        """init_app twice."""
        PostHogInterceptor(client=posthog).init_app(app)
        with serve():
            pass
        assert "has an interceptor already" in caplog.text


class TestExceptions:
    @shows("swallowed-errors", "flask-hooks")
    @pytest.mark.parametrize("place", ["view", "before", "after", "none", "teardown", "error handler"])
    def test_wherever_it_is_raised_it_is_one_event(self, app, serve, place):
        """Handlers, earlier and later hooks, no response at all, an error handler that fails."""
        fail = raising(ValueError("x"))

        async def nothing():
            return None

        async def fine():
            return "ok"

        app.add_url_rule(
            "/", view_func={"view": fail, "none": nothing, "error handler": raising(DomainError())}.get(place, fine)
        )
        if place == "before":
            app.before_request(fail)
        if place == "after":
            app.after_request(fail)
        if place == "teardown":
            app.teardown_request(fail)
        app.register_error_handler(DomainError, fail)
        expected = {"none": ["TypeError"], "error handler": ["DomainError", "ValueError"]}.get(place, ["ValueError"])
        with serve(capture_exceptions=True) as site:
            assert site.get("/").status == 500
            events = site.wait_for(len(expected))
        assert sorted(exception_of(event) for event in events) == [(name, False, 500) for name in expected]

    @shows("abort-with-response")
    @pytest.mark.parametrize(
        ("raise_it", "expected"),
        [
            (lambda: abort(503), ("ServiceUnavailable", True, 503)),
            (lambda: abort(Response("no", 599)), ("HTTPException", True, 599)),
        ],
    )
    def test_aborts_are_events_with_the_right_status(self, app, serve, raise_it, expected):
        """abort(503), abort(Response(status=599))."""

        @app.get("/")
        async def view():
            raise_it()

        with serve(capture_exceptions=True) as site:
            assert site.get("/").status == expected[2]
            assert [exception_of(event) for event in site.wait_for(1)] == [expected]

    @shows("error-handler-context")
    def test_a_page_for_500_leaves_it_unhandled(self, app, serve, posthog):
        """Quart itself counts the exception as unhandled.

        The page belongs to the visitor, with the status that it sets.
        """

        async def sorry(error):
            posthog.capture("sorry")
            return "sorry", 503

        app.register_error_handler(500, sorry)
        app.add_url_rule("/", view_func=raising(ValueError("x")))
        with serve(capture_exceptions=True) as site:
            assert site.get("/", VISITOR).status == 503
            events = sorted(site.wait_for(2), key=lambda event: event.event)
        assert exception_of(events[0]) == ("ValueError", False, 503)
        assert [person_of(event) for event in events] == ["alice"] * 2

    @shows("captured-once")
    def test_propagated_it_is_one_event(self, app, serve):
        """The signal first, then it leaves; with PROPAGATE_EXCEPTIONS the server answers."""
        app.config["PROPAGATE_EXCEPTIONS"] = True
        app.add_url_rule("/", view_func=raising(ValueError("x")))
        with serve(capture_exceptions=True) as site:
            assert site.get("/").status == 500
            assert [exception_of(event) for event in site.wait_for(1)] == [("ValueError", False, 500)]

    @shows("background-error")
    def test_a_background_task_fails_in_the_name_of_its_visitor(self, app, serve, sink):
        """This also holds when the request is long over."""
        over = []

        @app.get("/<name>")
        async def view(name):
            async def later():
                while not over:
                    await asyncio.sleep(0.01)
                raise ValueError("later")

            app.add_background_task(later)
            return "ok"

        with serve(capture_exceptions=True) as site:
            assert site.get("/x", VISITOR).status == 200
            over.append(True)
            sink.wait_until(lambda: site.events)
            [event] = site.events
        assert (exception_of(event), person_of(event)) == (("ValueError", False, 200), "alice")
        assert event.properties["$request_route"] == "/<name>"

    @shows("route-template")
    def test_a_socket_has_its_rule(self, app, serve, posthog):
        """WebSockets have routes too."""

        @app.websocket("/rooms/<name>")
        async def room(name):
            posthog.capture("entered")
            assert websocket.path == "/rooms/x"
            abort(403)

        asked = {"Upgrade": "websocket", "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ=="}
        with serve(capture_exceptions=True) as site:
            site.get("/rooms/x", VISITOR | asked | {"Connection": "Upgrade"})
            [event] = site.events
        assert (person_of(event), event.properties["$request_route"]) == ("alice", "/rooms/<name>")


@shows("no-leak-on-connection")
def test_nothing_is_left_of_a_request(app, posthog, sink):
    """The request is called in process, where it runs in the caller's own task."""
    PostHogInterceptor(app, client=posthog, capture_exceptions=True)
    app.add_url_rule("/", view_func=raising(ValueError("x")))

    async def ask():
        answer = await app.test_client().get("/", headers=VISITOR)
        assert current.get() is None
        return answer.status_code

    assert asyncio.run(ask()) == 500
