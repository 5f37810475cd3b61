"""The thread that inserts prepared batches, while the steps of the next one run."""

import logging
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from hogline_instance.events.event import read_event
from hogline_instance.exceptions import RowsRefusedError
from hogline_instance.pipeline.bus import LiveBus
from hogline_instance.pipeline.prepared import PreparedBatch
from hogline_instance.pipeline.retries import Retries, StoppedError
from hogline_instance.store import Store

__all__ = ["Inserter"]

_log = logging.getLogger("hogline.instance")
_REJECTED_FILE = "rejected.jsonl"


class Inserter:
    """Inserts one batch after the other, and retries each until the store has it.

    *on_stored* is called with the name of each batch once the store has it.
    """

    def __init__(self, store: Store, live: LiveBus, on_stored: Callable[[str], None], *, data_dir: Path) -> None:
        self._store = store
        self._live = live
        self._on_stored = on_stored
        self._rejected_path = data_dir / _REJECTED_FILE
        self._retries = Retries()
        self._changed = threading.Condition()
        self._batch: PreparedBatch | None = None
        self._closed = False
        self.stored_rows = 0
        self.rejected_rows = 0
        self.dropped_rows: dict[str, int] = {}
        """Counts of the events that the steps dropped since the start, by reason."""
        self._thread = threading.Thread(target=self._run, name="hogline-inserter", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    @property
    def last_error(self) -> str | None:
        """The error for which a batch is being retried, or None."""
        return self._retries.last_error

    def add(self, batch: PreparedBatch) -> None:
        """Wait until the batch before is stored, and let the thread begin with *batch*.

        Raises StoppedError: the store is away, and `stop_retrying` was called.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._batch is None or self._closed)
            if self._closed:
                raise StoppedError
            self._batch = batch
            self._changed.notify_all()

    def stop_retrying(self) -> None:
        """Let the next failure be the last."""
        self._retries.stop()

    def close(self) -> None:
        """Wait until the last batch is stored, or failed after `stop_retrying`; then end the thread."""
        with self._changed:
            self._changed.wait_for(lambda: self._batch is None or self._closed)
            self._closed = True
            self._changed.notify_all()
        self._thread.join()

    def store(self, batch: PreparedBatch) -> None:
        """Store *batch* on the caller's thread, which must be the only one to do so."""
        for reason, count in batch.dropped.items():
            self.dropped_rows[reason] = self.dropped_rows.get(reason, 0) + count
        for line, reason in batch.rejected:
            self._set_aside(line, f"a step failed on it: {reason}")
        if batch.lines:
            self._insert(batch.lines, batch.name)
        self._retries.run(lambda: self._on_stored(batch.name))
        if self._live.is_watched:
            self._publish(batch.lines)

    # -- the inserter's thread -----------------------------------------------------------------

    def _run(self) -> None:
        try:
            with self._retries.until_the_end():
                while (batch := self._next()) is not None:
                    self.store(batch)
                    del batch
                    self._set_idle()
        finally:
            with self._changed:
                self._closed = True
                self._changed.notify_all()

    def _next(self) -> PreparedBatch | None:
        with self._changed:
            self._changed.wait_for(lambda: self._batch is not None or self._closed)
            return self._batch

    def _set_idle(self) -> None:
        with self._changed:
            self._batch = None
            self._changed.notify_all()

    def _insert(self, lines: Sequence[bytes], token: str) -> None:
        """Insert *lines*.

        When the store refuses them, insert the halves, down to the single rows that are invalid.
        """
        rows = b"\n".join(lines)
        try:
            self._retries.run(lambda: self._store.insert_events(rows, token))
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

        self._retries.run(append)
        self.rejected_rows += 1
        _log.error("pipeline: an event cannot be stored (%s); kept in %s", reason[:500], self._rejected_path)

    def _publish(self, lines: Sequence[bytes]) -> None:
        try:
            self._live.publish([read_event(line) for line in lines])
        except Exception:
            _log.exception("pipeline: publishing to live readers failed")
