"""Looking at other people's exceptions and objects, whose classes may answer anything, or raise."""

from typing import Any

__all__ = ["class_module", "class_name", "own_attribute"]

# Read past the metaclass, which may put anything in front of the interpreter's own slots.
_qualified_name = type.__dict__["__qualname__"].__get__
_module = type.__dict__["__module__"].__get__


def own_attribute(error: BaseException, name: str) -> Any:
    """Return an attribute as the interpreter keeps it, past whatever the class put in front; None where there is none."""
    try:
        return object.__getattribute__(error, name)
    except Exception:
        return None


def class_name(kind: type) -> str:
    """Return the qualified name of *kind*."""
    return _text(_qualified_name, kind) or "<unknown>"


def class_module(kind: type) -> str | None:
    """Return the module that *kind* says it is of; None where that is no text."""
    return _text(_module, kind)


def _text(read: Any, kind: type) -> str | None:
    try:
        text = read(kind)
        return text if type(text) is str else str.__str__(text)
    except Exception:  # a namespace may hold anything under that name
        return None
