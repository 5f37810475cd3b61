"""Lists: the people of a cohort, and how many people each cohort has."""

from collections.abc import Sequence

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from hogline_instance.cohorts.tables import CohortPersonRow
from hogline_instance.people import FoundPerson, PersonRow, find_people_by_uuid

__all__ = ["count_people", "people_of_cohort"]


def people_of_cohort(
    session: Session, project_id: int, cohort_id: int, *, limit: int, offset: int = 0
) -> list[FoundPerson]:
    """Return people of a cohort; deleted persons are left out."""
    uuids = session.scalars(
        select(PersonRow.uuid)
        .join(CohortPersonRow, CohortPersonRow.person_uuid == PersonRow.uuid)
        .where(
            PersonRow.team_id == project_id, CohortPersonRow.team_id == project_id, CohortPersonRow.cohort_id == cohort_id
        )
        .order_by(PersonRow.id.desc())
        .limit(limit)
        .offset(offset)
    ).all()  # fmt: skip
    found = find_people_by_uuid(session, project_id, uuids)
    return [found[uuid] for uuid in uuids if uuid in found]


def count_people(session: Session, project_id: int, cohort_ids: Sequence[int]) -> dict[int, int]:
    """Return the number of people in each cohort."""
    rows = session.execute(
        select(CohortPersonRow.cohort_id, func.count())
        .join(
            PersonRow,
            (PersonRow.uuid == CohortPersonRow.person_uuid) & (PersonRow.team_id == CohortPersonRow.team_id),
        )
        .where(CohortPersonRow.team_id == project_id, CohortPersonRow.cohort_id.in_(cohort_ids))
        .group_by(CohortPersonRow.cohort_id)
    )
    counts = {cohort_id: int(count) for cohort_id, count in rows}
    return {each: counts.get(each, 0) for each in cohort_ids}
