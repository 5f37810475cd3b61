"""The circumstances of one occurrence, in the order in which one asks for them. Pure.

Every value comes from clients, so each is bounded.
"""

from collections.abc import Mapping
from typing import Any

from hogline_instance.errors.prepared import release_of
from hogline_instance.events.event import StoredEvent

__all__ = ["facts", "flags"]

_MAX_CHARS, _MAX_FLAGS = 500, 100
_FLAG = "$feature/"
# Each line has the first name that has a value, and the names of what is added to it.
_LINES = (
    ("Request", ("$request_method",), ("$request_path",)), ("Route", ("$request_route",), ()),
    ("Status", ("$response_status_code",), ()), ("Page", ("$current_url",), ()), ("Referrer", ("$referrer",), ()),
    ("Level", ("$exception_level",), ()), ("Environment", ("$environment", "environment"), ()),
    ("Browser", ("$browser",), ("$browser_version",)), ("System", ("$os",), ("$os_version",)),
    ("Device", ("$device_type",), ()), ("Country", ("$geoip_country_name", "$geoip_country_code"), ()),
    ("Library", ("$lib",), ("$lib_version",)), ("Runtime", ("$python_runtime",), ("$python_version",)),
    ("Server", ("$hostname", "$server_name"), ()),
)  # fmt: skip


def facts(event: StoredEvent) -> tuple[tuple[str, str], ...]:
    """Return labels with values; what the event does not name is left out."""
    properties = event.properties
    found = [("Release", release_of(properties)[:_MAX_CHARS])]
    for label, names, more in _LINES:
        value = next((text for name in names if (text := _text(properties, name))), "")
        found.append(
            (label, " ".join([value, *filter(None, (_text(properties, name) for name in more))]) if value else "")
        )
    return tuple((label, value) for label, value in found if value)


def flags(event: StoredEvent) -> tuple[tuple[str, str], ...]:
    """Return the feature flags that the event carries, with their values."""
    properties = event.properties
    names = [name for name in properties if name.startswith(_FLAG)]
    return tuple(
        (name.removeprefix(_FLAG)[:_MAX_CHARS], _text(properties, name)) for name in sorted(names)[:_MAX_FLAGS]
    )


def _text(properties: Mapping[str, Any], name: str) -> str:
    value = properties.get(name)
    if isinstance(value, bool):
        return str(value).lower()
    return str(value)[:_MAX_CHARS] if isinstance(value, (str, int, float)) else ""
