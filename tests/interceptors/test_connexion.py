"""These tests show the promises that are special to Connexion.

Both flavours answer every exception themselves; further tests cover positions, base paths, and the
last resort.
"""

import logging

import connexion
import flask
import pytest
from connexion.exceptions import OAuthProblem, ProblemException
from connexion.lifecycle import ConnexionResponse
from connexion.middleware import MiddlewarePosition
from connexion.resolver import Resolver
from starlette.exceptions import HTTPException

from hogline.interceptors.connexion import PostHogInterceptor
from tests.interceptors.apps.connexion_specification import specification
from tests.support.behaviours import shows
from tests.support.serving import VISITOR, serving_asgi
from tests.support.sink import exception_of, person_of


class DomainError(Exception):
    """A domain error that a registered handler answers."""


@pytest.fixture(autouse=True)
def _silent():
    logging.getLogger("connexion").setLevel(logging.CRITICAL)


@pytest.fixture(params=[connexion.AsyncApp, connexion.FlaskApp], ids=["async", "flask"])
def flavour(request):
    return request.param


@pytest.fixture
def serve(flavour, posthog, sink):
    """Return a context manager that serves an app with a failing and a working operation, below
    /api.
    """

    def fail(what):
        match what:
            case "plain":
                raise ValueError
            case "domain":
                raise DomainError
            case "problem":
                raise ProblemException(status=503, title="sorry")
            case "unauthorised":
                raise OAuthProblem
            case "http":
                flask.abort(503) if flavour is connexion.FlaskApp else _raise(HTTPException(503))
            case "missing":
                flask.abort(404) if flavour is connexion.FlaskApp else _raise(HTTPException(404))
        return "ok"

    def capture(thing_id):
        posthog.capture("captured")
        return thing_id

    def serve(handlers=(), **options):
        app = flavour("shop")
        app.add_middleware(PostHogInterceptor, MiddlewarePosition.BEFORE_EXCEPTION, client=posthog, **options)
        for kind, handler in handlers:
            app.add_error_handler(kind, handler)
        functions = {"/fail/{what}": fail, "/things/{thing_id}": capture}
        app.add_api(specification(functions, "/api"), resolver=Resolver(functions.__getitem__))
        return serving_asgi(app, posthog, sink, lifespan="on")

    return serve


def _raise(error):
    raise error


def sorry(request, error):
    return ConnexionResponse(status_code=507, body="sorry")


@shows("registered-handlers", "swallowed-errors")
@pytest.mark.parametrize(
    ("what", "status", "expected"),
    [
        ("plain", 500, ("ValueError", False, 500)),
        ("domain", 507, ("DomainError", True, 507)),
        ("problem", 503, ("ProblemException", True, 503)),
        ("http", 503, ("HTTPException", True, 503)),
        ("unauthorised", 401, None),
        ("missing", 404, None),
    ],
)
def test_each_is_seen_once_and_judged(serve, what, status, expected):
    """No exception escapes in either flavour.

    Connexion's own handler for every exception is the last resort.
    """
    with serve([(DomainError, sorry)], capture_exceptions=True) as site:
        assert site.get(f"/api/fail/{what}", VISITOR).status == status
        events = site.exceptions
    assert [exception_of(event) for event in events] == ([expected] if expected else [])
    for event in events:
        assert (person_of(event), event.properties["$request_route"]) == ("alice", "/api/fail/{what}")
        assert event.properties["$exception_source"] == "connexion.interceptor"


def test_a_handler_for_everything_handles(serve):
    """Only Connexion's own is the last resort."""
    with serve([(Exception, sorry)], capture_exceptions=True) as site:
        assert site.get("/api/fail/plain").status == 507
        assert [exception_of(event) for event in site.exceptions] == [("ValueError", True, 507)]


@shows("context-everywhere")
def test_operations_belong_to_the_visitor(serve):
    """In the Flask flavour operations run in a thread.

    The route is the specification's, with the API's base path.
    """
    with serve(distinct_id=lambda request: request.headers.get("x-user")) as site:
        site.get("/api/things/7", {**VISITOR, "X-User": "user-7"})
        site.get("/api/nowhere", VISITOR)
        [event] = site.events
    assert (event.distinct_id, event.properties["$session_id"]) == ("user-7", "session-a")
    assert event.properties["$request_route"] == "/api/things/{thing_id}"


def test_another_position_is_said_to_see_less(flavour, posthog, caplog):
    """Connexion's default position is inside its exception handling."""
    app = flavour("shop")
    app.add_middleware(PostHogInterceptor, client=posthog)
    app.middleware._build_middleware_stack()
    assert [record for record in caplog.records if "BEFORE_EXCEPTION" in record.message]
