"""Callbacks that capture, or fail in strange ways: they are asked once, and nothing of theirs
reaches the app.
"""

import asyncio
import threading
from collections import UserDict

import httpx
import pytest
from opentelemetry.sdk.trace import TracerProvider

import hogline
from hogline.interceptors.asgi import PostHogInterceptor
from hogline.propagation.httpx import PostHogPropagation
from hogline.propagation.opentelemetry import PostHogSpanProcessor
from hogline.propagation.outgoing import Destinations
from hogline.testing import RecordingPostHog
from tests.interceptors.test_asgi import call, ok
from tests.propagation.test_outgoing import acting
from tests.support.serving import VISITOR

SCOPE = {"type": "http", "method": "GET", "path": "/cart", "query_string": b"", "scheme": "http"}
HEADERS = [(name.lower().encode(), value.encode()) for name, value in VISITOR.items()]


@pytest.fixture
def posthog():
    return RecordingPostHog()


@pytest.fixture
def tracer():
    provider = TracerProvider()
    provider.add_span_processor(PostHogSpanProcessor())
    return provider.get_tracer("database")


class Lazy:
    """An object that a framework hands out in place of a user, before there is one."""

    def __getattr__(self, name):
        raise RuntimeError("working outside of a request")

    __class__ = property(lambda self: getattr(self, "kind"))  # noqa: B009 - as a proxy says it


def ask(app, posthog, **options):
    return call(PostHogInterceptor(app, client=posthog, **options), {**SCOPE, "headers": HEADERS})


def capturing(posthog):
    async def app(scope, receive, send):
        posthog.capture("checkout")
        await ok(send)

    return app


def captures(posthog, tracer, client):
    posthog.capture("asked")


def reports(posthog, tracer, client):
    try:
        raise KeyError("users")
    except KeyError as error:
        posthog.capture_exception(error)


def reports_too_deep(posthog, tracer, client):
    """Such an exception is reported on a thread of its own."""
    posthog.capture_exception(RecursionError())


def queries(posthog, tracer, client):
    with tracer.start_as_current_span("SELECT user"):
        pass


def calls_another_service(posthog, tracer, client):
    client.get("http://users.example/")


@pytest.mark.parametrize("name", ["distinct_id", "properties"])
@pytest.mark.parametrize("asks", [captures, reports, reports_too_deep, queries, calls_another_service])
def test_a_callback_that_asks_who_acts_is_asked_once(posthog, tracer, name, asks):
    """An event that the callback captures belongs to the person of the headers, and to the same
    request.
    """
    asked = []

    def callback(request):
        asked.append(request)
        assert len(asked) < 5
        asks(posthog, tracer, client)
        return "user-7" if name == "distinct_id" else {"plan": "gold"}

    with httpx.Client(transport=httpx.MockTransport(lambda request: httpx.Response(200))) as client:
        PostHogPropagation(client, hosts=["users.example"])
        ask(capturing(posthog), posthog, **{name: callback})
    assert len(asked) == 1
    *inside, outside = posthog.events
    assert (outside.event, outside.distinct_id) == ("checkout", "user-7" if name == "distinct_id" else "alice")
    assert outside.properties.get("plan") == (None if name == "distinct_id" else "gold")
    assert [(event.distinct_id, event.properties["$request_id"]) for event in inside] == [
        ("alice", outside.properties["$request_id"])
    ] * len(inside)


def test_a_task_that_a_callback_leaves_behind_may_ask(posthog):
    """Once the callback has answered, its own children are like any other code of the request."""
    left = []

    async def later():
        await asyncio.sleep(0)
        posthog.capture("later")

    def who(request):
        left.append(asyncio.get_running_loop().create_task(later()))
        return "user-7"

    async def app(scope, receive, send):
        posthog.capture("checkout")
        await left[0]
        await ok(send)

    ask(app, posthog, distinct_id=who)
    assert [event.distinct_id for event in posthog.events] == ["user-7", "user-7"]


def test_two_threads_may_ask_at_once(posthog):
    """That a callback is being asked in one thread is nothing to another."""
    both = threading.Barrier(2, timeout=30)

    def who(request):
        both.wait()
        return "user-7"

    async def app(scope, receive, send):
        await asyncio.gather(*(asyncio.to_thread(posthog.capture, f"part {number}") for number in range(2)))
        await ok(send)

    ask(app, posthog, distinct_id=who)
    assert [event.distinct_id for event in posthog.events] == ["user-7", "user-7"]


@pytest.mark.parametrize("name", ["request_filter", "distinct_id", "properties"])
def test_a_lazy_answer_that_fails_counts_as_none(posthog, caplog, name):
    """The app neither fails nor loses the event."""
    told = []

    async def app(scope, receive, send):
        told.append(hogline.get_context_distinct_id())
        posthog.capture("checkout")
        await ok(send)

    assert ask(app, posthog, **{name: lambda request: Lazy()})[0]["status"] == 200
    assert (told, [event.distinct_id for event in posthog.events]) == (["alice"], ["alice"])
    assert [record.args[0] for record in caplog.records] == [name]


def test_a_mapping_that_fails_counts_as_none(posthog, caplog):
    class Broken(UserDict):
        def keys(self):
            raise RuntimeError("no keys today")

    ask(capturing(posthog), posthog, properties=lambda request: Broken(plan="gold"))
    assert [(event.distinct_id, "plan" in event.properties) for event in posthog.events] == [("alice", False)]
    assert [record.args[0] for record in caplog.records] == ["properties"]


def test_a_request_that_cannot_be_made_asks_nobody(posthog, caplog):
    """A framework's request class is the user's, and may fail."""

    class Exchange(PostHogInterceptor.exchange_class):
        def request(self):
            raise RuntimeError("no request")

    class Interceptor(PostHogInterceptor):
        exchange_class = Exchange

    app = Interceptor(capturing(posthog), client=posthog, distinct_id=str, request_filter=lambda request: False)
    assert call(app, {**SCOPE, "headers": HEADERS})[0]["status"] == 200
    assert [event.distinct_id for event in posthog.events] == ["alice"]
    assert [record.args[0] for record in caplog.records] == ["request_filter", "distinct_id"]


def test_an_outgoing_call_leaves_without_headers_where_ours_fail(caplog):
    """This holds whatever values the context contains."""
    destinations = Destinations(["users.example"])
    with acting(who=Lazy()):
        assert destinations.headers("http://users.example/") == destinations.headers("http://users.example/") == {}
    assert len(caplog.records) == 1
