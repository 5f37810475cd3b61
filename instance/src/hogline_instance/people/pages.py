"""The pages of people at `/people` and `/person/{uuid}`, and of groups at `/groups` and `/group`."""

import json
from dataclasses import replace
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse
from sqlalchemy.orm import Session

from hogline_instance.events.cursor import Cursor
from hogline_instance.events.summary import custom_preview
from hogline_instance.people.deletion import delete_people
from hogline_instance.people.history import id_origins, property_origins
from hogline_instance.people.listing import ORDERS, PersonQuestion, count_people, list_groups, list_people
from hogline_instance.people.lookup import (
    FoundPerson,
    find_group,
    find_groups,
    find_person_by_uuid,
    group_types,
    merged_into,
)
from hogline_instance.people.names import name_properties
from hogline_instance.people.neighbours import Neighbours
from hogline_instance.people.property_filters import OPERATORS, PropertyFilter
from hogline_instance.people.queries import activity_of, counts_of, events_of_group, events_of_person, events_that_set
from hogline_instance.people.shown import summaries
from hogline_instance.people.warnings import recent_warnings
from hogline_instance.project import Project
from hogline_instance.services import Services
from hogline_instance.web.errors import not_found
from hogline_instance.web.paging import read_cursor
from hogline_instance.web.security import PAGE_HEADERS
from hogline_instance.web.site import Site
from hogline_instance.web.templating import Templates

__all__ = ["build_router"]

_PER_PAGE = 50
_EVENTS = 50
_MAX_OFFSET = 1_000_000
_MAX_CHARACTERS = 1_000
_ALONE = Neighbours()


def build_router(services: Services, site: Site, neighbours: Neighbours = _ALONE) -> APIRouter:
    """Return the pages of people and groups."""
    pages = _PeoplePages(services, site.templates, neighbours)
    return site.router(
        ("GET", "/people", pages.get_people),
        ("GET", "/people/warnings", pages.get_warnings),
        ("GET", "/person/{uuid}", pages.get_person),
        ("POST", "/person/{uuid}/delete", pages.post_delete),
        ("GET", "/groups", pages.get_groups),
        ("GET", "/group/{group_type_index}/{group_key:text}", pages.get_group),
    )


class _PeoplePages:
    def __init__(self, services: Services, templates: Templates, neighbours: Neighbours) -> None:
        self._services = services
        self._templates = templates
        self._neighbours = neighbours

    def get_people(self, request: Request) -> Response:
        """Show the people that pass the filter, with their counts."""
        services, project = self._services, self._services.projects.current()
        given = request.query_params
        defaults = (
            ("search", ""),
            ("key", ""),
            ("operator", "exact"),
            ("value", ""),
            ("order", "last_seen_at"),
            ("cohort", ""),
        )
        values = {name: given.get(name, default)[:_MAX_CHARACTERS] for name, default in defaults}
        offset = min(int(given.get("offset", "0")), _MAX_OFFSET) if given.get("offset", "0").isdecimal() else 0
        wanted = _question(values)
        with services.database.session() as session:
            wanted = self._of_cohort(session, project, wanted, values["cohort"])
            found = list_people(session, project.id, wanted, limit=_PER_PAGE + 1, offset=offset)
            total = count_people(session, project.id, wanted)
        counts = counts_of(services.store, project.id, {each.uuid: each.distinct_ids for each in found[:_PER_PAGE]})
        names = name_properties(project.settings)
        rows = [(each, each.name(names), counts.get(each.uuid)) for each in found[:_PER_PAGE]]
        return self._templates.page(
            request, "people/people.html", rows=rows, values=values, total=total, orders=ORDERS, operators=OPERATORS,
            older=urlencode({**values, "offset": offset + _PER_PAGE}) if len(found) > _PER_PAGE else "",
            first=urlencode(values), paged=offset > 0,
        )  # fmt: skip

    def _of_cohort(self, session: Session, project: Project, wanted: PersonQuestion, cohort: str) -> PersonQuestion:
        """Return *wanted* for the people of a cohort, where the query names one."""
        if not cohort or self._neighbours.members is None:
            return wanted
        number = int(cohort) if cohort.isascii() and cohort.isdigit() and len(cohort) < 10 else 0
        members = self._neighbours.members(session, project.id, number)
        if members is None:
            raise not_found("This project has no such cohort.")
        return replace(wanted, members=members)

    def get_person(self, request: Request, uuid: str, before: str | None = None) -> Response:
        """Show one person: ids, properties with origins, groups, sessions, and the line of events."""
        services, project = self._services, self._services.projects.current()
        person = self._found(project, uuid)
        if isinstance(person, str):
            return RedirectResponse(f"/person/{person}", 303, PAGE_HEADERS)
        cursor = read_cursor(before, Cursor.decode)
        ids = person.distinct_ids
        events = events_of_person(services.store, project.id, ids, limit=_EVENTS + 1, before=cursor)
        sessions, latest = activity_of(services.store, project.id, ids)
        setting = events_that_set(services.store, project.id, ids)
        shown = {each.uuid: each for each in (*setting, *events)}
        known = sorted(shown.values(), key=lambda each: each.timestamp)
        name = person.name(name_properties(project.settings))
        groups = self._groups(project, latest)
        by_type = {each["type_name"]: each["key"] for each in groups}
        return self._templates.page(
            request, "people/person.html", person=person, name=name,
            counts=counts_of(services.store, project.id, {person.uuid: ids}).get(person.uuid),
            origins=id_origins(ids, setting), properties=property_origins(person.properties, known, _shown),
            groups=groups, sessions=sessions,
            lines=summaries(services.database, project, events[:_EVENTS]), previews=[custom_preview(each) for each in events],
            older=Cursor(events[_EVENTS - 1].timestamp_us, events[_EVENTS - 1].uuid).encode() if len(events) > _EVENTS else "",
            paged=cursor is not None, sections=[make(project, person, by_type) for make in self._neighbours.sections],
        )  # fmt: skip

    def post_delete(self, request: Request, uuid: str) -> Response:
        """Delete a person and their events' personal properties, then show the list."""
        services, project = self._services, self._services.projects.current()
        person = self._found(project, uuid)
        if isinstance(person, str):
            raise not_found("This person was merged into another meanwhile. Open the page again.")
        with_events = request.query_params.get("events") == "yes"
        delete_people(
            services.database, services.store, project.id, [person.uuid],
            with_events=with_events, on_deletion=self._neighbours.on_deletion,
        )  # fmt: skip
        return RedirectResponse("/people", 303, PAGE_HEADERS)

    def get_warnings(self, request: Request) -> Response:
        """Show the ingestion warnings: their counts, and the newest of them."""
        services, project = self._services, self._services.projects.current()
        with services.database.session() as session:
            counts, newest = recent_warnings(session, project.id)
        return self._templates.page(request, "people/warnings.html", counts=counts, newest=newest)

    def get_groups(self, request: Request) -> Response:
        """Show the group types, and the groups of one type."""
        services, project = self._services, self._services.projects.current()
        given = request.query_params
        search = given.get("search", "")[:_MAX_CHARACTERS]
        after = int(given["after"][:18]) if given.get("after", "").isdecimal() else None
        with services.database.session() as session:
            types = group_types(session, project.id)
            indexes = [each.index for each in types]
            chosen = (
                int(given["type"])
                if given.get("type", "") in {str(each) for each in indexes}
                else min(indexes, default=0)
            )
            found = list_groups(session, project.id, chosen, search=search or None, after_id=after, limit=_PER_PAGE + 1)
        return self._templates.page(
            request, "people/groups.html", types=types, chosen=chosen, search=search,
            groups=[group for _, group in found[:_PER_PAGE]], after=after,
            older=urlencode({"type": chosen, "search": search, "after": found[_PER_PAGE - 1][0]})
            if len(found) > _PER_PAGE else "",
        )  # fmt: skip

    def get_group(self, request: Request, group_type_index: int, group_key: str, before: str | None = None) -> Response:
        """Show one group: its properties and the events of its people."""
        type_index, key = group_type_index, group_key
        services, project = self._services, self._services.projects.current()
        with services.database.session() as session:
            kind = next((each for each in group_types(session, project.id) if each.index == type_index), None)
            group = find_group(session, project.id, type_index, key)
        if kind is None:
            raise not_found("This project has no group of that type.")
        cursor = read_cursor(before, Cursor.decode)
        events = events_of_group(services.store, project.id, type_index, key, limit=_EVENTS + 1, before=cursor)
        if group is None and not events:
            raise not_found("This project has no group with that key.")
        return self._templates.page(
            request, "people/group.html", kind=kind, key=key, group=group,
            properties=[(name, *_shown(value)) for name, value in sorted(group.properties.items())] if group else [],
            lines=summaries(services.database, project, events[:_EVENTS]), paged=cursor is not None,
            older=Cursor(events[_EVENTS - 1].timestamp_us, events[_EVENTS - 1].uuid).encode() if len(events) > _EVENTS else "",
        )  # fmt: skip

    def _found(self, project: Project, uuid: str) -> FoundPerson | str:
        """Return a person, or the uuid of the one they were merged into: links to them stay."""
        try:
            known = str(UUID(uuid))
        except ValueError:
            raise not_found("This is not the id of a person.") from None
        with self._services.database.session() as session:
            found = find_person_by_uuid(session, project.id, known) or merged_into(session, project.id, known)
        if found is None:
            raise not_found("This project has no person with that id. They may have been deleted.")
        return found

    def _groups(self, project: Project, latest: dict[str, str]) -> list[dict[str, Any]]:
        wanted = {(int(column.removeprefix("group_")), key) for column, key in latest.items()}
        with self._services.database.session() as session:
            types = {each.index: each for each in group_types(session, project.id)}
            known = find_groups(session, project.id, wanted)
        return [
            {
                "type": types[index].name_singular or types[index].name,
                "type_name": types[index].name,
                "index": index,
                "key": key,
                "name": str(known[index, key].properties.get("name") or key) if (index, key) in known else key,
            }
            for index, key in sorted(wanted)
            if index in types
        ]


def _question(values: dict[str, str]) -> PersonQuestion:
    key = values["key"].replace('"', "").replace("\0", "").strip()
    operator = values["operator"] if values["operator"] in OPERATORS else "exact"
    filters = (PropertyFilter(key, operator, (values["value"],)),) if key else ()
    order = values["order"] if values["order"] in ORDERS else "last_seen_at"
    return PersonQuestion(anywhere=values["search"].strip() or None, properties=filters, order=order)


def _shown(value: Any) -> tuple[str, bool]:
    """Return a value as text, and whether it keeps its line breaks."""
    if isinstance(value, str):
        return value, "\n" in value
    structured = isinstance(value, (dict, list)) and bool(value)
    return json.dumps(value, indent=2 if structured else None, ensure_ascii=False), structured
