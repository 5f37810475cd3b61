"""Admission: turn an incoming event into a row of the events table, or refuse it with a reason.

Source: docs/internals/instance-protocol.md#validation-and-answers.
"""

import logging
import uuid
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec

from hogline.event import new_stamp
from hogline.wire.values import serialise
from hogline_instance.db import storable_text
from hogline_instance.events.person_ids import person_uuid
from hogline_instance.events.row import EventRow, encode_row, time_text
from hogline_instance.ingest.bodies import BodyError
from hogline_instance.ingest.json_text import read_json, readable
from hogline_instance.ingest.payloads import IncomingBatch, IncomingEvent
from hogline_instance.ingest.times import corrected, parse_time

__all__ = ["OVERSIZE", "Admitted", "EventError", "RequestFacts", "TokenError", "admit", "token_of"]

_log = logging.getLogger("hogline.instance")
OVERSIZE = "an event is too large"

_MAX_TOKEN_CHARACTERS = 64
_MAX_ID_CHARACTERS = 200
_MAX_NAME_CHARACTERS = 200
_DROPPED_NAMES = frozenset({"$performance_event"})


class TokenError(ValueError):
    """The request's token is missing or malformed."""


class EventError(ValueError):
    """An event cannot be stored. Its message is the reason under which it is counted."""


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
    """Facts of the request that sent the events."""

    now: datetime
    ip: str
    sent_at: datetime | None
    is_engage: bool = False


@dataclass(slots=True)
class Admitted:
    """Rows for the store, and how many other events were refused, by reason."""

    rows: list[bytes]
    refused: dict[str, int]
    mended: dict[str, int]
    """Counts of the changes made to rows that are kept, by kind of change."""


def token_of(batch: IncomingBatch, query_token: str) -> str:
    """Return the one project token of the request.

    Raises TokenError: there is no token, several different ones, or a malformed one.
    """
    tokens = {batch.token.strip()}
    for event in batch.events:
        tokens.add((event.dollar_token or event.api_key or event.token).strip())
    tokens.discard("")
    if not tokens and batch.events:
        inside = _token_inside(batch.events[0])
        tokens = {inside.strip()} if isinstance(inside, str) and inside.strip() else {query_token.strip()} - {""}
    if not tokens:
        raise TokenError("no project token: send it as 'api_key' (it begins with phc_)")
    if len(tokens) > 1:
        raise TokenError("the events of one request have different project tokens")
    (token,) = tokens
    if token.startswith("phx_"):
        raise TokenError("this is a personal key (phx_); events are sent with a project token (phc_)")
    if len(token) > _MAX_TOKEN_CHARACTERS or not token.isascii() or "\0" in token:
        raise TokenError("the project token is malformed: it has at most 64 ASCII characters")
    return token


def _token_inside(event: IncomingEvent) -> Any:
    try:
        _, facts = _read(event.properties)
    except EventError:
        return None
    return facts.token or facts.dollar_token


def admit(batch: IncomingBatch, project_id: int, arrival: RequestFacts, *, max_event_bytes: int) -> Admitted:
    """Return the rows of the events that can be stored; a bad event does not affect the others.

    An event whose properties are over *max_event_bytes* is refused.
    """
    admitted = Admitted([], {}, {})
    for reason in batch.unreadable:
        _count(admitted.refused, reason)
    request = _Request(
        project_id=project_id,
        arrival=arrival,
        sent_at=parse_time(batch.sent_at) or arrival.sent_at,
        ip="127.0.0.1" if batch.capture_internal else arrival.ip,
        received_at=time_text(arrival.now)[:-3],
        max_event_bytes=max_event_bytes,
        mended=admitted.mended,
    )
    for event in batch.events:
        try:
            admitted.rows.append(_row(event, request))
        except EventError as error:
            _count(admitted.refused, str(error))
        except Exception:  # a bug that one event triggers must not lose the batch
            _log.exception("ingest: an event could not be read")
            _count(admitted.refused, "an event could not be read; the log says why")
    return admitted


@dataclass(frozen=True, slots=True)
class _Request:
    """The values that all events of one request share."""

    project_id: int
    arrival: RequestFacts
    sent_at: datetime | None
    ip: str
    received_at: str
    max_event_bytes: int
    mended: dict[str, int]


def _count(counts: dict[str, int], reason: str) -> None:
    counts[reason] = counts.get(reason, 0) + 1


def _row(event: IncomingEvent, request: _Request) -> bytes:
    """Return the row of *event*. Raises EventError: the event cannot be stored."""
    name = event.event or ("$identify" if request.arrival.is_engage else "")
    if not name.strip():
        raise EventError("an event has no name")
    if name in _DROPPED_NAMES:
        raise EventError(f"{name} events are not kept")
    if len(event.properties) + len(event.set_) + len(event.set_once) > request.max_event_bytes:
        raise EventError(f"{OVERSIZE}: its properties are over {request.max_event_bytes} bytes")
    given, facts = _read(event.properties)
    distinct_id = (
        event.distinct_id or event.dollar_distinct_id or _text(facts.distinct_id) or _text(facts.dollar_distinct_id)
    )
    distinct_id = _storable(distinct_id).strip()[:_MAX_ID_CHARACTERS]
    if not distinct_id:
        raise EventError("an event has no distinct_id")
    moment = corrected(
        _time(event.timestamp, "timestamp", request),
        _time(event.sent_at, "sent_at", request) or request.sent_at,
        event.offset,
        request.arrival.now,
        believe_clock=facts.ignore_sent_at is True,
    )
    properties = _with_person_updates(given, event)
    # Only events of browsers and apps get the address: a server's says nothing about a visitor.
    if request.ip and facts.ip is msgspec.UNSET and facts.is_server is not True and facts.geoip_disable is not True:
        properties = _with(properties, b'"$ip":"%b"' % request.ip.encode())
    return encode_row(
        EventRow(
            team_id=request.project_id,
            uuid=_event_id(event.uuid),
            event=_storable(name[:_MAX_NAME_CHARACTERS]),
            distinct_id=distinct_id,
            timestamp_text=time_text(moment),
            person_id=person_uuid(request.project_id, distinct_id),
            session_id=_storable(_text(facts.session_id)[:_MAX_ID_CHARACTERS]),
            raw_properties=msgspec.Raw(_one_line(properties)),
            elements_chain=_text(facts.elements_chain),
            person_mode="propertyless" if facts.process_person_profile is False else "full",
            received_at=request.received_at,
        )
    )


def _time(given: str, name: str, request: _Request) -> datetime | None:
    moment = parse_time(given)
    if moment is None and given:
        _count(request.mended, f"an event's {name} is not a time, and was passed over")
    return moment


def _read(properties: msgspec.Raw) -> tuple[bytes, _KnownProperties]:
    """Return the properties to store, and the few that admission reads."""
    raw = bytes(properties)
    if raw == b"null":
        return b"{}", _KnownProperties()
    try:
        raw = readable(raw)
        return raw, _facts.decode(raw)
    except (msgspec.DecodeError, RecursionError, BodyError):
        pass  # a lone surrogate, or not an object
    try:
        value = read_json(raw)
    except BodyError:
        value = None
    if not isinstance(value, dict):
        raise EventError("an event's properties are not an object")
    raw = serialise(value)
    return raw, _facts.decode(raw)


def _text(value: Any) -> str:
    if value is None or value == "":
        return ""
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _storable(text: str) -> str:
    return storable_text(text, for_nul="\N{REPLACEMENT CHARACTER}")


def _event_id(given: str) -> str:
    if not given:
        return new_stamp()[0]
    try:
        if given.isascii():  # Python's int() also accepts digits of other scripts
            return str(uuid.UUID(given))
    except ValueError:
        pass
    raise EventError("an event's uuid is not a UUID")


def _with_person_updates(properties: bytes, event: IncomingEvent) -> bytes:
    """Move top-level `$set` and `$set_once` into the properties, where newer SDKs send them.

    Source: docs/internals/instance-protocol.md#person-properties.
    """
    for name, raw in ((b"$set", bytes(event.set_)), (b"$set_once", bytes(event.set_once))):
        if not raw or raw == b"null":
            continue
        if b'"%b"' % name in properties:
            merged = read_json(properties)
            inner = merged.get(name.decode())
            outer = read_json(raw)
            if isinstance(outer, dict):
                merged[name.decode()] = {**(inner if isinstance(inner, dict) else {}), **outer}
            properties = serialise(merged)
        else:
            properties = _with(properties, b'"%b":%b' % (name, readable(raw)))
    return properties


def _with(properties: bytes, member: bytes) -> bytes:
    """Append a member to a JSON object."""
    body = properties.rstrip()[:-1].rstrip()
    return body + (b"" if body == b"{" else b",") + member + b"}"


def _one_line(properties: bytes) -> bytes:
    """Return the object without raw line breaks, since rows are separated by them.

    In JSON a raw line break is only ever white space.
    """
    if b"\n" in properties or b"\r" in properties:
        return properties.replace(b"\n", b" ").replace(b"\r", b" ")
    return properties
