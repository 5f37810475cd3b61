"""The app on Django Ninja: the same views, each an operation of an API at the root."""

from typing import Any

from django.core.handlers.asgi import ASGIHandler
from django.http import HttpRequest, HttpResponse
from django.urls import path

from hogline import PostHog
from tests.interceptors.apps import contract, django_project
from tests.interceptors.apps.contract import DomainError
from tests.interceptors.apps.django_views import AsyncViews


def routes(client: PostHog) -> list[Any]:
    # As in a project: with the URLconf, and so not before the first request.
    from ninja import NinjaAPI
    from ninja.errors import HttpError

    api = NinjaAPI(urls_namespace=f"shop-{id(client)}", docs_url=None, openapi_url=None)
    views = AsyncViews(client)

    @api.exception_handler(DomainError)
    def answer(request: HttpRequest, error: DomainError) -> HttpResponse:
        return HttpResponse("handled", status=error.status)

    @api.get("/items/{item_id}")
    async def item(request: HttpRequest, item_id: str) -> HttpResponse:
        return views.item(request, item_id)

    @api.get("/handled/{status}")
    async def handled(request: HttpRequest, status: int) -> HttpResponse:
        return views.handled(request, status)

    @api.get("/http/{status}")
    async def http(request: HttpRequest, status: int) -> HttpResponse:
        raise HttpError(status, "no")

    @api.get("/validate")
    async def validate(request: HttpRequest, number: int) -> HttpResponse:
        return HttpResponse("ok")

    for route, view in views.routes():
        if "<" not in route:
            operation = f"operation_{route.replace('-', '_')}"
            api.api_operation(["GET", "POST"], f"/{route}", operation_id=operation)(_plain(view))
    return [path("", api.urls)]


def _plain(view: Any) -> Any:
    """Return *view* with the one parameter that Ninja is to see."""
    import inspect

    if inspect.iscoroutinefunction(view):

        async def operation(request: HttpRequest) -> Any:
            return await view(request)

        return operation

    def synchronous(request: HttpRequest) -> Any:
        return view(request)

    return synchronous


django_project.configure()
build = django_project.builder(ASGIHandler, routes)
app = contract.serve_asgi(build, contract.of_request)
