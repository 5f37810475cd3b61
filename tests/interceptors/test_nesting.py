"""One request is one context, whatever stands between two interceptors of it: bridges, copies,
mounts, threads.

A request that an app makes to itself, or to another app in its process, is a request of its own.
"""

import asyncio
import concurrent.futures
import contextvars
import sys
import threading
import types
import warnings

import a2wsgi
import flask
import httpx
import pytest
from asgiref.wsgi import WsgiToAsgi
from django.core.handlers.wsgi import WSGIHandler
from django.http import HttpResponse
from django.test import override_settings
from django.urls import path
from fastapi import FastAPI, Request
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route
from uvicorn.middleware.wsgi import WSGIMiddleware as UvicornBridge
from werkzeug.middleware.dispatcher import DispatcherMiddleware

from hogline import PostHog, identify_context, tag
from hogline.interceptors import asgi, wsgi
from hogline.interceptors.aws_lambda import PostHogInterceptor as LambdaInterceptor
from hogline.interceptors.fastapi import PostHogInterceptor as FastapiInterceptor
from hogline.interceptors.flask import PostHogInterceptor as FlaskInterceptor
from hogline.interceptors.starlette import PostHogInterceptor as StarletteInterceptor
from tests.interceptors.apps.django_project import INTERCEPTOR
from tests.support.behaviours import shows
from tests.support.serving import VISITOR, serving, serving_asgi
from tests.support.sink import exception_of, person_of

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # Starlette's own is deprecated in favour of a2wsgi
    from starlette.middleware.wsgi import WSGIMiddleware as StarletteBridge


class OwnBridge:
    """A bridge as apps write it: it makes a new environ of the scope, runs a thread of its own, and
    passes on nothing else.
    """

    def __init__(self, app):
        self.app = app

    async def __call__(self, scope, receive, send):
        environ = {
            "REQUEST_METHOD": scope["method"],
            "SCRIPT_NAME": scope.get("root_path", ""),
            "PATH_INFO": scope["path"].removeprefix(scope.get("root_path", "")),
            "QUERY_STRING": scope["query_string"].decode(),
            "SERVER_NAME": "inside",
            "SERVER_PORT": "80",
            "wsgi.url_scheme": scope["scheme"],
            "wsgi.errors": sys.stderr,
            **{f"HTTP_{key.decode().upper().replace('-', '_')}": value.decode() for key, value in scope["headers"]},
        }
        started = []

        def run():
            body = self.app(environ, lambda status, headers, exc_info=None: started.append((status, headers)))
            try:
                return b"".join(body)
            finally:
                getattr(body, "close", lambda: None)()

        body = await asyncio.get_running_loop().run_in_executor(None, contextvars.copy_context().run, run)
        status, headers = started[-1]
        headers = [(name.lower().encode(), value.encode()) for name, value in headers]
        await send({"type": "http.response.start", "status": int(status[:3]), "headers": headers})
        await send({"type": "http.response.body", "body": body})


BRIDGES = {
    "a2wsgi": a2wsgi.WSGIMiddleware,
    "asgiref": WsgiToAsgi,
    "starlette": StarletteBridge,
    "own": OwnBridge,
}
FACTS = ("tenant", "$request_id", "$request_path", "$session_id")


@pytest.fixture
def posthog(sink):
    client = PostHog("phc_test", host=sink.url, flush_interval=0.02)
    yield client
    client.shutdown(10)


@pytest.fixture
def legacy(posthog):
    """Return a Flask app with an interceptor of its own."""
    app = flask.Flask("legacy")
    FlaskInterceptor(app, client=posthog, capture_exceptions=True)

    @app.get("/items/<int:number>")
    def item(number):
        posthog.capture("inner")
        return "item"

    @app.get("/fail")
    def fail():
        raise ValueError("inside")

    return app


class SignsIn:
    """ASGI middleware of the app that knows who acts."""

    def __init__(self, app, posthog):
        self.app = app
        self.posthog = posthog

    async def __call__(self, scope, receive, send):
        if scope["type"] == "http":
            identify_context("customer-42")
            tag("tenant", "acme")
            self.posthog.capture("outer")
        await self.app(scope, receive, send)


def outer_app(posthog, mounted):
    app = FastAPI()
    app.add_middleware(SignsIn, posthog=posthog)
    app.add_middleware(FastapiInterceptor, client=posthog, capture_exceptions=True)
    app.mount("/legacy", mounted)
    return app


def facts_of(event):
    return [event.properties.get(name) for name in FACTS]


@shows("stacked-interceptors")
@pytest.mark.parametrize("bridge", BRIDGES)
class TestWsgiInAsgi:
    def test_the_outer_one_decides_who_acts(self, posthog, sink, legacy, bridge):
        """The inner app's events have the person, tags, request id and session of the outer one,
        and its mount.
        """
        with serving_asgi(outer_app(posthog, BRIDGES[bridge](legacy)), posthog, sink) as site:
            for _ in range(2):  # with the first request, the interceptor moves
                assert site.get("/legacy/items/7", VISITOR).body == b"item"
            events = site.events
        assert [event.event for event in events] == ["outer", "inner"] * 2
        for first, second in (events[:2], events[2:]):
            assert {person_of(first), person_of(second)} == {"customer-42"}
            assert facts_of(first) == facts_of(second)
            assert facts_of(first)[0] == "acme"
            assert second.properties["$request_route"] == "/legacy/items/<int:number>"
        assert events[0].properties["$request_id"] != events[2].properties["$request_id"]

    def test_an_error_inside_is_one_event(self, posthog, sink, legacy, bridge):
        """The event has the outer person, the inner route, and the status that left."""
        with serving_asgi(outer_app(posthog, BRIDGES[bridge](legacy)), posthog, sink) as site:
            assert site.get("/legacy/fail", VISITOR).status == 500
            _, event = site.wait_for(2)
        assert (person_of(event), exception_of(event)) == ("customer-42", ("ValueError", False, 500))
        assert event.properties["$request_route"] == "/legacy/fail"
        assert event.properties["tenant"] == "acme"

    def test_a_plain_wsgi_app_inside_is_the_same_request(self, posthog, sink, bridge):
        """This also holds with the generic interceptors on both sides."""

        def app(environ, start_response):
            posthog.capture("inner")
            start_response("200 OK", [("Content-Length", "2")])
            return [b"ok"]

        inside = BRIDGES[bridge](wsgi.PostHogInterceptor(app, client=posthog, capture_exceptions=True))
        outside = asgi.PostHogInterceptor(SignsIn(inside, posthog), client=posthog)
        with serving_asgi(outside, posthog, sink) as site:
            assert site.get("/x?a=1", VISITOR).body == b"ok"
            first, second = site.events
        assert facts_of(first) == facts_of(second)
        assert {person_of(first), person_of(second)} == {"customer-42"}


def test_without_context_variables_the_scope_leads_to_the_request(posthog, sink, legacy):
    """A bridge that runs the app in a bare thread.

    The environ is a2wsgi's: it holds the scope, and is made in the loop.
    """

    class BareThread(a2wsgi.WSGIMiddleware):
        def __init__(self, app):
            super().__init__(lambda *given: contextvars.Context().run(app, *given))

    with serving_asgi(outer_app(posthog, BareThread(legacy)), posthog, sink) as site:
        assert site.get("/legacy/items/7", VISITOR).body == b"item"
        assert site.get("/legacy/fail", VISITOR).status == 500
        first, second, _, failure = site.wait_for(4)
    assert facts_of(first) == facts_of(second)
    assert {person_of(event) for event in (first, second, failure)} == {"customer-42"}
    assert second.properties["$request_route"] == "/legacy/items/<int:number>"


@shows("stacked-interceptors")
def test_django_inside_starlette_is_one_request(project, posthog, sink):
    """Django's WSGI handler, in a mount; its pattern has the mount in front."""

    def view(request, number):
        posthog.capture("inner")
        return HttpResponse("ok")

    urls = types.ModuleType("urls")
    urls.urlpatterns = [path("items/<int:number>", view)]
    options = {"client": posthog, "capture_exceptions": True}
    with (
        override_settings(ROOT_URLCONF=urls, HOGLINE=options, MIDDLEWARE=[INTERCEPTOR]),
        serving_asgi(outer_app(posthog, a2wsgi.WSGIMiddleware(WSGIHandler())), posthog, sink) as site,
    ):
        assert site.get("/legacy/items/7", VISITOR).body == b"ok"
        first, second = site.events
    assert facts_of(first) == facts_of(second)
    assert person_of(second) == "customer-42"
    assert second.properties["$request_route"] == "/legacy/items/<int:number>"


def new_api(posthog):
    app = FastAPI()
    app.add_middleware(FastapiInterceptor, client=posthog, capture_exceptions=True)

    @app.get("/items/{number}")
    async def item(number: int):
        posthog.capture("inner")
        return "item"

    @app.get("/fail")
    async def fail():
        raise ValueError("inside")

    return app


@shows("stacked-interceptors")
def test_asgi_in_wsgi_is_one_request(posthog, sink):
    """FastAPI in a Flask app's dispatcher, by a2wsgi's bridge, on a loop in another thread."""
    old = flask.Flask("old")
    old.wsgi_app = DispatcherMiddleware(old.wsgi_app, {"/api": a2wsgi.ASGIMiddleware(new_api(posthog))})
    signed_in = old.wsgi_app

    def signing_in(environ, start_response):
        identify_context("customer-42")
        tag("tenant", "acme")
        posthog.capture("outer")
        return signed_in(environ, start_response)

    old.wsgi_app = signing_in
    FlaskInterceptor(old, client=posthog, capture_exceptions=True)
    with serving(old, posthog, sink) as site:
        assert site.get("/api/items/7", VISITOR).body == b'"item"'
        assert site.get("/api/fail", VISITOR).status == 500
        first, second, third, failure = site.events
    assert facts_of(first) == facts_of(second)
    assert {person_of(event) for event in (first, second, third, failure)} == {"customer-42"}
    assert second.properties["$request_route"] == "/api/items/{number}"
    assert (exception_of(failure)[0], exception_of(failure)[2]) == ("ValueError", 500)
    assert failure.properties["$request_id"] == third.properties["$request_id"]


@shows("stacked-interceptors")
@pytest.mark.parametrize("has_middle", [True, False])
@pytest.mark.parametrize("bridge", ["a2wsgi", "asgiref", "starlette"])
def test_asgi_in_wsgi_in_asgi_is_one_request(posthog, sink, bridge, has_middle):
    """This holds with or without an interceptor in the middle."""
    middle = DispatcherMiddleware(flask.Flask("middle"), {"/api": a2wsgi.ASGIMiddleware(new_api(posthog))})
    if has_middle:
        middle = wsgi.PostHogInterceptor(middle, client=posthog, capture_exceptions=True)
    with serving_asgi(outer_app(posthog, BRIDGES[bridge](middle)), posthog, sink) as site:
        assert site.get("/legacy/api/items/7", VISITOR).body == b'"item"'
        first, second = site.events
        assert site.get("/legacy/api/fail", VISITOR).status == 500
        failure = site.wait_for(4)[-1]
    assert facts_of(first) == facts_of(second)
    assert {person_of(event) for event in (first, second, failure)} == {"customer-42"}
    assert second.properties["$request_route"] == "/legacy/api/items/{number}"


@pytest.mark.parametrize("copied", [dict, lambda given: {key: given[key] for key in given}])
def test_copies_of_scopes_and_environs_are_the_same_request(posthog, sink, copied):
    """Middleware that passes on a copy; nothing of it is lost."""
    inner = new_api(posthog)

    async def copying(scope, receive, send):
        await inner(copied(scope), receive, send)

    app = Starlette(routes=[Mount("/v2", copying)])
    app.add_middleware(SignsIn, posthog=posthog)
    app.add_middleware(StarletteInterceptor, client=posthog, capture_exceptions=True)
    with serving_asgi(app, posthog, sink) as site:
        assert site.get("/v2/items/7", VISITOR).body == b'"item"'
        first, second = site.events
    assert facts_of(first) == facts_of(second)
    assert second.properties["$request_route"] == "/v2/items/{number}"


class TestARequestOfItsOwn:
    @shows("nested-test-client", "nested-requests")
    @pytest.mark.parametrize("other", ["same app", "another app"])
    def test_a_test_client_in_a_view(self, posthog, sink, legacy, other):
        """Its events are of its own visitor; afterwards the outer request goes on."""
        inner = legacy if other == "same app" else flask.Flask("other")
        if inner is not legacy:
            FlaskInterceptor(inner, client=posthog)
            inner.add_url_rule("/items/<int:number>", view_func=legacy.view_functions["item"])

        @legacy.get("/outer")
        def outer():
            posthog.capture("before")
            inner.test_client().get("/items/7", headers={"X-POSTHOG-DISTINCT-ID": "bob"})
            posthog.capture("after")
            return "ok"

        with serving(legacy, posthog, sink) as site:
            assert site.get("/outer", VISITOR).body == b"ok"
            before, inside, after = site.events
        assert [person_of(event) for event in (before, inside, after)] == ["alice", "bob", "alice"]
        assert inside.properties["$request_id"] != before.properties["$request_id"]
        assert after.properties["$request_id"] == before.properties["$request_id"]
        assert inside.properties["$request_route"] == "/items/<int:number>"

    @shows("nested-requests")
    @pytest.mark.parametrize("target", ["same app", "another app", "the same path"])
    def test_an_http_client_in_process(self, posthog, sink, target):
        """httpx's ASGITransport inside a handler, also to an app that has the same path."""
        app = new_api(posthog)
        inner = app if target == "same app" else new_api(posthog)
        inside_path = "/outer" if target == "the same path" else "/items/7"
        if target == "the same path":

            @inner.get("/outer")
            async def inner_outer():
                posthog.capture("inner")

        @app.get("/outer")
        async def outer():
            posthog.capture("before")
            async with httpx.AsyncClient(
                transport=httpx.ASGITransport(inner), base_url="http://shop.example"
            ) as client:
                assert (await client.get(inside_path)).status_code == 200
            posthog.capture("after")

        with serving_asgi(app, posthog, sink) as site:
            assert site.get("/outer", VISITOR).status == 200
            before, inside, after = site.events
        assert [event.event for event in (before, inside, after)] == ["before", "inner", "after"]
        assert inside.distinct_id != "alice"
        assert "$session_id" not in inside.properties
        assert inside.properties["$request_id"] != before.properties["$request_id"]
        assert after.properties["$request_id"] == before.properties["$request_id"]

    @shows("nested-requests")
    @pytest.mark.parametrize("call", ["httpx", "test client"])
    @pytest.mark.parametrize("outside", ["asgi", "asgi thread", "wsgi"])
    def test_a_call_that_repeats_every_fact_of_its_own_request(self, posthog, sink, legacy, outside, call):
        """Another app gets the same path, query, headers, cookies and peer; its context is new."""

        def view(headers, peer, query):
            identify_context("customer-42")
            tag("tenant", "acme")
            posthog.capture("outer")
            target = f"http://{headers['host']}/items/7?{query}"
            if call == "test client":
                legacy.test_client(use_cookies=False).get(
                    target, headers=headers, environ_overrides={"REMOTE_ADDR": peer[0]}
                )
            elif outside == "wsgi":
                transport = httpx.WSGITransport(legacy, remote_addr=peer[0])
                httpx.Client(transport=transport).get(target, headers=headers)
            else:
                transport = httpx.ASGITransport(new_api(posthog), client=peer)
                asyncio.run(httpx.AsyncClient(transport=transport).get(target, headers=headers))
            posthog.capture("after")
            return {}

        def view_of_scope(request):
            return view(dict(request.headers), tuple(request.client), request.url.query)

        async def view_in_loop(request: Request):
            if call == "test client":
                return view_of_scope(request)
            with concurrent.futures.ThreadPoolExecutor() as pool:  # asyncio.run needs a free thread
                return pool.submit(contextvars.copy_context().run, view_of_scope, request).result()

        def view_in_thread(request: Request):
            return view_of_scope(request)

        if outside == "wsgi":
            app = flask.Flask("outside")
            FlaskInterceptor(app, client=posthog)

            @app.get("/items/7")
            def view_of_environ():
                given = {name.lower(): value for name, value in flask.request.headers.items()}
                return view(given, (flask.request.remote_addr, 0), flask.request.query_string.decode())

            site = serving(app, posthog, sink)
        else:
            app = FastAPI()
            app.add_middleware(FastapiInterceptor, client=posthog)
            app.get("/items/7")(view_in_loop if outside == "asgi" else view_in_thread)
            site = serving_asgi(app, posthog, sink)
        with site as served:
            assert served.get("/items/7?a=1", {**VISITOR, "Cookie": "a=b", "User-Agent": "browser"}).status == 200
            outer, inner, after = served.events
        assert (outer.event, inner.event, after.event) == ("outer", "inner", "after")
        assert (person_of(outer), person_of(inner), person_of(after)) == ("customer-42", "alice", "customer-42")
        assert "tenant" not in inner.properties
        assert inner.properties["$request_id"] != outer.properties["$request_id"] == after.properties["$request_id"]
        assert inner.properties["$request_path"] == outer.properties["$request_path"]

    def test_the_next_request_of_a_bridge_is_another_one(self, posthog, sink, legacy):
        """Nothing of the first request is left in the bridge's threads."""
        with serving_asgi(outer_app(posthog, UvicornBridge(legacy)), posthog, sink) as site:
            for name in ("alice", "bob"):
                headers = {**VISITOR, "X-POSTHOG-SESSION-ID": f"session-{name}"}
                assert site.get("/legacy/items/7", headers).body == b"item"
            sessions = [event.properties["$session_id"] for event in site.events if event.event == "inner"]
        assert sessions == ["session-alice", "session-bob"]

    def test_a_thread_that_outlives_its_request_does_not_catch_the_next(self, posthog, sink):
        """It keeps the finished request's context; the same request again is another one."""
        app, go_on = new_api(posthog), threading.Event()

        @app.get("/slow")
        async def slow():
            async def later():
                while not go_on.is_set():
                    await asyncio.sleep(0.01)
                async with httpx.AsyncClient(
                    transport=httpx.ASGITransport(app), base_url="http://shop.example"
                ) as client:
                    await client.get("/items/7")

            app.state.task = asyncio.create_task(later())

        with serving_asgi(app, posthog, sink) as site:
            site.get("/slow", VISITOR)
            go_on.set()
            [event] = site.wait_for(1)
        assert event.distinct_id != "alice"


def test_a_lambda_functions_adapter_and_its_app_are_one_request(posthog, sink):
    """The event's request and the scope that an adapter makes of it have one context.

    The app finds the route.
    """
    app = new_api(posthog)

    @LambdaInterceptor(client=posthog, capture_exceptions=True)
    def handler(event, context):
        identify_context("customer-42")
        posthog.capture("outer")
        headers = [(name.encode(), value.encode()) for name, value in event["headers"].items()]
        scope = {
            "type": "http", "method": "GET", "path": event["rawPath"], "raw_path": event["rawPath"].encode(), "root_path": "",
            "scheme": "https", "query_string": event["rawQueryString"].encode(), "headers": headers, "http_version": "1.1",
            "client": ("203.0.113.9", 0), "server": ("shop.example", 443), "asgi": {"version": "3.0"},
        }  # fmt: skip
        sent = []

        async def send(message):
            sent.append(message)

        async def receive():
            return {"type": "http.request", "body": b""}

        asyncio.run(app(scope, receive, send))
        return {"statusCode": sent[0]["status"]}

    event = {
        "version": "2.0", "rawPath": "/items/7", "rawQueryString": "a=1", "headers": {"host": "shop.example", "user-agent": "test"},
        "requestContext": {"http": {"method": "GET", "sourceIp": "203.0.113.9"}},
    }  # fmt: skip
    assert handler(event, None) == {"statusCode": 200}
    posthog.flush(10)
    first, second = sink.events
    assert (first.event, second.event) == ("outer", "inner")
    assert {person_of(first), person_of(second)} == {"customer-42"}
    assert first.properties["$request_id"] == second.properties["$request_id"]
    assert second.properties["$request_route"] == "/items/{number}"


def test_a_route_without_bridge_is_unchanged(posthog, sink):
    """A plain mount of Starlette's, inside the generic interceptor."""

    async def view(request):
        posthog.capture("seen")
        return PlainTextResponse("ok")

    inner = Starlette(routes=[Mount("/group", routes=[Route("/{name}", view)])])
    inner.add_middleware(StarletteInterceptor, client=posthog, capture_exceptions=True)
    app = asgi.PostHogInterceptor(inner, client=posthog, capture_exceptions=True)
    with serving_asgi(app, posthog, sink) as site:
        for _ in range(2):
            assert site.get("/group/red", VISITOR).body == b"ok"
        assert {event.properties["$request_route"] for event in site.events} == {"/group/{name}"}
