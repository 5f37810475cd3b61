"""RQ: subclasses of its queue and its workers, which RQ lets its users replace.

    from hogline.propagation.rq import PostHogQueue as Queue
    $ rq worker --worker-class hogline.propagation.rq.PostHogWorker

The carrier is an entry of the job's `meta`. Options are a class attribute:

    class Worker(PostHogWorker):
        propagation = {"client": posthog, "every_attempt": True}

RQ's worker forks for each job and ends through `os._exit`, which runs no exit handlers, so events
are sent at the end of the job. Source: docs/internals/frameworks.md#rq and
docs/internals/frameworks.md#fork.
"""

from collections.abc import Mapping
from typing import Any, ClassVar

from rq import Queue, SimpleWorker, SpawnWorker, Worker

from hogline.propagation.carrier import KEY
from hogline.propagation.tasks import TaskPolicy, TaskRun, current_run

__all__ = ["PostHogQueue", "PostHogSimpleWorker", "PostHogSpawnWorker", "PostHogWorker"]


class _Configured:
    """A class whose options are checked when they are first needed."""

    propagation: ClassVar[Mapping[str, Any]] = {}
    """Options, those of `TaskSettings`."""
    _checked: ClassVar[TaskPolicy | None] = None

    @classmethod
    def _policy(cls) -> TaskPolicy:
        if "_checked" not in cls.__dict__:
            cls._checked = TaskPolicy("rq", cls.propagation)
        policy = cls._checked
        assert policy is not None
        return policy


class PostHogQueue(_Configured, Queue):
    """An RQ queue whose jobs carry the context that they were enqueued in."""

    def create_job(self, *args: Any, **kwargs: Any) -> Any:
        """Create a job with a carrier.

        Every way to enqueue, now or later, one or many, calls this.
        """
        return self._carrying(super().create_job(*args, **kwargs))

    def enqueue_job(self, job: Any, *args: Any, **kwargs: Any) -> Any:
        """Enqueue a job, also one that was made elsewhere."""
        return super().enqueue_job(self._carrying(job), *args, **kwargs)

    def run_job(self, job: Any) -> Any:
        """Run a job at once (`is_async=False`), in a context of its own."""
        with _begin(self._policy(), job) as run:
            try:
                return super().run_job(job)
            except BaseException as error:
                run.failed(error)  # such a queue tries once
                raise

    def _carrying(self, job: Any) -> Any:
        if KEY not in job.meta:
            carrier = self._policy().inject()
            if carrier is not None:
                job.meta = {**job.meta, KEY: carrier}  # the dict may be the caller's
        return job


class _PropagatingWorker(_Configured):
    """The additions to each of RQ's workers."""

    queue_class = PostHogQueue  # for what RQ enqueues itself

    def perform_job(self, job: Any, *args: Any, **kwargs: Any) -> Any:
        """Perform a job, its callbacks included, in the context that it carries."""
        policy = self._policy()
        try:
            with _begin(policy, job):
                return super().perform_job(job, *args, **kwargs)  # type: ignore[misc]
        finally:
            if getattr(self, "_is_horse", False):
                policy.flush()

    def handle_exception(self, job: Any, *exc_info: Any) -> Any:
        """Capture the job's exception; RQ calls this before it uses up a retry."""
        run = current_run()
        if run is not None:
            # RQ itself reads `job.should_retry` right after this.
            run.failed(exc_info[1], final=not job.should_retry)
        return super().handle_exception(job, *exc_info)  # type: ignore[misc]

    def teardown(self) -> Any:
        """Send queued events before the worker ends."""
        self._policy().flush()
        return super().teardown()  # type: ignore[misc]


class PostHogWorker(_PropagatingWorker, Worker):
    """RQ's default worker: a forked work-horse for each job."""


class PostHogSimpleWorker(_PropagatingWorker, SimpleWorker):
    """RQ's worker that runs jobs in its own process."""


class PostHogSpawnWorker(_PropagatingWorker, SpawnWorker):
    """RQ's worker that starts a new interpreter for each job."""


def _begin(policy: TaskPolicy, job: Any) -> TaskRun:
    meta = job.meta if isinstance(job.meta, dict) else {}
    try:
        name: str | None = job.func_name
    except Exception:  # a payload that cannot be unpickled
        name = None
    return policy.begin(meta.get(KEY), name=name, identity=job.id)
