"""The properties of an event, grouped and ordered for a reader. Pure."""

import json
from collections.abc import Mapping
from dataclasses import dataclass

from hogline_instance.events.event import StoredEvent

__all__ = ["PropertyGroup", "PropertyRow", "property_groups", "raw_json"]

_REQUEST = (
    "$request_method", "$request_path", "$request_route", "$request_id", "$response_status_code", "$current_url", "$host",
    "$pathname", "$referrer", "$referring_domain", "$ip", "$user_agent", "$raw_user_agent",
)  # fmt: skip
_PERSON = (
    "distinct_id", "$user_id", "$device_id", "$session_id", "$window_id", "$pageview_id", "$anon_distinct_id",
    "$is_identified", "$process_person_profile", "$set", "$set_once", "$groups",
)  # fmt: skip
_MAX_VALUE_CHARS = 20_000
_MAX_RAW_CHARS = 2_000_000


@dataclass(frozen=True, slots=True)
class PropertyRow:
    """One property as text.

    A `structured` value keeps its line breaks. A `cut` value is complete only in the raw JSON.
    """

    name: str
    text: str
    structured: bool
    cut: bool


@dataclass(frozen=True, slots=True)
class PropertyGroup:
    """Properties shown under one heading."""

    title: str
    rows: tuple[PropertyRow, ...]


def property_groups(event: StoredEvent) -> tuple[PropertyGroup, ...]:
    """Return the properties in up to four groups; empty groups are left out."""
    properties = event.properties
    known = {*_REQUEST, *_PERSON}
    groups = (
        (
            "Custom properties",
            [name for name in properties if not name.startswith("$") and name not in {*known, "token"}],
        ),
        ("Request", [name for name in _REQUEST if name in properties]),
        ("Person and session", [name for name in _PERSON if name in properties]),
        (
            "Everything else",
            sorted(
                name
                for name in properties
                # The page shows the exception chain above the properties.
                if (name.startswith("$") or name == "token") and name not in known and name != "$exception_list"
            ),
        ),
    )
    return tuple(
        PropertyGroup(title, tuple(_row(name, properties[name]) for name in names)) for title, names in groups if names
    )


def raw_json(event: StoredEvent) -> str:
    """Return the event as indented JSON, or its raw properties if too large or unreadable."""
    if len(event.properties_json) > _MAX_RAW_CHARS or not event.properties:
        return event.properties_json
    whole: Mapping[str, object] = {
        "uuid": event.uuid,
        "event": event.event,
        "distinct_id": event.distinct_id,
        "timestamp": event.timestamp.isoformat(),
        "properties": event.properties,
    }
    return json.dumps(whole, indent=2, ensure_ascii=False)


def _row(name: str, value: object) -> PropertyRow:
    structured = isinstance(value, (dict, list)) and bool(value)
    text = value if isinstance(value, str) else json.dumps(value, indent=2 if structured else None, ensure_ascii=False)
    return PropertyRow(name, text[:_MAX_VALUE_CHARS], structured or "\n" in text, len(text) > _MAX_VALUE_CHARS)
