"""Whether a project's test-account filters use a cohort, so that it is not deleted under them."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from hogline_instance.projects.tables import ProjectRow

__all__ = ["test_accounts_use_cohort"]


def test_accounts_use_cohort(session: Session, project_id: int, cohort_id: int) -> str:
    """Return a sentence when the project's test-account filters use the cohort, or ''."""
    settings: Mapping[str, Any] = session.scalar(select(ProjectRow.settings).where(ProjectRow.id == project_id)) or {}
    for each in settings.get("test_account_filters") or []:
        values = each.get("value") if isinstance(each.get("value"), list) else [each.get("value")]
        if each.get("type") == "cohort" and str(cohort_id) in map(str, values):
            return (
                "This cohort is used in the test-account filters of the project."
                " Please remove it from them before deleting it."
            )
    return ""
