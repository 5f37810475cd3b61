"""Admission: one incoming event to one row of the events table, or the reason why not.

Source: docs/internals/instance-protocol.md#validation-and-answers.
"""

import functools
import uuid
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec

from hogline.event import new_stamp
from hogline_instance.events.row import EventRow, encode_row, time_text
from hogline_instance.ingest.payloads import IncomingBatch, IncomingEvent
from hogline_instance.ingest.times import corrected, parse_time

__all__ = ["Admitted", "RequestFacts", "TokenError", "admit", "token_of"]

_PERSON_NAMESPACE = uuid.UUID(
    "932979b4-65c3-4424-8467-0b66ec27bc22"
)  # person ids are PostHog's own; docs/internals/instance-protocol.md#person-ids-and-versions
_MAX_TOKEN_CHARACTERS = 64
_MAX_ID_CHARACTERS = 200
_MAX_NAME_CHARACTERS = 200
_DROPPED_NAMES = frozenset({"$performance_event"})


class TokenError(ValueError):
    """The request's token is missing or cannot be one."""


class _KnownProperties(
    msgspec.Struct,
    rename={
        "dollar_distinct_id": "$distinct_id",
        "dollar_token": "$token",
        "session_id": "$session_id",
        "is_server": "$is_server",
        "geoip_disable": "$geoip_disable",
        "ip": "$ip",
        "ignore_sent_at": "$ignore_sent_at",
        "process_person_profile": "$process_person_profile",
        "elements_chain": "$elements_chain",
    },
):
    """The few properties that admission reads; the decoder skips all others."""

    distinct_id: Any = None
    dollar_distinct_id: Any = None
    token: Any = None
    dollar_token: Any = None
    session_id: Any = None
    is_server: Any = None
    geoip_disable: Any = None
    ip: Any = msgspec.UNSET  # null is an answer too: no address
    ignore_sent_at: Any = None
    process_person_profile: Any = None
    elements_chain: Any = None


_facts = msgspec.json.Decoder(_KnownProperties)


@dataclass(frozen=True, slots=True)
class RequestFacts:
    """Facts of the request that brought the events."""

    now: datetime
    ip: str
    sent_at: datetime | None
    is_engage: bool = False


@dataclass(slots=True)
class Admitted:
    """Rows for the store, and how many other events were refused, by reason."""

    rows: list[bytes]
    refused: dict[str, int]


def token_of(batch: IncomingBatch, query_token: str) -> str:
    """Return the one project token of the request.

    Raises TokenError: none, several, or one that cannot be.
    """
    tokens = {batch.token.strip()}
    for event in batch.events:
        tokens.add((event.dollar_token or event.api_key or event.token).strip())
    tokens.discard("")
    if not tokens and batch.events:
        facts = _read(batch.events[0].properties)
        inside = facts.token or facts.dollar_token if facts is not None else None
        tokens = {inside.strip()} if isinstance(inside, str) and inside.strip() else {query_token.strip()} - {""}
    if not tokens:
        raise TokenError("no project token: send it as 'api_key' (it begins with phc_)")
    if len(tokens) > 1:
        raise TokenError("the events of one request have different project tokens")
    (token,) = tokens
    if token.startswith("phx_"):
        raise TokenError("this is a personal key (phx_); events are sent with a project token (phc_)")
    if len(token) > _MAX_TOKEN_CHARACTERS or not token.isascii() or "\0" in token:
        raise TokenError("the project token cannot be one: at most 64 ASCII characters")
    return token


def admit(batch: IncomingBatch, project_id: int, arrival: RequestFacts) -> Admitted:
    """Return the rows of the events that can be stored. A bad event does not affect the others."""
    admitted = Admitted([], {})
    batch_sent_at = parse_time(batch.sent_at) or arrival.sent_at
    received_at = time_text(arrival.now)[:-3]
    ip = "127.0.0.1" if batch.capture_internal else arrival.ip
    reasons = list(batch.unreadable)
    for event in batch.events:
        outcome = _row(event, project_id, arrival, batch_sent_at, ip, received_at)
        if isinstance(outcome, bytes):
            admitted.rows.append(outcome)
        else:
            reasons.append(outcome)
    for reason in reasons:
        admitted.refused[reason] = admitted.refused.get(reason, 0) + 1
    return admitted


def _row(
    event: IncomingEvent, project_id: int, arrival: RequestFacts, sent_at: datetime | None, ip: str, received_at: str
) -> bytes | str:
    name = event.event or ("$identify" if arrival.is_engage else "")
    if not name.strip():
        return "an event has no name"
    if name in _DROPPED_NAMES:
        return f"{name} events are not kept"
    facts = _read(event.properties)
    if facts is None:
        return "an event's properties are not an object"
    distinct_id = (
        event.distinct_id or event.dollar_distinct_id or _text(facts.distinct_id) or _text(facts.dollar_distinct_id)
    )
    distinct_id = distinct_id.replace("\0", "\ufffd").strip()[:_MAX_ID_CHARACTERS]
    if not distinct_id:
        return "an event has no distinct_id"
    event_id = _event_id(event.uuid)
    if event_id is None:
        return "an event's uuid is not a UUID"
    moment = corrected(
        parse_time(event.timestamp),
        parse_time(event.sent_at) or sent_at,
        event.offset,
        arrival.now,
        believe_clock=facts.ignore_sent_at is True,
    )
    properties = _with_person_updates(bytes(event.properties), event)
    # A server's own address says nothing of a visitor: only what browsers and apps send gets the
    # peer's.
    if ip and facts.ip is msgspec.UNSET and facts.is_server is not True and facts.geoip_disable is not True:
        properties = _with(properties, b'"$ip":"%b"' % ip.encode())
    return encode_row(
        EventRow(
            team_id=project_id,
            uuid=event_id,
            event=name[:_MAX_NAME_CHARACTERS].replace("\0", "\ufffd"),
            distinct_id=distinct_id,
            timestamp_text=time_text(moment),
            person_id=_person_id(project_id, distinct_id),
            session_id=_text(facts.session_id)[:_MAX_ID_CHARACTERS],
            raw_properties=msgspec.Raw(_one_line(properties)),
            elements_chain=_text(facts.elements_chain),
            person_mode="propertyless" if facts.process_person_profile is False else "full",
            received_at=received_at,
        )
    )


def _read(properties: msgspec.Raw) -> _KnownProperties | None:
    raw = bytes(properties)
    if raw == b"null":
        return _KnownProperties()
    try:
        return _facts.decode(raw)
    except msgspec.DecodeError:
        return None


def _text(value: Any) -> str:
    if value is None or value == "":
        return ""
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _event_id(given: str) -> str | None:
    if not given:
        return new_stamp()[0]
    try:
        return str(uuid.UUID(given))
    except ValueError:
        return None


@functools.lru_cache(maxsize=100_000)
def _person_id(project_id: int, distinct_id: str) -> str:
    return str(uuid.uuid5(_PERSON_NAMESPACE, f"{project_id}:{distinct_id}"))


def _with_person_updates(properties: bytes, event: IncomingEvent) -> bytes:
    """Fold top-level `$set` and `$set_once` into the properties, where the newer SDKs have them.

    Source: docs/internals/instance-protocol.md#person-properties.
    """
    if properties == b"null":
        properties = b"{}"
    for name, raw in ((b"$set", bytes(event.set_)), (b"$set_once", bytes(event.set_once))):
        if not raw or raw == b"null":
            continue
        if b'"%b"' % name in properties:
            merged = msgspec.json.decode(properties)
            inner = merged.get(name.decode())
            outer = msgspec.json.decode(raw)
            if isinstance(outer, dict):
                merged[name.decode()] = {**(inner if isinstance(inner, dict) else {}), **outer}
            properties = msgspec.json.encode(merged)
        else:
            properties = _with(properties, b'"%b":%b' % (name, raw))
    return properties


def _with(properties: bytes, member: bytes) -> bytes:
    """Put one more member at the end of a JSON object."""
    body = properties.rstrip()[:-1].rstrip()
    return body + (b"" if body == b"{" else b",") + member + b"}"


def _one_line(properties: bytes) -> bytes:
    """Return the object without raw line breaks: rows are lines.

    In JSON a raw line break is only ever white space.
    """
    if b"\n" in properties or b"\r" in properties:
        return properties.replace(b"\n", b" ").replace(b"\r", b" ")
    return properties
