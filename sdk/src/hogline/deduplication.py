"""Deduplication: each exception becomes one event, however many layers observe it.

A captured exception is marked with the numbers of the requests and tasks that captured it. A list
of captured exceptions would keep their frames alive for as long as a connection lasts, so only
exceptions that refuse the mark are held (rule `never-hold-exceptions`).
"""

import itertools
from collections import deque

from hogline.safe_attributes import own_attribute

__all__ = ["CaptureScope", "captured_before", "mark_captured"]

_MARK = "__hogline_captured__"
_MAX_SCOPES = 8  # in one mark: an instance that many requests raise is marked again and again
_MAX_REFUSING = 8  # exceptions that a scope holds because they cannot be marked
_numbers = itertools.count(1)


class CaptureScope:
    """A request or the run of a task: within it, an exception is captured once."""

    # Class-level defaults: an attribute that is never needed costs nothing.
    _refusing: deque[BaseException] | None = None
    _number: int = 0

    @property
    def number(self) -> int:
        """A number that no other scope of this process has; never 0."""
        if not self._number:
            self._number = next(_numbers)
        return self._number

    def hold(self, error: BaseException) -> None:
        """Hold *error*, which refuses a mark and was captured here; only the last few are held."""
        if self._refusing is None:
            self._refusing = deque(maxlen=_MAX_REFUSING)
        self._refusing.append(error)

    def holds(self, error: BaseException) -> bool:
        """Return whether *error* is held.

        Compares by identity: `__eq__` is the exception's own code.
        """
        return self._refusing is not None and any(known is error for known in self._refusing)


def captured_before(error: BaseException, scope: CaptureScope | None) -> bool:
    """Return whether *error* has become an event already, as far as *scope* is concerned.

    Another request's mark does not count: raising one instance again and again is normal code
    (rule `deduplicate-per-request`).
    """
    if scope is not None and scope.holds(error):
        return True
    mark = _mark_of(error)
    if not mark:
        return False
    if scope is None or scope.number in mark:
        return True
    if 0 in mark:  # captured outside any request, presumably in a thread of this one; counts once
        mark_captured(error, scope)
        return True
    return False


def mark_captured(error: BaseException, scope: CaptureScope | None) -> None:
    """Record that *error* became an event in *scope*.

    The scope's number is stored on the exception. If the exception refuses it, the scope holds the
    exception instead.
    """
    number = scope.number if scope is not None else 0
    try:
        # Not setattr: a frozen dataclass refuses it, and `__setattr__` may run any code.
        others = [known for known in _mark_of(error) if known not in (0, number)]
        own_attribute(error, "__dict__")[_MARK] = (*others, number)[-_MAX_SCOPES:]
        refused = number not in _mark_of(error)  # a class may return a new dictionary each time
    except Exception:
        refused = True
    if refused and scope is not None:
        scope.hold(error)


def _mark_of(error: BaseException) -> tuple[int, ...]:
    mark = (own_attribute(error, "__dict__") or {}).get(_MARK)
    return mark if isinstance(mark, tuple) else ()
