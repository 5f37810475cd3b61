"""Issues in the JSON of PostHog's API.

Source: docs/internals/instance-protocol.md#issue-rules.
"""

from datetime import datetime
from typing import Any

from hogline_instance.errors.issues import Issue

__all__ = ["iso", "issue_json"]


def iso(moment: datetime) -> str:
    """Return *moment* as PostHog writes times, with `Z`."""
    return moment.isoformat().replace("+00:00", "Z")


def issue_json(issue: Issue) -> dict[str, Any]:
    """Return the record of an issue."""
    return {
        "id": issue.id,
        "status": issue.status,
        "name": issue.name,
        "description": issue.description,
        "first_seen": iso(issue.first_seen),
        "assignee": issue.assignee,
        "external_issues": [],
        "cohort": None,
        "severity": issue.severity,
    }
