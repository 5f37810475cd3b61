"""These tests show the promises that are special to Ellar.

They cover global interceptors that routes replace, guards, identities, and classes that are
injected.
"""

from contextlib import AbstractContextManager
from typing import Any

import pytest

pytest.importorskip("ellar", reason="in an environment of its own: ./dev frameworks ellar")

from ellar.app import App, AppFactory
from ellar.auth import UserIdentity
from ellar.common import EllarInterceptor, GuardCanActivate, ModuleRouter, UseGuards, UseInterceptors
from ellar.core.conf import Config
from ellar.core.exceptions import as_exception_handler
from ellar.core.middleware import Middleware
from ellar.di import injectable
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.responses import PlainTextResponse

from hogline.interceptors.ellar import PostHogInterceptor
from tests.interceptors.apps.contract import DomainError
from tests.support.behaviours import shows
from tests.support.serving import VISITOR, now, serving_asgi
from tests.support.sink import exception_of, person_of


@pytest.fixture
def serve(posthog, sink):
    """Return a function that serves routes, with the interceptor as its caller registers it."""

    def serve(shop: ModuleRouter, *interceptors: Any, **config: Any) -> AbstractContextManager[Any]:
        app = AppFactory.create_app(routers=[shop], config_module=config)
        app.use_global_interceptors(*(interceptors or [PostHogInterceptor(client=posthog, capture_exceptions=True)]))
        return serving_asgi(app, posthog, sink)

    return serve


class Other(EllarInterceptor):
    """An interceptor of the app's own."""

    async def intercept(self, context: Any, next_interceptor: Any) -> Any:
        return await next_interceptor()


class PassesOn(BaseHTTPMiddleware):
    async def dispatch(self, request: Any, call_next: Any) -> Any:
        return await call_next(request)


@as_exception_handler(DomainError)
async def answer(context: Any, error: DomainError) -> PlainTextResponse:
    return PlainTextResponse(f"handled for {now()}", error.status)


def one_exception(site, sink):
    """Wait for it: a server may close the connection before the app has let go of the exception."""
    sink.wait_until(lambda: site.exceptions)
    [event] = site.exceptions
    return event


def raising(error: Exception, *decorators: Any, path: str = "/fails") -> ModuleRouter:
    shop = ModuleRouter("/shop")

    async def fails() -> None:
        raise error

    for decorate in decorators:
        fails = decorate(fails)
    shop.get(path)(fails)
    return shop


@shows("ellar-route-interceptors")
@pytest.mark.parametrize("decorators", [(), (UseInterceptors(Other()),)], ids=["global", "own"])
@pytest.mark.parametrize(
    ("error", "expected", "body"),
    [
        (ValueError("boom"), ("ValueError", False, 500), None),
        (DomainError(503), ("DomainError", True, 503), b"handled for alice"),
    ],
)
@pytest.mark.parametrize("between", [False, True], ids=["bare", "task-between"])
def test_a_route_with_an_interceptor_of_its_own_is_seen(serve, sink, decorators, error, expected, body, between):
    """A route's interceptor replaces the global ones.

    Handlers run as the visitor, and `BaseHTTPMiddleware` hides nothing of the others.
    """
    if between and decorators and body:
        pytest.skip("what is answered in another task is seen by the interceptor, which this route has replaced")
    layers = [Middleware(PassesOn)] if between else []
    config = {"EXCEPTION_HANDLERS": [answer], "MIDDLEWARE": [*layers, *Config().MIDDLEWARE]}
    with serve(raising(error, *decorators), **config) as site:
        answered = site.get("/shop/fails", VISITOR)
        event = one_exception(site, sink)
    assert answered.status == expected[2]
    assert body is None or answered.body == body
    assert (exception_of(event), person_of(event)) == (expected, "alice")
    assert event.properties["$request_route"] == "/shop/fails"


def test_guards_belong_to_the_visitor_and_their_mistakes_are_seen(serve, posthog, sink):
    """Guards run before interceptors, inside of the layer around the app.

    A guard's refusal is no mistake.
    """

    class Guard(GuardCanActivate):
        async def can_activate(self, context: Any) -> bool:
            posthog.capture("guarded")
            if context.switch_to_http_connection().get_request().query_params.get("fails"):
                raise LookupError("a guard's mistake")
            return False

    shop = ModuleRouter("/")

    @shop.get("/guarded")
    @UseGuards(Guard())
    async def guarded() -> str:
        return "never"

    with serve(shop) as site:
        assert site.get("/guarded", VISITOR).status == 403
        assert site.get("/guarded?fails=1", VISITOR).status == 500
        error = one_exception(site, sink)
        assert [person_of(event) for event in site.events if event.event == "guarded"] == ["alice", "alice"]
    assert (exception_of(error), person_of(error)) == (("LookupError", False, 500), "alice")


@shows("validation-errors")
def test_validation_of_requests_is_the_clients(serve):
    """A 422 is no event.

    A response that breaks its declared schema is answered with 422 too, and is no event either.
    """
    shop = ModuleRouter("/")

    @shop.get("/number")
    async def number(number: int) -> str:
        return str(number)

    @shop.get("/broken", response=int)
    async def broken() -> Any:
        return "no number"

    with serve(shop) as site:
        assert site.get("/number?number=x", VISITOR).status == 422
        assert site.get("/broken", VISITOR).status == 422
        assert site.events == []


def test_an_authenticated_identity_wins_over_the_header(serve, posthog):
    """The identity that a guard found; before it, the header's."""

    class Guard(GuardCanActivate):
        async def can_activate(self, context: Any) -> bool:
            posthog.capture("before")
            context.user = UserIdentity(id="user-7", auth_type="test")
            return True

    shop = ModuleRouter("/")

    @shop.get("/account")
    @UseGuards(Guard())
    async def account() -> str:
        posthog.capture("after")
        return "ok"

    with serve(shop) as site:
        assert site.get("/account", VISITOR).status == 200
        assert [(event.event, event.distinct_id) for event in site.events] == [("before", "alice"), ("after", "user-7")]


def test_a_class_may_be_registered_and_injected(serve, posthog, sink):
    """Ellar makes the interceptor, with the arguments that its `__init__` requires.

    This holds in the configuration as well as on the app.
    """

    @injectable
    class Analytics(PostHogInterceptor):
        def __init__(self, app: App) -> None:
            super().__init__(client=posthog, capture_exceptions=True, properties=lambda _: {"app": type(app).__name__})

    with serve(raising(ValueError("boom")), Analytics) as site:
        site.get("/shop/fails", VISITOR)
        event = one_exception(site, sink)
    assert (exception_of(event), event.properties["app"]) == (("ValueError", False, 500), "App")
    app = AppFactory.create_app(
        routers=[raising(ValueError("boom"))], config_module={"GLOBAL_INTERCEPTORS": [Analytics]}
    )
    with serving_asgi(app, posthog, sink) as site:
        site.get("/shop/fails", VISITOR)
        sink.wait_until(lambda: len(site.exceptions) == 2)


def test_apps_of_one_process_keep_to_themselves(serve, posthog, sink):
    """An app without the interceptor has none."""
    with serve(raising(ValueError("boom"))):
        bare = AppFactory.create_app(routers=[raising(ValueError("boom"))])
        with serving_asgi(bare, posthog, sink) as site:
            assert site.get("/shop/fails", VISITOR).status == 500
            assert site.events == []
