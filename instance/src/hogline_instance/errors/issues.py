"""Issues in SQL: find them, change them, merge and split them. Each change is in the history."""

import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import delete, func, or_, select, update
from sqlalchemy.orm import Session

from hogline_instance.db import aware, utc_now
from hogline_instance.errors.history import note
from hogline_instance.errors.tables import FingerprintRow, HistoryRow, IssueRow

__all__ = [
    "SETTABLE_STATUSES",
    "STATUSES",
    "Issue",
    "change_issue",
    "find_issue",
    "find_issues",
    "fingerprints_of",
    "issue_of_fingerprint",
    "list_issues",
    "merge_issues",
    "moved_fingerprints",
    "split_issue",
]

STATUSES = ("active", "resolved", "suppressed", "archived", "pending_release")
SETTABLE_STATUSES = STATUSES
_MAX_NAME, _MAX_DESCRIPTION = 1_000, 255
_MAX_IDS = 10_000


@dataclass(frozen=True, slots=True)
class Issue:
    """One issue, without its counts."""

    id: str
    status: str
    name: str
    description: str
    first_seen: datetime
    created_at: datetime
    severity: str | None
    assignee_type: str | None
    assignee_id: str | None

    @property
    def assignee(self) -> dict[str, Any] | None:
        """Return the assignee in the API's form: a user's id is a number, a role's a text."""
        if self.assignee_type is None:
            return None
        number = self.assignee_id or ""
        is_number = self.assignee_type == "user" and number.isascii() and number.isdigit()
        return {"id": int(number) if is_number else number, "type": self.assignee_type}


def find_issues(session: Session, project_id: int, ids: Iterable[str]) -> dict[str, Issue]:
    """Return the issues of a project by id; unknown ids are left out."""
    wanted = list(dict.fromkeys(ids))[:_MAX_IDS]
    earliest = (
        select(FingerprintRow.issue_id, func.min(FingerprintRow.first_seen).label("moment"))
        .where(FingerprintRow.team_id == project_id, FingerprintRow.issue_id.in_(wanted))
        .group_by(FingerprintRow.issue_id)
    )
    first_seen = {row.issue_id: row.moment for row in session.execute(earliest)}
    rows = session.scalars(select(IssueRow).where(IssueRow.team_id == project_id, IssueRow.id.in_(wanted)))
    return {row.id: _issue(row, first_seen.get(row.id)) for row in rows}


def find_issue(session: Session, project_id: int, issue_id: str) -> Issue | None:
    """Return one issue, or None."""
    return find_issues(session, project_id, [issue_id]).get(issue_id)


def list_issues(
    session: Session, project_id: int, *, status: str | None = None, assignee: Mapping[str, Any] | None = None
) -> dict[str, datetime]:
    """Return the ids of the issues with this status and assignee, each with its first time."""
    query = (
        select(IssueRow.id, func.min(FingerprintRow.first_seen))
        .join(FingerprintRow, FingerprintRow.issue_id == IssueRow.id)
        .where(IssueRow.team_id == project_id)
        .group_by(IssueRow.id)
    )
    if status is not None:
        query = query.where(IssueRow.status == status)
    if assignee is not None:
        query = query.where(
            IssueRow.assignee_type == str(assignee.get("type")), IssueRow.assignee_id == str(assignee.get("id"))
        )
    return {issue_id: aware(_moment(moment)) for issue_id, moment in session.execute(query)}


def fingerprints_of(session: Session, project_id: int, issue_id: str) -> list[FingerprintRow]:
    """Return the fingerprints of an issue, oldest first."""
    query = select(FingerprintRow).where(FingerprintRow.team_id == project_id, FingerprintRow.issue_id == issue_id)
    return list(session.scalars(query.order_by(FingerprintRow.id)))


def issue_of_fingerprint(session: Session, project_id: int, fingerprint: str) -> str | None:
    """Return the id of a fingerprint's issue, or None."""
    query = select(FingerprintRow.issue_id).where(
        FingerprintRow.team_id == project_id, FingerprintRow.fingerprint == fingerprint
    )
    return session.scalar(query)


def moved_fingerprints(session: Session, project_id: int) -> dict[str, str]:
    """Return the issue of each fingerprint that a merge or a split ever moved.

    Stored events may name the issue that they had before.
    """
    query = select(FingerprintRow.fingerprint, FingerprintRow.issue_id).where(
        FingerprintRow.team_id == project_id, FingerprintRow.version > 0
    )
    return {row.fingerprint: row.issue_id for row in session.execute(query)}


def change_issue(session: Session, project_id: int, issue_id: str, changes: Mapping[str, Any], *, actor: str) -> bool:
    """Set status, name, description, severity or assignee; return False when there is no such issue."""
    row = session.scalar(
        select(IssueRow).where(IssueRow.team_id == project_id, IssueRow.id == issue_id).with_for_update()
    )
    if row is None:
        return False
    values = dict(changes)
    if "assignee" in values:
        assignee = values.pop("assignee")
        values["assignee_type"] = None if assignee is None else str(assignee["type"])
        values["assignee_id"] = None if assignee is None else str(assignee["id"])[:64]
    before = {name: getattr(row, name) for name in values}
    for name, value in values.items():
        limit = {"name": _MAX_NAME, "description": _MAX_DESCRIPTION}.get(name)
        setattr(row, name, value[:limit] if limit is not None and isinstance(value, str) else value)
    changed = [
        {"field": name, "before": before[name], "after": getattr(row, name)}
        for name in values
        if getattr(row, name) != before[name]
    ]
    if changed:
        activity = _activity({each["field"] for each in changed}, row.status)
        note(session, [(project_id, issue_id, activity, {"changes": changed})], actor=actor)
    return True


def merge_issues(session: Session, project_id: int, target: str, ids: Iterable[str], *, actor: str) -> bool:
    """Move the fingerprints of *ids* to *target* and delete those issues; past events follow.

    Unknown ids and the target itself are ignored. Returns False when there is no such target.
    """
    others = [each for each in dict.fromkeys(ids) if each != target][:_MAX_IDS]
    # The rows are locked in one order, so that two merges at the same moment cannot deadlock.
    locked = session.scalars(
        select(IssueRow)
        .where(IssueRow.team_id == project_id, IssueRow.id.in_([target, *others]))
        .order_by(IssueRow.id)
        .with_for_update()
    )
    rows = {row.id: row for row in locked}
    if target not in rows:
        return False
    merged = [each for each in others if each in rows]
    if not merged:
        return True
    session.execute(
        update(FingerprintRow)
        .where(FingerprintRow.team_id == project_id, FingerprintRow.issue_id.in_(merged))
        .values(issue_id=target, version=FingerprintRow.version + 1)
        .execution_options(synchronize_session=False)
    )
    session.execute(update(HistoryRow).where(HistoryRow.issue_id.in_(merged)).values(issue_id=target))
    names = [rows[each].name for each in merged]
    note(session, [(project_id, target, "merged", {"ids": merged, "names": names})], actor=actor)
    session.execute(delete(IssueRow).where(IssueRow.id.in_(merged)).execution_options(synchronize_session=False))
    return True


def split_issue(
    session: Session,
    project_id: int,
    issue_id: str,
    wanted: Sequence[Mapping[str, Any]],
    *,
    exclusive: bool,
    actor: str,
) -> list[str] | None:
    """Move fingerprints of an issue to new issues, one each with *exclusive*; return their ids.

    Each of *wanted* has a fingerprint and may have a name and a description. Fingerprints of other
    issues are ignored. Returns None when there is no such issue.
    """
    row = session.scalar(
        select(IssueRow).where(IssueRow.team_id == project_id, IssueRow.id == issue_id).with_for_update()
    )
    if row is None:
        return None
    own = {each.fingerprint: each for each in fingerprints_of(session, project_id, issue_id)}
    made: list[str] = []
    for each in wanted:
        fingerprint = own.pop(str(each.get("fingerprint")), None)
        if fingerprint is None:
            continue
        if exclusive or not made:
            new = IssueRow(
                id=str(uuid.uuid4()), team_id=project_id, status="active", name=str(each.get("name") or row.name)[:_MAX_NAME],
                description=str(each.get("description") or row.description)[:_MAX_DESCRIPTION], created_at=utc_now(),
            )  # fmt: skip
            session.add(new)
            session.flush()
            made.append(new.id)
        fingerprint.issue_id = made[-1]
        fingerprint.version += 1
    if made:
        session.flush()
        entries: list[tuple[int, str, str, Mapping[str, Any]]] = [(project_id, issue_id, "split", {"ids": made})]
        entries += [(project_id, each, "split_from", {"ids": [issue_id], "names": [row.name]}) for each in made]
        note(session, entries, actor=actor)
    return made


def search_names(session: Session, project_id: int, key: str, text: str) -> list[str]:
    """Return names or descriptions of issues that contain *text*."""
    column = IssueRow.name if key == "name" else IssueRow.description
    query = select(column).where(IssueRow.team_id == project_id).distinct().limit(50)
    if text:
        query = query.where(or_(func.lower(column).contains(text.lower(), autoescape=True)))
    return list(session.scalars(query))


def _activity(fields: set[str], status: str) -> str:
    if fields == {"status"}:
        return {"active": "reopened_by"}.get(status, status)
    return "assigned" if fields <= {"assignee_type", "assignee_id"} else "updated"


def _issue(row: IssueRow, first_seen: Any) -> Issue:
    return Issue(
        row.id, row.status, row.name, row.description, aware(_moment(first_seen) if first_seen else row.created_at),
        aware(row.created_at), row.severity, row.assignee_type, row.assignee_id,
    )  # fmt: skip


def _moment(value: Any) -> datetime:
    return value if isinstance(value, datetime) else datetime.fromisoformat(str(value))
