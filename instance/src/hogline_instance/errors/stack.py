"""`$exception_list` in reading order: the caught exception, its crash site on top, then its causes.

Pure. Every value in the list comes from clients, so each is checked and bounded before use.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from hogline_instance.errors.exception_list import crash_is_first
from hogline_instance.errors.frames import Resolve, normalised_frame
from hogline_instance.events.event import StoredEvent

__all__ = ["Failure", "Frame", "FrameRun", "SourceLine", "failures", "resolve_again"]

_MAX_FAILURES = 50
_MAX_FRAMES = 250
_MAX_CONTEXT_LINES = 10
_MAX_LINE_CHARS = 1_000
_MAX_VARIABLES = 50


@dataclass(frozen=True, slots=True)
class SourceLine:
    """One line of source; number 0 when the frame has no line number."""

    number: int
    text: str
    is_current: bool


@dataclass(frozen=True, slots=True)
class Frame:
    """One call. `source` is empty when the SDK sent none."""

    file: str
    function: str
    module: str
    line: int | None
    column: int | None
    in_app: bool
    source: tuple[SourceLine, ...]
    variables: tuple[tuple[str, str], ...] = ()
    note: str = ""
    """Why the frame shows no original names."""


@dataclass(frozen=True, slots=True)
class FrameRun:
    """Adjacent frames of one kind: the application's, or a library's (shown folded)."""

    in_app: bool
    frames: tuple[Frame, ...]


@dataclass(frozen=True, slots=True)
class Failure:
    """One exception of the chain.

    `relation` is its relation to the one before: cause, context, member or ''.
    """

    type: str
    value: str
    module: str
    handled: bool | None
    mechanism: str
    relation: str
    runs: tuple[FrameRun, ...]


def failures(event: StoredEvent) -> tuple[Failure, ...]:
    """Return the chain of an `$exception` event, outermost first; it is empty without a list."""
    entries = event.properties.get("$exception_list")
    if not isinstance(entries, list):
        return ()
    # A stack with fields of normalised frames is in canonical order already.
    crash_first = crash_is_first(event.text("$lib"), event.text("$lib_version"))
    return tuple(
        _failure(entry, crash_first=crash_first) for entry in entries[:_MAX_FAILURES] if isinstance(entry, dict)
    )


def resolve_again(event: StoredEvent, resolve: Resolve) -> None:
    """Look up the frames of *event* that no map resolved when it came; its stored row stays."""
    entries = event.properties.get("$exception_list")
    library = event.text("$lib")
    for entry in entries[:_MAX_FAILURES] if isinstance(entries, list) else ():
        stack = entry.get("stacktrace") if isinstance(entry, dict) else None
        frames = stack.get("frames") if isinstance(stack, dict) else None
        for place, frame in enumerate(frames if isinstance(frames, list) else ()):
            if isinstance(frame, dict) and frame.get("resolve_failure"):
                frames[place] = normalised_frame(frame, library, resolve)  # type: ignore[index]


def _failure(entry: Mapping[str, object], *, crash_first: bool) -> Failure:
    mechanism = entry.get("mechanism")
    facts: Mapping[str, object] = mechanism if isinstance(mechanism, dict) else {}
    handled = facts.get("handled")
    stacktrace = entry.get("stacktrace")
    raw = stacktrace.get("frames") if isinstance(stacktrace, dict) else None
    # The limit keeps the frames next to the crash: after a deep recursion the other frames are
    # repeats.
    listed = [frame for frame in raw if isinstance(frame, dict)] if isinstance(raw, list) else []
    crash_first = crash_first and not (listed and "raw_id" in listed[0])
    frames = [_frame(frame) for frame in (listed[:_MAX_FRAMES] if crash_first else listed[: -_MAX_FRAMES - 1 : -1])]
    return Failure(
        type=_text(entry.get("type")) or "Error",
        value=_text(entry.get("value")),
        module=_text(entry.get("module")),
        handled=handled if isinstance(handled, bool) else None,
        mechanism=_text(facts.get("type")),
        relation=_text(facts.get("source")),
        runs=tuple(FrameRun(in_app, tuple(run)) for in_app, run in groupby(frames, key=lambda frame: frame.in_app)),
    )


def _frame(raw: Mapping[str, object]) -> Frame:
    is_normalised = "raw_id" in raw
    line = _integer(raw.get("line" if is_normalised else "lineno"))
    return Frame(
        file=_text(raw.get("source")) or _text(raw.get("filename")) or _text(raw.get("abs_path")) or "<unknown>",
        function=_text(raw.get("resolved_name")) or _text(raw.get("function")) or "<unknown>",
        module=_text(raw.get("module")),
        line=line,
        column=_integer(raw.get("column" if is_normalised else "colno")),
        in_app=raw.get("in_app") is True,
        source=_source(raw, line or 0),
        variables=_variables(raw.get("code_variables")),
        note=_text(raw.get("resolve_failure")),
    )


def _variables(value: object) -> tuple[tuple[str, str], ...]:
    if not isinstance(value, dict):
        return ()
    return tuple(
        (name[:200], (text if isinstance(text, str) else json.dumps(text, default=str))[:_MAX_LINE_CHARS])
        for name, text in list(value.items())[:_MAX_VARIABLES]
    )


def _source(raw: Mapping[str, object], line: int) -> tuple[SourceLine, ...]:
    current = raw.get("context_line")
    if not isinstance(current, str):
        return ()
    before, after = (
        _lines(raw.get("pre_context"))[-_MAX_CONTEXT_LINES:],
        _lines(raw.get("post_context"))[:_MAX_CONTEXT_LINES],
    )
    numbered = line > 0
    listed = [
        SourceLine(line - len(before) + at if numbered else 0, text, is_current=False) for at, text in enumerate(before)
    ]
    listed.append(SourceLine(line, current[:_MAX_LINE_CHARS].rstrip("\n"), is_current=True))
    listed += [SourceLine(line + 1 + at if numbered else 0, text, is_current=False) for at, text in enumerate(after)]
    return tuple(listed)


def _lines(value: object) -> Sequence[str]:
    return (
        [line[:_MAX_LINE_CHARS].rstrip("\n") for line in value if isinstance(line, str)]
        if isinstance(value, list)
        else []
    )


def _text(value: object) -> str:
    if value is None or isinstance(value, (dict, list)):
        return ""
    return str(value)[:10_000]


def _integer(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**53 else None
