"""APScheduler 3: for one scheduler, whose jobs run in the context that they were added in.

    PostHogPropagation(scheduler, client=posthog)

A job is stored as a dict, of which every scheduler reads only the keys that it knows: the carrier
is one more key. No hook runs where a job is made, restored or run, so `Job` and the scheduler's
look-up of executors are wrapped.
Source: APScheduler 3.11's `job.py` and `executors/`; docs/internals/frameworks.md#apscheduler.
"""

import functools
import importlib
import inspect
import logging
from typing import Any, Unpack

from apscheduler.events import EVENT_SCHEDULER_SHUTDOWN
from apscheduler.executors.pool import ProcessPoolExecutor
from apscheduler.job import Job
from apscheduler.util import ref_to_obj

from hogline.propagation.carrier import KEY
from hogline.propagation.tasks import TaskPolicy
from hogline.settings.typed import TaskOptions

__all__ = ["PostHogPropagation", "run_in_child"]

_log = logging.getLogger("hogline")
_SLOTS = tuple(name for name in Job.__slots__ if not name.startswith("__"))


class PostHogPropagation:
    """Carries the context into the jobs of *scheduler*. Keyword options are `TaskSettings`'."""

    def __init__(self, scheduler: Any, **options: Unpack[TaskOptions]) -> None:
        self.policy: TaskPolicy = TaskPolicy("apscheduler", options)
        if isinstance(getattr(scheduler, KEY, None), PostHogPropagation):
            _log.warning("hogline: this scheduler has propagation already; the second one is ignored")
            return
        setattr(scheduler, KEY, self)
        _keep_carriers()
        look_up = scheduler._lookup_executor
        scheduler._lookup_executor = lambda alias: _Executor(look_up(alias), self.policy)
        scheduler.add_listener(lambda _event: self.policy.flush(), EVENT_SCHEDULER_SHUTDOWN)


class _Arguments(dict[str, Any]):
    """A job's keyword arguments, with the carrier beside them."""

    carrier: str | None = None


class _Executor:
    """An executor whose jobs run in their own contexts."""

    def __init__(self, executor: Any, policy: TaskPolicy) -> None:
        self._executor = executor
        self._policy = policy

    def __getattr__(self, name: str) -> Any:
        return getattr(self._executor, name)

    def submit_job(self, job: Job, run_times: Any) -> Any:
        """Submit a copy of *job* that runs in its own context."""
        carrier = getattr(job.kwargs, "carrier", None)
        copy = Job.__new__(Job)
        for name in _SLOTS:
            if hasattr(job, name):
                setattr(copy, name, getattr(job, name))
        # The other process receives a reference and arguments.
        if isinstance(self._executor, ProcessPoolExecutor):
            copy.func, copy.func_ref = run_in_child, f"{__name__}:{run_in_child.__name__}"
            copy.args = (job.func_ref, carrier, job.name, job.id, *job.args)
        else:
            copy.func = self._around(job.func, carrier, job.name, job.id)
        return self._executor.submit_job(copy, run_times)

    def _around(self, function: Any, carrier: Any, name: str, identity: str) -> Any:
        if _is_coroutine(function):

            async def run_async(*args: Any, **kwargs: Any) -> Any:
                with self._policy.begin(carrier, name=name, identity=identity) as run:
                    try:
                        return await function(*args, **kwargs)
                    except BaseException as error:
                        run.failed(error)
                        raise

            return run_async

        def run_sync(*args: Any, **kwargs: Any) -> Any:
            return _run(self._policy, function, carrier, name, identity, args, kwargs)

        return run_sync


def run_in_child(reference: str, carrier: Any, name: str, identity: str, *args: Any, **kwargs: Any) -> Any:
    """Run the function that *reference* names in a pool's process.

    That process's default client is used.
    """
    module, _, path = reference.partition(":")
    importlib.import_module(module)  # this makes the app's client
    return _run(TaskPolicy("apscheduler", {}), ref_to_obj(f"{module}:{path}"), carrier, name, identity, args, kwargs)


def _run(policy: TaskPolicy, function: Any, carrier: Any, name: str, identity: str, args: Any, kwargs: Any) -> Any:
    with policy.begin(carrier, name=name, identity=identity) as run:
        try:
            return function(*args, **kwargs)
        except BaseException as error:
            run.failed(error)
            raise


def _is_coroutine(function: Any) -> bool:
    while isinstance(function, functools.partial):
        function = function.func
    return inspect.iscoroutinefunction(function)


def _keep_carriers() -> None:
    """Let jobs keep their carrier, in memory and in stores."""
    begin, get_state, set_state = Job.__init__, Job.__getstate__, Job.__setstate__
    if hasattr(begin, "__wrapped__"):
        return

    @functools.wraps(begin)
    def init(self: Any, scheduler: Any, *args: Any, **kwargs: Any) -> None:
        begin(self, scheduler, *args, **kwargs)
        propagation = getattr(scheduler, KEY, None)
        if isinstance(propagation, PostHogPropagation):
            _attach(self, propagation.policy.inject())

    @functools.wraps(get_state)
    def getstate(self: Any) -> Any:
        state = get_state(self)
        carrier = getattr(self.kwargs, "carrier", None)
        if carrier is not None:
            state[KEY] = carrier
        if isinstance(state["kwargs"], _Arguments):
            state["kwargs"] = dict(state["kwargs"])
        return state

    @functools.wraps(set_state)
    def setstate(self: Any, state: Any) -> None:
        set_state(self, state)
        _attach(self, state.get(KEY))

    Job.__init__, Job.__getstate__, Job.__setstate__ = init, getstate, setstate


def _attach(job: Any, carrier: Any) -> None:
    if carrier is not None:
        job.kwargs = _Arguments(job.kwargs)
        job.kwargs.carrier = carrier
