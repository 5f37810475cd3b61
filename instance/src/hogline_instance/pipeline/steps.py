"""Steps: features process a batch before it is stored, in one SQL transaction per batch.

A batch may be processed again, after a crash or a lost connection. The transaction records the
batch's name, and the rows that the steps returned are on disk before it commits. So a recorded name
means that the steps are done: they are not called again, and the same rows go to the store.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

from sqlalchemy.exc import DataError, DBAPIError, IntegrityError
from sqlalchemy.orm import Session

from hogline_instance.db import Database, utc_now
from hogline_instance.events.event import StoredEvent, read_event
from hogline_instance.events.row import encode_row
from hogline_instance.pipeline.prepared import PreparedBatch, PreparedBatches
from hogline_instance.pipeline.tables import PipelineBatchRow

__all__ = ["Batch", "Step", "StepRunner"]

_log = logging.getLogger("hogline.instance")
_MAX_CONFLICTS = 3


@dataclass(slots=True)
class Batch:
    """The events of one batch, which are stored together.

    *name* is unique, and the same when the batch is processed again.
    """

    name: str
    rows: list[StoredEvent]
    dropped: dict[str, int] = field(default_factory=dict)
    """Counts of the events that the steps dropped, by reason."""
    is_repeated: bool = False
    """Whether the steps' SQL changes are committed already, so that a step must make none."""
    after_commit: list[Callable[[], object]] = field(default_factory=list)
    """Functions to call once the batch is committed. A crash may prevent the call."""
    follows: bool = False
    """Whether nobody has written to the database since the batch before was committed, so that what
    a step knew then, after its commit, is still true."""

    def drop(self, unwanted: Callable[[StoredEvent], bool], reason: str) -> None:
        """Remove the events for which *unwanted* returns True, and count them under *reason*."""
        kept = [row for row in self.rows if not unwanted(row)]
        if len(kept) < len(self.rows):
            self.dropped[reason] = self.dropped.get(reason, 0) + len(self.rows) - len(kept)
        self.rows = kept


class Step(Protocol):
    """A feature's processing of each batch: it may change and drop rows, and read and write SQL."""

    def apply(self, batch: Batch, session: Session) -> None:
        """Process *batch* in the transaction of *session*; the caller commits.

        Run a fixed number of SQL statements per batch, never one per event. Use no state of earlier
        batches unless `batch.follows`: somebody may have changed the database since. When this
        raises, the transaction is rolled back and the halves of the batch are tried, down to the
        single events that cannot be processed.
        """
        ...


class StepRunner:
    """Runs *steps* once on each batch.

    *folder* is the data folder, which keeps the rows of the batches that are not stored yet.
    """

    def __init__(self, steps: Sequence[Step], database: Database, *, journal_id: str, folder: Path) -> None:
        self._steps = tuple(steps)
        self._writer = database.writer()
        self._journal_id = journal_id
        self.prepared = PreparedBatches(folder)
        self._conflicts: tuple[str, int] = ("", 0)

    def run(self, name: str, lines: Sequence[bytes]) -> PreparedBatch:
        """Run the steps on the rows *lines*, and return the rows to store.

        Raises SQLAlchemyError or OSError: the database or the disk is unavailable; run the same
        batch again.
        """
        with self._writer.transaction() as (session, follows):
            record = session.get(PipelineBatchRow, self._journal_id, with_for_update=True)
            is_repeated = record is not None and record.name == name
            if is_repeated:
                prepared = self.prepared.read(name)
                if prepared is not None:
                    return prepared
                _log.warning("pipeline: the prepared rows of batch %s are missing; its steps run a second time", name)
            after: list[Callable[[], object]] = []
            whole = Batch(name, [], is_repeated=is_repeated, after_commit=after, follows=follows)
            prepared = self._processed(whole, lines, session)
            self.prepared.write(prepared)
            if record is None:
                session.add(PipelineBatchRow(journal_id=self._journal_id, name=name, committed_at=utc_now()))
            else:
                record.name, record.committed_at = name, utc_now()
        for call in dict.fromkeys(after):
            try:
                call()
            except Exception:
                _log.exception("pipeline: work after the commit of batch %s failed", name)
        return prepared

    def _processed(self, whole: Batch, lines: Sequence[bytes], session: Session) -> PreparedBatch:
        name, planned = whole.name, len(whole.after_commit)
        try:
            with session.begin_nested():
                rows = [read_event(line) for line in lines]
                batch = replace(whole, rows=rows, dropped={})
                for step in self._steps:
                    step.apply(batch, session)
                session.flush()
                return PreparedBatch(name, [encode_row(row) for row in batch.rows], batch.dropped, [])
        except Exception as error:
            if self._passes(name, error):
                raise
            if len(lines) == 1:
                return PreparedBatch(name, [], {}, [(lines[0], repr(error)[:1_000])])
            _log.warning("pipeline: a step failed on %d events; trying halves: %r", len(lines), error)
        del whole.after_commit[planned:]
        whole.follows = False
        session.expunge_all()  # objects of the failed attempt hold values that were rolled back
        middle = len(lines) // 2
        first = self._processed(whole, lines[:middle], session)
        second = self._processed(whole, lines[middle:], session)
        return first.joined_with(second)

    def _passes(self, name: str, error: Exception) -> bool:
        """Return whether *error* is a state of the database rather than a fault of the events."""
        if isinstance(error, IntegrityError):
            # Another node wrote the same row first. The next try sees it; an event that always
            # conflicts is faulty.
            known, count = self._conflicts
            self._conflicts = (name, count + 1 if known == name else 1)
            return self._conflicts[1] <= _MAX_CONFLICTS
        return isinstance(error, DBAPIError) and not isinstance(error, DataError)
