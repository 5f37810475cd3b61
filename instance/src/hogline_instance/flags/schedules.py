"""Scheduled changes of flags: `/api/projects/{id}/scheduled_changes/`, and the job that makes them.

Source: docs/internals/management-api.md#early-access-and-scheduled-changes.
"""

import logging
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any
from zoneinfo import ZoneInfo

from croniter import croniter  # type: ignore[import-untyped]
from dateutil.relativedelta import relativedelta
from fastapi import APIRouter, Depends, Request, Response
from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from hogline_instance.db import Database, aware, utc_now
from hogline_instance.flags.changes import FlagEditor, find_row, moment
from hogline_instance.flags.flag_set import flag_sets
from hogline_instance.flags.records import actor_of, user_of
from hogline_instance.flags.remote_config import PayloadCipher
from hogline_instance.flags.tables import FlagRow, ScheduledChangeRow
from hogline_instance.project import PersonalKey, Project
from hogline_instance.services import Services
from hogline_instance.web.auth import Access
from hogline_instance.web.bodies import JsonObject
from hogline_instance.web.errors import ApiError, invalid_field, not_found
from hogline_instance.web.paging import PageRange, offset_page, page_range
from hogline_instance.web.routes import ProjectRoutes
from hogline_instance.web.schemas import json_response

__all__ = ["build_router", "make_due_changes", "next_time"]

_log = logging.getLogger("hogline.instance")
_OPERATIONS = ("update_status", "add_release_condition", "update_variants")
_INTERVALS = {
    "daily": relativedelta(days=1), "weekly": relativedelta(weeks=1), "monthly": relativedelta(months=1),
    "yearly": relativedelta(years=1),
}  # fmt: skip
_MAX_STEPS = 10_000
_MAX_AT_ONCE = 100


def build_router(services: Services, access: Access) -> APIRouter:
    """Return the routes of scheduled changes."""
    allowed: Any = access.project("feature_flag")
    named: Any = access.key("feature_flag")
    database = services.database

    def list_changes(
        request: Request, wanted: Annotated[PageRange, Depends(page_range)], record_id: str | None = None,
        project: Project = allowed,
    ) -> Response:  # fmt: skip
        """List the scheduled changes, of one flag where `record_id` names it."""
        query = select(ScheduledChangeRow).where(ScheduledChangeRow.team_id == project.id)
        query = query.where(ScheduledChangeRow.record_id == record_id) if record_id else query
        with database.session() as session:
            rows = session.scalars(query.order_by(ScheduledChangeRow.id.desc())).all()
        shown = [_json(row) for row in rows[wanted.offset : wanted.offset + wanted.limit]]
        return json_response(offset_page(request, wanted, shown, count=len(rows)))

    def create_change(body: JsonObject, project: Project = allowed, key: PersonalKey = named) -> Response:
        """Schedule a change of a flag."""
        values = _checked(body, is_new=True)
        with database.transaction() as session:
            find_row(session, project.id, int(values["record_id"]))
            row = ScheduledChangeRow(team_id=project.id, created_by=actor_of(key), **values)
            session.add(row)
            session.flush()
            answer = json_response(_json(row))
        answer.status_code = 201
        return answer

    def get_change(change_id: int, project: Project = allowed) -> Response:
        """Return a scheduled change."""
        with database.session() as session:
            return json_response(_json(_find(session, project.id, change_id)))

    def patch_change(change_id: int, body: JsonObject, project: Project = allowed) -> Response:
        """Change a scheduled change that was not made yet."""
        values = _checked(body, is_new=False)
        with database.transaction() as session:
            row = _find(session, project.id, change_id)
            if row.executed_at is not None:
                raise invalid_field(
                    "non_field_errors", "invalid_input", "This change was made already; schedule another one."
                )
            for name, value in values.items():
                setattr(row, name, value)
            return json_response(_json(row))

    def delete_change(change_id: int, project: Project = allowed) -> Response:
        """Cancel a scheduled change."""
        with database.transaction() as session:
            session.delete(_find(session, project.id, change_id))
        return Response(status_code=204)

    routes = ProjectRoutes("scheduled_changes")
    routes.add("GET", "/scheduled_changes/", list_changes)
    routes.add("POST", "/scheduled_changes/", create_change, status=201)
    routes.add("GET", "/scheduled_changes/{change_id:int}/", get_change)
    routes.add("PATCH", "/scheduled_changes/{change_id:int}/", patch_change)
    routes.add("DELETE", "/scheduled_changes/{change_id:int}/", delete_change, status=204)
    return routes.router


def make_due_changes(services: Services) -> None:
    """Make the scheduled changes whose time has come; one process does it at a time."""
    database = services.database
    editor = FlagEditor(database, PayloadCipher(services.settings.data_dir))
    with database.session() as session:
        query = select(ScheduledChangeRow.id).where(_is_due(utc_now())).order_by(ScheduledChangeRow.scheduled_at)
        ids = session.scalars(query.limit(_MAX_AT_ONCE)).all()
    for number in ids:
        _make(database, editor, number)
    if ids:
        flag_sets(database).refresh()


def next_time(row: ScheduledChangeRow, now: datetime) -> datetime | None:
    """Return when a recurring change is due again after *now*; None at the end of its series.

    Days and months are those of the change's time zone.
    """
    zone = ZoneInfo(row.timezone or "UTC")
    due = aware(row.scheduled_at).astimezone(zone)
    if row.cron_expression:
        due = croniter(row.cron_expression, now.astimezone(zone)).get_next(datetime)
    else:
        first, step = due, _INTERVALS[row.recurrence_interval or "daily"]
        for count in range(1, _MAX_STEPS):
            # Counted from the first time: a monthly change of the 31st stays one of the 31st.
            due = first + step * count
            if due > now:
                break
    end = aware(row.end_date) if row.end_date is not None else None
    return due.astimezone(UTC) if end is None or due <= end else None


def _make(database: Database, editor: FlagEditor, number: int) -> None:
    now = utc_now()
    try:
        with database.transaction() as session:
            row = session.scalar(
                select(ScheduledChangeRow).where(ScheduledChangeRow.id == number, _is_due(now)).with_for_update()
            )
            if row is None:
                return  # another process was faster
            flag = find_row(session, row.team_id, int(row.record_id))
            editor.change_in(session, row.team_id, flag.id, _body(flag, row.payload), f"schedule of {row.created_by}")
            _finish(row, now, "")
    except ApiError as error:
        with database.transaction() as session:
            row = session.get(ScheduledChangeRow, number)
            if row is not None:
                _finish(row, now, error.body.detail)
        _log.warning("flags: scheduled change %d could not be made: %s", number, error.body.detail)


def _finish(row: ScheduledChangeRow, now: datetime, failure: str) -> None:
    row.failure_reason = failure or None
    following = next_time(row, now) if row.is_recurring else None
    row.last_executed_at = now
    if following is None:
        row.executed_at = now
    else:
        row.scheduled_at = following


def _is_due(now: datetime) -> Any:
    return (
        ScheduledChangeRow.executed_at.is_(None)
        & (ScheduledChangeRow.scheduled_at <= now)
        & or_(ScheduledChangeRow.end_date.is_(None), ScheduledChangeRow.end_date >= now - timedelta(days=1))
    )


def _body(flag: FlagRow, payload: Mapping[str, Any]) -> dict[str, Any]:
    """Return the PATCH that a scheduled operation means."""
    operation, value = payload["operation"], payload.get("value")
    if operation == "update_status":
        return {"active": bool(value)}
    filters = dict(flag.filters or {})
    given = value if isinstance(value, Mapping) else {}
    if operation == "add_release_condition":
        filters["groups"] = [*(filters.get("groups") or []), *(given.get("groups") or [])]
    else:
        filters["multivariate"] = {"variants": given.get("variants") or []}
        filters["payloads"] = given.get("payloads") or filters.get("payloads")
    return {"filters": filters}


def _checked(body: Mapping[str, Any], *, is_new: bool) -> dict[str, Any]:
    values: dict[str, Any] = {}
    if is_new:
        for name in ("record_id", "model_name", "payload", "scheduled_at"):
            if body.get(name) in (None, ""):
                raise invalid_field(name, "required", "This field is required.")
        if body["model_name"] != "FeatureFlag":
            raise invalid_field("model_name", "invalid_choice", "Only flags can be scheduled: use FeatureFlag.")
        text = str(body["record_id"])
        if not (text.isascii() and text.isdigit() and len(text) < 10):
            raise invalid_field("record_id", "invalid", "record_id must be the id of a flag.")
        values |= {"record_id": text, "model_name": "FeatureFlag"}
    if "payload" in body:
        payload = body["payload"]
        if not isinstance(payload, dict) or payload.get("operation") not in _OPERATIONS:
            raise invalid_field(
                "payload",
                "invalid_input",
                f"payload must be {{operation, value}}; operations are {', '.join(_OPERATIONS)}.",
            )
        values["payload"] = payload
    for name in ("scheduled_at", "end_date"):
        if body.get(name) is not None:
            values[name] = _time(name, body[name])
    return values | _recurrence(body, values.get("payload") or {})


def _recurrence(body: Mapping[str, Any], payload: Mapping[str, Any]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    interval, cron = body.get("recurrence_interval"), body.get("cron_expression")
    if interval is not None and interval not in _INTERVALS:
        raise invalid_field(
            "recurrence_interval", "invalid_choice", f"Not a valid choice. Use one of: {', '.join(_INTERVALS)}."
        )
    if cron is not None and not (isinstance(cron, str) and len(cron.split()) == 5 and croniter.is_valid(cron)):
        raise invalid_field("cron_expression", "invalid_input", "A cron expression has five fields, as in '0 9 * * 1'.")
    if interval and cron:
        raise invalid_field("cron_expression", "invalid_input", "Give an interval or a cron expression, not both.")
    if "timezone" in body and body["timezone"] is not None:
        try:
            ZoneInfo(str(body["timezone"]))
        except (KeyError, ValueError, OSError):
            raise invalid_field(
                "timezone", "invalid_choice", "timezone must be an IANA name such as Europe/Berlin."
            ) from None
    if body.get("is_recurring") is True:
        if not interval and not cron:
            raise invalid_field(
                "recurrence_interval", "required", "A recurring change needs an interval or a cron expression."
            )
        if payload.get("operation") == "add_release_condition":
            raise invalid_field(
                "payload", "invalid_input", "A condition cannot be added again and again; schedule it once."
            )
    for name in ("is_recurring", "recurrence_interval", "cron_expression", "timezone"):
        if name in body:
            values[name] = bool(body[name]) if name == "is_recurring" else body[name]
    return values


def _time(name: str, value: Any) -> datetime:
    try:
        read = datetime.fromisoformat(str(value))
    except ValueError:
        raise invalid_field(
            name, "invalid", "Datetime has wrong format. Use one such as 2026-01-31T09:00:00Z."
        ) from None
    return read.replace(tzinfo=UTC) if read.tzinfo is None else read.astimezone(UTC)


def _find(session: Session, project_id: int, change_id: int) -> ScheduledChangeRow:
    row = session.get(ScheduledChangeRow, change_id)
    if row is None or row.team_id != project_id:
        raise not_found()
    return row


def _json(row: ScheduledChangeRow) -> dict[str, Any]:
    return {
        "id": row.id, "team_id": row.team_id, "record_id": row.record_id, "model_name": row.model_name,
        "payload": row.payload, "scheduled_at": moment(row.scheduled_at), "executed_at": moment(row.executed_at),
        "failure_reason": row.failure_reason, "created_at": moment(row.created_at), "created_by": user_of(row.created_by),
        "is_recurring": bool(row.is_recurring), "recurrence_interval": row.recurrence_interval,
        "cron_expression": row.cron_expression, "end_date": moment(row.end_date),
        "last_executed_at": moment(row.last_executed_at), "timezone": row.timezone,
    }  # fmt: skip
