"""Which flags use a cohort, so that it is not deleted under them."""

from sqlalchemy import select
from sqlalchemy.orm import Session

from hogline_instance.flags.tables import FlagRow

__all__ = ["use_of_cohort"]


def use_of_cohort(session: Session, project_id: int, cohort_id: int) -> str:
    """Return PostHog's sentence about the active flags that use a cohort, or ''."""
    rows = session.execute(
        select(FlagRow.key, FlagRow.name, FlagRow.filters).where(
            FlagRow.team_id == project_id, FlagRow.deleted.is_(False), FlagRow.active.is_(True)
        )
    )
    names = [
        name or key
        for key, name, filters in rows
        if any(
            each.get("type") == "cohort" and str(each.get("value")) == str(cohort_id)
            for group in (filters or {}).get("groups") or []
            for each in group.get("properties") or []
        )
    ]
    if not names:
        return ""
    return (
        f"This cohort is used in {len(names)} active feature flag(s): {', '.join(names)}."
        " Please remove the cohort from these feature flags before deleting it."
    )
