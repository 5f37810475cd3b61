"""The methods that say who somebody is: person and group properties, aliases. Their events carry no context but its session."""

import logging
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from hogline.client.events import Assembly, context_person, guarded_event
from hogline.context import current
from hogline.delivery.ledger import DISABLED, INCOMPLETE
from hogline.event import distinct_id_text

__all__ = ["IdentityMethods"]

_log = logging.getLogger("hogline")
_NOTHING: Mapping[str, Any] = {}
_LINE = ("$session_id", "$window_id", "$request_id")  # what ties an identity event to its session


class IdentityMethods(Assembly):
    """What a client says about people and groups."""

    @guarded_event
    def set(
        self,
        *,
        distinct_id: Any = None,
        properties: Mapping[str, Any] | None = None,
        timestamp: datetime | str | None = None,
        uuid: Any = None,
        disable_geoip: bool | None = None,
    ) -> str | None:
        """Set person *properties*. Without a person, from here or the context, nothing is sent."""
        return self._person("$set", {"$set": properties}, distinct_id, timestamp, uuid, disable_geoip)

    @guarded_event
    def set_once(
        self,
        *,
        distinct_id: Any = None,
        properties: Mapping[str, Any] | None = None,
        timestamp: datetime | str | None = None,
        uuid: Any = None,
        disable_geoip: bool | None = None,
    ) -> str | None:
        """Set person *properties* that are not set yet. Without a person nothing is sent."""
        return self._person("$set_once", {"$set_once": properties}, distinct_id, timestamp, uuid, disable_geoip)

    @guarded_event
    def identify(
        self,
        distinct_id: Any = None,
        properties: Mapping[str, Any] | None = None,
        *,
        set_once: Mapping[str, Any] | None = None,
        anonymous_id: Any = None,
        timestamp: datetime | str | None = None,
        uuid: Any = None,
        disable_geoip: bool | None = None,
    ) -> str | None:
        """Say that *distinct_id* is a known person, with *properties*; *anonymous_id*'s earlier events become theirs."""
        said = {"$set": properties, "$set_once": set_once, "$anon_distinct_id": distinct_id_text(anonymous_id)}
        return self._person("$identify", said, distinct_id, timestamp, uuid, disable_geoip, bare=True)

    @guarded_event
    def alias(
        self,
        previous_id: Any,
        distinct_id: Any = None,
        timestamp: datetime | str | None = None,
        uuid: Any = None,
        disable_geoip: bool | None = None,
    ) -> str | None:
        """Join *distinct_id* (or the context's) to the person that *previous_id* is."""
        previous = distinct_id_text(previous_id)
        new = distinct_id_text(distinct_id) or context_person()
        if previous is None or new is None:
            _log.warning("hogline: alias() needs two ids, got %r and %r; nothing was sent", previous_id, distinct_id)
            self._incomplete()
            return None
        said = {"distinct_id": previous, "alias": new}
        return self._person("$create_alias", said, previous, timestamp, uuid, disable_geoip)

    @guarded_event
    def group_identify(
        self,
        group_type: str,
        group_key: Any,
        properties: Mapping[str, Any] | None = None,
        timestamp: datetime | str | None = None,
        uuid: Any = None,
        disable_geoip: bool | None = None,
        distinct_id: Any = None,
    ) -> str | None:
        """Set *properties* of the group *group_key* of *group_type*."""
        key = distinct_id_text(group_key)
        if not group_type or key is None:
            _log.warning("hogline: group_identify() needs a type and a key, got %r and %r", group_type, group_key)
            self._incomplete()
            return None
        said = {"$group_type": group_type, "$group_key": key, "$group_set": dict(properties or {})}
        person = distinct_id_text(distinct_id) or context_person() or f"${group_type}_{key}"
        return self._person("$groupidentify", said, person, timestamp, uuid, disable_geoip)

    def _incomplete(self) -> None:
        self._ledger.refuse(DISABLED if self.disabled else INCOMPLETE)

    def _person(
        self,
        event: str,
        said: Mapping[str, Any],
        distinct_id: Any,
        timestamp: datetime | str | None,
        uuid: Any,
        disable_geoip: bool | None,
        *,
        bare: bool = False,
    ) -> str | None:
        """Send an identity event: no context properties but session and window, so that no tag becomes a person's."""
        own = {key: dict(value) if isinstance(value, Mapping) else value for key, value in said.items() if value}
        who = distinct_id_text(distinct_id) or context_person()
        if who is None or not (own or bare):
            _log.warning("hogline: %s needs a person and properties; nothing was sent", event)
            self._incomplete()
            return None
        now = current.get()
        context = now.properties() if now is not None else _NOTHING
        line = {key: context[key] for key in _LINE if key in context}
        return self._send(event, who, {**self._sparse, **line, **own}, timestamp, uuid, disable_geoip)
