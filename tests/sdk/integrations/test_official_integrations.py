"""posthog-python's integrations by name: Hogline's interceptors, with that package's arguments and
settings.
"""

import subprocess
import sys

import pytest
from celery import Celery
from flask import Flask
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient

import hogline
from hogline import SettingsError
from hogline.integrations.asgi import PosthogASGIMiddleware
from hogline.integrations.celery import PosthogCeleryIntegration
from hogline.integrations.flask import PosthogFlaskIntegration
from hogline.testing import RecordingPostHog

HEADERS = {"X-PostHog-Session-Id": "s1", "X-PostHog-Distinct-Id": "u1"}


@pytest.fixture
def client():
    made = RecordingPostHog()
    yield made
    made.shutdown()


def test_the_asgi_middleware(client):
    """Positional arguments, extra properties, and headers that are not to be trusted."""

    async def page(request):
        client.capture("seen")
        return PlainTextResponse("ok")

    async def fails(request):
        raise ValueError("no")

    inner = Starlette(routes=[Route("/", page), Route("/fails", fails), Route("/health", page)])
    app = PosthogASGIMiddleware(
        inner, client, True, lambda scope: scope["path"] != "/health", lambda scope: {"team": "a"}, capture_tracing_headers=False
    )  # fmt: skip
    browser = TestClient(app, raise_server_exceptions=False)
    for path in ("/", "/fails", "/health"):
        browser.get(path, headers=HEADERS)
    seen = [(event.event, event.distinct_id == "u1", event.properties.get("team")) for event in client.events]
    assert seen == [("seen", False, "a"), ("$exception", False, "a"), ("seen", False, None)]
    assert client.events[1].properties["$exception_source"] == "asgi.middleware"


@pytest.mark.parametrize("captures", [True, False])
def test_the_flask_integration_follows_its_client(captures):
    """`capture_exceptions=None`: as the client's own option says."""
    client = RecordingPostHog(capture_exceptions=captures)
    app = Flask("official")
    app.logger.disabled = True
    PosthogFlaskIntegration(app, client=client, extra_properties=lambda request: {"team": "a"})

    @app.get("/fails")
    def fails():
        raise ValueError("no")

    app.test_client().get("/fails", headers=HEADERS)
    assert [(event.event, event.distinct_id, event.properties["team"]) for event in client.events] == [
        ("$exception", "u1", "a")
    ] * captures
    client.shutdown()


DJANGO = """
import django
from django.conf import settings
from hogline.testing import RecordingPostHog
client = RecordingPostHog()
settings.configure(
    ROOT_URLCONF=__name__, ALLOWED_HOSTS=["*"], SECRET_KEY="x", LOGGING_CONFIG=None,
    MIDDLEWARE=["hogline.integrations.django.PosthogContextMiddleware"],
    POSTHOG_MW_CLIENT=client, POSTHOG_MW_EXTRA_TAGS=lambda request: {"team": "a"},
    POSTHOG_MW_REQUEST_FILTER=lambda request: request.path != "/health", **MORE,
)
django.setup()
from django.core.exceptions import ImproperlyConfigured
from django.http import HttpResponse
from django.test import Client
from django.urls import path
def fails(request):
    client.capture("seen")
    raise ValueError("no")
urlpatterns = [path("fails", fails), path("health", fails)]
import logging
logging.disable(logging.CRITICAL)
try:
    for name in ("/fails", "/health"):
        Client(raise_request_exception=False).get(name, headers={"X-PostHog-Distinct-Id": "u1"})
    print([(event.event, event.distinct_id == "u1", event.properties.get("team")) for event in client.events])
except ImproperlyConfigured as error:
    print(error)
"""


@pytest.mark.parametrize(
    ("more", "printed"),
    [
        ("{}", "[('seen', True, 'a'), ('$exception', True, 'a'), ('seen', False, None)]"),
        ("{'POSTHOG_MW_CAPTURE_EXCEPTIONS': False}", "[('seen', True, 'a'), ('seen', False, None)]"),
        (
            "{'POSTHOG_MW_CAPTURE_TRACING_HEADERS': False}",
            "[('seen', False, 'a'), ('$exception', False, 'a'), ('seen', False, None)]",
        ),
        ("{'POSTHOG_MW_TAG_MAP': len}", "settings.POSTHOG_MW_TAG_MAP has no counterpart"),
    ],
)
def test_the_django_middleware_reads_its_settings(more, printed):
    """Their older names work too.

    A setting without a counterpart stops the start.
    """
    run = subprocess.run(
        [sys.executable, "-c", f"MORE = {more}\n{DJANGO}"], capture_output=True, text=True, timeout=60, check=False
    )
    assert printed in run.stdout, run.stdout + run.stderr


def test_the_celery_integration(client):
    """Installed by `instrument()`, and taken away again; options without a counterpart raise."""
    app = Celery("official", broker="memory://", backend="cache+memory://")
    app.conf.task_always_eager = True

    @app.task
    def fails():
        raise ValueError("no")

    integration = PosthogCeleryIntegration(client=client)
    integration.instrument()
    integration.instrument()
    with hogline.new_context(fresh=True):
        hogline.identify_context("u1")
        fails.delay()
    integration.shutdown()
    [event] = client.events
    assert (event.event, event.distinct_id) == ("$exception", "u1")
    assert event.properties["$exception_source"] == "celery.task_failure"
    with pytest.raises(SettingsError, match="sends no life cycle events of tasks"):
        PosthogCeleryIntegration(capture_task_lifecycle_events=True)
