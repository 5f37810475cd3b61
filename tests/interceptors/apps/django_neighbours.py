"""Middleware that stands beside the interceptor in Django's list."""

from typing import Any

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.http import HttpRequest, HttpResponse

from tests.interceptors.apps.contract import DomainError


class Neighbour:
    """Middleware for either kind of handler that does nothing."""

    sync_capable = async_capable = True

    def __init__(self, get_response: Any) -> None:
        self.get_response = get_response
        if iscoroutinefunction(get_response):
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> Any:
        return self.get_response(request)


class SyncOnly(Neighbour):
    """Django runs it, and what stands next to it, in threads."""

    async_capable = False


class AllowsContentType(SyncOnly):
    """Answers a browser's preflight as django-cors-headers does, and allows one header."""

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response: HttpResponse = self.get_response(request)
        response["Access-Control-Allow-Origin"] = "https://shop.example"
        response["Access-Control-Allow-Headers"] = "content-type"
        return response


class Answers(Neighbour):
    """Answers domain errors."""

    def process_exception(self, request: HttpRequest, error: Exception) -> HttpResponse | None:
        return HttpResponse("answered", status=error.status) if isinstance(error, DomainError) else None


class FailsToAnswer(Neighbour):
    """Raises where it should answer."""

    def process_exception(self, request: HttpRequest, error: Exception) -> HttpResponse | None:
        raise KeyError("no answer")


class RaisesBefore(SyncOnly):
    def __call__(self, request: HttpRequest) -> HttpResponse:
        raise LookupError("before")


class RaisesAfter(SyncOnly):
    def __call__(self, request: HttpRequest) -> HttpResponse:
        self.get_response(request)
        raise LookupError("after")
