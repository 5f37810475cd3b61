"""Frames by their `raw_id`, with their source lines, found in recent events.

Source: docs/internals/instance-protocol.md#frames-by-platform.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from hogline_instance.errors.issue_json import iso
from hogline_instance.errors.queries import event_sample
from hogline_instance.events.event import StoredEvent
from hogline_instance.store import Store

__all__ = ["frames_by_id"]

_MAX_EVENTS = 100
_MAX_LINE = 300
# Contents of a frame are its normalised fields.
_CONTENTS = (
    "raw_id", "mangled_name", "line", "column", "source", "module", "in_app", "resolved_name", "lang", "resolved",
    "resolve_failure", "synthetic", "suspicious", "code_variables",
)  # fmt: skip


def frames_by_id(
    store: Store, project_id: int, raw_ids: Sequence[str], symbol_set: object = None
) -> list[dict[str, Any]]:
    """Return the frames with these ids, or those of a symbol set, each once."""
    needles = [f'"{each}"' for each in raw_ids if each and '"' not in each]
    if isinstance(symbol_set, str) and symbol_set:
        needles = [f'"{symbol_set}"']
    if not needles:
        return []
    found: dict[str, dict[str, Any]] = {}
    for event in event_sample(store, project_id, needles, limit=_MAX_EVENTS):
        for frame in _frames(event):
            raw_id = str(frame.get("raw_id"))
            if raw_id not in found and (raw_id in raw_ids or (symbol_set and frame.get("chunk_id") == symbol_set)):
                found[raw_id] = _record(raw_id, frame, event)
    return [found[each] for each in raw_ids if each in found] or list(found.values())


def _frames(event: StoredEvent) -> list[dict[str, Any]]:
    entries = event.properties.get("$exception_list")
    stacks = [each.get("stacktrace") for each in entries if isinstance(each, dict)] if isinstance(entries, list) else []
    return [
        frame
        for stack in stacks
        if isinstance(stack, dict) and isinstance(stack.get("frames"), list)
        for frame in stack["frames"]
        if isinstance(frame, dict)
    ]


def _record(raw_id: str, frame: Mapping[str, Any], event: StoredEvent) -> dict[str, Any]:
    return {
        "id": raw_id,
        "raw_id": raw_id,
        "created_at": iso(event.timestamp),
        "contents": {name: frame[name] for name in _CONTENTS if name in frame},
        "resolved": frame.get("resolved") is True,
        "context": _context(frame),
        "release": None,
        "symbol_set_ref": frame.get("chunk_id"),
    }


def _context(frame: Mapping[str, Any]) -> dict[str, Any] | None:
    current, line = frame.get("context_line"), frame.get("line")
    if not isinstance(current, str) or not isinstance(line, int):
        return None
    before, after = (_texts(frame.get(name)) for name in ("pre_context", "post_context"))
    return {
        # The nearest line comes first.
        "before": [{"number": line - 1 - at, "line": _cut(text)} for at, text in enumerate(reversed(before))],
        "line": {"number": line, "line": _cut(current)},
        "after": [{"number": line + 1 + at, "line": _cut(text)} for at, text in enumerate(after)],
    }


def _texts(value: object) -> list[str]:
    return [each for each in value if isinstance(each, str)] if isinstance(value, list) else []


def _cut(text: str) -> str:
    return text if len(text) <= _MAX_LINE else text[:_MAX_LINE] + "...✂️"
