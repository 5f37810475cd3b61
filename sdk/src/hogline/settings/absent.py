"""Options of posthog-python that Hogline does not have, and what to do instead.

A value that asks for what happens anyway is accepted, so that code runs with only its import changed.
"""

from collections.abc import Mapping
from typing import Any

__all__ = ["ABSENT", "without_absent"]

_AI = "it is about AI products"
_EMAIL = "e-mail is out of scope"
ABSENT = {
    "sync_mode": "call flush(); where a process may freeze, spool_dir keeps the queued events",
    "thread": "one thread sends, and keeps the order",
    "privacy_mode": _AI,
    "enable_full_ai_capture": _AI,
    "metrics": "use OpenTelemetry for metrics",
    "traces": "use OpenTelemetry for traces; capture_trace_context puts its ids on events",
    "app_host": _EMAIL,
    "email_request_timeout_seconds": _EMAIL,
    "email_request_max_retries": _EMAIL,
}


def without_absent(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return *options* without those of `ABSENT` that ask for nothing.

    Raises TypeError: one asks for something; the message says what to do instead.
    """
    for name, value in options.items():
        if name in ABSENT and not _asks_for_nothing(name, value):
            raise TypeError(f"PostHog() has no option {name!r}: {ABSENT[name]}")
    return {name: value for name, value in options.items() if name not in ABSENT}


def _asks_for_nothing(name: str, value: object) -> bool:
    """Return whether *value* is empty, is about mails that are never sent, or is `thread=1`."""
    return not value or ABSENT[name] is _EMAIL or (name == "thread" and value == 1)
