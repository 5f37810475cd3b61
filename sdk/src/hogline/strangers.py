"""Looking at other people's exceptions, whose classes may answer anything, or raise."""

from typing import Any

__all__ = ["own_attribute"]


def own_attribute(error: BaseException, name: str) -> Any:
    """Return an attribute as the interpreter keeps it, past whatever the class put in front; None where there is none."""
    try:
        return object.__getattribute__(error, name)
    except Exception:
        return None
