"""The pages: server-rendered HTML that works without JavaScript; scripts add only liveness.

Event content is hostile: it is escaped by the templates, shown as text, and the policy of `render` lets nothing else run.
"""

from fastapi import APIRouter

from hogline_instance.services import Services
from hogline_instance.ui import login, pages, static_files
from hogline_instance.ui.render import Pages

__all__ = ["build_router"]


def build_router(services: Services) -> APIRouter:
    """Return every page, the pages' files and, where an admin password is set, the door in front of them."""
    door = login.Door(services.settings)
    shown = Pages(services)
    router = APIRouter(include_in_schema=False)
    router.include_router(static_files.build_router())
    router.include_router(login.build_router(door, shown))
    router.include_router(pages.build_router(services, door, shown))
    return router
