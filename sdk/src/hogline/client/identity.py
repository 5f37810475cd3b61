"""Events about persons and groups: properties, aliases, identification.

Of the context's properties they carry only the session, so that no tag becomes a person's property.
"""

import logging
from collections.abc import Mapping
from typing import Any, TypedDict

from hogline.client.events import EventPipeline, context_distinct_id
from hogline.context import current
from hogline.delivery.ledger import DISABLED, INCOMPLETE
from hogline.event import distinct_id_text

__all__ = ["EventOptions", "PersonEvents"]

_log = logging.getLogger("hogline")
_SESSION_PROPERTIES = ("$session_id", "$window_id", "$request_id")


class EventOptions(TypedDict):
    """The arguments that every kind of event takes.

    They are its time, its id, and whether the server looks the IP address up.
    """

    timestamp: Any
    uuid: Any
    disable_geoip: bool | None


class PersonEvents:
    """Sends a client's events about persons and groups."""

    def __init__(self, events: EventPipeline) -> None:
        self._events = events

    def set(self, distinct_id: Any, properties: Mapping[str, Any] | None, options: EventOptions) -> str | None:
        """Set person properties."""
        return self._send("$set", _filled({"$set": properties}), distinct_id, options)

    def set_once(self, distinct_id: Any, properties: Mapping[str, Any] | None, options: EventOptions) -> str | None:
        """Set person properties that are not set yet."""
        return self._send("$set_once", _filled({"$set_once": properties}), distinct_id, options)

    def identify(
        self,
        distinct_id: Any,
        properties: Mapping[str, Any] | None,
        set_once: Mapping[str, Any] | None,
        anonymous_id: Any,
        options: EventOptions,
    ) -> str | None:
        """Identify a person; it needs no properties."""
        own = {"$set": properties, "$set_once": set_once, "$anon_distinct_id": distinct_id_text(anonymous_id)}
        return self._send("$identify", _filled(own), distinct_id, options, needs_properties=False)

    def alias(self, previous_id: Any, distinct_id: Any, options: EventOptions) -> str | None:
        """Join two distinct ids to one person."""
        previous = distinct_id_text(previous_id)
        new = distinct_id_text(distinct_id) or context_distinct_id()
        if previous is None or new is None:
            _log.warning("hogline: alias() needs two ids, got %r and %r; nothing was sent", previous_id, distinct_id)
            self._refuse()
            return None
        return self._send("$create_alias", {"distinct_id": previous, "alias": new}, previous, options)

    def group_identify(
        self,
        group_type: str,
        group_key: Any,
        properties: Mapping[str, Any] | None,
        distinct_id: Any,
        options: EventOptions,
    ) -> str | None:
        """Set properties of a group."""
        key = distinct_id_text(group_key)
        if not group_type or key is None:
            _log.warning("hogline: group_identify() needs a type and a key, got %r and %r", group_type, group_key)
            self._refuse()
            return None
        own = {"$group_type": group_type, "$group_key": key, "$group_set": dict(properties or {})}
        person = distinct_id_text(distinct_id) or context_distinct_id() or f"${group_type}_{key}"
        return self._send("$groupidentify", own, person, options)

    def _refuse(self) -> None:
        self._events.ledger.refuse(DISABLED if self._events.disabled else INCOMPLETE)

    def _send(
        self,
        event: str,
        own: Mapping[str, Any],
        distinct_id: Any,
        options: EventOptions,
        *,
        needs_properties: bool = True,
    ) -> str | None:
        person = distinct_id_text(distinct_id) or context_distinct_id()
        if person is None or (needs_properties and not own):
            _log.warning("hogline: %s needs a person and properties; nothing was sent", event)
            self._refuse()
            return None
        context = current.get()
        known = context.properties() if context is not None else {}
        session = {key: known[key] for key in _SESSION_PROPERTIES if key in known}
        return self._events.send(event, person, {**self._events.identity_defaults, **session, **own}, **options)


def _filled(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the entries that are not empty."""
    return {key: dict(value) if isinstance(value, Mapping) else value for key, value in given.items() if value}
