"""Work that features repeat in the background: one thread for each job, so that a slow one delays no other."""

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

__all__ = ["Job", "JobRunner"]

_log = logging.getLogger("hogline.instance")


@dataclass(frozen=True, slots=True)
class Job:
    """A function that is called every *interval_s* seconds, counted from the end of the call before."""

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
        """Stop; a job that runs is waited for, up to *timeout_s*."""
        self._closed.set()
        for thread in self._threads:
            thread.join(timeout_s)

    def _repeat(self, job: Job) -> None:
        while not self._closed.wait(job.interval_s):
            try:
                job.run()
            except Exception:
                _log.exception("job %s failed; it is tried again in %.0f s", job.name, job.interval_s)
