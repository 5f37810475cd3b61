"""posthog-js's tracing headers and first-party cookie.

They name the session, person and window of a request.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

import orjson

__all__ = [
    "DISTINCT_ID",
    "SESSION_ID",
    "WINDOW_ID",
    "CookieIdentity",
    "as_latin1",
    "clean",
    "cookie_identity",
    "latin1_headers",
    "split_joined",
    "usable",
]

SESSION_ID = "x-posthog-session-id"
DISTINCT_ID = "x-posthog-distinct-id"
WINDOW_ID = "x-posthog-window-id"

_MAX_CHARACTERS = 1000  # docs/internals/capture-protocol.md#tracing-headers
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_PLAIN_ID = re.compile(r"[\w.@:+-]+")
# posthog-js ends a session after half an hour without activity, and after a day at most.
_IDLE_S = 30 * 60
_LONGEST_S = 24 * 60 * 60
_MAX_COOKIE_CHARACTERS = 16_384


def usable(values: Iterable[str]) -> str | None:
    """Return the first of *values* that is not empty after cleaning."""
    return next(filter(None, map(clean, values)), None)


def clean(value: str) -> str | None:
    """Return *value* trimmed, without control characters, at most 1000 characters long.

    Returns None if nothing is left.
    """
    if value.isprintable() and 0 < len(value) <= _MAX_CHARACTERS and value[0] != " " != value[-1]:
        return value
    return _CONTROL.sub("", value).strip()[:_MAX_CHARACTERS].rstrip() or None


def as_latin1(value: str) -> str:
    """Return a header's *value* as latin-1.

    A framework decoded it as UTF-8, with surrogates for other bytes.
    """
    return value if value.isascii() else value.encode("utf-8", "surrogateescape").decode("latin-1")


def latin1_headers(headers: Any, name: str) -> list[str]:
    """Return the values of header *name* as latin-1.

    They come from a framework's multi-dictionary with `getall`.
    """
    return [as_latin1(value) for value in headers.getall(name, ())]


def split_joined(value: str) -> list[str]:
    """Return the parts of a header that a WSGI server joined with commas.

    An id with a comma in it stays whole.

    Source: docs/internals/frameworks.md#header-facts: split only when every part is a plain id.
    """
    if "," not in value:
        return [value]
    parts = [part.strip() for part in value.split(",")]
    return parts if all(_PLAIN_ID.fullmatch(part) for part in parts if part) else [value]


@dataclass(frozen=True, slots=True)
class CookieIdentity:
    """The live session in posthog-js's cookie, and the person if identified."""

    session_id: str | None = None
    distinct_id: str | None = None


def cookie_identity(header: str, project_token: str, now_s: float, idle_s: float = _IDLE_S) -> CookieIdentity:
    """Return the session and the identified person in a `Cookie` header.

    posthog-js would see the same ones at *now_s*.

    Source: docs/internals/capture-protocol.md#tracing-headers: idle and maximum session length,
    identified persons only, consent respected.
    """
    if len(header) > _MAX_COOKIE_CHARACTERS:
        return CookieIdentity()
    consent = _cookie(header, f"__ph_opt_in_out_{project_token}")
    stored = _cookie(header, f"ph_{project_token}_posthog")
    if stored is None or (consent is not None and consent.lower() in ("0", "no", "false")):
        return CookieIdentity()
    try:
        state = orjson.loads(unquote(stored))
    except (ValueError, TypeError):
        return CookieIdentity()
    if not isinstance(state, dict):
        return CookieIdentity()
    person = state.get("distinct_id") if state.get("$user_state") == "identified" else None
    return CookieIdentity(
        session_id=_live_session(state.get("$sesid"), now_s * 1000, idle_s * 1000),
        distinct_id=usable([person]) if isinstance(person, str) else None,
    )


def _cookie(header: str, name: str) -> str | None:
    """Return the first cookie of that *name*.

    The standard library's parser drops all cookies for one bad one.
    """
    for part in header.split(";"):
        key, equals, value = part.partition("=")
        if equals and key.strip() == name:
            return value.strip().strip('"')
    return None


def _live_session(stored: Any, now_ms: float, idle_ms: float) -> str | None:
    """Return the id in `[lastActivity, id, start]` (milliseconds) while the session lasts."""
    match stored:
        case [int() | float() as active_ms, str() as identity, int() | float() as start_ms]:
            alive = now_ms - active_ms <= idle_ms and now_ms - start_ms <= _LONGEST_S * 1000
            return usable([identity]) if alive else None
    return None
