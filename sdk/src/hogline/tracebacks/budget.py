"""The size of an exception list.

The parts that a reader needs least are dropped first, the crash site never.
"""

from typing import Any

from hogline.tracebacks.frames import gap_frame
from hogline.wire.values import serialise

__all__ = ["fit"]

_SHORT_VALUE_CHARACTERS = 500


def fit(entries: list[dict[str, Any]], max_bytes: int) -> list[dict[str, Any]]:
    """Return *entries* in at most *max_bytes* of JSON.

    One exception with five frames is kept even if it is larger.

    The source around library frames is dropped first, then variables and source of every frame but
    each entry's last, then frames from the middle of each stack, then long messages, then the other
    variables, then all but five frames, then the entries at the end of the chain.
    """
    for lighten in (
        _without_library_source,
        _without_far_variables,
        _without_source,
        _without_middle,
        _with_short_value,
        _without_variables,
        _with_five_frames,
    ):
        if _size_bytes(entries) <= max_bytes:
            return entries
        for entry in entries:
            lighten(entry)
    while len(entries) > 1 and _size_bytes(entries) > max_bytes:
        entries.pop()
    return entries


def _size_bytes(entries: list[dict[str, Any]]) -> int:
    # Counting characters is no faster than orjson, and a character may be six bytes of JSON.
    return len(serialise({"": entries}))


def _frames(entry: dict[str, Any]) -> list[dict[str, Any]]:
    frames: list[dict[str, Any]] = entry.get("stacktrace", {}).get("frames", [])
    return frames


def _without_library_source(entry: dict[str, Any]) -> None:
    for frame in _frames(entry)[:-1]:
        if not frame["in_app"]:
            frame["pre_context"], frame["post_context"] = [], []


def _without_far_variables(entry: dict[str, Any]) -> None:
    for frame in _frames(entry)[:-1]:
        frame.pop("code_variables", None)


def _without_variables(entry: dict[str, Any]) -> None:
    for frame in _frames(entry):
        frame.pop("code_variables", None)


def _without_source(entry: dict[str, Any]) -> None:
    for frame in _frames(entry)[:-1]:
        frame["pre_context"], frame["post_context"] = [], []


def _without_middle(entry: dict[str, Any]) -> None:
    _keep_ends(_frames(entry), 5, 15)


def _with_five_frames(entry: dict[str, Any]) -> None:
    _keep_ends(_frames(entry), 1, 4)


def _keep_ends(frames: list[dict[str, Any]], first: int, last: int) -> None:
    if len(frames) > first + last + 1:  # the gap itself is a frame
        middle = frames[first:-last]
        frames[first:-last] = [gap_frame(sum(frame.get("left_out", 1) for frame in middle))]


def _with_short_value(entry: dict[str, Any]) -> None:
    if len(entry["value"]) > _SHORT_VALUE_CHARACTERS:
        entry["value"] = entry["value"][: _SHORT_VALUE_CHARACTERS - 3] + "..."
