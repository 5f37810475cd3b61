"""Whether a project's recordings depend on a flag, so that it is not deleted or renamed under them."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from hogline_instance.projects.tables import ProjectRow

__all__ = ["recordings_use_flag"]


def recordings_use_flag(session: Session, project_id: int, flag_id: int, key: str) -> bool:
    """Return whether the setting `session_recording_linked_flag` names the flag, by id or by key.

    Source: docs/internals/management-api.md#users-organisations-and-projects.
    """
    settings: Mapping[str, Any] = session.scalar(select(ProjectRow.settings).where(ProjectRow.id == project_id)) or {}
    linked = settings.get("session_recording_linked_flag")
    return isinstance(linked, Mapping) and (linked.get("id") == flag_id or linked.get("key") == key)
