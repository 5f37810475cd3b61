"""The chain of an exception, as entries of `$exception_list`.

It has the exception, what that was raised from, and the members of groups.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any

from hogline.redaction import redacted_text
from hogline.safe_attributes import class_module, class_name, own_attribute
from hogline.tracebacks.budget import fit
from hogline.tracebacks.frames import Kept, cut, frames_of, own_stack, syntax_error_frame
from hogline.tracebacks.rules import Rules

if TYPE_CHECKING:
    from hogline.tracebacks.variables import Variables

__all__ = ["Mechanism", "exception_list"]

# group members that are read, over the whole chain; docs/internals/capture-protocol.md#mechanism
_MAX_MEMBERS = 1000
_MAX_NOTES = 100
_ELLIPSIS = "..."

# Bypass the class: an exception's class may put anything in front of the interpreter's own slots.
_cause = BaseException.__dict__["__cause__"].__get__
_context = BaseException.__dict__["__context__"].__get__
_is_context_suppressed = BaseException.__dict__["__suppress_context__"].__get__
_traceback = BaseException.__dict__["__traceback__"].__get__
_members = BaseExceptionGroup.__dict__["exceptions"].__get__
# With variables an event as a whole stays under 200,000 characters; this leaves room for its other
# properties.
_MAX_BYTES_WITH_VARIABLES = 180_000


@dataclass(frozen=True, slots=True)
class Mechanism:
    """The way in which an exception was noticed."""

    type: str = "generic"
    handled: bool | None = True
    """None means unknown; the event then leaves it out."""


@dataclass(slots=True)
class _Visit:
    error: BaseException
    parent: int | None
    source: str | None


def exception_list(
    error: BaseException,
    mechanism: Mechanism,
    rules: Rules,
    *,
    traceback: TracebackType | None = None,
    variables: "Variables | None" = None,
) -> list[dict[str, Any]]:
    """Return *error* and all it was raised from.

    The caught one comes first, root causes last. In each, the frame of the crash site comes last.

    Everything is copied now: frameworks clear tracebacks once a handler ran (rule
    `observe-at-the-moment`). An error that was never raised gets the caller's stack, marked
    synthetic. *traceback* replaces the error's own. With *variables*, the app's own frames hold
    what they held.
    """
    entries = []
    stacks: list[Kept] = []
    for number, visit in enumerate(_chain(error, rules.max_entries)):
        trace = traceback if number == 0 and traceback is not None else _traceback(visit.error)
        kept: Kept | None = None
        if variables is not None:
            kept = []
            stacks.append(kept)
        entries.append(_entry(visit, number, trace, mechanism, rules, kept))
    if variables is None:
        return fit(entries, rules.max_list_bytes)
    if variables.is_worth(entries):
        _fill(stacks, variables)
    return fit(entries, min(rules.max_list_bytes, _MAX_BYTES_WITH_VARIABLES))


def _fill(stacks: list[Kept], variables: "Variables") -> None:
    # Imported lazily: only programs that send variables need it.
    from hogline.tracebacks.variables import fill

    try:
        fill(stacks, variables)
    except Exception:  # the event is worth more than the variables
        return


def _entry(
    visit: _Visit, number: int, trace: TracebackType | None, mechanism: Mechanism, rules: Rules, kept: Kept | None
) -> dict[str, Any]:
    error = visit.error
    synthetic = trace is None and number == 0
    frames = own_stack(rules, kept) if synthetic else frames_of(trace, rules, kept)
    if issubclass(type(error), SyntaxError) and (place := syntax_error_frame(error, rules)) is not None:
        frames.append(place)
    entry: dict[str, Any] = {
        "type": _type_name(error),
        "value": _text(error, rules),
        "module": _module_name(error),
        "mechanism": _mechanism(visit, number, mechanism, synthetic=synthetic),
    }
    if frames:
        entry["stacktrace"] = {"type": "raw", "frames": frames}
    return entry


def _chain(error: BaseException, max_entries: int) -> Iterator[_Visit]:
    """Yield depth first, parents before children, each object once.

    The numbers of the entries go in this order.
    """
    waiting = [_Visit(error, None, None)]
    seen: dict[int, BaseException] = {}  # holds them, so that no id is used again
    members = 0
    while waiting and len(seen) < max_entries:
        visit = waiting.pop()
        if id(visit.error) in seen:
            continue
        number = len(seen)
        seen[id(visit.error)] = visit.error
        yield visit
        below = list(_raised_from(visit.error, number))
        if issubclass(type(visit.error), BaseExceptionGroup):
            inner = _members(visit.error)[: _MAX_MEMBERS - members]
            members += len(inner)
            below += [_Visit(member, number, "member") for member in inner]
        waiting += reversed(below)


def _raised_from(error: BaseException, number: int) -> Iterator[_Visit]:
    """Yield the exceptions that *error* was raised from; `raise ... from None` ends the chain."""
    source, below = ("cause", _cause(error)) if _is_context_suppressed(error) else ("context", _context(error))
    if below is not None:
        yield _Visit(below, number, source)


def _mechanism(visit: _Visit, number: int, root: Mechanism, *, synthetic: bool) -> dict[str, Any]:
    fields: dict[str, Any] = {"exception_id": number, "type": "chained", "synthetic": synthetic}
    if visit.parent is None:
        fields["type"] = root.type
        if root.handled is not None:
            fields["handled"] = root.handled
    else:
        fields |= {"parent_id": visit.parent, "source": visit.source}
    if issubclass(type(visit.error), BaseExceptionGroup):
        fields["is_exception_group"] = True
    number_of_error = own_attribute(visit.error, "errno")
    if type(number_of_error) is int:
        fields["meta"] = {"errno": {"number": number_of_error}}
    return fields


def _type_name(error: BaseException) -> str:
    return cut(class_name(type(error)))


def _module_name(error: BaseException) -> str | None:
    module = class_module(type(error))
    return cut(module) if module is not None and module != "builtins" else None


def _text(error: BaseException, rules: Rules) -> str:
    """Return the message, and the notes after it.

    `str(error)` is asked first, so that a class attribute `message` cannot hide it.
    """
    text = _read(str, error)
    if text is None:
        text = _read(repr, error) or f"<{_type_name(error)} without a printable message>"
    elif not text:
        text = _read(own_attribute, error, "detail") or _read(own_attribute, error, "message") or ""
    text = "\n".join([text, *_notes(error)] if text else _notes(error))
    max_characters = rules.max_value_characters
    if rules.redact_messages:
        text = redacted_text(text, max_characters)
    return text if len(text) <= max_characters else text[: max_characters - len(_ELLIPSIS)] + _ELLIPSIS


def _notes(error: BaseException) -> list[str]:
    notes = own_attribute(error, "__notes__")
    if type(notes) is not list and type(notes) is not tuple:
        return []
    texts = [_read(str.__str__, note) for note in notes[:_MAX_NOTES]]
    return [text for text in texts if text is not None]


def _read(read: Callable[..., Any], *arguments: Any) -> str | None:
    """Return what *read* returns, as a plain `str`.

    The result is None where it is no text, or where *read* raises.
    """
    try:
        text = read(*arguments)
        return text if type(text) is str else str.__str__(text)
    except Exception:  # a class of the app may do anything in its __str__
        return None
