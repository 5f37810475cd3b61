"""`/api/projects/{id}/sessions/{session_id}`: one session's merged timeline."""

from typing import Annotated

from fastapi import APIRouter, Query, Response

from hogline_instance.events.cursor import Cursor
from hogline_instance.project import Project
from hogline_instance.services import Services
from hogline_instance.sessions.queries import find_session
from hogline_instance.sessions.schemas import SessionSchema, session_json
from hogline_instance.web.auth import Access
from hogline_instance.web.errors import not_found
from hogline_instance.web.paging import read_cursor
from hogline_instance.web.routes import ProjectRoutes
from hogline_instance.web.schemas import json_response

__all__ = ["build_router"]


def build_router(services: Services, access: Access) -> APIRouter:
    """Return the route."""
    routes = ProjectRoutes("sessions")
    allowed = access.project()

    def get_session(
        session_id: str,
        after: Annotated[str | None, Query(description="Start of the part: `next` of the previous part")] = None,
        project: Project = allowed,  # type: ignore[assignment]
    ) -> Response:
        """Return a session: its events in order of time, each server request under its cause."""
        session = find_session(services.store, project.id, session_id, after=read_cursor(after, Cursor.decode))
        if session is None:
            raise not_found(f"Session not found: {session_id[:100]}")
        return json_response(session_json(session))

    routes.add("GET", "/sessions/{session_id:text}", get_session, model=SessionSchema)
    return routes.router
