"""One file of the spool: records that one process appends, and beside it the ranges of them that are settled.

Whoever writes or drains a segment holds its lock. The kernel gives the lock back when that process dies, however it dies; a
forked child shares it until it closes its copy of the handle, which `forget` does.
"""

import contextlib
import os
import struct
import time
from collections.abc import Iterable
from typing import NamedTuple

from hogline.delivery.spool.lock import lock_file, unlock_file
from hogline.wire.records import HEADER_BYTES, frame, scan

__all__ = ["Found", "Segment"]

_SUFFIX = ".spool"
_SETTLED_SUFFIX = ".settled"
_RANGE = struct.Struct("<QQ")  # first byte of a record, first byte behind the last
_WINDOW_BYTES = 256 * 1024  # a batch of usual events; the backlog behind it is not read for each
_MODE = 0o600  # events are personal data


class Found(NamedTuple):
    """One event in a segment, and the bytes of its record."""

    event: bytes
    begin: int
    end: int


class Segment:
    """A locked file of records. Raises OSError: whatever the disk says."""

    __slots__ = ("_handle", "_settled", "_settled_handle", "damage", "offset", "path", "queued", "size_bytes")

    def __init__(self, path: str, handle: int) -> None:
        self.path: str = path
        self._handle = handle
        self._settled_handle = -1
        self._settled: list[tuple[int, int]] = []
        self.size_bytes: int = os.fstat(handle).st_size
        self.offset: int = 0  # everything before it was handed out
        self.queued: int = 0  # events that were appended here and not handed out
        self.damage: list[tuple[int, bytes]] = []  # bytes that hold no record, and where they stood

    @staticmethod
    def names(folder: str) -> list[str]:
        """Return the names of all segments in *folder*, oldest first."""
        try:
            return sorted(name for name in os.listdir(folder) if name.endswith(_SUFFIX))  # noqa: PTH208 - no pathlib here
        except (FileNotFoundError, NotADirectoryError):
            return []

    @classmethod
    def create(cls, folder: str) -> "Segment":
        """Return a new segment of this process."""
        while True:
            path = os.path.join(folder, f"{time.time_ns():020d}-{os.getpid()}{_SUFFIX}")  # noqa: PTH118
            try:
                handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_APPEND, _MODE)
            except FileExistsError:
                continue
            try:
                # Between the two calls a drainer may have taken the empty file for a dead process's, and removed it.
                if lock_file(handle) and os.path.exists(path):  # noqa: PTH110
                    return cls(path, handle)
            except BaseException:  # a file system without locks, or with none left: it will be tried again and again
                with contextlib.suppress(OSError):
                    os.unlink(path)  # noqa: PTH108
                os.close(handle)
                raise
            os.close(handle)

    @classmethod
    def adopt(cls, path: str) -> "Segment | None":
        """Return the segment at *path* if nobody else holds it any more."""
        try:
            handle = os.open(path, os.O_RDWR | os.O_APPEND)
        except FileNotFoundError:
            return None
        try:
            if lock_file(handle) and os.path.exists(path):  # noqa: PTH110
                segment, handle = cls(path, handle), -1  # it closes itself
                segment._read_settled()
                return segment
        finally:
            if handle >= 0:
                os.close(handle)
        return None

    def append(self, record: bytes) -> None:
        """Write one framed record; after a failure the file is as it was."""
        size = len(record)
        if os.write(self._handle, record) != size:
            os.ftruncate(self._handle, self.size_bytes)
            raise OSError(28, "no space left for a whole record")
        self.size_bytes += size

    @property
    def exhausted(self) -> bool:
        """Whether everything in it was handed out."""
        return self.offset >= self.size_bytes

    def read(self, max_events: int, max_bytes: int) -> list[Found]:
        """Hand out the next events that are not settled. What holds no record goes into `damage`."""
        found: list[Found] = []
        size, window = 0, _WINDOW_BYTES
        while not self.exhausted:
            base = self.offset
            data = os.pread(self._handle, min(window, self.size_bytes - base), base)
            cut = base + len(data) < self.size_bytes
            for begin, end, whole in scan(data):
                if not whole and cut and end == len(data):
                    break  # the record goes on behind the window
                if not whole:
                    self.damage.append((base + begin, data[begin:end]))
                elif not self._is_settled(base + begin):
                    size += end - begin - HEADER_BYTES
                    if len(found) >= max_events or (found and size > max_bytes):
                        return found
                    found.append(Found(data[begin + HEADER_BYTES : end], base + begin, base + end))
                self.offset = base + end
            if not data:
                self.offset = self.size_bytes  # somebody cut the file
            elif self.offset == base:
                window = self.size_bytes  # one record is larger than the window
        return found

    def settle(self, places: Iterable[tuple[int, int]]) -> None:
        """Record that the records at *places* are dealt with; one write, however many."""
        if self._settled_handle < 0:
            path = self.path + _SETTLED_SUFFIX
            self._settled_handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, _MODE)
        os.write(self._settled_handle, b"".join(frame(_RANGE.pack(*one)) for one in _merged(places)))

    def _read_settled(self) -> None:
        try:
            with open(self.path + _SETTLED_SUFFIX, "rb") as file:  # noqa: PTH123
                data = file.read()
        except FileNotFoundError:
            return
        self._settled = _merged(
            _RANGE.unpack_from(data, begin + HEADER_BYTES)
            for begin, end, whole in scan(data)
            if whole and end - begin == HEADER_BYTES + _RANGE.size
        )

    def _is_settled(self, begin: int) -> bool:
        return any(first <= begin < last for first, last in self._settled)

    def discard(self) -> None:
        """Delete the files. A crash in between leaves the smaller one, which `sweep` removes."""
        with contextlib.suppress(OSError):
            os.unlink(self.path)  # noqa: PTH108
            os.unlink(self.path + _SETTLED_SUFFIX)  # noqa: PTH108

    def remove(self) -> None:
        """Delete the files, and let go of them."""
        self.discard()
        self.close(unlock=True)

    def close(self, *, unlock: bool = False) -> None:
        """Let go of the files. *unlock*: for forked children too, which may still hold the handle without knowing it."""
        if unlock and self._handle >= 0:
            unlock_file(self._handle)
        for handle in (self._handle, self._settled_handle):
            if handle >= 0:
                with contextlib.suppress(OSError):
                    os.close(handle)
        self._handle = self._settled_handle = -1

    def __del__(self) -> None:
        self.close()

    @staticmethod
    def sweep(folder: str) -> None:
        """Remove what crashes between two deletions left."""
        names = set(os.listdir(folder))  # noqa: PTH208
        for name in names:
            if name.endswith(_SETTLED_SUFFIX) and name.removesuffix(_SETTLED_SUFFIX) not in names:
                with contextlib.suppress(OSError):
                    os.unlink(os.path.join(folder, name))  # noqa: PTH108, PTH118


def _merged(ranges: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return *ranges* in order, those that touch as one: an outage apart, a segment has one."""
    merged: list[tuple[int, int]] = []
    for begin, end in sorted(ranges):
        if merged and merged[-1][1] >= begin:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((begin, end))
    return merged
