"""The people of a cohort over the API: listed, added, removed, calculated and copied.

Source: docs/internals/management-api.md#cohorts.
"""

import csv
import io
from typing import Annotated, Any

from fastapi import Depends, Request, Response
from sqlalchemy import delete, select

from hogline_instance.cohorts.calculation import calculate
from hogline_instance.cohorts.editing import add_people, create_static_cohort, person_uuids
from hogline_instance.cohorts.listing import people_of_cohort
from hogline_instance.cohorts.lookup import cohorts_of_person
from hogline_instance.cohorts.records import Cohorts
from hogline_instance.cohorts.tables import CohortPersonRow, CohortRow
from hogline_instance.people import find_person_by_uuid, listed_person_json, name_properties
from hogline_instance.project import Project
from hogline_instance.services import Services
from hogline_instance.web.auth import Access
from hogline_instance.web.bodies import JsonObject
from hogline_instance.web.errors import invalid_field, not_found
from hogline_instance.web.paging import PageRange, offset_page, page_range
from hogline_instance.web.routes import ProjectRoutes
from hogline_instance.web.schemas import json_response

__all__ = ["add_people_routes"]

_PATH = "/cohorts/{cohort_id}/"
_MAX_CSV_PEOPLE = 100_000
_Range = Annotated[PageRange, Depends(page_range)]


def add_people_routes(routes: ProjectRoutes, services: Services, access: Access) -> None:
    """Add the routes of the people in a cohort."""
    _add_lists(routes, services, access)
    _add_actions(routes, services, access)


def _add_lists(routes: ProjectRoutes, services: Services, access: Access) -> None:
    cohorts = Cohorts(services.database)
    allowed: Any = access.project("cohort")
    readable: Any = access.project("person")

    def get_persons(request: Request, cohort_id: int, wanted: _Range, project: Project = allowed) -> Response:
        """List the people of a cohort."""
        with cohorts.found(project, cohort_id) as (session, _):
            people = people_of_cohort(session, project.id, cohort_id, limit=wanted.limit + 1, offset=wanted.offset)
        names = name_properties(project.settings)
        results = [listed_person_json(person, names) for person in people[: wanted.limit]]
        return json_response(offset_page(request, wanted, results, count=None, has_more=len(people) > wanted.limit))

    def get_persons_csv(cohort_id: int, project: Project = allowed) -> Response:
        """Return the people of a cohort as CSV."""
        with cohorts.found(project, cohort_id) as (session, _):
            people = people_of_cohort(session, project.id, cohort_id, limit=_MAX_CSV_PEOPLE)
        text = io.StringIO()
        writer = csv.writer(text)
        writer.writerow(["person_id", "distinct_id", "name"])
        names = name_properties(project.settings)
        writer.writerows((each.uuid, (each.distinct_ids or ("",))[0], each.name(names)) for each in people)
        return Response(text.getvalue(), media_type="text/csv", headers={"X-Content-Type-Options": "nosniff"})

    def get_cohorts_of_person(person_id: str, project: Project = readable) -> Response:
        """Return the cohorts that the person `person_id` is in."""
        with services.database.session() as session:
            if find_person_by_uuid(session, project.id, person_id) is None:
                raise not_found()
            ids = cohorts_of_person(session, project.id, person_id)
            rows = session.scalars(select(CohortRow).where(CohortRow.team_id == project.id, CohortRow.id.in_(ids)))
            found = list(rows)
        return json_response({"results": cohorts.records(project, found)})

    routes.add("GET", "/persons/cohorts/", get_cohorts_of_person)
    routes.add("GET", f"{_PATH}persons/", get_persons)
    routes.add("GET", f"{_PATH}persons.csv/", get_persons_csv)


def _add_actions(routes: ProjectRoutes, services: Services, access: Access) -> None:
    cohorts = Cohorts(services.database)
    allowed: Any = access.project("cohort")
    writable: Any = access.project("cohort", "write")

    def add_persons(cohort_id: int, body: JsonObject, project: Project = allowed) -> dict[str, bool]:
        """Add the persons `person_ids` to a static cohort."""
        with cohorts.found(project, cohort_id) as (session, row):
            add_people(session, row, person_uuids(body, "person_ids"))
        return {"success": True}

    def remove_person(cohort_id: int, body: JsonObject, project: Project = allowed) -> dict[str, bool]:
        """Remove the person `person_id` from a static cohort."""
        with cohorts.found(project, cohort_id) as (session, row):
            if not row.is_static:
                raise invalid_field("is_static", "invalid_input", "This cohort is dynamic: its people are calculated.")
            [uuid] = person_uuids({"person_id": [body.get("person_id")]}, "person_id")
            session.execute(
                delete(CohortPersonRow).where(
                    CohortPersonRow.cohort_id == cohort_id, CohortPersonRow.person_uuid == uuid
                )
            )
        return {"success": True}

    def recalculate(cohort_id: int, project: Project = allowed) -> Response:
        """Calculate a dynamic cohort now."""
        with cohorts.found(project, cohort_id) as (_, row):
            is_static = row.is_static
        if not is_static:
            calculate(services.database, services.store, project.id, cohort_id)
        return cohorts.answer(project, cohort_id)

    def duplicate(cohort_id: int, project: Project = writable) -> Response:
        """Keep the people of a cohort as they are now in a new static one."""
        with cohorts.found(project, cohort_id) as (session, row):
            people = session.scalars(
                select(CohortPersonRow.person_uuid).where(CohortPersonRow.cohort_id == row.id)
            ).all()
            copy_id = create_static_cohort(session, project.id, f"{row.name[:380]} (static copy)", people).id
        return cohorts.answer(project, copy_id, 201)

    routes.add("PATCH", f"{_PATH}add_persons_to_static_cohort/", add_persons)
    routes.add("PATCH", f"{_PATH}remove_person_from_static_cohort/", remove_person)
    routes.add("POST", f"{_PATH}recalculate/", recalculate)
    routes.add("GET", f"{_PATH}duplicate_as_static_cohort/", duplicate)
