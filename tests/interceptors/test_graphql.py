"""Exceptions of GraphQL resolvers are captured although the answer is 200.

The tests use Strawberry over ASGI and Graphene over WSGI.
"""

import asyncio
import json
import os
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import quote

import graphene
import pytest
import strawberry
import urllib3
from aiohttp import web
from fastapi import FastAPI
from flask import Flask, request
from graphql import GraphQLError
from strawberry.aiohttp.views import GraphQLView
from strawberry.extensions import MaskErrors, SchemaExtension
from strawberry.fastapi import GraphQLRouter
from websockets.sync.client import connect

from hogline import ExceptionCapture
from hogline.interceptors import aiohttp, asgi, fastapi, flask, graphql
from hogline.interceptors.strawberry import PostHogInterceptor
from hogline.testing import RecordingPostHog
from tests.interceptors.test_asgi import call, ok
from tests.support.behaviours import shows
from tests.support.serving import VISITOR, serving, serving_asgi, serving_own
from tests.support.sink import exception_of, person_of


class NotAllowedError(GraphQLError):
    """An error that an app returns on purpose."""


def fail(how: str) -> str:
    match how:
        case "plain":
            raise ValueError("plain")
        case "own":
            raise NotAllowedError("not yours")
        case "wrapped":
            raise GraphQLError("sorry", original_error=KeyError("inside"))
    return how


@strawberry.type
class Query:
    @strawberry.field
    def sync(self, how: str) -> str | None:
        return fail(how)

    @strawberry.field
    async def awaited(self, how: str) -> str | None:
        await asyncio.sleep(0)
        return fail(how)


@strawberry.type
class Subscription:
    @strawberry.subscription
    async def count(self) -> AsyncIterator[int]:
        yield 1
        raise ValueError("subscription")


class GrapheneQuery(graphene.ObjectType):
    sync = graphene.String(how=graphene.String())
    awaited = graphene.String(how=graphene.String())

    def resolve_sync(self, info, how):
        return fail(how)

    def resolve_awaited(self, info, how):
        return fail(how)


@pytest.fixture(params=["strawberry", "graphene"])
def serve(request, posthog, sink):
    """Return a context manager that serves a schema with an interceptor, inside an app that has its
    own.
    """
    return {"strawberry": over_strawberry, "graphene": over_graphene}[request.param](posthog, sink)


def over_strawberry(posthog, sink):
    def serve(*, extensions=(), around=None, **options):
        ours = PostHogInterceptor(client=posthog, **options)
        schema = strawberry.Schema(Query, subscription=Subscription, extensions=[ours, *extensions])
        app = FastAPI()
        app.include_router(GraphQLRouter(schema), prefix="/graphql")
        app.add_middleware(fastapi.PostHogInterceptor, client=posthog, **(options if around is None else around))
        return serving_asgi(app, posthog, sink)

    return serve


def over_graphene(posthog, sink):
    def serve(*, around=None, **options):
        schema = graphene.Schema(GrapheneQuery)
        middleware = [graphql.PostHogInterceptor(client=posthog, **options)]
        app = Flask("graphene")

        @app.get("/graphql")
        def answer():
            result = schema.execute(request.args["query"], middleware=middleware)
            return result.formatted

        flask.PostHogInterceptor(app, client=posthog, **(options if around is None else around))
        return serving(app, posthog, sink)

    return serve


def over_aiohttp(posthog, sink):
    def serve(*, around=None, **options):
        ours = PostHogInterceptor(client=posthog, **options)
        schema = strawberry.Schema(Query, subscription=Subscription, extensions=[ours])

        @asynccontextmanager
        async def start():
            interceptor = aiohttp.PostHogInterceptor(client=posthog, **(options if around is None else around))
            app = web.Application(middlewares=[interceptor])
            app.router.add_route("*", "/graphql", GraphQLView(schema=schema))
            runner = web.AppRunner(app, shutdown_timeout=1)
            await runner.setup()
            server = web.TCPSite(runner, "127.0.0.1", 0)
            await server.start()
            yield runner.addresses[0][1]
            await runner.cleanup()

        return serving_own(start, posthog, sink)

    return serve


def ask(site, query):
    answer = site.get(f"/graphql?query={quote(query)}", VISITOR)
    return answer.status, json.loads(answer.body)


@shows("graphql-resolvers")
def test_what_a_resolver_raises_is_one_event(serve):
    """The event is of the original exception, unhandled.

    It has the request around it, the 200 that was sent, and the path.
    """
    with serve(capture_exceptions=True) as site:
        status, answer = ask(site, 'query Shop { a: sync(how: "plain") b: awaited(how: "plain") c: sync(how: "fine") }')
        first, second = sorted(site.exceptions, key=lambda event: event.properties["graphql_path"])
    assert (status, answer["data"], len(answer["errors"])) == (200, {"a": None, "b": None, "c": "fine"}, 2)
    for event, path in ((first, "a"), (second, "b")):
        assert exception_of(event) == ("ValueError", False, 200)
        assert event.properties["$exception_list"][0]["value"] == "plain"
        assert (event.properties["graphql_operation"], event.properties["graphql_path"]) == ("Shop", path)
        assert (person_of(event), event.properties["$session_id"]) == ("alice", "session-a")
        assert event.properties["$request_path"].startswith("/graphql")
        last = event.properties["$exception_list"][0]["stacktrace"]["frames"][-1]
        assert last["context_line"].strip() == 'raise ValueError("plain")'


def test_the_schemas_interceptor_alone_knows_what_left(serve):
    """The status is not checked where the framework's interceptor has no `capture_exceptions`.

    GraphQL's own answer is a 200.
    """
    with serve(capture_exceptions=True, around={}) as site:
        assert ask(site, '{ sync(how: "plain") }')[0] == 200
        assert [exception_of(event) for event in site.exceptions] == [("ValueError", False, 200)]


@shows("graphql-resolvers")
@pytest.mark.parametrize(
    "query", ['{ sync(how: "own") }', "{ nowhere }", "{ sync(how: ", "", "{ sync(how: 7) }", 'query A { sync(how: "a") } query B { sync }']
)  # fmt: skip
def test_what_the_client_did_wrong_is_none(serve, query):
    """Errors said on purpose, syntax, validation, a missing operation."""
    with serve(capture_exceptions=True) as site:
        site.get(f"/graphql?query={quote(query)}", VISITOR)
        assert site.events == []


def test_an_error_said_on_purpose_that_holds_another_one_is_that(serve):
    """`original_error` is what went wrong."""
    with serve(capture_exceptions=True) as site:
        ask(site, '{ sync(how: "wrapped") }')
        assert [exception_of(event) for event in site.exceptions] == [("KeyError", False, 200)]


@pytest.mark.parametrize(
    ("rules", "count"),
    [
        (False, 0),
        (ExceptionCapture(handled="ignore"), 1),
        (ExceptionCapture(ignore=(ValueError,)), 0),
        (ExceptionCapture(min_status_to_capture=400), 1),
    ],
)
def test_rules_hold(serve, rules, count):
    """Only GraphQL's last resort answers the exception, so it is unhandled.

    Capture is off by default.
    """
    with serve(capture_exceptions=rules) as site:
        ask(site, '{ sync(how: "plain") }')
        assert len(site.exceptions) == count


class Failing(SchemaExtension):
    def on_validate(self):
        raise LookupError("extension")
        yield


def mask(*, execution_context=None, **_):
    """Make the extension, as old versions and new ones ask for one."""
    masking = MaskErrors()
    if execution_context is not None:
        masking.execution_context = execution_context
    return masking


class TestStrawberry:
    def test_masked_errors_are_seen_before_the_mask(self, posthog, sink):
        """This holds wherever the extensions stand in the list."""
        for order in (1, -1):
            extensions = [PostHogInterceptor(client=posthog, capture_exceptions=True), mask][::order]
            schema = strawberry.Schema(Query, extensions=extensions)
            result = schema.execute_sync('{ sync(how: "plain") }')
            assert "plain" not in result.errors[0].message
        posthog.flush()
        assert [exception_of(event) for event in sink.events] == [("ValueError", False, 200)] * 2

    def test_an_extension_that_fails_is_seen(self, posthog, sink):
        """It is no client's mistake."""
        with over_strawberry(posthog, sink)(capture_exceptions=True, extensions=[Failing]) as site:
            ask(site, '{ sync(how: "fine") }')
            assert [exception_of(event)[0] for event in site.exceptions] == ["LookupError"]

    def test_a_subscription_that_fails_is_one_event(self, posthog, sink):
        """Outside any request too, where nobody acts."""
        ours = PostHogInterceptor(client=posthog, capture_exceptions=True)
        schema = strawberry.Schema(Query, subscription=Subscription, extensions=[ours])

        async def subscribe():
            return [result async for result in await schema.subscribe("subscription { count }")]

        results = asyncio.run(subscribe())
        assert results[0].data == {"count": 1}
        posthog.flush()
        assert [(exception_of(event)[0], person_of(event)) for event in sink.events] == [("ValueError", None)]

    @pytest.mark.parametrize("app", ["fastapi", "aiohttp"])
    @pytest.mark.parametrize("around", [None, {}], ids=["both", "alone"])
    def test_a_sockets_operation_is_told_of_when_it_ends(self, posthog, sink, app, around):
        """The socket stays open for the visitor's next operation.

        This also holds where the framework's interceptor captures nothing.
        """
        serve = {"fastapi": over_strawberry, "aiohttp": over_aiohttp}[app](posthog, sink)
        with serve(capture_exceptions=True, around=around) as site:
            url, protocol = f"ws://127.0.0.1:{site.port}/graphql", "graphql-transport-ws"
            with connect(url, subprotocols=[protocol], additional_headers=VISITOR) as socket:
                socket.send(json.dumps({"type": "connection_init"}))
                for number in (1, 2):
                    subscribe = {"query": "subscription Count { count }"}
                    socket.send(json.dumps({"type": "subscribe", "id": str(number), "payload": subscribe}))
                    while json.loads(socket.recv(30))["type"] not in ("error", "complete"):
                        pass
                    events = site.wait_for(number)
        assert [exception_of(event) for event in events] == [("ValueError", False, 101)] * 2
        assert {(person_of(event), event.properties["graphql_operation"]) for event in events} == {("alice", "Count")}

    def test_it_is_made_anew_for_each_operation(self, posthog):
        """Concurrent operations do not share an extension.

        Its registration raises no deprecation warning (warnings are errors).
        """
        ours = PostHogInterceptor(client=posthog)
        assert ours() is not ours()


def test_outside_a_request_it_is_nobodys(posthog, sink):
    """A script that executes a query: one event, and nothing made up."""
    middleware = [graphql.PostHogInterceptor(client=posthog, capture_exceptions=True)]
    graphene.Schema(GrapheneQuery).execute('{ sync(how: "plain") }', middleware=middleware)
    posthog.flush()
    [event] = sink.events
    assert (exception_of(event), person_of(event)) == (("ValueError", False, 200), None)
    assert "$request_path" not in event.properties


def test_the_example_sends_what_its_page_promises(sink):
    """On a server of its own."""
    root = Path(__file__).parents[2]
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    environ = {"HOGLINE_PROJECT_TOKEN": "phc_example", "HOGLINE_HOST": sink.url, "HOGLINE_FLUSH_INTERVAL": "0.1", "PYTHONPATH": str(root)}  # fmt: skip
    command = ["-m", "uvicorn", "--log-level", "critical", "--port", str(port), "examples.graphql_app:app"]
    process = subprocess.Popen(
        [sys.executable, *command], cwd=root, env=os.environ | environ, stderr=subprocess.DEVNULL
    )
    try:
        pool = urllib3.PoolManager(timeout=30, retries=urllib3.Retry(60, backoff_factor=0.1, backoff_max=0.5))
        for query in ("mutation { checkout }", "{ broken }"):
            url, body = f"http://127.0.0.1:{port}/graphql", {"query": query}
            assert pool.request("POST", url, headers=VISITOR, json=body).status == 200
        first, failure = sink.wait_for(2)[:2]
    finally:
        process.terminate()
        process.wait(30)
    assert (first.event, exception_of(failure)) == ("checkout", ("RuntimeError", False, 200))
    assert {event.properties["$session_id"] for event in (first, failure)} == {"session-a"}


def test_a_sockets_operations_are_told_of_while_it_is_open():
    """A connection may last for days, and fail more often than there is room for what waits."""
    posthog, told = RecordingPostHog(enable_exception_autocapture_rate_limiting=False), []

    async def app(scope, receive, send):
        await send({"type": "websocket.accept"})
        for number in range(12):
            fail_once(schema, number)
        told.extend(posthog.named("$exception"))

    schema = failing_schema(posthog)
    call(
        asgi.PostHogInterceptor(app, client=posthog, capture_exceptions=True),
        {"type": "websocket", "path": "/", "headers": []},
    )
    assert len(told) == len(posthog.named("$exception")) == 12
    assert {event.properties["$response_status_code"] for event in told} == {101}


def test_what_finds_no_room_is_counted():
    """While the status is not known, ten exceptions of a request wait for it."""
    posthog = RecordingPostHog(enable_exception_autocapture_rate_limiting=False)

    async def app(scope, receive, send):
        for number in range(12):
            fail_once(schema, number)
        await ok(send)

    schema = failing_schema(posthog)
    scope = {"type": "http", "method": "GET", "path": "/", "headers": [], "query_string": b""}
    call(asgi.PostHogInterceptor(app, client=posthog, capture_exceptions=True), scope)
    assert len(posthog.named("$exception")) == 10
    assert posthog.stats().dropped == {"too_many_exceptions": 2}


def failing_schema(posthog):
    """Return a Graphene schema, and the interceptor its operations run with."""

    class Failing(graphene.ObjectType):
        number = graphene.String(of=graphene.Int())

        def resolve_number(self, info, of):
            raise ValueError(f"number {of}")

    return graphene.Schema(Failing), graphql.PostHogInterceptor(client=posthog, capture_exceptions=True)


def fail_once(schema, number):
    made, interceptor = schema
    assert made.execute(f"{{ number(of: {number}) }}", middleware=[interceptor]).errors
