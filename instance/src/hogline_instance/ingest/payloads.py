"""Turn JSON into events of one form, from a batch, a list or a single event, resolving aliases.

The fast path decodes only the fields that the instance needs, and keeps each event's properties as
the bytes that were sent. JSON that it cannot read (numbers as ids, lone surrogates, NaN) takes the
tolerant path, event by event.
Source: docs/internals/instance-protocol.md#payload-shapes.
"""

import math
from collections.abc import Iterable, Sized
from dataclasses import dataclass, field
from typing import Any

import msgspec

from hogline.wire.values import serialise
from hogline_instance.ingest.bodies import BodyError, BodyTooLargeError
from hogline_instance.ingest.json_text import read_json

__all__ = ["IncomingBatch", "IncomingEvent", "read_batch"]


class IncomingEvent(
    msgspec.Struct,
    rename={"dollar_distinct_id": "$distinct_id", "dollar_token": "$token", "set_": "$set", "set_once": "$set_once"},
):
    """One event as its client wrote it."""

    event: str = ""
    distinct_id: str = ""
    dollar_distinct_id: str = ""
    uuid: str = ""
    timestamp: str = ""
    sent_at: str = ""
    offset: float | None = None
    properties: msgspec.Raw = msgspec.Raw(b"{}")
    set_: msgspec.Raw = msgspec.Raw(b"")
    set_once: msgspec.Raw = msgspec.Raw(b"")
    api_key: str = ""
    token: str = ""
    dollar_token: str = ""


class _Envelope(msgspec.Struct):
    batch: list[IncomingEvent] | msgspec.UnsetType = msgspec.UNSET
    api_key: str = ""
    token: str = ""
    sent_at: str = ""
    historical_migration: bool = False
    capture_internal: bool = False


@dataclass(slots=True)
class IncomingBatch:
    """The events of one request."""

    events: list[IncomingEvent]
    token: str = ""
    sent_at: str = ""
    capture_internal: bool = False
    unreadable: list[str] = field(default_factory=list)
    """The reasons why other events of the request could not be read."""


_envelope = msgspec.json.Decoder(_Envelope)
_events = msgspec.json.Decoder(list[IncomingEvent])
_event = msgspec.json.Decoder(IncomingEvent)


def read_batch(text: bytes, max_events: int) -> IncomingBatch:
    """Return the events of the JSON *text*, at most *max_events*.

    Raises BodyError: it is not JSON, or not a shape that PostHog's SDKs send.
    Raises BodyTooLargeError: it holds more events.
    """
    try:
        batch = _quickly(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _patiently(text, max_events)
    _check_count(batch.events, max_events)
    return batch


def _quickly(text: bytes) -> IncomingBatch:
    text.decode()  # the decoder skips properties without checking that they are UTF-8
    if text.lstrip()[:1] == b"[":
        return IncomingBatch(_events.decode(text))
    envelope = _envelope.decode(text)
    if envelope.batch is msgspec.UNSET:
        return IncomingBatch([_event.decode(text)])
    return IncomingBatch(
        envelope.batch, envelope.api_key or envelope.token, envelope.sent_at, envelope.capture_internal
    )


def _check_count(events: Sized, max_events: int) -> None:
    if len(events) > max_events:
        raise BodyTooLargeError(
            f"the request has {len(events)} events, over the {max_events} that one may have; send smaller batches"
        )


def _patiently(text: bytes, max_events: int) -> IncomingBatch:
    value = read_json(text)
    if isinstance(value, list):
        _check_count(value, max_events)
        return _collect(value, {})
    if not isinstance(value, dict):
        raise BodyError("the body's JSON is neither an object nor a list")
    if "batch" not in value:
        return _collect([value], {})
    if not isinstance(value["batch"], list):
        raise BodyError("'batch' is not a list")
    _check_count(value["batch"], max_events)
    return _collect(value["batch"], value)


def _collect(items: Iterable[Any], envelope: dict[str, Any]) -> IncomingBatch:
    token = envelope.get("api_key") or envelope.get("token")
    batch = IncomingBatch(
        [], _string(token), _string(envelope.get("sent_at")), envelope.get("capture_internal") is True
    )
    for item in items:
        if isinstance(item, dict):
            batch.events.append(_from_mapping(item))
        else:
            batch.unreadable.append("an event is not an object")
    return batch


def _from_mapping(item: dict[str, Any]) -> IncomingEvent:
    properties = item.get("properties")
    properties = dict(properties) if isinstance(properties, dict) else {}
    for name in ("$set", "$set_once"):
        if isinstance(item.get(name), dict):
            inner = properties.get(name)
            properties[name] = {**(inner if isinstance(inner, dict) else {}), **item[name]}
    return IncomingEvent(
        event=_string(item.get("event")),
        distinct_id=_string(item.get("distinct_id")),
        dollar_distinct_id=_string(item.get("$distinct_id")),
        uuid=_string(item.get("uuid")),
        timestamp=_string(item.get("timestamp")),
        sent_at=_string(item.get("sent_at")),
        offset=_finite(item.get("offset")),
        properties=msgspec.Raw(serialise(properties)),
        api_key=_string(item.get("api_key")),
        token=_string(item.get("token")),
        dollar_token=_string(item.get("$token")),
    )


def _finite(value: Any) -> float | None:
    if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
        return float(value)  # `read_json` turns integers beyond a float's range into text
    return None


def _string(value: Any) -> str:
    """Return *value* as PostHog's edge reads it: null is empty, another type is its JSON text."""
    if value is None:
        return ""
    text = value if isinstance(value, str) else serialise(value).decode()
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
