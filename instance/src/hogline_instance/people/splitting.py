"""Split a person: each distinct id but one gets a person of its own.

Source: docs/internals/management-api.md#persons.
"""

from sqlalchemy import select
from sqlalchemy.orm import Session

from hogline_instance.events.person_ids import person_uuid
from hogline_instance.people.tables import DistinctIdRow, PersonRow

__all__ = ["split_person"]

# PostHog's own step: far above every version that the events of before the split can reach.
_VERSIONS_AHEAD = 101


def split_person(session: Session, project_id: int, uuid: str, main_distinct_id: str | None) -> list[str] | None:
    """Split the person called *uuid*, and return the ids that left; None if there is no such person.

    Without *main_distinct_id* the first id stays, and the properties are emptied, since it is not
    known whose they are. Raises ValueError: *main_distinct_id* is not an id of this person.
    """
    person = session.scalar(
        select(PersonRow).where(PersonRow.team_id == project_id, PersonRow.uuid == uuid).with_for_update()
    )
    if person is None:
        return None
    query = select(DistinctIdRow).where(DistinctIdRow.team_id == project_id, DistinctIdRow.person_uuid == uuid)
    ids = list(session.scalars(query.order_by(DistinctIdRow.id).with_for_update()))
    if main_distinct_id is not None and main_distinct_id not in {row.distinct_id for row in ids}:
        raise ValueError(f"{main_distinct_id[:100]!r} is not a distinct id of this person")
    main = main_distinct_id if main_distinct_id is not None else (ids[0].distinct_id if ids else None)
    leaving = [row for row in ids if row.distinct_id != main]
    if main_distinct_id is None:
        person.properties = {}
    version = person.version + _VERSIONS_AHEAD
    person.version += 1
    for row in leaving:
        row.person_uuid = _free_uuid(session, project_id, row.distinct_id)
        row.version += _VERSIONS_AHEAD
        session.add(
            PersonRow(
                team_id=project_id, uuid=row.person_uuid, properties={}, created_at=person.created_at,
                is_identified=False, version=version, last_seen_at=person.last_seen_at,
            )
        )  # fmt: skip
    return [row.distinct_id for row in leaving]


def _free_uuid(session: Session, project_id: int, distinct_id: str) -> str:
    # The person who is split may have the uuid that follows from an id that leaves.
    uuid = person_uuid(project_id, distinct_id)
    taken = select(PersonRow.id).where(PersonRow.team_id == project_id, PersonRow.uuid == uuid)
    return uuid if session.scalar(taken) is None else person_uuid(project_id, f"{distinct_id}\0again")
