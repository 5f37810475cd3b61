"""The JSON of a session: as models for OpenAPI, and as the values that are sent."""

from collections.abc import Iterable
from datetime import datetime

from pydantic import BaseModel, Field

from hogline_instance.sessions.model import Session
from hogline_instance.sessions.timeline import Entry, Request
from hogline_instance.web.schemas import EventSchema, event_json

__all__ = ["SessionSchema", "session_json"]


class WindowSchema(BaseModel):
    """One browser window (tab) of a session."""

    number: int = Field(description="1 for the first window of the session")
    id: str = Field(description="Its `$window_id`")
    first_seen: datetime
    last_seen: datetime


class RequestSchema(BaseModel):
    """One server request and the events captured in it."""

    id: str = Field(description="Its `$request_id`, or empty")
    at: datetime
    method: str
    path: str
    route: str = Field(description="The route's template, or empty")
    status: int | None = Field(description="The response's status, if an event has it")
    window: int | None = Field(description="Number of the window that sent it")
    reason: str = Field(description="Why it is shown under its browser event; empty when it stands alone")
    events: list[EventSchema]


class EntrySchema(BaseModel):
    """One entry of the timeline."""

    at: datetime
    side: str = Field(description="browser, server or other")
    window: int | None
    since_previous_s: float | None = Field(description="Seconds since the entry before it")
    idle_s: float | None = Field(description="The same, when it is 5 minutes or more")
    identity: str | None = Field(description="The distinct id from this entry on, when it changes")
    event: EventSchema | None
    requests: list[RequestSchema]


class SessionSchema(BaseModel):
    """One session: the events of browser and server in order of time."""

    session_id: str
    person: str = Field(description="A display name")
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
    next: str | None = Field(description="`after` of the following part; null at the end")
    windows: list[WindowSchema]
    entries: list[EntrySchema]


def session_json(session: Session) -> dict[str, object]:
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
        "next": session.next.encode() if session.next else None,
        "windows": [
            {"number": window.number, "id": window.id, "first_seen": window.first_seen, "last_seen": window.last_seen}
            for window in session.timeline.windows
        ],
        "entries": [_entry_json(entry) for entry in session.timeline.entries],
    }


def _entry_json(entry: Entry) -> dict[str, object]:
    return {
        "at": entry.at,
        "side": entry.side,
        "window": entry.window or None,
        "since_previous_s": entry.since_previous.total_seconds() if entry.since_previous is not None else None,
        "idle_s": entry.idle.total_seconds() if entry.idle is not None else None,
        "identity": entry.identity or None,
        "event": event_json(entry.event) if entry.event is not None else None,
        "requests": list(_request_json(entry.requests)),
    }


def _request_json(requests: Iterable[Request]) -> Iterable[dict[str, object]]:
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
            "events": [event_json(event) for event in request.events],
        }
