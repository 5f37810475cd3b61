"""The forms on the pages of issues: status, assignee, name, severity, comments, merges and splits."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy.orm import Session

from hogline_instance.db import storable_text
from hogline_instance.errors.history import note
from hogline_instance.errors.issues import STATUSES, change_issue, merge_issues, split_issue
from hogline_instance.errors.rules import SEVERITIES
from hogline_instance.web.bodies import form_text

__all__ = ["change_by_form", "change_selected"]

_ACTOR = "page"
_MAX_SELECTED = 1_000
_MAX_COMMENT = 10_000
Form = Mapping[str, Sequence[str]]


def change_selected(session: Session, project_id: int, form: Form) -> None:
    """Change the selected issues. Assigning needs a name, so that none is unassigned by accident."""
    ids, action = list(dict.fromkeys(form.get("id", ())))[:_MAX_SELECTED], form_text(form, "action")
    if action == "merge" and len(ids) > 1:
        merge_issues(session, project_id, ids[0], ids[1:], actor=_ACTOR)
    elif action == "assign" and (assignee := _assignee(form)) is not None:
        _change_all(session, project_id, ids, {"assignee": assignee})
    elif action in STATUSES:
        _change_all(session, project_id, ids, {"status": action})


def change_by_form(session: Session, project_id: int, issue_id: str, form: Form) -> bool:
    """Change one issue by the fields that the form has; return False when there is no such issue."""
    changes = dict[str, Any]()
    if form_text(form, "status") in STATUSES:
        changes["status"] = form_text(form, "status")
    if "assignee" in form:
        changes["assignee"] = _assignee(form)
    for name in ("name", "description"):
        if text := _text(form, name):
            changes[name] = text
    if "severity" in form:
        severity = form_text(form, "severity")
        changes["severity"] = severity if severity in SEVERITIES else None
    if not change_issue(session, project_id, issue_id, changes, actor=_ACTOR):
        return False
    if comment := _text(form, "comment")[:_MAX_COMMENT]:
        note(session, [(project_id, issue_id, "commented", {"content": comment})], actor=_ACTOR)
    wanted = [{"fingerprint": each} for each in form.get("fingerprint", ())]
    if wanted:
        split_issue(session, project_id, issue_id, wanted, exclusive=False, actor=_ACTOR)
    return True


def _change_all(session: Session, project_id: int, ids: Sequence[str], changes: Mapping[str, Any]) -> None:
    # In one order, so that two changes at the same moment cannot deadlock.
    for issue_id in sorted(ids):
        change_issue(session, project_id, issue_id, changes, actor=_ACTOR)


def _assignee(form: Form) -> dict[str, str] | None:
    name = _text(form, "assignee")[:64]
    return {"type": "user", "id": name} if name else None


def _text(form: Form, name: str) -> str:
    return storable_text(form_text(form, name).strip())
