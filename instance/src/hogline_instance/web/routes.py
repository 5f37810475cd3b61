"""The routes of the API, and how the routes of features become those of the app.

A project's path is served under `/api/projects/{id}/` and `/api/environments/{id}/`, with and without
the trailing slash: a redirect from one form to the other would make clients drop their Authorization
header. Source: docs/internals/management-api.md#conventions.
"""

import re
from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute

from hogline_instance.exceptions import StoreError
from hogline_instance.web.errors import RESPONSES, ApiError, explain_validation
from hogline_instance.web.refusals import refusal_of

__all__ = ["ApiRoute", "ProjectRoutes", "add_route", "api_router", "join_routers"]

_PREFIX = "/api"
_PROJECTS = f"^{_PREFIX}/projects/"
_PROJECTS_OR_ENVIRONMENTS = f"^{_PREFIX}/(?:projects|environments)/"


class ApiRoute(APIRoute):
    """A route that answers all forms of its path, and whose errors have PostHog's form."""

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        super().__init__(path, endpoint, **options)
        pattern = self.path_regex.pattern.removesuffix("$").removesuffix("/") + "/?$"
        self.path_regex = re.compile(pattern.replace(_PROJECTS, _PROJECTS_OR_ENVIRONMENTS))

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Wrap FastAPI's handler."""
        handler = super().get_route_handler()

        async def guarded(request: Request) -> Response:
            try:
                return await handler(request)
            except ApiError as error:
                return error.response()
            except RequestValidationError as error:
                return explain_validation(error).response()
            except StoreError as error:
                return ApiError(503, "server_error", "store_unavailable", str(error)[:1_000]).response()
            except Exception as error:
                if (refusal := refusal_of(error, request)) is None:
                    raise
                return refusal.response()

        return guarded


def api_router(tag: str, **options: Any) -> APIRouter:
    """Return a router of paths below `/api`; *tag* names them in the OpenAPI schema."""
    return APIRouter(prefix=_PREFIX + options.pop("prefix", ""), route_class=ApiRoute, tags=[tag], **options)


def join_routers(*routers: APIRouter) -> APIRouter:
    """Return one router with the routes of *routers*.

    Each route is taken as it is. `include_router` would build it again, at the app's first request
    in recent versions of FastAPI, which took a second of the processor for the routes of all
    features.
    """
    return APIRouter(routes=[route for router in routers for route in router.routes])


class ProjectRoutes:
    """Collects the routes of one feature in `router`; *tag* names them in the OpenAPI schema.

    Add a fixed path such as `/cohorts/values/` before `/cohorts/{cohort_id}/`: the first match
    counts.
    """

    def __init__(self, tag: str) -> None:
        self.router = api_router(tag)

    def add(self, method: str, path: str, handler: Callable[..., Any], *, status: int = 200, model: Any = None) -> None:
        """Serve *path*, such as `/cohorts/{cohort_id}/`, with *handler*."""
        add_route(self.router, method, f"/projects/{{project_id}}{path}", handler, status=status, model=model)


def add_route(
    router: APIRouter,
    method: str,
    path: str,
    handler: Callable[..., Any],
    *,
    status: int = 200,
    model: Any = None,
) -> None:
    """Serve *path*, such as `/users/@me/`, with *handler*."""
    router.add_api_route(
        path,
        handler,
        methods=[method],
        status_code=status,
        response_model=model,
        responses=RESPONSES if status != 204 else None,
    )
