"""Which exceptions have become events already: one event for each, however many layers see it.

Requests keep what became an event of theirs, by identity; the mark on the exception itself is a hint for everybody else.
"""

from typing import Protocol

from hogline.strangers import own_attribute

__all__ = ["Captor", "captured_before", "mark_captured"]

_MARK = "__hogline_captured__"


class Captor(Protocol):
    """What captures exceptions and remembers them: an exchange."""

    @property
    def number(self) -> int:
        """A number of its own; never 0."""

    def has_captured(self, error: BaseException) -> bool:
        """Tell whether *error* became an event of it."""


def captured_before(error: BaseException, captor: Captor | None) -> bool:
    """Tell whether *error* has become an event already, as far as *captor* is concerned.

    A mark that another request left does not count: raising one instance again and again is normal code (R11).
    """
    if captor is not None and captor.has_captured(error):
        return True
    mark = _mark_of(error)
    if mark is None:
        return False
    if captor is None or mark == captor.number:
        return True
    if mark == 0:  # captured where no request was known: in a thread of this request, as far as one can tell; once
        mark_captured(error, captor)
        return True
    return False


def mark_captured(error: BaseException, captor: Captor | None) -> None:
    """Leave a mark on *error*; a hint only, since exceptions may refuse it."""
    try:
        # Not setattr: a frozen dataclass refuses it, and __setattr__ may do anything.
        own_attribute(error, "__dict__")[_MARK] = captor.number if captor is not None else 0
    except Exception:
        return


def _mark_of(error: BaseException) -> int | None:
    mark = (own_attribute(error, "__dict__") or {}).get(_MARK)
    return mark if isinstance(mark, int) else None
