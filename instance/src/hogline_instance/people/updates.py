"""The updates of a person's properties that an event asks for, and their result.

Pure. Source: docs/internals/instance-protocol.md#person-properties and
docs/internals/instance-protocol.md#details-of-person-updates.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Outcome", "Updates", "changes_nothing", "updated", "updates_of"]

_CAMPAIGN = (
    "utm_source", "utm_medium", "utm_campaign", "utm_content", "utm_name", "utm_term", "gclid", "gad_source", "gclsrc",
    "dclid", "gbraid", "wbraid", "fbclid", "msclkid", "twclid", "li_fat_id", "mc_cid", "igshid", "ttclid", "rdt_cid",
    "irclid", "_kx", "epik", "qclid", "sccid",
)  # fmt: skip
_DEVICE = (
    "$app_build", "$app_name", "$app_namespace", "$app_version", "$browser", "$browser_version", "$device_type",
    "$current_url", "$pathname", "$os", "$os_version", "$referring_domain", "$referrer", "$screen_height",
    "$screen_width", "$viewport_height", "$viewport_width", "$raw_user_agent",
)  # fmt: skip
_AUTOMATIC = {name: "$initial_" + name.removeprefix("$") for name in (*_DEVICE, *_CAMPAIGN)}
_OF_A_SERVER = frozenset({"$os", "$os_version"})
_SERVER_LIBS = frozenset(
    {
        "hogline", "posthog-python", "posthog-node", "posthog-edge", "posthog-server", "posthog-go", "posthog-ruby",
        "posthog-php", "posthog-java", "posthog-dotnet", "posthog-elixir", "posthog-rs",
    }
)  # fmt: skip
_NOISY = frozenset(
    {
        "$current_url", "$pathname", "$referrer", "$referring_domain", "$screen_height", "$screen_width",
        "$viewport_height", "$viewport_width", "$browser", "$browser_version", "$device_type", "$raw_user_agent",
        "$os", "$os_name", "$os_version",
    }
)  # fmt: skip
_GEO = "$geoip_"
_STEADY_GEO = frozenset({"$geoip_country_name", "$geoip_city_name"})
_ALWAYS_WRITTEN = frozenset({"$identify", "$create_alias", "$merge_dangerously", "$set"})
_NEVER_WRITTEN = frozenset({"$exception", "$$heatmap", "$groupidentify"})


@dataclass(frozen=True, slots=True)
class Updates:
    """The updates of one event; *is_written* when even a change of noisy keys alone is stored."""

    set_once: Mapping[str, Any] = field(default_factory=dict)
    set: Mapping[str, Any] = field(default_factory=dict)
    unset: tuple[str, ...] = ()
    is_written: bool = False


@dataclass(frozen=True, slots=True)
class Outcome:
    """Properties after updates: those that the event's row shows, and whether to store them."""

    properties: dict[str, Any]
    is_stored: bool


_NOTHING = Updates()
_EXPLICIT = frozenset({"$set", "$set_once", "$unset", "$os_name"})
_ABSENT = object()


def updates_of(event: str, properties: Mapping[str, Any]) -> Updates:
    """Return what *event* sets and unsets, explicitly and through its own properties."""
    if event in _NEVER_WRITTEN:
        return _NOTHING
    set_: dict[str, Any] = {}
    set_once: dict[str, Any] = {}
    if "$os_name" in properties and "$os" not in properties:
        properties = {**properties, "$os": properties["$os_name"]}
    for name in sorted(_automatic_names(properties)):  # so that equal events give equal rows
        value = set_[name] = properties[name]
        if value is not None:
            set_once[_AUTOMATIC[name]] = value
    given = properties.get("$set")
    if isinstance(given, dict):
        set_.update(given)
    given = properties.get("$set_once")
    if isinstance(given, dict):
        set_once.update((name, value) for name, value in given.items() if value is not None)
    return Updates(set_once, set_, _names(properties.get("$unset")), event in _ALWAYS_WRITTEN)


def changes_nothing(event: str, properties: Mapping[str, Any], person: Mapping[str, Any]) -> bool:
    """Return whether it is plain that *event* leaves the properties of *person* as they are.

    Most events do. This takes a fraction of the time of `updates_of` and `updated`, and leaves to
    them every event of which it is not sure.
    """
    if event in _NEVER_WRITTEN:
        return True
    if not _EXPLICIT.isdisjoint(properties):
        return False
    for name in _automatic_names(properties):
        known, value = person.get(name, _ABSENT), properties[name]
        # A value that is equal may still differ, as 1 and true do.
        if known != value or type(known) is not type(value) or (value is not None and _AUTOMATIC[name] not in person):
            return False
    return True


def updated(properties: Mapping[str, Any], updates: Updates) -> Outcome:
    """Return *properties* after *updates*: what was never set, then what is set, then unset."""
    result = dict(properties)
    is_changed = is_worth_writing = False
    for name, value in updates.set_once.items():
        if name not in result:
            result[name] = value
            is_worth_writing = True
    for name, value in updates.set.items():
        if name not in result:
            is_worth_writing = True
        elif _is_same(result[name], value):
            continue
        elif not _is_noisy(name):
            is_worth_writing = True
        result[name] = value
        is_changed = True
    for name in updates.unset:
        if name in result:
            del result[name]
            is_worth_writing = True
    return Outcome(result, is_worth_writing or (is_changed and updates.is_written))


def _automatic_names(properties: Mapping[str, Any]) -> set[str]:
    """Return the names of the properties that every event sets on its person."""
    names = _AUTOMATIC.keys() & properties.keys()
    if names and (properties.get("$is_server") is True or _is_of_a_server(properties.get("$lib"))):
        names -= _OF_A_SERVER
    return names


def _is_of_a_server(library: object) -> bool:
    return isinstance(library, str) and library in _SERVER_LIBS


def _is_same(one: Any, other: Any) -> bool:
    return one == other and isinstance(one, bool) is isinstance(other, bool)


def _is_noisy(name: str) -> bool:
    return name in _NOISY or (name.startswith(_GEO) and name not in _STEADY_GEO)


def _names(value: Any) -> tuple[str, ...]:
    if isinstance(value, (list, dict)):
        return tuple(name for name in value if isinstance(name, str))
    return ()
