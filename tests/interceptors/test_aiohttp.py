"""These tests show the promises that are special to aiohttp.

They cover middlewares around and inside, bodies made while they are sent, and control flow by
exception.
"""

import asyncio
import gc
import weakref
from contextlib import asynccontextmanager

import aiohttp
import pytest
from aiohttp import web, web_app

from hogline.interceptors.aiohttp import PostHogInterceptor
from tests.support.behaviours import shows
from tests.support.serving import VISITOR, now, serving_own
from tests.support.sink import exception_of, person_of


class DomainError(Exception):
    """A domain error that a middleware answers with 507."""


@pytest.fixture
def interceptor(posthog):
    return PostHogInterceptor(client=posthog, capture_exceptions=True)


@pytest.fixture
def serve(posthog, sink):
    """Return a context manager that serves an application as it is."""

    def serve(app):
        @asynccontextmanager
        async def start():
            runner = web.AppRunner(app, access_log=None)
            await runner.setup()
            try:
                await web.TCPSite(runner, "127.0.0.1", 0).start()
                yield runner.addresses[0][1]
            finally:
                await runner.cleanup()

        return serving_own(start, posthog, sink)

    return serve


@web.middleware
async def answering(request, handler):
    try:
        return await handler(request)
    except DomainError:
        return web.Response(status=507, text="handled")


def app_of(handler, *middlewares):
    app = web.Application(middlewares=middlewares)
    app.router.add_get("/{name}", handler)
    return app


class TestMiddlewares:
    @pytest.mark.parametrize("place", ["first", "between", "last", "twice"])
    def test_what_a_middleware_answers_is_seen_wherever_we_stand(self, interceptor, serve, place):
        """An exception is seen before the middleware that makes a response of it."""

        async def fail(request):
            raise DomainError

        others = {
            "first": [interceptor, answering],
            "between": [answering, interceptor, answering],
            "last": [answering, interceptor],
            "twice": [interceptor, answering, interceptor],
        }
        with serve(app_of(fail, *others[place])) as site:
            for _ in range(2):  # composed anew, and as kept
                assert site.get("/x").status == 507
            events = site.events
        assert [exception_of(event) for event in events] == [("DomainError", True, 507)] * 2

    def test_middlewares_get_the_handler_as_they_know_it(self, interceptor, serve):
        """The interceptor hides nothing: middlewares still see the names and attributes of
        handlers.
        """
        seen = []

        @web.middleware
        async def looking(request, handler):
            seen.append((handler.__name__, getattr(handler, "role", None)))
            return await handler(request)

        async def shown(request):
            return web.Response()

        shown.role = "admin"
        with serve(app_of(shown, interceptor, looking, looking)) as site:
            assert site.get("/x").status == 200
        assert seen == [("shown", "admin")] * 2

    @shows("swallowed-errors")
    def test_class_based_views_are_seen_too(self, interceptor, serve):
        """`web.View`, its template included."""

        class Thing(web.View):
            async def get(self):
                raise ValueError("x")

        with serve(app_of(Thing, interceptor, answering)) as site:
            assert site.get("/x").status == 500
            [event] = site.events
        assert exception_of(event) == ("ValueError", False, 500)
        assert event.properties["$request_route"] == "/{name}"

    @shows("stacked-interceptors", "captured-once")
    def test_a_sub_application_with_its_own_interceptor_is_one_event(self, posthog, interceptor, serve):
        """Nested interceptors; the template has the sub-application's prefix."""

        async def fail(request):
            posthog.capture("inside")
            raise ValueError("x")

        inner = app_of(fail, PostHogInterceptor(client=posthog, capture_exceptions=True), answering)
        app = web.Application(middlewares=[interceptor])
        app.add_subapp("/shop", inner)
        with serve(app) as site:
            assert site.get("/shop/x", VISITOR).status == 500
            events = site.events
        assert [event.event for event in events] == ["inside", "$exception"]
        assert {(person_of(event), event.properties["$request_route"]) for event in events} == {
            ("alice", "/shop/{name}")
        }

    def test_only_the_sub_application_may_have_one(self, posthog, serve):
        """The context begins where the interceptor stands; requests beside it are left alone."""

        async def who(request):
            return web.Response(text=str(now()))

        app = app_of(who)
        app.add_subapp("/shop/", app_of(who, PostHogInterceptor(client=posthog)))
        with serve(app) as site:
            assert [site.get(path, VISITOR).body for path in ("/x", "/shop/x")] == [b"None", b"alice"]


class TestMemory:
    @pytest.mark.parametrize("others", [(), (answering,)], ids=["alone", "with-another"])
    def test_requests_that_no_route_matches_are_not_kept(self, interceptor, serve, others):
        """aiohttp makes a handler of each 404, which holds the request."""
        seen = []

        @web.middleware
        async def noting(request, handler):
            seen.append(weakref.ref(request))
            return await handler(request)

        async def hidden(request):
            raise AssertionError

        with serve(app_of(hidden, noting, interceptor, *others)) as site:
            assert [site.get("/no/such/path").status for _ in range(5)] == [404] * 5
        gc.collect()
        assert [reference() for reference in seen] == [None] * 5

    def test_a_handlers_interceptor_goes_with_it(self, interceptor, serve):
        """A watched handler is made once for each handler, and holds it no longer than the
        application does.
        """
        made = []
        observing = interceptor._observer
        interceptor._observer = lambda handler: made.append(weakref.ref(handler)) or observing(handler)

        async def fine(request):
            return web.Response()

        with serve(app_of(fine, interceptor)) as site:
            assert [site.get("/x").status for _ in range(3)] == [200] * 3
        assert len(made) == 1
        del fine, site
        kept = getattr(web_app, "_cached_build_middleware", None)  # aiohttp's own, of the last 1024 handlers
        if kept is not None:
            kept.cache_clear()
        gc.collect()
        assert made[0]() is None

    def test_two_applications_may_share_a_handler(self, posthog, serve):
        """Each watches it with its own rules."""

        async def fail(request):
            raise ValueError("x")

        strict = PostHogInterceptor(client=posthog, capture_exceptions=True)
        app = app_of(fail, strict)
        app.add_subapp("/shop", app_of(fail, PostHogInterceptor(client=posthog, capture_exceptions=True), answering))
        with serve(app) as site:
            assert [site.get(path).status for path in ("/x", "/shop/x", "/x")] == [500] * 3
            assert [exception_of(event) for event in site.events] == [("ValueError", False, 500)] * 3


class TestControlFlow:
    @shows("aiohttp-control-flow")
    @pytest.mark.parametrize(
        ("error", "status"), [(web.HTTPFound("/elsewhere"), 302), (web.HTTPOk(), 200), (web.HTTPNotFound(), 404)]
    )
    def test_answers_that_are_raised_are_no_events(self, interceptor, serve, error, status):
        """HTTPFound, HTTPOk, HTTPNotFound."""

        async def answer(request):
            raise type(error)(error.location) if status == 302 else type(error)()

        with serve(app_of(answer, interceptor)) as site:
            assert site.get("/x").status == status
            assert site.events == []

    @shows("aiohttp-control-flow")
    def test_unavailable_is_an_event_and_a_timeout_has_its_own_status(self, interceptor, serve):
        """HTTPServiceUnavailable is handled; aiohttp answers TimeoutError with 504."""

        async def answer(request):
            if request.match_info["name"] == "late":
                raise TimeoutError
            raise web.HTTPServiceUnavailable

        with serve(app_of(answer, interceptor)) as site:
            assert [site.get(path).status for path in ("/busy", "/late")] == [503, 504]
            events = site.events
        assert [exception_of(event) for event in events] == [
            ("HTTPServiceUnavailable", True, 503), ("TimeoutError", False, 504),
        ]  # fmt: skip

    @pytest.mark.filterwarnings("ignore:returning HTTPException:DeprecationWarning")
    def test_returned_answers_and_no_answer_are_no_exceptions(self, interceptor, serve):
        """A returned HTTPException is a response.

        A handler that returns None gets aiohttp's own 500.
        """

        async def answer(request):
            return None if request.match_info["name"] == "nothing" else web.HTTPServiceUnavailable()

        with serve(app_of(answer, interceptor)) as site:
            assert [site.get(path).status for path in ("/nothing", "/returned")] == [500, 503]
            assert site.events == []


class TestBodies:
    @shows("context-everywhere")
    def test_a_body_made_while_it_is_sent_belongs_to_the_visitor(self, posthog, interceptor, serve):
        """`web.Response(body=...)` is written after all middlewares have returned."""

        async def lazy(request):
            async def body():
                for letter in (b"a", b"b"):
                    posthog.capture("streamed")
                    yield letter

            return web.Response(body=body())

        with serve(app_of(lazy, interceptor)) as site:
            assert site.get("/x", VISITOR).body == b"ab"
            events = site.events
        assert [(person_of(event), event.properties["$request_route"]) for event in events] == [
            ("alice", "/{name}")
        ] * 2

    @shows("error-after-start")
    def test_an_error_in_it_is_seen_although_aiohttp_only_logs_it(self, interceptor, serve):
        """The event has the status that was sent."""

        async def lazy(request):
            async def body():
                yield b"a"
                raise ValueError("in the body")

            return web.Response(body=body())

        with serve(app_of(lazy, interceptor)) as site:
            site.get("/x", VISITOR)
            [event] = site.events
        assert (exception_of(event), person_of(event)) == (("ValueError", False, 200), "alice")

    @shows("django-uncaught")
    def test_an_error_in_a_signal_is_seen_although_no_middleware_runs(self, interceptor, serve):
        """The hook `on_response_prepare` runs after every middleware.

        An exception in it makes aiohttp close the connection.
        """

        async def fine(request):
            return web.Response()

        async def fail(request, response):
            raise ValueError("in the signal")

        app = app_of(fine, interceptor)
        app.on_response_prepare.append(fail)
        with serve(app) as site:
            with site.connect("/x", VISITOR) as connection:
                assert connection.recv(1000) == b""
            [event] = site.events
        assert (exception_of(event), person_of(event)) == (("ValueError", False, 500), "alice")


class TestClients:
    @shows("client-went-away")
    def test_writing_to_a_client_that_left_is_no_mistake(self, interceptor, serve, sink):
        """ClientConnectionResetError of our own response."""
        raised = []

        async def stream(request):
            response = web.StreamResponse()
            await response.prepare(request)
            try:
                for _ in range(400):
                    await response.write(b"x" * 65_536)
                    await asyncio.sleep(0.005)
            except ConnectionResetError as error:
                raised.append(error)
                raise
            return response

        with serve(app_of(stream, interceptor)) as site:
            with site.connect("/x") as connection:
                connection.recv(1000)
            sink.wait_until(lambda: raised)
            assert site.events == []

    @shows("database-connection-lost", "pipelined-requests")
    @pytest.mark.parametrize("kind", [aiohttp.ClientConnectionResetError, ConnectionResetError])
    def test_a_lost_upstream_or_database_is_one(self, interceptor, serve, kind):
        """.4: the same class, our own client still there."""

        async def fail(request):
            raise kind("lost")

        with serve(app_of(fail, interceptor)) as site:
            assert site.get("/x").status == 500
            assert exception_of(site.events[0]) == (kind.__name__, False, 500)

    @shows("upstream-status")
    def test_an_upstreams_answer_is_this_servers_mistake(self, interceptor, serve):
        """aiohttp.ClientResponseError says 404; it is our 500."""

        async def fail(request):
            raise aiohttp.ClientResponseError(None, (), status=404)

        with serve(app_of(fail, interceptor)) as site:
            assert site.get("/x").status == 500
            assert exception_of(site.events[0]) == ("ClientResponseError", False, 500)
