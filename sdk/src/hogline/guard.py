"""The guard: the one way to swallow an exception that must not reach the host app.

`with guard("properties", policy.complain): return callback(request)`; `grep -rn "guard("` lists
every place.
"""

import logging
from collections.abc import Callable
from types import TracebackType

__all__ = ["Report", "guard"]

_log = logging.getLogger("hogline")

Report = Callable[[str, Exception], object]
"""Counts or logs a failure: takes the name of what failed, and the exception.

It may raise that exception again.
"""


class guard:  # noqa: N801 - it reads as a statement
    """A `with` block whose `Exception` is handed to *report* and goes no further.

    *what* names the guarded work in the log. An exception that *report* raises again (as
    `debug=True` asks) leaves the block. An exception that is no `Exception` (cancellation, exit, an
    interrupt) always does.
    """

    # No contextlib: its __exit__ assigns exc.__traceback__, which replaces exceptions that refuse
    # the assignment.
    __slots__ = ("_report", "_what")

    def __init__(self, what: str, report: Report) -> None:
        self._what = what
        self._report = report

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        # By type: `isinstance` would ask a hostile exception for its `__class__`.
        if kind is None or not issubclass(kind, Exception):
            return False
        try:
            self._report(self._what, error)  # type: ignore[arg-type]
        except Exception as failure:
            if failure is error:
                return False
            _log.error("hogline: %s failed, and so did its report (%s)", self._what, type(failure).__name__)
        return True
