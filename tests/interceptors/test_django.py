"""These tests show the promises that are special to Django.

They cover who answers an exception, the signed-in user, streams, neighbours in MIDDLEWARE, and its
settings.
"""

import contextlib
import gc
import http.client
import types
import weakref

import pytest
from asgiref.wsgi import WsgiToAsgi
from django.conf import settings
from django.core.exceptions import BadRequest, ImproperlyConfigured, PermissionDenied, SuspiciousOperation
from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.wsgi import WSGIHandler
from django.core.signals import request_finished
from django.db import connections, transaction
from django.http import FileResponse, Http404, HttpResponse, StreamingHttpResponse
from django.template import Context, Template
from django.template.response import SimpleTemplateResponse
from django.test import RequestFactory, override_settings
from django.urls import include, path, re_path
from werkzeug.middleware.dispatcher import DispatcherMiddleware

from hogline import tag
from hogline.context import current
from hogline.interceptors import asgi, wsgi
from hogline.interceptors.django import PostHogInterceptor
from tests.interceptors.apps.contract import DomainError, IgnoredError
from tests.interceptors.apps.django_project import INTERCEPTOR
from tests.support.behaviours import shows
from tests.support.serving import VISITOR, now, serving, serving_asgi
from tests.support.sink import exception_of, person_of

# When a stream fails, Django itself leaves the file with the request's body open.
pytestmark = pytest.mark.filterwarnings("ignore:Unclosed file <tempfile.SpooledTemporaryFile:ResourceWarning")

NEIGHBOURS = "tests.interceptors.apps.django_neighbours"
SESSIONS = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
]


@pytest.fixture(params=["wsgi", "asgi"])
def protocol(request):
    return request.param


@pytest.fixture
def serve(project, posthog, sink):
    """Return a context manager that serves views behind an interceptor with the options given."""

    @contextlib.contextmanager
    def serve(*views, protocol="wsgi", middleware=(), before=(), around=None, project_settings=None, **options):
        urls = types.ModuleType("urls")
        urls.urlpatterns = [view if not callable(view) else path(view.__name__, view) for view in views]
        with override_settings(
            ROOT_URLCONF=urls,
            MIDDLEWARE=[*before, INTERCEPTOR, *middleware],
            HOGLINE={"client": posthog, "capture_exceptions": True, **options},
            **(project_settings or {}),
        ):
            app = WSGIHandler() if protocol == "wsgi" else ASGIHandler()
            app = around(app) if around is not None else app
            with (serving if protocol == "wsgi" else serving_asgi)(app, posthog, sink) as site:
                yield site

    return serve


@pytest.fixture
def alice(project):
    """A user, and the cookie of her session."""
    from django.contrib.auth.models import User
    from django.contrib.sessions.backends.db import SessionStore

    user = User.objects.create_user("alice", password="x")
    session = SessionStore()
    session["_auth_user_id"] = str(user.pk)
    session["_auth_user_backend"] = "django.contrib.auth.backends.ModelBackend"
    session["_auth_user_hash"] = user.get_session_auth_hash()
    session.save()
    yield user, {"Cookie": f"sessionid={session.session_key}"}
    user.delete()


def raising(error):
    def view(request):
        raise error

    return view


class TestExceptions:
    @shows("django-client-errors", "django-uncaught", "django-process-exception")
    @pytest.mark.parametrize(
        ("view", "expected", "status"),
        [
            (raising(ValueError("x")), [("ValueError", False, 500)], 500),
            (lambda request: None, [("ValueError", False, 500)], 500),
            (lambda request: HttpResponse(Template("{{ x|add }}").render(Context())), [("TemplateSyntaxError", False, 500)], 500),
            (lambda request: SimpleTemplateResponse("missing.html"), [("TemplateDoesNotExist", False, 500)], 500),
            (raising(DomainError(507)), [("DomainError", True, 507)], 507),
            (raising(Http404()), [], 404),
            (raising(PermissionDenied()), [], 403),
            (raising(SuspiciousOperation()), [], 400),
            (raising(BadRequest()), [], 400),
            (lambda request: HttpResponse(status=503), [], 503),
        ],
        ids=["plain", "none", "template", "render", "answered", "404", "403", "suspicious", "400", "returned"],
    )  # fmt: skip
    @pytest.mark.parametrize("beside", ["below", "above"])
    def test_each_is_seen_once_and_judged(self, serve, protocol, view, expected, status, beside):
        """This holds for every layer that may answer, wherever it is listed.

        Django's own page for a 500 is no handler.
        """
        listed = {"middleware" if beside == "below" else "before": [f"{NEIGHBOURS}.Answers"]}
        with serve(path("view", view), protocol=protocol, **listed) as site:
            assert site.get("/view", VISITOR).status == status
            events = site.events
        assert [exception_of(event) for event in events] == expected
        for event in events:
            assert (person_of(event), event.properties["$session_id"]) == ("alice", "session-a")
            assert event.properties["$request_route"] == "/view"
            assert event.properties["$exception_source"] == "django.middleware"

    @shows("django-uncaught")
    @pytest.mark.parametrize("name", ["RaisesBefore", "RaisesAfter"])
    def test_an_error_of_other_middleware_is_seen(self, serve, protocol, name):
        """On the way in, and on the way out."""

        def view(request):
            return HttpResponse("ok")

        with serve(view, protocol=protocol, middleware=[f"{NEIGHBOURS}.{name}"]) as site:
            assert site.get("/view").status == 500
            assert [exception_of(event) for event in site.exceptions] == [("LookupError", False, 500)]

    def test_a_handler_that_fails_leaves_two(self, serve, protocol):
        """The handler's own exception and the one it was given are both events: neither was
        answered.
        """
        with serve(
            path("view", raising(ValueError("x"))), protocol=protocol, middleware=[f"{NEIGHBOURS}.FailsToAnswer"]
        ) as site:
            assert site.get("/view").status == 500
            assert [exception_of(event) for event in site.exceptions] == [
                ("ValueError", False, 500),
                ("KeyError", False, 500),
            ]

    @shows("django-client-errors")
    def test_from_400_on_its_http_exceptions_count(self, serve, protocol):
        """With a lower threshold they are handled ones, with their status."""
        views = [path("missing", raising(Http404())), path("denied", raising(PermissionDenied()))]
        with serve(*views, protocol=protocol, capture_exceptions={"min_status_to_capture": 400}) as site:
            site.get("/missing")
            site.get("/denied")
            site.get("/no-such-route")
            assert [exception_of(event) for event in site.exceptions] == [
                ("Http404", True, 404),
                ("PermissionDenied", True, 403),
            ]

    @shows("captured-once")
    @pytest.mark.parametrize("inside", [False, True])
    def test_propagated_to_the_server_it_is_one_event(self, serve, inside):
        """DEBUG_PROPAGATE_EXCEPTIONS has Django raise again what it signalled, in every layer."""
        propagate = {"DEBUG_PROPAGATE_EXCEPTIONS": True}
        around = (lambda app: wsgi.PostHogInterceptor(app, capture_exceptions=True)) if inside else None
        with serve(path("view", raising(ValueError("x"))), project_settings=propagate, around=around) as site:
            assert site.get("/view").status == 500
            assert [exception_of(event) for event in site.exceptions] == [("ValueError", False, 500)]

    def test_the_page_of_debug_mode_is_no_handler(self, serve, protocol):
        """The technical 500 page."""
        with serve(path("view", raising(ValueError("x"))), protocol=protocol, project_settings={"DEBUG": True}) as site:
            assert b"Traceback" in site.get("/view").body
            assert [exception_of(event) for event in site.exceptions] == [("ValueError", False, 500)]

    @shows("exit-leaves-clean")
    def test_an_exit_leaves_the_thread_clean(self, project, posthog):
        """SystemExit passes every hook of Django's."""
        left = []
        with override_settings(MIDDLEWARE=[INTERCEPTOR], HOGLINE={"client": posthog}, ROOT_URLCONF="tests.nowhere"):

            def leave(request):
                left.append(now())
                raise SystemExit

            request = RequestFactory().get("/", headers=VISITOR)
            with pytest.raises(SystemExit):
                PostHogInterceptor(leave)(request)
        assert (left, current.get()) == (["alice"], None)


class TestUser:
    def test_the_signed_in_user_wins_over_the_header(self, serve, posthog, protocol, alice):
        """The app need not do anything.

        This holds in a view that Django runs in a thread, whether or not the view read the user
        itself.
        """
        user, cookie = alice

        def unasked(request):
            posthog.capture("x")
            return HttpResponse("ok")

        def asked(request):
            assert request.user.is_authenticated
            posthog.capture("x")
            return HttpResponse("ok")

        with serve(unasked, asked, protocol=protocol, middleware=SESSIONS) as site:
            site.get("/unasked", {**VISITOR, **cookie})
            site.get("/asked", {**VISITOR, **cookie})
            site.get("/unasked", VISITOR)
            site.get("/unasked", {"Cookie": "sessionid=nonsense"})
            events = site.events
        assert [person_of(event) for event in events] == [str(user.pk), str(user.pk), "alice", None]
        assert {event.properties.get("$session_id") for event in events[:3]} == {"session-a"}

    @shows("same-response")
    def test_a_capture_leaves_no_trace_on_the_response(self, serve, posthog, protocol, alice):
        """No `Vary: Cookie` and no cookie is added, nor for a session that is over: the app has not
        read the user.
        """

        def view(request):
            posthog.capture("x")
            return HttpResponse("ok")

        def without(request):
            return HttpResponse("ok")

        cookies = [alice[1], {}, {"Cookie": "sessionid=0123456789abcdefghijklmnopqrstuv"}]
        with serve(view, without, protocol=protocol, middleware=SESSIONS) as site:
            for cookie in cookies:
                ours, plain = site.get("/view", cookie), site.get("/without", cookie)
                assert [h for h in ours.headers if h[0] != "date"] == [h for h in plain.headers if h[0] != "date"]
            assert len(site.events) == 3

    def test_nobody_is_looked_up_until_something_is_captured(self, serve, posthog, protocol, alice, monkeypatch):
        """The user is then looked up once, however much is captured."""
        from django.contrib.sessions.backends.db import SessionStore

        loads, load = [], SessionStore.load
        monkeypatch.setattr(SessionStore, "load", lambda session: loads.append(session) or load(session))

        def silent(request):
            return HttpResponse("ok")

        def loud(request):
            posthog.capture("x")
            posthog.capture("x")
            return HttpResponse("ok")

        with serve(silent, loud, protocol=protocol, middleware=SESSIONS) as site:
            site.get("/silent", alice[1])
            assert loads == []
            site.get("/loud", alice[1])
            assert len(loads) == 1

    def test_in_the_event_loop_the_database_is_not_asked(self, serve, posthog, alice, caplog):
        """A coroutine's user is known once the coroutine has read it.

        Until then the header counts, and no warning is logged.
        """
        user, cookie = alice

        async def view(request):
            posthog.capture("before")
            await request.auser()
            posthog.capture("after")
            return HttpResponse("ok")

        async def unasked(request):
            raise ValueError("x")

        with serve(view, unasked, protocol="asgi", middleware=SESSIONS) as site:
            assert site.get("/view", {**VISITOR, **cookie}).status == 200
            assert site.get("/unasked", {**VISITOR, **cookie}).status == 500
            events = site.events
        assert [(event.event, event.distinct_id) for event in events] == [
            ("before", "alice"),
            ("after", str(user.pk)),
            ("$exception", str(user.pk)),  # Django handles exceptions in a thread, which may ask
        ]
        assert [record for record in caplog.records if record.name == "hogline"] == []

    def test_signing_in_and_out_changes_who_acts(self, serve, posthog, protocol, alice):
        """Each event belongs to who acted at its time."""
        from django.contrib.auth import login, logout

        def view(request):
            posthog.capture("x")
            login(request, alice[0], "django.contrib.auth.backends.ModelBackend")
            posthog.capture("x")
            logout(request)
            posthog.capture("x")
            return HttpResponse("ok")

        with serve(view, protocol=protocol, middleware=SESSIONS) as site:
            assert site.get("/view", VISITOR).status == 200
            assert [event.distinct_id for event in site.events] == ["alice", str(alice[0].pk), "alice"]

    def test_the_apps_own_word_wins(self, serve, posthog, alice):
        """`distinct_id` gets Django's request; one that answers None leaves the header."""

        def view(request):
            posthog.capture("x")
            return HttpResponse("ok")

        with serve(view, middleware=SESSIONS, distinct_id=lambda request: request.GET.get("who")) as site:
            site.get("/view?who=carol", {**VISITOR, **alice[1]})
            site.get("/view", {**VISITOR, **alice[1]})
            assert [event.distinct_id for event in site.events] == ["carol", "alice"]

    def test_a_user_that_cannot_be_found_is_no_obstacle(self, serve, posthog, alice, caplog):
        """Inside a broken transaction the database refuses.

        The event is sent under the header's name, with one log line.
        """

        def view(request):
            with transaction.atomic():
                transaction.set_rollback(True)
                connections["default"].needs_rollback = True
                posthog.capture("x")
                posthog.capture("x")
            return HttpResponse("ok")

        with serve(view, middleware=SESSIONS) as site:
            assert site.get("/view", {**VISITOR, **alice[1]}).status == 200
            assert [event.distinct_id for event in site.events] == ["alice", "alice"]
        assert len([record for record in caplog.records if record.name == "hogline"]) == 1

    def test_a_projects_own_users_count(self, serve, posthog, protocol):
        """A lazy user of another middleware, such as a token's, is evaluated where that is
        allowed.
        """
        from django.utils.functional import SimpleLazyObject

        def view(request):
            request.user = SimpleLazyObject(lambda: types.SimpleNamespace(pk=42, is_authenticated=True))
            posthog.capture("x")
            return HttpResponse("ok")

        with serve(view, protocol=protocol) as site:
            site.get("/view", VISITOR)
            assert [event.distinct_id for event in site.events] == ["42"]


class TestStreams:
    @shows("streamed-body-context")
    @pytest.mark.parametrize("asynchronous", [False, True])
    def test_a_stream_belongs_to_its_visitor(self, serve, posthog, protocol, asynchronous):
        """The stream has the view's tags, in its `finally` and in `request_finished` too.

        The thread is empty afterwards.
        """
        if asynchronous and protocol == "wsgi":
            pytest.skip("Django warns of it, and warnings are errors here")
        finished = []

        def view(request):
            tag("colour", "red")

            def body():
                try:
                    posthog.capture("one")
                    tag("shape", "round")
                    yield b"a"
                    posthog.capture("two")
                    yield b"b"
                finally:
                    posthog.capture("end")

            async def body_async():
                for chunk in body():
                    yield chunk

            return StreamingHttpResponse(body_async() if asynchronous else body())

        def who(request):
            return HttpResponse(now() or "-")

        def finish(**_):
            finished.append(now())

        request_finished.connect(finish)
        try:
            with contextlib.ExitStack() as stack:
                if protocol == "asgi" and not asynchronous:
                    stack.enter_context(pytest.warns(Warning, match="must consume synchronous iterators"))
                with serve(view, who, protocol=protocol) as site:
                    assert site.get("/view", VISITOR).body == b"ab"
                    assert site.get("/who").body == b"-"
                    events = site.events
        finally:
            request_finished.disconnect(finish)
        assert [event.event for event in events] == ["one", "two", "end"]
        assert {(person_of(event), event.properties["$request_route"]) for event in events} == {("alice", "/view")}
        assert [event.properties.get("colour") for event in events] == ["red"] * 3
        assert [event.properties.get("shape") for event in events] == [None, "round", "round"]
        assert finished == ["alice", None]

    @shows("error-after-start")
    @pytest.mark.parametrize(
        ("protocol", "chunks", "status"), [("wsgi", 1, 200), ("wsgi", 0, 500), ("asgi", 1, 200), ("asgi", 0, 200)]
    )
    def test_an_error_in_a_stream_has_the_status_that_left(self, serve, protocol, chunks, status):
        """Before its first byte, a WSGI server still answers 500.

        ASGI's response has begun by then.
        """

        def view(request):
            def body():
                yield from [b"a"] * chunks
                raise ValueError("x")

            async def body_async():
                for chunk in body():
                    yield chunk

            return StreamingHttpResponse(body() if protocol == "wsgi" else body_async())

        with serve(view, protocol=protocol) as site:
            assert site.get("/view", VISITOR).status == status
            [event] = site.exceptions
        assert (exception_of(event), person_of(event)) == (("ValueError", False, status), "alice")
        assert event.properties["$exception_list"][0]["stacktrace"]["frames"][-1]["function"] == "body"

    @shows("late-stream-end", "client-leaves-body", "cancellation")
    @pytest.mark.parametrize("protocol", ["wsgi", "asgi"])
    def test_a_client_that_leaves_is_no_error_and_its_generator_ends_in_its_name(self, serve, posthog, sink, protocol):
        """The generator is closed at once; the next request begins empty."""

        def forever():
            try:
                while True:
                    yield b"x" * 65536
            finally:
                posthog.capture("closed")

        def view(request):
            async def body():
                import asyncio

                try:
                    while True:
                        yield b"x" * 65536
                        await asyncio.sleep(0.01)
                finally:
                    posthog.capture("closed")

            return StreamingHttpResponse(forever() if protocol == "wsgi" else body())

        def who(request):
            return HttpResponse(now() or "-")

        with serve(view, who, protocol=protocol) as site:
            with site.connect("/view", VISITOR) as connection:
                connection.recv(1000)
            sink.wait_until(lambda: [event.event for event in site.events] == ["closed"])
            [event] = site.events
            assert person_of(event) == "alice"
            assert site.get("/who").body == b"-"

    @shows("keep-file-wrapper")
    def test_a_file_is_left_to_the_server(self, serve, tmp_path):
        """The server's own file wrapper gets the file."""
        (tmp_path / "file").write_bytes(b"x" * 100_000)
        wrapped = []

        def around(app):
            def outer(environ, start_response):
                original = environ["wsgi.file_wrapper"]
                environ["wsgi.file_wrapper"] = lambda file, size: wrapped.append(file) or original(file, size)
                return app(environ, start_response)

            return outer

        def view(request):
            return FileResponse((tmp_path / "file").open("rb"))

        with serve(view, around=around) as site:
            answer = site.get("/view")
        assert (answer.body, answer.header("Content-Length")) == (b"x" * 100_000, "100000")
        assert len(wrapped) == 1


class TestNeighbours:
    @pytest.mark.parametrize("beside", [("below",), ("above",), ("above", "below")])
    def test_middleware_that_is_only_synchronous_may_stand_on_either_side(self, serve, posthog, beside):
        """Django then runs us, or the layers below us, in a thread.

        Sync and async views, streams and errors belong to the visitor.
        """

        async def view(request):
            posthog.capture("view")
            return HttpResponse("ok")

        def synchronous(request):
            posthog.capture("synchronous")
            return HttpResponse("ok")

        async def stream(request):
            async def body():
                posthog.capture("stream")
                yield b"x"

            return StreamingHttpResponse(body())

        async def broken(request):
            raise ValueError("x")

        def who(request):
            return HttpResponse(now() or "-")

        listed = {
            name: [f"{NEIGHBOURS}.SyncOnly"]
            for place, name in (("below", "middleware"), ("above", "before"))
            if place in beside
        }
        with serve(view, synchronous, stream, broken, who, protocol="asgi", **listed) as site:
            for name in ("view", "synchronous", "stream", "broken"):
                site.get(f"/{name}", VISITOR)
            assert site.get("/who").body == b"-"
            events = site.events
        assert [(event.event, person_of(event), event.properties["$request_route"]) for event in events] == [
            ("view", "alice", "/view"),
            ("synchronous", "alice", "/synchronous"),
            ("stream", "alice", "/stream"),
            ("$exception", "alice", "/broken"),
        ]
        assert exception_of(events[-1]) == ("ValueError", False, 500)

    @shows("stacked-interceptors", "captured-once")
    @pytest.mark.parametrize("outer_captures", [True, False])
    def test_inside_another_interceptor_it_knows_route_and_user(
        self, serve, posthog, sink, protocol, alice, outer_captures
    ):
        """An interceptor around the whole project, WSGI's or ASGI's, shares one context with the
        inner one.

        Each exception is one event, with the options of both.
        """
        kind = wsgi.PostHogInterceptor if protocol == "wsgi" else asgi.PostHogInterceptor

        def around(app):
            return kind(app, client=posthog, capture_exceptions=outer_captures)

        def thing(request, number):
            posthog.capture("thing")
            return HttpResponse("ok")

        def stream(request):
            def body():
                posthog.capture("stream")
                yield b"x"
                raise ValueError("streamed")

            async def body_async():
                for chunk in body():
                    yield chunk

            return StreamingHttpResponse(body() if protocol == "wsgi" else body_async())

        views = [path("thing/<int:number>", thing), stream, path("broken", raising(ValueError("x")))]
        answered = path("answered", raising(DomainError(507)))
        with serve(
            *views, answered, protocol=protocol, around=around, middleware=[*SESSIONS, f"{NEIGHBOURS}.Answers"]
        ) as site:
            for url in ("/thing/7", "/stream", "/broken", "/answered"):
                site.get(url, {**VISITOR, **alice[1]})
            sink.wait_until(lambda: len(site.events) >= 5)
            events = site.events
        assert [(event.event, event.properties["$request_route"]) for event in events] == [
            ("thing", "/thing/<int:number>"),
            ("stream", "/stream"),
            ("$exception", "/stream"),
            ("$exception", "/broken"),
            ("$exception", "/answered"),
        ]
        assert {event.properties["$session_id"] for event in events} == {"session-a"}
        assert events[0].distinct_id == str(alice[0].pk) or protocol == "asgi"
        judged = [exception_of(event) for event in events[2:]]
        assert judged[1:] == [("ValueError", False, 500), ("DomainError", True, 507)]
        # An outer interceptor that does not capture does not see what becomes of the exception.
        assert judged[0] == ("ValueError", False, 200)

    @shows("route-template")
    def test_a_mount_inside_another_interceptor_is_in_the_route(self, serve, posthog):
        """The mount's prefix, which Django does not know, and the pattern that matched."""

        def view(request):
            posthog.capture("x")
            return HttpResponse("ok")

        def around(app):
            return wsgi.PostHogInterceptor(DispatcherMiddleware(app, {"/shop": app}), client=posthog)

        with serve(view, around=around) as site:
            site.get("/shop/view")
            [event] = site.events
        assert event.properties["$request_route"] == "/shop/view"
        assert event.properties["$request_path"] == "/shop/view"

    def test_a_filtered_request_is_left_alone(self, serve, posthog, protocol):
        """`request_filter` answers False: no context, no exception; the next one has both."""

        def view(request):
            posthog.capture("x")
            raise ValueError("x")

        with serve(view, protocol=protocol, request_filter=lambda request: "out" not in request.GET) as site:
            site.get("/view?out=1", VISITOR)
            [alone] = site.events
            site.get("/view", VISITOR)
            assert [person_of(event) for event in site.events[1:]] == ["alice", "alice"]
        assert person_of(alone) is None

    def test_wsgi_inside_asgi_works(self, serve, posthog):
        """Asgiref's bridge runs the whole project in a thread, and never closes a body."""

        def view(request):
            def body():
                posthog.capture("x")
                yield b"x"

            return StreamingHttpResponse(body())

        bridge = WsgiToAsgi
        with serve(view, around=lambda app: bridge(WSGIHandler()), protocol="asgi") as site:
            site.get("/view", VISITOR)
            assert [person_of(event) for event in site.events] == ["alice"]
        assert current.get() is None


class TestFacts:
    @shows("route-template")
    def test_templates_are_the_patterns_of_the_project(self, serve, posthog):
        """Templates have the prefixes of includes, and regular expressions as they are.

        The root has one too, and a 404 has none.
        """

        def view(request, **_):
            posthog.capture("x")
            return HttpResponse("ok")

        def missing(request, exception):
            posthog.capture("x")
            return HttpResponse("no", status=404)

        routes = [
            path("", view),
            path("api/<slug:version>/", include([path("items/<int:number>", view)])),
            re_path(r"^old/(?P<number>\d+)$", view),
        ]
        with serve(*routes) as site:
            settings.ROOT_URLCONF.handler404 = missing
            for url in ("/", "/api/v1/items/7", "/old/7", "/nowhere"):
                site.get(url)
            assert [event.properties.get("$request_route") for event in site.events] == [
                "/",
                "/api/<slug:version>/items/<int:number>",
                r"^old/(?P<number>\d+)$",
                None,
            ]

    @shows("bad-host")
    @pytest.mark.parametrize("host", ["a b", "evil.example", "h:abc", "evil.com/x?y#z", ""])
    def test_a_host_that_django_refuses_changes_nothing(self, serve, posthog, protocol, host):
        """Nobody asked for the host, so the answer is 200, and no DisallowedHost is captured."""

        def view(request):
            posthog.capture("x")
            return HttpResponse("ok")

        allowed = {"ALLOWED_HOSTS": ["shop.example"]}
        with serve(view, protocol=protocol, project_settings=allowed) as site:
            assert site.get("/view", host=host).status == 200
            assert [event.event for event in site.events] == ["x"]

    def test_a_projects_proxy_settings_count(self, serve, posthog, protocol):
        """Scheme and host as Django itself would see them."""

        def view(request):
            posthog.capture("x")
            return HttpResponse("ok")

        proxied = {"SECURE_PROXY_SSL_HEADER": ("HTTP_X_FORWARDED_PROTO", "https"), "USE_X_FORWARDED_HOST": True}
        headers = {"X-Forwarded-Proto": "https", "X-Forwarded-Host": "front.example"}
        with serve(view, protocol=protocol, project_settings=proxied) as site:
            site.get("/view?token=secret", headers)
            [event] = site.events
        assert event.properties["$current_url"] == "https://front.example/view?token=redacted"

    @shows("original-path")
    def test_a_forced_prefix_is_in_the_path(self, serve, posthog, protocol):
        """FORCE_SCRIPT_NAME says what the proxy took away."""

        def view(request):
            posthog.capture("x")
            return HttpResponse("ok")

        with serve(view, protocol=protocol, project_settings={"FORCE_SCRIPT_NAME": "/shop"}) as site:
            assert site.get("/view").status == 200
            [event] = site.events
        assert event.properties["$request_path"] == "/shop/view"
        assert event.properties["$current_url"] == "http://shop.example/shop/view"

    def test_a_request_is_free_when_it_is_over(self, project, posthog):
        """Nothing of ours holds it for the garbage collector to find."""
        gc.collect()
        gc.disable()
        try:
            with override_settings(MIDDLEWARE=[INTERCEPTOR], HOGLINE={"client": posthog, "capture_exceptions": True}):
                request = RequestFactory().get("/")
                PostHogInterceptor(lambda request: HttpResponse(str(posthog.capture("x"))))(request)
                reference = weakref.ref(request)
                del request
            assert reference() is None
        finally:
            gc.enable()


def a_callback(request):
    return "from a path"


class TestSettings:
    @pytest.mark.parametrize(
        ("given", "text"),
        [
            (
                {"capture_exeptions": True},
                r"'capture_exeptions'; did you mean 'capture_exceptions'\? it knows address_header, capture_exceptions, client, ",
            ),
            ({"project_token": "phc_x"}, r"'project_token'.*belong to the client: HOGLINE = \{'client': PostHog"),
            ({"distinct_id": "shop.nowhere.user"}, r"HOGLINE\['distinct_id'\] names 'shop.nowhere.user': No module"),
            ({"url_query": "hide"}, "url_query must be one of redact, keep, drop, got 'hide'"),
            ({"capture_exceptions": {"min_status": 400}}, "unexpected keyword argument 'min_status'"),
            ({"capture_exceptions": {"handled": "no"}}, "handled must be one of capture, by_status, ignore, got 'no'"),
            ({"client": "os.path"}, "client must be a hogline.PostHog, got"),
            (["capture_exceptions"], "must be a dict of the interceptor's options, got"),
        ],
    )
    def test_a_mistake_stops_the_start(self, project, given, text):
        """Django's own way to say so, with what to write instead."""
        with override_settings(HOGLINE=given), pytest.raises(ImproperlyConfigured, match=text):
            PostHogInterceptor(lambda request: None)

    def test_paths_stand_for_what_settings_cannot_import(self, serve, posthog):
        """Callables, and exceptions to ignore, by dotted path."""

        def view(request):
            posthog.capture("x")
            raise IgnoredError

        with serve(
            view,
            distinct_id=f"{__name__}.a_callback",
            capture_exceptions={"ignore": ["tests.interceptors.apps.contract.IgnoredError"]},
        ) as site:
            site.get("/view", VISITOR)
            assert [(event.event, event.distinct_id) for event in site.events] == [("x", "from a path")]

    def test_without_settings_it_carries_the_context_of_the_default_client(self, serve, posthog):
        """HOGLINE may be left out: context for every client, no exceptions."""

        def view(request):
            posthog.capture("x")
            raise ValueError("x")

        with serve(view, project_settings={}) as site, override_settings():
            del settings.HOGLINE
            handler = WSGIHandler()
            seen = []
            handler(_environ("/view"), lambda status, headers: seen.append(status))
            assert seen == ["500 Internal Server Error"]
            assert [event.event for event in site.events] == ["x"]


def _environ(path_info):
    return RequestFactory().get(path_info, headers=VISITOR).environ


def test_a_preflight_that_does_not_allow_tracing_headers_is_told_about(serve, protocol, caplog):
    """Once, with django-cors-headers' setting."""

    def cart(request):
        return HttpResponse("cart")

    with serve(cart, protocol=protocol, middleware=[f"{NEIGHBOURS}.AllowsContentType"]) as site:
        for _ in range(2):
            connection = http.client.HTTPConnection("127.0.0.1", site.port, timeout=20)
            connection.request("OPTIONS", "/", headers={"Access-Control-Request-Headers": "x-posthog-session-id"})
            connection.getresponse().read()
            connection.close()
    [line] = [record.getMessage() for record in caplog.records if record.name == "hogline"]
    assert "from a browser does not allow x-posthog-session-id" in line
    assert "CORS_ALLOW_HEADERS" in line
