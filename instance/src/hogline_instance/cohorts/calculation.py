"""Calculate who is in a dynamic cohort, and keep it in SQL.

Conditions on properties are evaluated by the code that evaluates flags, so both give one answer.
"""

import logging
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import delete, insert, or_, select
from sqlalchemy.orm import Session

from hogline.flags.evaluation import Subject
from hogline.flags.evaluation.operators import property_check
from hogline_instance.cohorts.filters import cohort_ids, leaves
from hogline_instance.cohorts.queries import people_who
from hogline_instance.cohorts.tables import CohortPersonRow, CohortRow
from hogline_instance.db import Database, utc_now
from hogline_instance.people import PersonRow
from hogline_instance.store import Store

__all__ = ["calculate", "calculate_due", "set_people"]

_log = logging.getLogger("hogline.instance")
_MAX_AGE = timedelta(minutes=10)
_CHUNK = 5_000


def calculate_due(database: Database, store: Store) -> None:
    """Calculate the cohorts that were changed, or whose people are older than ten minutes."""
    with database.session() as session:
        due = session.execute(
            select(CohortRow.team_id, CohortRow.id)
            .where(CohortRow.is_static.is_(False), CohortRow.deleted.is_(False))
            .where(or_(CohortRow.is_calculating.is_(True), CohortRow.last_calculation < utc_now() - _MAX_AGE))
            .order_by(CohortRow.id)
        ).all()
    for project_id, cohort_id in due:
        calculate(database, store, project_id, cohort_id)


def calculate(database: Database, store: Store, project_id: int, cohort_id: int) -> None:
    """Calculate a cohort, and first those that it names. An error is kept on the cohort."""
    with database.session() as session:
        rows = session.scalars(select(CohortRow).where(CohortRow.team_id == project_id, CohortRow.deleted.is_(False)))
        filters = {row.id: row.filters for row in rows if not row.is_static}
    for each in _in_order(cohort_id, filters):
        error = None
        try:
            with database.session() as session:
                found = _matching(session, store, project_id, filters[each], utc_now())
            with database.transaction() as session:
                # The lock keeps the cohort until its people are there.
                if session.get(CohortRow, each, with_for_update=True) is not None:
                    set_people(session, project_id, each, found)
        except Exception as caught:  # any condition may fail in its own way; the next calculation tries again
            _log.exception("cohorts: cohort %d cannot be calculated", each)
            error = str(caught)[:1_000]
        with database.transaction() as session:
            row = session.get(CohortRow, each)
            if row is not None:
                row.is_calculating, row.last_calculation, row.last_error = False, utc_now(), error
                row.errors_calculating = row.errors_calculating + 1 if error else 0


def set_people(session: Session, project_id: int, cohort_id: int, wanted: Iterable[str], *, keep: bool = False) -> None:
    """Make *wanted* the people of a cohort; with *keep* only add them."""
    there = set(session.scalars(select(CohortPersonRow.person_uuid).where(CohortPersonRow.cohort_id == cohort_id)))
    wanted = set(wanted)
    for chunk in _chunks([] if keep else sorted(there - wanted)):
        session.execute(
            delete(CohortPersonRow).where(
                CohortPersonRow.cohort_id == cohort_id, CohortPersonRow.person_uuid.in_(chunk)
            )
        )
    for chunk in _chunks(sorted(wanted - there)):
        session.execute(
            insert(CohortPersonRow),
            [{"cohort_id": cohort_id, "team_id": project_id, "person_uuid": uuid} for uuid in chunk],
        )


def _matching(session: Session, store: Store, project_id: int, filters: Mapping[str, Any], now: datetime) -> set[str]:
    everyone, by_leaf = _people_by_leaf(session, project_id, filters["properties"], now)
    for leaf in leaves(filters["properties"]):
        if leaf["type"] == "behavioral":
            by_leaf[id(leaf)] = people_who(store, project_id, leaf, now) & everyone
        elif leaf["type"] == "cohort":
            members = select(CohortPersonRow.person_uuid).where(
                CohortPersonRow.team_id == project_id, CohortPersonRow.cohort_id == int(leaf["value"])
            )
            by_leaf[id(leaf)] = set(session.scalars(members)) & everyone
    return _combined(filters["properties"], by_leaf, everyone)


def _people_by_leaf(
    session: Session, project_id: int, group: Mapping[str, Any], now: datetime
) -> tuple[set[str], dict[int, set[str]]]:
    """Return all people, and those who match each condition on a property, in one pass."""
    checks = [(id(leaf), property_check(leaf, 2)[0]) for leaf in leaves(group) if leaf["type"] == "person"]
    everyone: set[str] = set()
    found: dict[int, set[str]] = {number: set() for number, _ in checks}
    query = select(PersonRow.uuid, PersonRow.properties).where(PersonRow.team_id == project_id)
    for uuid, properties in session.execute(query.execution_options(yield_per=_CHUNK)):
        everyone.add(uuid)
        subject = Subject("", person_properties=properties, complete=True, now=now)
        for number, check in checks:
            if check(properties, subject) is True:
                found[number].add(uuid)
    return everyone, found


def _combined(node: Mapping[str, Any], by_leaf: Mapping[int, set[str]], everyone: set[str]) -> set[str]:
    if "values" not in node:
        found = by_leaf[id(node)]
        return everyone - found if node.get("negation") else found
    parts = [_combined(each, by_leaf, everyone) for each in node["values"]]
    if not parts:
        return set()
    return set.intersection(*parts) if node["type"] == "AND" else set.union(*parts)


def _in_order(cohort_id: int, filters: Mapping[int, Mapping[str, Any]]) -> list[int]:
    """Return the cohort after the dynamic ones that it needs; circles were refused when it was saved."""
    order: list[int] = []

    def visit(each: int, above: frozenset[int]) -> None:
        if each in filters and each not in order and each not in above:
            for needed in sorted(cohort_ids(filters[each])):
                visit(needed, above | {each})
            order.append(each)

    visit(cohort_id, frozenset())
    return order


def _chunks(values: Sequence[str]) -> Iterable[Sequence[str]]:
    for start in range(0, len(values), _CHUNK):
        yield values[start : start + _CHUNK]
