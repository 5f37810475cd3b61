"""Subject: the person and groups that a flag is evaluated for, with everything known about them."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

__all__ = ["Subject"]

_NOTHING: Mapping[str, Any] = {}
_NO_KEYS: Mapping[str, str] = {}


class Subject:
    """One person, their device and their groups.

    It is made for one call, and also caches the flags that others depend on.

    *groups* maps a group's type to its key, *group_properties* the type to that group's properties.
    With *complete* a missing property is known to be unset, as on the server; otherwise it is
    unknown. *hash_keys* maps the key of a flag that keeps its value across a login to the identifier
    that it hashes instead of the distinct id; only the server knows them.
    """

    __slots__ = (
        "_now", "complete", "device_id", "distinct_id", "found", "group_properties", "groups", "hash_keys",
        "person_properties",
    )  # fmt: skip

    def __init__(
        self,
        distinct_id: str,
        *,
        person_properties: Mapping[str, Any] = _NOTHING,
        groups: Mapping[str, str] = _NOTHING,
        group_properties: Mapping[str, Mapping[str, Any]] = _NOTHING,
        device_id: str | None = None,
        complete: bool = False,
        hash_keys: Mapping[str, str] = _NO_KEYS,
        now: datetime | None = None,
    ) -> None:
        self.distinct_id: str = distinct_id
        self.person_properties: Mapping[str, Any] = person_properties
        self.groups: Mapping[str, str] = groups
        self.group_properties: Mapping[str, Mapping[str, Any]] = group_properties
        self.device_id: str | None = device_id
        self.complete: bool = complete
        self.hash_keys: Mapping[str, str] = hash_keys
        self._now = now
        # Flags that others depend on, by key. The dict is made on first use.
        self.found: dict[str, Any] | None = None

    @property
    def now(self) -> datetime:
        """The time that relative dates refer to; the same for the whole call."""
        if self._now is None:
            self._now = datetime.now(UTC)
        return self._now

    def properties_of(self, group_type: str) -> Mapping[str, Any] | None:
        """Return the known properties of the group of *group_type*; None: none are known."""
        known = self.group_properties.get(group_type)
        return _NOTHING if known is None and self.complete else known
