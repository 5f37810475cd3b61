"""A page of issues: statuses from SQL, counts from the store, in the order that was asked for."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from hogline_instance.db import Database
from hogline_instance.errors.issues import Issue, find_issues, list_issues, moved_fingerprints
from hogline_instance.errors.queries import Counts, Found, IssueFilter, count_issues, order_issues, volumes
from hogline_instance.store import Store

__all__ = ["ORDERS", "IssueQuestion", "ListedIssue", "list_page"]

ORDERS = ("last_seen", "first_seen", "occurrences", "users", "sessions")


@dataclass(frozen=True, slots=True)
class IssueQuestion:
    """Which issues to list, and how. An empty *status* means every status."""

    wanted: IssueFilter
    status: str | None = None
    assignee: Mapping[str, Any] | None = None
    order: str = "last_seen"
    ascending: bool = False
    limit: int = 50
    offset: int = 0
    buckets: int = 0
    issue_id: str | None = None
    with_first: bool = False
    """Whether the first event of each issue is wanted; looking for it takes time."""
    without_test_accounts: bool = False
    """Whether only exceptions that pass the project's `test_account_filters` count."""


@dataclass(frozen=True, slots=True)
class ListedIssue:
    """An issue with its counts, and its volume over time."""

    issue: Issue
    counts: Counts
    volume: list[int]


def list_page(
    database: Database, store: Store, project_id: int, asked: IssueQuestion
) -> tuple[list[ListedIssue], bool]:
    """Return the issues of one page, and whether more follow.

    Raises FilterTreeError: a property filter cannot be used.
    """
    with database.session() as session:
        known = list_issues(session, project_id, status=asked.status, assignee=asked.assignee)
        moved = moved_fingerprints(session, project_id)
    ordered = _order(store, project_id, asked, known, moved)
    ids = list(ordered)[asked.offset : asked.offset + asked.limit]
    shown = {each: ordered[each] for each in ids}
    counts = count_issues(store, project_id, asked.wanted, moved, shown, with_first=asked.with_first)
    volume = volumes(store, project_id, asked.wanted, moved, shown, asked.buckets)
    with database.session() as session:
        issues = find_issues(session, project_id, ids)
    found = [
        ListedIssue(issues[each], counts[each], volume.get(each, []))
        for each in ids
        if each in issues and each in counts
    ]
    return found, len(ordered) > asked.offset + asked.limit


def _order(
    store: Store, project_id: int, asked: IssueQuestion, known: Mapping[str, datetime], moved: Mapping[str, str]
) -> dict[str, Found]:
    """Return the ids of the issues in their order, each with its rows."""
    if not known:
        return {}
    found = order_issues(store, project_id, asked.wanted, moved, order=asked.order, ascending=asked.ascending)
    if asked.issue_id is not None:
        return {asked.issue_id: found[asked.issue_id]} if asked.issue_id in known and asked.issue_id in found else {}
    ordered = [each for each in found if each in known]
    if asked.order == "first_seen":
        ordered.sort(key=lambda each: known[each], reverse=not asked.ascending)
    return {each: found[each] for each in ordered}
