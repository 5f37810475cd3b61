"""Events of which a part of the JSON is made later, by the thread that sends them.

The caller's thread writes the event's name, its id and the caller's own properties, as they are at
that moment. The client's defaults and the request's facts are added when the event leaves. An event
is made in this way only if nothing could tell the difference: no hook sees it before it is queued,
no spool has to hold it, and no name stands in two of its parts.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import orjson

from hogline.event import time_text
from hogline.wire.values import try_serialise

if TYPE_CHECKING:
    from hogline.exchange.snapshot import Snapshot

__all__ = ["REQUEST_NAMES", "head_of", "inner_json", "unfinished", "whole"]

REQUEST_NAMES = frozenset(
    {
        "$current_url", "$ip", "$process_person_profile", "$raw_user_agent", "$request_id", "$request_method",
        "$request_path", "$request_route", "$session_id", "$user_agent", "$window_id",
    }
)  # fmt: skip
"""The properties that a request may add to an event."""
_BEGINNING = len(b'{"properties":{')
_END_OF_OBJECT = ord("}")
_ENVELOPE_BYTES = 160  # names, time, distinct id and punctuation
_SCALARS = (str, int, float, bool, type(None))


def inner_json(properties: Mapping[str, Any]) -> bytes | None:
    """Return *properties* as JSON without the braces.

    Returns None if they are not all plain values, which never change.
    """
    if not all(type(value) in _SCALARS and type(name) is str for name, value in properties.items()):
        return None
    try:
        return orjson.dumps(properties)[1:-1]
    except (TypeError, ValueError):
        return None


def head_of(event: str, event_id: str, properties: Mapping[str, Any]) -> bytes | None:
    """Return the caller's part of an event as JSON, without its beginning `{"properties":{`.

    Returns None if *properties* need more than orjson alone.
    """
    body = try_serialise({"properties": properties, "event": event, "uuid": event_id})
    # A slice is a copy of exactly its size; see `serialise` for what the original would cost.
    return None if body is None else body[_BEGINNING:]


def whole(head: bytes, defaults: bytes, event_id: str, now_s: float, distinct_id: str | None) -> bytes:
    """Return an event that belongs to no request as a whole."""
    if distinct_id is None:
        return _joined({"$process_person_profile": False}, head, defaults, event_id, now_s)
    return _joined({}, head, defaults, distinct_id, now_s)


def unfinished(
    head: bytes,
    defaults: bytes,
    event_id: str,
    now_s: float,
    distinct_id: str | None,
    snapshot: "Snapshot",
    route: str | None,
) -> tuple[Any, ...]:
    """Return an event for the queue: the function that finishes it, its size, and its parts.

    *head* is the event's JSON as far as it is known. *distinct_id* None: the request's headers may
    name the person.
    """
    size_bytes = len(head) + len(defaults) + snapshot.size_bytes + _ENVELOPE_BYTES
    return (_finished, size_bytes, head, defaults, event_id, now_s, distinct_id, snapshot, route)


def _finished(event: tuple[Any, ...]) -> bytes:
    _, _, head, defaults, event_id, now_s, distinct_id, snapshot, route = event
    facts = snapshot.facts()
    if route:
        facts = {**facts, "$request_route": route}
    if distinct_id is None:
        distinct_id = snapshot.distinct_id()
        if distinct_id is None:
            distinct_id, facts = event_id, {**facts, "$process_person_profile": False}
    return _joined(facts, head, defaults, distinct_id, now_s)


def _joined(facts: Mapping[str, Any], head: bytes, defaults: bytes, distinct_id: str, now_s: float) -> bytes:
    tail = {"timestamp": time_text(now_s), "distinct_id": distinct_id, "properties": facts}
    return b"".join(
        (
            orjson.dumps(tail)[:-2],
            b"," if facts else b"",
            defaults,
            b"" if head[0] == _END_OF_OBJECT else b",",
            head,
        )
    )
