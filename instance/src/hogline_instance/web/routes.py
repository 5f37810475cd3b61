"""The routes of a project's API.

Each path is served under `/api/projects/{id}/` and `/api/environments/{id}/`, with and without the
trailing slash: a redirect from one form to the other would make clients drop their Authorization
header. Source: docs/internals/management-api.md#conventions.
"""

from collections.abc import Callable
from typing import Any

from fastapi import APIRouter

from hogline_instance.web.errors import RESPONSES, ApiRoute

__all__ = ["ProjectRoutes", "add_both"]

_BASES = ("/projects/{project_id}", "/environments/{project_id}")


class ProjectRoutes:
    """Collects the routes of one feature in `router`; *tag* names them in the OpenAPI schema.

    Add a fixed path such as `/cohorts/values/` before `/cohorts/{cohort_id}/`: the first match
    counts.
    """

    def __init__(self, tag: str) -> None:
        self.router = APIRouter(route_class=ApiRoute, tags=[tag])

    def add(self, method: str, path: str, handler: Callable[..., Any], *, status: int = 200, model: Any = None) -> None:
        """Serve *path*, such as `/cohorts/{cohort_id}/`, with *handler*.

        Only the form under `/projects/` with the slash is in the OpenAPI schema.
        """
        for base in _BASES:
            add_both(
                self.router, method, f"{base}{path}", handler, status=status, model=model, is_listed=base == _BASES[0]
            )


def add_both(
    router: APIRouter,
    method: str,
    path: str,
    handler: Callable[..., Any],
    *,
    status: int = 200,
    model: Any = None,
    is_listed: bool = True,
) -> None:
    """Serve *path* with and without its trailing slash."""
    bare = path.rstrip("/")
    for form in (f"{bare}/", bare):
        router.add_api_route(
            form,
            handler,
            methods=[method],
            status_code=status,
            response_model=model,
            responses=RESPONSES if status != 204 else None,
            include_in_schema=is_listed and form != bare,
        )
