"""The page `/definitions`: the events and properties that were seen."""

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from hogline_instance.definitions.lookup import PropertyWanted, list_events, list_properties
from hogline_instance.definitions.tables import EVENT, GROUP, PERSON
from hogline_instance.services import Services
from hogline_instance.web.site import Site

__all__ = ["build_router"]

_ROWS = 200


def build_router(services: Services, site: Site) -> APIRouter:
    """Return the page."""

    def get_definitions(
        request: Request, search: Annotated[str, Query(max_length=400)] = "", kind: str = EVENT
    ) -> Response:
        """Show event names, and the properties of one kind."""
        project = services.projects.current()
        kind = kind if kind in {EVENT, PERSON, GROUP} else EVENT
        with services.database.session() as session:
            events, event_count = list_events(session, project.id, search, ordering="-last_seen_at", limit=_ROWS)
            properties, count = list_properties(
                session, project.id, PropertyWanted(kind=kind, search=search), limit=_ROWS
            )
            return site.templates.page(
                request, "definitions/definitions.html", events=events, event_count=event_count, properties=properties, count=count,
                kind=kind, kinds=(EVENT, PERSON, GROUP), search=search,
            )  # fmt: skip

    return site.router(("GET", "/definitions", get_definitions))
