"""Events of which a part of the JSON is made later, by the thread that sends them.

The caller's thread writes the event's name, its id and the caller's own properties, as they are at
that moment. The client's defaults and the request's facts are added when the event leaves. An event
is made in this way only if nothing could tell the difference: no hook sees it before it is queued,
no spool has to hold it, and no name stands in two of its parts.
"""

import functools
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import orjson

from hogline.event import time_text
from hogline.wire.values import OPTIONS, render

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
# The names of the properties, the route, what the server's address and the method need; the names
# of the event's own fields, the time, the distinct id and punctuation.
_OTHER_BYTES = 610
_SCALARS = (str, int, float, bool, type(None))
_PARTS = 8  # of an event's own; the snapshot follows


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
    try:
        body = orjson.dumps({"properties": properties, "event": event, "uuid": event_id}, render, OPTIONS)
    except (TypeError, ValueError, RecursionError):
        return None
    # A slice is a copy of exactly its size; see `serialise` for what the original would cost.
    return body[_BEGINNING:]


def whole(head: bytes, defaults: bytes, event_id: str, now_s: float, distinct_id: str | None) -> bytes:
    """Return an event that belongs to no request as a whole."""
    person = orjson.dumps(event_id if distinct_id is None else distinct_id)
    profile = b'"$process_person_profile":false,' if distinct_id is None else b""
    return _joined(now_s, person, defaults, head, profile)


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
    # The visitor's browser stands in two properties, and the path too.
    size_bytes = len(head) + len(defaults) + 2 * (len(snapshot[2]) + snapshot[4]) + _OTHER_BYTES
    return (_finished, size_bytes, head, defaults, event_id, now_s, distinct_id, route) + snapshot  # noqa: RUF005 - in half the time


def _finished(event: tuple[Any, ...]) -> bytes:
    _, _, head, defaults, event_id, now_s, distinct_id, route = event[:_PARTS]
    snapshot = event[_PARTS:]
    visitor, page, ip, person = snapshot[1].written_facts(snapshot)
    profile = b""
    if distinct_id is not None:
        person = orjson.dumps(distinct_id)
    elif person is None:
        person, profile = b'"%b"' % event_id.encode(), b',"$process_person_profile":false'
    return _joined(
        now_s,
        person,
        defaults,
        head,
        b'"$request_id":"',
        snapshot[3].replace("-", "").encode(),
        b'"',
        visitor,
        page,
        ip,
        _route(route) if route else b"",
        profile,
        b",",
    )


def _joined(now_s: float, person: bytes, defaults: bytes, head: bytes, *properties: bytes) -> bytes:
    """Return an event; *properties* are members of an object, with a comma behind the last."""
    return b"".join(
        (
            b'{"timestamp":"',
            time_text(now_s).encode(),
            b'","distinct_id":',
            person,
            b',"properties":{',
            *properties,
            defaults,
            b"" if head[0] == _END_OF_OBJECT else b",",
            head,
        )
    )


@functools.lru_cache(maxsize=512)
def _route(route: str) -> bytes:
    return b',"$request_route":%b' % orjson.dumps(route)
