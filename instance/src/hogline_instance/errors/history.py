"""The history of issues: what happened, who did it, and in which release."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import Text, cast, insert, select
from sqlalchemy.orm import Session

from hogline_instance.db import utc_now
from hogline_instance.errors.tables import HistoryRow

__all__ = ["history_of", "merged_into", "note"]

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


def merged_into(session: Session, project_id: int, issue_id: str) -> str | None:
    """Return the id of the issue that took over *issue_id* by a merge, or None.

    The history of an issue moves with it, so this is the last of several merges.
    """
    merges = select(HistoryRow.issue_id).where(
        HistoryRow.team_id == project_id,
        HistoryRow.activity == "merged",
        cast(HistoryRow.detail, Text).contains(f'"{issue_id}"', autoescape=True),
    )
    return session.scalar(merges.order_by(HistoryRow.id.desc()).limit(1))
