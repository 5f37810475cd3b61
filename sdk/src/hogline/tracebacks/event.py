"""The properties of an exception event besides its list.

They say how bad it is. The caller may not set those that are reserved.
"""

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

__all__ = ["RESERVED", "fingerprint", "level_of", "with_own_words"]

_LEVELS = {
    "fatal": "fatal", "critical": "fatal", "alert": "fatal", "emergency": "fatal",
    "error": "error", "warning": "warning", "warn": "warning", "log": "log", "info": "info", "notice": "info",
    "debug": "debug", "trace": "debug",
}  # fmt: skip
# Properties that the SDK sets, or that the server derives.
# Source: docs/internals/capture-protocol.md#exception-properties.
RESERVED = frozenset(
    {
        "$cymbal_errors", "$debug_images", "$exception_functions", "$exception_fingerprint_record",
        "$exception_fingerprint_version", "$exception_handled", "$exception_issue_id", "$exception_list", "$exception_release",
        "$exception_source", "$exception_sources", "$exception_types", "$exception_values",
    }
)  # fmt: skip
_MAX_FINGERPRINT_ENTRIES = 10


def level_of(word: Any) -> str | None:
    """Return PostHog's level for *word* or one of its aliases.

    Case does not count. The result is None where *word* is neither.
    """
    return _LEVELS.get(word.strip().lower()) if isinstance(word, str) else None


def with_own_words(said: Mapping[str, Any], *, level: str) -> dict[str, Any]:
    """Return the properties *said* without the reserved ones.

    A level of the caller's wins over *level*; it is translated to PostHog's words.
    """
    own = {name: value for name, value in said.items() if name not in RESERVED}
    own["$exception_level"] = level_of(own.get("$exception_level")) or level
    forced = own.get("$exception_fingerprint")
    if forced is not None and not isinstance(forced, str):
        own["$exception_fingerprint"] = str(forced)
    return own


def fingerprint(entries: Sequence[Mapping[str, Any]], forced: Any = None) -> Hashable:
    """Return what makes two exceptions the same mistake.

    It is the caller's own text, else the types and places along the chain.

    The place of an exception is where it was raised, and the last line of the app's own code on the
    way there.
    """
    if isinstance(forced, str) and forced:
        return forced
    return tuple(
        (entry["module"], entry["type"], *_places(entry.get("stacktrace", {}).get("frames", ())))
        for entry in entries[:_MAX_FINGERPRINT_ENTRIES]
    )


def _places(frames: Sequence[Mapping[str, Any]]) -> tuple[Hashable, ...]:
    if not frames:
        return ()
    own = next((frame for frame in reversed(frames) if frame["in_app"]), frames[-1])
    return tuple((frame["filename"], frame["function"], frame["lineno"]) for frame in (frames[-1], own))
