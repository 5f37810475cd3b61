"""Early access features: people may try them before their release; a flag decides each.

Source: docs/internals/management-api.md#early-access-and-scheduled-changes.
"""

import asyncio
import re
import uuid
from collections.abc import Mapping
from typing import Annotated, Any
from urllib.parse import parse_qs

from fastapi import APIRouter, Depends, Request, Response
from sqlalchemy import select
from sqlalchemy.orm import Session

from hogline_instance.flags.changes import FlagEditor, find_row, moment
from hogline_instance.flags.flag_set import flag_sets
from hogline_instance.flags.records import actor_of, flag_json
from hogline_instance.flags.remote_config import PayloadCipher
from hogline_instance.flags.tables import EarlyAccessRow, FlagRow
from hogline_instance.ingest import Request as RawRequest
from hogline_instance.ingest import Response as RawResponse
from hogline_instance.ingest import error_response
from hogline_instance.ingest import json_response as raw_json
from hogline_instance.project import PersonalKey, Project
from hogline_instance.services import Services
from hogline_instance.web.auth import Access
from hogline_instance.web.bodies import JsonObject
from hogline_instance.web.errors import invalid_field, not_found
from hogline_instance.web.paging import PageRange, offset_page, page_range
from hogline_instance.web.routes import ProjectRoutes
from hogline_instance.web.schemas import json_response

__all__ = ["PATH", "PublicFeatures", "build_router", "features_of"]

PATH = re.compile(r"/api/early_access_features")
_STAGES = ("draft", "concept", "alpha", "beta", "general-availability", "archived")
_TEXTS = {"name": 200, "description": 10_000, "documentation_url": 800}


def build_router(services: Services, access: Access) -> APIRouter:
    """Return the routes that manage early access features."""
    allowed: Any = access.project("early_access_feature")
    named: Any = access.key("early_access_feature")
    features = _Features(services)

    def list_features(
        request: Request, wanted: Annotated[PageRange, Depends(page_range)], project: Project = allowed
    ) -> Response:
        """List the early access features."""
        rows = features.all(project.id)
        return json_response(
            offset_page(request, wanted, rows[wanted.offset : wanted.offset + wanted.limit], count=len(rows))
        )

    def create_feature(body: JsonObject, project: Project = allowed, key: PersonalKey = named) -> Response:
        """Create a feature, and a flag for it unless one is named."""
        answer = json_response(features.create(project.id, body, actor_of(key)))
        answer.status_code = 201
        return answer

    def get_feature(feature_id: str, project: Project = allowed) -> Response:
        """Return a feature with its flag."""
        return json_response(features.get(project.id, feature_id))

    def patch_feature(
        feature_id: str, body: JsonObject, project: Project = allowed, key: PersonalKey = named
    ) -> Response:
        """Change a feature; its stage decides whether people may enrol."""
        return json_response(features.change(project.id, feature_id, body, actor_of(key)))

    def delete_feature(feature_id: str, project: Project = allowed, key: PersonalKey = named) -> Response:
        """Delete a feature; its flag stays, without enrolment."""
        features.delete(project.id, feature_id, actor_of(key))
        return Response(status_code=204)

    routes = ProjectRoutes("early_access_features")
    routes.add("GET", "/early_access_feature/", list_features)
    routes.add("POST", "/early_access_feature/", create_feature, status=201)
    routes.add("GET", "/early_access_feature/{feature_id}/", get_feature)
    routes.add("PATCH", "/early_access_feature/{feature_id}/", patch_feature)
    routes.add("DELETE", "/early_access_feature/{feature_id}/", delete_feature, status=204)
    return routes.router


def features_of(session: Session, flag_id: int) -> list[dict[str, Any]]:
    """Return the early access features of a flag."""
    rows = session.scalars(select(EarlyAccessRow).where(EarlyAccessRow.flag_id == flag_id))
    return [_feature_json(row, None) for row in rows]


class PublicFeatures:
    """Answers posthog-js, which lists the features that a visitor may enrol in."""

    def __init__(self, services: Services) -> None:
        self._projects = services.projects
        self._database = services.database

    async def answer(self, request: RawRequest, _match: re.Match[str]) -> RawResponse:
        """Return the features of the stages that the query names; beta without one."""
        project = self._projects.by_token(request.query.get("token", ""))
        if project is None:
            return error_response(401, "authentication_failed", "No or an unknown project token: send it as 'token'.")
        raw = (request.scope.get("query_string") or b"").decode("latin-1")
        stages = parse_qs(raw, max_num_fields=100).get("stage") or ["beta"]
        return raw_json({"earlyAccessFeatures": await asyncio.to_thread(self._features, project.id, stages)})

    def _features(self, project_id: int, stages: list[str]) -> list[dict[str, Any]]:
        with self._database.session() as session:
            rows = session.execute(
                select(EarlyAccessRow, FlagRow.key)
                .outerjoin(FlagRow, FlagRow.id == EarlyAccessRow.flag_id)
                .where(EarlyAccessRow.team_id == project_id, EarlyAccessRow.stage.in_(stages))
                .order_by(EarlyAccessRow.created_at)
            )
            return [
                {
                    "id": row.id, "name": row.name, "description": row.description, "stage": row.stage,
                    "documentationUrl": row.documentation_url, "payload": row.payload or {}, "flagKey": key,
                }
                for row, key in rows
            ]  # fmt: skip


class _Features:
    def __init__(self, services: Services) -> None:
        self._database = services.database
        self._sets = flag_sets(services.database)
        self._editor = FlagEditor(services.database, PayloadCipher(services.settings.data_dir))

    def all(self, project_id: int) -> list[dict[str, Any]]:
        with self._database.session() as session:
            rows = session.scalars(
                select(EarlyAccessRow)
                .where(EarlyAccessRow.team_id == project_id)
                .order_by(EarlyAccessRow.created_at.desc())
            ).all()
            return [_feature_json(row, session.get(FlagRow, row.flag_id) if row.flag_id else None) for row in rows]

    def get(self, project_id: int, feature_id: str) -> dict[str, Any]:
        with self._database.session() as session:
            row = _find(session, project_id, feature_id)
            return _feature_json(row, session.get(FlagRow, row.flag_id) if row.flag_id else None)

    def create(self, project_id: int, body: Mapping[str, Any], actor: str) -> dict[str, Any]:
        values = _checked(body)
        for name in ("name", "stage"):
            if name not in values:
                raise invalid_field(name, "required", "This field is required.")
        with self._database.transaction() as session:
            number = body.get("feature_flag_id")
            if number is None:
                key = re.sub(r"[^a-z0-9]+", "-", values["name"].lower()).strip("-")[:200] or "feature"
                fields = {
                    "key": key,
                    "name": f"Early access: {values['name']}",
                    "filters": {"groups": [], "feature_enrollment": True},
                }
                flag = self._editor.create_in(session, project_id, fields, actor)
            else:
                flag = _usable_flag(session, project_id, number)
            row = EarlyAccessRow(id=str(uuid.uuid4()), team_id=project_id, flag_id=flag.id, **values)
            session.add(row)
            session.flush()
            self._set_enrolment(session, row, actor)
            made = _feature_json(row, session.get(FlagRow, row.flag_id))
        self._sets.refresh()
        return made

    def change(self, project_id: int, feature_id: str, body: Mapping[str, Any], actor: str) -> dict[str, Any]:
        values = _checked(body)
        with self._database.transaction() as session:
            row = _find(session, project_id, feature_id)
            for name, value in values.items():
                setattr(row, name, value)
            if "stage" in values:
                self._set_enrolment(session, row, actor)
            made = _feature_json(row, session.get(FlagRow, row.flag_id) if row.flag_id else None)
        self._sets.refresh()
        return made

    def delete(self, project_id: int, feature_id: str, actor: str) -> None:
        with self._database.transaction() as session:
            row = _find(session, project_id, feature_id)
            row.stage = "archived"
            self._set_enrolment(session, row, actor)
            session.delete(row)
        self._sets.refresh()

    def _set_enrolment(self, session: Session, row: EarlyAccessRow, actor: str) -> None:
        """Let the flag follow the feature's stage."""
        flag = session.get(FlagRow, row.flag_id) if row.flag_id is not None else None
        if flag is None or flag.deleted:
            return
        filters = {**flag.filters, "feature_enrollment": row.stage in ("alpha", "beta", "concept")}
        if row.stage == "general-availability":
            filters["groups"] = [{"properties": [], "rollout_percentage": 100}]
        if filters != flag.filters:
            self._editor.change_in(session, row.team_id, flag.id, {"filters": filters}, actor)


def _usable_flag(session: Session, project_id: int, number: Any) -> FlagRow:
    if type(number) is not int:
        raise invalid_field("feature_flag_id", "invalid", "A valid integer is required.")
    flag = find_row(session, project_id, number)
    filters = flag.filters or {}
    if filters.get("multivariate") or filters.get("aggregation_group_type_index") is not None:
        raise invalid_field(
            "feature_flag_id", "invalid_input", "Only a boolean flag about people can decide an early access feature."
        )
    if session.scalar(select(EarlyAccessRow.id).where(EarlyAccessRow.flag_id == flag.id)):
        raise invalid_field(
            "feature_flag_id", "invalid_input", f"The flag {flag.key!r} decides another feature already."
        )
    return flag


def _checked(body: Mapping[str, Any]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for name, most in _TEXTS.items():
        if body.get(name) is not None:
            if not isinstance(body[name], str) or len(body[name]) > most:
                raise invalid_field(name, "invalid", f"Must be a text of at most {most} characters.")
            values[name] = body[name].replace("\0", "")
    if values.get("name") == "":
        raise invalid_field("name", "blank", "This field may not be blank.")
    if body.get("stage") is not None:
        if body["stage"] not in _STAGES:
            raise invalid_field("stage", "invalid_choice", f"Not a valid choice. Use one of: {', '.join(_STAGES)}.")
        values["stage"] = body["stage"]
    if isinstance(body.get("payload"), dict):
        values["payload"] = body["payload"]
    return values


def _find(session: Session, project_id: int, feature_id: str) -> EarlyAccessRow:
    row = session.get(EarlyAccessRow, feature_id[:36])
    if row is None or row.team_id != project_id:
        raise not_found()
    return row


def _feature_json(row: EarlyAccessRow, flag: FlagRow | None) -> dict[str, Any]:
    return {
        "id": row.id, "name": row.name, "description": row.description, "stage": row.stage,
        "documentation_url": row.documentation_url, "payload": row.payload or {},
        "feature_flag": flag_json(flag) if flag is not None else None, "created_at": moment(row.created_at),
    }  # fmt: skip
