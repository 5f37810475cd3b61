"""The JSON of an event: as a model for OpenAPI, and as the bytes that are sent."""

from datetime import datetime
from typing import Any

import orjson
from fastapi import Response
from pydantic import BaseModel, Field

from hogline_instance.events.event import StoredEvent
from hogline_instance.events.json_bytes import encode_json
from hogline_instance.web.security import API_HEADERS

__all__ = ["EventList", "EventSchema", "event_json", "json_response"]


class EventSchema(BaseModel):
    """One event, as PostHog's API shows it."""

    id: str = Field(description="The event's uuid")
    uuid: str = Field(description="The same uuid")
    event: str = Field(description="The event's name")
    distinct_id: str = Field(description="The distinct id it was sent for")
    session_id: str | None = Field(description="The session it belongs to, or null")
    timestamp: datetime = Field(description="When it happened, by a clock corrected for the sender's skew")
    properties: dict[str, Any] = Field(description="The properties as the client sent them")
    person_id: str = Field(description="The uuid of the person to whom the event belongs today")
    person: dict[str, Any] | None = Field(
        description="The person: uuid, distinct_ids, properties, is_identified; null for an event without one"
    )
    elements: list[dict[str, Any]] = Field(description="Always empty; the chain is in elements_chain")
    elements_chain: str = Field(description="The clicked element and its parents, as posthog-js wrote them")


class EventList(BaseModel):
    """A page of events."""

    next: str | None = Field(description="URL of the next page, or null at the end")
    results: list[EventSchema] = Field(description="Events, newest first")


def json_response(body: object) -> Response:
    """Return *body* as JSON, with properties as the bytes that the client sent."""
    return Response(encode_json(body), media_type="application/json", headers=API_HEADERS)


def event_json(event: StoredEvent) -> dict[str, object]:
    """Return one event in PostHog's shape."""
    return {
        "id": event.uuid,
        "uuid": event.uuid,
        "event": event.event,
        "distinct_id": event.distinct_id,
        "session_id": event.session_id or None,
        "timestamp": event.timestamp,
        "properties": orjson.Fragment(event.properties_json or "{}"),
        "person_id": event.person_id,
        "person": None,
        "elements": [],
        "elements_chain": event.elements_chain,
    }
