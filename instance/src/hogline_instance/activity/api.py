"""`/api/projects/{id}/events/`: stored events, newest first, and one of them."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request, Response

from hogline_instance.events.cursor import Cursor
from hogline_instance.events.filters import EventFilter
from hogline_instance.events.queries import find_event, list_events
from hogline_instance.people import event_person_json, of_person, people_of
from hogline_instance.project import Project
from hogline_instance.services import Services
from hogline_instance.web.auth import Access
from hogline_instance.web.errors import not_found
from hogline_instance.web.filters import event_filter
from hogline_instance.web.paging import next_url, page_start
from hogline_instance.web.routes import ProjectRoutes
from hogline_instance.web.schemas import EventList, EventSchema, event_json, json_response

__all__ = ["build_router"]

MAX_LIMIT = 1_000


def build_router(services: Services, access: Access) -> APIRouter:
    """Return the two routes."""
    routes = ProjectRoutes("events")
    allowed = access.project()

    def get_events(
        request: Request,
        wanted: Annotated[EventFilter, Depends(event_filter)],
        cursor: Annotated[Cursor | None, Depends(page_start)],
        person_id: Annotated[str | None, Query(description="Only events of the person with this uuid")] = None,
        limit: Annotated[int, Query(description="Events per page", ge=1, le=MAX_LIMIT)] = 100,
        project: Project = allowed,  # type: ignore[assignment]
    ) -> Response:
        """List events, newest first.

        `next` is the whole URL of the next page; no event is lost or repeated between pages.
        """
        if person_id is not None:
            wanted = of_person(services.database, project.id, wanted, person_id)
        page = list_events(services.store, project.id, wanted, limit=limit, cursor=cursor)
        people = people_of(services.database, project, page.events)
        results = [event_json(each) | event_person_json(each, people.get(each.distinct_id)) for each in page.events]
        return json_response({"next": next_url(request, page.next), "results": results})

    def get_event(uuid: str, project: Project = allowed) -> Response:  # type: ignore[assignment]
        """Return one event by its uuid."""
        event = find_event(services.store, project.id, wanted_uuid(uuid))
        if event is None:
            raise not_found(f"Event not found: {uuid[:50]}")
        person = people_of(services.database, project, (event,)).get(event.distinct_id)
        return json_response(event_json(event) | event_person_json(event, person))

    routes.add("GET", "/events/", get_events, model=EventList)
    routes.add("GET", "/events/{uuid}/", get_event, model=EventSchema)
    return routes.router


def wanted_uuid(text: str) -> str:
    """Return *text* as a uuid in its usual form.

    Raises ApiError: *text* is not a uuid, so no event has it.
    """
    try:
        return str(UUID(text))
    except ValueError:
        raise not_found(f"Event not found: {text[:50]!r} is not a uuid") from None
