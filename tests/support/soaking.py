"""A soak: many concurrent visitors of one site, with waits, streams, errors and disconnecting
clients.

Each visitor makes one request under a unique name. Afterwards every event must belong to its own
visitor, and no object of a request may still be alive in the server.
"""

import asyncio
import random
import time
from collections import Counter
from dataclasses import dataclass, field

from tests.support.sink import person_of
from tests.support.site import Site, new_rid, request_bytes, visitor

_AT_ONCE = 40
_WAIT_S = 30.0
# route -> (how often, its number of events; None: any number, until its client disconnects)
_ROUTES: dict[str, tuple[int, int | None]] = {
    "/slow?delay_ms={delay_ms}": (6, 1),
    "/tag": (3, 1),
    "/capture": (2, 1),
    "/stream": (3, 3),
    "/error": (2, 1),
    "/background": (2, 1),
    "/task": (2, 1),
    "/thread": (2, 2),
    "/sync": (2, 1),
    "/stream-long": (1, None),
    "/slow?delay_ms={delay_ms}&leave=1": (1, None),
}
_LEAVES = "leave=1"  # before any response: some frameworks then cancel the handler
_FEATURES = ("background", "task", "thread", "sync")


@dataclass
class Soaked:
    """The results of a soak."""

    requests: int = 0
    left: int = 0
    """Number of clients that closed the connection in the middle of a stream, or while the handler
    waited.
    """
    refused: list[str] = field(default_factory=list)
    """Number of requests that the server ignored, as servers with a short backlog do under load."""
    events: int = 0
    mixed: list[str] = field(default_factory=list)
    """Number of events with another visitor's person, session, URL or tag."""
    missing: list[str] = field(default_factory=list)
    """Number of requests whose events did not arrive."""
    alive: int = 0
    """Number of contexts and exchanges that the server still holds."""


def soak(site: Site, requests: int, *, seed: int = 4, settle_s: float = _WAIT_S) -> Soaked:
    """Send the requests of *requests* visitors; return faults in their events, and objects still
    alive when all is idle.

    Some servers finish a stream although its client disconnected; *settle_s* is the time for that.
    """
    rng = random.Random(seed)
    lacks = site.framework.lacks
    routes = [path for path in _ROUTES if not any(path == f"/{name}" and name in lacks for name in _FEATURES)]
    chosen = rng.choices(routes, [_ROUTES[path][0] for path in routes], k=requests)
    asked = {new_rid(): path.format(delay_ms=rng.randrange(1, 25)) for path in chosen}
    wanted = {rid: _ROUTES[path][1] for (rid, _), path in zip(asked.items(), chosen, strict=True)}
    refused = asyncio.run(_come(site.server.port, asked))
    wanted = {rid: count for rid, count in wanted.items() if rid not in refused}
    left = sum(1 for path in chosen if _ROUTES[path][1] is None)
    result = Soaked(requests=requests, left=left, refused=[asked[rid] for rid in refused])
    _judge(site, wanted, result)
    result.missing = [f"{asked[rid]} {rid}" for rid in result.missing]
    deadline_s = time.monotonic() + settle_s
    result.alive = site.alive()
    while result.alive and time.monotonic() < deadline_s:
        time.sleep(0.2)
        result.alive = site.alive()
    return result


async def _come(port: int, asked: dict[str, str]) -> set[str]:
    """Send all requests, and return those without a response."""
    limit = asyncio.Semaphore(_AT_ONCE)
    refused = set(asked)

    async def one(rid: str, path: str) -> None:
        async with limit:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            try:
                writer.write(request_bytes(path, rid, headers=visitor(f"v-{rid}")))
                if path.endswith(_LEAVES):
                    await asyncio.sleep(0.01)
                    refused.discard(rid)
                    return
                head = await asyncio.wait_for(reader.readexactly(12), _WAIT_S)
                assert head.startswith(b"HTTP/1.1 ")
                refused.discard(rid)
                if path == "/stream-long":
                    await reader.readexactly(100_000)
                else:
                    await asyncio.wait_for(reader.read(), _WAIT_S)
            except (ConnectionError, asyncio.IncompleteReadError):
                pass  # gunicorn resets a connection after an error response
            finally:
                writer.transport.abort()

    await asyncio.gather(*(one(rid, path) for rid, path in asked.items()))
    return refused


def _judge(site: Site, wanted: dict[str, int | None], result: Soaked) -> None:
    needed = Counter({rid: count for rid, count in wanted.items() if count})
    deadline_s = time.monotonic() + _WAIT_S
    while True:
        site.flush()
        events = [(rid, event) for event in site.sink.events if (rid := _rid(event)) in wanted]
        missing = needed - Counter(rid for rid, _ in events)
        if not missing or time.monotonic() > deadline_s:
            break
        time.sleep(0.1)
    result.events, result.missing = len(events), list(missing)
    for rid, event in events:
        name, person = f"v-{rid}", person_of(event)
        if event.event == "alone" or (event.event == "closed" and person is None):
            right = person is None  # events of a bare thread, or of a garbage-collected generator, belong to no visitor
        else:
            known = event.properties
            right = (
                person == name
                and known.get("$session_id") == f"session-{name}"
                and f"rid={rid}" in known.get("$current_url", "")
                and known.get("colour", rid) == rid
            )
        if not right:
            result.mixed.append(f"{event.event} of {name}: {event.raw}"[:1000])


def _rid(event) -> str | None:
    """Return the test's id of an event's request, from its properties or else from its URL."""
    said = event.properties.get("rid")
    return said or event.properties.get("$current_url", "").partition("rid=")[2].partition("&")[0] or None
