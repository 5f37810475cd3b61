"""Frames: where in the code, whose code it is, and the lines around it."""

import functools
import linecache
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from types import CodeType, FrameType, TracebackType
from typing import Any

__all__ = ["Rules", "frames_of", "own_stack", "syntax_error_frame"]

_MAX_LINE_CHARACTERS = 1024  # sdk-wire.md 4.4
_CUT = "..."
_PACKAGES = (f"{os.sep}site-packages{os.sep}", f"{os.sep}dist-packages{os.sep}")
_OWN_MODULE = "hogline"
_HIDING = ("__tracebackhide__", "__traceback_hide__")
_STDLIB = os.path.dirname(os.__file__) + os.sep


@dataclass(frozen=True, slots=True)
class Rules:
    """What is the app's own code, and how much of a stack is kept."""

    project_root: str
    in_app_include: tuple[str, ...] = ()
    in_app_exclude: tuple[str, ...] = ()
    context_lines: int = 5
    """Source lines on each side."""
    max_frames: int = 100
    """Frames of one exception; of deeper stacks the outermost and the innermost half stay."""
    max_value_characters: int = 10_000
    """The server cuts longer messages; instance-wire.md 5.1."""
    max_entries: int = 50
    """Exceptions of one chain."""
    max_list_bytes: int = 256 * 1024
    """Bytes of the whole list as JSON, roughly."""


def frames_of(trace: TracebackType | None, rules: Rules) -> list[dict[str, Any]]:
    """Return *trace* as frames, outermost first, the crash site last."""
    found: list[tuple[FrameType, int, int]] = []
    while trace is not None:
        found.append((trace.tb_frame, trace.tb_lineno, trace.tb_lasti))
        trace = trace.tb_next
    return _rendered(found, rules)


def own_stack(rules: Rules) -> list[dict[str, Any]]:
    """Return the stack of who called into Hogline: an exception that was never raised has no other."""
    frame: FrameType | None = sys._getframe(1)  # noqa: SLF001 - the documented way to the caller's frame
    found = []
    while frame is not None:
        found.append((frame, frame.f_lineno, frame.f_lasti))
        frame = frame.f_back
    found.reverse()
    return _rendered(found, rules)


def syntax_error_frame(error: SyntaxError, rules: Rules) -> dict[str, Any] | None:
    """Return the place that a SyntaxError talks about: the crash is in a file that never ran."""
    if not isinstance(error.filename, str) or not isinstance(error.lineno, int):
        return None
    before, line, after = _source(error.filename, error.lineno, None, None, rules.context_lines)
    return {
        "platform": "python",
        "filename": os.path.basename(error.filename),
        "abs_path": error.filename,
        "function": "<module>",
        "module": None,
        "lineno": error.lineno,
        **({"colno": error.offset} if isinstance(error.offset, int) else {}),
        "context_line": line if line is not None else _cut((error.text or "").rstrip("\n")) or None,
        "pre_context": before,
        "post_context": after,
        "in_app": _in_app(error.filename, "", rules),
    }


def _rendered(found: list[tuple[FrameType, int, int]], rules: Rules) -> list[dict[str, Any]]:
    shown = [item for item in found if not _is_hidden(item[0])]
    left_out = len(shown) - rules.max_frames
    if left_out > 0:
        half = rules.max_frames // 2
        first, last = shown[:half], shown[-(rules.max_frames - half) :]
        gap = {
            "platform": "python",
            "filename": "...",
            "function": f"<{left_out} frames left out>",
            "module": None,
            "lineno": None,
            "in_app": False,
        }
        return [*_all(first, rules), gap, *_all(last, rules)]
    return list(_all(shown, rules))


def _all(found: list[tuple[FrameType, int, int]], rules: Rules) -> Iterator[dict[str, Any]]:
    for frame, line_number, instruction in found:
        yield _frame(frame, line_number, instruction, rules)


def _is_hidden(frame: FrameType) -> bool:
    module = frame.f_globals.get("__name__")
    if isinstance(module, str) and (module == _OWN_MODULE or module.startswith(f"{_OWN_MODULE}.")):
        return True
    names = frame.f_code.co_varnames
    # f_locals copies every variable; the names tell first whether that is worth it.
    return any(name in names and _is_true(frame.f_locals.get(name)) for name in _HIDING)


def _is_true(value: object) -> bool:
    return value is not None and value is not False and value != 0


def _frame(frame: FrameType, line_number: int | None, instruction: int, rules: Rules) -> dict[str, Any]:
    code = frame.f_code
    module = frame.f_globals.get("__name__")
    module = module if isinstance(module, str) else None
    before, line, after = _source(
        code.co_filename, line_number or 0, module, frame.f_globals.get("__loader__"), rules.context_lines
    )
    column = _column(code, instruction, line)
    return {
        "platform": "python",
        "filename": _shown_filename(module, code.co_filename),
        "abs_path": os.path.abspath(code.co_filename) if os.sep in code.co_filename else code.co_filename,
        "function": code.co_name or "<unknown>",
        "module": module,
        "lineno": line_number,
        **({"colno": column} if column is not None else {}),
        "context_line": line,
        "pre_context": before,
        "post_context": after,
        "in_app": _in_app(code.co_filename, module or "", rules),
    }


def _column(code: CodeType, instruction: int, line: str | None) -> int | None:
    """Return the column, counted from 1 in characters, of the expression that was running (PEP 657)."""
    if instruction < 0:
        return None
    position = next(islice(code.co_positions(), instruction // 2, None), None)
    offset_bytes = position[2] if position is not None else None
    if offset_bytes is None:
        return None
    if line is not None:
        return len(line.encode("utf-8", "surrogatepass")[:offset_bytes].decode("utf-8", "replace")) + 1
    return offset_bytes + 1


def _source(
    filename: str, line_number: int, module: str | None, loader: Any, around: int
) -> tuple[list[str], str | None, list[str]]:
    """Return the lines before, the line and the lines after; nothing where the source cannot be had."""
    try:
        lines = linecache.getlines(filename)
        if not lines and loader is not None and module is not None:
            # Zipped modules: their loader has the text; linecache asks it when given the module's globals.
            lines = linecache.getlines(filename, {"__name__": module, "__loader__": loader})
    except Exception:  # a loader is a stranger's code
        return [], None, []
    index = line_number - 1
    if not 0 <= index < len(lines):
        return [], None, []
    before = [_cut(text) for text in lines[max(0, index - around) : index]]
    after = [_cut(text) for text in lines[index + 1 : index + 1 + around]]
    return before, _cut(lines[index]), after


def _cut(line: str) -> str:
    line = line.rstrip("\r\n")
    return line if len(line) <= _MAX_LINE_CHARACTERS else line[: _MAX_LINE_CHARACTERS - len(_CUT)] + _CUT


def _shown_filename(module: str | None, filename: str) -> str:
    """Return the path from above the module's top-level package; the base name of a top-level module."""
    if not module or "." not in module:
        return os.path.basename(filename)
    top = sys.modules.get(module.partition(".")[0])
    base = getattr(top, "__file__", None)
    if isinstance(base, str):
        above = os.path.dirname(os.path.dirname(base)) + os.sep
        if filename.startswith(above):
            return filename[len(above) :]
    return filename


@functools.lru_cache(maxsize=2048)
def _in_app(filename: str, module: str, rules: Rules) -> bool:
    """Tell whether a frame is the app's own code; the standard library and packages are not, nor is generated code."""
    if _has_prefix(module, rules.in_app_exclude):
        return False
    if _has_prefix(module, rules.in_app_include):
        return True
    if filename.startswith("<") or any(packages in filename for packages in _PACKAGES):
        return False
    path = os.path.abspath(filename)
    if path.startswith(_STDLIB):
        return False
    root = os.path.abspath(rules.project_root).rstrip(os.sep)
    return path.startswith(root + os.sep)


def _has_prefix(module: str, prefixes: tuple[str, ...]) -> bool:
    return any(module == prefix or module.startswith(f"{prefix}.") for prefix in prefixes)
