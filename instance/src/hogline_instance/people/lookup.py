"""Read people and groups: the face of this feature towards flags, cohorts, errors and the pages.

Every function takes a project and returns nothing of any other project. The values are read from
SQL at each call; nothing is cached.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import bindparam, select
from sqlalchemy.orm import Session

from hogline_instance.db import Database, aware, json_value
from hogline_instance.people.names import DISPLAY_NAME_PROPERTIES, display_name, ordered_ids
from hogline_instance.people.tables import DistinctIdRow, GroupRow, GroupTypeRow, PersonMergeRow, PersonRow

__all__ = [
    "FoundGroup", "FoundPerson", "GroupType", "distinct_ids_of", "find_group", "find_groups", "find_people",
    "find_people_by_uuid", "find_person", "find_person_by_uuid", "group_types", "merged_into", "names_of", "stored_properties",
]  # fmt: skip

_MAX_VALUES = 5_000  # SQLite binds at most 32,766 values in a statement
MAX_DISTINCT_IDS = 1_000
"""The distinct ids that are read of one person, as in PostHog's lists."""


@dataclass(frozen=True, slots=True)
class FoundPerson:
    """A person as SQL knows them now. The distinct ids that an SDK made up come last."""

    id: int
    uuid: str
    team_id: int
    properties: Mapping[str, Any]
    distinct_ids: tuple[str, ...]
    created_at: datetime
    is_identified: bool
    version: int
    last_seen_at: datetime | None

    def name(self, wanted: Sequence[str] = DISPLAY_NAME_PROPERTIES) -> str:
        """Return the name to show."""
        return display_name(self.properties, self.distinct_ids, wanted)


@dataclass(frozen=True, slots=True)
class GroupType:
    """A type of group; *index* is that of the events' column `$group_<index>`."""

    index: int
    name: str
    name_singular: str | None
    name_plural: str | None
    created_at: datetime


@dataclass(frozen=True, slots=True)
class FoundGroup:
    """A group as SQL knows it now."""

    type_index: int
    key: str
    properties: Mapping[str, Any]
    created_at: datetime


_ids: Any = DistinctIdRow.__table__
_persons: Any = PersonRow.__table__
_OF_TWO_IDS = (
    select(_ids.c.distinct_id, _persons.c.uuid, _persons.c.properties)
    .join(_persons, (_persons.c.team_id == _ids.c.team_id) & (_persons.c.uuid == _ids.c.person_uuid))
    .where(_ids.c.team_id == bindparam("project"), _ids.c.distinct_id.in_([bindparam("one"), bindparam("other")]))
)


def stored_properties(
    database: Database, project_id: int, one: str, other: str = "", *, at_once: bool = False
) -> dict[str, tuple[str, Mapping[str, Any]]] | None:
    """Return the uuid and the properties of the persons of two distinct ids, by id.

    Every request for flags asks this, so it takes no session. With *at_once*, on the event loop, it
    returns None where the answer may have to be waited for. Raises SQLAlchemyError.
    """
    given = {"project": project_id, "one": one.replace("\0", ""), "other": other.replace("\0", "")}
    rows = database.read_at_once(_OF_TWO_IDS, given) if at_once else database.read(_OF_TWO_IDS, given)
    if rows is None:
        return None
    return {distinct_id: (uuid, json_value(properties)) for distinct_id, uuid, properties in rows}


def find_person(session: Session, project_id: int, distinct_id: str) -> FoundPerson | None:
    """Return the person of *distinct_id*, or None."""
    return find_people(session, project_id, (distinct_id,)).get(distinct_id)


def find_people(session: Session, project_id: int, distinct_ids: Iterable[str]) -> dict[str, FoundPerson]:
    """Return the person of each of *distinct_ids* that has one. The number of queries is fixed."""
    wanted = sorted({each for each in distinct_ids if "\0" not in each})
    owners: dict[str, str] = {}
    query = select(DistinctIdRow.distinct_id, DistinctIdRow.person_uuid).where(DistinctIdRow.team_id == project_id)
    for chunk in _chunks(wanted):
        found = session.execute(query.where(DistinctIdRow.distinct_id.in_(chunk)))
        owners |= {distinct_id: uuid for distinct_id, uuid in found if uuid is not None}
    people = find_people_by_uuid(session, project_id, owners.values())
    return {distinct_id: people[uuid] for distinct_id, uuid in owners.items() if uuid in people}


def find_person_by_uuid(session: Session, project_id: int, uuid: str) -> FoundPerson | None:
    """Return the person called *uuid*, or None."""
    return find_people_by_uuid(session, project_id, (uuid,)).get(uuid)


def merged_into(session: Session, project_id: int, uuid: str) -> str | None:
    """Return the uuid of the person into whom the one called *uuid* was merged, or None."""
    return session.scalar(
        select(PersonMergeRow.survivor_uuid).where(
            PersonMergeRow.team_id == project_id, PersonMergeRow.absorbed_uuid == uuid
        )
    )


def find_people_by_uuid(session: Session, project_id: int, uuids: Iterable[str]) -> dict[str, FoundPerson]:
    """Return the persons called *uuids*, by uuid."""
    wanted = sorted(set(uuids))
    rows: list[PersonRow] = []
    query = select(PersonRow).where(PersonRow.team_id == project_id)
    for chunk in _chunks(wanted):
        rows += session.scalars(query.where(PersonRow.uuid.in_(chunk)))
    ids = distinct_ids_of(session, project_id, [row.uuid for row in rows])
    return {row.uuid: found_person(row, ids.get(row.uuid, ())) for row in rows}


def distinct_ids_of(session: Session, project_id: int, uuids: Collection[str]) -> dict[str, tuple[str, ...]]:
    """Return the distinct ids of each person, at most MAX_DISTINCT_IDS of one."""
    found: dict[str, list[str]] = {}
    query = select(DistinctIdRow.person_uuid, DistinctIdRow.distinct_id).where(DistinctIdRow.team_id == project_id)
    for chunk in _chunks(sorted(uuids)):
        ordered = query.where(DistinctIdRow.person_uuid.in_(chunk)).order_by(DistinctIdRow.id)
        for uuid, distinct_id in session.execute(ordered):
            ids = found.setdefault(str(uuid), [])
            if len(ids) < MAX_DISTINCT_IDS:
                ids.append(distinct_id)
    return {uuid: tuple(ordered_ids(ids)) for uuid, ids in found.items()}


def names_of(
    session: Session, project_id: int, distinct_ids: Iterable[str], wanted: Sequence[str] = DISPLAY_NAME_PROPERTIES
) -> dict[str, tuple[str, str]]:
    """Return (uuid, name to show) of the person of each of *distinct_ids* that has one."""
    people = find_people(session, project_id, distinct_ids)
    names = {person.uuid: person.name(wanted) for person in people.values()}
    return {distinct_id: (person.uuid, names[person.uuid]) for distinct_id, person in people.items()}


def group_types(session: Session, project_id: int) -> list[GroupType]:
    """Return the group types of a project, by index."""
    query = select(GroupTypeRow).where(GroupTypeRow.team_id == project_id).order_by(GroupTypeRow.index)
    return [
        GroupType(row.index, row.group_type, row.name_singular, row.name_plural, aware(row.created_at))
        for row in session.scalars(query)
    ]


def find_group(session: Session, project_id: int, type_index: int, key: str) -> FoundGroup | None:
    """Return a group by the index of its type and its key, or None."""
    return find_groups(session, project_id, {(type_index, key)}).get((type_index, key))


def find_groups(
    session: Session, project_id: int, wanted: Collection[tuple[int, str]]
) -> dict[tuple[int, str], FoundGroup]:
    """Return those of the *wanted* groups (index of the type, key) that are known."""
    found: dict[tuple[int, str], FoundGroup] = {}
    for index in sorted({each for each, _ in wanted}):
        query = select(GroupRow).where(GroupRow.team_id == project_id, GroupRow.type_index == index)
        for chunk in _chunks(sorted({key for each, key in wanted if each == index and "\0" not in key})):
            for row in session.scalars(query.where(GroupRow.group_key.in_(chunk))):
                found[index, row.group_key] = found_group(row)
    return found


def found_person(row: PersonRow, distinct_ids: Sequence[str]) -> FoundPerson:
    """Return the person in *row*."""
    return FoundPerson(
        row.id, row.uuid, row.team_id, row.properties, tuple(distinct_ids), aware(row.created_at), row.is_identified,
        row.version, aware(row.last_seen_at) if row.last_seen_at is not None else None,
    )  # fmt: skip


def found_group(row: GroupRow) -> FoundGroup:
    """Return the group in *row*."""
    return FoundGroup(row.type_index, row.group_key, row.properties, aware(row.created_at))


def _chunks(values: Sequence[str]) -> Iterable[Sequence[str]]:
    for start in range(0, len(values), _MAX_VALUES):
        yield values[start : start + _MAX_VALUES]
