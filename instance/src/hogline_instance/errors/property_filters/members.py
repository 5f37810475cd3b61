"""Turn conditions on cohorts, groups and issues into memberships: SQL knows what is in them."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from functools import cached_property

from sqlalchemy import select

from hogline_instance.db import Database
from hogline_instance.errors.issues import Issue, find_issues, list_issues
from hogline_instance.errors.property_filters.queries import (
    BoundValues,
    check_patterns,
    filter_sql,
    groups_with_exceptions,
    matching_keys,
    people_with_exceptions,
)
from hogline_instance.errors.property_filters.tree import Condition, FilterNode, FilterTreeError, Group, Membership
from hogline_instance.errors.tables import FingerprintRow
from hogline_instance.events.json_bytes import encode_json
from hogline_instance.people import CohortMembers, find_groups
from hogline_instance.store import Store

__all__ = ["MemberSearch"]

_MAX_PEOPLE = 500_000
_FEW_PEOPLE = 1_000
_MAX_GROUPS = 50_000
_MAX_ISSUES = 50_000
_AT_ONCE = 1_000


class MemberSearch:
    """Looks up a project's members of cohorts, groups, and issues, for exceptions of a time span."""

    def __init__(
        self, database: Database, store: Store, project_id: int, span: tuple[datetime, datetime], cohorts: CohortMembers
    ) -> None:
        self._database = database
        self._store = store
        self._project_id = project_id
        self._span = span
        self._cohorts = cohorts

    def resolve(self, node: Group) -> Group:
        """Return *node* without conditions on cohorts, groups and issues.

        Raises FilterTreeError: a value cannot be used, the project has no such cohort, or too many
        would be members.
        """
        check_patterns(self._store, node)
        return self._group(node)

    def _group(self, node: Group) -> Group:
        return Group(node.is_all, tuple(map(self._resolved, node.parts)))

    def _resolved(self, node: FilterNode) -> FilterNode:
        if isinstance(node, Group):
            return self._group(node)
        if isinstance(node, Condition) and node.source == "cohort":
            people = tuple(dict.fromkeys(uuid for each in node.values for uuid in self._people(int(each))))
            return Membership("person_id", people, node.negated)
        if isinstance(node, Condition) and node.source == "group":
            return Membership(f"$group_{node.group_type}", tuple(self._group_keys(node)), node.negated)
        if isinstance(node, Condition) and node.source == "issue":
            return Membership("mat_$exception_fingerprint", tuple(self._fingerprints(node)), node.negated)
        return node

    def _people(self, cohort_id: int) -> Sequence[str]:
        with self._database.session() as session:
            query = self._cohorts(session, self._project_id, cohort_id)
            if query is None:
                raise FilterTreeError(f"this project has no cohort {cohort_id}")
            people = list(session.scalars(query.limit(_MAX_PEOPLE + 1)))
        if len(people) > _MAX_PEOPLE:
            raise FilterTreeError(f"cohort {cohort_id} has more than {_MAX_PEOPLE:,} people; filter by what defines it")
        return people if len(people) <= _FEW_PEOPLE else sorted(self._people_with_exceptions.intersection(people))

    @cached_property
    def _people_with_exceptions(self) -> frozenset[str]:
        """The people who have exceptions in the time: far fewer than a large cohort has, as a rule.

        The engine reads each value of a condition anew in every query of a page.
        """
        return people_with_exceptions(self._store, self._project_id, self._span, limit=_MAX_PEOPLE)

    def _group_keys(self, condition: Condition) -> list[str]:
        """Return the keys of the groups that have exceptions and pass *condition*, not negated."""
        filter_sql(condition, BoundValues(), "")  # raises for a value that cannot be compared
        keys = groups_with_exceptions(
            self._store, self._project_id, self._span, condition.group_type, limit=_MAX_GROUPS + 1
        )
        if len(keys) > _MAX_GROUPS:
            raise FilterTreeError(
                f"more than {_MAX_GROUPS:,} groups have exceptions in this time; choose a shorter one"
            )
        found, positive = [], replace(condition, negated=False)
        for start in range(0, len(keys), _AT_ONCE):
            wanted = {(condition.group_type, key) for key in keys[start : start + _AT_ONCE]}
            with self._database.session() as session:
                groups = find_groups(session, self._project_id, wanted)
            properties = {key: encode_json(group.properties).decode() for (_, key), group in groups.items()}
            found += matching_keys(self._store, positive, properties) if properties else []
        return found

    def _fingerprints(self, condition: Condition) -> list[str]:
        """Return the fingerprints of the issues that pass *condition*, not negated.

        An exception keeps its fingerprint when its issue is merged or split.
        """
        found, positive = list[str](), replace(condition, source="group", negated=False)
        with self._database.session() as session:
            ids = list(list_issues(session, self._project_id))
            if len(ids) > _MAX_ISSUES:
                raise FilterTreeError(f"the project has more than {_MAX_ISSUES:,} issues; filter by the event instead")
            for start in range(0, len(ids), _AT_ONCE):
                issues = find_issues(session, self._project_id, ids[start : start + _AT_ONCE])
                properties = {each: encode_json(_facts(issue)).decode() for each, issue in issues.items()}
                passed = matching_keys(self._store, positive, properties)
                query = select(FingerprintRow.fingerprint).where(
                    FingerprintRow.team_id == self._project_id, FingerprintRow.issue_id.in_(passed)
                )
                found += session.scalars(query)
        return found


def _facts(issue: Issue) -> dict[str, str | None]:
    """Return the values by which issues are filtered."""
    return {
        "name": issue.name, "issue_description": issue.description, "status": issue.status, "severity": issue.severity,
        "assignee": issue.assignee_id, "first_seen": issue.first_seen.isoformat(),
    }  # fmt: skip
