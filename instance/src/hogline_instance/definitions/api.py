"""`event_definitions/`, `property_definitions/` and `events/values/` of a project.

Source: docs/internals/management-api.md#definitions-annotations-and-actions.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Depends, Query, Request, Response

from hogline_instance.definitions.lookup import PropertyWanted, change, list_events, list_properties
from hogline_instance.definitions.queries import event_values
from hogline_instance.definitions.tables import (
    EVENT,
    GROUP,
    NO_GROUP,
    PERSON,
    EventDefinitionRow,
    PropertyDefinitionRow,
)
from hogline_instance.project import Project
from hogline_instance.services import Services
from hogline_instance.web.auth import Access
from hogline_instance.web.bodies import JsonObject
from hogline_instance.web.errors import bad_request, not_found
from hogline_instance.web.paging import PageRange, offset_page, page_range
from hogline_instance.web.routes import ProjectRoutes
from hogline_instance.web.schemas import json_response

__all__ = ["build_router"]

_Range = Annotated[PageRange, Depends(page_range)]


def build_router(services: Services, access: Access) -> APIRouter:
    """Return the routes."""
    routes = ProjectRoutes("definitions")
    _add_events(routes, services, access.project("event_definition"))
    _add_properties(routes, services, access.project("property_definition"))
    readable: Any = access.project("query")

    def get_values(
        key: Annotated[str, Query(max_length=400)],
        value: Annotated[str, Query(max_length=400)] = "",
        event_name: Annotated[str | None, Query(max_length=400)] = None,
        project: Project = readable,
    ) -> Response:
        """Suggest values of an event property: the most frequent ones that contain `value`."""
        found = event_values(services.store, project.id, key, text=value, event=event_name)
        return json_response([{"name": name, "count": count} for name, count in found])

    routes.add("GET", "/events/values/", get_values)
    return routes.router


def _add_events(routes: ProjectRoutes, services: Services, allowed: Any) -> None:
    def list_event_definitions(
        request: Request,
        wanted: _Range,
        search: Annotated[str, Query(max_length=400)] = "",
        ordering: str = "name",
        project: Project = allowed,
    ) -> Response:
        """List the event names that were seen."""
        with services.database.session() as session:
            rows, count = list_events(
                session, project.id, search, ordering=ordering, limit=wanted.limit, offset=wanted.offset
            )
            return json_response(offset_page(request, wanted, [_event_json(row) for row in rows], count=count))

    def get_by_name(name: str, project: Project = allowed) -> Response:
        """Return the definition of an event name."""
        with services.database.session() as session:
            found = session.query(EventDefinitionRow).filter_by(team_id=project.id, name=name).one_or_none()
            if found is None:
                raise not_found()
            return json_response(_event_json(found))

    def get_event_definition(definition_id: str, project: Project = allowed) -> Response:
        """Return one definition."""
        with _found(services, EventDefinitionRow, project, definition_id) as (_, row):
            return json_response(_event_json(row))

    def patch_event_definition(definition_id: str, body: JsonObject, project: Project = allowed) -> Response:
        """Change the description, the tags, and whether it is verified or hidden."""
        with _found(services, EventDefinitionRow, project, definition_id) as (_, row):
            change(row, body)
            return json_response(_event_json(row))

    def delete_event_definition(definition_id: str, project: Project = allowed) -> Response:
        """Delete the definition; the next event of this name makes it anew."""
        with _found(services, EventDefinitionRow, project, definition_id) as (session, row):
            session.delete(row)
        return Response(status_code=204)

    routes.add("GET", "/event_definitions/by_name/", get_by_name)
    routes.add("GET", "/event_definitions/", list_event_definitions)
    routes.add("GET", "/event_definitions/{definition_id}/", get_event_definition)
    routes.add("PATCH", "/event_definitions/{definition_id}/", patch_event_definition)
    routes.add("DELETE", "/event_definitions/{definition_id}/", delete_event_definition, status=204)


def _add_properties(routes: ProjectRoutes, services: Services, allowed: Any) -> None:
    def list_property_definitions(
        request: Request,
        wanted: _Range,
        filters: Annotated[PropertyWanted, Depends(_wanted)],
        project: Project = allowed,
    ) -> Response:
        """List the properties that were seen, with the types of their values."""
        with services.database.session() as session:
            rows, count = list_properties(session, project.id, filters, limit=wanted.limit, offset=wanted.offset)
            return json_response(offset_page(request, wanted, [_property_json(row) for row in rows], count=count))

    def get_property_definition(definition_id: str, project: Project = allowed) -> Response:
        """Return one definition."""
        with _found(services, PropertyDefinitionRow, project, definition_id) as (_, row):
            return json_response(_property_json(row))

    def patch_property_definition(definition_id: str, body: JsonObject, project: Project = allowed) -> Response:
        """Change the type, the description, the tags, and whether it is verified or hidden."""
        with _found(services, PropertyDefinitionRow, project, definition_id) as (_, row):
            change(row, body)
            return json_response(_property_json(row))

    routes.add("GET", "/property_definitions/", list_property_definitions)
    routes.add("GET", "/property_definitions/{definition_id}/", get_property_definition)
    routes.add("PATCH", "/property_definitions/{definition_id}/", patch_property_definition)


@contextmanager
def _found(services: Services, table: Any, project: Project, definition_id: str) -> Iterator[tuple[Any, Any]]:
    with services.database.transaction() as session:
        row = session.get(table, definition_id)
        if row is None or row.team_id != project.id:
            raise not_found()
        yield session, row


def _wanted(
    type: str = EVENT,  # noqa: A002 - the query's name
    search: Annotated[str, Query(max_length=400)] = "",
    properties: str | None = None,
    event_names: str | None = None,
    filter_by_event_names: bool = False,
    group_type_index: int | None = None,
    is_numerical: bool = False,
    is_feature_flag: bool | None = None,
    exclude_core_properties: bool = False,
    exclude_hidden: bool = False,
) -> PropertyWanted:
    if type not in {EVENT, PERSON, GROUP, "session"}:
        raise bad_request("type", f"type must be event, person, group or session, got {type[:50]!r}")
    return PropertyWanted(
        kind=type, search=search, group_type_index=NO_GROUP if group_type_index is None else group_type_index,
        names=properties.split(",") if properties else None,
        event_names=_names(event_names) if filter_by_event_names and event_names else None,
        only_numerical=is_numerical, feature_flags=is_feature_flag, excludes_core=exclude_core_properties,
        excludes_hidden=exclude_hidden,
    )  # fmt: skip


def _names(text: str) -> list[str]:
    try:
        found = orjson.loads(text)
    except orjson.JSONDecodeError:
        found = None
    if not isinstance(found, list) or not all(isinstance(each, str) for each in found):
        raise bad_request("event_names", 'event_names must be a JSON list of names, such as ["$pageview"]')
    return found


def _event_json(row: EventDefinitionRow) -> dict[str, Any]:
    return {
        "id": row.id,
        "name": row.name,
        "owner": None,
        "description": row.description or "",
        "created_at": _time(row.created_at),
        "updated_at": _time(row.updated_at or row.created_at),
        "last_seen_at": _time(row.last_seen_at),
        "tags": row.tags or [],
        "verified": row.verified,
        "hidden": row.hidden,
        "is_action": False,
    }


def _property_json(row: PropertyDefinitionRow) -> dict[str, Any]:
    return {
        "id": row.id,
        "name": row.name,
        "is_numerical": row.property_type == "Numeric",
        "property_type": row.property_type,
        "description": row.description or "",
        "tags": row.tags or [],
        "verified": row.verified,
        "hidden": row.hidden,
        "updated_at": _time(row.updated_at or row.created_at),
        "is_seen_on_filtered_events": None,
    }


def _time(moment: datetime) -> str:
    return moment.replace(tzinfo=moment.tzinfo or UTC).astimezone(UTC).isoformat().replace("+00:00", "Z")
