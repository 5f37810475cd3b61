"""Write the changes of a batch's people to SQL: one statement for each kind of change."""

from typing import Any

from sqlalchemy import bindparam, delete, insert, update
from sqlalchemy.orm import Session

from hogline_instance.db import upsert
from hogline_instance.people.loading import by_project
from hogline_instance.people.state import Key, People, Person
from hogline_instance.people.tables import DistinctIdRow, PersonlessIdRow, PersonMergeRow, PersonRow

__all__ = ["save_people"]

_persons: Any = PersonRow.__table__
_ids: Any = DistinctIdRow.__table__
_merges: Any = PersonMergeRow.__table__


def save_people(session: Session, people: People) -> None:
    """Write what changed; the caller commits."""
    for team_id, uuids in by_project(people.removed):
        session.execute(delete(PersonRow).where(PersonRow.team_id == team_id, PersonRow.uuid.in_(uuids)))
    touched = [person for person in people.persons.values() if person.is_new or person.is_changed]
    _save_persons(session, sorted(touched, key=lambda person: (person.team_id, person.uuid)))
    _save_ids(session, people)
    _save_merges(session, people)
    _save_personless(session, people)


def _save_persons(session: Session, persons: list[Person]) -> None:
    new = [_values(person) for person in persons if person.is_new]
    if new:
        session.execute(insert(_persons), new)
    changed = [
        {**_values(person), "of_team": person.team_id, "of_uuid": person.uuid}
        for person in persons
        if person.is_changed and not person.is_new
    ]
    if changed:
        statement = update(_persons).where(
            _persons.c.team_id == bindparam("of_team"), _persons.c.uuid == bindparam("of_uuid")
        )
        names = ("properties", "created_at", "is_identified", "version", "last_seen_at")
        session.connection().execute(statement.values({name: bindparam(name) for name in names}), changed)


def _values(person: Person) -> dict[str, Any]:
    return {
        "team_id": person.team_id,
        "uuid": person.uuid,
        "properties": person.properties,
        "created_at": person.created_at,
        "is_identified": person.is_identified,
        "version": person.version,
        "last_seen_at": person.last_seen_at,
    }


def _save_ids(session: Session, people: People) -> None:
    new, changed = [], []
    touched = [(key, known) for key, known in people.ids.items() if known.is_new or known.is_changed]
    for (team_id, distinct_id), known in sorted(touched, key=lambda item: item[0]):
        uuid = known.person.uuid if known.person is not None else None
        if known.is_new:
            new.append(
                {"team_id": team_id, "distinct_id": distinct_id, "person_uuid": uuid, "version": known.version, "published_version": 0}
            )  # fmt: skip
        else:
            changed.append({"of_team": team_id, "of_id": distinct_id, "person_uuid": uuid, "version": known.version})
    if new:
        session.execute(insert(_ids), new)
    if changed:
        statement = update(_ids).where(_ids.c.team_id == bindparam("of_team"), _ids.c.distinct_id == bindparam("of_id"))
        names = ("person_uuid", "version")
        session.connection().execute(statement.values({name: bindparam(name) for name in names}), changed)


def _save_merges(session: Session, people: People) -> None:
    """Note who was absorbed into whom.

    Links to them lead to the survivor in one step, also after several merges.
    """
    survivors: dict[Key, str] = {}
    for merge in reversed(people.merges):
        # The survivor may have been absorbed by a later merge, which is known already.
        survivor = survivors.get((merge.team_id, merge.survivor_uuid), merge.survivor_uuid)
        survivors.setdefault((merge.team_id, merge.absorbed_uuid), survivor)
    if not survivors:
        return
    moved = [
        {"of_team": team_id, "of_uuid": absorbed, "survivor_uuid": survivor}
        for (team_id, absorbed), survivor in sorted(survivors.items())
    ]
    statement = update(_merges).where(
        _merges.c.team_id == bindparam("of_team"), _merges.c.survivor_uuid == bindparam("of_uuid")
    )
    session.connection().execute(statement.values(survivor_uuid=bindparam("survivor_uuid")), moved)
    upserted = upsert(session, PersonMergeRow)
    upserted = upserted.on_conflict_do_update(
        index_elements=["team_id", "absorbed_uuid"], set_={"survivor_uuid": upserted.excluded.survivor_uuid}
    )
    session.execute(
        upserted,
        [
            {"team_id": row["of_team"], "absorbed_uuid": row["of_uuid"], "survivor_uuid": row["survivor_uuid"]}
            for row in moved
        ],
    )


def _save_personless(session: Session, people: People) -> None:
    rows = [
        {"team_id": team_id, "distinct_id": distinct_id, "last_used_at": day}
        for (team_id, distinct_id), day in sorted(people.new_personless.items())
    ]
    if rows:
        statement = upsert(session, PersonlessIdRow)
        statement = statement.on_conflict_do_update(
            index_elements=["team_id", "distinct_id"],
            set_={"last_used_at": statement.excluded.last_used_at},
            where=statement.excluded.last_used_at > PersonlessIdRow.last_used_at,
        )
        session.execute(statement, rows)
