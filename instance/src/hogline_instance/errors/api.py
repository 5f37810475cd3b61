"""`.../error_tracking/issues` and what belongs to issues, in PostHog's shapes.

Source: docs/internals/instance-protocol.md#issue-rules.
"""

from collections.abc import Mapping
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query, Response
from fastapi.responses import JSONResponse

from hogline_instance.db import aware, storable_text
from hogline_instance.errors.frame_contents import frames_by_id
from hogline_instance.errors.history import history_of, note
from hogline_instance.errors.issue_json import iso, issue_json
from hogline_instance.errors.issues import (
    SETTABLE_STATUSES,
    change_issue,
    find_issue,
    find_issues,
    fingerprints_of,
    issue_of_fingerprint,
    list_issues,
    merge_issues,
    search_names,
    split_issue,
)  # fmt: skip
from hogline_instance.errors.request_bodies import PlainObject, invalid_choice, read_assignee, required, text_list
from hogline_instance.errors.rules import SEVERITIES
from hogline_instance.errors.tables import HistoryRow
from hogline_instance.errors.tracking_query import issue_results, listed_issues, read_question
from hogline_instance.people import CohortMembers
from hogline_instance.project import Project
from hogline_instance.services import Services
from hogline_instance.web.auth import Access
from hogline_instance.web.errors import ApiError, bad_request, not_found
from hogline_instance.web.routes import ProjectRoutes

__all__ = ["build_router"]

_MAX_LIMIT = 1_000
_ACTOR = "API"
_TEXTS = ("name", "description")


def build_router(services: Services, access: Access, cohorts: CohortMembers) -> APIRouter:
    """Return the routes of issues. *cohorts* finds the people of a cohort."""
    routes, issues = ProjectRoutes("error_tracking"), _Issues(services)
    allowed: Any = access.project("error_tracking")

    def list_all(
        limit: Annotated[int, Query(ge=1, le=_MAX_LIMIT)] = 100,
        offset: Annotated[int, Query(ge=0)] = 0,
        project: Project = allowed,
    ) -> dict[str, Any]:
        """Return issues, the newest first."""
        return issues.page(project, limit, offset)

    def get(issue_id: str, fingerprint: str | None = None, project: Project = allowed) -> Response:
        """Return an issue; `fingerprint` finds the issue that took over, answered with 308."""
        return issues.get(project, issue_id, fingerprint)

    def patch(issue_id: str, body: PlainObject, project: Project = allowed) -> dict[str, Any]:
        """Set status, name, description, severity or assignee."""
        return issues.patch(project, issue_id, body)

    def merge(issue_id: str, body: PlainObject, project: Project = allowed) -> dict[str, Any]:
        """Move the fingerprints of `ids` to this issue."""
        return issues.merge(project, issue_id, text_list(body, "ids"))

    def split(issue_id: str, body: PlainObject, project: Project = allowed) -> dict[str, Any]:
        """Move `fingerprints` of this issue to new issues."""
        return issues.split(project, issue_id, body)

    def assign(issue_id: str, body: PlainObject, project: Project = allowed) -> dict[str, Any]:
        """Assign the issue, or with null nobody."""
        issues.change(project, issue_id, {"assignee": read_assignee(required(body, "assignee"))})
        return {"success": True}

    def bulk(body: PlainObject, project: Project = allowed) -> dict[str, Any]:
        """Set the status or the assignee of several issues."""
        return issues.bulk(project, body)

    def values(key: str, value: str = "", project: Project = allowed) -> list[dict[str, str]]:
        """Return names or descriptions that contain a text."""
        return issues.values(project, key, value)

    def activity(issue_id: str, limit: int = 50, project: Project = allowed) -> dict[str, Any]:
        """Return the history of an issue, newest first."""
        return issues.activity(project, issue_id, limit)

    def comment(issue_id: str, body: PlainObject, project: Project = allowed) -> dict[str, Any]:
        """Write a comment into the history of an issue."""
        return issues.comment(project, issue_id, required(body, "content"))

    def fingerprints(issue_id: str, project: Project = allowed) -> dict[str, Any]:
        """Return the fingerprints of an issue."""
        return issues.fingerprints(project, issue_id)

    def batch_get(body: PlainObject, project: Project = allowed) -> dict[str, Any]:
        """Return frames with their source lines, by `raw_ids`."""
        wanted = text_list(body, "raw_ids") if "symbol_set" not in body else []
        return {"results": frames_by_id(services.store, project.id, wanted, body.get("symbol_set"))}

    def issues_list(body: PlainObject, project: Project = allowed) -> dict[str, Any]:
        """Return issues with counts; the parameters are those of `ErrorTrackingQuery`."""
        given = body.get("query")
        query = given if isinstance(given, Mapping) else body
        asked = read_question({"status": "active", **query}, default_order="occurrences", default_limit=25)
        listed, has_more = listed_issues(services, project, asked, cohorts)
        return {
            "results": issue_results(services, project, query, asked, listed), "hasMore": has_more, "limit": asked.limit,
            "offset": asked.offset, "nextOffset": asked.offset + asked.limit if has_more else None,
        }  # fmt: skip

    routes.add("GET", "/error_tracking/issues/", list_all)
    routes.add("POST", "/error_tracking/issues/bulk/", bulk)
    routes.add("GET", "/error_tracking/issues/values/", values)
    routes.add("GET", "/error_tracking/issues/{issue_id}/", get)
    routes.add("PATCH", "/error_tracking/issues/{issue_id}/", patch)
    routes.add("POST", "/error_tracking/issues/{issue_id}/merge/", merge)
    routes.add("POST", "/error_tracking/issues/{issue_id}/split/", split)
    routes.add("PATCH", "/error_tracking/issues/{issue_id}/assign/", assign)
    routes.add("GET", "/error_tracking/issues/{issue_id}/activity/", activity)
    routes.add("POST", "/error_tracking/issues/{issue_id}/comments/", comment, status=201)
    routes.add("DELETE", "/error_tracking/issues/{issue_id}/", _cannot_delete)
    routes.add("GET", "/error_tracking/fingerprints/", fingerprints)
    routes.add("POST", "/error_tracking/stack_frames/batch_get/", batch_get)
    routes.add("POST", "/error_tracking/query/issues_list/", issues_list)
    return routes.router


def _cannot_delete(issue_id: str) -> None:
    """Refuse: issues are never deleted."""
    raise ApiError(
        405, "invalid_request", "method_not_allowed",
        f"Issue {issue_id[:50]} can't be deleted. Set its status to suppressed or archived, or merge it into another.",
    )  # fmt: skip


class _Issues:
    def __init__(self, services: Services) -> None:
        self._database = services.database

    def page(self, project: Project, limit: int, offset: int) -> dict[str, Any]:
        with self._database.session() as session:
            known = sorted(list_issues(session, project.id).items(), key=lambda item: item[1], reverse=True)
            ids = [issue_id for issue_id, _ in known[offset : offset + limit]]
            found = find_issues(session, project.id, ids)
        after = f"?limit={limit}&offset={offset + limit}" if len(known) > offset + limit else None
        before = f"?limit={limit}&offset={max(offset - limit, 0)}" if offset else None
        path = f"/api/projects/{project.id}/error_tracking/issues/"
        return {
            "count": len(known), "next": path + after if after else None, "previous": path + before if before else None,
            "results": [issue_json(found[each]) for each in ids if each in found],
        }  # fmt: skip

    def get(self, project: Project, issue_id: str, fingerprint: str | None) -> Response:
        with self._database.session() as session:
            if fingerprint:
                owner = issue_of_fingerprint(session, project.id, fingerprint)
                if owner is not None and owner != issue_id:
                    return JSONResponse({"issue_id": owner}, 308)
            issue = find_issue(session, project.id, _known_form(issue_id))
        if issue is None:
            raise not_found("Not found.")
        return JSONResponse(issue_json(issue))

    def patch(self, project: Project, issue_id: str, body: Mapping[str, Any]) -> dict[str, Any]:
        changes: dict[str, Any] = {}
        if "status" in body:
            changes["status"] = _status(body["status"])
        for name in _TEXTS:
            if name in body:
                changes[name] = _plain_text(name, body[name])
        if "severity" in body:
            if body["severity"] is not None and body["severity"] not in SEVERITIES:
                raise invalid_choice("severity", body["severity"])
            changes["severity"] = body["severity"]
        if "assignee" in body:
            changes["assignee"] = read_assignee(body["assignee"])
        self.change(project, issue_id, changes)
        with self._database.session() as session:
            issue = find_issue(session, project.id, issue_id)
        if issue is None:
            raise not_found("Not found.")
        return issue_json(issue)

    def change(self, project: Project, issue_id: str, changes: Mapping[str, Any]) -> None:
        with self._database.transaction() as session:
            if not change_issue(session, project.id, _known_form(issue_id), changes, actor=_ACTOR):
                raise not_found("Not found.")

    def merge(self, project: Project, issue_id: str, ids: list[str]) -> dict[str, Any]:
        with self._database.transaction() as session:
            if not merge_issues(session, project.id, _known_form(issue_id), ids, actor=_ACTOR):
                raise not_found("Not found.")
        return {"success": True}

    def split(self, project: Project, issue_id: str, body: Mapping[str, Any]) -> dict[str, Any]:
        given = required(body, "fingerprints")
        if not isinstance(given, list):
            raise bad_request("fingerprints", "fingerprints must be a list")
        wanted = [each if isinstance(each, Mapping) else {"fingerprint": str(each)} for each in given]
        exclusive = body.get("exclusive", True) is not False
        with self._database.transaction() as session:
            made = split_issue(session, project.id, _known_form(issue_id), wanted, exclusive=exclusive, actor=_ACTOR)
        if made is None:
            raise not_found("Not found.")
        return {"success": True, "new_issue_ids": made}

    def bulk(self, project: Project, body: Mapping[str, Any]) -> dict[str, Any]:
        action, ids = required(body, "action"), text_list(body, "ids")
        if action == "set_status":
            changes: dict[str, Any] = {"status": _status(required(body, "status"))}
        elif action == "assign":
            changes = {"assignee": read_assignee(required(body, "assignee"))}
        else:
            raise invalid_choice("action", action)
        with self._database.transaction() as session:
            for issue_id in sorted(set(ids))[:_MAX_LIMIT]:
                change_issue(session, project.id, issue_id, changes, actor=_ACTOR)
        return {"success": True}

    def values(self, project: Project, key: str, value: str) -> list[dict[str, str]]:
        if key not in {"name", "issue_description"}:
            return []
        with self._database.session() as session:
            return [{"name": name} for name in search_names(session, project.id, key, value[:200])]

    def activity(self, project: Project, issue_id: str, limit: int) -> dict[str, Any]:
        with self._database.session() as session:
            rows = history_of(session, project.id, issue_id)
            results = [_activity_json(row) for row in rows[: max(limit, 1)]]
        return {"results": results, "next": None, "previous": None, "total_count": len(rows)}

    def comment(self, project: Project, issue_id: str, content: object) -> dict[str, Any]:
        text = _plain_text("content", content)
        with self._database.transaction() as session:
            if find_issue(session, project.id, _known_form(issue_id)) is None:
                raise not_found("Not found.")
            note(session, [(project.id, issue_id, "commented", {"content": text[:10_000]})], actor=_ACTOR)
        return {"success": True}

    def fingerprints(self, project: Project, issue_id: str) -> dict[str, Any]:
        with self._database.session() as session:
            rows = fingerprints_of(session, project.id, issue_id)
            results = [
                {"fingerprint": row.fingerprint, "issue_id": row.issue_id, "created_at": iso(aware(row.created_at))}
                for row in rows
            ]
        return {"results": results}


def _activity_json(row: HistoryRow) -> dict[str, Any]:
    changes = [
        {"type": "ErrorTrackingIssue", "action": "changed", "field": each["field"], "before": each["before"], "after": each["after"]}
        for each in row.detail.get("changes", ())
    ]  # fmt: skip
    return {
        "user": {"first_name": row.actor, "email": ""} if row.actor else None,
        "activity": row.activity,
        "scope": "ErrorTrackingIssue",
        "item_id": row.issue_id,
        "detail": {**row.detail, "name": None, "changes": changes},
        "created_at": iso(aware(row.created_at)),
        "is_system": not row.actor,
        "was_impersonated": False,
    }


def _known_form(issue_id: str) -> str:
    try:
        return str(UUID(issue_id))
    except ValueError:
        raise not_found("Not found.") from None


def _status(value: object) -> str:
    if value not in SETTABLE_STATUSES:
        raise invalid_choice("status", value)
    return str(value)


def _plain_text(name: str, value: object) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ApiError(400, "validation_error", "blank", "This field may not be blank.", name)
    return storable_text(value)
