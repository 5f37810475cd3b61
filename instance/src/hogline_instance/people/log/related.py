"""Who and what belongs together: the people and groups that events of the last 90 days name at once."""

from datetime import timedelta
from typing import Any

from sqlalchemy.orm import Session

from hogline_instance.db import Database, utc_now
from hogline_instance.people.log.queries import groups_beside, people_beside
from hogline_instance.people.lookup import find_groups, find_people_by_uuid, find_person_by_uuid
from hogline_instance.people.names import name_properties
from hogline_instance.people.person_json import group_json, listed_person_json
from hogline_instance.project import Project
from hogline_instance.store import Store

__all__ = ["related_to_group", "related_to_person"]

_WITHIN = timedelta(days=90)


def related_to_group(database: Database, store: Store, project: Project, type_index: int, key: str) -> list[Any]:
    """Return the people of a group, and the groups of other types, as PostHog lists them."""
    since = utc_now() - _WITHIN
    uuids = people_beside(store, project.id, type_index, key, since)
    groups = groups_beside(store, project.id, since, group=(type_index, key))
    names = name_properties(project.settings)
    with database.session() as session:
        people = find_people_by_uuid(session, project.id, uuids)
        return [
            *(listed_person_json(people[uuid], names) for uuid in uuids if uuid in people),
            *_groups(session, project.id, groups),
        ]


def related_to_person(database: Database, store: Store, project: Project, uuid: str) -> list[Any]:
    """Return the groups of a person, as PostHog lists them."""
    with database.session() as session:
        person = find_person_by_uuid(session, project.id, uuid)
    if person is None:
        return []
    groups = groups_beside(store, project.id, utc_now() - _WITHIN, distinct_ids=person.distinct_ids)
    with database.session() as session:
        return _groups(session, project.id, groups)


def _groups(session: Session, project_id: int, places: list[tuple[int, str]]) -> list[dict[str, Any]]:
    known = find_groups(session, project_id, places)
    return [
        {"type": "group", "id": key, "properties": known[index, key].properties, **group_json(known[index, key])}
        for index, key in places
        if (index, key) in known
    ]
