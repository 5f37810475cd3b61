"""Celery: signals of publishers and workers, so one line serves every app of the process.

    PostHogPropagation(client=posthog)

The carrier is a header of the message, written twice: task protocol 2 passes nested headers on to
`task.request.headers`, and those survive a retry. Source: docs/internals/frameworks.md#celery.
"""

import logging
from typing import Any, Unpack

from celery import VERSION, signals
from celery.exceptions import TimeLimitExceeded

from hogline.propagation.carrier import KEY
from hogline.propagation.tasks import TaskPolicy, TaskRun
from hogline.settings.typed import TaskOptions

__all__ = ["PostHogPropagation"]

_log = logging.getLogger("hogline")
_SIGNALS_TWICE = (5, 7)  # Celery 5.7 and later send `task_failure` of a time limit twice
_RUN = "hogline_run"  # on the task's request, which lives as long as the run does
_installed: "PostHogPropagation | None" = None


class PostHogPropagation:
    """Carries the context into Celery's tasks.

    Keyword options are `TaskSettings`'. A process has one; others are ignored.
    """

    def __init__(self, **options: Unpack[TaskOptions]) -> None:
        global _installed  # noqa: PLW0603 - Celery's signals belong to the process
        self._policy = TaskPolicy("celery", options)
        if _installed is not None:
            _log.warning("hogline: Celery's propagation is installed already; the second one is ignored")
            return
        _installed = self
        signals.before_task_publish.connect(self._publish, weak=False)
        signals.task_prerun.connect(self._begin, weak=False)
        signals.task_retry.connect(self._retried, weak=False)
        signals.task_failure.connect(self._failed, weak=False)
        signals.task_postrun.connect(self._end, weak=False)
        signals.worker_process_shutdown.connect(self._flush, weak=False)
        signals.worker_shutdown.connect(self._flush, weak=False)

    def uninstall(self) -> None:
        """Disconnect the signals."""
        global _installed  # noqa: PLW0603
        if _installed is not self:
            return
        _installed = None
        signals.before_task_publish.disconnect(self._publish)
        signals.task_prerun.disconnect(self._begin)
        signals.task_retry.disconnect(self._retried)
        signals.task_failure.disconnect(self._failed)
        signals.task_postrun.disconnect(self._end)
        signals.worker_process_shutdown.disconnect(self._flush)
        signals.worker_shutdown.disconnect(self._flush)

    def _publish(self, headers: Any = None, **_: Any) -> None:
        carrier = self._policy.inject()
        if carrier is None or not isinstance(headers, dict):
            return
        nested = headers.get("headers")
        # A header that the signature was made with wins, since it was set on purpose.
        for target in (headers, {**nested} if isinstance(nested, dict) else {}):
            target.setdefault(KEY, carrier)
            if target is not headers:
                headers["headers"] = target

    def _begin(self, task: Any = None, **_: Any) -> None:
        request = task.request
        # An eager task has no message: it runs in its caller's context.
        carrier = self._policy.inject() if getattr(request, "is_eager", False) else _carrier_of(request)
        attempt = int(getattr(request, "retries", 0) or 0) + 1
        setattr(request, _RUN, self._policy.begin(carrier, name=task.name, identity=request.id, attempt=attempt))

    def _retried(self, sender: Any = None, reason: Any = None, **_: Any) -> None:
        run = _run_of(sender)
        if run is not None:
            run.failed(getattr(reason, "exc", None), final=False)

    def _failed(self, sender: Any = None, task_id: Any = None, exception: Any = None, **_: Any) -> None:
        expected = getattr(sender, "throws", ())
        if expected and isinstance(exception, expected):
            return
        run = _run_of(sender)
        if run is not None and run.identity == task_id:
            run.failed(exception)
            return
        # The worker's main process sends this signal for a child that was killed by a time limit or
        # by the system. For a time limit it sends the signal twice; the second one has the request.
        request = getattr(sender, "request", None)
        known = getattr(request, "id", None) == task_id
        if not known and isinstance(exception, TimeLimitExceeded) and VERSION >= _SIGNALS_TWICE:
            return
        carrier = _carrier_of(request) if known else None
        with self._policy.begin(carrier, name=getattr(sender, "name", None), identity=task_id) as run:
            run.failed(exception)

    def _end(self, task: Any = None, **_: Any) -> None:
        run = _run_of(task)
        if run is not None:
            setattr(task.request, _RUN, None)
            run.end()

    def _flush(self, **_: Any) -> None:
        self._policy.flush()


def _carrier_of(request: Any) -> Any:
    nested = getattr(request, "headers", None)
    carrier = nested.get(KEY) if isinstance(nested, dict) else None
    return carrier or getattr(request, KEY, None)


def _run_of(task: Any) -> TaskRun | None:
    run = getattr(getattr(task, "request", None), _RUN, None)
    return run if isinstance(run, TaskRun) else None
