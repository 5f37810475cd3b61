"""The cohorts and flags that a project's settings use, so that these are not deleted under them."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from hogline_instance.projects.tables import ProjectRow

__all__ = ["recordings_use_flag", "test_accounts_use_cohort"]


def test_accounts_use_cohort(session: Session, project_id: int, cohort_id: int) -> str:
    """Return a sentence when the project's test-account filters use the cohort, or ''."""
    for each in _settings(session, project_id).get("test_account_filters") or []:
        values = each.get("value") if isinstance(each.get("value"), list) else [each.get("value")]
        if each.get("type") == "cohort" and str(cohort_id) in map(str, values):
            return (
                "This cohort is used in the test-account filters of the project."
                " Please remove it from them before deleting it."
            )
    return ""


def recordings_use_flag(session: Session, project_id: int, flag_id: int, key: str) -> bool:
    """Return whether the setting `session_recording_linked_flag` names the flag, by id or by key.

    Source: docs/internals/management-api.md#users-organisations-and-projects.
    """
    linked = _settings(session, project_id).get("session_recording_linked_flag")
    return isinstance(linked, Mapping) and (linked.get("id") == flag_id or linked.get("key") == key)


def _settings(session: Session, project_id: int) -> Mapping[str, Any]:
    """Return the settings that differ from their defaults."""
    return session.scalar(select(ProjectRow.settings).where(ProjectRow.id == project_id)) or {}
