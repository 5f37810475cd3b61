"""Which occasions an alert is about: its triggers, and filters of the event and the issue. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any

from hogline_instance.errors import CREATED, REOPENED, SPIKING, FilterError, IssueOccasion, Rule, release_of

__all__ = ["ISSUE_PROPERTIES", "TRIGGERS", "facts_of", "matches"]

TRIGGERS = (CREATED, REOPENED, SPIKING)
ISSUE_PROPERTIES = ("$issue_name", "$issue_description", "$issue_severity", "$issue_status", "$issue_assignee")
"""The names under which filters see the issue beside the event's properties."""


def facts_of(occasion: IssueOccasion) -> dict[str, Any]:
    """Return the properties that filters see.

    `$release` and `$environment` also stand for the other names that SDKs use.
    """
    own = occasion.properties
    issue = (occasion.name, occasion.description, occasion.severity, occasion.status, occasion.assignee)
    found = {
        **dict(zip(ISSUE_PROPERTIES, issue, strict=True)),
        "$release": release_of(own) or None,
        "$environment": own.get("$environment") or own.get("environment"),
    }
    return {**own, **{name: value for name, value in found.items() if value not in (None, "")}}


def matches(
    triggers: Sequence[str], filters: Mapping[str, Any], occasion: IssueOccasion, facts: Mapping[str, Any]
) -> bool:
    """Return whether an alert with these *triggers* and *filters* is about *occasion*."""
    if occasion.kind not in triggers:
        return False
    if not filters.get("values"):
        return True
    try:
        return Rule("", "alert", filters).matches(facts)
    except FilterError:  # they were checked when they were saved; one alert too many is better than none
        return True
