"""The app on Django REST framework: the same views, each behind `@api_view`."""

from typing import Any

from django.core.handlers.wsgi import WSGIHandler
from django.urls import path

from hogline import PostHog
from tests.interceptors.apps import contract, django_project
from tests.interceptors.apps.django_views import Views


def routes(client: PostHog) -> list[Any]:
    # As in a project: with the URLconf, and so not before the first request.
    from rest_framework import serializers
    from rest_framework.decorators import api_view
    from rest_framework.exceptions import APIException
    from rest_framework.request import Request
    from rest_framework.response import Response

    class Number(serializers.Serializer):
        number = serializers.IntegerField()

    def http(request: Request, status: int) -> Response:
        error = APIException("no")
        error.status_code = status
        raise error

    def validate(request: Request) -> Response:
        given = Number(data=request.GET)
        given.is_valid(raise_exception=True)
        return Response("ok")

    views = [*Views(client).routes(), ("http/<int:status>", http), ("validate", validate)]
    return [path(route, api_view(["GET", "POST"])(view)) for route, view in views]


django_project.configure()
build = django_project.builder(WSGIHandler, routes)
app = contract.serve_wsgi(build, contract.of_request)
