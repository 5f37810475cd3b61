"""The live stream: events as they are stored, as server-sent events.

Messages: `events` (a JSON list, oldest first), `lost` (`{"lost": n}` in total, because this reader
was slow), and a comment every few seconds, so that both ends notice a dead connection.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Iterable

import orjson
from fastapi.responses import StreamingResponse
from starlette.concurrency import run_in_threadpool

from hogline_instance.events.event import StoredEvent
from hogline_instance.events.filters import EventFilter, matches
from hogline_instance.events.queries import list_events
from hogline_instance.pipeline import Subscription
from hogline_instance.project import Project
from hogline_instance.services import Services
from hogline_instance.web.errors import ApiError
from hogline_instance.web.security import API_HEADERS

__all__ = ["MAX_BACKLOG", "stream"]

_log = logging.getLogger("hogline.instance")
_KEEP_ALIVE_S = 10.0
_MAX_EVENTS_PER_MESSAGE = 200
# At thousands of events a second this sends ten full messages, not thousands of small ones.
_PAUSE_BETWEEN_MESSAGES_S = 0.1
MAX_BACKLOG = 200


def stream(
    services: Services, project: Project, wanted: EventFilter, *, shape: Callable[[StoredEvent], object], backlog: int
) -> StreamingResponse:
    """Return the stream of matching events, rendered by *shape*, after *backlog* stored ones.

    *shape* must be a module-level function: an event is rendered once for all readers that share
    it. Raises ApiError: `live_max_readers` are connected already.
    """
    headers = API_HEADERS | {"X-Accel-Buffering": "no"}
    if services.live.is_full:
        raise ApiError(
            503, "server_error", "too_many_readers",
            f"{services.settings.live_max_readers} live readers are connected, the most that live_max_readers allows.",
        )  # fmt: skip
    messages = _messages(services, project, wanted, shape, backlog)
    return StreamingResponse(messages, media_type="text/event-stream", headers=headers)


async def _messages(
    services: Services,
    project: Project,
    wanted: EventFilter,
    shape: Callable[[StoredEvent], object],
    backlog: int,
) -> AsyncIterator[bytes]:
    # Subscribe before the query: an event that arrives between the two is sent twice rather than
    # never.
    subscription = services.live.subscribe()
    try:
        yield b": hogline\nretry: 1000\n\n"
        if backlog:
            page = await run_in_threadpool(list_events, services.store, project.id, wanted, limit=backlog)
            yield _events_message(reversed(page.events), shape)
        reported = 0
        async for batch in _batches(subscription):
            events = [event for event in batch if event.team_id == project.id and matches(event, wanted)]
            if events:
                yield _events_message(events, shape)
            if subscription.lost > reported:
                reported = subscription.lost
                yield _message("lost", b'{"lost":%d}' % reported)
            if not batch:
                yield b": alive\n\n"
    finally:
        subscription.close()


async def _batches(subscription: Subscription) -> AsyncIterator[list[StoredEvent]]:
    """Yield lists of queued events, or an empty list after a silence."""
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


def _events_message(events: Iterable[StoredEvent], shape: Callable[[StoredEvent], object]) -> bytes:
    rendered = (_rendered(event, shape) for event in events)
    return _message("events", b"[" + b",".join(one for one in rendered if one is not None) + b"]")


def _rendered(event: StoredEvent, shape: Callable[[StoredEvent], object]) -> bytes | None:
    """Return the JSON of *event*, cached for the next reader; None if rendering fails."""
    known: dict[object, bytes | None] = event.__dict__.setdefault("rendered", {})
    if shape not in known:
        try:
            known[shape] = orjson.dumps(shape(event))
        except Exception:  # a bug that one event triggers must not end every reader's stream
            _log.exception("live: event %s cannot be shown", event.uuid)
            known[shape] = None
    return known[shape]


def _message(name: str, data: bytes) -> bytes:
    # A client's own JSON may hold line breaks, which would end the message early. In JSON a raw
    # line break is only ever white space.
    return b"event: " + name.encode() + b"\ndata: " + data.replace(b"\r", b" ").replace(b"\n", b" ") + b"\n\n"
