"""`/api/projects/{id}/events/`: stored events, newest first, and one of them."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request, Response

from hogline_instance.analytics.events import Cursor, EventFilter, find_event, list_events
from hogline_instance.api.access import Access
from hogline_instance.api.errors import RESPONSES, ApiRoute, not_found
from hogline_instance.api.filters import chosen_cursor, chosen_events
from hogline_instance.api.shapes import EventList, EventShape, event_shape, json_response
from hogline_instance.projects import Project
from hogline_instance.services import Services

__all__ = ["build_router"]

MAX_LIMIT = 1_000


def build_router(services: Services, access: Access) -> APIRouter:
    """Return the two routes, each with and without its slash: a redirect would cost clients their header."""
    router = APIRouter(route_class=ApiRoute, tags=["events"])
    allowed = access.project()

    def get_events(
        request: Request,
        wanted: Annotated[EventFilter, Depends(chosen_events)],
        cursor: Annotated[Cursor | None, Depends(chosen_cursor)],
        limit: Annotated[int, Query(description="Events a page", ge=1, le=MAX_LIMIT)] = 100,
        project: Project = allowed,  # type: ignore[assignment]
    ) -> Response:
        """List events, newest first. `next` is the whole URL of the next page; no event is lost or repeated between pages."""
        page = list_events(services.store, project.id, wanted, limit=limit, cursor=cursor)
        following = None if page.next is None else str(request.url.include_query_params(cursor=page.next.encode()))
        return json_response({"next": following, "results": [event_shape(event) for event in page.events]})

    def get_event(uuid: str, project: Project = allowed) -> Response:  # type: ignore[assignment]
        """Return one event by its uuid."""
        event = find_event(services.store, project.id, wanted_uuid(uuid))
        if event is None:
            raise not_found(f"Event not found: {uuid[:50]}")
        return json_response(event_shape(event))

    for path, handler, shape in (
        ("/projects/{project_id}/events", get_events, EventList),
        ("/projects/{project_id}/events/{uuid}", get_event, EventShape),
    ):
        router.add_api_route(f"{path}/", handler, response_model=shape, responses=RESPONSES)
        router.add_api_route(path, handler, response_model=shape, responses=RESPONSES, include_in_schema=False)
    return router


def wanted_uuid(text: str) -> str:
    """Return *text* as a uuid in its usual form; what is no uuid names no event."""
    try:
        return str(UUID(text))
    except ValueError:
        raise not_found(f"Event not found: {text[:50]!r} is not a uuid") from None
