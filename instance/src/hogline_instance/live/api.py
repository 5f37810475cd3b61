"""`/api/projects/{id}/live`: the live stream for programs."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query
from fastapi.responses import StreamingResponse

from hogline_instance.events.filters import EventFilter
from hogline_instance.live.stream import MAX_BACKLOG, stream
from hogline_instance.project import Project
from hogline_instance.services import Services
from hogline_instance.web.auth import Access
from hogline_instance.web.errors import RESPONSES
from hogline_instance.web.filters import event_filter
from hogline_instance.web.routes import api_router
from hogline_instance.web.schemas import event_json

__all__ = ["build_router"]


def build_router(services: Services, access: Access) -> APIRouter:
    """Return the stream's route."""
    router = api_router("live")
    allowed = access.project()

    @router.get(
        "/projects/{project_id}/live",
        response_class=StreamingResponse,
        responses={**RESPONSES, 200: {"content": {"text/event-stream": {}}, "description": "A stream of events"}},
    )
    async def get_live(
        wanted: Annotated[EventFilter, Depends(event_filter)],
        backlog: Annotated[int, Query(description="Stored events to send first", ge=0, le=MAX_BACKLOG)] = 0,
        project: Project = allowed,  # type: ignore[assignment]
    ) -> StreamingResponse:
        """Stream events as they are stored."""
        return stream(services, project, wanted, shape=event_json, backlog=backlog)

    return router
