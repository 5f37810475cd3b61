"""These tests show the promises that are special to Tornado.

They cover handlers that override everything, control flow, calls from the connection, and clients
that leave.
"""

import asyncio
import gc
import weakref
from contextlib import asynccontextmanager

import pytest
from tornado.httpclient import HTTPClientError
from tornado.httpserver import HTTPServer
from tornado.iostream import StreamClosedError
from tornado.netutil import bind_sockets
from tornado.web import Application, Finish, HTTPError, RequestHandler, stream_request_body

import hogline
from hogline.interceptors.tornado import PostHogInterceptor
from tests.support.behaviours import shows
from tests.support.serving import VISITOR, now, serving_own
from tests.support.sink import exception_of, person_of


@pytest.fixture
def serve(posthog, sink):
    """Return a context manager that serves handlers behind an interceptor with the options
    given.
    """

    def serve(*rules, options=None, **settings):
        application = Application(list(rules), log_function=lambda handler: None, **settings)
        PostHogInterceptor(application, client=posthog, **(options or {"capture_exceptions": True}))

        @asynccontextmanager
        async def start():
            server = HTTPServer(application)
            sockets = bind_sockets(0, "127.0.0.1")
            server.add_sockets(sockets)
            try:
                yield sockets[0].getsockname()[1]
            finally:
                server.stop()
                await server.close_all_connections()

        return serving_own(start, posthog, sink)

    return serve


def raising(error):
    class Failing(RequestHandler):
        def get(self, *_):
            raise error

    return Failing


class Overriding(RequestHandler):
    """Overrides what it can, and calls `super()` nowhere."""

    def prepare(self):
        pass

    def log_exception(self, typ, value, tb):
        pass

    def on_finish(self):
        pass

    def write_error(self, status_code, **kwargs):
        self.finish("sorry")


class TestExceptions:
    @shows("tornado-overrides")
    @pytest.mark.parametrize(("error", "expected"), [(HTTPError(503), (True, 503)), (ValueError("x"), (False, 500))])
    def test_a_handler_may_override_everything(self, serve, error, expected):
        """HTTPError(503) and plain errors, although `log_exception` says nothing."""

        class Failing(Overriding):
            async def get(self):
                raise error

        with serve((r"/", Failing)) as site:
            answer = site.get("/")
            [event] = site.wait_for(1)
        assert (answer.status, answer.body) == (expected[1], b"sorry")
        assert exception_of(event)[1:] == expected

    @shows("tornado-overrides")
    def test_finish_and_send_error_are_no_exceptions(self, serve):
        """Control flow."""

        class Sending(RequestHandler):
            def get(self):
                self.send_error(503)

        with serve(
            (r"/sent", Sending), (r"/finished", raising(Finish("done"))), (r"/missing", raising(HTTPError(404)))
        ) as site:
            assert [site.get(path).status for path in ("/sent", "/finished", "/missing", "/nowhere")] == [
                503,
                200,
                404,
                404,
            ]
            assert site.events == []

    @shows("cancellation")
    def test_a_cancellation_that_a_handler_raises_is_none(self, serve):
        """Tornado answers it with 500."""
        with serve((r"/", raising(asyncio.CancelledError()))) as site:
            assert site.get("/").status == 500
            assert site.events == []

    @shows("upstream-status")
    def test_an_upstreams_answer_is_this_servers_mistake(self, serve):
        """Tornado's own client says 404; and its lost connection is not our client's."""
        with serve((r"/a", raising(HTTPClientError(404))), (r"/b", raising(StreamClosedError()))) as site:
            assert [site.get(path).status for path in ("/a", "/b")] == [500, 500]
            events = site.wait_for(2)
        assert [exception_of(event) for event in events] == [
            ("HTTPClientError", False, 500), ("StreamClosedError", False, 500),
        ]  # fmt: skip

    @shows("client-went-away")
    def test_a_client_that_left_is_no_mistake(self, serve, sink):
        """StreamClosedError of this request's own connection."""
        raised = []

        class Streaming(RequestHandler):
            async def get(self):
                try:
                    for _ in range(1000):
                        self.write(b"x" * 65536)
                        await self.flush()
                        await asyncio.sleep(0.005)
                except StreamClosedError as error:
                    raised.append(error)
                    raise

        with serve((r"/", Streaming)) as site:
            with site.connect("/") as connection:
                connection.recv(1000)
            sink.wait_until(lambda: raised)
            assert site.events == []


class TestContext:
    @shows("context-everywhere")
    def test_everything_that_tornado_calls_belongs_to_the_visitor(self, serve, posthog):
        """This includes calls by the connection, outside of the request's task.

        Nothing is left afterwards.
        """

        @stream_request_body
        class Uploading(RequestHandler):
            async def prepare(self):
                posthog.capture("prepare")

            async def data_received(self, chunk):
                posthog.capture("data")
                await asyncio.sleep(0)
                hogline.tag("never", "seen")

            async def get(self):
                posthog.capture("get")
                self.finish(str(now()))

            def on_finish(self):
                posthog.capture("finish")

        with serve((r"/", Uploading)) as site:
            connection = site.connect("/", VISITOR | {"Content-Length": "3"})
            with connection:
                connection.sendall(b"abc")
                assert connection.recv(65536).endswith(b"alice")
            events = site.wait_for(4)
        assert sorted(event.event for event in events) == ["data", "finish", "get", "prepare"]
        assert {person_of(event) for event in events} == {"alice"}

    def test_a_closed_connection_is_told_in_the_visitors_name(self, serve, posthog, sink):
        """`on_connection_close` is called outside of every request."""

        class Waiting(RequestHandler):
            async def get(self):
                posthog.capture("waiting")
                await asyncio.sleep(1)

            def on_connection_close(self):
                posthog.capture("closed")

        with serve((r"/", Waiting)) as site:
            with site.connect("/", VISITOR):
                site.wait_for(1)
            events = site.wait_for(2)
        assert [(event.event, person_of(event)) for event in events] == [("waiting", "alice"), ("closed", "alice")]

    @shows("route-template")
    def test_the_pattern_is_that_of_the_innermost_rule(self, serve, posthog):
        """Tornado keeps rules within rules; a plain one, one with names; a 404 has none."""

        class Capturing(RequestHandler):
            def get(self, *_, **__):
                posthog.capture("here")
                self.finish()

        class Nowhere(Capturing):
            pass

        with serve(
            (r"/plain", Capturing), (r"/things/(?P<name>\w+)", Capturing), default_handler_class=Nowhere
        ) as site:
            for path in ("/plain", "/things/x", "/else"):
                assert site.get(path).status == 200
            events = site.wait_for(3)
        assert [event.properties.get("$request_route") for event in events] == [
            "/plain",
            r"/things/(?P<name>\w+)",
            None,
        ]

    def test_callbacks_get_the_handler(self, serve, posthog):
        """The handler has its current user, as an asynchronous `prepare` found it."""

        class Signed(RequestHandler):
            async def prepare(self):
                await asyncio.sleep(0)
                self.current_user = "user-7"

            def get(self):
                posthog.capture("seen")
                self.finish()

        options = {
            "distinct_id": lambda handler: handler.current_user,
            "properties": lambda handler: {"path": handler.request.path},
        }
        with serve((r"/x", Signed), options=options) as site:
            assert site.get("/x", VISITOR).status == 200
            [event] = site.wait_for(1)
        assert (event.distinct_id, event.properties["path"]) == ("user-7", "/x")


class TestInstalling:
    def test_classes_are_the_users_own_in_every_way_that_shows(self, serve):
        """Never in the way: names, attributes, and no call of the user's `__init_subclass__`."""
        made = []

        class Registering(RequestHandler):
            def __init_subclass__(cls, **kwargs):
                made.append(cls.__name__)

        class Shown(Registering):
            """Says what it is."""

            def get(self):
                kind = type(self)
                self.finish(
                    f"{kind.__module__} {kind.__qualname__.rpartition('.')[2]} {kind.__doc__} {isinstance(self, Shown)}"
                )

        with serve((r"/", Shown)) as site:
            for _ in range(2):
                assert site.get("/").body.decode() == f"{__name__} Shown Says what it is. True"
        assert made == ["Shown"]

    @shows("stacked-interceptors")
    def test_a_second_interceptor_is_ignored_and_says_so(self, posthog, caplog):
        """."""
        application = Application()
        for _ in range(2):
            PostHogInterceptor(application, client=posthog)
        assert "has an interceptor already" in caplog.text

    def test_nothing_of_a_request_outlives_it(self, serve, posthog):
        """No cycle of ours: a handler goes as soon as it would without us."""
        seen = []

        class Plain(RequestHandler):
            def get(self):
                posthog.capture("here")
                seen.append(weakref.ref(self.hogline_interceptor and self._hogline_exchange()))
                self.finish()

        gc.collect()
        with serve((r"/", Plain)) as site:
            site.get("/", VISITOR)
            site.wait_for(1)
            gc.collect()
            assert seen[0]() is None
