"""Django's tasks framework (`django.tasks`, and its backport `django_tasks`), whatever the backend.

    class ShopConfig(AppConfig):
        def ready(self):
            PostHogPropagation(client=posthog)

A task has nothing but arguments, so the carrier is a keyword argument, which is removed before the
function is called. This has two consequences: the carrier shows in `TaskResult.kwargs`, and workers
must have the propagation installed before senders do. No hook surrounds a task, so `Task` is
wrapped, and backends' own subclasses inherit that.
Source: Django 6.0's `django/tasks/base.py`.
"""

import functools
import importlib
import logging
from contextvars import ContextVar
from typing import Any, Unpack

from hogline.propagation.carrier import KEY
from hogline.propagation.tasks import TaskPolicy, TaskRun
from hogline.settings.typed import TaskOptions

__all__ = ["PostHogPropagation"]

_log = logging.getLogger("hogline")
_MODULES = ("django.tasks", "django_tasks")
_ARGUMENT = f"_{KEY}"
_starting: ContextVar[Any] = ContextVar("hogline.django_task", default=None)
_installed: "PostHogPropagation | None" = None


class PostHogPropagation:
    """Carries the context into Django's tasks.

    Keyword options are `TaskSettings`'. A process has one; others are ignored.

    Raises ImportError: neither Django 6 nor the backport is installed.
    """

    def __init__(self, **options: Unpack[TaskOptions]) -> None:
        global _installed  # noqa: PLW0603 - Task belongs to the process
        self._policy = TaskPolicy("django", options)
        if _installed is not None:
            _log.warning("hogline: the propagation of Django's tasks is installed already; the second one is ignored")
            return
        frameworks = [framework for name in _MODULES if (framework := _module(name)) is not None]
        if not frameworks:
            raise ImportError("Django's tasks framework needs Django 6, or `pip install django-tasks`")
        for framework in frameworks:
            self._wrap(importlib.import_module(f"{framework.__name__}.base").Task)
            importlib.import_module(f"{framework.__name__}.signals").task_started.connect(_note_start)
        _installed = self

    def _wrap(self, task: Any) -> None:
        enqueue, aenqueue, call, acall = task.enqueue, task.aenqueue, task.call, task.acall
        begin, with_carrier = self._begin, self._with_carrier

        @functools.wraps(enqueue)
        def carrying(self: Any, *args: Any, **kwargs: Any) -> Any:
            return enqueue(self, *args, **with_carrier(kwargs))

        @functools.wraps(aenqueue)
        async def acarrying(self: Any, *args: Any, **kwargs: Any) -> Any:
            return await aenqueue(self, *args, **with_carrier(kwargs))

        @functools.wraps(call)
        def carried(self: Any, *args: Any, **kwargs: Any) -> Any:
            with begin(self, kwargs) as run:
                try:
                    return call(self, *args, **kwargs)
                except BaseException as error:
                    run.failed(error)
                    raise

        @functools.wraps(acall)
        async def acarried(self: Any, *args: Any, **kwargs: Any) -> Any:
            with begin(self, kwargs) as run:
                try:
                    return await acall(self, *args, **kwargs)
                except BaseException as error:
                    run.failed(error)
                    raise

        task.enqueue, task.aenqueue, task.call, task.acall = carrying, acarrying, carried, acarried

    def _with_carrier(self, kwargs: dict[str, Any]) -> dict[str, Any]:
        carrier = self._policy.inject()
        return kwargs if carrier is None else {_ARGUMENT: carrier, **kwargs}

    def _begin(self, task: Any, kwargs: dict[str, Any]) -> TaskRun:
        """Begin a run; removes the carrier from *kwargs*."""
        started = _starting.get()
        _starting.set(None)
        identity = started.id if started is not None and started.task.module_path == task.module_path else None
        return self._policy.begin(kwargs.pop(_ARGUMENT, None), name=task.module_path, identity=identity)


def _note_start(task_result: Any = None, **_: Any) -> None:
    _starting.set(task_result)


def _module(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError:
        return None
