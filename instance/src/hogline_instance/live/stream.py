"""The live stream: events as they are stored, as server-sent events.

Messages: `events` (a JSON list, oldest first), `lost` (`{"lost": n}` in total, because this reader
was slow), and a comment every few seconds, so that both ends notice a dead connection.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable

import orjson
from fastapi.responses import StreamingResponse
from starlette.concurrency import run_in_threadpool

from hogline_instance.events.event import StoredEvent
from hogline_instance.events.filters import EventFilter, matches
from hogline_instance.events.queries import list_events
from hogline_instance.pipeline import Subscription
from hogline_instance.project import Project
from hogline_instance.services import Services
from hogline_instance.web.security import API_HEADERS

__all__ = ["MAX_BACKLOG", "stream"]

_KEEP_ALIVE_S = 10.0
_MAX_EVENTS_PER_MESSAGE = 200
# At thousands of events a second: ten full messages, not thousands of small ones.
_PAUSE_BETWEEN_MESSAGES_S = 0.1
MAX_BACKLOG = 200


def stream(
    services: Services, project: Project, wanted: EventFilter, *, shape: Callable[[StoredEvent], object], backlog: int
) -> StreamingResponse:
    """Return the stream of matching events, each as *shape* renders it, after *backlog* stored ones."""
    headers = API_HEADERS | {"X-Accel-Buffering": "no"}
    messages = _messages(services, project, wanted, shape, backlog)
    return StreamingResponse(messages, media_type="text/event-stream", headers=headers)


async def _messages(
    services: Services,
    project: Project,
    wanted: EventFilter,
    shape: Callable[[StoredEvent], object],
    backlog: int,
) -> AsyncIterator[bytes]:
    # Subscribe before asking the store: what arrives between the two is sent twice rather than
    # never.
    subscription = services.live.subscribe()
    try:
        yield b": hogline\nretry: 1000\n\n"
        if backlog:
            page = await run_in_threadpool(list_events, services.store, project.id, wanted, limit=backlog)
            yield _message("events", [shape(event) for event in reversed(page.events)])
        reported = 0
        async for batch in _batches(subscription):
            events = [event for event in batch if event.team_id == project.id and matches(event, wanted)]
            if events:
                yield _message("events", [shape(event) for event in events])
            if subscription.lost > reported:
                reported = subscription.lost
                yield _message("lost", {"lost": reported})
            if not batch:
                yield b": alive\n\n"
    finally:
        subscription.close()


async def _batches(subscription: Subscription) -> AsyncIterator[list[StoredEvent]]:
    """Yield waiting events, at most _MAX_EVENTS_PER_MESSAGE at once; an empty list after a silence."""
    source = aiter(subscription)
    coming: asyncio.Task[StoredEvent] | None = None
    try:
        while True:
            batch: list[StoredEvent] = []
            patience = _KEEP_ALIVE_S
            while len(batch) < _MAX_EVENTS_PER_MESSAGE:
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


async def _next(source: AsyncIterator[StoredEvent]) -> StoredEvent:
    return await anext(source)


def _message(name: str, body: object) -> bytes:
    # A client's own JSON may be laid out in lines, which would end the message early. In JSON a raw
    # line break is only ever white space.
    data = orjson.dumps(body).replace(b"\r", b" ").replace(b"\n", b" ")
    return b"event: " + name.encode() + b"\ndata: " + data + b"\n\n"
