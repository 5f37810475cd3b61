"""What flags read of people and groups.

There are no cohorts yet, so a filter that names one is refused when its flag is saved.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy.orm import Session

from hogline_instance.people import find_groups, find_people
from hogline_instance.people import group_types as known_types

__all__ = ["StoredPeople", "group_types_of", "stored_people"]

_MAX_GROUPS = 50


@dataclass(frozen=True, slots=True)
class StoredPeople:
    """What is stored of the people and groups of one request."""

    uuids: Mapping[str, str] = field(default_factory=dict)
    """Distinct id -> the person's uuid; a distinct id without a person is absent."""
    properties: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Person's uuid -> properties."""
    groups: Mapping[tuple[str, str], Mapping[str, Any]] = field(default_factory=dict)
    """Type and key -> properties."""


def stored_people(
    session: Session,
    project_id: int,
    distinct_ids: Iterable[str],
    groups: Mapping[str, str],
    *,
    group_types: Mapping[str, str],
) -> StoredPeople:
    """Return what is stored of *distinct_ids*, and of *groups* (type -> key)."""
    people = find_people(session, project_id, distinct_ids)
    indexes = {name: int(index) for index, name in group_types.items()}
    wanted = [(indexes[name], key) for name, key in groups.items() if name in indexes][:_MAX_GROUPS]
    found = find_groups(session, project_id, wanted) if wanted else {}
    return StoredPeople(
        {distinct_id: person.uuid for distinct_id, person in people.items()},
        {person.uuid: person.properties for person in people.values()},
        {(group_types[str(index)], key): group.properties for (index, key), group in found.items()},
    )


def group_types_of(session: Session, project_id: int) -> dict[str, str]:
    """Return the project's group types by index as text."""
    return {str(each.index): each.name for each in known_types(session, project_id)}
