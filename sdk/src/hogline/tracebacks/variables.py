"""The values of variables in the app's own frames.

They are masked, and bounded in bytes and in time.

No code of a value is called, no `__repr__`, no property, no `__len__`: values are read past their
classes, with the interpreter's own methods. Source of the shapes:
docs/internals/capture-protocol.md#code-variables.
"""

import re
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from types import FrameType
from typing import Any

from hogline.tracebacks.frames import Kept
from hogline.tracebacks.masks import REDACTED, Masks
from hogline.tracebacks.values import TooLate, ValueReader, is_definition
from hogline.wire.values import serialise

__all__ = ["Variables", "fill"]

_MAX_NAMES = 200  # variables of one frame that are looked at
_MIN_FRAME_BYTES = 1024
_MIN_VARIABLE_BYTES = 16
_MAX_MISFITS = 10
_NAME = re.compile(r"[^\W\d]\w*")


def _kind_of_locals() -> type:
    return type(sys._getframe().f_locals)  # noqa: SLF001 - a dict until Python 3.13, a view from then on


_LOCALS: Any = _kind_of_locals()


@dataclass(frozen=True, slots=True)
class Variables:
    """Rules of which variables an event shows."""

    masks: Masks
    max_bytes: int
    """JSON of all variables of one exception list."""
    max_seconds: float
    """Variables that are not read by then are left out."""
    is_worth: Callable[[list[dict[str, Any]]], bool] = lambda _entries: True
    """The function that is called with the list without variables.

    In a storm of one exception, most events are dropped, and reading variables for them is wasted.
    """


def fill(stacks: Iterable[Kept], rules: Variables, clock: Callable[[], float] = time.monotonic) -> None:
    """Put `code_variables` on the app's own frames of *stacks*.

    Crash sites come first, then the frames further away from them.

    One frame gets at most half of the bytes and of the time that are left, so that it cannot starve
    the others.
    """
    frames = sorted(
        (
            (distance, number, frame, described)
            for number, kept in enumerate(stacks)
            for distance, (frame, described) in enumerate(item for item in reversed(kept) if item[1]["in_app"])
        ),
        key=lambda item: item[:2],
    )
    deadline_s = clock() + rules.max_seconds
    reader = ValueReader(rules.masks, clock, deadline_s)
    left_bytes = rules.max_bytes
    # A frame that two exceptions passed through is read once.
    known: dict[int, tuple[dict[str, Any], int]] = {}
    for _, _, frame, described in frames:
        now_s = clock()
        if left_bytes < _MIN_VARIABLE_BYTES or now_s > deadline_s:
            return
        if id(frame) not in known:
            reader.deadline_s = now_s + (deadline_s - now_s) / 2
            known[id(frame)] = _read(frame, described, reader, min(left_bytes, max(left_bytes // 2, _MIN_FRAME_BYTES)))
        variables, size_bytes = known[id(frame)]
        if variables and size_bytes <= left_bytes:
            described["code_variables"] = variables
            left_bytes -= size_bytes


def _read(
    frame: FrameType, described: Mapping[str, Any], reader: ValueReader, room_bytes: int
) -> tuple[dict[str, Any], int]:
    """Return the variables of *frame* and their size as JSON.

    Variables that do not fit, or come too late, are left out.
    """
    held = frame.f_locals  # once: each look at it copies a function's variables
    is_module = frame.f_code.co_name == "<module>" or held is frame.f_globals
    names = _named(frame.f_globals, described) if is_module else _locals(held)
    variables: dict[str, Any] = {}
    used_bytes = misfits = 0
    for name, value in _ordered(islice(names, _MAX_NAMES), reader.masks, with_definitions=not is_module):
        try:
            shown = REDACTED if reader.masks.hides_name(name) else reader.read(value)
        except TooLate:
            break
        size_bytes = len(serialise({name: shown}))
        if used_bytes + size_bytes <= room_bytes:
            variables[name] = shown
            used_bytes += size_bytes
        else:
            misfits += 1  # a smaller one may still fit; reading all of them only to see takes time
            if misfits >= _MAX_MISFITS or room_bytes - used_bytes < _MIN_VARIABLE_BYTES:
                break
    return variables, used_bytes


def _ordered(names: Iterable[tuple[Any, Any]], masks: Masks, *, with_definitions: bool) -> list[tuple[str, Any]]:
    """Return the variables to show, in the frame's order.

    Functions, classes and modules help least; they come last or not at all.
    """
    data: list[tuple[str, Any]] = []
    definitions: list[tuple[str, Any]] = []
    for name, value in names:
        if type(name) is str and not name.startswith(".") and not masks.ignores(name):
            (definitions if is_definition(value) else data).append((name, value))
    return data + definitions if with_definitions else data


def _locals(held: Any) -> Iterator[tuple[Any, Any]]:
    kind: Any = type(held)
    if kind is _LOCALS:
        held = dict(held)
    # exec() and a metaclass's __prepare__ may put any mapping here; only what is a dict is read.
    return iter(tuple(islice(dict.items(held), _MAX_NAMES))) if isinstance(held, dict) else iter(())


def _named(held: Any, described: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield the globals that the lines up to the crash mention.

    A module's whole namespace would bury them.
    """
    lines = "\n".join([*described["pre_context"], described["context_line"] or ""])
    for name in dict.fromkeys(_NAME.findall(lines)):
        if dict.__contains__(held, name):
            yield name, dict.__getitem__(held, name)
