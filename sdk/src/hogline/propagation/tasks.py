"""One run of a queued task: the seam that all queues share, as `exchange` is for requests.

A queue's file injects a carrier where a task is published, begins a run where a worker starts the
task, passes it the task's exception, and ends it. Identity, properties and the exception policy are
decided here.
"""

from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Self
from weakref import ref

from hogline.client import Client
from hogline.context import Context, current, restore
from hogline.deduplication import CaptureScope, captured_before, mark_captured
from hogline.default import default_client
from hogline.exception_kinds import is_noise, leaves
from hogline.guard import guard
from hogline.log_throttle import ONCE, ThrottledLog
from hogline.propagation.carrier import pack, unpack
from hogline.safe_attributes import own_attribute
from hogline.settings import TaskSettings
from hogline.tracebacks import Mechanism

__all__ = ["TaskPolicy", "TaskRun", "current_run"]


class TaskPolicy:
    """The options of one queue, their client, and which failures were logged already."""

    def __init__(self, source: str, options: Mapping[str, Any]) -> None:
        """Check *options* for the library *source*.

        Raises TypeError: an option that does not exist.  Raises SettingsError: a value that cannot
        work.
        """
        self.settings: TaskSettings = TaskSettings.load(options)
        client = self.settings.client
        # `$exception_source`; for Celery as posthog-python has it.
        self.source: str = "celery.task_failure" if source == "celery" else f"{source}.task"
        self._client: Callable[[], Client] = default_client if client is None else lambda: client
        self._throttled = ThrottledLog(ONCE)

    @property
    def client(self) -> Client:
        """The client of the settings, else the default client."""
        return self._client()

    def inject(self) -> str | None:
        """Return the current context as a carrier, or None if there is nothing to carry.

        Never raises.
        """
        with guard("carrier", self.complain):
            return pack(current.get(), self.settings.tags, self.settings.max_carrier_bytes)
        return None

    def begin(
        self, carrier: Any, *, name: str | None = None, identity: Any = None, attempt: int | None = None
    ) -> "TaskRun":
        """Begin the run of a task in a context made from *carrier* alone (rule `fresh-context`).

        The caller must end it.
        """
        run = TaskRun(self, carrier, name=name, identity=identity, attempt=attempt)
        run.enter()
        return run

    def flush(self) -> None:
        """Send queued events before a worker ends, within the client's `shutdown_timeout`.

        Never raises.
        """
        with guard("flush", self.complain):
            client = self.client
            client.flush(client.settings.shutdown_timeout)

    async def aflush(self) -> None:
        """`flush()` that lets the event loop run."""
        with guard("flush", self.complain):
            client = self.client
            await client.aflush(client.settings.shutdown_timeout)

    def lose_exception(self, what: str, error: BaseException) -> None:
        """Count a task's exception that could not be captured because *what* failed.

        Never raises.
        """
        with guard(what, self.complain):  # the default client may fail to be made
            self.client.lost(what, error)

    def complain(self, name: str, error: BaseException) -> None:
        """Log a failure of *name*, once for each queue."""
        self._throttled.warning(name, "the queue's %s failed and is skipped: %r (logged once)", name, error)


class TaskRun(CaptureScope):
    """One attempt at one task. It is the origin of the context, and judges the exception."""

    latest: "ref[Context] | None" = None
    retried = False
    """Whether the library has announced another attempt."""
    error: BaseException | None = None
    """The task's exception, where a library reports it before it decides about another attempt."""

    def __init__(
        self, policy: TaskPolicy, carrier: Any, *, name: str | None, identity: Any, attempt: int | None
    ) -> None:
        self.policy = policy
        self.carrier = carrier
        self.identity = identity
        self._carried = carried = unpack(carrier)
        said = (
            ("$session_id", carried.session_id),
            ("$task_name", name),
            ("$task_id", str(identity) if identity is not None else None),
            ("$task_attempt", attempt),
        )
        self._properties = {**carried.properties, **{key: value for key, value in said if value is not None}}
        self._mine: Context | None = None
        self._previous: Context | None = None

    # -- the Origin of a Context ------------------------------------------------------------------

    def distinct_id(self) -> str | None:
        """Return the distinct id of the request that queued the task."""
        return self._carried.distinct_id

    def session_id(self) -> str | None:
        """Return the browser session of that request."""
        return self._carried.session_id

    def properties(self) -> Mapping[str, Any]:
        """Return that request's facts, and the task's own."""
        return self._properties

    def unfinished(self, event_id: str, *, needs_person: bool) -> Any:
        """Return None: the properties are known."""
        return None

    # -- the beginning and end of the run ---------------------------------------------------------

    def enter(self) -> None:
        """Make this run's context the current one."""
        self._previous = current.get()
        self._mine = Context(self, self)
        current.set(self._mine)

    def end(self) -> None:
        """Restore the context before this run, if the current one is still of this run.

        Safe to call twice.
        """
        mine, self._mine = self._mine, None
        if mine is not None:
            restore(mine, self._previous)
            self._previous = None

    def __enter__(self) -> Self:
        return self

    # No contextlib here: its __exit__ assigns exc.__traceback__, which replaces exceptions that
    # refuse it (rule `no-contextlib-around-app`).
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()

    # -- the exceptions of the run ----------------------------------------------------------------

    def failed(self, error: BaseException | None, *, final: bool = True) -> None:
        """Capture this attempt's exception if it is a mistake and no other attempt follows.

        Never raises.
        """
        if error is not None:
            with guard("exception capture", self.policy.lose_exception):
                self._judge(error, final=final and not self.retried)

    def asked_again(self, request: BaseException, *, granted: bool) -> None:
        """Handle an exception by which the task requests another attempt.

        The cause of the exception is the mistake.
        """
        cause = own_attribute(request, "__cause__")
        self.failed(cause if isinstance(cause, BaseException) else None, final=not granted)

    def _judge(self, error: BaseException, *, final: bool) -> None:
        settings = self.policy.settings
        if not settings.capture_exceptions or not (final or settings.every_attempt):
            return
        ignored = tuple(settings.ignore)
        if all(is_noise(leaf) or isinstance(leaf, ignored) for leaf in leaves(error)):
            return
        context = current.get() if self._is_current() else self._mine
        self.policy.client.exceptions.capture_once(
            error, Mechanism(type="task", handled=False), source=self.policy.source, context=context, is_limited=True
        )
        # An eager task runs inside the code that queued it, which may let the same exception
        # propagate.
        outer = self._previous.origin if self._previous is not None else None
        if isinstance(outer, CaptureScope) and captured_before(error, self):
            mark_captured(error, outer)

    def _is_current(self) -> bool:
        context = current.get()
        return context is not None and context.origin is self


def current_run() -> TaskRun | None:
    """Return the run that this code is part of, or None."""
    context = current.get()
    origin = context.origin if context is not None else None
    return origin if isinstance(origin, TaskRun) else None
