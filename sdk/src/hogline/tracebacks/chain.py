"""The chain: an exception, what it was raised from, and the members of groups, as entries of `$exception_list`."""

from collections.abc import Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Any, cast

from hogline.strangers import own_attribute
from hogline.tracebacks.budget import fit
from hogline.tracebacks.frames import Rules, frames_of, own_stack, syntax_error_frame

__all__ = ["Mechanism", "exception_list"]

_MAX_MEMBERS = 1000  # group members looked at, over the whole chain; sdk-wire.md 4.3
_ELLIPSIS = "..."


@dataclass(frozen=True, slots=True)
class Mechanism:
    """How an exception was noticed."""

    type: str = "generic"
    handled: bool | None = True
    """None: unknown, and left out."""


@dataclass(slots=True)
class _Visit:
    error: BaseException
    parent: int | None
    source: str | None


def exception_list(
    error: BaseException, mechanism: Mechanism, rules: Rules, *, traceback: TracebackType | None = None
) -> list[dict[str, Any]]:
    """Return *error* and all it was raised from: the caught one first, root causes last; frames with the crash site last.

    Everything is copied now: frameworks clear tracebacks once a handler ran (R4). An error that was never raised gets the
    caller's stack, marked synthetic. *traceback* stands in for an error's own.
    """
    entries = []
    for number, visit in enumerate(_chain(error, rules.max_entries)):
        trace = traceback if visit.error is error and traceback is not None else _traceback_of(visit.error)
        synthetic = trace is None and number == 0
        frames = own_stack(rules) if synthetic else frames_of(trace, rules)
        if issubclass(type(visit.error), SyntaxError) and (
            place := syntax_error_frame(cast("SyntaxError", visit.error), rules)
        ):
            frames.append(place)
        entry: dict[str, Any] = {
            "type": _type_name(visit.error),
            "value": _text(visit.error, rules.max_value_characters),
            "module": _module_name(visit.error),
            "mechanism": _mechanism(visit, number, mechanism, synthetic=synthetic),
        }
        if frames:
            entry["stacktrace"] = {"type": "raw", "frames": frames}
        entries.append(entry)
    return fit(entries, rules.max_list_bytes)


def _chain(error: BaseException, max_entries: int) -> Iterator[_Visit]:
    """Yield depth first, parents before children, each object once, as the numbers of the entries go."""
    waiting = [_Visit(error, None, None)]
    seen: list[int] = []
    members = 0
    while waiting and len(seen) < max_entries:
        visit = waiting.pop()
        if id(visit.error) in seen:
            continue
        number = len(seen)
        seen.append(id(visit.error))
        yield visit
        below = []
        if (cause := _cause(visit.error)) is not None:
            below.append(_Visit(cause[0], number, cause[1]))
        if issubclass(type(visit.error), BaseExceptionGroup):
            inner = (own_attribute(visit.error, "exceptions") or ())[: max(0, _MAX_MEMBERS - members)]
            members += len(inner)
            below += [_Visit(member, number, "member") for member in inner]
        waiting += reversed(below)


def _cause(error: BaseException) -> tuple[BaseException, str] | None:
    """Return what *error* was raised from; `raise ... from None` ends the chain."""
    source = "cause" if own_attribute(error, "__suppress_context__") else "context"
    below = own_attribute(error, f"__{source}__")
    return (below, source) if below is not None else None


def _mechanism(visit: _Visit, number: int, root: Mechanism, *, synthetic: bool) -> dict[str, Any]:
    told: dict[str, Any] = {"exception_id": number, "type": "chained", "synthetic": synthetic}
    if visit.parent is None:
        told["type"] = root.type
        if root.handled is not None:
            told["handled"] = root.handled
    else:
        told |= {"parent_id": visit.parent, "source": visit.source}
    if issubclass(type(visit.error), BaseExceptionGroup):
        told["is_exception_group"] = True
    number_of_error = own_attribute(visit.error, "errno") if issubclass(type(visit.error), OSError) else None
    if isinstance(number_of_error, int):
        told["meta"] = {"errno": {"number": number_of_error}}
    return told


def _traceback_of(error: BaseException) -> TracebackType | None:
    trace = own_attribute(error, "__traceback__")
    return trace if isinstance(trace, TracebackType) else None


def _type_name(error: BaseException) -> str:
    return str(type.__getattribute__(type(error), "__qualname__"))


def _module_name(error: BaseException) -> str | None:
    module = type(error).__module__
    return module if isinstance(module, str) and module != "builtins" else None


def _text(error: BaseException, max_characters: int) -> str:
    """Return the message: `str(error)` first, so that a class attribute `message` cannot hide it; then its notes."""
    text = _safe(lambda: str(error))
    if not text:
        text = _safe(lambda: _own_text(error))
    if text is None:
        text = _safe(lambda: repr(error)) or f"<{_type_name(error)} without a printable message>"
    notes = _safe(lambda: "\n".join(note for note in own_attribute(error, "__notes__") or () if isinstance(note, str)))
    if notes:
        text = f"{text}\n{notes}" if text else notes
    return text if len(text) <= max_characters else text[: max_characters - len(_ELLIPSIS)] + _ELLIPSIS


def _own_text(error: BaseException) -> str:
    for name in ("detail", "message"):
        value = (own_attribute(error, "__dict__") or {}).get(name)
        if isinstance(value, str) and value:
            return value
    return ""


def _safe(read: Any) -> str | None:
    try:
        text = read()
        return text if type(text) is str else str.__str__(text)
    except Exception:  # a stranger's __str__ may do anything
        return None
