"""The pages of cohorts: `/cohorts`, and one cohort with its people and editor at `/cohorts/{id}`."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse

from hogline_instance.cohorts.calculation import calculate
from hogline_instance.cohorts.editing import Use, add_people, change_cohort, create_cohort, found_cohort
from hogline_instance.cohorts.filters import INTERVALS, leaves
from hogline_instance.cohorts.listing import count_people, people_of_cohort
from hogline_instance.cohorts.lookup import known_cohorts
from hogline_instance.cohorts.tables import CohortRow
from hogline_instance.cohorts.upload import people_in_csv
from hogline_instance.definitions import PERSON, event_names, property_names
from hogline_instance.people import name_properties, person_values
from hogline_instance.services import Services
from hogline_instance.web.bodies import Form, form_text
from hogline_instance.web.errors import ApiError
from hogline_instance.web.property_rows import OPERATORS, posted_filters
from hogline_instance.web.security import PAGE_HEADERS
from hogline_instance.web.site import Site

__all__ = ["build_router"]

_PEOPLE = 100
_WORDS = (("performed_event", "did"), ("performed_event_first_time", "did for the first time"))


def build_router(services: Services, site: Site, uses: Sequence[Use] = ()) -> APIRouter:
    """Return the pages and their actions. *uses* look for what else uses a cohort."""
    pages = _CohortPages(services, site, uses)
    return site.router(
        ("GET", "/cohorts", pages.get_cohorts),
        ("POST", "/cohorts", pages.post_cohorts),
        ("GET", "/cohorts/{cohort_id}", pages.get_cohort),
        ("POST", "/cohorts/{cohort_id}", pages.post_cohort),
        ("POST", "/cohorts/{cohort_id}/delete", pages.post_delete),
    )


class _CohortPages:
    def __init__(self, services: Services, site: Site, uses: Sequence[Use]) -> None:
        self._services = services
        self._uses = uses
        self._templates = site.templates

    def get_cohorts(self, request: Request) -> Response:
        """List the cohorts."""
        return self._list(request)

    def post_cohorts(self, request: Request, form: Form) -> Response:
        """Create a cohort: of ids that were pasted, or of the conditions in the form."""
        project = self._services.projects.current()
        try:
            with self._services.database.transaction() as session:
                ids = form_text(form, "ids").strip()
                body: dict[str, Any] = {
                    "name": form_text(form, "name"),
                    "is_static": form_text(form, "kind") == "static",
                }
                if not body["is_static"]:
                    body["filters"] = _posted_group(form)
                row = create_cohort(session, project.id, body)
                if body["is_static"] and ids:
                    add_people(session, row, people_in_csv(session, project.id, ids.encode()))
                cohort_id, is_static = row.id, row.is_static
        except ApiError as error:
            return self._list(request, error)
        if not is_static:
            calculate(self._services.database, self._services.store, project.id, cohort_id)
        return RedirectResponse(f"/cohorts/{cohort_id}", 303, PAGE_HEADERS)

    def get_cohort(self, request: Request, cohort_id: int) -> Response:
        """Show a cohort, its people and its editor."""
        return self._show(request, cohort_id)

    def post_cohort(self, request: Request, cohort_id: int, form: Form) -> Response:
        """Save the cohort, and calculate it."""
        project = self._services.projects.current()
        try:
            with self._services.database.transaction() as session:
                row = found_cohort(session, project.id, cohort_id)
                body: dict[str, Any] = {"name": form_text(form, "name"), "description": form_text(form, "description")}
                if not row.is_static and "group_type" in form:
                    body["filters"] = _posted_group(form)
                change_cohort(session, row, body)
                if row.is_static and form_text(form, "ids").strip():
                    add_people(session, row, people_in_csv(session, project.id, form_text(form, "ids").encode()))
                is_static = row.is_static
        except ApiError as error:
            if error.status == 404:
                raise
            return self._show(request, cohort_id, error)
        if not is_static:
            calculate(self._services.database, self._services.store, project.id, cohort_id)
        return RedirectResponse(f"/cohorts/{cohort_id}", 303, PAGE_HEADERS)

    def post_delete(self, request: Request, cohort_id: int) -> Response:
        """Delete a cohort that nothing uses."""
        project = self._services.projects.current()
        try:
            with self._services.database.transaction() as session:
                change_cohort(session, found_cohort(session, project.id, cohort_id), {"deleted": True}, self._uses)
        except ApiError as error:
            if error.status == 404:
                raise
            return self._show(request, cohort_id, error)
        return RedirectResponse("/cohorts", 303, PAGE_HEADERS)

    def _list(self, request: Request, error: ApiError | None = None) -> Response:
        project = self._services.projects.current()
        with self._services.database.session() as session:
            rows = list(known_cohorts(session, project.id).values())
            counts = count_people(session, project.id, [row.id for row in rows])
            names = property_names(session, project.id, PERSON)
            events = event_names(session, project.id)
        return self._templates.page(
            request, "cohorts/cohorts.html", error.status if error else 200, cohorts=rows, counts=counts, names=names, events=events,
            operators=OPERATORS, behaviours=_WORDS, intervals=INTERVALS, problem=error.body.detail if error else "",
        )  # fmt: skip

    def _show(self, request: Request, cohort_id: int, error: ApiError | None = None) -> Response:
        project = self._services.projects.current()
        with self._services.database.session() as session:
            row = found_cohort(session, project.id, cohort_id)
            count = count_people(session, project.id, [cohort_id])[cohort_id]
            people = people_of_cohort(session, project.id, cohort_id, limit=_PEOPLE)
            names, events = property_names(session, project.id, PERSON), event_names(session, project.id)
            plain = _plain(row)
            known = person_values(session, project.id, [each["key"] for each in plain["people"]] if plain else [])
        shown = name_properties(project.settings)
        return self._templates.page(
            request, "cohorts/cohort.html", error.status if error else 200, cohort=row, count=count,
            people=[(person, person.name(shown)) for person in people], plain=plain, known=known, events=events, raw=json.dumps(row.filters, indent=2), names=names, operators=OPERATORS,
            behaviours=_WORDS, intervals=INTERVALS, problem=error.body.detail if error else "",
        )  # fmt: skip


def _plain(row: CohortRow) -> dict[str, Any] | None:
    """Return the conditions as the form shows them; None when the form cannot show them all."""
    group = row.filters.get("properties")
    if not group:
        return None
    conditions = list(group["values"])
    people = [each for each in conditions if each.get("type") == "person" and not each.get("negation")]
    did = [
        each
        for each in leaves(group)
        if each.get("type") == "behavioral" and not each.get("negation") and each["value"] in dict(_WORDS)
    ]
    if len(people) + len(did) != len(conditions) or len(did) > 1:
        return None
    return {"type": group["type"], "people": people, "did": did[0] if did else None}


def _posted_group(form: Mapping[str, list[str]]) -> dict[str, Any]:
    values = posted_filters(form)
    if form_text(form, "event").strip():
        values.append(
            {
                "type": "behavioral", "value": form_text(form, "behaviour"), "key": form_text(form, "event").strip(), "event_type": "events",
                "time_value": form_text(form, "time_value") or "30", "time_interval": form_text(form, "time_interval") or "day",
            }
        )  # fmt: skip
    return {"properties": {"type": "OR" if form_text(form, "group_type") == "OR" else "AND", "values": values}}
