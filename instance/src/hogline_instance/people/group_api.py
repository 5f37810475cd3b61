"""`/api/projects/{id}/groups/` and `groups_types/`: groups in PostHog's shapes.

Source: docs/internals/management-api.md#groups.
"""

from typing import Annotated, Any

import orjson
from fastapi import Query, Request
from sqlalchemy import and_, select, update
from starlette.concurrency import run_in_threadpool

from hogline_instance.db import utc_now
from hogline_instance.people.groups import key_text
from hogline_instance.people.listing import list_groups, property_names, property_values
from hogline_instance.people.lookup import FoundGroup, GroupType, find_group, group_types
from hogline_instance.people.person_json import group_json, group_type_json
from hogline_instance.people.sending import send_event
from hogline_instance.people.tables import GroupRow, GroupTypeRow
from hogline_instance.project import Project
from hogline_instance.services import Services
from hogline_instance.web.auth import Access
from hogline_instance.web.bodies import JsonObject, read_body
from hogline_instance.web.errors import ApiError, bad_request, not_found
from hogline_instance.web.routes import ProjectRoutes

__all__ = ["add_group_routes"]

_MAX_LIMIT = 1_000
_MAX_KEY = 400
_INDEX = Query(ge=0, le=4, description="The index of the group's type")
_Index = Annotated[int, _INDEX]


def add_group_routes(routes: ProjectRoutes, services: Services, access: Access) -> None:
    """Add the routes of groups and group types to *routes*."""
    groups = _Groups(services)
    allowed: Any = access.project("group")

    def list_types(project: Project = allowed) -> list[dict[str, Any]]:
        """Return the group types, by index."""
        return groups.types(project)

    async def patch_types(request: Request, project: Project = allowed) -> list[dict[str, Any]]:
        """Rename group types: `[{"group_type_index", "name_singular", "name_plural"}]`."""
        return await run_in_threadpool(groups.rename, project, await _read_list(request))

    def list_all(
        request: Request,
        group_type_index: _Index,
        search: str | None = None,
        group_key: str | None = None,
        cursor: Annotated[int | None, Query(ge=0)] = None,
        limit: Annotated[int, Query(ge=1, le=_MAX_LIMIT)] = 100,
        project: Project = allowed,
    ) -> dict[str, Any]:
        """List the groups of one type, the newest first."""
        with services.database.session() as session:
            found = list_groups(
                session, project.id, group_type_index, search=search, key=group_key, after_id=cursor, limit=limit + 1
            )
        more = len(found) > limit
        later = str(request.url.include_query_params(cursor=found[limit - 1][0])) if more else None
        return {"next": later, "previous": None, "results": [group_json(group) for _, group in found[:limit]]}

    def find(group_type_index: _Index, group_key: str, project: Project = allowed) -> dict[str, Any]:
        """Return one group."""
        return group_json(groups.found(project, group_type_index, group_key))

    async def create(body: JsonObject, project: Project = allowed) -> dict[str, Any]:
        """Make a group."""
        return await run_in_threadpool(groups.create, project, body)

    async def update_property(
        group_type_index: _Index, group_key: str, body: JsonObject, project: Project = allowed
    ) -> dict[str, Any]:
        """Set one property of a group, `key` to `value`."""
        for attr in ("key", "value"):
            if body.get(attr) is None:
                raise ApiError(400, "validation_error", "required", "This field is required.", attr)
        change = {"$group_set": {str(body["key"])[:_MAX_KEY]: body["value"]}}
        return await groups.change(project, group_type_index, group_key, change)

    async def delete_property(
        group_type_index: _Index, group_key: str, body: JsonObject, project: Project = allowed
    ) -> dict[str, Any]:
        """Remove one property of a group, named by `$unset`."""
        key = body.get("$unset")
        if not isinstance(key, str) or not key:
            raise ApiError(400, "validation_error", "required", "This field is required.", "$unset")
        return await run_in_threadpool(groups.unset, project, group_type_index, group_key, key)

    def definitions(project: Project = allowed) -> dict[str, Any]:
        """Return the names of groups' properties with their frequency, by index of the type."""
        return groups.definitions(project)

    def values(group_type_index: _Index, key: str, value: str = "", project: Project = allowed) -> list[dict[str, Any]]:
        """Return values of a property that contain a text, the most frequent first."""
        return groups.values(project, group_type_index, key, value)

    routes.add("GET", "/groups_types/", list_types)
    routes.add("PATCH", "/groups_types/update_metadata/", patch_types)
    routes.add("GET", "/groups/", list_all)
    routes.add("POST", "/groups/", create, status=201)
    routes.add("GET", "/groups/find/", find)
    routes.add("POST", "/groups/update_property/", update_property)
    routes.add("POST", "/groups/delete_property/", delete_property)
    routes.add("GET", "/groups/property_definitions/", definitions)
    routes.add("GET", "/groups/property_values/", values)


async def _read_list(request: Request) -> list[Any]:
    """Return the body as a JSON list. Raises ApiError: it is none."""
    try:
        value = orjson.loads(await read_body(request))
    except orjson.JSONDecodeError as error:
        raise ApiError(400, "invalid_request", "parse_error", f"JSON parse error - {error}") from error
    if not isinstance(value, list):
        raise bad_request("group_types", "send a JSON list of group types")
    return value


class _Groups:
    def __init__(self, services: Services) -> None:
        self._services = services
        self._database = services.database

    def types(self, project: Project) -> list[dict[str, Any]]:
        with self._database.session() as session:
            return [group_type_json(each) for each in group_types(session, project.id)]

    def rename(self, project: Project, given: list[Any]) -> list[dict[str, Any]]:
        with self._database.transaction() as session:
            for each in given[:5]:
                if not isinstance(each, dict) or not isinstance(each.get("group_type_index"), int):
                    raise bad_request("group_type_index", "each group type needs its group_type_index")
                names = {
                    name: None if each[name] is None else str(each[name])[:_MAX_KEY]
                    for name in ("name_singular", "name_plural")
                    if name in each
                }
                if names:
                    mine = and_(GroupTypeRow.team_id == project.id, GroupTypeRow.index == each["group_type_index"])
                    session.execute(update(GroupTypeRow).where(mine).values(names))
        return self.types(project)

    def found(self, project: Project, index: int, key: str) -> FoundGroup:
        """Return a group. Raises ApiError: there is none."""
        with self._database.session() as session:
            group = find_group(session, project.id, index, key)
        if group is None:
            raise not_found("Not found.")
        return group

    def create(self, project: Project, body: dict[str, Any]) -> dict[str, Any]:
        index, key = body.get("group_type_index"), key_text(body.get("group_key")).replace("\0", "")
        if not key:
            raise ApiError(400, "validation_error", "required", "This field is required.", "group_key")
        properties = body.get("group_properties") or {}
        if not isinstance(properties, dict):
            raise bad_request("group_properties", "group_properties must be an object")
        with self._database.transaction() as session:
            if index not in {each.index for each in group_types(session, project.id)}:
                raise bad_request("group_type_index", "This project has no group type with that index.")
            if find_group(session, project.id, int(index), key) is not None:
                raise ApiError(
                    400, "validation_error", "unique", "A group with this key already exists", "group_key"
                )  # fmt: skip
            row = GroupRow(
                team_id=project.id,
                type_index=index,
                group_key=key,
                properties=properties,
                created_at=utc_now(),
                version=0,
            )
            session.add(row)
        return group_json(self.found(project, int(index), key))

    async def change(self, project: Project, index: int, key: str, change: dict[str, Any]) -> dict[str, Any]:
        group, kind = await run_in_threadpool(self._with_type, project, index, key)
        properties = {"$group_type": kind.name, "$group_key": group.key, **change}
        await send_event(self._services, project.id, "$groupidentify", f"${kind.name}_{group.key}"[:200], properties)
        return group_json(group)

    def unset(self, project: Project, index: int, key: str, name: str) -> dict[str, Any]:
        mine = and_(GroupRow.team_id == project.id, GroupRow.type_index == index, GroupRow.group_key == key)
        with self._database.transaction() as session:
            row = session.scalar(select(GroupRow).where(mine).with_for_update())
            if row is None:
                raise not_found("Not found.")
            row.properties = {each: value for each, value in row.properties.items() if each != name}
            row.version += 1
        return group_json(self.found(project, index, key))

    def definitions(self, project: Project) -> dict[str, Any]:
        result: dict[str, Any] = {}
        with self._database.session() as session:
            for kind in group_types(session, project.id):
                found = list_groups(session, project.id, kind.index, limit=_MAX_LIMIT)
                names = property_names([group.properties for _, group in found])
                result[str(kind.index)] = [{"name": name, "count": count} for name, count in names]
        return result

    def values(self, project: Project, index: int, key: str, value: str) -> list[dict[str, Any]]:
        if not key or '"' in key or "\0" in key or len(key) > _MAX_KEY:
            return []
        mine = and_(GroupRow.team_id == project.id, GroupRow.type_index == index)
        with self._database.session() as session:
            found = property_values(session, GroupRow, mine, key, value[:_MAX_KEY])
        return [{"name": text, "count": count} for text, count in found]

    def _with_type(self, project: Project, index: int, key: str) -> tuple[FoundGroup, GroupType]:
        group = self.found(project, index, key)
        with self._database.session() as session:
            kind = next((each for each in group_types(session, project.id) if each.index == index), None)
        if kind is None:
            raise not_found("Not found.")
        return group, kind
