"""The spool of one client.

It has its own segments, a backlog of dead processes' segments, and memory where the disk fails.

Own events go to the newest segment before `add` returns, and are read back when they are sent:
memory holds only the batch in flight. The backlog is drained first, by one process for each folder.
Events that the disk does not take wait in memory, behind those on disk, and move there once the
disk takes them again. A spool is not thread-safe: the queue that owns it holds a lock. A signal
handler may call `add` at any moment.
"""

import contextlib
import errno
import os
import sys
import time
from collections import deque
from collections.abc import Sequence
from hashlib import sha256
from urllib.parse import urlsplit

from hogline.delivery.outbox import MemoryOutbox
from hogline.delivery.pending import Event, finished
from hogline.delivery.spool.backlog import Backlog
from hogline.delivery.spool.segment import Segment
from hogline.settings import ClientSettings
from hogline.wire.records import frame

__all__ = ["Spool"]

_SEGMENT_BYTES = 1024 * 1024  # a segment is removed as a whole
_RECOUNT_BYTES = 256 * 1024  # other processes write to the folder too
_RETRY_S = 1.0  # after a failure of the disk
_VERIFY_EVERY_S = 10.0  # whether the files still have their names


class Spool:
    """An `Outbox` on disk."""

    def __init__(self, settings: ClientSettings, memory: MemoryOutbox) -> None:
        self.folder: str = os.path.join(settings.spool_dir or "", _folder_name(settings))  # noqa: PTH118
        self._max_bytes = settings.spool_max_bytes
        self._segment_bytes = min(_SEGMENT_BYTES, settings.spool_max_bytes // 8)
        self._memory = memory
        # The process's own segments, oldest first. The last one is being written.
        self._segments: deque[Segment] = deque()
        self._backlog = Backlog(self.folder)
        # Places of events in flight, by the id of their bytes.
        self._places: dict[int, tuple[Segment, int, int]] = {}
        self._queued = 0  # events on disk that wait
        self._queued_bytes = 0
        self._written = 0  # events on disk, waiting or in flight
        self._room_bytes = 0  # that may be written before the folder is measured again
        self._is_sealed = False  # the last segment takes no more events
        self._is_full = False  # the last write that failed found no room
        self._retry_at_s = 0.0
        self._verify_at_s = time.monotonic() + _VERIFY_EVERY_S
        self._has_lost = False  # files are known to have lost their names
        self._inside = 0  # number of running calls whose files a signal handler must leave alone
        self.has_backlog: bool = True
        self.recovered: int = 0
        self.lost: int = 0
        self.damaged_bytes: int = 0
        self._problem: tuple[str, str] | None = None

    def __len__(self) -> int:
        return self._queued + len(self._memory)

    @property
    def size_bytes(self) -> int:
        """Bytes of all events that wait, on disk and in memory."""
        return self._queued_bytes + self._memory.size_bytes

    @property
    def problem(self) -> tuple[str, str] | None:
        """The problem with the disk: its kind and a text for the log."""
        backlog = self._backlog.problem
        return self._problem or (("read", backlog) if backlog is not None else None)

    @problem.setter
    def problem(self, value: tuple[str, str] | None) -> None:
        if self._problem is None:
            self._backlog.problem = None
        self._problem = value

    @property
    def is_stuck(self) -> bool:
        """Whether the last look found a file of a dead process that cannot be opened."""
        return self._backlog.is_stuck

    @property
    def on_disk(self) -> int:
        """Events, waiting or in flight, that the next process would find."""
        lost = {id(segment): segment for segment in self._all_segments() if not segment.is_found()}
        self._has_lost = self._has_lost or bool(lost)
        in_flight = sum(id(segment) in lost for segment, _, _ in self._places.values())
        return self._written - in_flight - sum(segment.queued for segment in lost.values())

    def _all_segments(self) -> list[Segment]:
        return [*self._backlog.segments, *self._segments]

    # -- in ----------------------------------------------------------------------------------------

    def add(self, event: Event) -> bool:
        """Write *event* to disk, or keep it in memory if that fails.

        Return whether there was room in either.
        """
        event = finished(event)
        if self._memory and not self._move_to_disk():
            return self._memory.add(event)
        return self._write(event) or self._memory.add(event)

    def extend(self, events: Sequence[Event]) -> None:
        """Add *events*, one after the other."""
        for event in events:
            self.add(event)

    def _write(self, event: bytes) -> bool:
        if self._retry_at_s and time.monotonic() < self._retry_at_s:
            return False
        if self._has_lost:  # their events are older
            self._restore()
        record = frame(event)
        size = len(record)
        try:
            if self._room_bytes < size and not self._find_room(size):
                self._is_full = size <= self._max_bytes
                return self._fail(f"is full (spool_max_bytes={self._max_bytes})")
            segment = self._segment_for(size)
            self._inside += 1
            try:
                segment.append(record)
                segment.queued += 1
                self._queued += 1
                self._queued_bytes += len(event)
                self._written += 1
            finally:
                self._inside -= 1
        except OSError as error:
            # The bytes behind the last record are unknown then; an empty file may be tried again.
            self._is_sealed = bool(self._segments and self._segments[-1].size_bytes)
            self._is_full = error.errno in (errno.ENOSPC, errno.EDQUOT)
            return self._fail(f"cannot be written ({error})")
        self._room_bytes -= size
        if not segment.is_found():
            self._restore()
        return True

    def _segment_for(self, size: int) -> Segment:
        """Return the segment that takes a record of *size* bytes."""
        segment = self._segments[-1] if self._segments else None  # making room may have removed it
        is_full = segment is not None and segment.size_bytes and segment.size_bytes + size > self._segment_bytes
        if segment is None or is_full or segment.is_lost or self._is_sealed:
            segment = self._new_segment()
            self._segments.append(segment)
            self._is_sealed = False
        return segment

    def _new_segment(self) -> Segment:
        os.makedirs(self.folder, mode=0o700, exist_ok=True)  # noqa: PTH103
        return Segment.create(self.folder)

    def _find_room(self, size: int) -> bool:
        room_bytes = self._max_bytes - self._used_bytes()
        if room_bytes < size and self._segments and not self._inside and self._is_done(self._segments[-1]):
            self._segments.pop().remove()
            room_bytes = self._max_bytes - self._used_bytes()
        self._room_bytes = min(room_bytes, _RECOUNT_BYTES + size)
        return room_bytes >= size

    def _used_bytes(self) -> int:
        """Return the size of the folder, whichever processes wrote there."""
        used = 0
        if os.path.isdir(self.folder):  # noqa: PTH112
            with os.scandir(self.folder) as entries:
                for entry in entries:
                    try:
                        used += entry.stat(follow_symlinks=False).st_size
                    except FileNotFoundError:
                        continue
        return used

    def _fail(self, what: str) -> bool:
        self._retry_at_s = time.monotonic() + _RETRY_S
        self._room_bytes = 0
        self._problem = ("write", f"the spool {self.folder} {what}; events wait in memory only")
        return False

    def _move_to_disk(self) -> bool:
        """Write events that wait in memory to disk, oldest first.

        Return whether none waits in memory any more.
        """
        while waiting := self._memory.take(1, 0):
            if not self._write(waiting[0]):
                self._memory.put_back(waiting[0])
                return False
        return True

    def drop_oldest(self) -> list[bytes]:
        """Remove and return the events that wait in the oldest file, if the disk is full.

        If it is not, remove and return the oldest event in memory.

        Only a whole file gives its bytes back. Files with events in flight stay, and so do files of
        living processes.
        """
        self.recovered = 0
        if self._is_full and not self._inside:
            for segment in self._all_segments():
                if segment.exhausted or self._has_in_flight(segment):
                    continue
                if self._segments and segment is self._segments[-1]:
                    self._is_sealed = True
                if events := self._drop(segment):
                    return events
        return self._memory.drop_oldest()

    def _drop(self, segment: Segment) -> list[bytes]:
        """Remove and return the events that wait in *segment*; `take` removes the file."""
        own, events = segment in self._segments, []
        self._inside += 1
        try:
            while batch := self._read(segment, sys.maxsize, self._max_bytes):
                events += batch
        finally:
            self._inside -= 1
        for event in events:
            self._places.pop(id(event), None)
        if own:
            segment.queued -= len(events)
            self._queued -= len(events)
            freed = sum(map(len, events))
            self._queued_bytes -= freed
            self._written -= len(events)
        else:
            self.recovered = len(events)
        segment.discard()
        self._room_bytes = self._retry_at_s = 0
        return events

    def drop_unsaved(self) -> list[bytes]:
        """Remove and return the events that wait in memory.

        Events in files that no other process would find count as such.
        """
        self._restore()
        events: list[bytes] = []
        for segment in list(self._segments):
            if segment.is_lost:
                events += self._drop(segment)
        return events + self._memory.drop_unsaved()

    # -- out ---------------------------------------------------------------------------------------

    def take(self, max_events: int, max_bytes: int) -> list[bytes]:
        """Hand out the oldest events.

        Events of dead processes come first, then those on disk, then those in memory.

        Hands out nothing, once, after the last event of dead processes: from then on `has_backlog`
        is False.
        """
        self._inside += 1
        try:
            return self._take(max_events, max_bytes)
        finally:
            self._inside -= 1

    def _take(self, max_events: int, max_bytes: int) -> list[bytes]:
        self.recovered = 0
        if batch := self._take_from_backlog(max_events, max_bytes):
            return batch
        self._backlog.release()
        if self.has_backlog:  # own events may not be due yet
            self.has_backlog = False
            return []
        while self._segments:
            segment = self._segments[0]
            batch = self._read(segment, max_events, max_bytes)
            if batch:
                segment.queued -= len(batch)
                self._queued -= len(batch)
                freed = sum(map(len, batch))
                self._queued_bytes -= freed
                return batch
            if len(self._segments) == 1:
                break
            self._retire(self._segments.popleft())
        return self._memory.take(max_events, max_bytes)

    def _take_from_backlog(self, max_events: int, max_bytes: int) -> list[bytes]:
        backlog = self._backlog
        backlog.adopt(self._segments)
        while backlog.segments:
            batch = self._read(backlog.segments[0], max_events, max_bytes)
            if batch:
                self.recovered = len(batch)
                self._written += len(batch)
                return batch
            backlog.segments.popleft().remove()
            if not backlog.segments:
                backlog.adopt(self._segments)
        return []

    def _read(self, segment: Segment, max_events: int, max_bytes: int) -> list[bytes]:
        if segment.exhausted:
            return []
        try:
            found = segment.read(max_events, max_bytes)
        except OSError as error:
            self._problem = (
                "read",
                f"the spool's file {segment.path} cannot be read ({error}); it is kept as unreadable-...",
            )
            self.damaged_bytes += segment.size_bytes - segment.offset
            segment.offset = segment.size_bytes
            name = f"unreadable-{os.path.basename(segment.path)}"  # noqa: PTH119
            with contextlib.suppress(OSError):
                os.rename(segment.path, os.path.join(self.folder, name))  # noqa: PTH104, PTH118
            return []
        if segment.damage:
            self._set_aside(segment)
        for event, begin, end in found:
            self._places[id(event)] = (segment, begin, end)
        return [one.event for one in found]

    def _retire(self, segment: Segment) -> None:
        """Remove an own segment whose events were all handed out and settled."""
        if segment.queued:  # the disk gave back less than it took
            self.lost += segment.queued
            self._queued -= segment.queued
            self._written -= segment.queued
            if not self._queued:
                self._queued_bytes = 0
        segment.remove()
        self._retry_at_s = self._room_bytes = 0

    def _set_aside(self, segment: Segment) -> None:
        """Keep the damaged bytes of *segment* in files of their own."""
        for offset, data in segment.damage:
            self.damaged_bytes += len(data)
            kept = os.path.join(self.folder, f"damaged-{os.path.basename(segment.path)}-{offset}")  # noqa: PTH118, PTH119
            self._problem = ("damage", f"{len(data)} bytes of {segment.path} hold no event; they are kept in {kept}")
            try:
                if self._used_bytes() + len(data) <= self._max_bytes:
                    with open(kept, "wb") as file:  # noqa: PTH123
                        file.write(data)
            except OSError as error:
                self._problem = (
                    "damage",
                    f"{len(data)} bytes of {segment.path} hold no event, and could not be kept ({error})",
                )
        segment.damage.clear()

    def settle(self, batch: Sequence[bytes]) -> None:
        """Record on disk that *batch* is settled, so that no process sends it again."""
        if any(not segment.is_found() for segment in {self._places[id(e)][0] for e in batch if id(e) in self._places}):
            self._restore()
        places: dict[Segment, list[tuple[int, int]]] = {}
        for event in batch:
            place = self._places.pop(id(event), None)
            if place is not None:
                self._written -= 1
                places.setdefault(place[0], []).append(place[1:])
        for segment, settled in places.items():
            try:
                segment.settle(settled)
            except OSError as error:
                self._problem = (
                    "note",
                    f"the spool {self.folder} cannot note what was sent ({error}); it may be sent again",
                )

    def is_on_disk(self, event: bytes) -> bool:
        """Return whether the next process would find *event*, which was taken."""
        place = self._places.get(id(event))
        return place is not None and place[0].is_found()

    # -- the backlog of dead processes -------------------------------------------------------------

    def find_backlog(self) -> None:
        """Set `has_backlog` if there are segments of dead processes."""
        if self._backlog.find(self._segments):
            self.has_backlog = True

    def backlog_check_in_s(self, now_s: float) -> float | None:
        """Return in how many seconds the next regular look for a backlog is due."""
        return self._backlog.check_in_s(now_s)

    # -- files that somebody removed, moved or replaced --------------------------------------------

    def maintain(self, now_s: float) -> float | None:
        """Verify, every ten seconds, that the next process would find the files.

        Return when to call this again.
        """
        if now_s >= self._verify_at_s:
            self._verify_at_s = now_s + _VERIFY_EVERY_S
            self._restore()
        return self._verify_at_s - now_s

    def _restore(self) -> None:
        """Write the unsettled events of files that lost their names into new files.

        The next process then finds them.
        """
        # A signal handler interrupted a call that uses these files; the next call restores them.
        if self._inside:
            return
        self._inside += 1
        self._has_lost = False
        try:
            for segments in (self._backlog.segments, self._segments):
                for segment in list(segments):
                    if not segment.is_found():
                        self._restore_one(segment, segments)
        except OSError as error:
            self._has_lost = True
            self._problem = (
                "files",
                f"files of the spool {self.folder} were removed, moved or replaced, and cannot be written anew ({error})",
            )
        finally:
            self._inside -= 1

    def _restore_one(self, segment: Segment, segments: deque[Segment]) -> None:
        if segments is self._segments and segment is segments[-1]:
            self._is_sealed = True  # a signal handler may add an event meanwhile
        if self._is_done(segment):
            segments.remove(segment)
        else:
            segments[segments.index(segment)] = fresh = self._rewritten(segment)
            self._problem = (
                "files",
                f"the spool's file {segment.path} was removed, moved or replaced; its events are in {fresh.path} now",
            )
            with contextlib.suppress(OSError):
                segment.truncate()
        segment.close(unlock=True)
        self._room_bytes = 0

    def _rewritten(self, segment: Segment) -> Segment:
        """Return a new segment with the unsettled events of *segment*.

        Raises OSError: nothing has changed.
        """
        fresh, places, offset = self._new_segment(), {}, segment.offset
        try:
            for key, (holder, begin, end) in self._places.items():
                if holder is segment:
                    fresh.append(segment.at(begin, end))
                    places[key] = (fresh, fresh.size_bytes - (end - begin), fresh.size_bytes)
            fresh.offset = fresh.size_bytes  # these were handed out
            for found in segment.read(sys.maxsize, self._max_bytes):
                fresh.append(frame(found.event))
        except BaseException:
            segment.offset = offset
            segment.damage.clear()
            fresh.remove()
            raise
        if segment.damage:
            self._set_aside(segment)
        fresh.queued = segment.queued
        self._places.update(places)
        return fresh

    # -- the end -----------------------------------------------------------------------------------

    def _has_in_flight(self, segment: Segment) -> bool:
        return any(place[0] is segment for place in self._places.values())

    def _is_done(self, segment: Segment) -> bool:
        return segment.exhausted and not self._has_in_flight(segment)

    def close(self, *, keep_in_flight: bool = False) -> None:
        """Remove the segments whose events are settled.

        The others stay for the next process. With *keep_in_flight*, those with events in flight stay
        locked until the next call.
        """
        self._restore()
        for segments in (self._backlog.segments, self._segments):
            for segment in list(segments):
                if keep_in_flight and self._has_in_flight(segment):
                    continue
                segments.remove(segment)
                if self._is_done(segment):
                    segment.remove()
                else:
                    segment.close(unlock=True)
        self._backlog.release()
        if not self._all_segments():
            self.forget()

    def forget(self) -> None:
        """Close all files and locks, as the child of a fork does with its parent's."""
        self._backlog.forget()
        for segment in self._segments:
            segment.close()
        self._segments.clear()
        self._places.clear()


def _folder_name(settings: ClientSettings) -> str:
    """Return the folder of one project on one host.

    Clients of others may share `spool_dir`, their events never mix.
    """
    parts = (settings.host, settings.project_token, str(settings.historical_migration))
    digest = sha256("\0".join(parts).encode()).hexdigest()[:12]
    return f"{urlsplit(settings.host).hostname}-{digest}"
