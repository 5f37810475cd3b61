"""`/api/projects/{id}/cohorts/` and the people in a cohort.

Source: docs/internals/management-api.md#cohorts.
"""

from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response

from hogline_instance.cohorts.editing import Use, add_people, change_cohort, create_cohort
from hogline_instance.cohorts.people_api import add_people_routes
from hogline_instance.cohorts.records import Cohorts
from hogline_instance.cohorts.upload import people_in_csv, read_multipart
from hogline_instance.project import Project
from hogline_instance.services import Services
from hogline_instance.web.auth import Access
from hogline_instance.web.bodies import read_body, read_json_object
from hogline_instance.web.errors import method_not_allowed
from hogline_instance.web.paging import PageRange, offset_page, page_range
from hogline_instance.web.routes import ProjectRoutes
from hogline_instance.web.schemas import json_response

__all__ = ["build_router"]

_PATH = "/cohorts/{cohort_id}/"
_MAX_CSV_PEOPLE = 100_000
_Range = Annotated[PageRange, Depends(page_range)]


async def _posted(request: Request) -> dict[str, Any]:
    """Return the fields of a JSON or multipart body; an uploaded file is `csv`, as bytes."""
    content_type = request.headers.get("content-type", "")
    if not content_type.startswith("multipart/form-data"):
        return await read_json_object(request)
    parts = read_multipart(await read_body(request), content_type)
    fields: dict[str, Any] = {name: value.decode("utf-8", "replace") for name, value in parts.items() if name != "csv"}
    fields["is_static"] = fields.get("is_static", "").lower() in {"true", "1", "on"}
    return fields | ({"csv": parts["csv"]} if "csv" in parts else {})


_Posted = Annotated[dict[str, Any], Depends(_posted)]


def build_router(services: Services, access: Access, uses: Sequence[Use] = ()) -> APIRouter:
    """Return the routes. *uses* look for what else uses a cohort, which is then not deleted."""
    routes = ProjectRoutes("cohorts")
    cohorts = Cohorts(services.database)
    allowed: Any = access.project("cohort")

    def list_cohorts(
        request: Request,
        wanted: _Range,
        type: Annotated[str, Query(pattern="^(static|dynamic|)$")] = "",  # noqa: A002 - the query's name
        search: Annotated[str, Query(max_length=400)] = "",
        hide_behavioral_cohorts: bool = False,
        project: Project = allowed,
    ) -> Response:
        """List cohorts, the newest first."""
        rows = cohorts.listed(project, type, search, hides_behavioural=hide_behavioral_cohorts)
        shown = cohorts.records(project, rows[wanted.offset : wanted.offset + wanted.limit])
        return json_response(offset_page(request, wanted, shown, count=len(rows)))

    def post_cohort(body: _Posted, project: Project = allowed) -> Response:
        """Create a cohort, static or dynamic; with a file `csv` it is static."""
        with services.database.transaction() as session:
            row = create_cohort(session, project.id, body)
            if "csv" in body:
                add_people(session, row, people_in_csv(session, project.id, body["csv"]))
            cohort_id = row.id
        return cohorts.answer(project, cohort_id, 201)

    def get_cohort(cohort_id: int, project: Project = allowed) -> Response:
        """Return one cohort."""
        return cohorts.answer(project, cohort_id)

    def patch_cohort(cohort_id: int, body: _Posted, project: Project = allowed) -> Response:
        """Change a cohort; a file `csv` adds its people to a static one."""
        with cohorts.found(project, cohort_id) as (session, row):
            change_cohort(session, row, body, uses)
            if "csv" in body:
                add_people(session, row, people_in_csv(session, project.id, body["csv"]))
        return cohorts.answer(project, cohort_id)

    def delete_cohort(cohort_id: int, project: Project = allowed) -> None:  # noqa: ARG001 - the route's parameters
        """Refuse: a cohort is deleted by a change of `deleted`."""
        raise method_not_allowed(
            'Hard delete of this model is not allowed. Use a patch API call to set "deleted" to true'
        )

    routes.add("GET", "/cohorts/", list_cohorts)
    routes.add("POST", "/cohorts/", post_cohort, status=201)
    routes.add("GET", _PATH, get_cohort)
    routes.add("PATCH", _PATH, patch_cohort)
    routes.add("DELETE", _PATH, delete_cohort)
    add_people_routes(routes, services, access)
    return routes.router
