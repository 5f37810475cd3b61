"""These tests show the promises that are special to WSGI.

They cover threads that serve again, bodies that are read late, files, joined headers, and nested
layers.
"""

from dataclasses import dataclass
from io import BytesIO
from wsgiref.util import FileWrapper

import pytest

from hogline import new_context, tag
from hogline.context import current
from hogline.interceptors.wsgi import EXCHANGE_KEY, PostHogInterceptor
from tests.support.behaviours import shows
from tests.support.serving import VISITOR, now, serving
from tests.support.sink import exception_of, person_of

PLAIN = [("Content-Type", "text/plain")]


@pytest.fixture
def serve(posthog, sink):
    """Return a context manager that serves an app behind an interceptor with the options given."""

    def serve(app, **options):
        return serving(PostHogInterceptor(app, client=posthog, **options), posthog, sink)

    return serve


def answer(start_response, status="200 OK", body=b"ok", *exc_info):
    start_response(status, PLAIN, *exc_info)
    return [body]


class Body:
    """A lazy result that is no generator: counts, and knows who acted when it was closed."""

    def __init__(self, chunks, on_close=lambda: None):
        self.chunks = iter(chunks)
        self.on_close = on_close
        self.closed_by = []

    def __iter__(self):
        return self

    def __next__(self):
        return next(self.chunks)

    def close(self):
        self.closed_by.append(now())
        self.on_close()


class TestContext:
    @shows("clean-thread")
    def test_the_next_request_of_a_thread_begins_empty(self, serve, posthog):
        """Nothing of the first visitor is left on the thread that serves the second."""

        def app(environ, start_response):
            tag("seen", "first") if environ["PATH_INFO"] == "/first" else None
            posthog.capture(environ["PATH_INFO"])
            return answer(start_response)

        with serve(app) as site:
            site.get("/first", VISITOR)
            site.get("/second")
            first, second = site.events
        assert (person_of(first), first.properties["$session_id"], first.properties["seen"]) == (
            "alice",
            "session-a",
            "first",
        )
        assert first.properties["$window_id"] == "window-a"
        assert person_of(second) is None
        assert not {"$session_id", "$window_id", "seen"} & second.properties.keys()

    @shows("streamed-body-context")
    def test_a_stream_belongs_to_its_visitor(self, serve, posthog):
        """A generator app runs nothing before it is read.

        All of it, with its end, belongs to the visitor.
        """

        def app(environ, start_response):
            try:
                posthog.capture("begin")
                start_response("200 OK", PLAIN)
                yield b"a"
                posthog.capture("middle")
                yield b"b"
            finally:
                posthog.capture("end")

        with serve(app) as site:
            assert site.get("/stream", VISITOR).body == b"ab"
            site.get("/stream")
            events = site.events
        assert [(event.event, person_of(event)) for event in events] == [
            *[(name, "alice") for name in ("begin", "middle", "end")],
            *[(name, None) for name in ("begin", "middle", "end")],
        ]

    def test_what_is_said_stays_until_the_body_ends(self, serve, posthog):
        """Tags of the app and of each step hold in the next step, and then end.

        So does a scope that is open over a yield.
        """

        def body():
            posthog.capture("one")
            with new_context():
                tag("b", 2)
                yield b"1"
                posthog.capture("two")
                yield b"2"
            tag("c", 3)
            yield b"3"
            posthog.capture("three")

        def app(environ, start_response):
            tag("a", 1)
            start_response("200 OK", PLAIN)
            return body()

        with serve(app) as site:
            assert site.get("/", VISITOR).body == b"123"
            events = site.events
        said = [{key: event.properties[key] for key in "abc" if key in event.properties} for event in events]
        assert said == [{"a": 1}, {"a": 1, "b": 2}, {"a": 1, "c": 3}]

    @shows("client-leaves-body")
    def test_a_visitor_who_leaves_closes_the_body_once(self, serve, posthog):
        """`close` runs once, as the visitor; the thread's next request begins empty."""
        bodies = []

        def app(environ, start_response):
            if environ["PATH_INFO"] == "/next":
                posthog.capture("next")
                return answer(start_response)
            start_response("200 OK", PLAIN)
            bodies.append(Body(b"x" * 65536 for _ in range(10_000)))
            return bodies[0]

        with serve(app) as site:
            with site.connect("/stream", VISITOR) as connection:
                connection.recv(1024)
            site.get("/next")
            [event] = site.events
        assert bodies[0].closed_by == ["alice"]
        assert (event.event, person_of(event)) == ("next", None)

    @shows("unclosed-body")
    def test_a_body_that_is_never_closed_leaves_nothing(self, posthog):
        """Asgiref's WsgiToAsgi reads bodies and forgets them; also one that was read half."""
        seen = []

        def app(environ, start_response):
            start_response("200 OK", PLAIN)
            seen.append(now())
            for _ in range(2):
                yield b"x"
                seen.append(now())

        intercepted = PostHogInterceptor(app, client=posthog)
        alice = {"HTTP_X_POSTHOG_DISTINCT_ID": "alice"}
        half, whole = iter(intercepted({**alice}, start)), iter(intercepted({}, start))
        next(half)
        assert current.get() is None
        assert [next(whole), next(half)] == [b"x", b"x"]
        del half
        assert list(whole) == [b"x"]
        assert current.get() is None
        assert seen == ["alice", None, "alice", None, None]

    @shows("late-stream-end", "late-collection")
    def test_reading_that_is_given_up_changes_nothing_where_it_ends(self, posthog):
        """An iterator that is dropped between two steps takes no context away.

        Here this happens while the body closes.
        """
        seen, reading = [], []

        def give_up():
            reading.pop().close()
            seen.append(now())

        intercepted = PostHogInterceptor(lambda environ, start: Body([b"1", b"2"], on_close=give_up), client=posthog)
        body = intercepted({"HTTP_X_POSTHOG_DISTINCT_ID": "alice"}, start)
        reading.append(iter(body))
        assert next(reading[0]) == b"1"
        body.close()
        assert seen == ["alice"]
        assert current.get() is None

    def test_middleware_may_read_a_body_like_a_generator(self, posthog):
        """`next(app(...))` without `iter` works on a generator, and so on ours."""

        def app(environ, start_response):
            yield now().encode()

        body = PostHogInterceptor(app, client=posthog)({"HTTP_X_POSTHOG_DISTINCT_ID": "alice"}, start)
        assert next(body) == b"alice"
        assert list(body) in ([], [b"alice"])
        assert current.get() is None

    @shows("exit-leaves-clean", "exits-propagate")
    def test_exits_leave_the_thread_clean(self, posthog):
        """SystemExit passes through, is no event, and the caller's context is back."""

        def app(environ, start_response):
            raise SystemExit(3)

        intercepted = PostHogInterceptor(app, client=posthog, capture_exceptions=True)
        with new_context():
            before = current.get()
            with pytest.raises(SystemExit):
                intercepted({}, start)
            assert current.get() is before
        assert posthog.stats().accepted == 0

    def test_a_finished_request_leaves_no_trace_in_its_environ(self, posthog):
        """An environ that is used again is a new request.

        No cycle waits for the garbage collector.
        """
        seen = []

        def app(environ, start_response):
            seen.append(now())
            return answer(start_response)

        intercepted = PostHogInterceptor(app, client=posthog)
        environ = {"HTTP_X_POSTHOG_DISTINCT_ID": "alice"}
        intercepted(environ, start)
        assert EXCHANGE_KEY not in environ
        intercepted({**environ, "HTTP_X_POSTHOG_DISTINCT_ID": "bob"}, start)
        assert seen == ["alice", "bob"]

    def test_a_filtered_request_is_left_alone(self, serve, posthog):
        """`request_filter` gets the environ; when it returns False, there is no context and no
        exception event.

        A filter that raises counts as absent.
        """

        def choose(environ):
            if environ["PATH_INFO"] == "/broken":
                raise RuntimeError
            return environ["PATH_INFO"] != "/health"

        def app(environ, start_response):
            posthog.capture(environ["PATH_INFO"])
            raise ValueError

        with serve(app, request_filter=choose, capture_exceptions=True) as site:
            for path in ("/health", "/broken", "/shop"):
                assert site.get(path, VISITOR).status == 500
            events = [(event.event, person_of(event)) for event in site.events]
        assert sorted(events, key=str) == [
            ("$exception", "alice"),
            ("$exception", "alice"),
            ("/broken", "alice"),
            ("/health", None),
            ("/shop", "alice"),
        ]


class TestResponses:
    @shows("keep-file-wrapper")
    def test_whole_results_are_handed_on_as_they_are(self, posthog):
        """Lists, tuples, sized results and the server's own file wrapper stay the identical
        object.
        """
        wrapper = FileWrapper(BytesIO(b"x"))
        for result in ([b"x"], (b"x",), {b"x": 1}, wrapper):
            intercepted = PostHogInterceptor(
                lambda environ, start, r=result: r, client=posthog, capture_exceptions=True
            )
            assert intercepted({"wsgi.file_wrapper": FileWrapper}, start) is result

    @shows("keep-file-wrapper")
    def test_a_file_goes_to_servers_whose_wrapper_is_a_function(self, posthog, tmp_path):
        """UWSGI sends the file it was given when it gets just this file back."""
        (tmp_path / "file").write_bytes(b"x")
        with (tmp_path / "file").open("rb") as file:
            intercepted = PostHogInterceptor(lambda environ, start: environ["wsgi.file_wrapper"](file), client=posthog)
            assert intercepted({"wsgi.file_wrapper": lambda file, size=0: file}, start) is file

    @shows("keep-content-length", "same-response")
    def test_responses_are_the_same_with_and_without_us(self, posthog, sink, serve):
        """Status, headers, their order, Content-Length, and bytes."""

        def lists(environ, start_response):
            return answer(start_response)

        def streams(environ, start_response):
            start_response("418 I'm a teapot", [("B", "2"), ("A", "1"), ("A", "2")])
            yield b""
            yield b"x"

        def writes(environ, start_response):
            write = start_response("200 OK", PLAIN)
            write(b"written ")
            return [b"returned"]

        def fails(environ, start_response):
            start_response("200 OK", PLAIN)
            raise ValueError

        def changes_its_mind(environ, start_response):
            start_response("200 OK", PLAIN)
            try:
                raise ValueError
            except ValueError as error:
                start_response("503 Sorry", [("A", "1")], (ValueError, error, error.__traceback__))
            return [b"sorry"]

        for app in (lists, streams, writes, fails, changes_its_mind):
            with serving(app, posthog, sink) as bare, serve(app, capture_exceptions=True) as ours:
                assert ours.get("/") == bare.get("/"), app.__name__
        with serve(lists) as site:
            assert site.get("/").header("Content-Length") == "2"

    @shows("unmarkable-exceptions")
    def test_an_exception_that_refuses_attributes_stays_the_same_object(self, posthog):
        """Frozen dataclasses pass through two layers untouched, and are one event."""

        @dataclass(frozen=True)
        class FrozenError(Exception):
            reason: str

        error = FrozenError("x")

        def app(environ, start_response):
            raise error

        def streams(environ, start_response):
            start_response("200 OK", PLAIN)
            yield b"x"
            raise error

        layers = PostHogInterceptor(
            PostHogInterceptor(app, client=posthog, capture_exceptions=True), client=posthog, capture_exceptions=True
        )
        with pytest.raises(FrozenError) as caught:
            layers({}, start)
        assert caught.value is error
        assert posthog.stats().accepted == 1
        layers.app.app = streams
        body = layers({}, start)
        with pytest.raises(FrozenError) as caught:
            list(body)
        body.close()
        assert caught.value is error
        assert posthog.stats().accepted == 2


class TestExceptions:
    def test_an_exception_that_escapes_is_the_servers_500(self, serve):
        """The exception is unhandled, with 500 although 200 was announced: nothing had been sent.

        Each request has its own event.
        """
        error = ValueError("x")

        def app(environ, start_response):
            start_response("200 OK", PLAIN)
            raise error

        with serve(app, capture_exceptions=True) as site:
            assert [site.get("/", VISITOR).status, site.get("/").status] == [500, 500]
            events = site.exceptions
        assert [exception_of(event) for event in events] == [("ValueError", False, 500)] * 2
        assert [person_of(event) for event in events] == ["alice", None]
        assert events[0].properties["$exception_source"] == "wsgi.interceptor"

    @shows("error-after-start")
    def test_a_stream_that_fails_has_the_status_that_was_sent(self, serve):
        """200 after the first byte, the server's 500 before it; empty chunks are no bytes."""

        def app(environ, start_response):
            start_response("200 OK", PLAIN)
            yield b""
            if environ["PATH_INFO"] == "/late":
                yield b"x"
            raise ValueError

        with serve(app, capture_exceptions=True) as site:
            assert site.get("/late").status == 200
            site.get("/early")
            events = site.exceptions
        assert [exception_of(event)[1:] for event in events] == [(False, 200), (False, 500)]

    def test_the_official_third_argument_names_a_handled_exception(self, serve):
        """An exception that an app passes to start_response as `exc_info` was answered by
        the app.
        """

        def app(environ, start_response):
            try:
                raise LookupError
            except LookupError as error:
                return answer(start_response, "503 Sorry", b"", (LookupError, error, error.__traceback__))

        with serve(app, capture_exceptions=True) as site:
            site.get("/")
            [event] = site.exceptions
        assert exception_of(event) == ("LookupError", True, 503)

    def test_a_close_that_fails_is_seen(self, serve):
        """The response is complete, with its own status."""

        def fail():
            raise ValueError

        def app(environ, start_response):
            start_response("200 OK", PLAIN)
            return Body([b"x"], on_close=fail)

        with serve(app, capture_exceptions=True) as site:
            assert site.get("/").body == b"x"
            [event] = site.exceptions
        assert exception_of(event) == ("ValueError", False, 200)

    @shows("client-went-away")
    def test_a_client_that_left_is_no_mistake(self, posthog):
        """Exceptions that the server raises out of `write` are not captured, also when the app
        wraps them.

        The app's own are captured.
        """

        def gone(data):
            raise ConnectionResetError

        def app(environ, start_response):
            try:
                start_response("200 OK", PLAIN)(b"x")
            except ConnectionResetError as error:
                raise RuntimeError("wrapped") from error

        def database(environ, start_response):
            raise ConnectionResetError

        for wrapped, events in ((app, 0), (database, 1)):
            with pytest.raises((RuntimeError, ConnectionResetError)):
                PostHogInterceptor(wrapped, client=posthog, capture_exceptions=True)({}, lambda *args: gone)
            assert posthog.stats().accepted == events

    @shows("exits-propagate")
    @pytest.mark.parametrize("error", [GeneratorExit(), KeyboardInterrupt()])
    def test_exits_from_a_body_are_no_events(self, posthog, error):
        """They propagate to the server."""

        def app(environ, start_response):
            start_response("200 OK", PLAIN)
            yield b"x"
            raise error

        body = PostHogInterceptor(app, client=posthog, capture_exceptions=True)({}, start)
        with pytest.raises(type(error)):
            list(body)
        body.close()
        assert posthog.stats().accepted == 0

    def test_nothing_is_captured_unless_asked_for(self, serve, posthog):
        """Off by default, and then `start_response` is the server's own."""
        seen = []

        def app(environ, start_response):
            seen.append(start_response)
            raise ValueError

        intercepted = PostHogInterceptor(app, client=posthog)
        with pytest.raises(ValueError):
            intercepted({}, start)
        assert seen == [start]
        assert posthog.stats().accepted == 0


class TestNested:
    @shows("stacked-interceptors", "captured-once")
    @pytest.mark.parametrize("lazy", [False, True])
    def test_many_layers_are_one_event(self, serve, posthog, lazy):
        """Two interceptors and a capture by hand, of an exception that passes all of them."""

        def app(environ, start_response):
            try:
                raise ValueError
            except ValueError as error:
                if environ["PATH_INFO"] == "/by-hand":
                    posthog.capture_exception(error)
                raise

        def stream(environ, start_response):
            start_response("200 OK", PLAIN)
            yield b"x"
            app(environ, start_response)

        inner = PostHogInterceptor(stream if lazy else app, client=posthog, capture_exceptions=True)
        with serve(inner, capture_exceptions=True) as site:
            site.get("/", VISITOR)
            [event] = site.exceptions
            assert exception_of(event) == ("ValueError", False, 200 if lazy else 500)
            site.get("/by-hand", VISITOR)
            assert len(site.exceptions) == 2

    def test_what_middleware_in_between_answers_is_handled(self, serve, posthog):
        """The inner layer sees it, the outer one knows what became of it."""

        def app(environ, start_response):
            raise LookupError

        inner = PostHogInterceptor(app, client=posthog, capture_exceptions=True)

        def middleware(environ, start_response):
            try:
                return inner(environ, start_response)
            except LookupError:
                pass
            return answer(start_response, "503 Service Unavailable")

        with serve(middleware, capture_exceptions=True) as site:
            site.get("/", VISITOR)
            [event] = site.exceptions
        assert exception_of(event) == ("LookupError", True, 503)
        assert person_of(event) == "alice"

    def test_the_status_that_left_decides_whether_it_is_an_error(self, serve, posthog):
        """The status is the one that left, not the one that an inner layer saw."""

        def app(environ, start_response):
            raise LookupError

        inner = PostHogInterceptor(app, client=posthog, capture_exceptions=True)

        def middleware(environ, start_response):
            try:
                return inner(environ, start_response)
            except LookupError:
                pass
            return answer(start_response, environ["QUERY_STRING"] + " Status")

        with serve(middleware, capture_exceptions=True) as site:
            site.get("/?200")
            site.get("/?404")
            assert site.exceptions == []
            site.get("/?500")
            assert [exception_of(event) for event in site.exceptions] == [("LookupError", True, 500)]

    @shows("nested-requests", "nested-test-client")
    def test_a_request_inside_a_request_gives_the_outer_one_back(self, posthog):
        """Another environ is another request, whoever asks, and whether its body is read or not."""
        seen = []

        def inner_app(environ, start_response):
            seen.append(now())
            start_response("200 OK", PLAIN)
            return iter([b"x"])

        inner = PostHogInterceptor(inner_app, client=posthog)

        def outer_app(environ, start_response):
            body = inner({"HTTP_X_POSTHOG_DISTINCT_ID": "bob"}, start_response)
            seen.append(now())
            next(iter(body))
            seen.append(now())
            return answer(start_response)

        PostHogInterceptor(outer_app, client=posthog)({"HTTP_X_POSTHOG_DISTINCT_ID": "alice"}, start)
        assert seen == ["bob", "alice", "alice"]


class TestFacts:
    def test_the_path_is_what_the_browser_asked_for(self, serve, posthog):
        """PATH_INFO is UTF-8 decoded as latin-1.

        Mounts that move the split further along do not change the URL of the request.
        """

        def app(environ, start_response):
            environ["SCRIPT_NAME"], environ["PATH_INFO"] = environ["PATH_INFO"], ""
            posthog.capture("x")
            return answer(start_response)

        with serve(app) as site:
            site.get("/caf%C3%A9/%FF?q=1&token=s3cret")
            properties = site.events[0].properties
        assert properties["$request_path"] == "/café/\N{REPLACEMENT CHARACTER}"
        assert properties["$current_url"] == "http://shop.example/caf%C3%A9/%EF%BF%BD?q=1&token=redacted"
        assert properties["$request_method"] == "GET"
        assert properties["$ip"] == "127.0.0.1"

    @shows("bad-host")
    @pytest.mark.parametrize("host", ["a b", "h:99999", "h:abc", "evil.com/x?y#z", ""])
    def test_a_bad_host_costs_nothing_but_itself(self, serve, posthog, host):
        """The URL is built from the server's own address."""

        def app(environ, start_response):
            posthog.capture("x")
            return answer(start_response)

        with serve(app) as site:
            assert site.get("/p", host=host).status == 200
            assert site.events[0].properties["$current_url"] == f"http://127.0.0.1:{site.port}/p"

    @pytest.mark.parametrize(
        ("value", "expected"), [("a,b", "a"), ("a, b", "a"), (",b", "b"), ("Doe, Jane (x)", "Doe, Jane (x)")]
    )
    def test_ids_that_a_server_joined_are_told_apart(self, posthog, value, expected):
        """The first of two headers counts; one id that holds a comma stays whole."""
        seen = []

        def app(environ, start_response):
            seen.append(now())
            return answer(start_response)

        PostHogInterceptor(app, client=posthog)({"HTTP_X_POSTHOG_DISTINCT_ID": value}, start)
        assert seen == [expected]

    @shows("server-quirks")
    def test_an_environ_with_nothing_in_it_is_served(self, posthog):
        """Facts that the server leaves out of the environ are absent from the event, and nothing
        raises.
        """

        def app(environ, start_response):
            posthog.capture("x")
            return answer(start_response)

        PostHogInterceptor(app, client=posthog)({}, start)
        assert posthog.stats().accepted == 1


def start(status, headers, exc_info=None):
    """A server's start_response that needs no server."""
    return lambda data: None
