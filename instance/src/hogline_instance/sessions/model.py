"""A session: one visit, with the events of browser and server."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from hogline_instance.events.cursor import Cursor
from hogline_instance.events.event import StoredEvent
from hogline_instance.events.summary import is_personal, side_of
from hogline_instance.sessions.device import Device, device_of
from hogline_instance.sessions.timeline import Timeline

__all__ = ["PART_EVENTS", "Session", "SessionFacts", "SessionRow", "session_facts"]

PART_EVENTS = 1_000


@dataclass(frozen=True, slots=True)
class SessionRow:
    """One session in a list."""

    session_id: str
    distinct_id: str
    first_seen: datetime
    last_seen: datetime
    entry_url: str
    events: int
    pageviews: int
    server_events: int
    requests: int
    errors: int


@dataclass(frozen=True, slots=True)
class SessionFacts:
    """The header of a session.

    `person` is a display name: the email or name of the identified person, else the distinct id.
    """

    session_id: str
    person: str
    distinct_ids: tuple[str, ...]
    first_seen: datetime
    last_seen: datetime
    pageviews: int
    requests: int
    errors: int
    entry_url: str
    referrer: str
    browser: str
    os: str
    device: str


@dataclass(frozen=True, slots=True)
class Session:
    """A session, or a part of at most PART_EVENTS events of a long one.

    `next` is the start of the following part, None at the end. The header describes the whole
    session.
    """

    facts: SessionFacts
    timeline: Timeline
    next: Cursor | None


def session_facts(session_id: str, timeline: Timeline, whole: SessionRow | None = None) -> SessionFacts:
    """Return the header of the session with this *timeline*.

    *whole* holds the counts and times of the session when the timeline is only a part of it.
    """
    events = timeline.events
    browser = [event for event in events if side_of(event) == "browser"]

    def first(name: str) -> str:
        return next((text for event in browser or events if (text := event.text(name))), "")

    device = (
        Device(
            " ".join(filter(None, (first("$browser"), first("$browser_version")))),
            " ".join(filter(None, (first("$os"), first("$os_version")))),
            first("$device_type"),
        )
        if browser
        else device_of(
            first("$raw_user_agent") or first("$user_agent")
        )  # a server's `$os` describes the server, not the visitor
    )

    entry = next((text for event in browser if event.event == "$pageview" and (text := event.text("$current_url"))), "")
    return SessionFacts(
        session_id=session_id,
        person=_person(events),
        distinct_ids=tuple(dict.fromkeys(event.distinct_id for event in events if is_personal(event))),
        first_seen=whole.first_seen if whole else events[0].timestamp,
        last_seen=whole.last_seen if whole else events[-1].timestamp,
        pageviews=whole.pageviews if whole else sum(event.event == "$pageview" for event in events),
        requests=whole.requests if whole else sum(len(entry.requests) for entry in timeline.entries),
        errors=whole.errors if whole else sum(event.event == "$exception" for event in events),
        entry_url=(whole.entry_url if whole else entry) or first("$session_entry_url") or first("$current_url"),
        referrer=first("$session_entry_referrer") or first("$referrer"),
        browser=device.browser,
        os=device.os,
        device=device.kind,
    )


def _person(events: Sequence[StoredEvent]) -> str:
    for event in reversed(events):
        traits = event.properties.get("$set")
        if isinstance(traits, dict):
            for name in ("email", "name", "username"):
                if isinstance(traits.get(name), str) and traits[name].strip():
                    return str(traits[name])[:200]
    identified = [event.distinct_id for event in events if event.event == "$identify"]
    named = [event.distinct_id for event in events if is_personal(event)]
    return (identified or named or [events[-1].distinct_id])[-1]
