"""Whom a flag is on for now, among all people of a project."""

from collections.abc import Iterator

from sqlalchemy import select
from sqlalchemy.orm import Session

from hogline_instance.cohorts import cohorts_of_people
from hogline_instance.flags.answers import describe, subject_of
from hogline_instance.flags.flag_set import FlagSet, ServedFlag
from hogline_instance.flags.hash_keys import hash_keys_of
from hogline_instance.flags.neighbours import StoredPeople
from hogline_instance.flags.request import FlagsRequest
from hogline_instance.people import PersonRow, find_people_by_uuid

__all__ = ["people_with"]

_CHUNK = 1_000


def people_with(session: Session, project_id: int, flags: FlagSet, flag: ServedFlag) -> Iterator[str]:
    """Yield the uuids of the people for whom *flag* is on.

    Three questions are asked of SQL for each thousand people.
    """
    last = 0
    while chunk := session.execute(
        select(PersonRow.id, PersonRow.uuid)
        .where(PersonRow.team_id == project_id, PersonRow.id > last)
        .order_by(PersonRow.id)
        .limit(_CHUNK)
    ).all():
        last = chunk[-1].id
        people = find_people_by_uuid(session, project_id, [row.uuid for row in chunk])
        cohorts = cohorts_of_people(session, project_id, people) if flags.cohorts.listed else {}
        keys = hash_keys_of(session, project_id, people) if flags.continuity_keys else {}
        for uuid, person in people.items():
            if not person.distinct_ids:
                continue
            distinct_id = person.distinct_ids[0]
            stored = StoredPeople({distinct_id: uuid}, {uuid: person.properties}, {}, cohorts)
            subject = subject_of(flags, FlagsRequest(distinct_id, runtime="server"), stored, keys.get(uuid, {}))
            if describe(flags, flag, subject).value:
                yield uuid
