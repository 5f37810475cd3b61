"""Every event names the right person and the right address.

The tests cover helpers for signed-in users, headers that anybody can write, and proxies.
"""

import json
import runpy
import time
from ipaddress import ip_network
from urllib.parse import quote

import flask
import flask_login
import pytest
from starlette.applications import Starlette
from starlette.authentication import AuthCredentials, AuthenticationBackend, BaseUser, SimpleUser
from starlette.middleware import Middleware
from starlette.middleware.authentication import AuthenticationMiddleware
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from werkzeug.middleware.proxy_fix import ProxyFix
from werkzeug.test import Client

from hogline import SettingsError
from hogline.interceptors.common.options import make_policy
from hogline.interceptors.flask import PostHogInterceptor as FlaskInterceptor
from hogline.interceptors.starlette import PostHogInterceptor as StarletteInterceptor
from hogline.interceptors.users.flask_login import signed_in_user as flask_user
from hogline.interceptors.users.starlette_auth import signed_in_user as starlette_user
from hogline.interceptors.wsgi import PostHogInterceptor as WsgiInterceptor
from hogline.testing import recording
from tests.support.behaviours import shows
from tests.support.servers import ROOT
from tests.support.serving import VISITOR, serving, serving_asgi
from tests.support.sink import person_of

STRANGER = {"X-POSTHOG-DISTINCT-ID": "chosen by a stranger"}


@pytest.fixture
def posthog():
    """A client that records, as in an app's own tests."""
    with recording() as client:
        yield client


@pytest.fixture
def flask_site(posthog, sink):
    """A Flask app with Flask-Login, the interceptor with or without the helper."""

    def build(**options):
        app = flask.Flask(__name__)
        app.secret_key = "of the test"
        manager = flask_login.LoginManager(app)
        loads = []

        class User(flask_login.UserMixin):
            def __init__(self, identity):
                self.id = identity

        @manager.user_loader
        def load(identity):
            loads.append(identity)
            return User(identity)

        @app.get("/login")
        def login():
            flask_login.login_user(User("alice"))
            posthog.capture("logged in")
            return "in"

        @app.get("/quiet")
        def quiet():
            posthog.capture("quiet")
            return str(vars(flask.globals.request_ctx._get_current_object())["_session"].accessed)

        @app.get("/asks")
        def asks():
            assert flask_login.current_user.is_authenticated
            posthog.capture("asks")
            return "asks"

        @app.get("/logout")
        def logout():
            flask_login.logout_user()
            posthog.capture("logged out")
            return "out"

        app.loads = loads
        FlaskInterceptor(app, client=posthog, **options)
        return app

    return build


def cookie_of(answer):
    return {"Cookie": answer.header("Set-Cookie").partition(";")[0]}


def test_flask_logins_user_is_who_acts(flask_site, posthog, sink):
    """The helper names the user who is signed in, whether or not the app read it, and nobody after
    sign-out.

    It wins over the header, loads nobody, and leaves no trace in the session.
    """
    app, plain = flask_site(distinct_id=flask_user), flask_site()
    with serving(app, posthog, sink) as site, serving(plain, posthog, sink) as bare:
        signed_in = cookie_of(site.get("/login"))
        loads = len(app.loads)
        quiet = site.get("/quiet", signed_in | STRANGER)
        assert len(app.loads) == loads
        assert quiet.headers == bare.get("/quiet", signed_in | STRANGER).headers
        assert quiet.body == b"False"  # the session does not know that it was read
        site.get("/asks", signed_in)
        site.get("/logout", signed_in)
        site.get("/quiet")
        site.get("/quiet", STRANGER)
    told = [
        (event.event, event.distinct_id if event.properties.get("$process_person_profile") is not False else None)
        for event in posthog.events
    ]
    assert told == [
        ("logged in", "alice"), ("quiet", "alice"), ("quiet", "chosen by a stranger"), ("asks", "alice"), ("logged out", None), ("quiet", None),
        ("quiet", "chosen by a stranger"),
    ]  # fmt: skip


def test_flask_logins_helper_outside_a_request_knows_nobody():
    """A thread, a script."""
    assert flask_user(None) is None


class Member(BaseUser):
    """A user with an identity of its own."""

    is_authenticated = True
    display_name = "Alice"
    identity = "user-1"


class Backend(AuthenticationBackend):
    """Says who it is by a header."""

    async def authenticate(self, connection):
        known = {"member": Member(), "simple": SimpleUser("simon")}.get(connection.headers.get("x-user"))
        return (AuthCredentials(["authenticated"]), known) if known is not None else None


def test_starlettes_authenticated_user_is_who_acts(posthog, sink):
    """Its identity, or the name of one that has none; the header only where nobody is signed in."""

    async def visit(request):
        posthog.capture("visited")
        return PlainTextResponse("ok")

    app = Starlette(routes=[Route("/", visit)], middleware=[Middleware(AuthenticationMiddleware, backend=Backend())])
    app.add_middleware(StarletteInterceptor, client=posthog, distinct_id=starlette_user)
    with serving_asgi(app, posthog, sink) as site:
        for headers in ({"X-User": "member"} | STRANGER, {"X-User": "simple"}, STRANGER, {}):
            assert site.get("/", headers).status == 200
    assert [event.distinct_id for event in posthog.events[:3]] == ["user-1", "simon", "chosen by a stranger"]
    assert person_of(posthog.events[3]) is None


@pytest.fixture
def events_with(posthog, sink):
    """Return the event of a request with *headers* to an app whose interceptor has *options*."""

    def ask(headers, path="/", **options):
        def app(environ, start_response):
            posthog.capture("visited")
            start_response("200 OK", [("Content-Length", "0")])
            return [b""]

        with serving(WsgiInterceptor(app, client=posthog, **options), posthog, sink) as site:
            assert site.get(path, headers).status == 200
        return posthog.events[-1]

    return ask


def test_strangers_choose_nobody_where_identity_headers_are_off(events_with):
    """Session and window, which say which visit, are still read."""
    event = events_with(VISITOR, identity_headers=False)
    assert person_of(event) is None
    assert (event.properties["$session_id"], event.properties["$window_id"]) == ("session-a", "window-a")


def cookie(*, state="identified", idle_s=60, age_s=3600, consent=""):
    """Return the header of a browser with posthog-js, *idle_s* after its last activity."""
    now_ms = time.time() * 1000
    stored = {
        "distinct_id": "alice",
        "$user_state": state,
        "$sesid": [now_ms - idle_s * 1000, "from-cookie", now_ms - age_s * 1000],
    }
    return {"Cookie": f"a=b; odd[name]=1; ph_phc_testing_posthog={quote(json.dumps(stored))}{consent}"}


# Cookies are made when their test runs: times that were taken when pytest collected the tests may
# be an hour old by then.
@pytest.mark.parametrize(
    ("browser", "headers", "options", "person", "session"),
    [
        ({}, {}, {}, "alice", "from-cookie"),
        ({"state": "anonymous"}, {}, {}, None, "from-cookie"),
        ({"idle_s": 2000}, {}, {}, "alice", None),
        ({"idle_s": 2000}, {}, {"cookie_idle_seconds": 3600}, "alice", "from-cookie"),
        ({"age_s": 90_000}, {}, {}, "alice", None),
        ({"consent": "; __ph_opt_in_out_phc_testing=0"}, {}, {}, None, None),
        ({"consent": "; __ph_opt_in_out_phc_testing=1"}, {}, {}, "alice", "from-cookie"),
        ({}, {"X-POSTHOG-SESSION-ID": "s1"}, {}, None, "s1"),
        ({}, STRANGER, {}, "chosen by a stranger", None),
        ({}, {}, {"identity_headers": False}, None, "from-cookie"),
        ({}, {}, {"read_cookie": False}, None, None),
        ({}, {}, {"distinct_id": lambda _: "bob"}, "bob", "from-cookie"),
    ],
    ids=lambda value: ",".join(map(str, value)) if isinstance(value, dict) else "",
)
def test_the_cookie_counts_where_no_header_came(events_with, browser, headers, options, person, session):
    """It gives an identified person, and a session that is neither idle nor old, unless consent was
    refused.

    Source: docs/internals/capture-protocol.md#tracing-headers.
    """
    event = events_with(cookie(**browser) | headers, **{"read_cookie": True, **options})
    assert person_of(event) == person
    assert event.properties.get("$session_id") == session


@shows("visitor-address")
@pytest.mark.parametrize(
    ("options", "headers", "ip"),
    [
        ({}, {"X-Forwarded-For": "198.51.100.1"}, "198.51.100.1"),
        (
            {"address_header": "forwarded"},
            {"Forwarded": 'for="[2001:db8::1]:80"', "X-Forwarded-For": "6.6.6.6"},
            "2001:db8::1",
        ),
        ({"address_header": "X-Real-IP"}, {"X-Real-IP": "198.51.100.1", "X-Forwarded-For": "6.6.6.6"}, "198.51.100.1"),
        ({"address_header": "cf-connecting-ip"}, {"CF-Connecting-IP": "198.51.100.1"}, "198.51.100.1"),
        (
            {"address_header": "cf-connecting-ip", "trusted_proxies": ["127.0.0.0/8"]},
            {"CF-Connecting-IP": "198.51.100.1"},
            "198.51.100.1",
        ),
        (
            {"address_header": "cf-connecting-ip", "trusted_proxies": ["10.0.0.0/8"]},
            {"CF-Connecting-IP": "6.6.6.6"},
            "127.0.0.1",
        ),
        ({"address_header": "x-real-ip", "trusted_proxies": 0}, {"X-Real-IP": "6.6.6.6"}, "127.0.0.1"),
        ({"address_header": "x-real-ip", "trusted_proxies": 1}, {"X-Real-IP": "garbage"}, "127.0.0.1"),
        ({"trusted_proxies": 1}, {"X-Forwarded-For": "6.6.6.6, 198.51.100.1"}, "198.51.100.1"),
    ],
    ids=str,
)
def test_the_address_is_taken_from_the_header_that_was_named(events_with, options, headers, ip):
    """Only from that one, and only as far as proxies are trusted."""
    assert events_with(headers, **options).properties["$ip"] == ip


def test_parameters_can_be_named_secret(events_with):
    """The names are added to the default list.

    Paths hide segments with a secret's shape.
    """
    event = events_with({}, "/reset/eyJhbGciOi.eyJzdWIi.sig?Order-Ref=7&q=1", secret_parameters=["order_ref"])
    assert event.properties["$current_url"] == "http://shop.example/reset/redacted?Order-Ref=redacted&q=1"
    assert event.properties["$request_path"] == "/reset/redacted"


def test_a_url_can_be_kept_as_it_is(events_with):
    """`url_query="keep"`."""
    event = events_with({}, "/reset/eyJhbGciOi.eyJzdWIi.sig?token=7", url_query="keep")
    assert event.properties["$current_url"] == "http://shop.example/reset/eyJhbGciOi.eyJzdWIi.sig?token=7"


@pytest.mark.parametrize(
    "options",
    [
        {"address_header": "x-client-ip"}, {"address_header": 1}, {"cookie_idle_seconds": 59}, {"cookie_idle_seconds": 36_001},
        {"cookie_idle_seconds": True}, {"secret_parameters": [1]},
    ],
    ids=str,
)  # fmt: skip
def test_a_value_that_cannot_work_is_an_error(options):
    """The error is raised where the interceptor is made."""
    with pytest.raises(SettingsError):
        make_policy("wsgi", options)


class TestBehindAProxy:
    """The docs' example: a proxy names the user, and a visitor who comes without it cannot."""

    @pytest.fixture
    def ask(self, sink, monkeypatch):
        monkeypatch.setenv("HOGLINE_PROJECT_TOKEN", "phc_example")
        monkeypatch.setenv("HOGLINE_HOST", sink.url)
        example = runpy.run_path(str(ROOT / "examples/behind_auth_proxy.py"))
        app, posthog = example["app"], example["posthog"]
        app.view_functions["checkout"].__globals__["PROXIES"][:] = [ip_network("127.0.0.1/32")]

        def ask(headers, peer="127.0.0.1", *, fixed=False):
            client = ProxyFix(app.wsgi_app) if fixed else app.wsgi_app
            answer = Client(client).post(
                "/checkout", headers={**STRANGER, **headers}, environ_overrides={"REMOTE_ADDR": peer}
            )
            assert answer.status_code == 200
            posthog.flush()
            return person_of(sink.events[-1])

        yield ask
        posthog.shutdown(5)

    def test_the_proxys_word_counts(self, ask):
        """The proxy's header is not ours.

        This also holds where ProxyFix has put the visitor's address in its place.
        """
        named = {"X-Forwarded-User": "alice@shop.example", "X-Forwarded-For": "203.0.113.9"}
        assert ask(named) == "alice@shop.example"
        assert ask(named, fixed=True) == "alice@shop.example"
        assert ask({}) is None

    def test_nobody_elses_does(self, ask):
        """The header is ignored from an address that is no proxy's, also one that claims to be.

        It is ignored beside the proxy's own, too.
        """
        forged = {"X-Forwarded-User": "mallory"}
        assert ask(forged, "203.0.113.9") is None
        assert ask({**forged, "X-Forwarded-For": "127.0.0.1"}, "203.0.113.9", fixed=True) is None
        assert ask({"X-Forwarded-User": "mallory,alice@shop.example"}) is None
