"""`$exception_list` in its canonical order, bounded.

The outermost exception comes first, and each stack ends with the crash site.

Pure. Every value comes from clients, so each is checked before use.
Source: docs/internals/instance-protocol.md#the-exception-event.
"""

import re
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from hogline_instance.errors.frames import MAX_FRAMES, Resolve, cached_frames
from hogline_instance.events.person_ids import name_uuid

__all__ = ["BrokenListError", "canonical_list", "crash_is_first"]

MAX_EXCEPTIONS = 50
_MAX_VALUE = 10_000
_MAX_TYPE = 1_000
_MAX_LIST_FRAMES = 1_000
_NAMESPACE = UUID("6d9f2f9e-6d1c-4f0b-9a63-8a2e3d1c4b5a").bytes
# Libraries whose stacks begin with the crash site; since the version beside it, some begin with
# the entry point, as all others do.
_CRASH_FIRST: Mapping[str, tuple[int, int] | None] = {
    "posthog-android": None, "posthog-flutter": None, "posthog-elixir": None, "posthog-java": None, "posthog-server": None,
    "posthog-php": (4, 11), "posthog-go": (1, 19), "posthog-rs": (0, 19),
}  # fmt: skip
_CAUSE_FIRST = frozenset({"posthog-python"})
_MECHANISM = ("type", "handled", "synthetic", "exception_id", "parent_id", "source", "is_exception_group")


class BrokenListError(ValueError):
    """The list cannot be read, so the event belongs to no issue; the text says why."""


def crash_is_first(library: str, version: str) -> bool:
    """Return whether *library* sends the crash site as the first frame."""
    if library not in _CRASH_FIRST:
        return False
    fixed_in = _CRASH_FIRST[library]
    numbers = re.match(r"(\d+)\.(\d+)", version)
    return fixed_in is None or numbers is None or (int(numbers[1]), int(numbers[2])) < fixed_in


def canonical_list(properties: Mapping[str, Any], event_uuid: str, resolve: Resolve) -> list[dict[str, Any]]:
    """Return the normalised exceptions of an event.

    Raises BrokenListError: the list is missing, empty, or has an entry without a type.
    """
    entries = properties.get("$exception_list")
    if entries is None:
        raise BrokenListError("$exception_list is missing")
    if not isinstance(entries, list):
        raise BrokenListError(f"$exception_list must be an array, got {type(entries).__name__}")
    if not entries:
        raise BrokenListError("$exception_list is empty")
    library, version = str(properties.get("$lib") or ""), str(properties.get("$lib_version") or "")
    # Python sends the cause before the exception that it caused.
    ordered = entries[::-1] if library in _CAUSE_FIRST and not _is_outermost_first(entries) else entries
    reverse = crash_is_first(library, version)
    left = _MAX_LIST_FRAMES
    found = []
    for place, entry in enumerate(ordered[:MAX_EXCEPTIONS]):
        exception, count = _exception(
            entry, place, library, resolve, reverse=reverse, most_frames=min(left, MAX_FRAMES)
        )
        exception["id"] = name_uuid(_NAMESPACE, f"{event_uuid}/{place}")
        left -= count
        found.append(exception)
    return found


def _is_outermost_first(entries: list[Any]) -> bool:
    """Return whether the mechanisms say that the first entry is the root of the chain."""
    first = entries[0].get("mechanism") if isinstance(entries[0], dict) else None
    return isinstance(first, dict) and first.get("exception_id") == 0 and first.get("parent_id") is None


def _exception(
    entry: object, place: int, library: str, resolve: Resolve, *, reverse: bool, most_frames: int
) -> tuple[dict[str, Any], int]:
    if not isinstance(entry, dict):
        raise BrokenListError(f"$exception_list[{place}] must be an object, got {type(entry).__name__}")
    kind = entry.get("type")
    if not isinstance(kind, str) or not kind:
        raise BrokenListError(f"$exception_list[{place}] has no type")
    exception: dict[str, Any] = {"type": kind[:_MAX_TYPE], "value": _value(entry.get("value"))}
    if isinstance(entry.get("module"), str):
        exception["module"] = entry["module"][:_MAX_TYPE]
    if isinstance(entry.get("thread_id"), int):
        exception["thread_id"] = entry["thread_id"]
    mechanism = entry.get("mechanism")
    if isinstance(mechanism, dict):
        exception["mechanism"] = {
            name: value[:_MAX_TYPE] if isinstance(value, str) else value
            for name in _MECHANISM
            if isinstance(value := mechanism.get(name), (str, bool, int))
        }
    stack = entry.get("stacktrace")
    raw = stack.get("frames") if isinstance(stack, dict) else None
    if not isinstance(raw, list):
        return exception, 0
    frames = [frame for frame in raw if isinstance(frame, dict)]
    if reverse:
        frames.reverse()
    omitted = max(len(frames) - most_frames, 0)
    if omitted:
        # The frames next to the crash say most; after a deep recursion the others are repeats.
        frames = frames[omitted:]
    exception["stacktrace"] = {
        "type": "resolved",
        "frames": cached_frames(frames, library, resolve),
        **({"omitted_frames": omitted} if omitted else {}),
    }
    return exception, len(frames)


def _value(value: object) -> str:
    if value is None or isinstance(value, (dict, list)):
        return ""
    text = str(value)
    return text if len(text) <= _MAX_VALUE else text[:_MAX_VALUE] + "..."
