"""The spool of one client: its own segments, those it took over from dead processes, and memory where the disk fails.

Own events go to the newest segment before `add` returns, and are read back when they leave: memory holds only what is on its
way. Segments of dead processes are drained first, by one process for each folder. Events that the disk does not take wait in
memory, behind those on disk, and move there once it takes them again. Not thread-safe: its owner locks. A signal handler may
call `add` at any moment.
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

from hogline.delivery.outbox import Outbox
from hogline.delivery.spool.lock import DrainLock
from hogline.delivery.spool.segment import Segment
from hogline.settings import ClientSettings
from hogline.wire.records import frame

__all__ = ["Spool"]

_SEGMENT_BYTES = 1024 * 1024  # a segment is removed as a whole
_RECOUNT_BYTES = 256 * 1024  # other processes write to the folder too
_RETRY_S = 1.0  # after a failure of the disk
_LOOK_EVERY_S = 10.0  # for segments of processes that died meanwhile
_MAX_ADOPTED = 64  # open files


class Spool:
    """A `Store` on disk."""

    def __init__(self, settings: ClientSettings, memory: Outbox) -> None:
        self.folder: str = os.path.join(settings.spool_dir or "", _folder_name(settings))  # noqa: PTH118
        self._max_bytes = settings.spool_max_bytes
        self._segment_bytes = min(_SEGMENT_BYTES, settings.spool_max_bytes // 8)
        self._memory = memory
        self._segments: deque[Segment] = deque()  # its own, oldest first; the last is being written
        self._adopted: deque[Segment] = deque()
        self._places: dict[int, tuple[Segment, int, int]] = {}  # of events on their way, by the id of their bytes
        self._queued = 0  # events on disk that wait
        self._queued_bytes = 0
        self._room_bytes = 0  # what may be written before the folder is measured again
        self._sealed = False  # the last segment takes no more
        self._retry_at_s = 0.0
        self._look_at_s = 0.0
        self._lock = DrainLock(self.folder)
        self.behind: bool = True
        self.recovered: int = 0
        self.kept: int = 0
        self.lost: int = 0
        self.damaged_bytes: int = 0
        self.stuck: bool = False
        self._full = False  # what the disk refused last found no room
        self._inside = 0  # of how many calls that a handler must not take files away from
        self.trouble: tuple[str, str] | None = None

    def __len__(self) -> int:
        return self._queued + len(self._memory)

    @property
    def size_bytes(self) -> int:
        """Bytes of what waits, on disk and in memory."""
        return self._queued_bytes + self._memory.size_bytes

    # -- in ---------------------------------------------------------------------------------------------------------

    def add(self, event: bytes) -> bool:
        """Write *event* to disk; where that fails, keep it in memory. False: there is no room in either."""
        if self._memory and not self._move_to_disk():
            return self._memory.add(event)
        return self._write(event) or self._memory.add(event)

    def _write(self, event: bytes) -> bool:
        if self._retry_at_s and time.monotonic() < self._retry_at_s:
            return False
        record = frame(event)
        size = len(record)
        try:
            if self._room_bytes < size and not self._find_room(size):
                self._full = size <= self._max_bytes
                return self._fail(f"is full (spool_max_bytes={self._max_bytes})")
            segment = self._segments[-1] if self._segments else None  # making room may have removed it
            if (
                segment is None
                or self._sealed
                or (segment.size_bytes and segment.size_bytes + size > self._segment_bytes)
            ):
                segment = self._begin_segment()
            self._inside += 1
            try:
                segment.append(record)
                segment.queued += 1
                self._queued += 1
                self._queued_bytes += len(event)
                self.kept += 1
            finally:
                self._inside -= 1
        except OSError as error:
            # What a file holds behind its last record is not known then; an empty one may be tried again.
            self._sealed = bool(self._segments and self._segments[-1].size_bytes)
            self._full = error.errno in (errno.ENOSPC, errno.EDQUOT)
            return self._fail(f"cannot be written ({error})")
        self._room_bytes -= size
        return True

    def _begin_segment(self) -> Segment:
        os.makedirs(self.folder, mode=0o700, exist_ok=True)  # noqa: PTH103
        segment = Segment.create(self.folder)
        self._segments.append(segment)
        self._sealed = False
        return segment

    def _find_room(self, size: int) -> bool:
        room_bytes = self._max_bytes - self._used_bytes()
        if room_bytes < size and self._segments and not self._inside and self._is_done(self._segments[-1]):
            self._segments.pop().remove()
            room_bytes = self._max_bytes - self._used_bytes()
        self._room_bytes = min(room_bytes, _RECOUNT_BYTES + size)
        return room_bytes >= size

    def _used_bytes(self) -> int:
        """Return how large the folder is, whoever wrote there."""
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
        self.trouble = ("write", f"the spool {self.folder} {what}; events wait in memory only")
        return False

    def _move_to_disk(self) -> bool:
        """Write what waits in memory to disk, oldest first; True: nothing waits in memory any more."""
        while waiting := self._memory.take(1, 0):
            if not self._write(waiting[0]):
                self._memory.put_back(waiting[0])
                return False
        return True

    def drop_oldest(self) -> list[bytes]:
        """Remove and return what waits in the oldest of its files, where the disk is full; else the oldest event in memory.

        A file gives its bytes back as a whole. Those with events on their way stay, and so do other processes' own.
        """
        self.recovered = 0
        if self._full and not self._inside:
            for segment in [*self._adopted, *self._segments]:
                if segment.exhausted or any(place[0] is segment for place in self._places.values()):
                    continue
                if self._segments and segment is self._segments[-1]:
                    self._sealed = True
                if events := self._drop(segment):
                    return events
        return self._memory.drop_oldest()

    def _drop(self, segment: Segment) -> list[bytes]:
        """Empty *segment*; `take` removes it."""
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
            self.kept -= len(events)
        else:
            self.recovered = len(events)
        segment.discard()
        self._room_bytes = self._retry_at_s = 0
        return events

    def forgo(self) -> list[bytes]:
        """Remove and return what waits in memory; what is on disk stays."""
        return self._memory.forgo()

    # -- out --------------------------------------------------------------------------------------------------------

    def take(self, max_events: int, max_bytes: int) -> list[bytes]:
        """Hand out the oldest events: those of dead processes, then those on disk, then those in memory.

        Nothing, once, when the last of a dead process has been handed out: `behind` is False from then on.
        """
        self._inside += 1
        try:
            return self._take(max_events, max_bytes)
        finally:
            self._inside -= 1

    def _take(self, max_events: int, max_bytes: int) -> list[bytes]:
        self.recovered = 0
        self._look_around()
        while self._adopted:
            batch = self._read(self._adopted[0], max_events, max_bytes)
            if batch:
                self.recovered = len(batch)
                self.kept += len(batch)
                return batch
            self._adopted.popleft().remove()
            if not self._adopted:
                self._look_around()
        self._lock.release()
        if self.behind:  # own events may have time yet
            self.behind = False
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

    def _read(self, segment: Segment, max_events: int, max_bytes: int) -> list[bytes]:
        if segment.exhausted:
            return []
        try:
            found = segment.read(max_events, max_bytes)
        except OSError as error:
            self.trouble = (
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
        """Remove a segment of its own from which everything was handed out and settled."""
        if segment.queued:  # the disk gave back less than it took
            self.lost += segment.queued
            self._queued -= segment.queued
            self.kept -= segment.queued
            if not self._queued:
                self._queued_bytes = 0
        segment.remove()
        self._retry_at_s = self._room_bytes = 0

    def _set_aside(self, segment: Segment) -> None:
        for offset, data in segment.damage:
            self.damaged_bytes += len(data)
            kept = os.path.join(self.folder, f"damaged-{os.path.basename(segment.path)}-{offset}")  # noqa: PTH118, PTH119
            self.trouble = ("damage", f"{len(data)} bytes of {segment.path} hold no event; they are kept in {kept}")
            try:
                if self._used_bytes() + len(data) <= self._max_bytes:
                    with open(kept, "wb") as file:  # noqa: PTH123
                        file.write(data)
            except OSError as error:
                self.trouble = (
                    "damage",
                    f"{len(data)} bytes of {segment.path} hold no event, and could not be kept ({error})",
                )
        segment.damage.clear()

    def settle(self, batch: Sequence[bytes]) -> None:
        """Record on disk that *batch* is dealt with, so that nobody sends it again."""
        places: dict[Segment, list[tuple[int, int]]] = {}
        for event in batch:
            place = self._places.pop(id(event), None)
            if place is not None:
                self.kept -= 1
                places.setdefault(place[0], []).append(place[1:])
        for segment, settled in places.items():
            try:
                segment.settle(settled)
            except OSError as error:
                self.trouble = (
                    "note",
                    f"the spool {self.folder} cannot note what was sent ({error}); it may be sent again",
                )

    def keeps(self, event: bytes) -> bool:
        """Tell whether *event*, which was taken, is still on disk."""
        return id(event) in self._places

    # -- what dead processes left -------------------------------------------------------------------------------------

    def look(self) -> None:
        """Set `behind` if there are segments of others."""
        self.stuck = False
        own = {os.path.basename(segment.path) for segment in self._segments}  # noqa: PTH119
        if self._adopted or any(name not in own for name in self._names()):
            self.behind = True
            self._look_at_s = 0.0

    def look_in_s(self, now_s: float) -> float | None:
        """Return in how many seconds the next regular look is due."""
        return max(0.0, self._look_at_s - now_s)

    def _names(self) -> list[str]:
        try:
            return Segment.names(self.folder)
        except OSError as error:
            self.trouble = ("read", f"the spool {self.folder} cannot be read ({error})")
            self.stuck = True
            return []

    def _look_around(self) -> None:
        now_s = time.monotonic()
        if self._adopted or now_s < self._look_at_s:
            return
        self._look_at_s = now_s + _LOOK_EVERY_S
        self.stuck = False
        own = {os.path.basename(segment.path) for segment in self._segments}  # noqa: PTH119
        names = [name for name in self._names() if name not in own]
        try:
            if not names or not self._lock.take():
                return
            Segment.sweep(self.folder)
            for name in names:
                if len(self._adopted) == _MAX_ADOPTED:
                    self._look_at_s = 0.0  # the others come next
                    break
                self._adopt(os.path.join(self.folder, name))  # noqa: PTH118
        except OSError as error:
            self.trouble = ("read", f"the spool {self.folder} cannot be drained ({error})")
            self.stuck = True

    def _adopt(self, path: str) -> None:
        """Take over the segment at *path*. One that cannot be opened keeps nobody from those behind it."""
        try:
            segment = Segment.adopt(path)
        except OSError as error:
            self.trouble = ("read", f"the spool's file {path} cannot be opened ({error}); it stays where it is")
            self.stuck = True
            return
        if segment is not None:
            self._adopted.append(segment)

    # -- the end ----------------------------------------------------------------------------------------------------

    def _is_done(self, segment: Segment) -> bool:
        return segment.exhausted and all(place[0] is not segment for place in self._places.values())

    def close(self) -> None:
        """Remove the segments that are dealt with, and leave the others to the next process."""
        for segment in [*self._segments, *self._adopted]:
            if self._is_done(segment):
                segment.remove()
            else:
                segment.close(unlock=True)
        self._lock.release()
        self.forget()

    def forget(self) -> None:
        """Let go of all files and locks, as the child of a fork does with its parent's."""
        for segment in [*self._segments, *self._adopted]:
            segment.close()
        self._segments.clear()
        self._adopted.clear()
        self._places.clear()
        self._lock.release(unlock=False)


def _folder_name(settings: ClientSettings) -> str:
    """Return the folder of one project on one host: clients of others may share `spool_dir`, their events never mix."""
    parts = (settings.host, settings.project_token, str(settings.historical_migration))
    digest = sha256("\0".join(parts).encode()).hexdigest()[:12]
    return f"{urlsplit(settings.host).hostname}-{digest}"
