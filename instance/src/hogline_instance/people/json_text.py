"""The JSON of events and of stored properties: quick for ordinary text, tolerant of the rest."""

import json
from typing import Any

import orjson

from hogline_instance.events.event import StoredEvent
from hogline_instance.events.json_bytes import encode_json

__all__ = ["encode_properties", "properties_of", "read_properties"]

_BACKSLASH, _ESCAPE = b"\\", b"\\u"


def properties_of(event: StoredEvent) -> dict[str, Any]:
    """Return its properties without NUL and lone surrogates, which PostgreSQL cannot store.

    They are empty if they are too deep. The caller must not change them: they may be the event's.
    """
    properties = event.properties
    text = bytes(event.raw_properties)
    if _BACKSLASH in text and _ESCAPE in text:  # the search for one byte is the quicker by far
        properties = _storable(properties)
    return properties  # type: ignore[return-value]


def read_properties(text: bytes) -> dict[str, Any]:
    """Return the properties that `encode_properties` wrote."""
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        value = json.loads(text)
    return value if isinstance(value, dict) else {}


def encode_properties(properties: dict[str, Any]) -> bytes:
    """Return *properties* as JSON on one line."""
    return encode_json(properties)


def _storable(value: Any) -> Any:
    if isinstance(value, str):
        text = value.replace("\0", "\N{REPLACEMENT CHARACTER}")
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, dict):
        return {_storable(name): _storable(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_storable(each) for each in value]
    return value
