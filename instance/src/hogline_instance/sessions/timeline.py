"""The line of a session: browser and server events in one order of time, each request under its cause.

Pure. A server request is the events that share a `$request_id`; without one, the events with the
same method, URL and window that are close in time. The cause is inferred, and `Request.reason` says
from what.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from urllib.parse import urldefrag

from hogline_instance.events.event import StoredEvent
from hogline_instance.events.summary import QUIET_EVENTS, Side, is_personal, side_of

__all__ = ["Entry", "Request", "Timeline", "Window", "build_timeline"]

IDLE_AFTER = timedelta(minutes=5)
_SAME_REQUEST_WITHIN = timedelta(seconds=2)
_CAUSE_WITHIN = timedelta(seconds=30)
_PAGE_LOAD_WITHIN = timedelta(seconds=10)
# The clocks of browser and server are corrected separately, so a click may seem to come just after
# the request that it caused.
_CLOCK_TOLERANCE = timedelta(milliseconds=250)
_JUST_BEFORE = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class Window:
    """One browser tab, numbered in the order the session opened them."""

    number: int
    id: str
    first_seen: datetime
    last_seen: datetime


@dataclass(frozen=True, slots=True)
class Request:
    """What one server request captured.

    `reason` says why it stands under its browser event ('' when it stands alone).
    """

    id: str
    events: tuple[StoredEvent, ...]
    window: int
    method: str
    path: str
    route: str
    url: str
    status: int | None
    reason: str = ""

    @property
    def at(self) -> datetime:
        """When its first event was captured."""
        return self.events[0].timestamp

    @property
    def failed(self) -> bool:
        """True when an exception was captured in it or it answered 5xx."""
        return (self.status or 0) >= 500 or any(event.event == "$exception" for event in self.events)


@dataclass(frozen=True, slots=True)
class Entry:
    """One place on the line: a browser event with the requests it caused, a request, or another event.

    `idle` is the silence before it, set when it is long. `identity` is the distinct id of the
    events from here on, set where it changes.
    """

    at: datetime
    side: Side
    window: int
    event: StoredEvent | None = None
    requests: tuple[Request, ...] = ()
    since_previous: timedelta | None = None
    idle: timedelta | None = None
    identity: str = ""

    @property
    def quiet(self) -> bool:
        """True for events that no person caused and that caused no request."""
        return self.event is not None and self.event.event in QUIET_EVENTS and not self.requests

    @property
    def failed(self) -> bool:
        """True when an exception stands here or below."""
        own = self.event is not None and self.event.event == "$exception"
        return own or any(request.failed for request in self.requests)


@dataclass(frozen=True, slots=True)
class Timeline:
    """A session in reading order, oldest first."""

    windows: tuple[Window, ...]
    entries: tuple[Entry, ...]
    events: tuple[StoredEvent, ...]


@dataclass(slots=True)
class _Open:
    """A request, or an entry, still being filled."""

    events: list[StoredEvent]
    requests: list[Request] = field(default_factory=list)


def build_timeline(events: Iterable[StoredEvent]) -> Timeline:
    """Return the line of one session's events, given in any order."""
    ordered = tuple(sorted(events, key=lambda event: (event.timestamp, event.uuid)))
    windows = _windows(ordered)
    numbers = {window.id: window.number for window in windows}
    browser = [event for event in ordered if side_of(event) == "browser"]
    under: dict[str, list[Request]] = {}
    alone: list[Request] = []
    for request in _requests(ordered, numbers):
        cause, reason = _cause(request, browser, numbers)
        if cause is None:
            alone.append(request)
        else:
            under.setdefault(cause.uuid, []).append(_with_reason(request, reason))
    entries = [
        Entry(event.timestamp, side_of(event), _window(event, numbers), event, tuple(under.get(event.uuid, ())))
        for event in ordered
        if not _is_of_request(event)
    ]
    entries += [Entry(request.at, "server", request.window, None, (request,)) for request in alone]
    entries.sort(key=lambda entry: entry.at)
    return Timeline(windows, tuple(_spaced(entries)), ordered)


def _windows(events: Sequence[StoredEvent]) -> tuple[Window, ...]:
    seen: dict[str, tuple[datetime, datetime]] = {}
    for event in events:
        if window := event.text("$window_id"):
            first, _ = seen.get(window, (event.timestamp, event.timestamp))
            seen[window] = (first, event.timestamp)
    return tuple(Window(number, window, *span) for number, (window, span) in enumerate(seen.items(), start=1))


def _window(event: StoredEvent, numbers: dict[str, int]) -> int:
    return numbers.get(event.text("$window_id"), 0)


def _is_of_request(event: StoredEvent) -> bool:
    return side_of(event) == "server" and bool(event.text("$request_id") or event.text("$request_method"))


def _requests(events: Sequence[StoredEvent], numbers: dict[str, int]) -> list[Request]:
    by_id: dict[str, _Open] = {}
    open_by_facts: dict[tuple[str, ...], _Open] = {}
    groups: list[_Open] = []
    for event in filter(_is_of_request, events):
        if request_id := event.text("$request_id"):
            group = by_id.get(request_id)
            slot = by_id, request_id
        else:
            facts = (event.text("$request_method"), _request_url(event), event.text("$window_id"), event.distinct_id)
            group = open_by_facts.get(facts)
            if group is not None and event.timestamp - group.events[-1].timestamp > _SAME_REQUEST_WITHIN:
                group = None
            slot = open_by_facts, facts  # type: ignore[assignment]
        if group is None:
            group = _Open([])
            slot[0][slot[1]] = group
            groups.append(group)
        group.events.append(event)
    return [_request(group.events, numbers) for group in groups]


def _request(events: Sequence[StoredEvent], numbers: dict[str, int]) -> Request:
    def first(name: str) -> str:
        return next((text for event in events if (text := event.text(name))), "")

    statuses = [status for event in events if (status := event.number("$response_status_code")) is not None]
    return Request(
        id=first("$request_id"),
        events=tuple(events),
        window=next((number for event in events if (number := _window(event, numbers))), 0),
        method=first("$request_method"),
        path=first("$request_path") or first("$pathname"),
        route=first("$request_route"),
        url=first("$current_url"),
        status=statuses[-1] if statuses else None,
    )


def _with_reason(request: Request, reason: str) -> Request:
    return Request(
        request.id, request.events, request.window, request.method, request.path, request.route, request.url,
        request.status, reason,
    )  # fmt: skip


def _request_url(event: StoredEvent) -> str:
    return event.text("$request_path") or urldefrag(event.text("$current_url")).url


def _cause(request: Request, browser: Sequence[StoredEvent], numbers: dict[str, int]) -> tuple[StoredEvent | None, str]:
    """Return the browser event that led to *request*, and the reason to think so.

    A page load is captured by the server before its page can say so: the pageview of the same URL,
    near in time, wins. Otherwise it is the last event of the same window that a person caused.
    """
    same_window = [event for event in browser if not request.window or _window(event, numbers) == request.window]
    if request.method in {"GET", ""} and request.url:
        address = urldefrag(request.url).url
        loads = [
            event
            for event in same_window
            if event.event == "$pageview"
            and urldefrag(event.text("$current_url")).url == address
            and abs(event.timestamp - request.at) <= _PAGE_LOAD_WITHIN
        ]
        if loads:
            return min(loads, key=lambda event: abs(event.timestamp - request.at)), "loaded this page"
    if not request.window and len(numbers) > 1:
        return None, ""  # no window named and several open: any choice would be a guess
    near = [
        event
        for event in same_window
        if event.event not in QUIET_EVENTS
        and event.event not in {"$identify", "$create_alias", "$exception"}
        and request.at - _CAUSE_WITHIN <= event.timestamp <= request.at + _CLOCK_TOLERANCE
    ]
    if not near:
        return None, ""
    reason = "same window, just before" if request.window else "the only window, just before"
    before = [event for event in near if event.timestamp <= request.at]
    # A browser's clock may run a little ahead: what it stamped after the request led to it only if
    # nothing did just before.
    if before and (len(before) == len(near) or request.at - before[-1].timestamp <= _JUST_BEFORE):
        return before[-1], reason
    return near[len(before)], reason


def _spaced(entries: Sequence[Entry]) -> Iterable[Entry]:
    previous: datetime | None = None
    acting = ""
    for entry in entries:
        since = None if previous is None else max(entry.at - previous, timedelta(0))
        idle = since if since is not None and since >= IDLE_AFTER else None
        source = entry.event if entry.event is not None else entry.requests[0].events[0]
        named = is_personal(source)
        identity = source.distinct_id if named and acting and source.distinct_id != acting else ""
        acting = source.distinct_id if named else acting
        yield Entry(entry.at, entry.side, entry.window, entry.event, entry.requests, since, idle, identity)
        previous = max([entry.at, *(event.timestamp for request in entry.requests for event in request.events)])
