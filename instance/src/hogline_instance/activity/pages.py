"""The pages of stored events: `/events`, and one event at `/event/{uuid}`."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Request, Response

from hogline_instance.activity.properties import property_groups, raw_json
from hogline_instance.errors import failures
from hogline_instance.events.cursor import Cursor
from hogline_instance.events.filters import EventFilter
from hogline_instance.events.queries import find_event, list_events
from hogline_instance.people import summaries
from hogline_instance.services import Services
from hogline_instance.web.filters import event_filter
from hogline_instance.web.paging import page_start
from hogline_instance.web.site import Site
from hogline_instance.web.templating import Templates

__all__ = ["build_router"]

_EVENTS_PER_PAGE = 100


def build_router(services: Services, site: Site) -> APIRouter:
    """Return the two pages."""
    pages = _ActivityPages(services, site.templates)
    return site.router(
        ("GET", "/events", pages.get_events),
        ("GET", "/event/{uuid}", pages.get_event),
    )


class _ActivityPages:
    def __init__(self, services: Services, templates: Templates) -> None:
        self._services = services
        self._templates = templates

    def get_events(
        self,
        request: Request,
        wanted: Annotated[EventFilter, Depends(event_filter)],
        cursor: Annotated[Cursor | None, Depends(page_start)],
    ) -> Response:
        """Show stored events in pages."""
        services, project = self._services, self._services.projects.current()
        page = list_events(services.store, project.id, wanted, limit=_EVENTS_PER_PAGE, cursor=cursor)
        older = None if page.next is None else str(request.url.include_query_params(cursor=page.next.encode()).query)
        first = str(request.url.remove_query_params("cursor").query) if cursor is not None else None
        return self._templates.page(
            request, "activity/events.html", events=summaries(services.database, project, page.events), wanted=wanted,
            after=request.query_params.get("after", ""), before=request.query_params.get("before", ""),
            older=older, first=first,
        )  # fmt: skip

    def get_event(self, request: Request, uuid: str) -> Response:
        """Show one event with all its properties."""
        services, project = self._services, self._services.projects.current()
        try:
            event = find_event(services.store, project.id, str(UUID(uuid)))
        except ValueError:
            event = None
        if event is None:
            return self._templates.problem(request, 404, "This instance holds no event with that id.")
        (line,) = summaries(services.database, project, (event,))
        return self._templates.page(
            request, "activity/event.html", event=event, line=line, groups=property_groups(event),
            failures=failures(event), raw=raw_json(event),
        )  # fmt: skip
