"""Taskiq: a middleware.

    broker.add_middlewares(PostHogPropagation(client=posthog))

The carrier is a label of the message, a string. With any retry middleware, a retry is the same task
sent again while its failure is handled. Source: docs/internals/frameworks.md#taskiq.
"""

import functools
from typing import Any, Unpack

from taskiq import AsyncBroker, TaskiqMessage, TaskiqMiddleware, TaskiqResult
from taskiq.exceptions import NoResultError
from taskiq.kicker import AsyncKicker

from hogline.propagation.carrier import KEY
from hogline.propagation.tasks import TaskPolicy, current_run
from hogline.settings.typed import TaskOptions

__all__ = ["PostHogPropagation"]


class PostHogPropagation(TaskiqMiddleware):
    """Carries the context into Taskiq's tasks. Keyword options are `TaskSettings`'."""

    def __init__(self, **options: Unpack[TaskOptions]) -> None:
        super().__init__()
        self._policy = TaskPolicy("taskiq", options)

    def set_broker(self, broker: AsyncBroker) -> None:
        """Keep the broker."""
        super().set_broker(broker)
        _label_scheduled_tasks()

    def pre_send(self, message: TaskiqMessage) -> TaskiqMessage:
        """Put the carrier on a message that has none, and record a task that sends itself again."""
        run = current_run()
        if run is not None and run.identity == message.task_id:
            run.retried = True
        return self.label(message)

    def label(self, message: TaskiqMessage) -> TaskiqMessage:
        """Put the carrier on a message that has none."""
        if not message.labels.get(KEY):
            carrier = self._policy.inject()
            if carrier is not None:
                message.labels[KEY] = carrier
        return message

    def pre_execute(self, message: TaskiqMessage) -> TaskiqMessage:
        """Begin the task's run.

        Each message has an asyncio task of its own, except with in-place brokers.
        """
        retries = str(message.labels.get("_retries", 0))
        self._policy.begin(
            message.labels.get(KEY),
            name=message.task_name,
            identity=message.task_id,
            attempt=int(retries) + 1 if retries.isdigit() else None,
        )
        return message

    def post_execute(self, message: TaskiqMessage, result: TaskiqResult[Any]) -> None:
        """Judge the failure, now that every retry middleware has run, and end the run."""
        run = current_run()
        if run is None or run.identity != message.task_id:
            return
        # A retry middleware may have replaced the error by NoResultError.
        run.failed(run.error, final=not isinstance(result.error, NoResultError))
        # At once: a task that ran in place must not leave its context to the code that queued it.
        run.end()

    def on_error(self, message: TaskiqMessage, result: TaskiqResult[Any], exception: BaseException) -> None:
        """Keep the exception until `post_execute`."""
        run = current_run()
        if run is not None and run.identity == message.task_id and not isinstance(exception, NoResultError):
            run.error = exception

    async def shutdown(self) -> None:
        """Send queued events."""
        await self._policy.aflush()


def _label_scheduled_tasks() -> None:
    """Put the carrier on messages as soon as they are made.

    A patch: no hook runs where a task is scheduled. `pre_send` runs later, in the scheduler's
    process, without a context.
    """
    original = AsyncKicker._prepare_message
    if hasattr(original, "__wrapped__"):
        return

    @functools.wraps(original)
    def prepare(self: Any, *args: Any, **kwargs: Any) -> TaskiqMessage:
        message = original(self, *args, **kwargs)
        for middleware in self.broker.middlewares:
            if isinstance(middleware, PostHogPropagation):
                middleware.label(message)
        return message

    AsyncKicker._prepare_message = prepare  # type: ignore[method-assign]
