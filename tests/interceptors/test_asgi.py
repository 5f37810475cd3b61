"""These tests show the promises that are special to ASGI.

They cover lifespans and unknown scopes, nested calls in process, and the scope that outer layers
see.
"""

import asyncio
import contextlib
import gc
import weakref

import httpx
import pytest

from hogline import PostHog, get_context_distinct_id, get_context_session_id, tag
from hogline.context import current
from hogline.exception_kinds import unwrapped
from hogline.interceptors.asgi import EXCHANGE_KEY, PostHogInterceptor
from hogline.testing import RecordingPostHog
from tests.interceptors.apps.contract import FrozenError
from tests.support.behaviours import shows
from tests.support.serving import VISITOR, now, serving_asgi
from tests.support.sink import exception_of, person_of

OK = [
    {"type": "http.response.start", "status": 200, "headers": []},
    {"type": "http.response.body", "body": b"ok"},
]


@pytest.fixture
def serve(posthog, sink):
    """Return a context manager that serves an app behind an interceptor with the options given."""

    def serve(app, **options):
        return serving_asgi(PostHogInterceptor(app, client=posthog, **options), posthog, sink)

    return serve


async def ok(send):
    for message in OK:
        await send(message)


def call(app, scope, incoming=()):
    """Call *app* as a server does; returns what it sent."""
    sent, waiting = [], list(incoming)

    async def receive():
        return waiting.pop(0)

    async def send(message):
        sent.append(message)

    asyncio.run(app(scope, receive, send))
    return sent


class TestPassedThrough:
    @shows("lifespan-passes")
    def test_a_lifespan_is_the_apps_own(self, posthog):
        """The same scope, the same messages in the same order."""
        scope, seen = {"type": "lifespan", "state": {}}, []

        async def app(scope, receive, send):
            seen.append(scope)
            for kind in ("startup", "shutdown"):
                seen.append(await receive())
                await send({"type": f"lifespan.{kind}.complete", "own": kind})

        incoming = [{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}]
        sent = call(PostHogInterceptor(app, client=posthog), scope, incoming)
        assert seen[0] is scope
        assert seen[1:] == incoming
        assert sent == [{"type": f"lifespan.{kind}.complete", "own": kind} for kind in ("startup", "shutdown")]

    @shows("lifespan-passes", "sigterm-uvicorn")
    def test_what_waits_leaves_before_the_shutdown_is_complete(self, posthog, sink):
        """The server may die right after it."""
        arrived = []

        async def app(scope, receive, send):
            posthog.capture("at the end", distinct_id="shop")
            await send({"type": "lifespan.shutdown.complete"})

        async def send(message):
            arrived.extend(event.event for event in sink.events)

        posthog.flush(10)
        asyncio.run(PostHogInterceptor(app, client=posthog)({"type": "lifespan"}, None, send))
        assert arrived == ["at the end"]

    @shows("lifespan-passes")
    @pytest.mark.parametrize("kind", ["lifespan", "mqtt"])
    def test_errors_and_unknown_scopes_go_their_way(self, posthog, sink, kind):
        """The same object, no context, no event."""
        error = ValueError("no such scope")

        async def app(scope, receive, send):
            assert current.get() is None
            raise error

        with pytest.raises(ValueError, match="no such scope") as raised:
            call(PostHogInterceptor(app, client=posthog, capture_exceptions=True), {"type": kind})
        assert raised.value is error
        posthog.flush(10)
        assert sink.events == []


@shows("same-scope")
def test_the_scope_is_the_servers_own_object(posthog, sink):
    """Values that the app puts into the scope, such as route and endpoint, reach the layers around
    us.
    """
    scopes = []

    async def app(scope, receive, send):
        scopes.append(scope)
        scope["endpoint"] = "checkout"
        await ok(send)

    inner = PostHogInterceptor(app, client=posthog, capture_exceptions=True)

    async def around(scope, receive, send):
        await inner(scope, receive, send)
        scopes.append(scope)

    with serving_asgi(around, posthog, sink) as site:
        assert site.get("/", VISITOR).body == b"ok"
    inside, outside = scopes
    assert outside is inside
    assert outside["endpoint"] == "checkout"
    assert EXCHANGE_KEY not in outside


@shows("nested-requests")
def test_a_call_in_process_is_a_request_of_its_own(serve, posthog):
    """Afterwards the outer request's context is back, with what it was told before."""

    async def inner(scope, receive, send):
        posthog.capture("inner")
        await ok(send)

    wrapped = PostHogInterceptor(inner, client=posthog)

    async def outer(scope, receive, send):
        tag("colour", "red")
        transport = httpx.ASGITransport(wrapped)
        async with httpx.AsyncClient(transport=transport, base_url="http://inside.example") as client:
            await client.get("/inner", headers={"X-POSTHOG-DISTINCT-ID": "bob"})
            await client.get("/inner")
        posthog.capture("outer")
        await ok(send)

    with serve(outer) as site:
        site.get("/", VISITOR)
        events = site.events
    assert [(event.event, person_of(event)) for event in events] == [
        ("inner", "bob"),
        ("inner", None),
        ("outer", "alice"),
    ]
    assert [event.properties.get("colour") for event in events] == [None, None, "red"]
    assert len({event.properties["$request_id"] for event in events}) == 3


@shows("nested-requests")
def test_a_call_in_process_that_fails_gives_the_context_back(serve, posthog):
    """This also holds when the exception goes through."""
    seen = []

    async def inner(scope, receive, send):
        raise ValueError("inner")

    wrapped = PostHogInterceptor(inner, client=posthog, capture_exceptions=True)

    async def outer(scope, receive, send):
        transport = httpx.ASGITransport(wrapped)
        async with httpx.AsyncClient(transport=transport, base_url="http://inside.example") as client:
            with pytest.raises(ValueError, match="inner"):
                await client.get("/inner", headers={"X-POSTHOG-DISTINCT-ID": "bob"})
        seen.append(now())
        await ok(send)

    with serve(outer) as site:
        site.get("/", VISITOR)
        [event] = site.exceptions
    assert seen == ["alice"]
    assert (person_of(event), exception_of(event)) == ("bob", ("ValueError", False, 500))


@shows("database-connection-lost")
def test_the_databases_connection_is_not_the_clients(serve):
    """A ConnectionResetError of the app's own is a mistake.

    One that the server's `send` raised is none.
    """

    async def app(scope, receive, send):
        raise ConnectionResetError("the database is gone")

    with serve(app, capture_exceptions=True) as site:
        site.get("/", VISITOR)
        assert [exception_of(event) for event in site.exceptions] == [("ConnectionResetError", False, 500)]


@shows("client-went-away", "database-connection-lost")
def test_a_client_that_left_is_no_mistake_whatever_the_server_raises(posthog, sink):
    """Servers may raise any OSError out of `send`; frameworks wrap it."""

    async def app(scope, receive, send):
        try:
            await ok(send)
        except OSError as error:
            raise RuntimeError("the response broke") from error

    async def send(message):
        raise ConnectionResetError("the client is gone")

    interceptor = PostHogInterceptor(app, client=posthog, capture_exceptions=True)
    with pytest.raises(RuntimeError, match="broke"):
        asyncio.run(interceptor({"type": "http", "method": "GET", "path": "/", "headers": []}, None, send))
    posthog.flush(10)
    assert sink.events == []


@shows("failing-capture")
def test_a_capture_that_fails_harms_nobody(posthog, sink):
    """A client that is shut down, a hook that raises: the request is served, and nothing
    recurses.
    """

    async def app(scope, receive, send):
        posthog.capture("x")
        if scope["path"] == "/boom":
            raise ValueError("boom")
        await ok(send)

    def fail(event):
        raise RuntimeError("hook")

    broken = PostHog("phc_test", host=posthog.settings.host, before_send=fail)
    interceptor = PostHogInterceptor(app, client=broken, capture_exceptions=True)
    with serving_asgi(interceptor, posthog, sink) as site:
        posthog.shutdown(10)
        assert site.get("/", VISITOR).status == 200
        assert site.get("/boom", VISITOR).status == 500
        assert broken.stats().dropped == {"before_send": 1}
        broken.shutdown(10)
        assert site.get("/boom", VISITOR).status == 500


def test_the_app_may_be_given_by_name():
    """Old versions of Starlette pass the app to middleware by name.

    Without an app there is nothing to wrap, and that is an error.
    """

    async def app(scope, receive, send):
        """Serve nobody."""

    assert PostHogInterceptor(app=app).app is app
    with pytest.raises(TypeError, match="goes around an app"):
        PostHogInterceptor()


@shows("unmarkable-exceptions")
def test_what_contextlib_makes_of_an_exception_that_refuses_it_is_seen_through():
    """The app's exception is the one captured, not the refusal that replaces it.

    `contextlib` assigns `__traceback__`, and the exception refuses that with an error of its own.
    """

    @contextlib.contextmanager
    def scope():
        yield

    try:
        with scope():
            raise FrozenError("frozen")
    except Exception as raised:
        assert type(raised) is not FrozenError
        assert type(unwrapped(raised)) is FrozenError


class RefusingError(ValueError):
    """An exception that takes no mark."""

    __dict__ = property(lambda self: {})


class Held:
    """An object that a failing function holds in a local variable."""


@pytest.mark.parametrize("kind", [ValueError, RefusingError])
def test_a_long_connection_does_not_hold_what_it_captured(kind):
    """Frames and locals are freed with the exception.

    Of those that refuse to be marked, the last few stay. Each is still one event.
    """
    posthog, held, alive = RecordingPostHog(), weakref.WeakSet(), []

    def fail():
        mine = Held()
        held.add(mine)
        raise kind("bad message")

    async def app(scope, receive, send):
        await send({"type": "websocket.accept"})
        for _ in range(30):
            try:
                fail()
            except ValueError as error:
                posthog.capture_exception(error)
                posthog.capture_exception(error)
        gc.collect()
        alive.append(len(held))

    scope = {"type": "websocket", "path": "/", "headers": [], "scheme": "ws"}
    call(PostHogInterceptor(app, client=posthog), scope)
    assert len(posthog.named("$exception")) == 30
    assert alive[0] <= (0 if kind is ValueError else 8)


def test_an_instance_that_two_requests_raise_at_once_is_one_event_of_each():
    """Each request sees the exception again in an outer layer, after the other has captured it.

    This is the rule `deduplicate-per-request`.
    """
    posthog, shared = RecordingPostHog(), ValueError("shared")

    async def main():
        both = asyncio.Barrier(2)

        async def app(scope, receive, send):
            try:
                raise shared
            except ValueError as error:
                posthog.capture_exception(error)
            await both.wait()
            raise shared

        async def request():
            scope = {"type": "http", "method": "GET", "path": "/", "headers": [], "query_string": b""}
            with contextlib.suppress(ValueError):
                await PostHogInterceptor(app, client=posthog, capture_exceptions=True)(scope, None, None)

        await asyncio.gather(request(), request())

    asyncio.run(main())
    ids = [event.properties["$request_id"] for event in posthog.named("$exception")]
    assert len(ids) == len(set(ids)) == 2


@pytest.mark.parametrize("headers", [[(b"x-posthog-session-id",)], 5, [b"x"], [("x-posthog-session-id", "s")]])
@pytest.mark.parametrize("options", [{}, {"read_cookie": True}])
def test_headers_that_cannot_be_read_are_nobodys(posthog, sink, headers, options, caplog):
    """A scope that a middleware around us has broken costs nothing.

    Identification continues without headers, and the event is sent.
    """
    asked = []

    async def app(scope, receive, send):
        asked.append((get_context_distinct_id(), get_context_session_id()))
        posthog.capture("asked", distinct_id="u")
        await ok(send)

    scope = {"type": "http", "method": "GET", "path": "/a", "headers": headers, "query_string": b""}
    sent = call(PostHogInterceptor(app, client=posthog, **options), scope)
    assert sent == OK
    assert asked == [(None, None)]
    posthog.flush()
    assert sink.wait_for(1)[0].properties["$request_path"] == "/a"
    if headers != [("x-posthog-session-id", "s")]:  # texts have no name that we ask for
        assert "headers failed" in caplog.text


class Sending:
    """A result of `send` that is no coroutine, as servers return that are not written in Python."""

    def __init__(self, fails):
        self.fails = fails

    def __await__(self):
        if self.fails:
            raise OSError("the client went away")
        return iter(())


@shows("client-went-away")
@pytest.mark.parametrize("compiled", [True, False], ids=["compiled", "python"])
@pytest.mark.parametrize("fails_at", ["http.response.start", "http.response.body"])
@pytest.mark.parametrize("wrapped", [True, False], ids=["from it", "itself"])
def test_what_the_servers_send_raises_is_no_event(compiled, fails_at, wrapped):
    """This holds for every kind of awaitable that `send` returns, and if the app raises another
    error from it.
    """
    client = RecordingPostHog()

    async def sent(fails):
        if fails:
            raise OSError("the client went away")

    def send(message):
        return (Sending if compiled else sent)(message["type"] == fails_at)

    async def app(scope, receive, send):
        try:
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"x"})
        except OSError as error:
            if wrapped:
                raise RuntimeError("cannot answer") from error
            raise

    scope = {"type": "http", "method": "GET", "path": "/", "headers": []}
    served = PostHogInterceptor(app, client=client, capture_exceptions=True)
    with pytest.raises((OSError, RuntimeError)):
        asyncio.run(served(scope, None, send))
    assert client.events == []
    client.shutdown()
