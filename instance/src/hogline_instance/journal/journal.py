"""Group commit: one thread writes all queued appends, syncs once, and then wakes their waiters."""

import logging
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from hogline_instance.exceptions import JournalFullError
from hogline_instance.journal.checkpoint import Checkpoint, read_checkpoint, read_or_make_id, write_checkpoint
from hogline_instance.journal.files import sync_folder
from hogline_instance.journal.records import (
    HEADER_BYTES,
    Damage,
    Position,
    Record,
    frame,
    read_segment,
    segment_number,
    segment_path,
)

__all__ = ["Commit", "Journal"]

_log = logging.getLogger("hogline.instance")
# The most appends that are queued for the disk; more means that the disk does not respond.
_MAX_WAITING_BYTES = 256 * 1024 * 1024
_SAY_EVERY_S = 10.0


class Commit(NamedTuple):
    """Appends that were written together: their waiters, and their records or the error."""

    waiters: Sequence[Any]
    records: Sequence[Record]
    error: OSError | None


class Journal:
    """An append-only log in *folder*.

    Call `append` from any thread; *on_commit* is called on the journal's own thread.
    """

    def __init__(
        self,
        folder: Path,
        *,
        max_bytes: int,
        segment_bytes: int,
        commit_window_s: float,
        on_commit: Callable[[Commit], None],
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._max_bytes = max_bytes
        self._segment_bytes = segment_bytes
        self._commit_window_s = commit_window_s
        self._on_commit = on_commit
        self._work = threading.Condition()
        self._waiting: list[tuple[bytes, Any]] = []
        self._waiting_bytes = 0
        self._closed = False
        self._unsaid_bytes = 0
        self._said_s = float("-inf")
        self._sizes = {number: path.stat().st_size for number, path in self._segments()}
        self.damaged_bytes = 0
        self.id = read_or_make_id(folder)
        numbers = sorted(self._sizes)
        checkpoint = read_checkpoint(folder, self._sizes)
        first = Position(numbers[0] if numbers else 1, 0)
        self.checkpoint = checkpoint or Checkpoint(first)
        # Never append to a segment of an earlier process: its last record may be torn.
        self._segment = self._first_own = max(numbers[-1] if numbers else 0, self.checkpoint.done.segment) + 1
        self._file: int | None = None
        self._thread = threading.Thread(target=self._run, name="hogline-journal", daemon=True)
        self._thread.start()

    @property
    def size_bytes(self) -> int:
        """The size on disk. A segment is removed when all its records are processed."""
        return sum(list(self._sizes.values()))

    def append(self, payload: bytes, waiter: Any) -> None:
        """Queue *payload*; the `Commit` that reports it on disk holds *waiter*.

        Raises JournalFullError: nothing can be accepted now; its message is the reason.
        """
        size = len(payload) + HEADER_BYTES
        with self._work:
            if self._closed:
                raise JournalFullError("the instance is shutting down")
            if self.size_bytes + self._waiting_bytes + size > self._max_bytes:
                raise JournalFullError(
                    f"the journal is full (journal_max_bytes={self._max_bytes}); the store lags behind"
                )
            if self._waiting_bytes + size > _MAX_WAITING_BYTES:
                raise JournalFullError("the disk does not keep up")
            self._waiting.append((payload, waiter))
            self._waiting_bytes += size
            if len(self._waiting) == 1:
                self._work.notify()

    def unread(self) -> Iterator[Record]:
        """Yield the unprocessed records of earlier processes.

        Damaged bytes are copied to a file, counted and skipped.
        """
        done = self.checkpoint.done
        for number, path in sorted(self._segments()):
            if number >= self._first_own or number < done.segment:
                continue
            for found in read_segment(path, number, done.offset if number == done.segment else 0):
                if isinstance(found, Record):
                    yield found
                else:
                    self._set_aside(path, found)

    def begin(self, end: Position) -> str:
        """Record that the range up to *end* is in progress; return the range's name.

        The range keeps its name after a restart.
        """
        done, name = self.checkpoint.done, self._name(end)
        begun = Checkpoint(done, end, name)
        write_checkpoint(self._folder, begun)
        self.checkpoint = begun
        return name

    def finish(self) -> None:
        """Record that the range in progress is processed, and remove unneeded segments."""
        end = self.checkpoint.doing
        if end is None:
            return
        finished = Checkpoint(end)
        write_checkpoint(self._folder, finished)
        self.checkpoint = finished
        for number in [number for number in list(self._sizes) if number < end.segment]:
            segment_path(self._folder, number).unlink(missing_ok=True)
            self._sizes.pop(number, None)

    def probe(self) -> None:
        """Write and sync a file beside the segments.

        Raises OSError: the disk accepts no writes now.
        """
        path = self._folder / "probe"
        with path.open("wb") as file:
            file.write(bytes(HEADER_BYTES))
            file.flush()
            os.fsync(file.fileno())
        path.unlink(missing_ok=True)

    def close(self) -> None:
        """Write the queued appends, and stop."""
        with self._work:
            self._closed = True
            self._work.notify()
        self._thread.join()
        self._close_segment()

    def _name(self, end: Position) -> str:
        done, doing, name = self.checkpoint.done, self.checkpoint.doing, self.checkpoint.name
        places = f"{done.segment}.{done.offset}-{end.segment}.{end.offset}"
        if end == doing:
            # An earlier process began the range. The first versions named a range by its positions
            # and stored no name.
            return name or places
        return f"{self.id}:{places}"

    # -- the journal's thread ---------------------------------------------------------------

    def _run(self) -> None:
        while True:
            with self._work:
                while not self._waiting and not self._closed:
                    self._work.wait()
                if not self._waiting:
                    return
            if self._commit_window_s and not self._closed:
                time.sleep(self._commit_window_s)
            with self._work:
                group, self._waiting = self._waiting, []
                group_bytes, self._waiting_bytes = self._waiting_bytes, 0
            waiters = [waiter for _, waiter in group]
            try:
                commit = Commit(waiters, self._write([payload for payload, _ in group]), None)
            except OSError as error:
                self._say_failed(group_bytes, error)
                commit = Commit(waiters, [], error)
            try:
                self._on_commit(commit)
            except Exception:
                _log.exception("journal: waking the waiters failed")

    def _say_failed(self, size_bytes: int, error: OSError) -> None:
        self._unsaid_bytes += size_bytes
        if time.monotonic() - self._said_s >= _SAY_EVERY_S:
            _log.error("journal: %d bytes could not be written: %s", self._unsaid_bytes, error)
            self._said_s, self._unsaid_bytes = time.monotonic(), 0

    def _write(self, payloads: Sequence[bytes]) -> list[Record]:
        """Append and sync.

        After a failure the segment is cut back to its old size, so that no part of a write counts.
        """
        handle = self._open_segment()
        begin = offset = self._sizes[self._segment]
        records = []
        for payload in payloads:
            offset += HEADER_BYTES + len(payload)
            records.append(Record(payload, Position(self._segment, offset)))
        try:
            _write_all(handle, b"".join(map(frame, payloads)))
            os.fdatasync(handle)
        except OSError:
            self._abandon_segment(handle, begin)
            raise
        self._sizes[self._segment] = offset
        if offset >= self._segment_bytes:
            self._close_segment()
            self._segment += 1
        return records

    def _open_segment(self) -> int:
        if self._file is None:
            path = segment_path(self._folder, self._segment)
            self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            self._sizes[self._segment] = os.fstat(self._file).st_size
            sync_folder(self._folder)
        return self._file

    def _abandon_segment(self, handle: int, good_bytes: int) -> None:
        # After a failed fsync the page cache may not match the disk, and only a restart reads the
        # segment back. So the segment ends here, and the next append begins another.
        try:
            os.ftruncate(handle, good_bytes)
        except OSError as error:
            _log.error("journal: segment %d keeps a torn tail: %s", self._segment, error)
        self._close_segment()
        if good_bytes == 0:
            # Remove the segment, since it is empty: a full disk must not collect empty files.
            segment_path(self._folder, self._segment).unlink(missing_ok=True)
            self._sizes.pop(self._segment, None)
        self._segment += 1

    def _close_segment(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _segments(self) -> Iterator[tuple[int, Path]]:
        for path in self._folder.iterdir():
            number = segment_number(path)
            if number is not None:
                yield number, path

    def _set_aside(self, path: Path, damage: Damage) -> None:
        self.damaged_bytes += damage.size_bytes
        kept = self._folder / f"damaged-{damage.segment:012d}-{damage.offset}"
        with path.open("rb") as file:
            file.seek(damage.offset)
            kept.write_bytes(file.read(damage.size_bytes))
        _log.warning(
            "journal: %d bytes hold no whole record (a write that a crash cut off); kept in %s",
            damage.size_bytes,
            kept.name,
        )


def _write_all(handle: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(handle, view) :]
