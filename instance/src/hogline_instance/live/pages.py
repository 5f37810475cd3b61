"""The first page, `/`, shows events as they arrive; its script reads a stream."""

import dataclasses
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response

from hogline_instance.events.event import StoredEvent
from hogline_instance.events.filters import EventFilter
from hogline_instance.events.queries import list_events
from hogline_instance.live.stream import MAX_BACKLOG, stream
from hogline_instance.people import live_summary, summaries
from hogline_instance.services import Services
from hogline_instance.web.filters import event_filter
from hogline_instance.web.site import Site
from hogline_instance.web.templating import Templates

__all__ = ["build_router"]

_ROWS = 100
_Wanted = Annotated[EventFilter, Depends(event_filter)]


def build_router(services: Services, site: Site) -> APIRouter:
    """Return the page and its stream."""
    pages = _LivePages(services, site.templates)
    return site.router(
        ("GET", "/", pages.get_live),
        ("GET", "/ui/live", pages.get_live_stream),
    )


class _LivePages:
    def __init__(self, services: Services, templates: Templates) -> None:
        self._services = services
        self._templates = templates

    def get_live(self, request: Request, wanted: _Wanted) -> Response:
        """Show events as they arrive; without JavaScript, those stored at the request."""
        services, project = self._services, self._services.projects.current()
        page = list_events(services.store, project.id, wanted, limit=_ROWS)
        return self._templates.page(
            request, "live/live.html", rows=summaries(services.database, project, page.events), wanted=wanted,
            token=project.token, origin=str(request.base_url).rstrip("/"), filtered=wanted != EventFilter(),
        )  # fmt: skip

    async def get_live_stream(
        self, wanted: _Wanted, backlog: Annotated[int, Query(ge=0, le=MAX_BACKLOG)] = 0
    ) -> Response:
        """Stream events to the live page, each as the values of its row."""
        project = self._services.projects.current()
        return stream(self._services, project, wanted, shape=_line, backlog=backlog)


def _line(event: StoredEvent) -> dict[str, object]:
    return dataclasses.asdict(live_summary(event))
