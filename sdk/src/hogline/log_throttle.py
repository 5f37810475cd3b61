"""A log that repeats each line at most once in a while.

A failure in each request must not fill the app's log.
"""

import logging
import math
import time
from typing import Final

__all__ = ["ONCE", "ThrottledLog"]

ONCE: Final = math.inf
"""A value of `every_s`: only the first line about a subject is written."""
_MAX_SUBJECTS = 100


class ThrottledLog:
    """Writes to the logger `hogline` at most one line every *every_s* seconds about each subject.

    Remembers at most 100 subjects. It has no lock, since a fork or a signal handler could find
    the lock taken. If two threads report at the same moment, both may write.
    """

    __slots__ = ("_every_s", "_logged_at_s", "_logger")

    def __init__(self, every_s: float = 60.0, logger: logging.Logger | None = None) -> None:
        self._every_s = every_s
        self._logger = logger if logger is not None else logging.getLogger("hogline")
        self._logged_at_s: dict[str, float] = {}

    def is_due(self, subject: str, every_s: float | None = None) -> bool:
        """Return whether a line about *subject* may be written now.

        *every_s* replaces the log's own interval.
        """
        last_s = self._logged_at_s.get(subject)
        return last_s is None or time.monotonic() - last_s >= (self._every_s if every_s is None else every_s)

    def note(self, subject: str) -> float | None:
        """Note that a line about *subject* is written now.

        Returns the seconds since the last one, None if there was none.
        """
        now_s, last_s = time.monotonic(), self._logged_at_s.get(subject)
        if last_s is None and len(self._logged_at_s) >= _MAX_SUBJECTS:
            self._logged_at_s.clear()
        self._logged_at_s[subject] = now_s
        return None if last_s is None else now_s - last_s

    def log(self, level: int, subject: str, message: str, *args: object) -> None:
        """Log *message*, unless *subject* had a line a short while ago."""
        if self.is_due(subject):
            self.note(subject)
            prefixed = f"hogline: {message}"
            self._logger.log(level, prefixed, *args)

    def warning(self, subject: str, message: str, *args: object) -> None:
        """Log a warning, unless *subject* had a line a short while ago."""
        self.log(logging.WARNING, subject, message, *args)

    def error(self, subject: str, message: str, *args: object) -> None:
        """Log an error, unless *subject* had a line a short while ago."""
        self.log(logging.ERROR, subject, message, *args)

    def forget(self) -> None:
        """Forget every subject, so that the next line about each is written."""
        self._logged_at_s.clear()
