"""These tests show the promises that are special to Pyramid.

They cover settings, tweens and execution policies around us, exception views, subrequests, and
traversal.
"""

import pytest
from pyramid import httpexceptions
from pyramid.config import Configurator
from pyramid.exceptions import ConfigurationConflictError
from pyramid.request import Request
from pyramid.response import Response
from pyramid.router import default_execution_policy
from pyramid.tweens import EXCVIEW, INGRESS

from hogline import ExceptionCapture, SettingsError
from hogline.interceptors import wsgi
from hogline.interceptors.pyramid import PostHogInterceptor
from tests.support.behaviours import shows
from tests.support.serving import VISITOR, serving
from tests.support.sink import exception_of, person_of


class DomainError(Exception):
    """A domain error that an exception view answers."""


@pytest.fixture
def config():
    with Configurator() as configurator:
        yield configurator


@pytest.fixture
def serve(config, posthog, sink):
    def serve(**options):
        PostHogInterceptor(config, client=posthog, **options)
        return serving(config.make_wsgi_app(), posthog, sink)

    return serve


def add(config, path, view, **predicates):
    config.add_route(path, path, **predicates)
    config.add_view(view, route_name=path)


def raising(error):
    def view(request):
        raise error

    return view


def outer_factory(handler, registry):
    """A tween that says something on both sides of everything, and fails when asked to."""

    def tween(request):
        registry["posthog"].capture("tween in")
        response = handler(request)
        registry["posthog"].capture("tween out")
        if "fail" in request.GET:
            raise ValueError("tween")
        return response

    return tween


def transaction_factory(handler, registry):
    """A tween under the exception views that fails after the view."""

    def tween(request):
        handler(request)
        raise DomainError

    return tween


class TestExceptions:
    @shows("http-error-below-threshold", "pyramid-exception-views")
    @pytest.mark.parametrize(
        ("error", "status", "expected"),
        [
            (ValueError(), 500, ("ValueError", False, 500)),
            (DomainError(), 507, ("DomainError", True, 507)),
            (httpexceptions.HTTPServiceUnavailable(), 503, ("HTTPServiceUnavailable", True, 503)),
            (httpexceptions.HTTPNotFound(), 404, None),
            (httpexceptions.HTTPFound("/elsewhere"), 302, None),
        ],
    )
    def test_each_is_seen_once_and_judged(self, config, serve, error, status, expected):
        """The exception is seen before the exception views, with the status that was sent."""
        add(config, "/raise", raising(error))
        config.add_exception_view(lambda error, request: Response("sorry", 507), context=DomainError)
        with serve(capture_exceptions=True) as site:
            assert site.get("/raise", VISITOR).status == status
            events = site.exceptions
        assert [exception_of(event) for event in events] == ([expected] if expected else [])
        for event in events:
            assert (event.distinct_id, event.properties["$request_route"]) == ("alice", "/raise")
            assert event.properties["$exception_source"] == "pyramid.interceptor"

    @shows("pyramid-exception-views")
    def test_a_returned_http_exception_is_a_response(self, config, serve):
        """Nothing was raised."""
        add(config, "/returned", lambda request: httpexceptions.HTTPServiceUnavailable())
        with serve(capture_exceptions=True) as site:
            assert site.get("/returned").status == 503
            assert site.events == []

    @shows("streamed-body-context")
    def test_tweens_on_both_sides_of_us_are_seen(self, config, serve, posthog):
        """Events of tweens belong to the visitor.

        Their exceptions are seen, over the exception views as well as under them.
        """
        config.registry["posthog"] = posthog
        config.add_tween(f"{__name__}.outer_factory", under=INGRESS, over=EXCVIEW)
        config.add_tween(f"{__name__}.transaction_factory", under=EXCVIEW)
        config.add_exception_view(lambda error, request: Response("sorry", 507), context=DomainError)
        add(config, "/plain", lambda request: Response("ok"))
        with serve(capture_exceptions=True) as site:
            assert site.get("/plain", VISITOR).status == 507
            events = site.events
            assert site.get("/plain?fail=1", VISITOR).status == 500
            failures = site.exceptions[1:]
        said = [(event.event, person_of(event)) for event in events if event.event != "$exception"]
        assert said == [("tween in", "alice"), ("tween out", "alice")]
        assert [exception_of(event) for event in events if event.event == "$exception"] == [("DomainError", True, 507)]
        assert ("ValueError", False, 500) in [exception_of(event) for event in failures]

    def test_an_exception_view_that_fails_leaves_two_mistakes(self, config, serve):
        """The first one first; neither was handled."""

        def fail(error, request):
            raise RuntimeError

        config.add_exception_view(fail, context=DomainError)
        add(config, "/raise", raising(DomainError()))
        with serve(capture_exceptions=True) as site:
            assert site.get("/raise").status == 500
            found = {exception_of(event)[0] for event in site.exceptions}
        assert found == {"DomainError", "RuntimeError"}

    @pytest.mark.parametrize("use_tweens", [False, True])
    def test_a_subrequest_is_a_part_of_its_request(self, config, serve, posthog, use_tweens):
        """One event, with the route and the visitor of the request that came from outside."""
        add(config, "/inner", raising(DomainError()))
        config.add_exception_view(lambda error, request: Response("sorry", 507), context=DomainError)

        def outer(request):
            response = request.invoke_subrequest(Request.blank("/inner"), use_tweens=use_tweens)
            posthog.capture("after")
            return Response(str(response.status_int))

        add(config, "/outer", outer)
        with serve(capture_exceptions=ExceptionCapture(handled="capture")) as site:
            answer = site.get("/outer", VISITOR)
            [event] = site.exceptions
        assert (answer.status, exception_of(event)[2]) == ((200, 200) if use_tweens else (507, 507))
        assert (event.distinct_id, event.properties["$request_route"]) == ("alice", "/outer")


class TestContext:
    @shows("streamed-body-context")
    def test_callbacks_after_the_response_belong_to_the_visitor(self, config, serve, posthog):
        """Response and finished callbacks, which run outside of all tweens."""

        def view(request):
            request.add_response_callback(lambda request, response: posthog.capture("response"))
            request.add_finished_callback(lambda request: posthog.capture("finished"))
            return Response("ok")

        add(config, "/things/{thing_id}", view)
        with serve() as site:
            site.get("/things/7", VISITOR)
            events = site.events
        assert [(event.event, person_of(event)) for event in events] == [("response", "alice"), ("finished", "alice")]
        assert {event.properties["$request_route"] for event in events} == {"/things/{thing_id}"}

    def test_a_user_that_the_app_put_on_the_request_is_known(self, config, serve, posthog):
        """The user is known in the view and in the body, which is read after Pyramid has dropped
        its request.
        """

        def view(request):
            request.user = "user-7"

            def body():
                posthog.capture("body")
                yield b"x"

            return Response(app_iter=body())

        add(config, "/stream", view)
        with serve(distinct_id=lambda request: request.user, properties=lambda request: {"at": request.path}) as site:
            site.get("/stream", VISITOR)
            [event] = site.events
        assert (event.distinct_id, event.properties["at"]) == ("user-7", "/stream")
        assert event.properties["$request_route"] == "/stream"

    def test_traversal_has_no_route(self, config, serve, posthog):
        """There is no template; never the concrete path."""

        def view(context, request):
            posthog.capture("x")
            return Response("ok")

        config.set_root_factory(lambda request: {"things": {}})
        config.add_view(view, context=dict)
        with serve() as site:
            assert site.get("/things").status == 200
            [event] = site.events
        assert "$request_route" not in event.properties

    @shows("route-template")
    def test_included_routes_have_their_prefix(self, config, serve, posthog):
        """route_prefix, and a pattern without a leading slash."""

        def included(inner):
            add(inner, "things/{thing_id}", lambda request: Response(str(posthog.capture("x"))))

        config.include(included, route_prefix="api")
        with serve() as site:
            site.get("/api/things/7")
            [event] = site.events
        assert event.properties["$request_route"] == "/api/things/{thing_id}"

    @shows("stacked-interceptors", "captured-once")
    def test_inside_another_interceptor_it_still_knows_the_route(self, config, posthog, sink):
        """One event of each exception, Pyramid's route with its mount."""
        add(config, "/things/{thing_id}", raising(ValueError()))
        PostHogInterceptor(config, client=posthog, capture_exceptions=True)
        app = config.make_wsgi_app()

        def mounted(environ, start_response):
            environ["SCRIPT_NAME"], environ["PATH_INFO"] = "/api", environ["PATH_INFO"].removeprefix("/api")
            return app(environ, start_response)

        outer = wsgi.PostHogInterceptor(mounted, client=posthog, capture_exceptions=True)
        with serving(outer, posthog, sink) as site:
            site.get("/api/things/7", VISITOR)
            [event] = site.events
        assert event.properties["$request_route"] == "/api/things/{thing_id}"
        assert exception_of(event) == ("ValueError", False, 500)

    @pytest.mark.parametrize("first", [True, False])
    def test_the_apps_own_execution_policy_runs_inside(self, config, posthog, sink, first):
        """The order does not matter, and the two do not conflict.

        This is the rule `chain-single-slots`.
        """

        def policy(environ, router):
            posthog.capture("policy")
            return default_execution_policy(environ, router)

        if first:
            config.set_execution_policy(policy)
        PostHogInterceptor(config, client=posthog)
        if not first:
            config.set_execution_policy(policy)
        add(config, "/", lambda request: Response("ok"))
        with serving(config.make_wsgi_app(), posthog, sink) as site:
            assert site.get("/", VISITOR).body == b"ok"
            [event] = site.events
        assert (event.event, person_of(event)) == ("policy", "alice")


the_client = None  # found by its dotted name


def user_of(request):
    return "user-7"


class TestSettings:
    def test_texts_are_read_as_in_an_ini_file(self, posthog, sink, monkeypatch):
        """`config.include("hogline.interceptors.pyramid")`: dotted names, truth values, numbers,
        lists.
        """
        monkeypatch.setitem(globals(), "the_client", posthog)
        settings = {
            "hogline.client": f"{__name__}.the_client",
            "hogline.capture_exceptions": "true",
            "hogline.capture_exceptions.min_status_to_capture": "400",
            "hogline.capture_exceptions.ignore": f"{__name__}.DomainError builtins.KeyError",
            "hogline.distinct_id": f"{__name__}.user_of",
            "hogline.trusted_proxies": "127.0.0.0/8",
            "hogline.url_query": "drop",
            "pyramid.includes": "hogline.interceptors.pyramid",
        }
        with Configurator(settings=settings) as config:
            add(config, "/teapot", raising(httpexceptions.HTTPConflict()))
            add(config, "/ignored", raising(DomainError()))
            with serving(config.make_wsgi_app(), posthog, sink) as site:
                site.get("/teapot?a=1", {"X-Forwarded-For": "198.51.100.7"})
                site.get("/ignored")
                [event] = site.events
        assert exception_of(event) == ("HTTPConflict", True, 409)
        assert (event.distinct_id, event.properties["$ip"]) == ("user-7", "198.51.100.7")
        assert event.properties["$current_url"] == "http://shop.example/teapot"

    @pytest.mark.parametrize(
        ("settings", "error"),
        [({"hogline.colour": "red"}, TypeError), ({"hogline.url_query": "eat"}, SettingsError)],
    )
    def test_what_cannot_work_is_said_at_the_start(self, settings, error):
        """An option that does not exist, a value that cannot work."""
        with pytest.raises(error), Configurator(settings=settings) as config:
            config.include("hogline.interceptors.pyramid")

    def test_a_second_interceptor_is_ignored(self, config, posthog, caplog):
        """It is ignored with a warning, and without a conflict."""
        PostHogInterceptor(config, client=posthog, capture_exceptions=True)
        PostHogInterceptor(config, client=posthog, capture_exceptions=True)
        try:
            config.commit()
        except ConfigurationConflictError as conflict:
            pytest.fail(str(conflict))
        assert [record for record in caplog.records if "has an interceptor already" in record.message]
