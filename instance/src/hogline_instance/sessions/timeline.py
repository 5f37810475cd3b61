"""The timeline of a session: browser and server events by time, each request under its cause.

Pure. The events that share a `$request_id` form a server request; without one, the events with the
same method, URL and window that are close in time. The cause is inferred; `Request.reason` gives
the grounds.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

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
# Events that cause no request: no person caused them, or they only identify the person.
_NO_CAUSES = QUIET_EVENTS | {"$identify", "$create_alias", "$exception"}


@dataclass(frozen=True, slots=True)
class Window:
    """One browser tab, numbered in the order the session opened them."""

    number: int
    id: str
    first_seen: datetime
    last_seen: datetime


@dataclass(frozen=True, slots=True)
class Request:
    """The events captured in one server request.

    `reason` says why it is shown under its browser event ('' when it stands alone).
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
        """The time of its first event."""
        return self.events[0].timestamp

    @property
    def failed(self) -> bool:
        """True when an exception was captured in it or it answered 5xx."""
        return (self.status or 0) >= 500 or any(event.event == "$exception" for event in self.events)


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry: a browser event with the requests it caused, a request, or another event.

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
        """True when this entry or one of its requests has an exception."""
        own = self.event is not None and self.event.event == "$exception"
        return own or any(request.failed for request in self.requests)


@dataclass(frozen=True, slots=True)
class Timeline:
    """The entries of a session, oldest first."""

    windows: tuple[Window, ...]
    entries: tuple[Entry, ...]
    events: tuple[StoredEvent, ...]


@dataclass(slots=True)
class _Open:
    """A request or an entry under construction."""

    events: list[StoredEvent]
    requests: list[Request] = field(default_factory=list)


def build_timeline(events: Iterable[StoredEvent]) -> Timeline:
    """Return the timeline of one session's events, given in any order."""
    ordered = tuple(sorted(events, key=lambda event: (event.timestamp, event.uuid)))
    windows = _windows(ordered)
    numbers = {window.id: window.number for window in windows}
    causes = _Causes([event for event in ordered if side_of(event) == "browser"], numbers)
    under: dict[str, list[Request]] = {}
    alone: list[Request] = []
    for request in _requests(ordered, numbers):
        cause, reason = causes.of(request)
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

    statuses = [status for event in events if (status := event.status) is not None]
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
    return event.text("$request_path") or _without_fragment(event.text("$current_url"))


def _without_fragment(url: str) -> str:
    # Not `urldefrag`: clients may send a text that is not a URL, for which it raises.
    return url.partition("#")[0]


def _when(event: StoredEvent) -> datetime:
    return event.timestamp


class _Causes:
    """The browser events of a session, sorted so that a request's cause is found by bisection.

    Key 0 holds the events of all windows, for requests that name none.
    """

    def __init__(self, browser: Sequence[StoredEvent], numbers: dict[str, int]) -> None:
        self._several_windows = len(numbers) > 1
        self._loads: dict[tuple[int, str], list[StoredEvent]] = {}
        self._actions: dict[int, list[StoredEvent]] = {}
        for event in browser:
            for window in {0, _window(event, numbers)}:
                if event.event == "$pageview":
                    address = _without_fragment(event.text("$current_url"))
                    self._loads.setdefault((window, address), []).append(event)
                if event.event not in _NO_CAUSES:
                    self._actions.setdefault(window, []).append(event)

    def of(self, request: Request) -> tuple[StoredEvent | None, str]:
        """Return the browser event that probably caused *request*, and the grounds for it.

        The server captures a page load before the page can send its pageview, so the pageview of
        the same URL that is near in time wins. Otherwise it is the last event of the same window
        that a person caused.
        """
        if request.method in {"GET", ""} and request.url:
            load = self._nearest_load(request)
            if load is not None:
                return load, "loaded this page"
        if not request.window and self._several_windows:
            return None, ""  # the request names no window and several are open: any choice would be a guess
        cause = self._last_action(request)
        if cause is None:
            return None, ""
        return cause, "same window, just before" if request.window else "the only window, just before"

    def _nearest_load(self, request: Request) -> StoredEvent | None:
        loads = self._loads.get((request.window, _without_fragment(request.url)), [])
        place = bisect_left(loads, request.at, key=_when)
        near = loads[max(0, place - 1) : place + 1]
        nearest = min(near, key=lambda event: abs(event.timestamp - request.at), default=None)
        if nearest is None or abs(nearest.timestamp - request.at) > _PAGE_LOAD_WITHIN:
            return None
        return nearest

    def _last_action(self, request: Request) -> StoredEvent | None:
        actions = self._actions.get(request.window, [])
        begin = bisect_left(actions, request.at - _CAUSE_WITHIN, key=_when)
        now = bisect_right(actions, request.at, key=_when)
        end = bisect_right(actions, request.at + _CLOCK_TOLERANCE, key=_when)
        if begin == end:
            return None
        # A browser's clock may run a little ahead: an event stamped after the request is taken for
        # its cause only if no event came just before.
        if now > begin and (now == end or request.at - actions[now - 1].timestamp <= _JUST_BEFORE):
            return actions[now - 1]
        return actions[now]


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
