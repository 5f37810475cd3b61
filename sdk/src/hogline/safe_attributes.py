"""Read attributes of untrusted objects without running their code."""

from typing import Any

__all__ = ["class_module", "class_name", "own_attribute"]

# The interpreter's own slots; a metaclass may have put other descriptors in front of them.
_qualified_name = type.__dict__["__qualname__"].__get__
_module = type.__dict__["__module__"].__get__


def own_attribute(error: BaseException, name: str) -> Any:
    """Return an attribute as the interpreter stores it; None if it has none.

    No code of the object's class runs.
    """
    try:
        return object.__getattribute__(error, name)
    except Exception:
        return None


def class_name(kind: type) -> str:
    """Return the qualified name of *kind*."""
    return _text(_qualified_name, kind) or "<unknown>"


def class_module(kind: type) -> str | None:
    """Return the module name of *kind*; None where that is not a string."""
    return _text(_module, kind)


def _text(read: Any, kind: type) -> str | None:
    try:
        text = read(kind)
        return text if type(text) is str else str.__str__(text)
    except Exception:  # a class's namespace may hold anything under that name
        return None
