"""Create, change and delete projects, and rotate their tokens."""

import logging
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, delete, func, or_, select
from sqlalchemy.orm import Session

from hogline_instance.db import Base, Database, utc_now
from hogline_instance.exceptions import StoreError
from hogline_instance.projects.settings import SETTINGS
from hogline_instance.projects.tables import DeletedProjectRow, PersonalKeyRow, ProjectRow
from hogline_instance.projects.tokens import new_token
from hogline_instance.store import Store
from hogline_instance.web.errors import ApiError, invalid_field, not_found

__all__ = ["change_project", "checked_name", "create_project", "delete_project", "purge_deleted", "replace_token"]

_log = logging.getLogger("hogline.instance")
MAX_NAME_CHARS = 200
# A batch that had passed the steps when its project was deleted is inserted later: at once as a
# rule, and after an outage of the store much later.
_PURGES_AFTER = (timedelta(0), timedelta(minutes=1), timedelta(days=1))


def checked_name(value: object) -> str:
    """Return the name of a project. Raises ApiError: it is no usable name."""
    if not isinstance(value, str):
        raise invalid_field("name", "required" if value is None else "invalid", "This field is required: a text.")
    name = value.strip()
    if not name:
        raise invalid_field("name", "blank", "This field may not be blank.")
    if len(name) > MAX_NAME_CHARS:
        raise invalid_field("name", "max_length", f"Ensure this field has no more than {MAX_NAME_CHARS} characters.")
    return name


def create_project(database: Database, name: str, settings: Mapping[str, Any]) -> ProjectRow:
    """Add a project with a fresh token, and return it."""
    with database.exclusive("projects"), database.transaction() as session:
        # SQLite gives the highest id again after its row is deleted; an id of a deleted project
        # could still have events on their way.
        last_ids = (session.scalar(select(func.max(table.id))) or 0 for table in (ProjectRow, DeletedProjectRow))
        row = ProjectRow(
            id=max(last_ids) + 1, name=name, token=new_token("phc_"), updated_at=utc_now(), settings=_stored(settings)
        )
        session.add(row)
        session.flush()
        session.expunge(row)
    return row


def change_project(database: Database, project_id: int, name: str | None, settings: Mapping[str, Any]) -> ProjectRow:
    """Set the name, unless it is None, and *settings*. Raises ApiError: there is no such project."""
    with database.transaction() as session:
        row = _row(session, project_id)
        if name is not None:
            row.name = name
        row.settings = _stored({**(row.settings or {}), **settings})
        row.updated_at = utc_now()
        session.flush()
        session.expunge(row)
    return row


def replace_token(database: Database, project_id: int, action: str) -> ProjectRow:
    """Do *action*: `reset_token`, `rotate_secret_token` or `delete_secret_token_backup`."""
    with database.transaction() as session:
        row = _row(session, project_id)
        if action == "reset_token":
            row.token = new_token("phc_")
        elif action == "rotate_secret_token":
            row.secret_token_backup, row.secret_token = row.secret_token, new_token("phs_")
        else:
            row.secret_token_backup = None
        row.updated_at = utc_now()
        session.flush()
        session.expunge(row)
    return row


def delete_project(database: Database, project_id: int) -> None:
    """Delete a project and everything that SQL holds of it. `purge_deleted` deletes its events.

    Personal keys of the project that may act on others move to one of them.
    Raises ApiError: it is the last project.
    """
    with database.exclusive("projects"), database.transaction() as session:
        _row(session, project_id)
        others = list(session.scalars(select(ProjectRow.id).where(ProjectRow.id != project_id).order_by(ProjectRow.id)))
        if not others:
            raise ApiError(
                400, "validation_error", "invalid_input",
                "This is the only project. Create another one first: an instance always has a project.",
            )  # fmt: skip
        for key in session.scalars(select(PersonalKeyRow).where(PersonalKeyRow.project_id == project_id)):
            allowed = [each for each in others if key.project_ids is None or each in key.project_ids]
            if allowed:
                key.project_id = allowed[0]
        session.flush()
        for table in reversed(Base.metadata.sorted_tables):
            for column in ("team_id", "project_id"):
                if column in table.c:
                    session.execute(delete(table).where(table.c[column] == project_id))
        session.execute(delete(ProjectRow).where(ProjectRow.id == project_id))
        session.add(DeletedProjectRow(id=project_id))


def purge_deleted(database: Database, store: Store) -> None:
    """Delete the events of deleted projects from the store: at once, a minute and a day later."""
    now = utc_now()
    with database.session() as session:
        rows = session.scalars(select(DeletedProjectRow).where(_may_be_due(now))).all()
    for row in rows:
        ages = [row.deleted_at.replace(tzinfo=now.tzinfo) + age for age in _PURGES_AFTER]
        purged_at = row.purged_at.replace(tzinfo=now.tzinfo) if row.purged_at is not None else None
        if any(due <= now and (purged_at is None or purged_at < due) for due in ages):
            try:
                store.delete_team(row.id)
            except StoreError as error:
                _log.warning(
                    "projects: the events of deleted project %d remain, retrying: %s", row.id, str(error)[:300]
                )
                continue
            with database.transaction() as session:
                found = session.get(DeletedProjectRow, row.id)
                if found is not None:
                    found.purged_at = now


def _may_be_due(now: datetime) -> ColumnElement[bool]:
    # A project that was deleted longer ago has been purged for the last time.
    recent = DeletedProjectRow.deleted_at > now - 7 * _PURGES_AFTER[-1]
    return or_(DeletedProjectRow.purged_at.is_(None), recent)


def _stored(settings: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in settings.items() if value != SETTINGS[name].default}


def _row(session: Session, project_id: int) -> ProjectRow:
    row = session.get(ProjectRow, project_id)
    if row is None:
        raise not_found()
    return row
