"""Which exceptions have become events already: one event for each, however many layers see it.

Requests and tasks keep what became an event of theirs, by identity; the mark on the exception itself is a hint for
everybody else.
"""

import itertools

from hogline.strangers import own_attribute

__all__ = ["Captor", "captured_before", "mark_captured"]

_MARK = "__hogline_captured__"
_numbers = itertools.count(1)


class Captor:
    """What captures exceptions and remembers them: the exchange of a request, the run of a task."""

    # Class-level defaults: an attribute that is never needed costs nothing.
    _captured: list[BaseException] | None = None
    _number: int = 0

    @property
    def number(self) -> int:
        """A number that no other captor of this process has; 0 is never one."""
        if not self._number:
            self._number = next(_numbers)
        return self._number

    def remember_captured(self, error: BaseException) -> None:
        """Note that *error* became an event of this captor; holds it while the captor lives."""
        if self._captured is None:
            self._captured = []
        self._captured.append(error)

    def has_captured(self, error: BaseException) -> bool:
        """Tell whether *error* became an event of this captor. Compares by identity: `__eq__` may lie."""
        return self._captured is not None and any(known is error for known in self._captured)


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
