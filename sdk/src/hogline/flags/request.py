"""FlagRequest: the person whose flags are asked for.

The context completes what the caller leaves open.
"""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from hogline.context import current
from hogline.event import distinct_id_text
from hogline.flags.evaluation import Subject

__all__ = ["FlagRequest"]

_NOTHING: Mapping[str, Any] = {}


class FlagRequest:
    """One person, device and set of groups.

    It holds everything that the caller and the context know about them.
    """

    __slots__ = ("device_id", "disable_geoip", "distinct_id", "group_properties", "groups", "keys", "person_properties")

    def __init__(
        self,
        distinct_id: str,
        groups: Mapping[str, str],
        person_properties: Mapping[str, Any],
        group_properties: Mapping[str, Mapping[str, Any]],
        device_id: str | None,
        disable_geoip: bool | None,
        keys: Sequence[str] | None,
    ) -> None:
        self.distinct_id: str = distinct_id
        self.groups: Mapping[str, str] = groups
        self.person_properties: Mapping[str, Any] = person_properties
        self.group_properties: Mapping[str, Mapping[str, Any]] = group_properties
        self.device_id: str | None = device_id
        self.disable_geoip: bool | None = disable_geoip
        self.keys: Sequence[str] | None = keys  # None: all flags

    @classmethod
    def of(
        cls,
        distinct_id: Any,
        *,
        groups: Mapping[str, Any] | None = None,
        person_properties: Mapping[str, Any] | None = None,
        group_properties: Mapping[str, Mapping[str, Any]] | None = None,
        device_id: str | None = None,
        disable_geoip: bool | None = None,
        keys: Sequence[str] | None = None,
    ) -> "FlagRequest | None":
        """Return the request; None: neither the caller nor the context knows the person."""
        context = current.get()
        person = distinct_id_text(distinct_id)
        if context is not None:
            person = person if person is not None else context.acting_distinct_id()
            device_id = device_id if device_id is not None else context.device_id
            if context.person_properties:
                person_properties = {**context.person_properties, **(person_properties or _NOTHING)}
            known = context.properties().get("$groups")
            if known and isinstance(known, Mapping):
                groups = {**known, **(groups or _NOTHING)}
        if person is None:
            return None
        named: Mapping[str, str] = _NOTHING
        described: Mapping[str, Mapping[str, Any]] = _NOTHING
        if groups:
            named = {str(kind): str(key) for kind, key in groups.items() if key is not None}
            given = group_properties or _NOTHING
            described = {kind: {"$group_key": key, **(given.get(kind) or _NOTHING)} for kind, key in named.items()}
        return cls(person, named, person_properties or _NOTHING, described, device_id, disable_geoip, keys)

    def digest(self) -> str:
        """Return a short key for the person, groups and device: a cached answer belongs to it."""
        parts = [self.distinct_id, sorted(self.groups.items()), self.device_id]
        return hashlib.sha256(repr(parts).encode("utf-8", "surrogatepass")).hexdigest()[:32]

    def subject(self) -> Subject:
        """Return the subject for local evaluation."""
        properties = self.person_properties
        if "distinct_id" not in properties:
            properties = {"distinct_id": self.distinct_id, **properties}
        return Subject(
            self.distinct_id,
            person_properties=properties,
            groups=self.groups,
            group_properties=self.group_properties,
            device_id=self.device_id,
        )
