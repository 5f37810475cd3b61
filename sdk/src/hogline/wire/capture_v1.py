"""Capture v1, `POST /i/v1/analytics/events`: the form of an event, the request, and the results.

Hooks, queue and spool know events in the v0 form. An event takes the v1 form when it is sent. The
functions here never change their arguments. Source: docs/internals/capture-protocol.md#capture-v1.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import orjson

__all__ = ["PATH_V1", "Outcome", "encode_v1", "event_v1", "headers_v1", "outcomes"]

PATH_V1: Final = "/i/v1/analytics/events"
# Property of an event -> option of a v1 event, and the type that the server requires.
_OPTIONS: Final[Mapping[str, tuple[str, type]]] = {
    "$cookieless_mode": ("cookieless_mode", bool),
    "$ignore_sent_at": ("disable_skew_correction", bool),
    "$process_person_profile": ("process_person_profile", bool),
    "$product_tour_id": ("product_tour_id", str),
}
_TO_ROOT: Final = (("$session_id", "session_id"), ("$window_id", "window_id"))
_FROM_ROOT: Final = ("$set", "$set_once")
# The server takes the library from a header.
_SERVER_ADDS: Final = ("$lib", "$lib_version")
_FLAGS: Final = {"true": True, "1": True, "false": False, "0": False}


@dataclass(frozen=True, slots=True)
class Outcome:
    """The server's result for one event.

    "sent", "drop" (it never accepts the event) or "retry".
    """

    result: Literal["sent", "drop", "retry"]
    details: str = ""


_SENT = Outcome("sent")


def event_v1(event: Mapping[str, Any]) -> dict[str, Any]:
    """Return the v1 form of *event*.

    Options and session leave the properties, `$set` and `$set_once` enter them.
    """
    given = event.get("properties")
    properties = dict(given) if isinstance(given, Mapping) else {}
    made: dict[str, Any] = {name: event.get(name) for name in ("event", "uuid", "distinct_id", "timestamp")}
    for name in _SERVER_ADDS:
        properties.pop(name, None)
    for name, root in _TO_ROOT:
        value = properties.pop(name, None)
        if isinstance(value, str):
            made[root] = value
    options = {}
    for name, (option, kind) in _OPTIONS.items():
        if name in properties:
            value = properties.pop(name)
            value = _flag(value) if kind is bool else value
            if isinstance(value, kind):
                options[option] = value
    for name in _FROM_ROOT:
        if name in event:
            above, inside = event[name], properties.get(name)
            if isinstance(above, Mapping) and isinstance(inside, Mapping):
                properties[name] = {**above, **inside}
            else:
                properties.setdefault(name, above)
    made["options"] = options
    made["properties"] = properties
    return made


def encode_v1(events: Sequence[bytes], created_at: str, *, historical_migration: bool) -> bytes:
    """Return the body for *events*, each one JSON object in the v1 form.

    *created_at* stays the same in every attempt.
    """
    return b'{"created_at":%b,"batch":[%b]%b}' % (
        orjson.dumps(created_at),
        b",".join(events),
        b',"historical_migration":true' if historical_migration else b"",
    )


def headers_v1(
    *, project_token: str, agent: str, request_id: str, attempt: int, timestamp: str, encoding: str | None
) -> dict[str, str]:
    """Return a request's headers.

    *agent* is `name/version`; *attempt* counts from 1; *request_id* stays the same.
    """
    headers = {
        "Authorization": f"Bearer {project_token}",
        "Content-Type": "application/json",
        "User-Agent": agent,
        "PostHog-Sdk-Info": agent,
        "PostHog-Attempt": str(attempt),
        "PostHog-Request-Id": request_id,
        "PostHog-Request-Timestamp": timestamp,
    }
    if encoding is not None:
        headers["Content-Encoding"] = encoding
    return headers


def outcomes(body: bytes, ids: Sequence[str]) -> list[Outcome] | None:
    """Return the outcome for each of *ids*, or None if *body* is no response of a capture endpoint.

    A missing id and an unknown result count as sent, because the status was 200.
    """
    try:
        results = orjson.loads(body)["results"]
        if not isinstance(results, dict):
            return None
    except (ValueError, KeyError, TypeError):
        return None
    return [_outcome(results.get(identity)) for identity in ids]


def _outcome(result: Any) -> Outcome:
    if not isinstance(result, dict) or result.get("result") not in ("drop", "retry"):
        return _SENT
    return Outcome(result["result"], str(result.get("details") or ""))


def _flag(value: Any) -> bool | None:
    if isinstance(value, bool):
        return value
    if isinstance(value, str):
        return _FLAGS.get(value.strip().lower())
    return value != 0 if isinstance(value, int | float) else None
