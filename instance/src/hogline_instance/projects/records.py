"""The records of projects, the organisation, the user and personal keys, in PostHog's shapes."""

import uuid
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import select

from hogline_instance.db import Database
from hogline_instance.project import PersonalKey
from hogline_instance.projects.settings import setting_values
from hogline_instance.projects.tables import OrganizationRow, PersonalKeyRow, ProjectRow

__all__ = ["key_json", "organization", "organization_json", "project_json", "short_project_json", "user_json"]

_ADMIN_LEVEL = 15
_DEFAULT_NAME = "Hogline"


def organization(database: Database) -> OrganizationRow:
    """Return the one organisation, which the first call creates."""
    with database.session() as session:
        row = session.scalar(select(OrganizationRow).limit(1))
    if row is not None:
        return row
    with database.exclusive("organization"), database.transaction() as session:
        row = session.scalar(select(OrganizationRow).limit(1))
        if row is None:
            row = OrganizationRow(id=str(uuid.uuid4()), name=_DEFAULT_NAME)
            session.add(row)
            session.flush()
        session.expunge(row)
    return row


def project_json(row: ProjectRow, owner: OrganizationRow, *, has_events: bool = True) -> dict[str, Any]:
    """Return the record of a project."""
    return {
        "id": row.id,
        "uuid": _project_uuid(row, owner),
        "organization": owner.id,
        "project_id": row.id,
        "name": row.name,
        "api_token": row.token,
        "secret_api_token": row.secret_token,
        "secret_api_token_backup": row.secret_token_backup,
        "created_at": time_json(row.created_at),
        "updated_at": time_json(row.updated_at or row.created_at),
        "ingested_event": has_events,
        "access_control": False,
        "is_demo": False,
        **setting_values(row.settings or {}),
        "effective_membership_level": _ADMIN_LEVEL,
        "has_group_types": False,
        "group_types": [],
        "live_events_token": None,
        "user_access_level": "admin",
    }


def short_project_json(row: ProjectRow, owner: OrganizationRow) -> dict[str, Any]:
    """Return the record of a project as lists and other records show it."""
    whole = project_json(row, owner)
    names = (
        "id", "uuid", "organization", "project_id", "name", "api_token", "ingested_event", "is_demo", "timezone", "access_control",
        "created_at",
    )  # fmt: skip
    return {name: whole[name] for name in names}


def organization_json(owner: OrganizationRow, projects: Sequence[ProjectRow]) -> dict[str, Any]:
    """Return the record of the organisation with its projects."""
    short = [short_project_json(row, owner) for row in projects]
    return {
        "id": owner.id,
        "name": owner.name,
        "slug": owner.name.lower().replace(" ", "-"),
        "created_at": time_json(owner.created_at),
        "updated_at": time_json(owner.created_at),
        "membership_level": _ADMIN_LEVEL,
        "plugins_access_level": 0,
        "teams": short,
        "projects": short,
        "available_product_features": [],
        "is_member_join_email_enabled": False,
        "metadata": {},
    }


def user_json(owner: OrganizationRow, projects: Sequence[ProjectRow], current: ProjectRow) -> dict[str, Any]:
    """Return the record of the instance's one user, the owner of every key."""
    whole = organization_json(owner, projects)
    return {
        "id": 1,
        "uuid": str(uuid.uuid5(uuid.UUID(owner.id), "user/1")),
        "distinct_id": str(uuid.uuid5(uuid.UUID(owner.id), "user/1/distinct_id")),
        "first_name": "Owner",
        "last_name": "",
        "email": "owner@localhost",
        "is_staff": False,
        "is_email_verified": True,
        "has_password": True,
        "date_joined": time_json(owner.created_at),
        "theme_mode": None,
        "team": short_project_json(current, owner),
        "organization": whole,
        "organizations": [{name: whole[name] for name in ("id", "name", "slug", "membership_level")}],
    }


def key_json(key: PersonalKey, row: PersonalKeyRow | None) -> dict[str, Any]:
    """Return the record of a personal key; the key itself is not kept."""
    return {
        "id": str(key.id),
        "label": key.label or "First key",
        "scopes": sorted(key.scopes),
        "scoped_teams": sorted(key.project_ids) if key.project_ids is not None else [],
        "scoped_organizations": [],
        "created_at": time_json(row.created_at) if row is not None else None,
        "last_used_at": None,
        "user_id": 1,
    }


def time_json(moment: datetime) -> str:
    """Return *moment* in UTC as ISO 8601 with `Z`. SQLite returns times without a zone."""
    return moment.replace(tzinfo=moment.tzinfo or UTC).astimezone(UTC).isoformat().replace("+00:00", "Z")


def _project_uuid(row: ProjectRow, owner: OrganizationRow) -> str:
    return str(uuid.uuid5(uuid.UUID(owner.id), f"project/{row.id}"))
