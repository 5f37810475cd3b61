"""The people, groups and cohorts that flags read.

The definitions of a cohort that a client can evaluate are given to clients, and the instance
evaluates the same ones. The instance alone knows who is in the others. For those, a hidden
property of the person says whether they are in the cohort.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy.orm import Session

from hogline_instance.cohorts import cohort_definitions, cohorts_of_people, known_cohorts
from hogline_instance.db import Database
from hogline_instance.people import find_groups, stored_properties
from hogline_instance.people import group_types as known_types

__all__ = ["Cohorts", "StoredPeople", "cohorts_of", "group_types_of", "people_at_once", "stored_people"]

_MAX_GROUPS = 50


@dataclass(frozen=True, slots=True)
class StoredPeople:
    """The stored properties of the people and groups of one request."""

    uuids: Mapping[str, str] = field(default_factory=dict)
    """Distinct id -> the person's uuid; a distinct id without a person is absent."""
    properties: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Person's uuid -> properties."""
    groups: Mapping[tuple[str, str], Mapping[str, Any]] = field(default_factory=dict)
    """Type and key -> properties."""
    cohorts: Mapping[str, frozenset[int]] = field(default_factory=dict)
    """Person's uuid -> ids of the cohorts that they are in."""


@dataclass(frozen=True, slots=True)
class Cohorts:
    """The cohorts of one project, as flags see them."""

    definitions: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Id as text -> filters that a client can evaluate."""
    listed: frozenset[int] = frozenset()
    """The ids of the others: only the instance knows who is in them."""
    filters: Mapping[str, Mapping[str, Any] | None] = field(default_factory=dict)
    """Id as text -> filters; a static cohort has None."""

    def for_server(self) -> dict[str, Any]:
        """Return filters for all cohorts; those of the listed ones ask for `membership()`."""
        asked = {
            str(number): {
                "type": "AND",
                "values": [{"key": hidden_name(number), "type": "person", "operator": "exact", "value": [True]}],
            }
            for number in self.listed
        }
        return {**self.definitions, **asked}

    def membership(self, cohorts: frozenset[int]) -> dict[str, bool]:
        """Return the hidden properties of a person who is in *cohorts*."""
        return {hidden_name(number): number in cohorts for number in self.listed}


def hidden_name(cohort_id: int) -> str:
    """Return the name of the property that says whether a person is in a cohort."""
    return f"$in_cohort_{cohort_id}"


def cohorts_of(session: Session, project_id: int) -> Cohorts:
    """Return the cohorts of a project."""
    rows = known_cohorts(session, project_id)
    if not rows:
        return Cohorts()
    definitions = cohort_definitions(rows)
    return Cohorts(
        definitions,
        frozenset(number for number in rows if str(number) not in definitions),
        {str(number): None if row.is_static else row.filters for number, row in rows.items()},
    )


def people_at_once(database: Database, project_id: int, distinct_id: str, anon_distinct_id: str) -> StoredPeople | None:
    """Return what is stored of two distinct ids, or None where that may have to be waited for."""
    people = stored_properties(database, project_id, distinct_id, anon_distinct_id, at_once=True)
    return None if people is None else StoredPeople(*_uuids_and_properties(people))


def stored_people(
    database: Database,
    project_id: int,
    distinct_id: str,
    anon_distinct_id: str,
    groups: Mapping[str, str],
    *,
    group_types: Mapping[str, str],
    with_cohorts: bool = False,
) -> StoredPeople:
    """Return what is stored of two distinct ids, and of *groups* (type -> key)."""
    people = stored_properties(database, project_id, distinct_id, anon_distinct_id) or {}
    uuids, properties = _uuids_and_properties(people)
    indexes = {name: int(index) for index, name in group_types.items()}
    wanted = [(indexes[name], key) for name, key in groups.items() if name in indexes][:_MAX_GROUPS]
    if not wanted and not (with_cohorts and uuids):
        return StoredPeople(uuids, properties)
    with database.session() as session:
        found = find_groups(session, project_id, wanted) if wanted else {}
        cohorts = cohorts_of_people(session, project_id, properties) if with_cohorts else {}
    return StoredPeople(
        uuids,
        properties,
        {(group_types[str(index)], key): group.properties for (index, key), group in found.items()},
        cohorts,
    )


def _uuids_and_properties(
    people: Mapping[str, tuple[str, Mapping[str, Any]]],
) -> tuple[dict[str, str], dict[str, Mapping[str, Any]]]:
    return {distinct_id: uuid for distinct_id, (uuid, _) in people.items()}, dict(people.values())


def group_types_of(session: Session, project_id: int) -> dict[str, str]:
    """Return the project's group types by index as text."""
    return {str(each.index): each.name for each in known_types(session, project_id)}
