"""The person that pages and the API show for an event.

Stored events get the person of today from SQL, in one look-up for a whole list. Live events show
the properties in their own row, so that the live stream asks SQL nothing.
"""

import dataclasses
from collections.abc import Iterable, Sequence
from typing import Any

import orjson

from hogline_instance.db import Database
from hogline_instance.events.event import StoredEvent
from hogline_instance.events.filters import EventFilter
from hogline_instance.events.summary import Summary, summarize
from hogline_instance.people.lookup import FoundPerson, find_people, find_person_by_uuid, names_of
from hogline_instance.people.names import display_name, name_properties
from hogline_instance.project import Project

__all__ = ["event_person_json", "live_summary", "of_person", "people_of", "shown_names", "summaries"]


def people_of(database: Database, project: Project, events: Iterable[StoredEvent]) -> dict[str, FoundPerson]:
    """Return the people of *events*, by distinct id."""
    with database.session() as session:
        return find_people(session, project.id, {event.distinct_id for event in events})


def of_person(database: Database, project_id: int, wanted: EventFilter, person_id: str) -> EventFilter:
    """Return *wanted* for the events of a person, whose ids are those of today.

    An uuid that belongs to nobody finds the events that have it and no person.
    """
    with database.session() as session:
        person = find_person_by_uuid(session, project_id, person_id.lower())
    if person is not None:
        return dataclasses.replace(wanted, distinct_ids=person.distinct_ids)
    return dataclasses.replace(wanted, person_id=person_id.lower())


def event_person_json(event: StoredEvent, person: FoundPerson | None) -> dict[str, Any]:
    """Return `person_id` and `person` of an event in PostHog's API; an event may have no person."""
    if person is None:
        return {"person_id": event.person_id, "person": None}
    return {
        "person_id": person.uuid,
        "person": {
            "uuid": person.uuid,
            "distinct_ids": person.distinct_ids,
            "properties": person.properties,
            "is_identified": person.is_identified,
            "created_at": person.created_at,
        },
    }


def shown_names(database: Database, project: Project, distinct_ids: Iterable[str]) -> dict[str, tuple[str, str]]:
    """Return (uuid, name) of the people of *distinct_ids*, by distinct id."""
    with database.session() as session:
        return names_of(session, project.id, distinct_ids, name_properties(project.settings))


def summaries(database: Database, project: Project, events: Sequence[StoredEvent]) -> list[Summary]:
    """Return the summaries of *events* with the names of their people."""
    names = shown_names(database, project, {event.distinct_id for event in events})
    return [_named(event, *names.get(event.distinct_id, ("", ""))) for event in events]


def live_summary(event: StoredEvent) -> Summary:
    """Return the summary of an event that was stored just now."""
    if event.person_mode != "full":
        return summarize(event)
    try:
        properties = orjson.loads(bytes(event.raw_person_properties))
    except orjson.JSONDecodeError:
        properties = {}
    return _named(event, event.person_id, display_name(properties, (event.distinct_id,)))


def _named(event: StoredEvent, uuid: str, name: str) -> Summary:
    return dataclasses.replace(summarize(event), person_id=uuid, person=name)
