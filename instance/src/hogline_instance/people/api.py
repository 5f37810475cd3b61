"""`/api/projects/{id}/persons/`: people in PostHog's shapes.

Source: docs/internals/management-api.md#persons.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query, Request
from sqlalchemy import select
from starlette.concurrency import run_in_threadpool

from hogline_instance.people.deletion import delete_people
from hogline_instance.people.group_api import add_group_routes
from hogline_instance.people.listing import PersonQuestion, count_people, list_people, property_values
from hogline_instance.people.log.api import add_log_routes
from hogline_instance.people.lookup import FoundPerson, find_people, find_person_by_uuid
from hogline_instance.people.names import name_properties
from hogline_instance.people.neighbours import Neighbours
from hogline_instance.people.overrides import publish_overrides
from hogline_instance.people.person_json import listed_person_json, person_json
from hogline_instance.people.property_filters import FilterError, read_filters
from hogline_instance.people.sending import send_event
from hogline_instance.people.splitting import split_person
from hogline_instance.people.tables import PersonRow
from hogline_instance.project import Project
from hogline_instance.services import Services
from hogline_instance.web.auth import Access
from hogline_instance.web.bodies import JsonObject
from hogline_instance.web.errors import ApiError, bad_request, not_found
from hogline_instance.web.routes import ProjectRoutes

__all__ = ["build_router"]

_MAX_LIMIT = 1_000
_MAX_KEY = 400
_PATH = "/persons/{person_id}/"
_ALONE = Neighbours()


def build_router(services: Services, access: Access, neighbours: Neighbours = _ALONE) -> APIRouter:
    """Return the routes of people and of groups."""
    routes = ProjectRoutes("persons")
    people = _People(services, neighbours)
    allowed: Any = access.project("person")

    def list_all(
        request: Request,
        distinct_id: str | None = None,
        email: str | None = None,
        search: Annotated[str | None, Query(description="Part of an email or name, or a whole distinct id")] = None,
        properties: Annotated[
            str | None, Query(description="A JSON list of property filters, all of which apply")
        ] = None,
        cohort: Annotated[int | None, Query(description="The id of a cohort that the people are in")] = None,
        include_total: bool = False,
        limit: Annotated[int, Query(ge=1, le=_MAX_LIMIT)] = 100,
        offset: Annotated[int, Query(ge=0, le=10_000_000)] = 0,
        project: Project = allowed,
    ) -> dict[str, Any]:
        """List people, the newest first."""
        wanted = people.of_cohort(project, _question(distinct_id, email, search, properties), cohort)
        return people.page(request, project, wanted, limit, offset, include_total=include_total)

    def get(person_id: str, project: Project = allowed) -> dict[str, Any]:
        """Return one person by uuid or number."""
        return person_json(people.found(project, person_id), name_properties(project.settings))

    def values(key: str, value: str = "", project: Project = allowed) -> list[dict[str, Any]]:
        """Return values of a property that contain a text, the most frequent first."""
        return people.values(project, key, value)

    def post() -> None:
        """Refuse: people are made by events."""
        raise ApiError(
            405, "invalid_request", "method_not_allowed", 'Method "POST" not allowed. People are made by events.'
        )

    routes.add("GET", "/persons/", list_all)
    routes.add("POST", "/persons/", post)
    routes.add("GET", "/persons/values/", values)
    add_log_routes(routes, services, access, people.found)
    routes.add("GET", _PATH, get)
    _add_changes(routes, people, allowed)
    add_group_routes(routes, services, access)
    return routes.router


def _add_changes(routes: ProjectRoutes, people: "_People", allowed: Any) -> None:
    async def patch(person_id: str, body: JsonObject, project: Project = allowed) -> None:
        """Set the properties given, and no others."""
        given = body.get("properties")
        if not isinstance(given, dict):
            raise ApiError(400, "validation_error", "required", "This field is required.", "properties")
        await people.change(project, person_id, "$set", {"$set": given})

    async def update_property(person_id: str, body: JsonObject, project: Project = allowed) -> None:
        """Set one property, `key` to `value`."""
        for attr in ("key", "value"):
            if body.get(attr) is None:
                # PostHog's own answer has code and detail swapped; its clients read it so.
                raise ApiError(400, "validation_error", "This field is required.", "required", attr)
        await people.change(project, person_id, "$set", {"$set": {str(body["key"])[:_MAX_KEY]: body["value"]}})

    async def delete_property(person_id: str, body: JsonObject, project: Project = allowed) -> dict[str, bool]:
        """Remove one property, named by `$unset`."""
        key = body.get("$unset")
        if not isinstance(key, str) or not key:
            raise ApiError(400, "validation_error", "required", "This field is required.", "$unset")
        await people.change(project, person_id, "$delete_person_property", {"$unset": [key[:_MAX_KEY]]})
        return {"success": True}

    def delete(person_id: str, delete_events: bool = False, project: Project = allowed) -> None:
        """Delete a person. Their events stay, without properties, unless `delete_events` is given."""
        people.delete(project, person_id, with_events=delete_events)

    def bulk_delete(body: JsonObject, project: Project = allowed) -> dict[str, Any]:
        """Delete the people called `ids` (uuids), or those of `distinct_ids`, at most 1000."""
        return people.bulk_delete(project, body)

    def split(person_id: str, body: JsonObject, project: Project = allowed) -> dict[str, bool]:
        """Give each distinct id but `main_distinct_id` a person of its own."""
        people.split(project, person_id, body.get("main_distinct_id"))
        return {"success": True}

    routes.add("POST", "/persons/bulk_delete/", bulk_delete, status=202)
    routes.add("PATCH", _PATH, patch, status=202)
    routes.add("DELETE", _PATH, delete, status=202)
    routes.add("POST", f"{_PATH}update_property/", update_property, status=202)
    routes.add("POST", f"{_PATH}delete_property/", delete_property, status=201)
    routes.add("POST", f"{_PATH}split/", split, status=201)


def _question(distinct_id: str | None, email: str | None, search: str | None, properties: str | None) -> PersonQuestion:
    try:
        filters = read_filters(properties)
    except FilterError as error:
        raise bad_request("properties", str(error)) from error
    return PersonQuestion(distinct_id or None, email or None, (search or "")[:1_000] or None, None, filters)


class _People:
    def __init__(self, services: Services, neighbours: Neighbours) -> None:
        self._services = services
        self._database = services.database
        self._neighbours = neighbours

    def of_cohort(self, project: Project, wanted: PersonQuestion, cohort: int | None) -> PersonQuestion:
        """Return *wanted* for the people of a cohort. Raises ApiError: there is none with that id."""
        if cohort is None or self._neighbours.members is None:
            return wanted
        with self._database.session() as session:
            members = self._neighbours.members(session, project.id, cohort)
        if members is None:
            raise bad_request("cohort", f"This project has no cohort {cohort}.")
        return replace(wanted, members=members)

    def page(
        self,
        request: Request,
        project: Project,
        wanted: PersonQuestion,
        limit: int,
        offset: int,
        *,
        include_total: bool,
    ) -> dict[str, Any]:
        names = name_properties(project.settings)
        with self._database.session() as session:
            found = list_people(session, project.id, wanted, limit=limit + 1, offset=offset)
            total = count_people(session, project.id, wanted) if include_total else None
        url = request.url
        later = str(url.include_query_params(limit=limit, offset=offset + limit)) if len(found) > limit else None
        earlier = str(url.include_query_params(limit=limit, offset=max(0, offset - limit))) if offset else None
        results = [listed_person_json(person, names) for person in found[:limit]]
        page = {"next": later, "previous": earlier, "results": results}
        return page if total is None else {"count": total, **page}

    def found(self, project: Project, person_id: str) -> FoundPerson:
        """Return the person with that uuid or number. Raises ApiError: there is none."""
        with self._database.session() as session:
            if person_id.isascii() and person_id.isdigit():
                number = PersonRow.id == int(person_id[:18])
                uuid = session.scalar(select(PersonRow.uuid).where(PersonRow.team_id == project.id, number))
            else:
                uuid = _uuid(person_id)
            person = find_person_by_uuid(session, project.id, uuid) if uuid is not None else None
        if person is None:
            raise not_found("Not found.")
        return person

    async def change(self, project: Project, person_id: str, event: str, properties: dict[str, Any]) -> None:
        person = await run_in_threadpool(self.found, project, person_id)
        if not person.distinct_ids:
            raise not_found("Not found.")
        await send_event(self._services, project.id, event, person.distinct_ids[0], properties)

    def delete(self, project: Project, person_id: str, *, with_events: bool) -> None:
        uuid = self.found(project, person_id).uuid
        self._delete(project, [uuid], with_events=with_events)

    def bulk_delete(self, project: Project, body: dict[str, Any]) -> dict[str, Any]:
        ids, distinct_ids = body.get("ids"), body.get("distinct_ids")
        chosen = ids if ids is not None else distinct_ids
        if not isinstance(chosen, list) or not chosen:
            raise bad_request("ids", "You need to specify either distinct_ids or ids")
        if len(chosen) > _MAX_LIMIT:
            raise bad_request("ids", f"You can only pass {_MAX_LIMIT} ids in one call")
        if ids is not None:
            uuids = [_uuid(str(each)) for each in ids]
        else:
            with self._database.session() as session:
                people = find_people(session, project.id, [str(each) for each in chosen])
            uuids = sorted({person.uuid for person in people.values()})
        with_events = body.get("delete_events") is True
        keep = body.get("keep_person") is True
        count = self._delete(project, uuids, with_events=with_events, keep_person=keep)
        return {
            "persons_found": count,
            "persons_deleted": 0 if keep else count,
            "events_queued_for_deletion": with_events,
        }

    def _delete(self, project: Project, uuids: Sequence[str], *, with_events: bool, keep_person: bool = False) -> int:
        return delete_people(
            self._database, self._services.store, project.id, uuids,
            with_events=with_events, keep_person=keep_person, on_deletion=self._neighbours.on_deletion,
        )  # fmt: skip

    def split(self, project: Project, person_id: str, main: object) -> None:
        if main is not None and not isinstance(main, str):
            raise bad_request("main_distinct_id", "main_distinct_id must be a text")
        uuid = self.found(project, person_id).uuid
        try:
            with self._database.transaction() as session:
                left = split_person(session, project.id, uuid, main or None)
        except ValueError as error:
            raise bad_request("main_distinct_id", str(error)) from error
        if left is None:
            raise not_found("Not found.")
        publish_overrides(self._database, self._services.store)

    def values(self, project: Project, key: str, value: str) -> list[dict[str, Any]]:
        if not key or '"' in key or "\0" in key or len(key) > _MAX_KEY:
            return []
        with self._database.session() as session:
            found = property_values(session, PersonRow, PersonRow.team_id == project.id, key, value[:_MAX_KEY])
        return [{"name": text, "count": count} for text, count in found]


def _uuid(text: str) -> str:
    try:
        return str(UUID(text))
    except ValueError:
        raise ApiError(
            400, "validation_error", "invalid_input",
            f"{text[:100]!r} is neither a person's uuid nor a number. To find the person of a distinct id, use"
            " persons/?distinct_id=", "person_id",
        ) from None  # fmt: skip
