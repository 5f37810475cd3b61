"""These tests show the promises that are special to Starlette and FastAPI.

They cover the place of middleware, 500 handlers, dependencies, routers, mounts, and neighbours.
"""

import contextlib
import threading

import httpx
import pytest
import sentry_sdk
from fastapi import APIRouter, BackgroundTasks, Depends, FastAPI, HTTPException, Request
from fastapi.responses import JSONResponse, PlainTextResponse, StreamingResponse
from opentelemetry.instrumentation.asgi import OpenTelemetryMiddleware
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from pydantic import BaseModel
from sentry_sdk.integrations.asgi import SentryAsgiMiddleware
from sentry_sdk.transport import Transport
from starlette.applications import Starlette
from starlette.authentication import AuthenticationBackend, AuthenticationError
from starlette.middleware import Middleware
from starlette.middleware.authentication import AuthenticationMiddleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.routing import Mount, Route

from hogline import ExceptionCapture
from hogline.interceptors import asgi
from hogline.interceptors.fastapi import PostHogInterceptor
from hogline.interceptors.starlette import PostHogInterceptor as StarletteInterceptor
from tests.support.behaviours import shows
from tests.support.serving import VISITOR, now, serving_asgi
from tests.support.sink import exception_of, names, person_of


@pytest.fixture
def serve(posthog, sink):
    """Return a context manager that serves an app as it is."""
    return lambda app: serving_asgi(app, posthog, sink)


class PassesOn(BaseHTTPMiddleware):
    """Runs the app in a task of its own."""

    async def dispatch(self, request, call_next):
        return await call_next(request)


class DomainError(Exception):
    """A domain error that a registered handler answers with 507."""


async def answer_507(request, error):
    return PlainTextResponse("handled", 507)


class TestFiveHundreds:
    @pytest.fixture(params=["fastapi", "starlette"])
    def app(self, request, posthog):
        """An app whose handler for everything captures, added before the interceptor or
        after it.
        """

        async def sorry(request, error):
            posthog.capture("sorry")
            return PlainTextResponse("sorry", 500)

        async def broken(request: Request):
            raise ValueError("x")

        if request.param == "starlette":
            return Starlette(
                routes=[Route("/broken", broken)],
                exception_handlers={Exception: sorry},
                middleware=[Middleware(StarletteInterceptor, client=posthog, capture_exceptions=True)],
            )
        app = FastAPI(exception_handlers={500: sorry})
        app.add_middleware(PostHogInterceptor, client=posthog, capture_exceptions=True)
        app.add_api_route("/broken", broken)
        return app

    @shows("error-handler-context")
    def test_a_500_handler_belongs_to_the_visitor_from_the_first_request_on(self, app, serve):
        """Same person, URL and template; Starlette runs it outside of all middleware."""
        with serve(app) as site:
            for name in ("alice", "bob"):
                assert site.get("/broken", {"X-POSTHOG-DISTINCT-ID": name}).body == b"sorry"
            events = site.events
        assert [(event.event, person_of(event)) for event in sorted(events, key=lambda e: e.timestamp)] == [
            ("$exception", "alice"), ("sorry", "alice"), ("$exception", "bob"), ("sorry", "bob"),
        ]  # fmt: skip
        assert {event.properties["$request_route"] for event in events} == {"/broken"}
        assert {exception_of(event) for event in events if event.event == "$exception"} == {("ValueError", False, 500)}

    @shows("no-leak-on-connection", "error-handler-context")
    def test_the_request_after_it_begins_empty(self, app, serve):
        """The context of the first 500 is not found in the next request."""
        with serve(app) as site:
            site.get("/broken", VISITOR)
            site.get("/broken")
            assert [person_of(event) for event in site.events][-2:] == [None, None]

    @shows("error-handler-context", "other-middleware-tasks")
    def test_its_status_and_its_visitor_are_known_behind_any_middleware(self, posthog, sink):
        """Only the outermost layer sees the answer of a 500 handler, here 503.

        BaseHTTPMiddleware puts a task between.
        """

        async def sorry(request, error):
            posthog.capture("sorry")
            return PlainTextResponse("sorry", 503)

        app = FastAPI(exception_handlers={Exception: sorry})
        app.add_middleware(PostHogInterceptor, client=posthog, capture_exceptions=True)
        app.add_middleware(PassesOn)

        @app.get("/")
        async def fail():
            raise ValueError("x")

        with serving_asgi(app, posthog, sink, lifespan="on") as site:
            assert site.get("/", VISITOR).status == 503
            events = sorted(site.events, key=lambda event: event.event)
        assert [(event.event, person_of(event)) for event in events] == [("$exception", "alice"), ("sorry", "alice")]
        assert exception_of(events[0]) == ("ValueError", False, 503)


class TestMiddleware:
    ORDERS = ("inside", "outside", "both")

    @staticmethod
    def build(posthog, where, **options):
        """An app with BaseHTTPMiddleware inside of us, outside of us, or both."""
        app = FastAPI(exception_handlers={DomainError: answer_507})
        if where in ("inside", "both"):
            app.add_middleware(PassesOn)
        app.add_middleware(PostHogInterceptor, client=posthog, **options)
        if where in ("outside", "both"):
            app.add_middleware(PassesOn)
        return app

    @shows("context-everywhere", "other-middleware-tasks")
    @pytest.mark.parametrize("where", ORDERS)
    def test_everything_a_request_causes_is_the_visitors(self, posthog, serve, where):
        """This holds for handlers, dependencies, background tasks and streams, synchronous and
        asynchronous ones.
        """
        app = self.build(posthog, where)

        def say(name):
            posthog.capture(name)

        async def asay(name):
            posthog.capture(name)

        def dependency():
            say("sync dependency")

        async def adependency():
            say("async dependency")

        def opened():
            say("sync yield in")
            yield
            say("sync yield out")

        async def aopened():
            say("async yield in")
            yield
            say("async yield out")

        every = [Depends(each) for each in (dependency, adependency, opened, aopened)]

        @app.get("/sync", dependencies=every)
        def synchronous(tasks: BackgroundTasks):
            say("sync")
            tasks.add_task(say, "sync later")
            tasks.add_task(asay, "async later")

        @app.get("/async", dependencies=every)
        async def asynchronous():
            def lines():
                say("sync stream")
                yield "x"

            say("async")
            return StreamingResponse(lines())

        @app.get("/stream")
        async def stream():
            async def lines():
                say("async stream")
                yield "x"

            return StreamingResponse(lines())

        with serve(app) as site:
            for path in ("/sync", "/async", "/stream"):
                assert site.get(path, VISITOR).status == 200
            events = site.events
            assert {person_of(event) for event in events} == {"alice"}
            assert {event.properties["$session_id"] for event in events} == {"session-a"}
            shared = {
                "sync dependency",
                "async dependency",
                "sync yield in",
                "sync yield out",
                "async yield in",
                "async yield out",
            }
            once = {"sync", "async", "sync later", "async later", "sync stream", "async stream"}
            assert sorted(names(events)) == sorted([*shared, *shared, *once])

    @shows("http-error-from-threshold", "registered-handlers", "swallowed-errors")
    @pytest.mark.parametrize("where", ORDERS)
    def test_what_is_answered_further_in_is_seen(self, posthog, serve, where):
        """BaseHTTPMiddleware runs the app in another task."""
        app = self.build(posthog, where, capture_exceptions=True)

        @app.get("/{kind}")
        async def fail(kind: str):
            raise {
                "domain": DomainError("x"),
                "http": HTTPException(503),
                "plain": ValueError("x"),
                "none": HTTPException(404),
            }[kind]

        with serve(app) as site:
            assert [site.get(f"/{kind}").status for kind in ("domain", "http", "plain", "none")] == [507, 503, 500, 404]
            assert [exception_of(event) for event in site.exceptions] == [
                ("DomainError", True, 507), ("HTTPException", True, 503), ("ValueError", False, 500),
            ]  # fmt: skip

    @shows("cancellation")
    def test_a_cancelled_app_is_no_mistake(self, posthog, serve):
        """BaseHTTPMiddleware makes a RuntimeError of it, "No response returned."."""
        app = self.build(posthog, "inside", capture_exceptions=True)

        class Silent:
            def __init__(self, app):
                self.app = app

            async def __call__(self, scope, receive, send):
                if scope["type"] != "http":
                    await self.app(scope, receive, send)

        app.user_middleware.append(Middleware(Silent))
        with serve(app) as site:
            assert site.get("/").status == 500
            assert site.events == []


class CachesPages:
    """Middleware for which a `KeyError` is a cache miss: it answers by itself with 200."""

    def __init__(self, app):
        self.app = app

    async def __call__(self, scope, receive, send):
        try:
            raise KeyError(scope["path"])
        except KeyError:
            await PlainTextResponse("made anew")(scope, receive, send)


class RunsInsideAnExcept(CachesPages):
    """Middleware that calls the app inside its own `except`."""

    async def __call__(self, scope, receive, send):
        try:
            raise KeyError(scope["path"])
        except KeyError:
            await self.app(scope, receive, send)


class RefusesEveryone(AuthenticationBackend):
    async def authenticate(self, conn):
        raise AuthenticationError("bad token")


class TestControlFlow:
    @pytest.mark.parametrize(
        ("middleware", "options", "status", "name"),
        [
            (CachesPages, {}, 200, "KeyError"),
            (RunsInsideAnExcept, {}, 200, "KeyError"),
            (AuthenticationMiddleware, {"backend": RefusesEveryone()}, 400, "AuthenticationError"),
        ],
        ids=["cache-miss", "inside-an-except", "authentication"],
    )
    def test_an_exception_that_middleware_answers_below_500_is_no_event(
        self, posthog, serve, middleware, options, status, name
    ):
        """`handled="capture"` captures it all the same, with the status that was sent."""
        for rules, expected in ((True, []), (ExceptionCapture(handled="capture"), [(name, True, status)])):
            app = FastAPI()
            app.add_api_route("/", lambda: "ok")
            app.add_middleware(middleware, **options)
            app.add_middleware(PostHogInterceptor, client=posthog, capture_exceptions=rules)
            with serve(app) as site:
                assert site.get("/").status == status
                assert [exception_of(event) for event in site.exceptions] == expected


class TestRouting:
    @shows("route-template")
    def test_nested_routers_and_mounts_make_the_whole_template(self, posthog, serve):
        """The template has the prefixes of included routers, mounts of apps and of routes.

        It is never the path that the browser sent.
        """
        app = FastAPI()
        app.add_middleware(PostHogInterceptor, client=posthog)
        shop, things, mounted = APIRouter(prefix="/shop"), APIRouter(prefix="/things"), FastAPI()

        async def say(request: Request):
            posthog.capture("x")

        things.add_api_route("/{number}", say)
        shop.include_router(things, prefix="/v1")
        app.include_router(shop)
        mounted.add_api_route("/deep/{number}", say)
        app.mount("/sub", mounted)

        async def plain(request):
            posthog.capture("x")
            return PlainTextResponse("")

        app.router.routes.append(Mount("/group", routes=[Route("/{name}", plain)]))
        with serve(app) as site:
            for path in ("/shop/v1/things/7", "/sub/deep/7", "/group/red"):
                assert site.get(path).status == 200
            assert [event.properties["$request_route"] for event in site.events] == [
                "/shop/v1/things/{number}", "/sub/deep/{number}", "/group/{name}",
            ]  # fmt: skip

    @shows("stacked-interceptors", "captured-once")
    def test_a_mounted_app_with_an_interceptor_of_its_own_is_one_request(self, posthog, serve):
        """One event of an exception that both see, with the inner template."""
        app, mounted = FastAPI(), FastAPI(exception_handlers={DomainError: answer_507})
        for each in (app, mounted):
            each.add_middleware(PostHogInterceptor, client=posthog, capture_exceptions=True)
        app.mount("/sub", mounted)

        @mounted.get("/things/{number}")
        async def thing(number: int):
            posthog.capture("seen")
            raise DomainError("x") if number else ValueError("x")

        with serve(app) as site:
            assert [site.get(f"/sub/things/{number}", VISITOR).status for number in (1, 0)] == [507, 500]
            events = site.events
            assert sorted(names(events)) == ["$exception", "$exception", "seen", "seen"]
            assert {event.properties["$request_route"] for event in events} == {"/sub/things/{number}"}
            assert [exception_of(event) for event in site.exceptions] == [
                ("DomainError", True, 507), ("ValueError", False, 500),
            ]  # fmt: skip

    @shows("route-template")
    def test_a_template_is_found_where_starlette_does_not_say_it(self, posthog, serve):
        """Versions before 1.7 name the endpoint only.

        An endpoint of several routes has no template, rather than another one's.
        """

        async def seen(request):
            request.scope.pop("route")  # those versions lack these
            posthog.capture("seen")
            return PlainTextResponse("ok")

        async def twice(request):
            return await seen(request)

        app = Starlette(
            routes=[
                Route("/one/{number}", twice),
                Route("/two/{number}", twice),
                Mount("/shops/{shop}", routes=[Mount("/things", routes=[Route("/{number:int}", seen)])]),
            ],
            middleware=[Middleware(StarletteInterceptor, client=posthog)],
        )
        with serve(app) as site:
            for path in ("/shops/5/things/7", "/one/7", "/two/7"):
                assert site.get(path).status == 200
            routes = [event.properties.get("$request_route") for event in site.events]
        assert routes == ["/shops/{shop}/things/{number:int}", None, None]

    @pytest.mark.parametrize("is_mounted", [False, True], ids=["the-app", "a-mounted-app"])
    def test_an_interceptor_of_a_mount_decides_for_that_mount_only(self, posthog, serve, is_mounted):
        """An interceptor's options hold for its part of the app.

        Other parts have their own, and a part without interceptor is left alone.
        """

        def hit(request):
            posthog.capture("hit")
            return PlainTextResponse("ok")

        def fail(request):
            raise ValueError("x")

        def part(name, **options):
            ours = Middleware(StarletteInterceptor, client=posthog, properties=lambda _: {"part": name}, **options)
            return Mount(f"/{name}", routes=[Route("/hit", hit)], middleware=[ours])

        app = Starlette(
            routes=[
                Route("/hit", hit),
                Route("/fail", fail),
                part("api", capture_exceptions=True),
                part("admin", identity_headers=False),
            ]
        )
        prefix = "/sub" if is_mounted else ""
        with serve(Starlette(routes=[Mount(prefix, app)]) if is_mounted else app) as site:
            for _ in range(2):
                for path in ("/hit", "/fail", "/admin/hit", "/api/hit"):
                    site.get(prefix + path, VISITOR)
            events = site.events
        assert [(event.properties.get("part"), person_of(event)) for event in events] == [
            (None, None), ("admin", None), ("api", "alice"),
        ] * 2  # fmt: skip

    @shows("error-handler-context")
    def test_the_interceptor_of_a_mounted_app_moves_around_that_app(self, posthog, serve):
        """The mounted app's own 500 handler belongs to the visitor, although the parent's router
        stands in the scope.
        """

        async def sorry(request, error):
            posthog.capture("sorry")
            return PlainTextResponse("sorry", 500)

        async def fail(request):
            raise ValueError("x")

        inner = Starlette(
            routes=[Route("/fail", fail)],
            exception_handlers={Exception: sorry},
            middleware=[Middleware(PassesOn), Middleware(StarletteInterceptor, client=posthog)],
        )
        with serve(Starlette(routes=[Mount("/sub", inner)])) as site:
            assert [site.get("/sub/fail", VISITOR).status for _ in range(2)] == [500] * 2
            # The first request, which moved it, was another task's.
            assert [person_of(event) for event in site.events] == [None, "alice"]
        assert isinstance(inner.middleware_stack, asgi.PostHogInterceptor)

    @pytest.mark.parametrize("kind", [asgi.PostHogInterceptor, StarletteInterceptor])
    def test_a_filter_is_asked_once_for_a_request(self, posthog, serve, kind):
        """This holds however often one interceptor wraps a request, and whatever another one's
        filter returns.
        """
        asked = []

        def every_other(request):
            asked.append(request)
            return len(asked) % 2 == 0

        async def hit(request):
            posthog.capture("hit")
            return PlainTextResponse("ok")

        app = Starlette(routes=[Route("/", hit)])
        first = kind(app, client=posthog, request_filter=every_other)
        if kind is StarletteInterceptor:
            app.add_middleware(kind, client=posthog, request_filter=every_other)
            served = app
        else:
            none = kind(first, client=posthog, request_filter=lambda _: False)
            served = first.around(none)
        with serve(served) as site:
            for _ in range(4):
                assert site.get("/", VISITOR).status == 200
            assert [person_of(event) for event in site.events] == [None, "alice"] * 2
        assert len(asked) == 4

    @shows("stacked-interceptors", "registered-handlers")
    @pytest.mark.parametrize("own", [False, True], ids=["outer-only", "own-too"])
    @pytest.mark.parametrize("between", [None, "outside", "inside"])
    def test_what_a_mounted_app_answers_itself_is_seen(self, posthog, serve, sink, own, between):
        """This holds for its own handler and yield dependency, with `BaseHTTPMiddleware` on either
        side of the mount.
        """

        async def dependency():
            posthog.capture("before")
            try:
                yield
            finally:
                posthog.capture("after")

        outer, inner = FastAPI(), FastAPI(dependencies=[Depends(dependency)])
        outer.add_middleware(PostHogInterceptor, client=posthog, capture_exceptions=True)
        if own:
            inner.add_middleware(PostHogInterceptor, client=posthog, capture_exceptions=True)
        if between == "outside":
            outer.add_middleware(PassesOn)
        if between == "inside":
            inner.add_middleware(PassesOn)

        @inner.exception_handler(DomainError)
        async def answer(request, error):
            return PlainTextResponse("answered", 507)

        @inner.get("/fails/{number}")
        async def fails(number: int):
            raise DomainError

        outer.mount("/shops/{shop}", inner)
        with serve(outer) as site:
            assert site.get("/shops/5/fails/7", VISITOR).status == 507
            # A server may close the connection before the last of the middleware has ended.
            sink.wait_until(lambda: len(site.events) == (2 if between == "inside" and not own else 3))
            events = site.events
        seen = [event for event in events if event.event == "$exception"]
        if between == "inside" and not own:
            assert (
                seen == []
            )  # answered in another task, by an app that the interceptor cannot look into: give it one too
        else:
            assert [exception_of(event) for event in seen] == [("DomainError", True, 507)]
        assert sorted(event.event for event in events if event not in seen) == ["after", "before"]
        assert {person_of(event) for event in events} == {"alice"}
        assert events[-1].properties["$request_route"] == "/shops/{shop}/fails/{number}"


class TestHandlers:
    @pytest.fixture
    def app(self, posthog):
        app = FastAPI()
        app.add_middleware(PostHogInterceptor, client=posthog, capture_exceptions=True)
        return app

    @shows("status-handlers")
    def test_a_handler_for_a_status_changes_nothing(self, app, serve):
        """HTTPException(502) with a handler for 502 is one event."""

        @app.exception_handler(502)
        async def answer(request, error):
            return JSONResponse({"sorry": True}, 502)

        @app.get("/")
        async def fail():
            raise HTTPException(502)

        with serve(app) as site:
            assert site.get("/").status == 502
            assert [exception_of(event) for event in site.exceptions] == [("HTTPException", True, 502)]

    @shows("handler-thread")
    def test_a_synchronous_handler_runs_in_its_thread_as_the_visitor(self, app, serve, posthog):
        """Starlette sends it to the threadpool, with and without us."""
        threads = []

        @app.exception_handler(DomainError)
        def answer(request, error):
            threads.append(threading.current_thread().name)
            posthog.capture("answered")
            return PlainTextResponse("handled", 507)

        @app.get("/")
        async def fail():
            raise DomainError("x")

        with serve(app) as site:
            assert site.get("/", VISITOR).status == 507
            answered, failure = sorted(site.events, key=lambda event: event.event, reverse=True)
        assert "AnyIO worker thread" in threads[0]
        assert (answered.event, person_of(answered)) == ("answered", "alice")
        assert exception_of(failure) == ("DomainError", True, 507)

    def test_a_handler_that_fails_leaves_two_events(self, app, serve):
        """The first mistake, and its own; neither was answered."""

        @app.exception_handler(DomainError)
        async def answer(request, error):
            raise KeyError("no answer")

        @app.get("/")
        async def fail():
            raise DomainError("x")

        with serve(app) as site:
            assert site.get("/").status == 500
            kinds = {exception_of(event) for event in site.exceptions}
        assert ("KeyError", False, 500) in kinds

    @shows("validation-errors")
    def test_validation_of_requests_is_the_clients_and_of_responses_ours(self, app, serve):
        """422 is none; a response that breaks its own model is one, 500."""

        class Thing(BaseModel):
            number: int

        @app.post("/things")
        async def make(thing: Thing):
            return thing

        @app.get("/things", response_model=Thing)
        async def get():
            return {"number": "x"}

        with serve(app) as site:
            assert site.get("/things").status == 500
            assert [exception_of(event) for event in site.exceptions] == [("ResponseValidationError", False, 500)]

    @shows("background-error")
    def test_what_a_dependency_raises_after_its_yield_is_seen(self, app, serve):
        """The response has left by then, or has not; the event says which."""

        async def closing():
            yield
            raise ValueError("closing")

        @app.get("/", dependencies=[Depends(closing)])
        async def home():
            return {}

        with serve(app) as site:
            status = site.get("/").status
            assert [exception_of(event) for event in site.exceptions] == [("ValueError", False, status)]

    @shows("nested-requests")
    def test_a_route_of_the_app_called_in_process_is_another_request(self, app, serve, posthog):
        """Httpx's ASGI transport inside a handler."""

        @app.get("/inner")
        async def inner():
            posthog.capture("inner")

        @app.get("/outer")
        async def outer():
            async with httpx.AsyncClient(
                transport=httpx.ASGITransport(app), base_url="http://inside.example"
            ) as client:
                await client.get("/inner")
            posthog.capture("outer")

        with serve(app) as site:
            site.get("/outer", VISITOR)
            assert [(event.event, person_of(event)) for event in site.events] == [("inner", None), ("outer", "alice")]


class Kept(Transport):
    """Sentry's own transport, which keeps what would leave."""

    def __init__(self):
        super().__init__()
        self.errors = []

    def capture_envelope(self, envelope):
        self.errors += [item.payload.json for item in envelope.items if item.type == "event"]


class TestNeighbours:
    @pytest.fixture
    def sentry(self):
        """Sentry, initialised as its users do, without its automatic patches of Starlette."""
        kept = Kept()
        sentry_sdk.init(
            "https://key@sentry.example/1", transport=kept, auto_enabling_integrations=False, default_integrations=False
        )
        yield kept
        sentry_sdk.init(
            None, auto_enabling_integrations=False, default_integrations=False
        )  # or it patches threads and loggers

    # Sentry imports whatever is installed, and that what is deprecated.
    @shows("beside-sentry-and-opentelemetry")
    @pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore:pkg_resources is deprecated:UserWarning")
    @pytest.mark.parametrize("order", ["first", "last"])
    def test_sentry_and_opentelemetry_work_beside_us(self, posthog, serve, sentry, order):
        """The order of installation does not matter: each sees the exception once, and the visitor
        is known.
        """
        spans = InMemorySpanExporter()
        provider = TracerProvider()
        provider.add_span_processor(SimpleSpanProcessor(spans))
        app = FastAPI()
        add_ours = [lambda: app.add_middleware(PostHogInterceptor, client=posthog, capture_exceptions=True)]
        add_theirs = [
            lambda: app.add_middleware(SentryAsgiMiddleware),
            lambda: app.add_middleware(OpenTelemetryMiddleware, tracer_provider=provider),
        ]
        for add in (add_ours + add_theirs) if order == "first" else (add_theirs + add_ours):
            add()

        @app.get("/")
        async def fail():
            posthog.capture("seen")
            raise ValueError("x")

        with serve(app) as site:
            assert site.get("/", VISITOR).status == 500
            events = sorted(site.events, key=lambda event: event.event)
        assert [(event.event, person_of(event)) for event in events] == [("$exception", "alice"), ("seen", "alice")]
        assert len(sentry.errors) == 1
        assert [event.name for span in spans.get_finished_spans() for event in span.events] == ["exception"]

    @shows("stacked-interceptors")
    def test_a_plain_interceptor_around_the_app_is_the_same_request(self, posthog, serve):
        """ASGI's own around FastAPI's: one context, one event, FastAPI's template."""
        app = FastAPI()
        app.add_middleware(PostHogInterceptor, client=posthog, capture_exceptions=True)

        @app.get("/things/{number}")
        async def thing(number: int):
            posthog.capture("seen")
            raise ValueError("x")

        with serve(asgi.PostHogInterceptor(app, client=posthog, capture_exceptions=True)) as site:
            site.get("/things/7", VISITOR)
            events = site.events
        assert sorted(names(events)) == ["$exception", "seen"]
        assert {event.properties["$request_id"] for event in events} == {events[0].properties["$request_id"]}


@shows("lifespan-passes")
def test_a_lifespan_and_its_state_are_the_apps(posthog, serve, sink):
    """Events of startup and shutdown have no visitor, and arrive."""
    seen = []

    @contextlib.asynccontextmanager
    async def lifespan(app):
        seen.append(now())
        posthog.capture("up", distinct_id="shop")
        yield {"colour": "red"}
        posthog.capture("down", distinct_id="shop")

    app = FastAPI(lifespan=lifespan)
    app.add_middleware(PostHogInterceptor, client=posthog)

    @app.get("/")
    async def home(request: Request):
        return request.state.colour

    with serving_asgi(app, posthog, sink, lifespan="on") as site:
        assert site.get("/", VISITOR).body == b'"red"'
    assert seen == [None]
    assert names(sink.events) == ["up", "down"]
