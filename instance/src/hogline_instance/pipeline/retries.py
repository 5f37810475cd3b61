"""Repeat what fails while the store, the database or the disk is away."""

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from sqlalchemy.exc import SQLAlchemyError

from hogline_instance.exceptions import RowsRefusedError, StoreError

__all__ = ["Retries", "StoppedError"]

_log = logging.getLogger("hogline.instance")
_FIRST_RETRY_S = 0.2
_LONGEST_RETRY_S = 10.0
_T = TypeVar("_T")


class StoppedError(Exception):
    """The pipeline was closed while the store, the database or the disk was unavailable."""


class Retries:
    """The retries of one thread."""

    def __init__(self) -> None:
        self.last_error: str | None = None
        """The error of the action that is being repeated, or that ended the thread, or None."""
        self._stopped = threading.Event()

    def stop(self) -> None:
        """Let the next failure be the last."""
        self._stopped.set()

    @contextmanager
    def until_the_end(self) -> Iterator[None]:
        """Run the whole work of the thread: `StoppedError` ends it, and so does any other error.

        Another error stays in `last_error`.
        """
        try:
            yield
        except StoppedError:
            pass
        except Exception as error:
            self.last_error = f"the pipeline stopped: {error!r}"
            _log.exception("pipeline: stopped; accepted events stay on disk until the next start")

    def run(self, action: Callable[[], _T]) -> _T:
        """Return what *action* returns, as soon as it succeeds.

        Raises StoppedError: it did not, and `stop` was called. Raises RowsRefusedError as it comes,
        since a repetition would be refused too.
        """
        tries = 0
        while True:
            try:
                result = action()
            except RowsRefusedError:
                raise
            except (StoreError, SQLAlchemyError, OSError) as error:
                tries += 1
                self.last_error = str(error)
                _log.error("pipeline: try %d failed: %s", tries, str(error)[:500])
                if self._stopped.is_set():
                    raise StoppedError from error
                self._stopped.wait(min(_FIRST_RETRY_S * 2**tries, _LONGEST_RETRY_S))
            else:
                self.last_error = None
                return result
