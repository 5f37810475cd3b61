"""What changed of people and groups, in the shape of PostHog's activity log.

A person changes by events, so the log is made of these: the events that join ids, and those that
the API sends for a change. Pure.
Source: docs/internals/management-api.md#conventions.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from hogline_instance.events.event import StoredEvent
from hogline_instance.people.merging_ids import IDENTITY_EVENTS, other_id
from hogline_instance.people.person_json import iso

__all__ = ["group_entries", "person_entries"]


def person_entries(events: Sequence[StoredEvent], uuids: Mapping[str, str]) -> list[dict[str, Any]]:
    """Return the entries of *events*; *uuids* are the persons of today, by distinct id."""
    return [_person_entry(event, uuids.get(event.distinct_id, event.person_id)) for event in events]


def group_entries(events: Sequence[StoredEvent], key: str) -> list[dict[str, Any]]:
    """Return the entries of a group, newest first, from its `$groupidentify` events, oldest first.

    An event that changes nothing has no entry.
    """
    known: dict[str, Any] = {}
    entries: list[dict[str, Any]] = []
    for event in events:
        given = event.properties.get("$group_set")
        changes = [
            _change("Group", "changed" if name in known else "created", name, known.get(name), value)
            for name, value in _items(given)
            if name not in known or known[name] != value
        ]
        if changes or not entries:
            activity = "updated" if entries else "created"
            entries.append(_entry(event, activity, "Group", key, {"name": key, "changes": changes}))
        known.update(_items(given))
    return entries[::-1]


def _person_entry(event: StoredEvent, uuid: str) -> dict[str, Any]:
    if event.event in IDENTITY_EVENTS:
        source = {"distinct_ids": [other_id(event.event, event.properties)], "properties": {}}
        target = {"uuid": uuid, "distinct_ids": [event.distinct_id], "properties": {}}
        merge = {"type": "Person", "source": source, "target": target}
        return _entry(event, "people_merged_into", "Person", uuid, {"merge": merge})
    given, removed = event.properties.get("$set"), event.properties.get("$unset")
    changes = [_change("Person", "changed", name, None, value) for name, value in _items(given)]
    changes += [
        _change("Person", "deleted", str(name), None, None) for name in (removed if isinstance(removed, list) else [])
    ]
    return _entry(event, "updated", "Person", uuid, {"changes": changes})


def _entry(event: StoredEvent, activity: str, scope: str, item: str, detail: Mapping[str, Any]) -> dict[str, Any]:
    at: datetime = event.timestamp
    return {
        "id": event.uuid, "user": None, "activity": activity, "scope": scope, "item_id": item,
        "detail": {"name": None, "changes": None, "merge": None, "trigger": None, "short_id": None, **detail},
        "created_at": iso(at), "is_system": True, "was_impersonated": False,
    }  # fmt: skip


def _change(kind: str, action: str, name: str, before: Any, after: Any) -> dict[str, Any]:
    return {"type": kind, "action": action, "field": f"properties.{name}"[:400], "before": before, "after": after}


def _items(value: object) -> list[tuple[str, Any]]:
    return list(value.items()) if isinstance(value, dict) else []
