"""Periodic background jobs of features.

Each job has its own thread, so that a slow one delays no other.
"""

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

__all__ = ["Job", "JobRunner"]

_log = logging.getLogger("hogline.instance")


@dataclass(frozen=True, slots=True)
class Job:
    """A function to call every *interval_s* seconds, counted from the end of the last call."""

    name: str
    interval_s: float
    run: Callable[[], None]


class JobRunner:
    """Runs *jobs* until it is closed.

    A job that raises is logged and called again after its interval.
    """

    def __init__(self, jobs: Sequence[Job]) -> None:
        self._closed = threading.Event()
        self._threads = [
            threading.Thread(target=self._repeat, args=(job,), name=f"hogline-job-{job.name}", daemon=True)
            for job in jobs
        ]
        for thread in self._threads:
            thread.start()

    def close(self, timeout_s: float = 10.0) -> None:
        """Stop, and wait up to *timeout_s* for a running job."""
        self._closed.set()
        for thread in self._threads:
            thread.join(timeout_s)

    def _repeat(self, job: Job) -> None:
        while not self._closed.wait(job.interval_s):
            try:
                job.run()
            except Exception:
                _log.exception("job %s failed; retrying in %.0f s", job.name, job.interval_s)
