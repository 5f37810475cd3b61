"""Read the people that a batch concerns from SQL, and lock them until its transaction ends.

Another node may change the same people at the same moment. Whoever moves an id holds the lock of
its person, so an id that is unchanged after the persons are locked stays unchanged.

A batch may concern a person for each of its events. So ids and persons are read together, in plain
rows, and columns are read as text: mapped objects and decoded types take several times as long.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from sqlalchemy import Text, cast, select
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from hogline_instance.db import fetch_rows, is_one_of
from hogline_instance.events.person_ids import person_uuid
from hogline_instance.people.json_text import read_properties
from hogline_instance.people.remembered import RememberedPeople
from hogline_instance.people.state import DistinctId, Key, People, Person
from hogline_instance.people.tables import DistinctIdRow, PersonlessIdRow, PersonRow

__all__ = ["by_project", "load_people"]

_MAX_TRIES = 5

_persons: Any = PersonRow.__table__
_ids: Any = DistinctIdRow.__table__
_PERSON = (
    _persons.c.uuid, cast(_persons.c.properties, Text), cast(_persons.c.created_at, Text), _persons.c.is_identified,
    _persons.c.version, cast(_persons.c.last_seen_at, Text),
)  # fmt: skip


def load_people(
    session: Session,
    ids: set[Key],
    *,
    merging: set[Key],
    personless: set[Key],
    remembered: RememberedPeople | None = None,
) -> People:
    """Return the people of *ids*.

    *merging* are the ids that a merge of the batch names; *personless* those of which it must be
    known whether they were used without a person. SQL is not asked for those of *remembered*.
    """
    people = People()
    known = remembered.persons if remembered is not None else {}
    if remembered is not None:
        _take_remembered(people, remembered, ids)
    for team_id, distinct_ids in by_project(ids - people.ids.keys()):
        _load_project(session, people, known, team_id, distinct_ids)
    _load_ids_of(session, people, merging)
    for team_id, distinct_ids in by_project(key for key in personless if key not in people.ids):
        query = select(PersonlessIdRow.distinct_id).where(
            PersonlessIdRow.team_id == team_id, is_one_of(session, PersonlessIdRow.distinct_id, distinct_ids)
        )
        people.personless.update((team_id, distinct_id) for distinct_id in session.scalars(query))
    return people


def _take_remembered(people: People, remembered: RememberedPeople, ids: set[Key]) -> None:
    for key in ids & remembered.ids.keys():
        known = people.ids[key] = remembered.ids[key]
        if (person := known.person) is not None:
            people.persons[person.team_id, person.uuid] = person


def by_project(keys: Iterable[Key]) -> Iterator[tuple[int, list[str]]]:
    """Yield each project with its sorted texts."""
    grouped: dict[int, list[str]] = {}
    for team_id, text in keys:
        grouped.setdefault(team_id, []).append(text)
    for team_id in sorted(grouped):
        yield team_id, sorted(grouped[team_id])


def _load_project(
    session: Session, people: People, remembered: Mapping[Key, Person], team_id: int, distinct_ids: list[str]
) -> None:
    for _ in range(_MAX_TRIES):
        found = _locked(session, team_id, distinct_ids)
        known = {row[0] for row in found}
        others = [each for each in distinct_ids if each not in known]
        deleted = _without_person(session, team_id, others) if others else {}
        if _is_unchanged(session, team_id, distinct_ids, found, deleted):
            break
    else:
        raise OperationalError("another process keeps changing the same people", None, Exception("try again"))
    persons: dict[str, Person] = {}
    for distinct_id, moves, *values in found:
        person = persons.get(values[0])
        if person is None:
            person = persons[values[0]] = remembered.get((team_id, values[0])) or _person(team_id, *values)
        people.ids[team_id, distinct_id] = DistinctId(person, moves)
    for distinct_id, moves in deleted.items():
        people.ids[team_id, distinct_id] = DistinctId(None, moves)
    if others:
        # The uuid that a new person would get may belong to somebody, after a split.
        taken = sorted(person_uuid(team_id, each) for each in others)
        query = select(*_PERSON).where(_persons.c.team_id == team_id, is_one_of(session, _persons.c.uuid, taken))
        for values in session.execute(query.order_by(_persons.c.uuid).with_for_update()).all():
            persons.setdefault(values[0], remembered.get((team_id, values[0])) or _person(team_id, *values))
    people.persons.update(((team_id, uuid), person) for uuid, person in persons.items())


def _locked(session: Session, team_id: int, distinct_ids: list[str]) -> Sequence[Any]:
    """Return the ids that have a person, with that person; on PostgreSQL, lock the persons."""
    joined = _ids.join(_persons, (_persons.c.team_id == _ids.c.team_id) & (_persons.c.uuid == _ids.c.person_uuid))
    query = (
        select(_ids.c.distinct_id, _ids.c.version, *_PERSON)
        .select_from(joined)
        .where(_ids.c.team_id == team_id, is_one_of(session, _ids.c.distinct_id, distinct_ids))
    )
    if _can_change_meanwhile(session):
        query = query.order_by(_persons.c.uuid).with_for_update(of=_persons)
    return fetch_rows(session, query)


def _without_person(session: Session, team_id: int, distinct_ids: list[str]) -> dict[str, int]:
    """Return the moves of the ids whose person was deleted."""
    query = select(_ids.c.distinct_id, _ids.c.version).where(
        _ids.c.team_id == team_id, is_one_of(session, _ids.c.distinct_id, distinct_ids), _ids.c.person_uuid.is_(None)
    )
    return {row[0]: row[1] for row in session.execute(query)}


def _is_unchanged(
    session: Session, team_id: int, distinct_ids: list[str], found: Sequence[Any], deleted: dict[str, int]
) -> bool:
    """Return whether the ids still have the persons that are locked now."""
    if not _can_change_meanwhile(session):
        return True
    query = select(_ids.c.distinct_id, _ids.c.version, _ids.c.person_uuid).where(
        _ids.c.team_id == team_id, is_one_of(session, _ids.c.distinct_id, distinct_ids)
    )
    expected = {row[0]: (row[1], row[2]) for row in found} | {each: (moves, None) for each, moves in deleted.items()}
    return expected == {distinct_id: (moves, uuid) for distinct_id, moves, uuid in session.execute(query).all()}


def _can_change_meanwhile(session: Session) -> bool:
    """Return whether others can write during this transaction; SQLite has one writer at a time."""
    return session.get_bind().dialect.name != "sqlite"


def _person(
    team_id: int, uuid: str, properties: str, created_at: str, is_identified: bool, version: int, last_seen_at: str | None
) -> Person:  # fmt: skip
    encoded = properties.encode()
    return Person(
        team_id, uuid, read_properties(encoded), _moment(created_at), bool(is_identified), version,
        _hour(last_seen_at) if last_seen_at is not None else None, encoded=encoded,
    )  # fmt: skip


def _load_ids_of(session: Session, people: People, merging: set[Key]) -> None:
    uuids = {(person.team_id, person.uuid) for key in merging if (person := people.person_of(*key)) is not None}
    for key in uuids:
        people.ids_of[key] = set()
    for team_id, wanted in by_project(uuids):
        query = select(_ids.c.distinct_id, _ids.c.version, _ids.c.person_uuid).where(
            _ids.c.team_id == team_id, is_one_of(session, _ids.c.person_uuid, wanted)
        )
        for distinct_id, moves, uuid in session.execute(query).all():
            person = people.persons[team_id, uuid]
            people.ids_of[team_id, person.uuid].add(distinct_id)
            people.ids.setdefault((team_id, distinct_id), DistinctId(person, moves))


def _moment(text: str) -> datetime:
    """Return a time that SQL printed; SQLite does not print its zone, which is UTC."""
    moment = datetime.fromisoformat(text)
    return moment.astimezone(UTC) if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


_hour = lru_cache(maxsize=1_000)(_moment)
