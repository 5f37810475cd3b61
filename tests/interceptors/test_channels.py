"""These tests show the promises that are special to Channels.

They cover a connection's context in all of its messages, routers, signed-in users, and servers
without a lifespan.
"""

import asyncio

import pytest
from channels.consumer import SyncConsumer
from channels.generic.websocket import AsyncWebsocketConsumer, WebsocketConsumer
from channels.routing import ProtocolTypeRouter, URLRouter
from channels.testing import ApplicationCommunicator, WebsocketCommunicator
from django.urls import path, re_path

import hogline
from hogline.context import current
from hogline.interceptors.channels import PostHogInterceptor
from tests.support.behaviours import shows
from tests.support.sink import exception_of, person_of

pytestmark = pytest.mark.usefixtures("project")

# asgiref's communicator raises what the application raised only after it has waited this long.
_UNTIL_RAISED_S = 1
HEADERS = [(b"host", b"shop.example"), (b"x-posthog-distinct-id", b"alice"), (b"x-posthog-session-id", b"session-a")]


@pytest.fixture
def events(posthog, sink):
    """Return a function that gives what was captured so far."""

    def events():
        assert posthog.flush(10)
        return sink.events

    return events


def talk(application, at, *messages):
    """Connect, send each of *messages* and read its answer, and leave."""

    async def run():
        socket = WebsocketCommunicator(application, at, headers=HEADERS)
        connected, _ = await socket.connect(timeout=10)
        answers = []
        for message in messages:
            await socket.send_to(text_data=message)
            answers.append(await socket.receive_from(timeout=10))
        if connected:
            await socket.disconnect(timeout=10)
        return connected, answers

    return asyncio.run(run())


def around(posthog, *routes, **options):
    routers = ProtocolTypeRouter({"websocket": URLRouter(list(routes))})
    return PostHogInterceptor(routers, client=posthog, **({"capture_exceptions": True} | options))


class TestConnections:
    def test_what_one_message_says_is_there_in_the_next(self, posthog, events):
        """Connect, messages and disconnect share the connection's context."""

        class Chat(AsyncWebsocketConsumer):
            async def connect(self):
                posthog.capture("connect")
                await self.accept()

            async def receive(self, text_data=None, bytes_data=None):
                posthog.capture("message")
                hogline.tag("colour", text_data)
                await self.send(text_data)

            async def disconnect(self, code):
                posthog.capture("disconnect")

        talk(around(posthog, path("rooms/<str:name>/", Chat.as_asgi())), "/rooms/x/", "red", "blue")
        found = events()
        assert [event.event for event in found] == ["connect", "message", "message", "disconnect"]
        assert [event.properties.get("colour") for event in found] == [None, None, "red", "blue"]
        assert {(person_of(event), event.properties["$request_route"]) for event in found} == {
            ("alice", "/rooms/<str:name>/")
        }

    @shows("context-everywhere")
    def test_a_synchronous_consumer_belongs_to_the_visitor(self, posthog, events):
        """It runs in threads."""

        class Chat(WebsocketConsumer):
            def receive(self, text_data=None, bytes_data=None):
                posthog.capture("message")
                self.send(text_data)

        talk(around(posthog, re_path(r"^rooms/(?P<name>\w+)$", Chat.as_asgi())), "/rooms/x", "one")
        [event] = events()
        assert (person_of(event), event.properties["$request_route"]) == ("alice", r"/^rooms/(?P<name>\w+)$")

    def test_a_worker_has_no_request(self, posthog, events):
        """Consumers of a channel run without a context, and their errors are not captured."""
        seen = []

        class Worker(SyncConsumer):
            def work(self, message):
                seen.append(current.get())

        async def run():
            worker = ApplicationCommunicator(
                PostHogInterceptor(Worker.as_asgi(), client=posthog), {"type": "channel", "channel": "work"}
            )
            await worker.send_input({"type": "work"})
            await worker.receive_nothing(0.3)
            worker.stop(exceptions=False)

        asyncio.run(run())
        assert seen == [None]


class TestExceptions:
    @shows("swallowed-errors")
    def test_what_a_consumer_raises_is_one_event(self, posthog, events):
        """It may come after the handshake, and the event has its status.

        The same object goes to the server.
        """
        error = ValueError("x")

        class Failing(AsyncWebsocketConsumer):
            async def receive(self, text_data=None, bytes_data=None):
                raise error

        async def run():
            socket = WebsocketCommunicator(around(posthog, path("x", Failing.as_asgi())), "/x", headers=HEADERS)
            await socket.connect(timeout=10)
            await socket.send_to(text_data="one")
            with pytest.raises(ValueError, match="x") as raised:
                await socket.receive_from(timeout=_UNTIL_RAISED_S)
            assert raised.value is error

        asyncio.run(run())
        assert [(exception_of(event), person_of(event)) for event in events()] == [
            (("ValueError", False, 101), "alice")
        ]

    @pytest.mark.parametrize("nested", [False, True])
    def test_a_path_without_a_route_is_the_clients_mistake(self, posthog, events, nested):
        """URLRouter raises ValueError, one inside another Resolver404."""
        consumer = AsyncWebsocketConsumer.as_asgi()
        route = path("rooms/", URLRouter([path("x", consumer)])) if nested else path("rooms/x", consumer)

        async def run():
            socket = WebsocketCommunicator(around(posthog, route), "/rooms/nowhere", headers=HEADERS)
            with pytest.raises(Exception, match="No route found"):
                await socket.connect(timeout=_UNTIL_RAISED_S)

        asyncio.run(run())
        assert events() == []


class TestUsers:
    class User:
        is_authenticated, pk = True, 7

    class Signing:
        """The user is in a copy of the scope, as AuthMiddleware makes it."""

        def __init__(self, inner, user):
            self.inner, self.user = inner, user

        async def __call__(self, scope, receive, send):
            await self.inner(dict(scope, user=self.user), receive, send)

    @pytest.fixture
    def chat(self, posthog):
        class Chat(AsyncWebsocketConsumer):
            async def receive(self, text_data=None, bytes_data=None):
                posthog.capture("message")
                await self.send(text_data)

        return URLRouter([path("x", Chat.as_asgi())])

    @pytest.mark.parametrize("outer", [False, True])
    def test_inside_of_auth_middleware_the_user_is_known(self, posthog, events, chat, outer):
        """The interceptor inside knows the user; one around it learns the user from that one."""
        application = self.Signing(PostHogInterceptor(chat, client=posthog), self.User)
        if outer:
            application = PostHogInterceptor(application, client=posthog)
        talk(application, "/x", "one")
        [event] = events()
        assert (event.distinct_id, event.properties["$session_id"]) == ("7", "session-a")
        assert event.properties["$request_route"] == "/x"

    def test_outside_of_it_the_browsers_person_counts(self, posthog, events, chat):
        """The scope that middleware hands on is a copy."""
        talk(PostHogInterceptor(self.Signing(chat, self.User), client=posthog), "/x", "one")
        assert [event.distinct_id for event in events()] == ["alice"]


@shows("lifespan-passes", "sigterm-uvicorn")
@pytest.mark.parametrize("own", [False, True])
def test_a_lifespan_is_answered_where_the_router_has_none(posthog, own):
    """Uvicorn's shutdown is the only moment to flush.

    The application that handles it is the project's own.
    """
    calls = []

    async def lifespan(scope, receive, send):
        calls.append(scope["type"])
        await send({"type": "lifespan.startup.failed"})

    routers = ProtocolTypeRouter({"lifespan": lifespan} if own else {})
    sent, incoming = [], [{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}]

    async def receive():
        return incoming.pop(0)

    async def send(message):
        sent.append(message["type"])

    asyncio.run(PostHogInterceptor(routers, client=posthog)({"type": "lifespan"}, receive, send))
    assert sent == (["lifespan.startup.failed"] if own else ["lifespan.startup.complete", "lifespan.shutdown.complete"])
    assert calls == (["lifespan"] if own else [])


class SilentError(ValueError):
    """An exception that cannot be printed."""

    def __str__(self):
        raise RuntimeError("broken __str__")


def test_an_exception_that_cannot_be_printed_leaves_as_it_is(posthog, events):
    """An exception whose `__str__` fails reaches the server unchanged, and is captured."""

    async def application(scope, receive, send):
        raise SilentError

    around = PostHogInterceptor(application, client=posthog, capture_exceptions=True)
    with pytest.raises(SilentError):
        asyncio.run(around({"type": "http", "path": "/", "headers": HEADERS}, None, None))
    assert [exception_of(event) for event in events()] == [("SilentError", False, 500)]
