"""Read the people that a batch concerns from SQL, and lock them until its transaction ends.

Another node may change the same people at the same moment. Whoever moves an id holds the lock of
its person, so an id that is unchanged after the persons are locked stays unchanged.
"""

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Select, select
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from hogline_instance.events.person_ids import person_uuid
from hogline_instance.people.state import DistinctId, Key, People, Person
from hogline_instance.people.tables import DistinctIdRow, PersonlessIdRow, PersonRow

__all__ = ["by_project", "load_people", "person_from"]

_MAX_VALUES = 10_000  # SQLite binds at most 32,766 values in a statement
_MAX_TRIES = 5

_persons: Any = PersonRow.__table__
_Ids = dict[Key, tuple[str | None, int]]


def load_people(session: Session, ids: set[Key], *, merging: set[Key], personless: set[Key]) -> People:
    """Return the people of *ids*.

    *merging* are the ids that a merge of the batch names; *personless* those of which it must be
    known whether they were used without a person.
    """
    for _ in range(_MAX_TRIES):
        known = _read_ids(session, ids)
        persons = _lock_persons(session, known, ids)
        if session.get_bind().dialect.name == "sqlite" or _read_ids(session, ids) == known:
            break
    else:
        raise OperationalError("another process keeps changing the same people", None, Exception("try again"))
    people = People(persons=persons)
    for key, (uuid, version) in known.items():
        people.ids[key] = DistinctId(persons[key[0], uuid] if uuid is not None else None, version)
    _load_ids_of(session, people, merging)
    unknown = {key for key in personless if key not in known}
    for team_id, distinct_ids in by_project(unknown):
        query = select(PersonlessIdRow.distinct_id).where(PersonlessIdRow.team_id == team_id)
        for chunk in _chunks(distinct_ids):
            found = session.scalars(query.where(PersonlessIdRow.distinct_id.in_(chunk)))
            people.personless.update((team_id, distinct_id) for distinct_id in found)
    return people


def by_project(keys: Iterable[Key]) -> Iterator[tuple[int, list[str]]]:
    """Yield each project with its sorted texts."""
    grouped: dict[int, list[str]] = {}
    for team_id, text in sorted(keys):
        grouped.setdefault(team_id, []).append(text)
    yield from grouped.items()


def person_from(row: Any) -> Person:
    """Return the person in *row*, a row of the table of persons."""
    return Person(
        row.team_id, row.uuid, dict(row.properties), _aware(row.created_at), row.is_identified, row.version,
        _aware(row.last_seen_at) if row.last_seen_at is not None else None,
    )  # fmt: skip


def _read_ids(session: Session, ids: set[Key]) -> _Ids:
    found: _Ids = {}
    table = DistinctIdRow
    for team_id, distinct_ids in by_project(ids):
        query = select(table.distinct_id, table.person_uuid, table.version).where(table.team_id == team_id)
        for chunk in _chunks(distinct_ids):
            for distinct_id, uuid, version in session.execute(query.where(table.distinct_id.in_(chunk))):
                found[team_id, distinct_id] = uuid, version
    return found


def _lock_persons(session: Session, known: _Ids, ids: set[Key]) -> dict[Key, Person]:
    # The uuid that a new person would get may belong to somebody, after a split.
    wanted = {(key[0], uuid) for key, (uuid, _) in known.items() if uuid is not None}
    wanted |= {(key[0], person_uuid(*key)) for key in ids if known.get(key, (None, 0))[0] is None}
    found: dict[Key, Person] = {}
    for team_id, uuids in by_project(wanted):
        # Plain rows take half the time of mapped objects, and a batch may concern thousands.
        query: Select[Any] = select(_persons).where(_persons.c.team_id == team_id).order_by(_persons.c.uuid)
        for chunk in _chunks(uuids):
            for row in session.execute(query.where(_persons.c.uuid.in_(chunk)).with_for_update()):
                found[team_id, row.uuid] = person_from(row)
    return found


def _load_ids_of(session: Session, people: People, merging: set[Key]) -> None:
    uuids = {(person.team_id, person.uuid) for key in merging if (person := people.person_of(*key)) is not None}
    for key in uuids:
        people.ids_of[key] = set()
    for team_id, wanted in by_project(uuids):
        query = select(DistinctIdRow).where(DistinctIdRow.team_id == team_id)
        for chunk in _chunks(wanted):
            for row in session.scalars(query.where(DistinctIdRow.person_uuid.in_(chunk))):
                person = people.persons[team_id, str(row.person_uuid)]
                people.ids_of[team_id, person.uuid].add(row.distinct_id)
                people.ids.setdefault((team_id, row.distinct_id), DistinctId(person, row.version))


def _chunks(values: list[str]) -> Iterator[list[str]]:
    for start in range(0, len(values), _MAX_VALUES):
        yield values[start : start + _MAX_VALUES]


def _aware(moment: datetime) -> datetime:
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
