"""The read API: JSON over HTTP for programs, in PostHog's shapes, answered to personal keys.

Translates requests into questions for `analytics` and answers into JSON; knows no SQL and no HTML.
"""

from fastapi import APIRouter

from hogline_instance.api import events, live, sessions
from hogline_instance.api.access import Access
from hogline_instance.api.errors import ApiRoute, unknown_endpoint
from hogline_instance.services import Services

__all__ = ["build_router"]


def build_router(services: Services) -> APIRouter:
    """Return every route under /api/, including the JSON 404 for those that do not exist."""
    access = Access(services)
    router = APIRouter(prefix="/api", route_class=ApiRoute)
    for room in (events, sessions, live):
        router.include_router(room.build_router(services, access))
    router.add_api_route(
        "/{path:path}", unknown_endpoint, methods=["GET", "POST", "PUT", "PATCH", "DELETE"], include_in_schema=False
    )
    return router
