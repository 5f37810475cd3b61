"""JSON as bytes, also of values of clients that the quick encoder refuses."""

import json
from typing import Any

import orjson

__all__ = ["encode_json"]


def encode_json(value: object) -> bytes:
    """Return *value* as JSON on one line.

    The quick encoder writes 254 levels, integers of 64 bits and no lone surrogate. Properties of
    clients may have more, and the slow one writes them.
    """
    try:
        return orjson.dumps(value)
    except TypeError:
        return json.dumps(value, default=_part, separators=(",", ":")).encode()


def _part(value: object) -> Any:
    return orjson.loads(orjson.dumps(value))
