"""One run of a queued task, no library named: the seam that all queues share, as `exchange.py` is for requests.

A queue's file injects a carrier where a task is published, begins a run where a worker takes it up, tells it of what the
task raised, and ends it. Identity, properties and the exception policy are decided here, once.
"""

import logging
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Self

from hogline.client import Client
from hogline.context import Context, current, restore
from hogline.deduplication import CaptureScope, captured_before, mark_captured
from hogline.default import default_client
from hogline.exception_kinds import is_noise, leaves
from hogline.propagation.carrier import pack, unpack
from hogline.safe_attributes import own_attribute
from hogline.settings import TaskSettings
from hogline.tracebacks import Mechanism

__all__ = ["TaskPolicy", "TaskRun", "current_run"]

_log = logging.getLogger("hogline")


class TaskPolicy:
    """What one queue was told, the client it speaks for, and the complaints it has made already."""

    def __init__(self, source: str, options: Mapping[str, Any]) -> None:
        """Check *options* for the library *source*.

        Raises TypeError: an option that does not exist.  Raises SettingsError: a value that cannot work.
        """
        self.settings: TaskSettings = TaskSettings.load(options)
        client = self.settings.client
        # `$exception_source`; for Celery as posthog-python has it.
        self.source: str = "celery.task_failure" if source == "celery" else f"{source}.task"
        self._client: Callable[[], Client] = default_client if client is None else lambda: client
        self._complained: set[str] = set()

    @property
    def client(self) -> Client:
        """The client of these settings, or the default one."""
        return self._client()

    def inject(self) -> str | None:
        """Return the current context as a carrier, or None where nothing is known. Never raises."""
        try:
            return pack(current.get(), self.settings.tags, self.settings.max_carrier_bytes)
        except Exception as error:
            self.complain("carrier", error)
            return None

    def begin(
        self, carrier: Any, *, name: str | None = None, identity: Any = None, attempt: int | None = None
    ) -> "TaskRun":
        """Begin the run of a task in a context of its own, made of *carrier* alone (rule `fresh-context`). Whoever begins it ends it."""
        run = TaskRun(self, carrier, name=name, identity=identity, attempt=attempt)
        run.enter()
        return run

    def flush(self) -> None:
        """Send what waits, before a worker ends; at most the client's `shutdown_timeout`. Never raises."""
        try:
            client = self.client
            client.flush(client.settings.shutdown_timeout)
        except Exception as error:
            self.complain("flush", error)

    async def aflush(self) -> None:
        """`flush()` that lets the event loop run."""
        try:
            client = self.client
            await client.aflush(client.settings.shutdown_timeout)
        except Exception as error:
            self.complain("flush", error)

    def lost(self, failure: Exception) -> None:
        """Count a task's exception that could not be captured; the client logs why."""
        try:
            self.client.lost("exception capture", failure)
        except Exception:  # there is no client to be had
            self.complain("exception capture", failure)

    def complain(self, name: str, error: BaseException) -> None:
        """Log a failure of *name*, once for each queue."""
        if name not in self._complained:
            self._complained.add(name)
            _log.warning("hogline: the queue's %s failed and is skipped: %r (logged once)", name, error)


class TaskRun(CaptureScope):
    """One attempt at one task: where its context began, and what becomes of its exceptions."""

    retried = False
    """Whether the library said already that another attempt follows."""
    error: BaseException | None = None
    """What the task raised, where a library tells it before it is known whether another attempt follows."""

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

    # -- the Origin of a Context ----------------------------------------------------------------------------------

    def distinct_id(self) -> str | None:
        """Return who the request that queued the task belonged to."""
        return self._carried.distinct_id

    def session_id(self) -> str | None:
        """Return the browser session of that request."""
        return self._carried.session_id

    def properties(self) -> Mapping[str, Any]:
        """Return that request's facts, and the task's own."""
        return self._properties

    # -- its beginning and end ------------------------------------------------------------------------------------

    def enter(self) -> None:
        """Make this run's context the current one."""
        self._previous = current.get()
        self._mine = Context(self, self)
        current.set(self._mine)

    def end(self) -> None:
        """Write back what was there before, if the variable still holds something of this run's. Safe to call twice."""
        mine, self._mine = self._mine, None
        if mine is not None:
            restore(mine, self._previous)
            self._previous = None

    def __enter__(self) -> Self:
        return self

    # No contextlib here: its __exit__ assigns exc.__traceback__, which replaces exceptions that refuse it (rule `no-contextlib-around-app`).
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()

    # -- its exceptions -------------------------------------------------------------------------------------------

    def failed(self, error: BaseException | None, *, final: bool = True) -> None:
        """Capture what this attempt raised, if it is a mistake and no other attempt follows. Never raises."""
        if error is None:
            return
        try:
            self._judge(error, final=final and not self.retried)
        except Exception as failure:
            self.policy.lost(failure)

    def asked_again(self, request: BaseException, *, granted: bool) -> None:
        """Note that the task asked for another attempt, with *request*: what it was raised from is the mistake."""
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
        # An eager task runs inside of whoever queued it, who may let the same object go further.
        outer = self._previous.origin if self._previous is not None else None
        if isinstance(outer, CaptureScope) and captured_before(error, self):
            mark_captured(error, outer)

    def _is_current(self) -> bool:
        now = current.get()
        return now is not None and now.origin is self


def current_run() -> TaskRun | None:
    """Return the run that this code is part of, or None."""
    now = current.get()
    origin = now.origin if now is not None else None
    return origin if isinstance(origin, TaskRun) else None
