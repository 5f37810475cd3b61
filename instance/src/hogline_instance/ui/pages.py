"""The routes of the pages: each asks one question and shows the answer."""

import dataclasses
from collections.abc import Callable, Coroutine
from datetime import datetime
from typing import Annotated, Any
from urllib.parse import quote
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, RedirectResponse
from fastapi.routing import APIRoute

from hogline_instance.analytics.events import Cursor, EventFilter, find_event, list_events
from hogline_instance.analytics.sessions import MAX_TIMELINE_EVENTS, find_session, recent_sessions
from hogline_instance.analytics.stack import failures
from hogline_instance.analytics.summary import summarize
from hogline_instance.api import live
from hogline_instance.api.errors import ApiError
from hogline_instance.api.filters import chosen_cursor, chosen_events, moment
from hogline_instance.exceptions import StoreError
from hogline_instance.services import Services
from hogline_instance.ui.login import Door, NotSignedInError
from hogline_instance.ui.render import HEADERS, Pages
from hogline_instance.ui.views import custom_preview, property_groups, raw_json

__all__ = ["build_router"]

_LIVE_ROWS = 100
_EVENTS_A_PAGE = 100
_SESSIONS_A_PAGE = 50

Wanted = Annotated[EventFilter, Depends(chosen_events)]
Start = Annotated[Cursor | None, Depends(chosen_cursor)]


class _Page:
    """The pages' handlers, over what they ask."""

    def __init__(self, services: Services, shown: Pages) -> None:
        self._services = services
        self._shown = shown

    def get_live(self, request: Request, wanted: Wanted) -> Response:
        """Events as they arrive; without JavaScript, as they were when the page was asked for."""
        services, project = self._services, self._services.projects.current()
        page = list_events(services.store, project.id, wanted, limit=_LIVE_ROWS)
        return self._shown.answer(
            request, "live.html", rows=[summarize(event) for event in page.events], wanted=wanted,
            token=project.token, origin=str(request.base_url).rstrip("/"), filtered=wanted != EventFilter(),
        )  # fmt: skip

    def get_events(self, request: Request, wanted: Wanted, cursor: Start) -> Response:
        """Stored events in pages."""
        services, project = self._services, self._services.projects.current()
        page = list_events(services.store, project.id, wanted, limit=_EVENTS_A_PAGE, cursor=cursor)
        older = None if page.next is None else str(request.url.include_query_params(cursor=page.next.encode()).query)
        first = str(request.url.remove_query_params("cursor").query) if cursor is not None else None
        return self._shown.answer(
            request, "events.html", events=[(summarize(event), event) for event in page.events], wanted=wanted,
            after=request.query_params.get("after", ""), before=request.query_params.get("before", ""),
            older=older, first=first,
        )  # fmt: skip

    def get_event(self, request: Request, uuid: str) -> Response:
        """One event, whole."""
        services, project = self._services, self._services.projects.current()
        try:
            event = find_event(services.store, project.id, str(UUID(uuid)))
        except ValueError:
            event = None
        if event is None:
            return self._shown.problem(request, 404, "This instance holds no event with that id.")
        return self._shown.answer(
            request, "event.html", event=event, line=summarize(event), groups=property_groups(event),
            failures=failures(event), raw=raw_json(event),
        )  # fmt: skip

    def get_sessions(self, request: Request, before: str | None = None) -> Response:
        """Recent sessions."""
        services, project = self._services, self._services.projects.current()
        rows = recent_sessions(services.store, project.id, limit=_SESSIONS_A_PAGE, before=moment("before", before))
        older: datetime | None = rows[-1].last_seen if len(rows) == _SESSIONS_A_PAGE else None
        return self._shown.answer(request, "sessions.html", rows=rows, older=older, paged=bool(before))

    def get_session(self, request: Request, session_id: str) -> Response:
        """One session's line of time."""
        services, project = self._services, self._services.projects.current()
        session = find_session(services.store, project.id, session_id)
        if session is None:
            return self._shown.problem(request, 404, "No event of this instance carries that session id.")
        return self._shown.answer(
            request, "session.html", session=session, facts=session.facts, timeline=session.timeline,
            preview=custom_preview, line=summarize, most=MAX_TIMELINE_EVENTS,
        )  # fmt: skip

    async def get_live_stream(
        self, wanted: Wanted, backlog: Annotated[int, Query(ge=0, le=live.MAX_BACKLOG)] = 0
    ) -> Response:
        """The live page's stream, one line an event."""
        project = self._services.projects.current()
        return live.stream(
            self._services, project, wanted, shape=lambda event: dataclasses.asdict(summarize(event)), backlog=backlog
        )


def build_router(services: Services, door: Door, shown: Pages) -> APIRouter:
    """Return the pages, behind the door."""
    page = _Page(services, shown)
    router = APIRouter(route_class=_page_route(shown), dependencies=[Depends(door.check)])
    for path, handler in (
        ("/", page.get_live),
        ("/events", page.get_events),
        ("/event/{uuid}", page.get_event),
        ("/sessions", page.get_sessions),
        ("/session/{session_id:path}", page.get_session),
        ("/ui/live", page.get_live_stream),
    ):
        router.add_api_route(path, handler, methods=["GET"], response_model=None)
    return router


def _page_route(shown: Pages) -> type[APIRoute]:
    """Return a route whose errors are pages, and which sends a stranger to the door."""

    class PageRoute(APIRoute):
        def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
            handler = super().get_route_handler()

            async def guarded(request: Request) -> Response:
                try:
                    return await handler(request)
                except NotSignedInError:
                    return _to_the_door(request)
                except ApiError as error:
                    return shown.problem(request, error.status, error.body.detail)
                except StoreError as error:
                    return shown.problem(request, 503, str(error)[:1_000])
                except RequestValidationError as error:
                    return shown.problem(request, 400, "; ".join(str(item.get("msg")) for item in error.errors())[:500])

            return guarded

    return PageRoute


def _to_the_door(request: Request) -> Response:
    if request.url.path.startswith("/ui/"):
        return JSONResponse({"detail": "Sign in first."}, 401, HEADERS)
    target = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    return RedirectResponse(f"/login?next={quote(target, safe='')}", 303, HEADERS)
