"""Which exceptions have become events already: one event for each, however many layers see it.

The mark on an exception names the requests and tasks that made an event of it. Who remembers it otherwise would keep its
frames, and all that is in them, for as long as a connection lasts; so that is for the few that refuse the mark.
"""

import itertools
from collections import deque

from hogline.safe_attributes import own_attribute

__all__ = ["Captor", "captured_before", "mark_captured"]

_MARK = "__hogline_captured__"
_MAX_CAPTORS = 8  # that one mark names: an instance that many requests raise is marked again and again
_MAX_REFUSING = 8  # exceptions that a captor holds, since they cannot be marked
_numbers = itertools.count(1)


class Captor:
    """What captures exceptions: the exchange of a request, the run of a task."""

    # Class-level defaults: an attribute that is never needed costs nothing.
    _refusing: deque[BaseException] | None = None
    _number: int = 0

    @property
    def number(self) -> int:
        """A number that no other captor of this process has; 0 is never one."""
        if not self._number:
            self._number = next(_numbers)
        return self._number

    def hold(self, error: BaseException) -> None:
        """Note that *error*, which refuses a mark, became an event of this captor; the last few are held while it lives."""
        if self._refusing is None:
            self._refusing = deque(maxlen=_MAX_REFUSING)
        self._refusing.append(error)

    def holds(self, error: BaseException) -> bool:
        """Tell whether *error* is held. Compares by identity: `__eq__` may lie."""
        return self._refusing is not None and any(known is error for known in self._refusing)


def captured_before(error: BaseException, captor: Captor | None) -> bool:
    """Tell whether *error* has become an event already, as far as *captor* is concerned.

    A mark that another request left does not count: raising one instance again and again is normal code (rule `deduplicate-per-request`).
    """
    if captor is not None and captor.holds(error):
        return True
    mark = _mark_of(error)
    if not mark:
        return False
    if captor is None or captor.number in mark:
        return True
    if 0 in mark:  # captured where no request was known: in a thread of this request, as far as one can tell; once
        mark_captured(error, captor)
        return True
    return False


def mark_captured(error: BaseException, captor: Captor | None) -> None:
    """Note that *error* became an event of *captor*: a mark on it, or, where it refuses that, with the captor."""
    number = captor.number if captor is not None else 0
    try:
        # Not setattr: a frozen dataclass refuses it, and __setattr__ may do anything.
        others = [known for known in _mark_of(error) if known not in (0, number)]
        own_attribute(error, "__dict__")[_MARK] = (*others, number)[-_MAX_CAPTORS:]
        refused = number not in _mark_of(error)  # a class may hand out a new dictionary each time
    except Exception:
        refused = True
    if refused and captor is not None:
        captor.hold(error)


def _mark_of(error: BaseException) -> tuple[int, ...]:
    mark = (own_attribute(error, "__dict__") or {}).get(_MARK)
    return mark if isinstance(mark, tuple) else ()
