"""Locks on files, which the kernel releases when a process dies, however it dies."""

import contextlib
import fcntl
import os

__all__ = ["DrainLock", "lock_file", "unlock_file"]

_NAME = "drain.lock"


def lock_file(handle: int) -> bool:
    """Take the lock of an open file for this process; return False if another process has it."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def unlock_file(handle: int) -> None:
    """Release the lock, even if another process has a copy of *handle*."""
    with contextlib.suppress(OSError):
        fcntl.flock(handle, fcntl.LOCK_UN)


class DrainLock:
    """The lock of a folder: its holder takes over what dead processes left there."""

    def __init__(self, folder: str) -> None:
        self._path = os.path.join(folder, _NAME)  # noqa: PTH118 - pathlib costs start-up time
        self._handle = -1

    def take(self) -> bool:
        """Return whether this process has the lock, taking it if it is free.

        Raises OSError: whatever the disk says.
        """
        if self._handle >= 0:
            if self._is_found():
                return True
            self.release()
        handle = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            if lock_file(handle):
                self._handle, handle = handle, -1
        finally:
            if handle >= 0:
                os.close(handle)
        return self._handle >= 0

    def release(self, *, unlock: bool = True) -> None:
        """Release the lock. Without *unlock*, only close the copy that a fork made."""
        if self._handle >= 0:
            if unlock:
                unlock_file(self._handle)
            # A daemon's first step is to close whatever it inherited.
            with contextlib.suppress(OSError):
                os.close(self._handle)
            self._handle = -1

    def _is_found(self) -> bool:
        """Return whether other processes would find the file that this one has locked."""
        try:
            return os.path.samestat(os.stat(self._path), os.fstat(self._handle))  # noqa: PTH116
        except OSError:
            return False
