"""Locks on files, which the kernel gives back when a process dies, however it dies; and the one of who drains a folder."""

import contextlib
import fcntl
import os

__all__ = ["DrainLock", "lock_file", "unlock_file"]

_NAME = "drain.lock"


def lock_file(handle: int) -> bool:
    """Take the lock of an open file for this process; False: another one has it."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def unlock_file(handle: int) -> None:
    """Give the lock back, whoever else has a copy of *handle*."""
    with contextlib.suppress(OSError):
        fcntl.flock(handle, fcntl.LOCK_UN)


class DrainLock:
    """The lock of a folder: who has it takes over what dead processes left there."""

    def __init__(self, folder: str) -> None:
        self._path = os.path.join(folder, _NAME)  # noqa: PTH118 - pathlib costs start-up time
        self._handle = -1

    def take(self) -> bool:
        """Tell whether this process has it, or takes it now. Raises OSError: whatever the disk says."""
        if self._handle >= 0:
            return True
        handle = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            if lock_file(handle):
                self._handle, handle = handle, -1
        finally:
            if handle >= 0:
                os.close(handle)
        return self._handle >= 0

    def release(self, *, unlock: bool = True) -> None:
        """Let others have it; not *unlock*: let go of a copy that a fork has made."""
        if self._handle >= 0:
            if unlock:
                unlock_file(self._handle)
            with contextlib.suppress(OSError):  # a daemon's first step is to close whatever it inherited
                os.close(self._handle)
            self._handle = -1
