"""The pages of sessions: recent ones at `/sessions`, and one timeline at `/session/{id}`."""

from collections.abc import Mapping

from fastapi import APIRouter, Request, Response

from hogline_instance.events.cursor import Cursor
from hogline_instance.events.event import microseconds
from hogline_instance.events.summary import custom_preview, summarize
from hogline_instance.people import shown_names
from hogline_instance.services import Services
from hogline_instance.sessions.cursor import SessionCursor
from hogline_instance.sessions.model import PART_EVENTS, SessionFacts
from hogline_instance.sessions.queries import find_session, recent_sessions
from hogline_instance.web.filters import parse_time
from hogline_instance.web.paging import read_cursor
from hogline_instance.web.site import Site
from hogline_instance.web.templating import Templates

__all__ = ["build_router"]

_SESSIONS_PER_PAGE = 50


def build_router(services: Services, site: Site) -> APIRouter:
    """Return the two pages."""
    pages = _SessionPages(services, site.templates)
    return site.router(
        ("GET", "/sessions", pages.get_sessions),
        ("GET", "/session/{session_id:text}", pages.get_session),
    )


class _SessionPages:
    def __init__(self, services: Services, templates: Templates) -> None:
        self._services = services
        self._templates = templates

    def get_sessions(self, request: Request, before: str | None = None, cursor: str | None = None) -> Response:
        """Show recent sessions: the newest, those before a time, or those after a cursor."""
        services, project = self._services, self._services.projects.current()
        moment = parse_time("before", before)
        start = read_cursor(cursor, SessionCursor.decode) or (SessionCursor.at(moment) if moment else None)
        rows = recent_sessions(services.store, project.id, limit=_SESSIONS_PER_PAGE, before=start)
        older = ""
        if len(rows) == _SESSIONS_PER_PAGE:
            older = SessionCursor(microseconds(rows[-1].last_seen), rows[-1].session_id).encode()
        names = shown_names(services.database, project, {row.distinct_id for row in rows})
        return self._templates.page(
            request, "sessions/sessions.html", rows=rows, names=names, older=older, paged=start is not None
        )

    def get_session(self, request: Request, session_id: str, after: str | None = None) -> Response:
        """Show one session's timeline, or a part of it."""
        services, project = self._services, self._services.projects.current()
        session = find_session(services.store, project.id, session_id, after=read_cursor(after, Cursor.decode))
        if session is None:
            return self._templates.problem(request, 404, "No event of this instance carries that session id.")
        names = shown_names(services.database, project, session.facts.distinct_ids)
        return self._templates.page(
            request, "sessions/session.html", session=session, names=names, who=_who(names, session.facts), facts=session.facts, timeline=session.timeline,
            preview=custom_preview, line=summarize, most=PART_EVENTS, paged=after is not None,
            next=session.next.encode() if session.next else "",
        )  # fmt: skip


def _who(names: Mapping[str, tuple[str, str]], facts: SessionFacts) -> tuple[str, str]:
    """Return (uuid, name) of the person of a session; the uuid is '' when there is none.

    The last id counts: it is the one that a sign-in brought.
    """
    known = [names[each] for each in facts.distinct_ids if each in names]
    return known[-1] if known else ("", facts.person)
