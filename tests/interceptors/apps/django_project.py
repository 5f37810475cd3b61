"""The app on Django: one project for every option set, served by WSGI and by ASGI, its views plain,
REST framework's or Ninja's.

A project's settings belong to its process. Middleware reads them when a handler is made: each
option set has a handler.
"""

import logging
from collections.abc import Callable, Iterable
from typing import Any

import django
from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.test import override_settings

from hogline import PostHog
from tests.interceptors.apps import contract
from tests.interceptors.apps.contract import DomainError

INTERCEPTOR = "hogline.interceptors.django.PostHogInterceptor"
ANSWERING = f"{__name__}.Answering"


def configure(**more: Any) -> None:
    """Make this process a Django project, whose routes `serve` puts in."""
    settings.configure(
        ALLOWED_HOSTS=["*"],
        DEBUG=False,
        SECRET_KEY="x",
        USE_TZ=True,
        LOGGING_CONFIG=None,
        ROOT_URLCONF=__name__,
        MIDDLEWARE=[],
        REST_FRAMEWORK={
            "DEFAULT_AUTHENTICATION_CLASSES": [],
            "UNAUTHENTICATED_USER": None,
            "EXCEPTION_HANDLER": f"{__name__}.answer_with_status",
        },
        **more,
    )
    django.setup()
    logging.getLogger("django").setLevel(logging.CRITICAL)


urlpatterns: list[Any] = []


def builder(make_handler: Callable[[], Any], routes: Callable[[PostHog], Iterable[Any]]) -> contract.Build:
    """Return a `build` for the contract. The routes are one client's: that of the process."""

    def build(client: PostHog, options: dict[str, Any] | None) -> Any:
        if not urlpatterns:
            urlpatterns.extend(routes(client))
        installed = contract.installs(options)
        middleware = [INTERCEPTOR for _ in installed]
        once = {"client": client, **installed[0]} if installed else {}
        with override_settings(MIDDLEWARE=[*middleware, ANSWERING], HOGLINE=once):
            return make_handler()

    return build


class Answering:
    """Middleware that answers domain errors. It is listed last, so Django asks it first."""

    sync_capable = async_capable = True

    def __init__(self, get_response: Any) -> None:
        self.get_response = get_response
        if iscoroutinefunction(get_response):
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> Any:
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, error: Exception) -> HttpResponse | None:
        return HttpResponse("handled", status=error.status) if isinstance(error, DomainError) else None


def answer_with_status(error: Exception, context: Any) -> Any:
    """REST framework's handler: the default one's answers, and one for domain errors."""
    from rest_framework.views import exception_handler

    if isinstance(error, DomainError):
        return HttpResponse("handled", status=error.status)
    return exception_handler(error, context)
