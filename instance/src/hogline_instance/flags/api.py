"""`/api/projects/{id}/feature_flags/`: flags as PostHog's API reads and writes them.

Source: docs/internals/management-api.md#flag-calls.
"""

from collections.abc import Mapping
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Depends, Query, Request, Response
from sqlalchemy import func, select

from hogline_instance.cohorts import Cohorts, create_static_cohort
from hogline_instance.db import utc_now
from hogline_instance.exceptions import StoreError
from hogline_instance.flags import early_access, schedules
from hogline_instance.flags.answers import describe
from hogline_instance.flags.changes import FlagEditor, find_row, known_to
from hogline_instance.flags.enabled_people import people_with
from hogline_instance.flags.evaluation import subject_for
from hogline_instance.flags.flag_set import FlagSets, flag_sets
from hogline_instance.flags.queries import last_calls
from hogline_instance.flags.records import activity_json, actor_of, flag_json, status_of
from hogline_instance.flags.remote_config import PayloadCipher
from hogline_instance.flags.request import FlagsRequest
from hogline_instance.flags.tables import FlagHistoryRow, FlagRow
from hogline_instance.project import PersonalKey, Project
from hogline_instance.services import Services
from hogline_instance.web.auth import Access
from hogline_instance.web.bodies import JsonObject
from hogline_instance.web.errors import bad_request, invalid_field, method_not_allowed
from hogline_instance.web.paging import PageRange, activity_page, offset_page, page_range
from hogline_instance.web.routes import ProjectRoutes, join_routers
from hogline_instance.web.schemas import json_response

__all__ = ["build_router"]

_MAX_BULK = 1_000


def build_router(services: Services, access: Access) -> APIRouter:
    """Return the routes of flags, early access features and scheduled changes."""
    return join_routers(
        _flag_routes(services, access),
        early_access.build_router(services, access),
        schedules.build_router(services, access),
    )


def _flag_routes(services: Services, access: Access) -> APIRouter:  # noqa: C901, PLR0915 - one short function a route
    flags = _Flags(services)
    allowed: Any = access.project("feature_flag")
    named: Any = access.key("feature_flag")

    def list_flags(
        request: Request, wanted: Annotated[PageRange, Depends(page_range)], project: Project = allowed
    ) -> Response:
        """List flags, the newest first; deleted ones never show."""
        return flags.page(project, request, wanted)

    def create_flag(body: JsonObject, project: Project = allowed, key: PersonalKey = named) -> Response:
        """Create a flag."""
        return flags.answer(flags.editor.create(project.id, body, actor_of(key)), status=201)

    def get_flag(flag_id: int, project: Project = allowed) -> Response:
        """Return a flag, also a deleted one."""
        return flags.get(project, flag_id)

    def patch_flag(flag_id: int, body: JsonObject, project: Project = allowed, key: PersonalKey = named) -> Response:
        """Change a flag; `deleted: true` deletes it."""
        return flags.answer(flags.editor.change(project.id, flag_id, body, actor_of(key)))

    def delete_flag(flag_id: int, project: Project = allowed) -> Response:  # noqa: ARG001 - the route's parameters
        """Refuse: flags are deleted softly."""
        raise method_not_allowed(
            'Hard delete of this model is not allowed. Use a patch API call to set "deleted" to true'
        )

    def status(flag_id: int, project: Project = allowed) -> Response:
        """Return whether a flag is active, inactive, stale or deleted, and why."""
        return flags.status(project, flag_id)

    def dependents(flag_id: int, project: Project = allowed) -> Response:
        """List the flags that depend on this one."""
        with services.database.session() as session:
            found = known_to(session, project.id).dependents(find_row(session, project.id, flag_id).id)
        return json_response([{"id": each.id, "key": each.key, "name": ""} for each in found])

    def activity(
        flag_id: int, limit: Annotated[int, Query(ge=1, le=500)] = 10, page: Annotated[int, Query(ge=1)] = 1,
        project: Project = allowed,
    ) -> Response:  # fmt: skip
        """Return the history of a flag, the newest change first."""
        return flags.activity(project, flag_id, limit, page)

    def all_activity(
        limit: Annotated[int, Query(ge=1, le=500)] = 10,
        page: Annotated[int, Query(ge=1)] = 1,
        project: Project = allowed,
    ) -> Response:
        """Return the history of all flags, the newest change first."""
        return flags.activity(project, None, limit, page)

    def static_cohort(flag_id: int, project: Project = allowed) -> Response:
        """Keep the people for whom a flag is on now in a new static cohort."""
        return flags.static_cohort(project, flag_id)

    def version(flag_id: int, number: int, project: Project = allowed) -> Response:
        """Return the fields that a flag had in one version."""
        return flags.version(project, flag_id, number)

    def my_flags(groups: str = "{}", project: Project = allowed, key: PersonalKey = named) -> Response:
        """Return every flag with its value for the key's owner."""
        return flags.mine(project, actor_of(key), _groups(groups))

    def reasons(distinct_id: str = "", groups: str = "{}", project: Project = allowed) -> Response:
        """Return every flag's value and reason for a distinct id."""
        if not distinct_id:
            raise bad_request("distinct_id", "distinct_id is required: the person to evaluate the flags for.")
        return json_response(
            flags.reasons(project, FlagsRequest(distinct_id[:200], groups=_groups(groups), runtime="server"))
        )

    def bulk_keys(body: JsonObject, project: Project = allowed) -> Response:
        """Return the keys of flags by their ids."""
        ids = _ids(body)
        with services.database.session() as session:
            rows = session.execute(
                select(FlagRow.id, FlagRow.key).where(FlagRow.team_id == project.id, FlagRow.id.in_(ids))
            )
            return json_response({"keys": {str(number): key for number, key in rows}})

    def bulk_delete(body: JsonObject, project: Project = allowed, key: PersonalKey = named) -> Response:
        """Delete several flags."""
        for number in _ids(body):
            flags.editor.change(project.id, number, {"deleted": True}, actor_of(key))
        flags.sets.refresh()
        return json_response({"deleted": len(_ids(body)), "errors": []})

    routes = ProjectRoutes("feature_flags")
    routes.add("GET", "/feature_flags/", list_flags)
    routes.add("POST", "/feature_flags/", create_flag, status=201)
    routes.add("GET", "/feature_flags/my_flags/", my_flags)
    routes.add("GET", "/feature_flags/evaluation_reasons/", reasons)
    routes.add("GET", "/feature_flags/activity/", all_activity)
    routes.add("POST", "/feature_flags/bulk_keys/", bulk_keys)
    routes.add("POST", "/feature_flags/bulk_delete/", bulk_delete)
    routes.add("GET", "/feature_flags/{flag_id:int}/", get_flag)
    routes.add("PATCH", "/feature_flags/{flag_id:int}/", patch_flag)
    routes.add("PUT", "/feature_flags/{flag_id:int}/", patch_flag)
    routes.add("DELETE", "/feature_flags/{flag_id:int}/", delete_flag, status=405)
    routes.add("POST", "/feature_flags/{flag_id:int}/create_static_cohort_for_flag/", static_cohort, status=201)
    routes.add("GET", "/feature_flags/{flag_id:int}/status/", status)
    routes.add("GET", "/feature_flags/{flag_id:int}/dependent_flags/", dependents)
    routes.add("GET", "/feature_flags/{flag_id:int}/activity/", activity)
    routes.add("GET", "/feature_flags/{flag_id:int}/versions/{number:int}/", version)
    return routes.router


class _Flags:
    """Reads flags and their calls for the routes."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._database = services.database
        self.sets: FlagSets = flag_sets(services.database)
        self.editor = FlagEditor(services.database, PayloadCipher(services.settings.data_dir))

    def answer(self, row: FlagRow, status: int = 200) -> Response:
        """Return a flag that was just changed; `/flags/` answers by it from now on."""
        self.sets.refresh()
        response = json_response(flag_json(row))
        response.status_code = status
        return response

    def get(self, project: Project, flag_id: int) -> Response:
        with self._database.session() as session:
            row = find_row(session, project.id, flag_id)
            return json_response(
                flag_json(
                    row, self._last_calls(project).get(row.key), features=early_access.features_of(session, row.id)
                )
            )

    def page(self, project: Project, request: Request, wanted: PageRange) -> Response:
        calls = self._last_calls(project)
        with self._database.session() as session:
            rows = session.scalars(
                select(FlagRow)
                .where(FlagRow.team_id == project.id, FlagRow.deleted.is_(False))
                .order_by(FlagRow.id.desc())
            ).all()
            found = [
                row for row in rows if _is_listed(row, request.query_params, status_of(row, calls.get(row.key))[0])
            ]
            shown = found[wanted.offset : wanted.offset + wanted.limit]
            results = [flag_json(row, calls.get(row.key)) for row in shown]
        return json_response(offset_page(request, wanted, results, count=len(found)))

    def status(self, project: Project, flag_id: int) -> Response:
        with self._database.session() as session:
            row = find_row(session, project.id, flag_id)
            status, reason = status_of(row, self._last_calls(project).get(row.key))
        return json_response({"status": status, "reason": reason})

    def activity(self, project: Project, flag_id: int | None, limit: int, page: int) -> Response:
        query = select(FlagHistoryRow).where(FlagHistoryRow.team_id == project.id)
        with self._database.session() as session:
            if flag_id is not None:
                query = query.where(FlagHistoryRow.flag_id == find_row(session, project.id, flag_id).id)
            count = session.scalar(select(func.count()).select_from(query.subquery())) or 0
            rows = session.scalars(query.order_by(FlagHistoryRow.id.desc()).offset((page - 1) * limit).limit(limit))
            results = [activity_json(row) for row in rows]
        return json_response(activity_page(results, count, limit, page))

    def static_cohort(self, project: Project, flag_id: int) -> Response:
        self.sets.refresh()
        flags = self.sets.of(project.id)
        served = next((flag for flag in flags.flags if flag.id == flag_id), None)
        with self._database.transaction() as session:
            row = find_row(session, project.id, flag_id)
            if (row.filters or {}).get("aggregation_group_type_index") is not None:
                raise bad_request("flag_id", "A cohort holds people, but this flag is about groups.")
            people = people_with(session, project.id, flags, served) if served is not None else ()
            name = f"Users with feature flag {row.key} enabled at {utc_now():%Y-%m-%d %H:%M:%S}"
            cohort = create_static_cohort(session, project.id, name, people)
            session.flush()
            session.expunge(cohort)
        answer = json_response({"cohort": Cohorts(self._database).records(project, [cohort])[0]})
        answer.status_code = 201
        return answer

    def version(self, project: Project, flag_id: int, number: int) -> Response:
        with self._database.session() as session:
            row = find_row(session, project.id, flag_id)
            entry = session.scalar(
                select(FlagHistoryRow).where(FlagHistoryRow.flag_id == row.id, FlagHistoryRow.version == number)
            )
            if entry is None:
                raise bad_request("version", f"The flag has no version {number}.")
            return json_response(
                {**flag_json(row), **({} if row.has_encrypted_payloads else entry.fields), "version": number}
            )

    def mine(self, project: Project, distinct_id: str, groups: Mapping[str, str]) -> Response:
        values = self.reasons(project, FlagsRequest(distinct_id, groups=groups, runtime="server"))
        with self._database.session() as session:
            rows = session.scalars(
                select(FlagRow)
                .where(FlagRow.team_id == project.id, FlagRow.deleted.is_(False))
                .order_by(FlagRow.id.desc())
            )
            return json_response(
                [{"feature_flag": flag_json(row), "value": values.get(row.key, {}).get("value", False)} for row in rows]
            )

    def reasons(self, project: Project, request: FlagsRequest) -> dict[str, Any]:
        self.sets.refresh()
        flags = self.sets.of(project.id)
        subject = subject_for(self._database, flags, project.id, request)
        found: dict[str, Any] = {
            key: {"value": False, "evaluation": {"reason": "disabled", "condition_index": None, "description": "Feature flag is disabled"}}
            for key, definition in flags.ruleset.definitions.items()
            if not definition["active"]
        }  # fmt: skip
        for flag in flags.flags:
            each = describe(flags, flag, subject)
            found[flag.key] = {
                "value": each.value if each.value is not None else False,
                "evaluation": {
                    "reason": each.code,
                    "condition_index": each.condition_index,
                    "description": each.description,
                },
            }
        return found

    def _last_calls(self, project: Project) -> dict[str, Any]:
        try:
            return last_calls(self._services.store, project.id)
        except StoreError:
            return {}  # the definitions can be read and changed while the store is away


def _is_listed(row: FlagRow, query: Mapping[str, str], status: str) -> bool:
    active, kind, search = query.get("active"), query.get("type"), query.get("search", "").lower()
    if active in ("true", "false") and row.active is not (active == "true"):
        return False
    if active == "STALE" and status != "STALE":
        return False
    is_multivariant = bool((row.filters or {}).get("multivariate"))
    kinds = {
        "boolean": not is_multivariant and not row.is_remote_configuration, "multivariant": is_multivariant,
        "experiment": False, "remote_config": row.is_remote_configuration,
    }  # fmt: skip
    if kind is not None and not kinds.get(kind, True):
        return False
    if query.get("archived") in ("true", "false") and row.archived is not (query["archived"] == "true"):
        return False
    if query.get("evaluation_runtime") and query["evaluation_runtime"] != row.evaluation_runtime:
        return False
    if "tags" in query and not set(_tags(query["tags"])) <= set(row.tags or ()):
        return False
    return search in row.key.lower() or search in row.name.lower()


def _tags(text: str) -> list[str]:
    try:
        value = orjson.loads(text)
    except ValueError:
        raise bad_request("tags", 'tags must be a JSON list such as ["beta"].') from None
    return [each for each in value if isinstance(each, str)] if isinstance(value, list) else []


def _groups(text: str) -> dict[str, str]:
    try:
        value = orjson.loads(text or "{}")
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise bad_request("groups", 'groups must be a JSON object such as {"company": "acme"}.')
    return {name: str(key) for name, key in value.items() if isinstance(key, str | int | float) and key != ""}


def _ids(body: Mapping[str, Any]) -> list[int]:
    ids = body.get("ids")
    if not isinstance(ids, list) or len(ids) > _MAX_BULK or not all(type(each) is int for each in ids):
        raise invalid_field("ids", "invalid", f"ids must be a list of at most {_MAX_BULK} numbers.")
    return list(ids)
