"""How a person became who they are: the origin of their ids and of their properties. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from hogline_instance.events.event import StoredEvent
from hogline_instance.people.merging_ids import IDENTITY_EVENTS, other_id
from hogline_instance.people.updates import updates_of

__all__ = ["IdOrigin", "PropertyOrigin", "id_origins", "property_origins"]

_HOW = {"$identify": "identified", "$create_alias": "alias", "$merge_dangerously": "merged dangerously"}
_MAX_CHARACTERS = 5_000


@dataclass(frozen=True, slots=True)
class IdOrigin:
    """A distinct id, and the event that joined it with *other*; '' and None when none is known."""

    distinct_id: str
    how: str
    other: str
    at: datetime | None
    event_uuid: str


@dataclass(frozen=True, slots=True)
class PropertyOrigin:
    """A property, and the event from which its value came, as far as that is known."""

    name: str
    text: str
    structured: bool
    source: str
    at: datetime | None
    event_uuid: str


def id_origins(distinct_ids: Sequence[str], events: Sequence[StoredEvent]) -> list[IdOrigin]:
    """Return the origin of each id, from the *events* of the person, oldest first."""
    joined: dict[str, IdOrigin] = {}
    for event in events:
        if event.event not in IDENTITY_EVENTS:
            continue
        other = other_id(event.event, event.properties)
        for one, another in ((event.distinct_id, other), (other, event.distinct_id)):
            if one in distinct_ids and another in distinct_ids and one != another and one not in joined:
                joined[one] = IdOrigin(one, _HOW[event.event], another, event.timestamp, event.uuid)
    return [joined.get(each, IdOrigin(each, "", "", None, "")) for each in distinct_ids]


def property_origins(properties: Mapping[str, Any], events: Sequence[StoredEvent], show: Any) -> list[PropertyOrigin]:
    """Return the properties by name with the event that gave each value, from *events*, oldest first.

    *show* renders a value as (text, whether it keeps its line breaks).
    """
    origins: dict[str, tuple[str, StoredEvent]] = {}
    for event in events:
        updates = updates_of(event.event, event.properties)
        explicit = event.properties.get("$set")
        for name, value in updates.set_once.items():
            if name not in origins and properties.get(name) == value and not name.startswith("$initial_"):
                origins[name] = ("set once", event)
        for name, value in updates.set.items():
            if properties.get(name) == value:
                given = isinstance(explicit, dict) and name in explicit
                origins[name] = ("set" if given else "the event's own property", event)
    creator = str(properties.get("$creator_event_uuid", ""))
    return [
        _origin(name, properties[name], origins.get(name), creator, show) for name in sorted(properties, key=_order)
    ]


def _origin(name: str, value: Any, found: tuple[str, StoredEvent] | None, creator: str, show: Any) -> PropertyOrigin:
    text, structured = show(value)
    text = text[:_MAX_CHARACTERS]
    if found is not None:
        how, event = found
        return PropertyOrigin(name, text, structured, f"{how}, {event.event[:80]}", event.timestamp, event.uuid)
    if name.startswith("$initial_") or name == "$creator_event_uuid":
        return PropertyOrigin(name, text, structured, "the first event" if creator else "", None, creator)
    return PropertyOrigin(name, text, structured, "", None, "")


def _order(name: str) -> tuple[int, str]:
    # What people chose to keep comes before what every event brings.
    return (2 if name.startswith("$initial_") else 1 if name.startswith("$") else 0), name
