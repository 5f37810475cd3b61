"""The backlog: segments that dead processes left in the folder.

One living process at a time takes them over and drains them.
"""

import os
import time
from collections import deque
from collections.abc import Collection

from hogline.delivery.spool.lock import DrainLock
from hogline.delivery.spool.segment import Segment

__all__ = ["Backlog"]

_LOOK_EVERY_S = 10.0  # for segments of processes that died in the meantime
_MAX_ADOPTED = 64  # open files


class Backlog:
    """Adopts the segments in a folder that no living process holds.

    It is not thread-safe: the spool's owner holds a lock.
    """

    def __init__(self, folder: str) -> None:
        self.segments: deque[Segment] = deque()
        """The adopted segments, oldest first."""
        self.is_stuck: bool = False
        """The last look found a file that cannot be opened."""
        self.problem: str | None = None
        """The problem with the folder. The caller that logs it sets None."""
        self._folder = folder
        self._lock = DrainLock(folder)
        self._look_at_s = 0.0

    def find(self, own: Collection[Segment]) -> bool:
        """Return whether there are segments that are not this process's *own*.

        This does not wait for the next regular look.
        """
        self.is_stuck = False
        if not self.segments and not self._foreign(own):
            return False
        self._look_at_s = 0.0
        return True

    def check_in_s(self, now_s: float) -> float:
        """Return in how many seconds the next regular look is due."""
        return max(0.0, self._look_at_s - now_s)

    def adopt(self, own: Collection[Segment]) -> None:
        """Take over the segments of dead processes.

        This does nothing unless a look is due and no other process is doing so.
        """
        now_s = time.monotonic()
        if self.segments or now_s < self._look_at_s:
            return
        self._look_at_s = now_s + _LOOK_EVERY_S
        self.is_stuck = False
        names = self._foreign(own)
        try:
            if not names or not self._lock.take():
                return
            Segment.sweep(self._folder)
            for name in names:
                if len(self.segments) == _MAX_ADOPTED:
                    self._look_at_s = 0.0  # the others come next
                    break
                self._adopt(os.path.join(self._folder, name))  # noqa: PTH118
        except OSError as error:
            self._stuck(f"the spool {self._folder} cannot be drained ({error})")

    def _foreign(self, own: Collection[Segment]) -> list[str]:
        known = {os.path.basename(segment.path) for segment in own}  # noqa: PTH119
        try:
            return [name for name in Segment.names(self._folder) if name not in known]
        except OSError as error:
            self._stuck(f"the spool {self._folder} cannot be read ({error})")
            return []

    def _adopt(self, path: str) -> None:
        """Take over the segment at *path*.

        A file that cannot be opened must not block the files behind it.
        """
        try:
            segment = Segment.adopt(path)
        except OSError as error:
            self._stuck(f"the spool's file {path} cannot be opened ({error}); it stays where it is")
            return
        if segment is not None:
            self.segments.append(segment)

    def _stuck(self, problem: str) -> None:
        self.problem = problem
        self.is_stuck = True

    def release(self) -> None:
        """Let another process drain the folder."""
        self._lock.release()

    def forget(self) -> None:
        """Close, in the child of a fork, the copies of the parent's files."""
        for segment in self.segments:
            segment.close()
        self.segments.clear()
        self._lock.release(unlock=False)
