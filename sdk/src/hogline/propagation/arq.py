"""arq: the worker's settings and the pool that enqueues are each wrapped once.

    @PostHogPropagation(client=posthog).worker
    class WorkerSettings: ...

    pool = PostHogPropagation().pool(await create_pool(RedisSettings()))

A job has no headers. Its serializer gets a dict, of which every worker reads only the keys that it
knows: the carrier is one more key. arq calls the deserializer in the asyncio task that runs the
job, so a context variable passes the carrier on to the function.
Source: docs/internals/frameworks.md#arq, and arq 0.28's `jobs.py` and `worker.py`.
"""

import asyncio
import dataclasses
import functools
import pickle
import time
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any, TypeVar, Unpack

from arq import ArqRedis
from arq.utils import to_seconds
from arq.worker import Retry, RetryJob, func

from hogline.propagation.carrier import KEY
from hogline.propagation.tasks import TaskPolicy
from hogline.settings.typed import TaskOptions

__all__ = ["PostHogPropagation"]

_S = TypeVar("_S")
_DEFAULT_TRIES = 5  # arq's default, like the next one
_DEFAULT_TIMEOUT_S = 300
_arrived: ContextVar[Any] = ContextVar("hogline.arq", default=None)


class PostHogPropagation:
    """Carries the context into arq's jobs. Keyword options are `TaskSettings`'."""

    def __init__(self, **options: Unpack[TaskOptions]) -> None:
        self._policy = TaskPolicy("arq", options)

    def pool(self, pool: ArqRedis) -> ArqRedis:
        """Return *pool*, whose jobs carry the context that they are enqueued in from now on."""
        pool.job_serializer = self._serializer(pool.job_serializer)
        return pool

    def worker(self, settings: _S) -> _S:
        """Return arq's *settings*, whose jobs run in the context that they carry.

        *settings* is a class, or a dict of `Worker`'s arguments.
        """
        given: dict[str, Any] = settings if isinstance(settings, dict) else _own(settings)
        tries = given.get("max_tries") or _DEFAULT_TRIES
        timeout_s = to_seconds(given.get("job_timeout", _DEFAULT_TIMEOUT_S))
        changes: dict[str, Any] = {
            "job_serializer": self._serializer(given.get("job_serializer")),
            "job_deserializer": self._deserializer(given.get("job_deserializer")),
            "on_shutdown": self._on_shutdown(given.get("on_shutdown")),
        }
        for name in ("functions", "cron_jobs"):
            if given.get(name) is not None:
                changes[name] = [self._function(func(function), tries, timeout_s) for function in given[name]]
        if given.get("redis_pool") is not None:
            self.pool(given["redis_pool"])
        if isinstance(settings, dict):
            settings.update(changes)
        else:
            for name, value in changes.items():
                setattr(settings, name, value)
        return settings

    def _serializer(self, serialize: Callable[[Any], bytes] | None) -> Callable[[Any], bytes]:
        plain = serialize or pickle.dumps

        def carrying(data: Any) -> bytes:
            # A job; results have an "r".
            if isinstance(data, dict) and "k" in data and "r" not in data:
                carrier = self._policy.inject()
                if carrier is not None:
                    data = {**data, KEY: carrier}
            return plain(data)

        return carrying

    def _deserializer(self, deserialize: Callable[[bytes], Any] | None) -> Callable[[bytes], Any]:
        # pickle is arq's own default; it trusts everyone who can write to its Redis.
        plain = deserialize or pickle.loads

        def reading(data: bytes) -> Any:
            job = plain(data)
            _arrived.set(job.get(KEY) if isinstance(job, dict) else None)
            return job

        return reading

    def _function(self, function: Any, default_tries: int, default_timeout_s: float | None) -> Any:
        coroutine = function.coroutine
        tries = function.max_tries or default_tries
        timeout_s = function.timeout_s or default_timeout_s

        @functools.wraps(coroutine)
        async def carried(ctx: dict[Any, Any], *args: Any, **kwargs: Any) -> Any:
            attempt, begun_s = ctx.get("job_try"), time.monotonic()
            identity = ctx.get("job_id")
            with self._policy.begin(_arrived.get(), name=function.name, identity=identity, attempt=attempt) as run:
                try:
                    return await coroutine(ctx, *args, **kwargs)
                except asyncio.CancelledError as error:
                    # arq raises its timeout outside the job; inside it looks like any cancellation.
                    if timeout_s is not None and time.monotonic() - begun_s >= timeout_s:
                        late = TimeoutError(f"the job took longer than its {timeout_s:g} s")
                        run.failed(late.with_traceback(error.__traceback__))
                    raise
                except (Retry, RetryJob) as request:  # the only way to get another attempt
                    run.asked_again(request, granted=(attempt or 1) < tries)
                    raise
                except Exception as error:
                    run.failed(error)
                    raise

        return dataclasses.replace(function, coroutine=carried)

    def _on_shutdown(self, hook: Any) -> Any:
        async def flush_and_shut_down(ctx: dict[Any, Any]) -> None:
            if hook is not None:
                await hook(ctx)
            await self._policy.aflush()

        return flush_and_shut_down


def _own(settings: Any) -> dict[str, Any]:
    """Return the attributes that arq reads of a settings class: its own, not those of its bases."""
    return {
        name: value.__func__ if isinstance(value, staticmethod) else value for name, value in vars(settings).items()
    }
