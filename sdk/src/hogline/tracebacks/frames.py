"""Frames: places in the code, and the lines around them."""

import functools
import linecache
import sys
from collections import deque
from collections.abc import Iterable, Iterator
from itertools import islice
from types import CodeType, FrameType, TracebackType
from typing import Any, TypeAlias

from hogline.redaction.texts import redacted_source_line
from hogline.tracebacks.rules import Rules, place

__all__ = ["Kept", "cut", "frames_of", "gap_frame", "own_stack", "syntax_error_frame"]

_MAX_LINE_CHARACTERS = 1024  # docs/internals/capture-protocol.md#frames
_CUT = "..."
# The server reads line numbers as 32 bits, and loses the whole event over a larger one.
_MAX_NUMBER = 2**31
_OWN_MODULE = "hogline"
_LOGGING_MODULE = "logging"
_HIDING = ("__tracebackhide__", "__traceback_hide__")
_SYNTAX_ERROR_SLOTS = [SyntaxError.__dict__[name].__get__ for name in ("filename", "lineno", "offset", "text")]
# Finding one column walks the whole function before it. Holding the code keeps its id its own.
_columns: dict[tuple[int, int], tuple[CodeType, int | None]] = {}
_MAX_COLUMNS = 2048


Kept: TypeAlias = list[tuple[FrameType, dict[str, Any]]]
"""Frames of one exception, outermost first.

Each stands here as the interpreter has it, and as the event describes it.
"""


def frames_of(trace: TracebackType | None, rules: Rules, kept: Kept | None = None) -> list[dict[str, Any]]:
    """Return *trace* as frames, outermost first, the crash site last.

    The interpreter's frames are added to *kept*.
    """
    return _rendered(_raised_through(trace), rules, kept)


def own_stack(rules: Rules, kept: Kept | None = None) -> list[dict[str, Any]]:
    """Return the stack of the code that called Hogline, or logged.

    An exception that was never raised has no other stack.
    """
    frame: FrameType | None = sys._getframe(1)  # noqa: SLF001 - the documented way to the caller's frame
    stack: list[FrameType] = []
    while frame is not None:
        if stack or not (_is_of(frame, _OWN_MODULE, _LOGGING_MODULE) or _patches_logging(frame, rules)):
            stack.append(frame)
        frame = frame.f_back
    return _rendered(((frame, frame.f_lineno, frame.f_lasti) for frame in reversed(stack)), rules, kept)


def syntax_error_frame(error: BaseException, rules: Rules) -> dict[str, Any] | None:
    """Return the place that a SyntaxError names, if it names one.

    The mistake is in a file that never ran.
    """
    filename, line_number, column, text = (read(error) for read in _SYNTAX_ERROR_SLOTS)
    if type(filename) is not str or not _is_position(line_number):
        return None
    frame = _described("<module>", filename, None, line_number, _lines(filename, None, None), rules)
    if _is_position(column):
        frame["colno"] = column
    if frame["context_line"] is None and type(text) is str and text:
        frame["context_line"] = _shown_line(text) if rules.redact_messages else cut(text)
    return frame


def gap_frame(left_out: int) -> dict[str, Any]:
    """Return the frame that replaces *left_out* frames.

    Its name is constant: PostHog groups exceptions into issues by functions' names, and the depth
    of a recursion makes no other issue.
    """
    return {
        "platform": "python",
        "filename": "...",
        "abs_path": "...",
        "function": "<frames left out>",
        "module": None,
        "lineno": None,
        "context_line": f"{left_out} frames left out",
        "pre_context": [],
        "post_context": [],
        "in_app": False,
        "left_out": left_out,
    }


def cut(line: str) -> str:
    """Return *line* without its end, in at most 1024 characters."""
    line = line.rstrip("\r\n")
    return line if len(line) <= _MAX_LINE_CHARACTERS else line[: _MAX_LINE_CHARACTERS - len(_CUT)] + _CUT


def _raised_through(trace: TracebackType | None) -> Iterator[tuple[FrameType, int | None, int]]:
    while trace is not None:
        yield trace.tb_frame, trace.tb_lineno, trace.tb_lasti
        trace = trace.tb_next


def _rendered(
    stack: Iterable[tuple[FrameType, int | None, int]], rules: Rules, kept: Kept | None
) -> list[dict[str, Any]]:
    half = rules.max_frames // 2
    first: list[tuple[FrameType, int | None, int]] = []
    last: deque[tuple[FrameType, int | None, int]] = deque(maxlen=rules.max_frames - half)
    count = 0
    for item in stack:
        if not _is_hidden(item[0]):
            count += 1
            (first if count <= half else last).append(item)
    left_out = count - len(first) - len(last)
    gap = [gap_frame(left_out)] if left_out else []
    outer, inner = ([_frame(*item, rules) for item in part] for part in (first, last))
    if kept is not None:
        kept += zip((item[0] for item in (*first, *last)), (*outer, *inner), strict=True)
    return [*outer, *gap, *inner]


def _module_name(frame: FrameType) -> str | None:
    # exec() takes subclasses of dict as globals, and texts that are no plain str as names.
    module = dict.get(frame.f_globals, "__name__")
    return module if type(module) is str else None


def _is_of(frame: FrameType, *packages: str) -> bool:
    module = _module_name(frame)
    return module is not None and module.partition(".")[0] in packages


def _patches_logging(frame: FrameType, rules: Rules) -> bool:
    """Return whether another library's *frame* stands between frames of `logging`.

    Sentry's does.
    """
    outer = frame.f_back
    if outer is None or not _is_of(outer, _LOGGING_MODULE):
        return False
    return not place(frame.f_code.co_filename, _module_name(frame), rules)[2]


def _is_hidden(frame: FrameType) -> bool:
    if _is_of(frame, _OWN_MODULE):
        return True
    names = frame.f_code.co_varnames
    # f_locals copies every variable; the names tell first whether that is worth it.
    return any(name in names and _is_true(frame.f_locals.get(name)) for name in _HIDING)


def _is_true(value: object) -> bool:
    try:
        return bool(value)
    except Exception:  # a class of the app may raise in its __bool__
        return False


def _frame(frame: FrameType, line_number: int | None, instruction: int, rules: Rules) -> dict[str, Any]:
    code, module = frame.f_code, _module_name(frame)
    lines = _lines(code.co_filename, module, dict.get(frame.f_globals, "__loader__"))
    described = _described(code.co_name, code.co_filename, module, line_number, lines, rules)
    offset_bytes = _offset_bytes(code, instruction)
    if offset_bytes is not None and described["lineno"] is not None:
        is_known = described["context_line"] is not None
        described["colno"] = _column(lines[described["lineno"] - 1] if is_known else "", offset_bytes)
    return described


def _described(
    function: str, filename: str, module: str | None, line_number: int | None, lines: list[str], rules: Rules
) -> dict[str, Any]:
    shown, absolute, in_app = place(filename, module, rules)
    before, line, after = _around(lines, line_number or 0, rules)
    return {
        "platform": "python",
        "filename": cut(shown),
        "abs_path": cut(absolute),
        "function": cut(function) or "<unknown>",
        "module": cut(module) if module is not None else None,
        "lineno": line_number if _is_position(line_number) else None,
        "context_line": line,
        "pre_context": before,
        "post_context": after,
        "in_app": in_app,
    }


def _around(lines: list[str], line_number: int, rules: Rules) -> tuple[list[str], str | None, list[str]]:
    at, count = line_number - 1, rules.context_lines
    shown = _shown_line if rules.redact_messages else cut
    first = max(0, at - count)
    try:
        if not 0 <= at < len(lines):
            return [], None, []
        window = [shown(line) for line in lines[first : at + 1 + count]]
    except Exception:  # generators of code put what they like into linecache
        return [], None, []
    return window[: at - first], window[at - first], window[at - first + 1 :]


@functools.lru_cache(maxsize=4096)  # the same few places of an app fail again and again
def _shown_line(line: str) -> str:
    """Return *line* cut, without secrets that are written into the code."""
    return cut(redacted_source_line(line[: 2 * _MAX_LINE_CHARACTERS]))


def _is_position(number: object) -> bool:
    return type(number) is int and 0 < number < _MAX_NUMBER


def _offset_bytes(code: CodeType, instruction: int) -> int | None:
    """Return where in its line the expression starts that was running (PEP 657)."""
    if instruction < 0:
        return None
    known = _columns.get((id(code), instruction))
    if known is not None:
        return known[1]
    position = next(islice(code.co_positions(), instruction // 2, None), None)
    offset_bytes = position[2] if position is not None else None
    if len(_columns) >= _MAX_COLUMNS:
        _columns.clear()
    _columns[id(code), instruction] = code, offset_bytes
    return offset_bytes


def _column(line: str, offset_bytes: int) -> int:
    """Return the column, counted from 1 in characters."""
    if line.isascii():
        return offset_bytes + 1
    return len(line.encode("utf-8", "surrogatepass")[:offset_bytes].decode("utf-8", "replace")) + 1


def _lines(filename: str, module: str | None, loader: Any) -> list[str]:
    """Return the lines of a file; none where its source is unavailable."""
    try:
        lines = linecache.getlines(filename)
        if not lines and loader is not None and module is not None:
            # Zipped modules: their loader has the text; linecache asks it when given the module's
            # globals.
            lines = linecache.getlines(filename, {"__name__": module, "__loader__": loader})
        return lines
    except Exception:  # a loader may be code of the app
        return []
