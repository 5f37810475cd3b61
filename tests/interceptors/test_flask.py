"""These tests show the promises that are special to Flask.

They cover who answers an exception, streams after the request context, and callbacks that need it.
"""

import gc
import logging
import weakref
from dataclasses import dataclass

import flask
import pytest
from flask import Flask, abort, request, session, stream_with_context
from itsdangerous import TimestampSigner
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.middleware.proxy_fix import ProxyFix

from hogline.context import current
from hogline.interceptors import wsgi
from hogline.interceptors.flask import PostHogInterceptor
from tests.support.behaviours import shows
from tests.support.serving import VISITOR, now, serving
from tests.support.sink import exception_of, person_of


class DomainError(Exception):
    """A domain error that a registered handler answers."""


@pytest.fixture
def app():
    application = Flask("shop")
    application.secret_key = "x"
    application.logger.setLevel(logging.CRITICAL)
    return application


@pytest.fixture
def serve(app, posthog, sink):
    """Return a context manager that serves *app* behind an interceptor with the options given."""

    def serve(**options):
        PostHogInterceptor(app, client=posthog, **options)
        return serving(app, posthog, sink)

    return serve


class TestContext:
    @shows("streamed-body-context")
    def test_views_hooks_and_ends_belong_to_the_visitor(self, app, serve, posthog):
        """This holds for hooks, sync and async views, teardown, and code that runs when the
        response is closed.

        Then the thread is empty.
        """

        @app.before_request
        def before():
            posthog.capture("before")

        @app.get("/things/<int:number>")
        def view(number):
            posthog.capture("view")
            response = flask.make_response("ok")
            response.call_on_close(lambda: posthog.capture("closed"))
            return response

        @app.get("/async/<name>")
        async def asynchronous(name):
            posthog.capture("view")
            return "ok"

        @app.teardown_request
        def teardown(error):
            posthog.capture("teardown")

        with serve() as site:
            site.get("/things/7", VISITOR)
            first = site.events
            site.get("/async/x", VISITOR)
            second = site.events[len(first) :]
            site.get("/things/7")
            third = site.events[len(first) + len(second) :]
        assert [event.event for event in first] == ["before", "view", "teardown", "closed"]
        assert {event.properties["$request_route"] for event in first} == {"/things/<int:number>"}
        assert [event.event for event in second] == ["before", "view", "teardown"]
        assert {event.properties["$request_route"] for event in second} == {"/async/<name>"}
        assert {(person_of(event), event.properties["$session_id"]) for event in [*first, *second]} == {
            ("alice", "session-a")
        }
        assert {person_of(event) for event in third} == {None}

    @shows("streamed-body-context", "double-teardown")
    @pytest.mark.parametrize("with_context", [False, True])
    def test_a_stream_belongs_to_its_visitor(self, app, serve, posthog, with_context):
        """Inside the generator the visitor, the route and the signed-in user are known.

        Teardown may run twice.
        """
        torn = []
        app.teardown_request(torn.append)

        @app.get("/stream/<name>")
        def stream(name):
            session["user"] = "user-7"

            def body():
                posthog.capture("one")
                yield "a"
                posthog.capture("two")
                yield "b"

            return stream_with_context(body()) if with_context else body()

        with serve(
            distinct_id=lambda request: session.get("user"), properties=lambda request: {"path": request.path}
        ) as site:
            assert site.get("/stream/x", VISITOR).body == b"ab"
            events = site.events
        assert [(event.event, event.distinct_id) for event in events] == [("one", "user-7"), ("two", "user-7")]
        assert {event.properties["$request_route"] for event in events} == {"/stream/<name>"}
        assert {event.properties["path"] for event in events} == {"/stream/x"}
        assert set(torn) == {None}

    @shows("nested-test-client")
    def test_a_request_inside_a_view_gives_the_outer_one_back(self, app, serve, posthog):
        """A test client inside a view is another request."""

        @app.get("/inner/<name>")
        def inner(name):
            posthog.capture("inner")
            return "ok"

        @app.get("/outer")
        def outer():
            app.test_client().get("/inner/x", headers={"X-POSTHOG-DISTINCT-ID": "bob"})
            posthog.capture("outer")
            return "ok"

        with serve() as site:
            site.get("/outer", VISITOR)
            events = site.events
        assert [(event.event, event.distinct_id, event.properties["$request_route"]) for event in events] == [
            ("inner", "bob", "/inner/<name>"),
            ("outer", "alice", "/outer"),
        ]

    def test_test_clients_keep_their_request_as_without_us(self, app, posthog):
        """With `with client` and stream_with_context together, the contexts end in order, and ours
        is gone.
        """

        @app.get("/")
        def view():
            return stream_with_context(iter([b"x", now().encode()]))

        PostHogInterceptor(app, client=posthog)
        with app.test_client() as client:
            assert client.get("/", headers=VISITOR).data == b"xalice"
            assert request.path == "/"
        assert current.get() is None

    @shows("route-template")
    def test_a_mounted_app_has_its_mount_in_the_route(self, app, serve, posthog):
        """The mount's prefix and the rule of the app that answered."""
        mounted = Flask("mounted")

        @mounted.get("/thing/<name>")
        def thing(name):
            posthog.capture("thing")
            return "ok"

        app.wsgi_app = DispatcherMiddleware(app.wsgi_app, {"/api": mounted})
        with serve() as site:
            site.get("/api/thing/x", VISITOR)
            [event] = site.events
        assert event.properties["$request_route"] == "/api/thing/<name>"
        assert event.properties["$request_path"] == "/api/thing/x"

    @pytest.mark.parametrize("inside", [True, False])
    def test_a_proxys_middleware_may_stand_on_either_side(self, app, posthog, sink, inside):
        """Scheme, host and address are the visitor's as ProxyFix corrected them."""

        def install():
            PostHogInterceptor(app, client=posthog, trusted_proxies=["127.0.0.1/32"])

        def fix():
            app.wsgi_app = ProxyFix(app.wsgi_app, x_for=1, x_proto=1, x_host=1)

        app.add_url_rule("/p", view_func=lambda: str(posthog.capture("x")))
        for step in (fix, install) if inside else (install, fix):
            step()
        with serving(app, posthog, sink) as site:
            headers = {"X-Forwarded-For": "9.9.9.9", "X-Forwarded-Proto": "https", "X-Forwarded-Host": "a.example"}
            site.get("/p", headers)
            [event] = site.events
        assert event.properties["$current_url"] == "https://a.example/p"
        assert event.properties["$ip"] == "9.9.9.9"

    @shows("stacked-interceptors")
    def test_inside_another_interceptor_it_still_knows_the_route(self, app, sink, posthog):
        """A WSGI interceptor around a Flask app that has its own shares one context with it.

        Each exception is one event, with Flask's route.
        """

        @app.get("/thing/<name>")
        def thing(name):
            def body():
                posthog.capture("thing")
                yield "x"

            return body()

        @app.get("/boom/<name>")
        def boom(name):
            raise ValueError

        PostHogInterceptor(app, client=posthog, capture_exceptions=True)
        outer = wsgi.PostHogInterceptor(app, client=posthog, capture_exceptions=True)
        with serving(outer, posthog, sink) as site:
            site.get("/thing/x", VISITOR)
            site.get("/boom/x", VISITOR)
            thing, boom = site.events
        assert thing.properties["$request_route"] == "/thing/<name>"
        assert boom.properties["$request_route"] == "/boom/<name>"
        assert exception_of(boom) == ("ValueError", False, 500)


class TestExceptions:
    @pytest.fixture
    def failing(self, app, serve):
        @app.get("/<name>")
        def view(name):
            match name:
                case "none":
                    return
                case "plain":
                    raise ValueError
                case "domain":
                    raise DomainError
                case "response":
                    abort(flask.Response("x", status=599))
                case "group":
                    raise ExceptionGroup("g", [DomainError()])
                case "exit":
                    raise SystemExit
                case "redirect":
                    abort(flask.redirect("/elsewhere"))
                case _:
                    abort(int(name))

        @app.errorhandler(DomainError)
        def handle(error):
            return "sorry", 507

        @app.errorhandler(502)
        def handle_502(error):
            return "sorry", 502

        @app.errorhandler(409)
        def handle_409(error):
            raise RuntimeError

        with serve(capture_exceptions=True) as failing:
            yield failing

    @shows("registered-handlers", "abort-with-response", "flask-hooks", "groups-by-members")
    @pytest.mark.parametrize(
        ("name", "status", "expected"),
        [
            ("plain", 500, ("ValueError", False, 500)),
            ("none", 500, ("TypeError", False, 500)),
            ("503", 503, ("ServiceUnavailable", True, 503)),
            ("502", 502, ("BadGateway", True, 502)),
            ("response", 599, ("HTTPException", True, 599)),
            ("domain", 507, ("DomainError", True, 507)),
            ("group", 500, ("ExceptionGroup", False, 500)),
            ("409", 500, ("RuntimeError", False, 500)),
            ("404", 404, None),
            ("redirect", 302, None),
        ],
    )
    def test_each_is_seen_once_and_judged(self, failing, name, status, expected):
        """This also holds where Flask answers by itself, or a handler does, or a handler fails."""
        assert failing.get(f"/{name}", VISITOR).status == status
        assert [exception_of(event) for event in failing.exceptions] == ([expected] if expected else [])
        for event in failing.exceptions:
            assert (event.distinct_id, event.properties["$request_route"]) == ("alice", "/<name>")
            assert event.properties["$exception_source"] == "flask.got_request_exception"

    @shows("exit-leaves-clean", "http-error-below-threshold", "exits-propagate")
    def test_routing_errors_and_exits_are_none(self, failing):
        """404, 405 and SystemExit."""
        assert failing.get("/a/b").status == 404
        failing.get("/exit", VISITOR)
        assert failing.get("/404").status == 404
        assert failing.events == []

    @shows("flask-hooks")
    @pytest.mark.parametrize("where", ["before", "after", "teardown"])
    def test_hooks_are_seen(self, app, serve, posthog, where):
        """This holds for a before_request registered before ours, for after_request, and for
        teardown_request.
        """

        def fail(*args):
            raise ValueError(where)

        {"before": app.before_request, "after": app.after_request, "teardown": app.teardown_request}[where](fail)
        app.add_url_rule("/", view_func=lambda: "ok")
        with serve(capture_exceptions=True) as site:
            assert site.get("/", VISITOR).status == 500
            [event] = site.events
        assert exception_of(event) == ("ValueError", False, 500)
        assert event.distinct_id == "alice"

    @shows("error-after-start")
    def test_a_stream_that_fails_has_the_status_that_was_sent(self, app, serve):
        """The original exception, 200."""

        @app.get("/stream")
        def stream():
            def body():
                yield "a"
                raise ValueError

            return body()

        with serve(capture_exceptions=True) as site:
            assert site.get("/stream", VISITOR).status == 200
            [event] = site.events
        assert exception_of(event) == ("ValueError", False, 200)
        assert (event.distinct_id, event.properties["$request_route"]) == ("alice", "/stream")

    @shows("captured-once")
    @pytest.mark.parametrize("setting", ["PROPAGATE_EXCEPTIONS", "TESTING", "DEBUG", "TRAP_HTTP_EXCEPTIONS"])
    def test_propagated_exceptions_are_one_event(self, app, serve, setting):
        """The signal comes first, then the same object escapes.

        The signed-in user is known although Flask has ended by then.
        """
        app.config[setting] = True
        if setting == "TRAP_HTTP_EXCEPTIONS":
            app.config["TESTING"] = True

        @app.get("/")
        def view():
            session["user"] = "user-7"
            abort(503) if setting == "TRAP_HTTP_EXCEPTIONS" else int("x")

        with serve(capture_exceptions=True, distinct_id=lambda request: session["user"]) as site:
            site.get("/", VISITOR)
            [event] = site.events
        assert exception_of(event)[1:] == (False, 500)
        assert event.distinct_id == "user-7"

    def test_middleware_that_answers_a_propagated_exception_handles_it(self, app, serve):
        """The last word is the outermost layer's."""
        app.config["PROPAGATE_EXCEPTIONS"] = True
        app.add_url_rule("/", view_func=lambda: int("x"))
        flask_app = app.wsgi_app

        def middleware(environ, start_response):
            try:
                return flask_app(environ, start_response)
            except ValueError:
                pass
            start_response("503 Sorry", [])
            return [b""]

        app.wsgi_app = middleware
        with serve(capture_exceptions=True) as site:
            assert site.get("/").status == 503
            [event] = site.events
        assert exception_of(event) == ("ValueError", True, 503)

    def test_a_handler_that_fails_leaves_two_mistakes(self, app, serve):
        """The first one first; neither was handled."""

        @app.get("/")
        def view():
            raise DomainError

        @app.errorhandler(DomainError)
        def handle(error):
            raise RuntimeError from error

        with serve(capture_exceptions=True) as site:
            assert site.get("/").status == 500
            events = [exception_of(event) for event in site.exceptions]
        assert events == [("DomainError", False, 500), ("RuntimeError", False, 500)]

    def test_a_custom_500_page_does_not_make_it_handled(self, app, serve, posthog):
        """Flask itself logs and signals the exception as unhandled.

        An event that the page captures belongs to the visitor.
        """
        app.add_url_rule("/", view_func=lambda: int("x"))

        @app.errorhandler(500)
        def page(error):
            posthog.capture("page")
            return "sorry", 500

        with serve(capture_exceptions=True) as site:
            assert site.get("/", VISITOR).body == b"sorry"
            page, error = site.events
        assert (page.event, page.distinct_id) == ("page", "alice")
        assert exception_of(error) == ("ValueError", False, 500)

    @shows("captured-once")
    def test_captured_by_hand_is_not_captured_again(self, app, serve, posthog):
        """A manual capture counts."""

        @app.get("/")
        def view():
            try:
                int("x")
            except ValueError as error:
                posthog.capture_exception(error)
                raise

        with serve(capture_exceptions=True) as site:
            site.get("/", VISITOR)
            [event] = site.events
        assert "$response_status_code" not in event.properties

    @pytest.mark.parametrize("style", ["(e)", "(ctx, e)"])
    def test_an_app_that_overrides_the_hook_works_as_before(self, posthog, sink, style):
        """Its override runs, with the arguments it is made for, whatever Flask hands over."""
        seen = []

        class Today(Flask):
            def handle_user_exception(self, e):
                seen.append(type(e))
                return flask.make_response("mine", 510)

        class Tomorrow(Flask):
            def handle_user_exception(self, ctx, e):
                seen.append(type(e))
                return flask.make_response("mine", 510)

            def full_dispatch_request(self):
                try:
                    return self.finalize_request(self.dispatch_request())
                except Exception as error:
                    return self.finalize_request(self.handle_user_exception(flask.globals.request_ctx, error))

        app = (Today if style == "(e)" else Tomorrow)("shop")
        app.add_url_rule("/", view_func=lambda: int("x"))
        PostHogInterceptor(app, client=posthog, capture_exceptions=True)
        with serving(app, posthog, sink) as site:
            assert site.get("/").status == 510
            [event] = site.exceptions
        assert seen == [ValueError]
        assert exception_of(event) == ("ValueError", True, 510)

    def test_blueprints_handlers_answer_as_before(self, app, serve):
        """A blueprint's own handler, its prefix in the route, and the threshold by status."""
        blueprint = flask.Blueprint("api", "api", url_prefix="/api")

        @blueprint.get("/<name>")
        def view(name):
            raise DomainError

        @blueprint.errorhandler(DomainError)
        def handle(error):
            return "x", int(request.view_args["name"])

        app.register_blueprint(blueprint)
        with serve(capture_exceptions=True) as site:
            assert [site.get(f"/api/{status}").status for status in (418, 507)] == [418, 507]
            [event] = site.exceptions
        assert exception_of(event) == ("DomainError", True, 507)
        assert event.properties["$request_route"] == "/api/<name>"

    def test_async_views_are_seen(self, app, serve):
        """Run by asgiref, raised again on the request's thread."""

        @app.get("/")
        async def view():
            raise ValueError

        with serve(capture_exceptions=True) as site:
            site.get("/", VISITOR)
            [event] = site.events
        assert exception_of(event) == ("ValueError", False, 500)
        frames = event.properties["$exception_list"][0]["stacktrace"]["frames"]
        assert "view" in {frame["function"] for frame in (frames[0], frames[-1])}

    @shows("unmarkable-exceptions", "hostile-exceptions")
    def test_objects_that_refuse_attributes_and_lie_are_one_event(self, app, serve, posthog, sink):
        """The same response as without us."""

        @dataclass(frozen=True)
        class AwkwardError(Exception):
            reason: str

            def __eq__(self, other):
                raise RuntimeError

            def __hash__(self):
                raise RuntimeError

            def __bool__(self):
                raise RuntimeError

            def __str__(self):
                raise RuntimeError

            __repr__ = __str__

        @app.get("/")
        def view():
            raise AwkwardError("x")

        with serving(app, posthog, sink) as bare:
            before = bare.get("/")
        with serve(capture_exceptions=True) as site:
            assert site.get("/") == before
            [event] = site.exceptions
        assert exception_of(event)[1:] == (False, before.status)


class TestCallbacks:
    def test_they_get_the_apps_own_request(self, app, serve, posthog):
        """`distinct_id` wins over the header.

        It is called while `flask.session` works, also for exceptions.
        """
        asked = []

        @app.get("/<name>")
        def view(name):
            session["user"] = "user-7"
            posthog.capture("x")
            raise ValueError

        def who(request):
            asked.append(request)
            assert request is flask.request._get_current_object()
            return session["user"]

        with serve(
            capture_exceptions=True, distinct_id=who, properties=lambda request: {"endpoint": request.endpoint}
        ) as site:
            site.get("/a", VISITOR)
            events = site.events
        assert {event.distinct_id for event in events} == {"user-7"}
        assert {event.properties["endpoint"] for event in events} == {"view"}
        assert len(asked) == 1

    def test_a_request_that_captures_nothing_asks_nothing(self, app, serve):
        """No callback is called, not even for a 404."""
        asked = []
        app.add_url_rule("/", view_func=lambda: "ok")
        with serve(capture_exceptions=True, distinct_id=asked.append, properties=asked.append) as site:
            assert [site.get("/").status, site.get("/nowhere").status] == [200, 404]
        assert asked == []

    def test_the_filter_cannot_eat_the_body(self, app, serve, posthog, caplog):
        """The callback runs before the app: reading the body there fails, once loudly, and the app
        still has it.
        """

        @app.get("/")
        def view():
            posthog.capture("x")
            return request.get_data()

        def choose(request):
            assert request.path == "/"
            return request.form.get("x")

        with serve(request_filter=choose) as site:
            answer = site.get("/", {**VISITOR, "Content-Type": "application/x-www-form-urlencoded"})
            site.get("/")
            assert [person_of(event) for event in site.events] == ["alice", None]
        assert answer.status == 200
        assert len([record for record in caplog.records if "request_filter" in record.message]) == 1

    @shows("callback-errors")
    def test_callbacks_that_fail_cost_nothing(self, app, serve, posthog, caplog):
        """Each is logged once, also asynchronous callbacks, which Flask cannot await.

        The request is served.
        """

        @app.get("/")
        def view():
            posthog.capture("x")
            return "ok"

        async def asynchronous(request):
            return {}

        def fail(request):
            raise RuntimeError

        with serve(request_filter=fail, distinct_id=fail, properties=asynchronous) as site:
            for _ in range(2):
                assert site.get("/", VISITOR).status == 200
            assert [event.distinct_id for event in site.events] == ["alice", "alice"]
        assert len([record for record in caplog.records if record.name == "hogline"]) == 3

    def test_a_request_class_of_the_users_own_may_be_made_in_another_way(self, app, serve, posthog):
        """The filter gets a plain `flask.Request` then."""

        class Request(flask.Request):
            def __init__(self, environ):
                super().__init__(environ)

        app.request_class = Request
        app.add_url_rule("/", view_func=lambda: str(posthog.capture("x")))
        with serve(request_filter=lambda request: request.path == "/") as site:
            assert site.get("/", VISITOR).status == 200
            assert [event.distinct_id for event in site.events] == ["alice"]


class TestInstalling:
    def test_twice_is_harmless(self, app, serve, posthog, caplog):
        """The second one is ignored, and says so."""
        app.add_url_rule("/", view_func=lambda: int("x"))
        PostHogInterceptor(client=posthog, capture_exceptions=True).init_app(app)
        with serve(capture_exceptions=True) as site:
            site.get("/")
            assert len(site.events) == 1
        assert "has an interceptor already" in caplog.text

    def test_one_interceptor_serves_many_apps_and_keeps_none(self, posthog, sink):
        """App factories: `init_app` on each; an app that is let go is freed."""
        interceptor = PostHogInterceptor(client=posthog, capture_exceptions=True)
        apps = []
        for name in ("one", "two"):
            app = Flask(name)
            app.logger.setLevel(logging.CRITICAL + 1)  # pytest would keep the traceback, and so the app
            app.add_url_rule(f"/{name}", view_func=lambda: int("x"))
            interceptor.init_app(app)
            apps.append(app)
            with serving(app, posthog, sink) as site:
                assert site.get(f"/{name}").status == 500
                assert site.exceptions[-1].properties["$request_route"] == f"/{name}"
        assert len(sink.events) == 2
        freed = weakref.ref(apps[0])
        del app, apps, site
        gc.collect()
        assert freed() is None

    @shows("same-response")
    def test_responses_are_the_same_with_and_without_us(self, app, serve, posthog, sink, tmp_path, monkeypatch):
        """Status, headers, their order and bytes; of files, streams, errors and redirects too."""
        # The session's cookie holds the second of its signature.
        monkeypatch.setattr(TimestampSigner, "get_timestamp", lambda _: 1_800_000_000)
        (tmp_path / "file.txt").write_bytes(b"x" * 100_000)

        @app.get("/<name>")
        def view(name):
            if name == "file":
                return flask.send_file(tmp_path / "file.txt")
            if name == "stream":
                return iter(["a", "b"])
            if name == "cookie":
                session["user"] = 1
                return {"a": 1}
            if name == "empty":
                return "", 204
            return abort(int(name)) if name.isdigit() else flask.redirect("/")

        paths = ("/file", "/stream", "/cookie", "/empty", "/404", "/503", "/redirect", "/no/where")
        with serving(app, posthog, sink) as site:
            before = [site.get(path) for path in paths]
        with serve(capture_exceptions=True) as site:
            assert [site.get(path) for path in paths] == before

    @shows("bad-host")
    @pytest.mark.parametrize("host", ["a b", "h:99999", "h:abc", "evil.com/x?y#z", ""])
    def test_a_bad_host_costs_nothing_but_itself(self, app, serve, posthog, sink, host):
        """The same status as without us."""

        @app.get("/p")
        def view():
            posthog.capture("x")
            return "ok"

        with serving(app, posthog, sink) as site:
            before = site.get("/p", host=host).status
        with serve() as site:
            assert site.get("/p", host=host).status == before
            assert site.events[-1].properties["$current_url"] == f"http://127.0.0.1:{site.port}/p"
