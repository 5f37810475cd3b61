"""The JSON of events and of stored properties: quick for ordinary text, tolerant of the rest."""

import json
from typing import Any

import orjson

from hogline_instance.events.event import StoredEvent

__all__ = ["encode_properties", "properties_of"]

_NUL = rb"\u0000"


def properties_of(event: StoredEvent) -> dict[str, Any]:
    """Return its properties without NUL, which PostgreSQL cannot store; empty if they are too deep."""
    raw = bytes(event.raw_properties)
    try:
        value = orjson.loads(raw)
    except orjson.JSONDecodeError:
        value = _storable(dict(event.properties))
    else:
        if _NUL in raw:
            value = _storable(value)
    return value if isinstance(value, dict) else {}


def encode_properties(properties: dict[str, Any]) -> bytes:
    """Return *properties* as JSON on one line."""
    try:
        return orjson.dumps(properties)
    except (TypeError, orjson.JSONEncodeError):  # an integer beyond 64 bits
        return json.dumps(properties).encode()


def _storable(value: Any) -> Any:
    if isinstance(value, str):
        text = value.replace("\0", "\N{REPLACEMENT CHARACTER}")
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, dict):
        return {_storable(name): _storable(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_storable(each) for each in value]
    return value
