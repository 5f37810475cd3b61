"""Carrier: a context that travels with a task, as one line of ASCII JSON.

It holds the three ids, and the facts of the request that queued the task. A carrier from a broker
is not trusted, since anyone who can write to the queue may have written it: it is bounded, its
values are cleaned like headers, and only properties that a request may have are accepted. A broken
carrier, or one of another version, counts as none.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from hogline.context import Context, FixedOrigin
from hogline.facts.tracing import usable

__all__ = ["KEY", "MAX_BYTES", "Carried", "origin_of", "pack", "unpack"]

KEY = "hogline"
"""The name of the header, label or option that holds a carrier."""
VERSION = 1
MAX_BYTES = 65_536
"""The largest carrier that is read, whatever the sender's bound was."""
_MAX_NAME_CHARACTERS = 200
# The facts of a request, most important first: if not all fit, the last ones are left out. Other
# properties with a `$` control the server (`$set`, `$process_person_profile` ...) and do not
# travel.
_FACTS = (
    "$window_id", "$request_id", "$request_route", "$request_method", "$request_path", "$groups", "$ip", "$current_url",
    "$user_agent", "$raw_user_agent",
)  # fmt: skip
_KNOWN = frozenset(_FACTS)
_RANK = {name: rank for rank, name in enumerate(_FACTS)}


@dataclass(frozen=True, slots=True)
class Carried:
    """The content of a carrier."""

    distinct_id: str | None = None
    session_id: str | None = None
    properties: Mapping[str, Any] = field(default_factory=dict)


def pack(context: Context | None, tags: Sequence[str] = (), limit_bytes: int = 4096) -> str | None:
    """Return *context* as a carrier of at most *limit_bytes*, or None if there is nothing to carry.

    Of the context's tags only those named in *tags* travel.
    """
    if context is None:
        return None
    origin = context.origin
    properties = dict(origin.properties()) if origin is not None else {}
    own = context.tags or {}
    properties.update({name: own[name] for name in tags if name in own})
    who, session = context.acting_distinct_id(), context.session()
    ids = {name: value for name, value in (("d", who), ("s", session)) if value is not None}
    room = limit_bytes - len(_text({"v": VERSION, **ids, "p": {}}))
    if room < 0:
        return None
    fitting: dict[str, Any] = {}
    for name in sorted(filter(_may_travel, properties), key=lambda name: _RANK.get(name, len(_RANK))):
        try:
            room_needed = len(_text({name: properties[name]}))
        except (TypeError, ValueError, RecursionError):  # not JSON: left out
            continue
        if room_needed <= room:
            fitting[name] = properties[name]
            room -= room_needed
    if not ids and not fitting:
        return None
    return _text({"v": VERSION, **ids, "p": fitting})


def unpack(carrier: Any) -> Carried:
    """Return the content of *carrier*.

    It is empty if the carrier is absent, too large, broken, or of an unknown version.
    """
    if isinstance(carrier, bytes):
        carrier = carrier.decode("ascii", "replace")
    if not isinstance(carrier, str) or not 0 < len(carrier) <= MAX_BYTES:
        return Carried()
    try:
        said = orjson.loads(carrier)
    except ValueError:
        return Carried()
    if not isinstance(said, dict) or said.get("v") != VERSION:
        return Carried()
    given = said.get("p")
    properties = {
        name: _clean(name, value)
        for name, value in (given.items() if isinstance(given, dict) else ())
        if _may_travel(name)
    }
    return Carried(
        distinct_id=_identity(said.get("d")),
        session_id=_identity(said.get("s")),
        properties={name: value for name, value in properties.items() if value is not None},
    )


def origin_of(carrier: Any) -> FixedOrigin:
    """Return the content of *carrier* as the origin of a context in this process."""
    carried = unpack(carrier)
    return FixedOrigin(carried.distinct_id, carried.session_id, carried.properties)


def _text(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), allow_nan=False)  # ASCII, unlike orjson's


def _may_travel(name: Any) -> bool:
    if not isinstance(name, str) or not name or len(name) > _MAX_NAME_CHARACTERS:
        return False
    return name in _KNOWN or not name.startswith("$")


def _identity(value: Any) -> str | None:
    return usable([value]) if isinstance(value, str) else None


def _clean(name: str, value: Any) -> Any:
    if name in ("$window_id", "$request_id"):
        return _identity(value)
    if name == "$groups":
        return value if isinstance(value, dict) else None
    if name in _KNOWN:
        return value if isinstance(value, str) else None
    return value
