"""The app on Django under ASGI."""

from django.core.handlers.asgi import ASGIHandler
from django.urls import path

from tests.interceptors.apps import contract, django_project
from tests.interceptors.apps.django_views import AsyncViews

django_project.configure()
build = django_project.builder(
    ASGIHandler, lambda client: [path(route, view) for route, view in AsyncViews(client).routes()]
)
app = contract.serve_asgi(build, contract.of_request)
