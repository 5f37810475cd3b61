"""A one-line summary of an event, for live rows, timeline entries and `hogline tail`. Pure."""

import json
from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit

from hogline_instance.events.event import StoredEvent

__all__ = [
    "QUIET_EVENTS",
    "Side",
    "Summary",
    "custom_preview",
    "headline",
    "is_personal",
    "page_path",
    "side_of",
    "summarize",
    "title_of",
]

Side = Literal["browser", "server", "other"]

# Events that no person caused and that are rarely read. They are shown muted, and are never taken
# for the cause of a request.
QUIET_EVENTS = frozenset(
    {"$pageleave", "$web_vitals", "$feature_flag_called", "$$heatmap", "$set", "$opt_in", "$groupidentify", "$snapshot"}
)
_BROWSER_LIBS = frozenset({"web", "js", "posthog-js", "posthog-js-lite"})
_SERVER_LIBS = frozenset(
    {
        "hogline", "posthog-python", "posthog-node", "posthog-go", "posthog-php", "posthog-ruby", "posthog-java",
        "posthog-dotnet", "posthog-elixir", "posthog-rs", "posthog-rust", "posthog-edge",
    }
)  # fmt: skip
_BROWSER_PROPERTIES = ("$pageview_id", "$screen_width", "$viewport_width", "$window_id")
_TITLES = {
    "$pageview": "Pageview",
    "$pageleave": "Left the page",
    "$screen": "Screen",
    "$identify": "Identified",
    "$create_alias": "Alias created",
    "$groupidentify": "Group identified",
    "$set": "Person properties set",
    "$web_vitals": "Web vitals",
    "$feature_flag_called": "Flag checked",
    "$rageclick": "Rage click",
    "$dead_click": "Dead click",
    "$opt_in": "Opted in",
}
_ACTIONS = {"click": "Clicked", "change": "Changed", "submit": "Submitted"}
_MAX_TITLE_CHARS = 200


@dataclass(frozen=True, slots=True)
class Summary:
    """The parts of a summary line.

    `status` is the response's status; `error` is 'Type: value' of an exception. `person` is the name
    of the person called `person_id`; both are empty when the event has none.
    """

    uuid: str
    event: str
    title: str
    distinct_id: str
    session_id: str
    timestamp: str
    side: Side
    method: str
    path: str
    status: int | None
    error: str
    person: str = ""
    person_id: str = ""


def summarize(event: StoredEvent) -> Summary:
    """Return the summary of *event*."""
    side = side_of(event)
    return Summary(
        uuid=event.uuid,
        event=event.event[:_MAX_TITLE_CHARS],
        title=title_of(event),
        distinct_id=event.distinct_id[:_MAX_TITLE_CHARS],
        session_id=event.session_id,
        timestamp=event.timestamp.isoformat(),
        side=side,
        method=event.text("$request_method")[:16],
        path=(event.text("$request_path") or page_path(event))[:500],
        status=event.status,
        error=_error(event),
    )


def is_personal(event: StoredEvent) -> bool:
    """Return whether its distinct id names a person or device, not a random id made by a server."""
    return side_of(event) == "browser" or event.properties.get("$process_person_profile") is not False


def side_of(event: StoredEvent) -> Side:
    """Return which side sent it.

    A server's events carry the browser's window id too, so the server's properties are checked
    first.
    """
    lib = event.text("$lib")
    if lib in _SERVER_LIBS or event.properties.get("$is_server") is True or "$request_method" in event.properties:
        return "server"
    if lib in _BROWSER_LIBS or any(name in event.properties for name in _BROWSER_PROPERTIES):
        return "browser"
    return "other"


def title_of(event: StoredEvent) -> str:
    """Return a readable name, such as 'Clicked "Add to cart"' for '$autocapture'."""
    if event.event == "$exception":
        kind, _ = headline(event)
        return kind[:_MAX_TITLE_CHARS]
    if event.event == "$autocapture":
        action = _ACTIONS.get(event.text("$event_type"), "Used")
        words = " ".join(event.text("$el_text").split())[:80]
        return f"{action} “{words}”" if words else f"{action} an element"
    if event.event == "$feature_flag_called" and (flag := event.text("$feature_flag")):
        return f"Flag checked: {flag}"[:_MAX_TITLE_CHARS]
    return _TITLES.get(event.event, event.event)[:_MAX_TITLE_CHARS]


def page_path(event: StoredEvent) -> str:
    """Return the path and query of `$current_url`, or `$pathname` if it is not a URL."""
    url = event.text("$current_url")
    try:
        parts = urlsplit(url)
    except ValueError:
        return url
    if not parts.netloc:
        return event.text("$pathname") or url
    return (parts.path or "/") + (f"?{parts.query}" if parts.query else "")


def custom_preview(event: StoredEvent, most: int = 4) -> tuple[tuple[str, str], ...]:
    """Return the first custom properties, short enough for one line."""
    chosen = [
        (name, value)
        for name, value in event.properties.items()
        if not name.startswith("$") and name not in {"token", "distinct_id"}
    ]
    return tuple((name[:60], _short(value)) for name, value in chosen[:most])


def headline(event: StoredEvent) -> tuple[str, str]:
    """Return (type, value) of the caught exception, from the current or the legacy properties."""
    entries = event.properties.get("$exception_list")
    first = entries[0] if isinstance(entries, list) and entries else None
    if isinstance(first, dict):
        return _text(first.get("type")) or "Error", _text(first.get("value"))
    return event.text("$exception_type") or "Error", event.text("$exception_message")


def _text(value: object) -> str:
    return "" if value is None or isinstance(value, (dict, list)) else str(value)[:10_000]


def _error(event: StoredEvent) -> str:
    if event.event != "$exception":
        return ""
    kind, value = headline(event)
    return (f"{kind}: {value}" if value else kind)[:500]


def _short(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    text = " ".join(text[:200].split())
    return text if len(text) <= 48 else text[:47] + "…"
