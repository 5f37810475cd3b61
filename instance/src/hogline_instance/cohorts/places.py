"""The places of people in cohorts, when they are merged or deleted."""

from collections.abc import Sequence

from sqlalchemy import delete, insert, select
from sqlalchemy.orm import Session

from hogline_instance.cohorts.tables import CohortPersonRow
from hogline_instance.people import Merge

__all__ = ["delete_places", "move_places"]


def move_places(session: Session, merges: Sequence[Merge]) -> None:
    """Give each survivor the cohorts of the absorbed; three SQL statements for a batch."""
    survivors: dict[tuple[int, str], str] = {}
    for merge in merges:
        for key, survivor in list(survivors.items()):
            if key[0] == merge.team_id and survivor == merge.absorbed_uuid:
                survivors[key] = merge.survivor_uuid
        survivors[merge.team_id, merge.absorbed_uuid] = merge.survivor_uuid
    uuids = {uuid for (_, absorbed), survivor in survivors.items() for uuid in (absorbed, survivor)}
    rows = session.execute(
        select(CohortPersonRow.team_id, CohortPersonRow.cohort_id, CohortPersonRow.person_uuid).where(
            CohortPersonRow.person_uuid.in_(uuids)
        )
    ).all()
    there = {(cohort, uuid) for _, cohort, uuid in rows}
    wanted = {(cohort, survivors[team, uuid]): team for team, cohort, uuid in rows if (team, uuid) in survivors}
    missing = [
        {"team_id": team, "cohort_id": cohort, "person_uuid": uuid}
        for (cohort, uuid), team in sorted(wanted.items())
        if (cohort, uuid) not in there
    ]
    if missing:
        session.execute(insert(CohortPersonRow), missing)
    if wanted:
        absorbed = {uuid for _, uuid in survivors}
        session.execute(delete(CohortPersonRow).where(CohortPersonRow.person_uuid.in_(absorbed)))


def delete_places(session: Session, project_id: int, uuids: Sequence[str]) -> None:
    """Take people who are deleted out of all cohorts; a later person may get the same uuid."""
    session.execute(
        delete(CohortPersonRow).where(CohortPersonRow.team_id == project_id, CohortPersonRow.person_uuid.in_(uuids))
    )
