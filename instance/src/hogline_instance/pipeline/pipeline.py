"""The writer: takes committed records in order, inserts them in batches, and never lets one go before the store has it."""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TypeVar

from hogline_instance.events.event import read_event
from hogline_instance.exceptions import RowsRefusedError, StoreError
from hogline_instance.journal import Journal, Position, Record
from hogline_instance.pipeline.bus import LiveBus
from hogline_instance.store import Store

__all__ = ["Pipeline"]

_log = logging.getLogger("hogline.instance")
_FIRST_RETRY_S = 0.2
_LONGEST_RETRY_S = 10.0
_REJECTED_FILE = "rejected.jsonl"
_T = TypeVar("_T")


class Pipeline:
    """One thread between journal and store."""

    def __init__(
        self, store: Store, journal: Journal, live: LiveBus, *, flush_rows: int, flush_interval_s: float, data_dir: Path
    ) -> None:
        self._store = store
        self._journal = journal
        self._live = live
        self._flush_rows = flush_rows
        self._flush_interval_s = flush_interval_s
        self._rejected_path = data_dir / _REJECTED_FILE
        self._work = threading.Condition()
        self._waiting: deque[Record] = deque()
        self._waiting_rows = 0
        self.waiting_bytes = 0
        self.stored_rows = 0
        self.rejected_rows = 0
        self.last_error: str | None = None
        self._oldest_s = 0.0
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="hogline-pipeline", daemon=True)

    def start(self) -> None:
        """Take up what an earlier process left in the journal, then go on with what comes."""
        self._thread.start()

    def add(self, records: Sequence[Record]) -> None:
        """Queue committed *records*; called by the journal's thread, in order."""
        with self._work:
            if not self._waiting:
                self._oldest_s = time.monotonic()
            self._waiting.extend(records)
            self._waiting_rows += sum(record.payload.count(b"\n") + 1 for record in records)
            self.waiting_bytes += sum(len(record.payload) for record in records)
            self._work.notify()

    def close(self, timeout_s: float) -> bool:
        """Store what waits, and stop; False: it took too long, and the next start goes on with it."""
        with self._work:
            self._closed = True
            self._work.notify()
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    # -- the pipeline's thread ----------------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            self._replay()
            while batch := self._take():
                self._store_batch(batch)
        except _StoppedError:
            return
        except Exception as error:
            self.last_error = f"the pipeline stopped: {error!r}"
            _log.exception("pipeline: stopped; accepted events stay in the journal until the next start")

    def _replay(self) -> None:
        """Repeat the range that was begun under its own name, then everything behind it."""
        unread = iter(self._journal.unread())
        doing = self._journal.checkpoint.doing
        count = 0
        batch: list[Record] = []
        for record in unread:
            count += 1
            batch.append(record)
            if (doing is not None and record.end >= doing) or (doing is None and _rows_of(batch) >= self._flush_rows):
                self._store_batch(batch)
                batch, doing = [], None
        if batch:
            self._store_batch(batch)
        if count:
            _log.info("pipeline: took up %d records that an earlier process had accepted", count)

    def _take(self) -> list[Record]:
        """Wait for a batch: `flush_rows`, or what came within `flush_interval_s`. Empty: closed, and nothing waits."""
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
                rows += record.payload.count(b"\n") + 1
                self.waiting_bytes -= len(record.payload)
                batch.append(record)
            self._waiting_rows -= rows
            self._oldest_s = time.monotonic()
            return batch

    def _store_batch(self, batch: Sequence[Record]) -> None:
        rows = b"\n".join(record.payload for record in batch)
        end: Position = batch[-1].end
        token = self._insist(lambda: self._journal.begin(end))
        self._insert(rows.split(b"\n"), rows, token)
        self._insist(self._journal.finish)
        if self._live.is_watched:
            self._tell(rows)

    def _insist(self, step: Callable[[], _T]) -> _T:
        """Do *step* until it is done: a store that is away, and a disk that is full, are waited for.

        Raises _StoppedError: the instance closes first; the journal keeps what is not stored.
        """
        tries = 0
        while True:
            try:
                done = step()
            except RowsRefusedError:
                raise
            except (StoreError, OSError) as error:
                tries += 1
                self.last_error = str(error)
                _log.error("pipeline: try %d failed: %s", tries, str(error)[:500])
                with self._work:
                    if self._closed:
                        raise _StoppedError from error
                    self._work.wait_for(lambda: self._closed, min(_FIRST_RETRY_S * 2**tries, _LONGEST_RETRY_S))
            else:
                self.last_error = None
                return done

    def _insert(self, lines: Sequence[bytes], rows: bytes, token: str) -> None:
        """Insert *lines*; of what is refused as a whole the halves, down to the single rows that are the reason."""
        try:
            self._insist(lambda: self._store.insert_events(rows, token))
        except RowsRefusedError as error:
            if len(lines) == 1:
                reason = str(error)
                self._insist(lambda: self._set_aside(lines[0], reason))
                return
            middle = len(lines) // 2
            for part, half in ((lines[:middle], "a"), (lines[middle:], "b")):
                self._insert(part, b"\n".join(part), token + half)
        else:
            self.stored_rows += len(lines)

    def _set_aside(self, line: bytes, reason: str) -> None:
        with self._rejected_path.open("ab") as file:
            file.write(line + b"\n")
        self.rejected_rows += 1
        _log.error("pipeline: the store refuses an event for good (%s); kept in %s", reason[:500], self._rejected_path)

    def _tell(self, rows: bytes) -> None:
        try:
            self._live.publish([read_event(line) for line in rows.split(b"\n")])
        except Exception:
            _log.exception("pipeline: live readers could not be told")


class _StoppedError(Exception):
    """Closed while the store was away."""


def _rows_of(batch: Iterable[Record]) -> int:
    return sum(record.payload.count(b"\n") + 1 for record in batch)
