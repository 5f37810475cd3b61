"""Read cohorts: which ones a person is in, and the definitions that local evaluation needs.

Each query takes a project and returns nothing of any other project.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import Select, select
from sqlalchemy.orm import Session

from hogline_instance.cohorts.filters import is_behavioural
from hogline_instance.cohorts.tables import CohortPersonRow, CohortRow

__all__ = ["cohort_definitions", "cohorts_of_people", "cohorts_of_person", "known_cohorts", "members"]


def cohorts_of_person(session: Session, project_id: int, person_uuid: str) -> frozenset[int]:
    """Return the ids of the cohorts that a person is in, as of their last calculation."""
    return cohorts_of_people(session, project_id, [person_uuid]).get(person_uuid, frozenset())


def cohorts_of_people(session: Session, project_id: int, uuids: Iterable[str]) -> dict[str, frozenset[int]]:
    """Return the ids of the cohorts of each person who is in one, as of their last calculation."""
    rows = session.execute(
        select(CohortPersonRow.person_uuid, CohortPersonRow.cohort_id)
        .join(CohortRow, CohortRow.id == CohortPersonRow.cohort_id)
        .where(
            CohortPersonRow.team_id == project_id, CohortPersonRow.person_uuid.in_(list(uuids)), CohortRow.deleted.is_(False)
        )
    )  # fmt: skip
    found: dict[str, set[int]] = {}
    for uuid, number in rows:
        found.setdefault(uuid, set()).add(number)
    return {uuid: frozenset(numbers) for uuid, numbers in found.items()}


def members(session: Session, project_id: int, cohort_id: int) -> Select[Any] | None:
    """Return a query for the uuids of the people in a cohort; None if the project has no such cohort."""
    known = (CohortRow.team_id == project_id, CohortRow.id == cohort_id, CohortRow.deleted.is_(False))
    if session.scalar(select(CohortRow.id).where(*known)) is None:
        return None
    return select(CohortPersonRow.person_uuid).where(
        CohortPersonRow.team_id == project_id, CohortPersonRow.cohort_id == cohort_id
    )


def known_cohorts(session: Session, project_id: int) -> dict[int, CohortRow]:
    """Return the cohorts of a project that are not deleted, by id."""
    rows = session.scalars(
        select(CohortRow).where(CohortRow.team_id == project_id, CohortRow.deleted.is_(False)).order_by(CohortRow.id)
    ).all()
    return {row.id: row for row in rows}


def cohort_definitions(cohorts: Mapping[int, CohortRow]) -> dict[str, dict[str, Any]]:
    """Return `{id: property group}` of those of *cohorts* that a client can evaluate by itself.

    Static and behavioural ones are left out: only the instance knows who is in them.
    """
    return {
        str(number): row.filters["properties"]
        for number, row in cohorts.items()
        if not row.is_static and not is_behavioural(row.filters)
    }
