"""From JSON to events in one form: a batch, a list or a single event, with aliases resolved.

The fast path decodes only the fields that the instance needs, and keeps each event's properties as
the bytes that were sent. JSON that it cannot read (numbers as ids, lone surrogates, NaN) takes the
tolerant path, event by event.
Source: docs/internals/instance-protocol.md#payload-shapes.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import msgspec

from hogline.wire.values import serialise
from hogline_instance.ingest.bodies import BodyError

__all__ = ["IncomingBatch", "IncomingEvent", "read_batch"]

_MAX_NESTING = 200


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
    """Why the events that are missing here could not be read."""


_envelope = msgspec.json.Decoder(_Envelope)
_events = msgspec.json.Decoder(list[IncomingEvent])
_event = msgspec.json.Decoder(IncomingEvent)


def read_batch(text: bytes) -> IncomingBatch:
    """Return what the JSON *text* holds.

    Raises BodyError: it is no JSON, or no shape of PostHog's.
    """
    try:
        text.decode()  # the decoder skips properties without checking that they are UTF-8
        if text.lstrip()[:1] == b"[":
            return IncomingBatch(_events.decode(text))
        envelope = _envelope.decode(text)
        if envelope.batch is msgspec.UNSET:
            return IncomingBatch([_event.decode(text)])
        return IncomingBatch(
            envelope.batch, envelope.api_key or envelope.token, envelope.sent_at, envelope.capture_internal
        )
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _tolerantly(text)


def _tolerantly(text: bytes) -> IncomingBatch:
    try:
        # NaN, lone surrogates and broken UTF-8 are read as a browser's JSON.stringify may have
        # meant them.
        value = json.loads(text.decode("utf-8", "replace"))
    except (ValueError, RecursionError) as error:
        raise BodyError(f"the body is not JSON: {error}") from None
    if isinstance(value, list):
        return _collect(value, {})
    if not isinstance(value, dict):
        raise BodyError("the body's JSON is neither an object nor a list")
    if "batch" not in value:
        return _collect([value], {})
    if not isinstance(value["batch"], list):
        raise BodyError("'batch' is not a list")
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
    offset = item.get("offset")
    return IncomingEvent(
        event=_string(item.get("event")),
        distinct_id=_string(item.get("distinct_id")),
        dollar_distinct_id=_string(item.get("$distinct_id")),
        uuid=_string(item.get("uuid")),
        timestamp=_string(item.get("timestamp")),
        sent_at=_string(item.get("sent_at")),
        offset=float(offset) if isinstance(offset, int | float) and not isinstance(offset, bool) else None,
        properties=msgspec.Raw(serialise(properties)),
        api_key=_string(item.get("api_key")),
        token=_string(item.get("token")),
        dollar_token=_string(item.get("$token")),
    )


def _string(value: Any) -> str:
    """Return *value* as PostHog's edge does: null is empty, and any other value but a string is its JSON text."""
    if value is None:
        return ""
    text = value if isinstance(value, str) else serialise(value).decode()
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
