"""The history of issues: what happened, who did it, and in which release."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import insert, select
from sqlalchemy.orm import Session

from hogline_instance.db import utc_now
from hogline_instance.errors.tables import HistoryRow

__all__ = ["history_of", "note"]

_MAX_ENTRIES = 200
Entry = tuple[int, str, str, Mapping[str, Any]]


def note(session: Session, entries: Iterable[Entry], *, actor: str = "") -> None:
    """Write *entries*, each of project, issue, activity and detail."""
    rows = [
        {
            "team_id": team, "issue_id": issue, "activity": activity, "actor": actor[:200], "detail": dict(detail),
            "created_at": utc_now(),
        }
        for team, issue, activity, detail in entries
    ]  # fmt: skip
    if rows:
        session.execute(insert(HistoryRow), rows)


def history_of(session: Session, project_id: int, issue_id: str) -> Sequence[HistoryRow]:
    """Return what happened to an issue, newest first."""
    query = (
        select(HistoryRow)
        .where(HistoryRow.team_id == project_id, HistoryRow.issue_id == issue_id)
        .order_by(HistoryRow.id.desc())
        .limit(_MAX_ENTRIES)
    )
    return session.scalars(query).all()
