"""One file of the spool: records that one process appends.

Beside it is a file of the byte ranges that are settled.

The process that writes or drains a segment holds its lock. The kernel releases the lock when that
process dies, however it dies. A forked child shares the lock until it closes its copy of the
handle, which `Spool.forget` does.

A file can disappear while it is open: somebody removes, renames or remounts its folder, or puts
another file in its place. The handle goes on working, but no other process will find what is
written through it. `is_found` notices that.
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
_RANGE = struct.Struct("<QQ")  # where the first record begins, and where the last one ends
_WINDOW_BYTES = 256 * 1024  # a batch of usual events; the backlog behind it is not read for each
_MODE = 0o600  # events are personal data


class Found(NamedTuple):
    """One event in a segment, and the bytes of its record."""

    event: bytes
    begin: int
    end: int


class Segment:
    """A locked file of records. Raises OSError: whatever the disk says."""

    __slots__ = (
        "_handle", "_identity", "_settled", "_settled_handle", "_settled_identity", "damage", "is_lost", "offset", "path", "queued",
        "size_bytes",
    )  # fmt: skip

    def __init__(self, path: str, handle: int) -> None:
        self.path: str = path
        self._handle = handle
        self._settled_handle = -1
        self._settled: list[tuple[int, int]] = []
        status = os.fstat(handle)
        self._identity = (status.st_dev, status.st_ino)
        self._settled_identity = (0, 0)
        self.size_bytes: int = status.st_size
        self.offset: int = 0  # everything before it was handed out
        self.queued: int = 0  # events that were appended here and not handed out
        self.damage: list[tuple[int, bytes]] = []  # bytes that hold no record, and where they stood
        self.is_lost: bool = False  # another process would not find the file any more

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
                # Between the two calls another process may have taken the empty file for a dead
                # process's, and removed it.
                if lock_file(handle) and os.path.exists(path):  # noqa: PTH110
                    return cls(path, handle)
            except BaseException:
                # The file system has no locks, or none are left. This will be tried again and
                # again.
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
        """Write one framed record. After a failure the file is as it was."""
        size = len(record)
        if os.write(self._handle, record) != size:
            os.ftruncate(self._handle, self.size_bytes)
            raise OSError(28, "no space left for a whole record")
        self.size_bytes += size

    def is_found(self) -> bool:
        """Return whether the path still leads to this file, so that others would find it."""
        self.is_lost = not _leads_to(self.path, self._identity)
        return not self.is_lost

    def at(self, begin: int, end: int) -> bytes:
        """Return the record at these bytes, which was handed out before."""
        return os.pread(self._handle, end - begin, begin)

    def truncate(self) -> None:
        """Empty the file, which may have another name by now: its events are in another segment."""
        os.ftruncate(self._handle, 0)

    @property
    def exhausted(self) -> bool:
        """Whether everything in it was handed out."""
        return self.offset >= self.size_bytes

    def read(self, max_events: int, max_bytes: int) -> list[Found]:
        """Hand out the next events that are not settled.

        Bytes that hold no record go into `damage`.
        """
        found: list[Found] = []
        size, window = 0, _WINDOW_BYTES
        while not self.exhausted:
            base = self.offset
            data = os.pread(self._handle, min(window, self.size_bytes - base), base)
            cut = base + len(data) < self.size_bytes
            for begin, end, whole in scan(data):
                if not whole and cut and end == len(data):
                    break  # the record continues after the window
                if not whole:
                    self.damage.append((base + begin, data[begin:end]))
                elif not self._is_settled(base + begin):
                    size += end - begin - HEADER_BYTES
                    if len(found) >= max_events or (found and size > max_bytes):
                        return found
                    found.append(Found(data[begin + HEADER_BYTES : end], base + begin, base + end))
                self.offset = base + end
            if not data:
                self.offset = self.size_bytes  # somebody truncated the file
            elif self.offset == base:
                window = self.size_bytes  # one record is larger than the window
        return found

    def settle(self, places: Iterable[tuple[int, int]]) -> None:
        """Record that the records at *places* are settled: one write, however many."""
        ranges = _merged(places)
        self._settled = _merged([*self._settled, *ranges])
        path = self.path + _SETTLED_SUFFIX
        if self._settled_handle >= 0 and not _leads_to(path, self._settled_identity):
            os.close(self._settled_handle)
            self._settled_handle = -1
            ranges = self._settled  # the file that had the earlier ones is gone
        if self._settled_handle < 0:
            self._settled_handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, _MODE)
            status = os.fstat(self._settled_handle)
            self._settled_identity = (status.st_dev, status.st_ino)
        os.write(self._settled_handle, b"".join(frame(_RANGE.pack(*one)) for one in ranges))

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
        """Delete the files.

        A crash between the two leaves the smaller one, which `sweep` removes.
        """
        if not self.is_found():  # the name belongs to somebody else's file, or to none
            return
        with contextlib.suppress(OSError):
            os.unlink(self.path)  # noqa: PTH108
            os.unlink(self.path + _SETTLED_SUFFIX)  # noqa: PTH108

    def remove(self) -> None:
        """Delete and close the files."""
        self.discard()
        self.close(unlock=True)

    def close(self, *, unlock: bool = False) -> None:
        """Close the files.

        *unlock* also releases the lock that a forked child may still share without knowing it.
        """
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
        """Remove the files that crashes between two deletions left."""
        names = set(os.listdir(folder))  # noqa: PTH208
        for name in names:
            if name.endswith(_SETTLED_SUFFIX) and name.removesuffix(_SETTLED_SUFFIX) not in names:
                with contextlib.suppress(OSError):
                    os.unlink(os.path.join(folder, name))  # noqa: PTH108, PTH118


def _leads_to(path: str, identity: tuple[int, int]) -> bool:
    try:
        status = os.stat(path)  # noqa: PTH116 - pathlib costs start-up time
    except OSError:
        return False
    return (status.st_dev, status.st_ino) == identity


def _merged(ranges: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return *ranges* in order, with those that touch joined.

    Usually that is one range, unless an outage came in between.
    """
    merged: list[tuple[int, int]] = []
    for begin, end in sorted(ranges):
        if merged and merged[-1][1] >= begin:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((begin, end))
    return merged
