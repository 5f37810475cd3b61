"""These tests show the promises that are special to Bottle.

They cover generators before and after their first item, hooks, returned errors, mounts, and
catchall.
"""

import bottle
import pytest

from hogline.interceptors import wsgi
from hogline.interceptors.bottle import PostHogInterceptor
from tests.support.behaviours import shows
from tests.support.serving import VISITOR, serving
from tests.support.sink import exception_of, person_of


@pytest.fixture
def app():
    return bottle.Bottle()


@pytest.fixture
def serve(app, posthog, sink):
    def serve(**options):
        app.install(PostHogInterceptor(client=posthog, **options))
        return serving(app, posthog, sink)

    return serve


class TestExceptions:
    @pytest.fixture
    def failing(self, app, serve):
        @app.get("/fail/<what>")
        def view(what):
            match what:
                case "plain":
                    raise ValueError
                case "early":
                    return early()
                case "late":
                    return late()
                case "abort-early":
                    return aborting()
                case "response":
                    raise bottle.HTTPResponse("no", 503)
                case "returned":
                    return bottle.HTTPError(503, "no")
                case "redirect":
                    bottle.redirect("/elsewhere")
                case _:
                    bottle.abort(int(what))
            return "ok"

        def early():
            raise ValueError
            yield "x"

        def late():
            yield "x"
            raise ValueError

        def aborting():
            bottle.abort(503)
            yield "x"

        with serve(capture_exceptions=True) as site:
            yield site

    @shows("http-error-below-threshold", "bottle-generators")
    @pytest.mark.parametrize(
        ("what", "status", "expected"),
        [
            ("plain", 500, ("ValueError", False, 500)),
            ("early", 500, ("ValueError", False, 500)),
            ("late", 200, ("ValueError", False, 200)),
            ("abort-early", 503, ("HTTPError", True, 503)),
            ("503", 503, ("HTTPError", True, 503)),
            ("response", 503, ("HTTPResponse", True, 503)),
            ("returned", 503, None),
            ("404", 404, None),
            ("redirect", 303, None),
        ],
    )
    def test_each_is_seen_once_and_judged(self, failing, what, status, expected):
        """This holds before the first item and after it, and for aborts.

        A returned error is a response.
        """
        assert failing.get(f"/fail/{what}", VISITOR).status == status
        events = failing.exceptions
        assert [exception_of(event) for event in events] == ([expected] if expected else [])
        for event in events:
            assert (event.distinct_id, event.properties["$request_route"]) == ("alice", "/fail/<what>")
            assert event.properties["$exception_source"] == "bottle.interceptor"

    @shows("flask-hooks")
    @pytest.mark.parametrize("name", ["before_request", "after_request"])
    @pytest.mark.parametrize("error", [ValueError(), bottle.HTTPError(503)])
    def test_hooks_are_seen(self, app, serve, name, error):
        """Exceptions in Bottle's hooks are events, although no plugin sees them."""

        def fail():
            raise error

        app.add_hook(name, fail)
        app.get("/", callback=lambda: "ok")
        with serve(capture_exceptions=True) as site:
            answer = site.get("/", VISITOR)
            [event] = site.exceptions
        handled = isinstance(error, bottle.HTTPError)
        assert exception_of(event) == (type(error).__name__, handled, 503 if handled else 500)
        assert (answer.status, event.distinct_id) == (503 if handled else 500, "alice")

    def test_a_route_that_skips_all_plugins_is_seen(self, app, serve):
        """With `skip=True` on the route, the exception is known from Bottle's own error
        response.
        """
        app.get("/", callback=lambda: int("x"), skip=True)
        with serve(capture_exceptions=True) as site:
            site.get("/", VISITOR)
            assert [exception_of(event) for event in site.exceptions] == [("ValueError", False, 500)]

    def test_a_plugin_that_answers_an_exception_handles_it(self, app, serve):
        """Installed before us, so outside of us."""

        def answering(callback):
            def wrapped(*args, **kwargs):
                try:
                    return callback(*args, **kwargs)
                except ValueError:
                    bottle.response.status = 507
                    return "sorry"

            return wrapped

        app.install(answering)
        app.get("/", callback=lambda: int("x"))
        with serve(capture_exceptions=True) as site:
            assert site.get("/").status == 507
            assert [exception_of(event) for event in site.exceptions] == [("ValueError", True, 507)]

    def test_a_page_for_500_does_not_make_it_handled(self, app, serve, posthog):
        """A page for a status leaves the exception unhandled: Bottle has printed it already.

        An event that the page captures belongs to the visitor.
        """

        @app.error(500)
        def page(error):
            posthog.capture("page")
            return "sorry"

        app.get("/", callback=lambda: int("x"))
        with serve(capture_exceptions=True) as site:
            assert site.get("/", VISITOR).body == b"sorry"
            page, error = sorted(site.events, key=lambda event: event.event, reverse=True)
        assert (page.event, page.distinct_id) == ("page", "alice")
        assert exception_of(error) == ("ValueError", False, 500)

    def test_without_catchall_the_server_sees_it_too(self, serve, app):
        """One event of the one exception."""
        app.catchall = False
        app.get("/", callback=lambda: int("x"))
        with serve(capture_exceptions=True) as site:
            assert site.get("/").status == 500
            assert [exception_of(event) for event in site.exceptions] == [("ValueError", False, 500)]


class TestContext:
    @shows("streamed-body-context")
    def test_hooks_views_and_bodies_belong_to_the_visitor(self, app, serve, posthog):
        """The first item is made inside the app, and the server makes the others.

        Values that hooks put on the request are known.
        """

        @app.hook("before_request")
        def sign_in():
            bottle.request.user = "user-7"
            posthog.capture("before")

        @app.get("/stream")
        def stream():
            posthog.capture("one")
            yield "a"
            posthog.capture("two")
            yield "b"

        with serve(distinct_id=lambda request: getattr(request, "user", None)) as site:
            assert site.get("/stream", VISITOR).body == b"ab"
            events = site.events
        assert [(event.event, event.distinct_id) for event in events] == [
            ("before", "user-7"),
            ("one", "user-7"),
            ("two", "user-7"),
        ]
        assert events[2].properties["$request_route"] == "/stream"

    @shows("route-template")
    def test_a_mounted_app_has_its_mount_in_the_route(self, app, serve, posthog):
        """Bottle's own apps and any other."""
        inner = bottle.Bottle()
        inner.get("/things/<thing_id>", callback=lambda thing_id: str(posthog.capture("x")))
        app.mount("/api/", inner)
        with serve() as site:
            site.get("/api/things/7", VISITOR)
            [event] = site.events
        assert (person_of(event), event.properties["$request_route"]) == ("alice", "/api/things/<thing_id>")

    @shows("stacked-interceptors", "captured-once")
    def test_inside_another_interceptor_it_still_knows_the_route(self, app, posthog, sink):
        """One event, Bottle's route with its mount, true to life."""
        app.get("/things/<thing_id>", callback=lambda thing_id: int("x"))
        app.install(PostHogInterceptor(client=posthog, capture_exceptions=True))

        def mounted(environ, start_response):
            environ["SCRIPT_NAME"], environ["PATH_INFO"] = "/api", environ["PATH_INFO"].removeprefix("/api")
            return app(environ, start_response)

        outer = wsgi.PostHogInterceptor(mounted, client=posthog, capture_exceptions=True)
        with serving(outer, posthog, sink) as site:
            site.get("/api/things/7", VISITOR)
            [event] = site.events
        assert event.properties["$request_route"] == "/api/things/<thing_id>"
        assert exception_of(event) == ("ValueError", False, 500)

    def test_a_second_plugin_is_ignored(self, app, serve, posthog, caplog):
        """It is ignored with a warning, and each exception is one event."""
        app.install(PostHogInterceptor(client=posthog, capture_exceptions=True))
        app.get("/", callback=lambda: int("x"))
        with serve(capture_exceptions=True) as site:
            site.get("/")
            assert len(site.exceptions) == 1
        assert [record for record in caplog.records if "has an interceptor already" in record.message]
