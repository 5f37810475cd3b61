"""The JSON of people and groups in PostHog's API.

Source: docs/internals/management-api.md#persons.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from hogline_instance.people.lookup import FoundGroup, FoundPerson, GroupType

__all__ = ["group_json", "group_type_json", "iso", "listed_person_json", "person_json"]


def iso(moment: datetime | None) -> str | None:
    """Return *moment* as PostHog writes it, ending with Z."""
    return None if moment is None else moment.isoformat().replace("+00:00", "Z")


def person_json(person: FoundPerson, names: Sequence[str]) -> dict[str, Any]:
    """Return one person, whose `id` is a number."""
    return {
        "id": person.id,
        "uuid": person.uuid,
        "name": person.name(names),
        "distinct_ids": person.distinct_ids,
        "properties": person.properties,
        "created_at": iso(person.created_at),
        "is_identified": person.is_identified,
        "last_seen_at": iso(person.last_seen_at),
    }


def listed_person_json(person: FoundPerson, names: Sequence[str]) -> dict[str, Any]:
    """Return one person of a list, whose `id` is the uuid."""
    whole = person_json(person, names)
    return {"type": "person", **whole, "id": person.uuid, "matched_recordings": [], "value_at_data_point": None}


def group_json(group: FoundGroup) -> dict[str, Any]:
    """Return one group."""
    return {
        "group_type_index": group.type_index,
        "group_key": group.key,
        "group_properties": group.properties,
        "created_at": iso(group.created_at),
    }


def group_type_json(found: GroupType) -> dict[str, Any]:
    """Return one group type."""
    return {
        "group_type": found.name,
        "group_type_index": found.index,
        "name_singular": found.name_singular,
        "name_plural": found.name_plural,
        "default_columns": None,
        "detail_dashboard": None,
        "created_at": iso(found.created_at),
    }
