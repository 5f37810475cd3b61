"""Write to the journal from the event loop; a request waits here until its rows are on disk."""

import asyncio
import errno
from collections.abc import Sequence
from typing import Any

from hogline_instance.exceptions import JournalFullError
from hogline_instance.ingest.http import RETRY_AFTER, HttpError
from hogline_instance.journal import Journal
from hogline_instance.pipeline import Pipeline

__all__ = ["JournalWriter", "acknowledge"]


class JournalWriter:
    """Appends rows to the journal, and refuses them when the store lags too far behind."""

    def __init__(self, journal: Journal, pipeline: Pipeline, *, max_waiting_bytes: int) -> None:
        self._journal = journal
        self._pipeline = pipeline
        self._max_waiting_bytes = max_waiting_bytes

    async def write(self, payload: bytes) -> None:
        """Append *payload*, rows separated by line breaks; return when it is on disk.

        Raises HttpError: the rows cannot be kept now.
        """
        if self._pipeline.waiting_bytes > self._max_waiting_bytes:
            reason = self._pipeline.last_error or "events arrive faster than it stores them"
            raise HttpError(503, f"the store lags behind: {reason[:300]}", RETRY_AFTER)
        written: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        try:
            self._journal.append(payload, written)
        except JournalFullError as error:
            raise HttpError(503, str(error), RETRY_AFTER) from error
        try:
            await written
        except OSError as error:
            reason = "the disk is full" if error.errno in (errno.ENOSPC, errno.EDQUOT) else f"the disk failed: {error}"
            raise HttpError(503, f"events cannot be kept: {reason}", RETRY_AFTER) from error


def acknowledge(waiters: Sequence[Any], error: OSError | None) -> None:
    """Wake the requests behind *waiters*.

    The journal's thread calls it, once for each group of appends.
    """
    if waiters:
        try:
            waiters[0].get_loop().call_soon_threadsafe(_settle, waiters, error)
        except RuntimeError:  # the loop is closed, and no request waits any more
            return


def _settle(waiters: Sequence["asyncio.Future[None]"], error: OSError | None) -> None:
    for waiter in waiters:
        if waiter.done():
            continue
        if error is None:
            waiter.set_result(None)
        else:
            waiter.set_exception(error)
