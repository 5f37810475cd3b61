"""Django REST framework and Ninja keep the promises.

So do views that switch between sync and async.
"""

import contextlib
import gc
import itertools
import types

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.wsgi import WSGIHandler
from django.http import Http404, HttpResponse, JsonResponse
from django.test import override_settings
from django.urls import path

import hogline
from tests.interceptors.apps.contract import DomainError
from tests.interceptors.apps.django_project import INTERCEPTOR
from tests.support.behaviours import shows
from tests.support.serving import VISITOR, now, serving, serving_asgi
from tests.support.sink import exception_of, person_of

PROTOCOLS = {"wsgi": (WSGIHandler, serving), "asgi": (ASGIHandler, serving_asgi)}
_numbers = itertools.count()


@pytest.fixture(params=PROTOCOLS)
def serve(request, project, posthog, sink):
    """Return a context manager that serves views, under WSGI and under ASGI."""

    @contextlib.contextmanager
    def serve(*routes, **options):
        make, serving = PROTOCOLS[request.param]
        urls = types.ModuleType("urls")
        urls.urlpatterns = list(routes)
        with override_settings(
            ROOT_URLCONF=urls,
            MIDDLEWARE=[INTERCEPTOR],
            HOGLINE={"client": posthog, "capture_exceptions": True, **options},
        ):
            with serving(make(), posthog, sink) as site:
                yield site
            gc.collect()

    return serve


class TestRestFramework:
    @pytest.fixture
    def fails(self, project):
        """Return a function that makes a view of REST framework's which raises an error."""
        from rest_framework.views import APIView

        def fails(error, handler=None):
            class View(APIView):
                def get(self, request, number):
                    raise error

                def get_exception_handler(self):
                    return handler or super().get_exception_handler()

            return path("fails/<int:number>", View.as_view())

        return fails

    @shows("drf-and-ninja")
    @pytest.mark.parametrize(
        ("make", "status", "expected"),
        [
            (lambda e: e.APIException("no"), 500, ("APIException", True, 500)),
            (lambda e: type("Away", (e.APIException,), {"status_code": 503})(), 503, ("Away", True, 503)),
            (lambda e: ValueError("boom"), 500, ("ValueError", False, 500)),
            (lambda e: DomainError(507), 507, ("DomainError", True, 507)),
            (lambda e: e.NotFound(), 404, None),
            (lambda e: e.ValidationError("no"), 400, None),
            (lambda e: e.Throttled(3), 429, None),
            (lambda e: e.NotAuthenticated(), 403, None),
            (lambda e: Http404(), 404, None),
        ],
        ids=["500", "503", "plain", "answered", "not-found", "invalid", "throttled", "not-authenticated", "django-404"],
    )
    def test_each_is_judged_by_its_status(self, serve, fails, make, status, expected):
        """APIException 500 and 503 are one event each, and the client's mistakes are none.

        The project's handler answers.
        """
        from rest_framework import exceptions

        with serve(fails(make(exceptions))) as site:
            assert site.get("/fails/7", VISITOR).status == status
            events = site.exceptions
        assert [exception_of(event) for event in events] == ([expected] if expected else [])
        for event in events:
            assert (person_of(event), event.properties["$request_route"]) == ("alice", "/fails/<int:number>")

    @shows("drf-and-ninja")
    def test_a_views_own_handler_hides_nothing(self, serve, fails):
        """It answers instead of the project's; judged by the status that it gave."""

        def handler(error, context):
            from rest_framework.response import Response

            return Response({"detail": "own"}, status=507)

        with serve(fails(LookupError("x"), handler)) as site:
            assert site.get("/fails/7").status == 507
            [event] = site.exceptions
        assert exception_of(event) == ("LookupError", True, 507)


class TestNinja:
    @pytest.fixture
    def api(self, project):
        from ninja import NinjaAPI

        return NinjaAPI(urls_namespace=f"api-{next(_numbers)}", docs_url=None, openapi_url=None)

    @shows("validation-errors", "drf-and-ninja")
    @pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
    def test_each_is_judged_by_its_status(self, serve, api, is_async):
        """HttpError(503), an exception with a registered handler, and an ordinary one are events.

        404, 401 and bad requests are none.
        """
        from ninja import Router
        from ninja.errors import HttpError

        @api.exception_handler(DomainError)
        def answer(request, error):
            return api.create_response(request, {"detail": now()}, status=error.status)

        errors = {
            "away": lambda: HttpError(503, "no"),
            "absent": lambda: HttpError(404, "no"),
            "domain": lambda: DomainError(507),
            "plain": lambda: ValueError("boom"),
        }
        router = Router()
        if is_async:

            @router.get("/{kind}")
            async def fails(request, kind: str, number: int = 0):
                raise errors[kind]()  # noqa: RSE102 - it makes the exception

            @router.get("/closed/{kind}", auth=lambda request: None)
            async def closed(request, kind: str):
                """Answer nobody."""
        else:

            @router.get("/{kind}")
            def fails(request, kind: str, number: int = 0):
                raise errors[kind]()  # noqa: RSE102 - it makes the exception

            @router.get("/closed/{kind}", auth=lambda request: None)
            def closed(request, kind: str):
                """Answer nobody."""

        api.add_router("/v1", router)
        with serve(path("api/", api.urls)) as site:
            asked = ("away", "absent", "domain", "plain", "away?number=x", "closed/x")
            statuses = [site.get(f"/api/v1/{kind}", VISITOR).status for kind in asked]
            events = site.exceptions
        assert statuses == [503, 404, 507, 500, 422, 401]
        assert sorted(exception_of(event) for event in events) == [
            ("DomainError", True, 507),
            ("HttpError", True, 503),
            ("ValueError", False, 500),
        ]
        assert {person_of(event) for event in events} == {"alice"}
        assert {event.properties["$request_route"] for event in events} == {"/api/v1/<kind>"}

    @shows("validation-errors")
    def test_a_response_that_breaks_its_schema_is_ours(self, serve, api):
        """The server's own mistake, 500."""
        from ninja import Schema

        class Answer(Schema):
            number: int

        @api.get("/broken", response=Answer)
        def broken(request):
            return {"number": "none"}

        with serve(path("", api.urls)) as site:
            assert site.get("/broken", VISITOR).status == 500
            [event] = site.exceptions
        assert exception_of(event) == ("ValidationError", False, 500)


class TestColours:
    @shows("context-everywhere")
    def test_context_goes_both_ways_between_sync_and_async(self, serve, posthog):
        """The context reaches an async view's sync part, and a sync view's async part.

        Tags set in either stay, and the next request is empty.
        """

        def say(event):
            hogline.tag(event, "said")
            posthog.capture(event)

        async def asynchronous(request):
            await sync_to_async(say)("inner")
            posthog.capture("outer")
            return JsonResponse({"who": now()})

        def synchronous(request):
            async def part():
                say("inner")

            async_to_sync(part)()
            posthog.capture("outer")
            return JsonResponse({"who": now()})

        def who(request):
            return HttpResponse(str(now()))

        with serve(path("asynchronous", asynchronous), path("synchronous", synchronous), path("who", who)) as site:
            for view in ("asynchronous", "synchronous"):
                assert site.get(f"/{view}", VISITOR).body == b'{"who": "alice"}'
                assert site.get("/who").body == b"None"
            events = site.events
        assert [event.event for event in events] == ["inner", "outer"] * 2
        assert {person_of(event) for event in events} == {"alice"}
        assert {event.properties["inner"] for event in events} == {"said"}

    @shows("swallowed-errors")
    def test_errors_are_seen_across_both_ways(self, serve):
        """Raised in the other colour, once, with the line that raised."""

        def fail():
            raise ValueError("boom")

        async def fail_soon():
            fail()

        async def asynchronous(request):
            await sync_to_async(fail)()

        def synchronous(request):
            async_to_sync(fail_soon)()

        with serve(path("asynchronous", asynchronous), path("synchronous", synchronous)) as site:
            for view in ("asynchronous", "synchronous"):
                assert site.get(f"/{view}", VISITOR).status == 500
            events = site.exceptions
        assert [exception_of(event) for event in events] == [("ValueError", False, 500)] * 2
        for event in events:
            assert event.properties["$exception_list"][0]["stacktrace"]["frames"][-1]["function"] == "fail"
