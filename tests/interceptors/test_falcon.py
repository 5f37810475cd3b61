"""These tests show the promises that are special to Falcon.

They cover its error reporter, handlers that raise HTTP errors, the last resort, mounts, and old
versions.
"""

import logging

import falcon
import falcon.asgi
import falcon.testing
import pytest

from hogline.interceptors import wsgi
from hogline.interceptors.falcon import PostHogInterceptor
from tests.support.behaviours import shows
from tests.support.serving import VISITOR, serving, serving_asgi
from tests.support.sink import exception_of, person_of


class DomainError(Exception):
    """A domain error that a registered handler answers."""


class Failing:
    """Raises what its path says."""

    def on_get(self, req, resp, what):
        match what:
            case "plain":
                raise ValueError
            case "domain":
                raise DomainError
            case "status":
                raise falcon.HTTPStatus(503)
            case "found":
                raise falcon.HTTPFound("/elsewhere")
            case "media":
                resp.media = {"a": object()}
            case "header":
                resp.set_header("X-A", "1")
                resp.status = object()
            case _:
                raise falcon.HTTPError(int(what))


class AsyncFailing(Failing):
    async def on_get(self, req, resp, what):
        super().on_get(req, resp, what)


@pytest.fixture(autouse=True)
def _silent():
    logging.getLogger("falcon").setLevel(logging.CRITICAL)


@pytest.fixture(params=["wsgi", "asgi"])
def colour(request):
    return request.param


@pytest.fixture
def app(colour):
    application = falcon.App() if colour == "wsgi" else falcon.asgi.App()
    application.add_route("/fail/{what}", Failing() if colour == "wsgi" else AsyncFailing())
    return application


@pytest.fixture
def serve(colour, app, posthog, sink):
    def serve(**options):
        PostHogInterceptor(app, client=posthog, **options)
        return (serving if colour == "wsgi" else serving_asgi)(app, posthog, sink)

    return serve


def handler_of(app, function):
    """Return *function* as the kind of handler that *app* takes."""
    if not isinstance(app, falcon.asgi.App):
        return function

    async def handler(req, resp, ex, params, ws=None):
        function(req, resp, ex, params)

    return handler


class TestExceptions:
    @shows("http-error-below-threshold", "swallowed-errors")
    @pytest.mark.parametrize(
        ("what", "status", "expected"),
        [
            ("plain", 500, ("ValueError", False, 500)),
            ("503", 503, ("HTTPError", True, 503)),
            ("404", 404, None),
            ("status", 503, ("HTTPStatus", True, 503)),
            ("found", 302, None),
            ("media", 500, ("TypeError", False, 500)),
            ("header", 500, ("ValueError", False, 500)),
        ],
    )
    def test_each_is_seen_once_and_judged(self, serve, what, status, expected):
        """This holds for HTTP errors, HTTPStatus as control flow, bodies that cannot be rendered,
        and responses that cannot begin.
        """
        with serve(capture_exceptions=True) as site:
            assert site.get(f"/fail/{what}", VISITOR).status == status
            events = site.exceptions
        found = [exception_of(event) for event in events]
        if what == "header" and found:
            found = [("ValueError", *found[0][1:])]  # of what class it is, is Falcon's business
        assert found == ([expected] if expected else [])
        for event in events:
            assert (event.distinct_id, event.properties["$request_route"]) == ("alice", "/fail/{what}")
            assert event.properties["$exception_source"] == "falcon.interceptor"

    @shows("registered-handlers")
    def test_a_handler_that_raises_an_http_error_has_answered(self, app, serve):
        """Falcon's way to turn one error into another gives one event, with the status that was
        sent.
        """

        def handle(req, resp, ex, params):
            raise falcon.HTTPServiceUnavailable

        app.add_error_handler(DomainError, handler_of(app, handle))
        with serve(capture_exceptions=True) as site:
            assert site.get("/fail/domain").status == 503
            assert [exception_of(event) for event in site.exceptions] == [("DomainError", True, 503)]

    def test_a_handler_that_fails_leaves_two_mistakes(self, app, serve):
        """The first one first; neither was handled."""

        def handle(req, resp, ex, params):
            raise RuntimeError

        app.add_error_handler(DomainError, handler_of(app, handle))
        with serve(capture_exceptions=True) as site:
            assert site.get("/fail/domain").status == 500
            found = [exception_of(event) for event in site.exceptions]
        assert found == [("DomainError", False, 500), ("RuntimeError", False, 500)]

    def test_a_handler_for_everything_handles(self, app, serve):
        """Only Falcon's own is the last resort."""

        def handle(req, resp, ex, params):
            resp.status, resp.text = 507, "sorry"

        app.add_error_handler(Exception, handler_of(app, handle))
        with serve(capture_exceptions=True) as site:
            assert site.get("/fail/plain").status == 507
            assert [exception_of(event) for event in site.exceptions] == [("ValueError", True, 507)]

    @shows("falcon-reporter")
    @pytest.mark.skipif(not hasattr(falcon.App, "set_error_reporter"), reason="Falcon has reporters since 4.4")
    @pytest.mark.parametrize("when", ["before", "after"])
    def test_the_users_own_reporter_is_called_too(self, app, posthog, sink, colour, when):
        """The app's reporter is told the same, set before or after ours.

        The app's answer stays the same.
        """
        told = []

        def report(req, error, params, handled):
            told.append((type(error), params, handled))

        if when == "before":
            app.set_error_reporter(report)
        PostHogInterceptor(app, client=posthog, capture_exceptions=True)
        if when == "after":
            app.set_error_reporter(report)
        with (serving if colour == "wsgi" else serving_asgi)(app, posthog, sink) as site:
            assert site.get("/fail/plain").status == 500
            assert len(site.exceptions) == 1
        assert told == [(ValueError, {"what": "plain"}, True)]

    @shows("failing-capture", "falcon-reporter")
    def test_a_failure_of_ours_does_not_reach_the_app(self, app, serve, posthog, caplog):
        """A reporter that raises would break the request."""
        posthog.exceptions = None
        app._find_error_handler  # noqa: B018 - what the look at the last resort needs is there
        with serve(capture_exceptions=True) as site, caplog.at_level(logging.WARNING, logger="hogline"):
            assert site.get("/fail/plain").status == 500
            assert site.get("/fail/plain").status == 500
        assert len([record for record in caplog.records if "exception capture failed" in record.message]) == 1

    @pytest.mark.parametrize(
        ("what", "expected"), [("plain", ("ValueError", False, 500)), ("503", ("HTTPError", True, 503)), ("404", None)]
    )
    def test_a_falcon_without_reporters_tells_the_same(self, serve, monkeypatch, what, expected):
        """Falcon before 4.4: the method that every exception passes."""
        monkeypatch.delattr(falcon.App, "set_error_reporter", raising=False)
        with serve(capture_exceptions=True) as site:
            site.get(f"/fail/{what}", VISITOR)
            assert [exception_of(event) for event in site.exceptions] == ([expected] if expected else [])

    def test_a_handler_that_fails_leaves_two_mistakes_there_too(self, app, serve, monkeypatch):
        """Falcon before 4.4."""
        monkeypatch.delattr(falcon.App, "set_error_reporter", raising=False)

        def handle(req, resp, ex, params):
            raise RuntimeError

        app.add_error_handler(DomainError, handler_of(app, handle))
        with serve(capture_exceptions=True) as site:
            site.get("/fail/domain")
            found = [exception_of(event) for event in site.exceptions]
        assert found == [("DomainError", False, 500), ("RuntimeError", False, 500)]


class TestInstalled:
    def test_an_app_stays_itself(self, app, colour, posthog):
        """The app stays the same object, of its own class, with Falcon's own test client.

        A second interceptor is ignored.
        """
        kind = type(app)
        PostHogInterceptor(client=posthog).install(app)
        PostHogInterceptor(app, client=posthog)
        assert isinstance(app, kind)
        assert (type(app).__name__, type(app).__mro__[1]) == (kind.__name__, kind)
        client = falcon.testing.TestClient(app)
        assert client.simulate_get("/fail/404").status_code == 404

    def test_a_second_interceptor_is_said_to_be_ignored(self, app, posthog, caplog):
        """The log says so."""
        PostHogInterceptor(app, client=posthog)
        PostHogInterceptor(app, client=posthog)
        assert [record for record in caplog.records if "has an interceptor already" in record.message]

    @shows("streamed-body-context")
    def test_middleware_and_its_end_belong_to_the_visitor(self, app, serve, posthog, colour):
        """Events of other middleware, before and after, belong to the visitor.

        A signed-in user that it puts on the request is known.
        """

        class Signing:
            def process_request(self, req, resp):
                req.context.user = "user-7"
                posthog.capture("before")

            def process_response(self, req, resp, resource, succeeded):
                posthog.capture("after")

            async def process_request_async(self, req, resp):
                self.process_request(req, resp)

            async def process_response_async(self, req, resp, resource, succeeded):
                self.process_response(req, resp, resource, succeeded)

        with serve(distinct_id=lambda req: getattr(req.context, "user", None)) as site:
            app.add_middleware(Signing())
            site.get("/fail/404", VISITOR)
            events = site.events
        assert [(event.event, event.distinct_id) for event in events] == [("before", "user-7"), ("after", "user-7")]
        assert events[1].properties["$request_route"] == "/fail/{what}"


@shows("stacked-interceptors", "route-template")
def test_inside_another_interceptor_it_still_knows_the_route(posthog, sink):
    """A WSGI interceptor around a mounted app that has its own captures one event.

    The event has Falcon's route with its mount.
    """
    app = falcon.App()
    app.add_route("/fail/{what}", Failing())
    PostHogInterceptor(app, client=posthog, capture_exceptions=True)

    def mounted(environ, start_response):
        environ["SCRIPT_NAME"], environ["PATH_INFO"] = "/api", environ["PATH_INFO"].removeprefix("/api")
        return app(environ, start_response)

    outer = wsgi.PostHogInterceptor(mounted, client=posthog, capture_exceptions=True)
    with serving(outer, posthog, sink) as site:
        site.get("/api/fail/plain", VISITOR)
        [event] = site.events
    assert event.properties["$request_route"] == "/api/fail/{what}"
    assert (exception_of(event), person_of(event)) == (("ValueError", False, 500), "alice")
