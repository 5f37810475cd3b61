"""The pipeline's thread: it reads committed records, runs the steps, and hands each batch on.

A batch is on disk until the store has it: in the journal, and after its steps as a prepared batch.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Iterable, Sequence
from pathlib import Path

from hogline_instance.journal import Journal, Record
from hogline_instance.pipeline.bus import LiveBus
from hogline_instance.pipeline.inserter import Inserter
from hogline_instance.pipeline.prepared import PreparedBatch
from hogline_instance.pipeline.retries import Retries
from hogline_instance.pipeline.steps import StepRunner
from hogline_instance.store import Store

__all__ = ["Pipeline"]

_log = logging.getLogger("hogline.instance")


class Pipeline:
    """Runs two threads between journal and store: one for the steps, and one that inserts.

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
        self._journal = journal
        self._steps = steps
        self._inserter = Inserter(store, live, self._forget, data_dir=data_dir)
        self._retries = Retries()
        self._flush_rows = flush_rows
        self._flush_interval_s = flush_interval_s
        self._work = threading.Condition()
        self._waiting: deque[Record] = deque()
        self._waiting_rows = 0
        self.waiting_bytes = 0
        self._oldest_s = 0.0
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="hogline-pipeline", daemon=True)

    @property
    def stored_rows(self) -> int:
        """The number of events that were stored since the start."""
        return self._inserter.stored_rows

    @property
    def rejected_rows(self) -> int:
        """The number of events that a step or the store refused since the start."""
        return self._inserter.rejected_rows

    @property
    def dropped_rows(self) -> dict[str, int]:
        """Counts of the events that the steps dropped since the start, by reason."""
        return self._inserter.dropped_rows

    @property
    def last_error(self) -> str | None:
        """The error for which a batch is being retried, or None."""
        return self._retries.last_error or self._inserter.last_error

    def start(self) -> None:
        """Process the records that an earlier process left in the journal, then new ones."""
        self._inserter.start()
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
        self._retries.stop()
        self._inserter.stop_retrying()
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    # -- the pipeline's thread ---------------------------------------------------------------

    def _run(self) -> None:
        try:
            with self._retries.until_the_end():
                self._store_prepared()
                self._replay()
                while batch := self._take():
                    self._process(batch)
        finally:
            self._inserter.close()

    def _store_prepared(self) -> None:
        """Store the batches whose steps an earlier process ran.

        The steps of the range in progress may not be committed, so `_replay` decides about that.
        """
        if self._steps is not None:
            for batch in self._steps.prepared.unstored(but=self._journal.checkpoint.name):
                self._inserter.add(batch)

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
        name = self._retries.run(lambda: self._journal.begin(records[-1].end))
        steps = self._steps
        if steps is None:
            self._inserter.store(PreparedBatch(name, lines, {}, []))
            self._retries.run(self._journal.finish)
            return
        batch = self._retries.run(lambda: steps.run(name, lines))
        self._retries.run(self._journal.finish)
        self._inserter.add(batch)

    def _forget(self, name: str) -> None:
        if self._steps is not None:
            self._steps.prepared.remove(name)


def _count_rows(records: Iterable[Record]) -> int:
    return sum(record.payload.count(b"\n") + 1 for record in records)
