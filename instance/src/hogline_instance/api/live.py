"""`/api/projects/{id}/live`: events as they are stored, as server-sent events. The live page reads the same stream, in lines.

Messages: `events` (a JSON list, oldest first), `lost` (`{"lost": n}` in total, because this reader was slow), and a
comment every few seconds, so that both ends notice a dead connection.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Annotated

import orjson
from fastapi import APIRouter, Depends, Query
from fastapi.responses import StreamingResponse
from starlette.concurrency import run_in_threadpool

from hogline_instance.analytics.events import EventFilter, list_events, needles
from hogline_instance.analytics.stored import StoredEvent
from hogline_instance.api.access import Access
from hogline_instance.api.errors import HEADERS, RESPONSES, ApiRoute
from hogline_instance.api.filters import chosen_events
from hogline_instance.api.shapes import event_shape
from hogline_instance.pipeline.live import LiveEvent, Subscription
from hogline_instance.projects import Project
from hogline_instance.services import Services

__all__ = ["build_router", "stream"]

_KEEP_ALIVE_S = 10.0
_MAX_EVENTS_A_MESSAGE = 200
_PAUSE_BETWEEN_MESSAGES_S = 0.1  # at thousands of events a second: ten full messages, not thousands of small ones
MAX_BACKLOG = 200


def build_router(services: Services, access: Access) -> APIRouter:
    """Return the stream's route."""
    router = APIRouter(route_class=ApiRoute, tags=["live"])
    allowed = access.project()

    @router.get(
        "/projects/{project_id}/live",
        response_class=StreamingResponse,
        responses={**RESPONSES, 200: {"content": {"text/event-stream": {}}, "description": "A stream of events"}},
    )
    async def get_live(
        wanted: Annotated[EventFilter, Depends(chosen_events)],
        backlog: Annotated[int, Query(description="Stored events to send first", ge=0, le=MAX_BACKLOG)] = 0,
        project: Project = allowed,  # type: ignore[assignment]
    ) -> StreamingResponse:
        """Stream events as they are stored."""
        return stream(services, project, wanted, shape=event_shape, backlog=backlog)

    return router


def stream(
    services: Services, project: Project, wanted: EventFilter, *, shape: Callable[[StoredEvent], object], backlog: int
) -> StreamingResponse:
    """Return the stream of events that match, each as *shape* draws it, after the *backlog* newest stored ones."""
    headers = HEADERS | {"X-Accel-Buffering": "no"}
    messages = _messages(services, project, wanted, shape, backlog)
    return StreamingResponse(messages, media_type="text/event-stream", headers=headers)


async def _messages(
    services: Services,
    project: Project,
    wanted: EventFilter,
    shape: Callable[[StoredEvent], object],
    backlog: int,
) -> AsyncIterator[bytes]:
    # Subscribe before asking the store: what arrives between the two is sent twice rather than never.
    subscription = services.live.subscribe()
    try:
        yield b": hogline\nretry: 1000\n\n"
        if backlog:
            page = await run_in_threadpool(list_events, services.store, project.id, wanted, limit=backlog)
            yield _message("events", [shape(event) for event in reversed(page.events)])
        told = 0
        async for batch in _batches(subscription):
            events = [event for event in map(_stored, _of(project, batch)) if _matches(event, wanted)]
            if events:
                yield _message("events", [shape(event) for event in events])
            if subscription.lost > told:
                told = subscription.lost
                yield _message("lost", {"lost": told})
            if not batch:
                yield b": alive\n\n"
    finally:
        subscription.close()


async def _batches(subscription: Subscription) -> AsyncIterator[list[LiveEvent]]:
    """Yield what is waiting, at most _MAX_EVENTS_A_MESSAGE at once; an empty list when nothing came for a while."""
    source = aiter(subscription)
    coming: asyncio.Task[LiveEvent] | None = None
    try:
        while True:
            batch: list[LiveEvent] = []
            patience = _KEEP_ALIVE_S
            while len(batch) < _MAX_EVENTS_A_MESSAGE:
                if coming is None:
                    coming = asyncio.ensure_future(_next(source))
                done, _ = await asyncio.wait({coming}, timeout=patience)
                if not done:
                    break
                finished, coming = coming, None
                try:
                    batch.append(finished.result())
                except StopAsyncIteration:
                    if batch:
                        yield batch
                    return
                patience = 0.002
            yield batch
            if batch:
                await asyncio.sleep(_PAUSE_BETWEEN_MESSAGES_S)
    finally:
        if coming is not None:
            coming.cancel()
            with contextlib.suppress(asyncio.CancelledError, StopAsyncIteration):
                await coming


async def _next(source: AsyncIterator[LiveEvent]) -> LiveEvent:
    return await anext(source)


def _of(project: Project, batch: Sequence[LiveEvent]) -> Sequence[LiveEvent]:
    return [event for event in batch if event.project_id == project.id]


def _stored(event: LiveEvent) -> StoredEvent:
    return StoredEvent(
        event.uuid,
        event.event,
        event.distinct_id,
        event.session_id,
        event.timestamp,
        event.properties.decode("utf-8", "replace"),
    )


def _matches(event: StoredEvent, wanted: EventFilter) -> bool:
    if (wanted.event not in {None, event.event}) or (wanted.distinct_id not in {None, event.distinct_id}):
        return False
    if wanted.session_id not in {None, event.session_id}:
        return False
    if (wanted.after and event.timestamp <= wanted.after) or (wanted.before and event.timestamp >= wanted.before):
        return False
    if wanted.search:
        text = event.properties_json.lower()
        words = wanted.search.lower()
        return (
            any(needle.lower() in text for needle in needles(wanted.search))
            or words in event.event.lower()
            or words in event.distinct_id.lower()
        )
    return True


def _message(name: str, body: object) -> bytes:
    # A client's own JSON may be laid out in lines, which would end the message early. In JSON a raw line break
    # is only ever white space.
    data = orjson.dumps(body).replace(b"\r", b" ").replace(b"\n", b" ")
    return b"event: " + name.encode() + b"\ndata: " + data + b"\n\n"
