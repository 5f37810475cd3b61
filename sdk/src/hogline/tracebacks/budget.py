"""The size of an exception list: what a reader needs least goes first, the crash site never."""

from collections.abc import Iterator
from typing import Any

__all__ = ["fit"]

_PER_FRAME_BYTES = 120  # keys, quotes and numbers around a frame's texts
_SHORT_VALUE_CHARACTERS = 500


def fit(entries: list[dict[str, Any]], max_bytes: int) -> list[dict[str, Any]]:
    """Return *entries* in about *max_bytes* of JSON.

    First the source around library frames goes, then around every frame but each entry's last, then frames from the
    middle of each stack, then long messages, then the entries at the end of the chain.
    """
    for lighten in (_without_library_source, _without_source, _without_middle, _with_short_values):
        if _size(entries) <= max_bytes:
            return entries
        for entry in entries:
            lighten(entry)
    while len(entries) > 1 and _size(entries) > max_bytes:
        entries.pop()
    return entries


def _frames(entry: dict[str, Any]) -> list[dict[str, Any]]:
    frames: list[dict[str, Any]] = entry.get("stacktrace", {}).get("frames", [])
    return frames


def _without_library_source(entry: dict[str, Any]) -> None:
    for frame in _frames(entry)[:-1]:
        if not frame.get("in_app"):
            frame["pre_context"], frame["post_context"] = [], []


def _without_source(entry: dict[str, Any]) -> None:
    for frame in _frames(entry)[:-1]:
        frame["pre_context"], frame["post_context"] = [], []


def _without_middle(entry: dict[str, Any]) -> None:
    frames = _frames(entry)
    if len(frames) > 20:
        frames[5:-15] = []


def _with_short_values(entry: dict[str, Any]) -> None:
    entry["value"] = entry["value"][:_SHORT_VALUE_CHARACTERS]


def _size(entries: list[dict[str, Any]]) -> int:
    return sum(_text_sizes(entries))


def _text_sizes(entries: list[dict[str, Any]]) -> Iterator[int]:
    for entry in entries:
        yield len(entry["value"]) + _PER_FRAME_BYTES
        for frame in _frames(entry):
            texts = (frame.get("filename"), frame.get("abs_path"), frame.get("context_line"))
            around = (*frame.get("pre_context", ()), *frame.get("post_context", ()))
            yield _PER_FRAME_BYTES + sum(len(text) + 3 for text in (*texts, *around) if text)
