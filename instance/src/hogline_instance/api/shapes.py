"""The JSON of the API: as models for OpenAPI, and as the bytes that are sent."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

import orjson
from fastapi import Response
from pydantic import BaseModel, Field

from hogline_instance.analytics.sessions import Session
from hogline_instance.analytics.stored import StoredEvent
from hogline_instance.analytics.timeline import Entry, Request
from hogline_instance.api.errors import HEADERS

__all__ = ["EventList", "EventShape", "SessionShape", "event_shape", "json_response", "session_shape"]


class EventShape(BaseModel):
    """One event, as PostHog's API shows it."""

    id: str = Field(description="The event's uuid")
    uuid: str = Field(description="The same uuid")
    event: str = Field(description="The event's name")
    distinct_id: str = Field(description="Whom it belongs to")
    session_id: str | None = Field(description="The session it belongs to, or null")
    timestamp: datetime = Field(description="When it happened, by a clock corrected for the sender's skew")
    properties: dict[str, Any] = Field(description="The properties as the client sent them")
    person: dict[str, Any] | None = Field(description="The person, or null")
    elements: list[dict[str, Any]] = Field(description="Always empty; the chain is in elements_chain")
    elements_chain: str = Field(description="The clicked element and its parents, as posthog-js wrote them")


class EventList(BaseModel):
    """A page of events."""

    next: str | None = Field(description="URL of the next page, or null at the end")
    results: list[EventShape] = Field(description="Events, newest first")


class WindowShape(BaseModel):
    """One browser window (tab) of a session."""

    number: int = Field(description="1 for the first window of the session")
    id: str = Field(description="Its `$window_id`")
    first_seen: datetime
    last_seen: datetime


class RequestShape(BaseModel):
    """One server request and what was captured in it."""

    id: str = Field(description="Its `$request_id`, or empty")
    at: datetime
    method: str
    path: str
    route: str = Field(description="The route's template, or empty")
    status: int | None = Field(description="The response's status, where an event tells it")
    window: int | None = Field(description="Number of the window that sent it")
    reason: str = Field(description="Why it stands under its browser event; empty when it stands alone")
    events: list[EventShape]


class EntryShape(BaseModel):
    """One place on the line of time."""

    at: datetime
    side: str = Field(description="browser, server or other")
    window: int | None
    since_previous_s: float | None = Field(description="Seconds since the entry before it")
    idle_s: float | None = Field(description="The same, where the silence is worth a word (5 minutes or more)")
    identity: str | None = Field(description="The distinct id that speaks from here on, where it changes")
    event: EventShape | None
    requests: list[RequestShape]


class SessionShape(BaseModel):
    """One session: browser and server in one order of time."""

    session_id: str
    person: str = Field(description="A name to show")
    distinct_ids: list[str]
    first_seen: datetime
    last_seen: datetime
    duration_s: float
    pageviews: int
    requests: int
    errors: int
    entry_url: str
    browser: str
    os: str
    device: str
    truncated: bool = Field(description="True when the session has more events than are shown")
    windows: list[WindowShape]
    entries: list[EntryShape]


def json_response(body: object) -> Response:
    """Return *body* as JSON; properties inside go out as the bytes that came in."""
    return Response(orjson.dumps(body), media_type="application/json", headers=HEADERS)


def event_shape(event: StoredEvent) -> dict[str, object]:
    """Return one event in PostHog's shape."""
    return {
        "id": event.uuid,
        "uuid": event.uuid,
        "event": event.event,
        "distinct_id": event.distinct_id,
        "session_id": event.session_id or None,
        "timestamp": event.timestamp,
        "properties": orjson.Fragment(event.properties_json or "{}"),
        "person": None,
        "elements": [],
        "elements_chain": event.elements_chain,
    }


def session_shape(session: Session) -> dict[str, object]:
    """Return a session with its merged timeline."""
    facts = session.facts
    return {
        "session_id": facts.session_id,
        "person": facts.person,
        "distinct_ids": facts.distinct_ids,
        "first_seen": facts.first_seen,
        "last_seen": facts.last_seen,
        "duration_s": (facts.last_seen - facts.first_seen).total_seconds(),
        "pageviews": facts.pageviews,
        "requests": facts.requests,
        "errors": facts.errors,
        "entry_url": facts.entry_url,
        "browser": facts.browser,
        "os": facts.os,
        "device": facts.device,
        "truncated": session.truncated,
        "windows": [
            {"number": window.number, "id": window.id, "first_seen": window.first_seen, "last_seen": window.last_seen}
            for window in session.timeline.windows
        ],
        "entries": [_entry_shape(entry) for entry in session.timeline.entries],
    }


def _entry_shape(entry: Entry) -> dict[str, object]:
    return {
        "at": entry.at,
        "side": entry.side,
        "window": entry.window or None,
        "since_previous_s": entry.since_previous.total_seconds() if entry.since_previous is not None else None,
        "idle_s": entry.idle.total_seconds() if entry.idle is not None else None,
        "identity": entry.identity or None,
        "event": event_shape(entry.event) if entry.event is not None else None,
        "requests": list(_request_shapes(entry.requests)),
    }


def _request_shapes(requests: Iterable[Request]) -> Iterable[dict[str, object]]:
    for request in requests:
        yield {
            "id": request.id,
            "at": request.at,
            "method": request.method,
            "path": request.path,
            "route": request.route,
            "status": request.status,
            "window": request.window or None,
            "reason": request.reason,
            "events": [event_shape(event) for event in request.events],
        }
