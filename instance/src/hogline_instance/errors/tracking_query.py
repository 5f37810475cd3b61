"""The query kind `ErrorTrackingQuery`: issues with their counts and volumes.

Source: docs/internals/instance-protocol.md#issues.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from hogline_instance.errors.issue_json import iso, issue_json
from hogline_instance.errors.issues import STATUSES
from hogline_instance.errors.listing import ORDERS, IssueQuestion, ListedIssue, list_page
from hogline_instance.errors.property_filters.members import MemberSearch
from hogline_instance.errors.property_filters.tree import FilterTreeError, Group, in_group, read_filter_group
from hogline_instance.errors.queries import IssueFilter, events_at
from hogline_instance.events.event import StoredEvent
from hogline_instance.people import CohortMembers
from hogline_instance.project import Project
from hogline_instance.services import Services
from hogline_instance.web.date_range import DateRangeError, date_range
from hogline_instance.web.query_endpoint import QueryKind, query_error

__all__ = ["build_query_kinds", "issue_results", "listed_issues", "read_question"]

_MAX_LIMIT, _MAX_BUCKETS = 1_000, 500
_COLUMNS = ("error", "volume", "occurrences", "sessions", "users", "assignee")


def build_query_kinds(services: Services, cohorts: CohortMembers) -> Mapping[str, QueryKind]:
    """Return the kind by its name. *cohorts* finds the people of a cohort."""

    def run(project: Project, query: Mapping[str, Any]) -> Mapping[str, Any]:
        asked = read_question(query, default_order="last_seen", default_limit=50)
        listed, has_more = listed_issues(services, project, asked, cohorts)
        return {
            "results": issue_results(services, project, query, asked, listed), "hasMore": has_more, "limit": asked.limit, "offset": asked.offset, "columns": list(_COLUMNS),
        }  # fmt: skip

    return {"ErrorTrackingQuery": run}


def listed_issues(
    services: Services, project: Project, asked: IssueQuestion, cohorts: CohortMembers
) -> tuple[list[ListedIssue], bool]:
    """Return `list_page`. Raises ApiError: a property filter cannot be used."""
    try:
        wanted = replace(asked.wanted, properties=_resolved(services, project, asked, cohorts))
        return list_page(services.database, services.store, project.id, replace(asked, wanted=wanted))
    except FilterTreeError as error:
        raise query_error(f"filterGroup: {error}") from error


def _resolved(services: Services, project: Project, asked: IssueQuestion, cohorts: CohortMembers) -> Group | None:
    """Return the filters of *asked*, with those of the project's test accounts where it wants them."""
    filters, span = asked.wanted.properties, (asked.wanted.after, asked.wanted.before)
    if asked.without_test_accounts:
        filters = Group(is_all=True, parts=(*([filters] if filters is not None else []), _test_accounts(project)))
    if filters is None:
        return None
    return MemberSearch(services.database, services.store, project.id, span, cohorts).resolve(filters)


def _test_accounts(project: Project) -> Group:
    try:
        return read_filter_group(project.settings.get("test_account_filters"))
    except FilterTreeError as error:
        raise query_error(f"the project's test_account_filters: {error}") from error


def issue_results(
    services: Services, project: Project, query: Mapping[str, Any], asked: IssueQuestion, listed: Sequence[ListedIssue]
) -> list[dict[str, Any]]:
    """Return the rows of an answer, with the events that the query wants."""
    wants = {name: query.get(name) is True for name in ("withFirstEvent", "withLastEvent")}
    uuids = [each.counts.first_event for each in listed if wants["withFirstEvent"]]
    uuids += [each.counts.last_event for each in listed if wants["withLastEvent"]]
    events = events_at(services.store, project.id, uuids)
    with_counts = query.get("withAggregations") is not False
    return [_result(each, asked, events, wants, with_counts=with_counts) for each in listed]


def read_question(query: Mapping[str, Any], *, default_order: str, default_limit: int) -> IssueQuestion:
    """Return the question of a query. Raises ApiError: a value cannot be used."""
    span = query.get("dateRange") or {}
    if not isinstance(span, Mapping):
        raise query_error("dateRange must be an object with date_from and date_to")
    try:
        after, before = date_range(_text(span, "date_from"), _text(span, "date_to"), now=datetime.now(UTC))
    except DateRangeError as error:
        raise query_error(f"dateRange: {error}") from error
    assignee = query.get("assignee")
    status = _choice(query, "status", (*STATUSES, "all"), "all")
    return IssueQuestion(
        wanted=IssueFilter(
            after, before, search=_text(query, "searchQuery") or "", person=_text(query, "personId"),
            properties=_properties(query),
        ),
        status=None if status == "all" else status,
        assignee=assignee if isinstance(assignee, Mapping) else None,
        order=_choice(query, "orderBy", ORDERS, default_order),
        ascending=_choice(query, "orderDirection", ("ASC", "DESC"), "DESC") == "ASC",
        limit=_number(query, "limit", default_limit, _MAX_LIMIT),
        offset=_number(query, "offset", 0, 1_000_000),
        buckets=_number(query, "volumeResolution", 0, _MAX_BUCKETS),
        issue_id=_text(query, "issueId"),
        with_first=query.get("withFirstEvent") is True,
        without_test_accounts=query.get("filterTestAccounts") is True,
    )  # fmt: skip


def _result(
    each: ListedIssue,
    asked: IssueQuestion,
    events: Mapping[str, StoredEvent],
    wants: Mapping[str, bool],
    *,
    with_counts: bool,
) -> dict[str, Any]:
    counts = each.counts
    result = issue_json(each.issue) | {
        "last_seen": iso(counts.last_seen), "library": counts.library, "source": counts.source, "function": counts.function,
    }  # fmt: skip
    if with_counts:
        step = (asked.wanted.before - asked.wanted.after) / max(asked.buckets, 1)
        result["aggregations"] = {
            "occurrences": counts.occurrences,
            "users": counts.users,
            "sessions": counts.sessions,
            "volumeRange": each.volume,
            "volume_buckets": [
                {"label": iso(asked.wanted.after + number * step), "value": value}
                for number, value in enumerate(each.volume)
            ],
        }
    if wants["withFirstEvent"]:
        result["first_event"] = _event(events.get(counts.first_event))
    if wants["withLastEvent"]:
        result["last_event"] = _event(events.get(counts.last_event))
    return result


def _event(event: StoredEvent | None) -> dict[str, Any] | None:
    if event is None:
        return None
    return {
        "uuid": event.uuid, "distinct_id": event.distinct_id, "timestamp": iso(event.timestamp),
        "properties": event.properties_json,
    }  # fmt: skip


def _properties(query: Mapping[str, Any]) -> Group | None:
    try:
        group = read_filter_group(query.get("filterGroup"))
        if query.get("groupKey") not in (None, ""):
            group = Group(is_all=True, parts=(group, in_group(query.get("groupTypeIndex"), query["groupKey"])))
    except FilterTreeError as error:
        raise query_error(f"filterGroup: {error}") from error
    return group if group.parts else None


def _text(values: Mapping[str, Any], name: str) -> str | None:
    value = values.get(name)
    if value is not None and not isinstance(value, (str, int)):
        raise query_error(f"{name} must be a text")
    # JSON may hold half a surrogate pair, which the store cannot be asked for.
    return str(value)[:1_000].encode("utf-8", "replace").decode() if value not in {None, ""} else None


def _choice(values: Mapping[str, Any], name: str, choices: Sequence[str], default: str) -> str:
    value = values.get(name)
    if value in {None, ""} if not isinstance(value, (list, dict)) else False:
        return default
    if value not in choices:
        raise query_error(f"{name} must be one of {', '.join(choices)}, got {str(value)[:50]!r}")
    return str(value)


def _number(values: Mapping[str, Any], name: str, default: int, most: int) -> int:
    value = values.get(name)
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise query_error(f"{name} must be a number of at least 0")
    return min(value, most)
