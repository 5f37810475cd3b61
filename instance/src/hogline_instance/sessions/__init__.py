"""Sessions: a visitor's browser events and the server's events in one timeline."""

from hogline_instance.sessions.model import Session, SessionFacts, SessionRow
from hogline_instance.sessions.queries import find_session, recent_sessions
from hogline_instance.sessions.timeline import Entry, Timeline, build_timeline

__all__ = [
    "Entry",
    "Session",
    "SessionFacts",
    "SessionRow",
    "Timeline",
    "build_timeline",
    "find_session",
    "recent_sessions",
]
