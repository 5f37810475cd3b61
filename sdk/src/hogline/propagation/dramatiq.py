"""Dramatiq: the outermost middleware.

Retries and pipelines are therefore published inside the task's context.

    PostHogPropagation(broker, client=posthog)

The carrier is an option of the message. Dramatiq enqueues delayed and retried messages again, from
threads without a context, so a carrier that is already there stays. Source:
docs/internals/frameworks.md#dramatiq.
"""

import threading
from typing import Any, Unpack

import dramatiq

from hogline.propagation.carrier import KEY
from hogline.propagation.tasks import TaskPolicy, TaskRun
from hogline.settings.typed import TaskOptions

__all__ = ["PostHogPropagation"]


class PostHogPropagation(dramatiq.Middleware):
    """Carries the context into the tasks of *broker*. Keyword options are `TaskSettings`'."""

    def __init__(self, broker: dramatiq.Broker, **options: Unpack[TaskOptions]) -> None:
        self._policy = TaskPolicy("dramatiq", options)
        self._running = threading.local()  # a message is processed on one thread
        first = type(broker.middleware[0]) if broker.middleware else None
        if first is None:
            broker.add_middleware(self)
        else:
            broker.add_middleware(self, before=first)

    def before_enqueue(self, broker: Any, message: Any, delay: Any) -> None:
        """Put the carrier on a message that has none."""
        if KEY not in message.options:
            carrier = self._policy.inject()
            if carrier is not None:
                message.options[KEY] = carrier

    def before_process_message(self, broker: Any, message: Any) -> None:
        """Begin the task's run."""
        options = message.options
        self._running.run = self._policy.begin(
            options.get(KEY),
            name=message.actor_name,
            identity=message.message_id,
            attempt=int(options.get("retries", 0)) + 1,
        )

    def after_process_message(
        self, broker: Any, message: Any, *, result: Any = None, exception: BaseException | None = None
    ) -> None:
        """End the run.

        All other middleware has run, so a message that finally failed is marked as failed.
        """
        run: TaskRun | None = getattr(self._running, "run", None)
        if run is None:
            return
        self._running.run = None
        with run:
            final = message.failed or not _retries(broker)
            if isinstance(exception, dramatiq.Retry):
                run.asked_again(exception, granted=not final)
            elif not isinstance(exception, _expected(broker, message)):
                run.failed(exception, final=final)

    def after_skip_message(self, broker: Any, message: Any) -> None:
        """End the run of a message that another middleware skipped."""
        self.after_process_message(broker, message)

    def before_worker_shutdown(self, broker: Any, worker: Any) -> None:
        """Send queued events while the last tasks may still run."""
        self._policy.flush()

    def after_worker_shutdown(self, broker: Any, worker: Any) -> None:
        """Send the events of the last tasks."""
        self._policy.flush()


def _expected(broker: Any, message: Any) -> Any:
    try:
        return message.options.get("throws") or broker.get_actor(message.actor_name).options.get("throws") or ()
    except Exception:  # an actor that this worker does not know
        return ()


def _retries(broker: Any) -> bool:
    return any(isinstance(middleware, dramatiq.middleware.Retries) for middleware in broker.middleware)
