"""The pipeline's thread: it reads committed records, runs the steps, and inserts each batch.

A batch is kept and retried until the store has it.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TypeVar

from sqlalchemy.exc import SQLAlchemyError

from hogline_instance.events.event import read_event
from hogline_instance.exceptions import RowsRefusedError, StoreError
from hogline_instance.journal import Journal, Record
from hogline_instance.pipeline.bus import LiveBus
from hogline_instance.pipeline.prepared import PreparedBatch
from hogline_instance.pipeline.steps import StepRunner
from hogline_instance.store import Store

__all__ = ["Pipeline"]

_log = logging.getLogger("hogline.instance")
_FIRST_RETRY_S = 0.2
_LONGEST_RETRY_S = 10.0
_REJECTED_FILE = "rejected.jsonl"
_T = TypeVar("_T")


class Pipeline:
    """Runs one thread between journal and store.

    *steps* is None when no feature has one; rows then pass unchanged.
    """

    def __init__(
        self,
        store: Store,
        journal: Journal,
        live: LiveBus,
        *,
        steps: StepRunner | None,
        flush_rows: int,
        flush_interval_s: float,
        data_dir: Path,
    ) -> None:
        self._store = store
        self._journal = journal
        self._live = live
        self._steps = steps
        self._flush_rows = flush_rows
        self._flush_interval_s = flush_interval_s
        self._rejected_path = data_dir / _REJECTED_FILE
        self._work = threading.Condition()
        self._waiting: deque[Record] = deque()
        self._waiting_rows = 0
        self.waiting_bytes = 0
        self.stored_rows = 0
        self.rejected_rows = 0
        self.dropped_rows: dict[str, int] = {}
        """Counts of the events that the steps dropped since the start, by reason."""
        self.last_error: str | None = None
        self._oldest_s = 0.0
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="hogline-pipeline", daemon=True)

    def start(self) -> None:
        """Process the records that an earlier process left in the journal, then new ones."""
        self._thread.start()

    def add(self, records: Sequence[Record]) -> None:
        """Queue committed *records*; the journal's thread calls this, in order."""
        with self._work:
            if not self._waiting:
                self._oldest_s = time.monotonic()
            self._waiting.extend(records)
            self._waiting_rows += _count_rows(records)
            self.waiting_bytes += sum(len(record.payload) for record in records)
            self._work.notify()

    def close(self, timeout_s: float) -> bool:
        """Store the queued records, and stop.

        Returns whether that took less than *timeout_s*; the next start stores the rest.
        """
        with self._work:
            self._closed = True
            self._work.notify()
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    # -- the pipeline's thread ---------------------------------------------------------------

    def _run(self) -> None:
        try:
            self._replay()
            while batch := self._take():
                self._process(batch)
        except _StoppedError:
            return
        except Exception as error:
            self.last_error = f"the pipeline stopped: {error!r}"
            _log.exception("pipeline: stopped; accepted events stay in the journal until the next start")

    def _replay(self) -> None:
        """Repeat the range in progress under its own name, then process everything after it."""
        doing = self._journal.checkpoint.doing
        count = rows = 0
        batch: list[Record] = []
        for record in self._journal.unread():
            count += 1
            rows += _count_rows((record,))
            batch.append(record)
            is_complete = rows >= self._flush_rows if doing is None else record.end >= doing
            if is_complete:
                self._process(batch)
                batch, rows, doing = [], 0, None
        if batch:
            self._process(batch)
        if count:
            _log.info("pipeline: processed %d records that an earlier process had accepted", count)

    def _take(self) -> list[Record]:
        """Wait for a batch: `flush_rows` rows, or all that came within `flush_interval_s`.

        Returns an empty batch when the pipeline is closed and nothing is queued.
        """
        with self._work:
            while not self._closed:
                if not self._waiting:
                    self._work.wait()
                    continue
                rest_s = self._oldest_s + self._flush_interval_s - time.monotonic()
                if self._waiting_rows >= self._flush_rows or rest_s <= 0:
                    break
                self._work.wait(rest_s)
            batch: list[Record] = []
            rows = 0
            while self._waiting and rows < self._flush_rows:
                record = self._waiting.popleft()
                rows += _count_rows((record,))
                self.waiting_bytes -= len(record.payload)
                batch.append(record)
            self._waiting_rows -= rows
            self._oldest_s = time.monotonic()
            return batch

    def _process(self, records: Sequence[Record]) -> None:
        lines = b"\n".join(record.payload for record in records).split(b"\n")
        name = self._retry(lambda: self._journal.begin(records[-1].end))
        batch = self._retry(lambda: self._apply_steps(name, lines))
        for reason, count in batch.dropped.items():
            self.dropped_rows[reason] = self.dropped_rows.get(reason, 0) + count
        for line, reason in batch.rejected:
            self._set_aside(line, f"a step failed on it: {reason}")
        if batch.lines:
            self._insert(batch.lines, name)
        self._retry(self._journal.finish)
        if self._live.is_watched:
            self._publish(batch.lines)

    def _apply_steps(self, name: str, lines: Sequence[bytes]) -> PreparedBatch:
        if self._steps is None:
            return PreparedBatch(name, lines, {}, [])
        return self._steps.run(name, lines)

    def _retry(self, action: Callable[[], _T]) -> _T:
        """Retry *action* until the store, the database and the disk let it succeed.

        Raises _StoppedError: the pipeline was closed first; the journal keeps the unstored records.
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
                with self._work:
                    if self._closed:
                        raise _StoppedError from error
                    self._work.wait_for(lambda: self._closed, min(_FIRST_RETRY_S * 2**tries, _LONGEST_RETRY_S))
            else:
                self.last_error = None
                return result

    def _insert(self, lines: Sequence[bytes], token: str) -> None:
        """Insert *lines*.

        When the store refuses them, insert the halves, down to the single rows that are invalid.
        """
        rows = b"\n".join(lines)
        try:
            self._retry(lambda: self._store.insert_events(rows, token))
        except RowsRefusedError as error:
            if len(lines) == 1:
                self._set_aside(lines[0], f"the store refuses it: {error}")
                return
            middle = len(lines) // 2
            self._insert(lines[:middle], token + "a")
            self._insert(lines[middle:], token + "b")
        else:
            self.stored_rows += len(lines)

    def _set_aside(self, line: bytes, reason: str) -> None:
        def append() -> None:
            with self._rejected_path.open("ab") as file:
                file.write(line + b"\n")

        self._retry(append)
        self.rejected_rows += 1
        _log.error("pipeline: an event cannot be stored (%s); kept in %s", reason[:500], self._rejected_path)

    def _publish(self, lines: Sequence[bytes]) -> None:
        try:
            self._live.publish([read_event(line) for line in lines])
        except Exception:
            _log.exception("pipeline: publishing to live readers failed")


class _StoppedError(Exception):
    """The pipeline was closed while the store or the database was unavailable."""


def _count_rows(records: Iterable[Record]) -> int:
    return sum(record.payload.count(b"\n") + 1 for record in records)
