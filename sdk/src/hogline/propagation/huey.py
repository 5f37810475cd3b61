"""Huey: for one instance, in processes that enqueue its tasks and in consumers.

    PostHogPropagation(huey, client=posthog)

A message is a pickled tuple of fixed fields, and another field would break every other consumer. So
the carrier follows the pickle, where `pickle.loads` stops reading, inside the signature of a
SignedSerializer. No hook surrounds a task together with its retries and pipelines, so the
instance's `execute` is wrapped. Source: huey 3.5's `api.py`.
"""

import functools
import logging
import threading
from typing import Any, Unpack

from huey.api import Huey
from huey.serializer import Serializer, SignedSerializer

from hogline.propagation.tasks import TaskPolicy, TaskRun, current_run
from hogline.settings.typed import TaskOptions

__all__ = ["PostHogPropagation"]

_log = logging.getLogger("hogline")
_TAIL = b"hogline1"  # a pickle ends with a full stop, so no pickle ends with this
_LENGTH_BYTES = 4
_MAX_CARRIER_BYTES = 65_536
_HOOK = "hogline"
_CARRIER = "hogline_carrier"  # on a task, for when it is enqueued again


class PostHogPropagation:
    """Carries the context into the tasks of *huey*. Keyword options are `TaskSettings`'."""

    def __init__(self, huey: Huey, **options: Unpack[TaskOptions]) -> None:
        self._policy = TaskPolicy("huey", options)
        # The carrier of the message that this thread is packing or unpacking.
        self._passing = threading.local()
        if isinstance(getattr(huey, _HOOK, None), PostHogPropagation):
            _log.warning("hogline: this Huey has propagation already; the second one is ignored")
            return
        setattr(huey, _HOOK, self)
        self._wrap_serializer(huey.serializer)
        huey.serialize_task = self._serialize_task(huey.serialize_task)
        huey.deserialize_task = self._deserialize_task(huey.deserialize_task)
        huey.execute = self._execute(huey.execute)
        huey.post_execute(_HOOK)(self._judge)
        huey.on_shutdown(_HOOK)(self._policy.flush)

    # -- packing and unpacking messages -----------------------------------------------------------

    def _wrap_serializer(self, serializer: Any) -> None:
        kind = type(serializer)
        if kind._serialize is Serializer._serialize:
            serializer._serialize = self._adding_after(serializer._serialize)
            serializer._deserialize = self._taking_before(serializer._deserialize)
        elif kind._serialize is SignedSerializer._serialize:
            serializer._sign = self._adding_before(serializer._sign)
            serializer._unsign = self._taking_after(serializer._unsign)
        else:
            _log.warning(
                "hogline: Huey's serializer %s has a format of its own, so its messages carry no context; "
                "exceptions are captured all the same",
                kind.__qualname__,
            )

    def _adding_after(self, serialize: Any) -> Any:
        return lambda data: serialize(data) + self._tail()

    def _adding_before(self, sign: Any) -> Any:
        return lambda message: sign(message + self._tail())

    def _taking_before(self, deserialize: Any) -> Any:
        return lambda data: deserialize(self._without_tail(data))

    def _taking_after(self, unsign: Any) -> Any:
        return lambda signed: self._without_tail(unsign(signed))

    def _tail(self) -> bytes:
        carrier: str | None = getattr(self._passing, "outgoing", None)
        if carrier is None:
            return b""
        body = carrier.encode("ascii")
        return body + len(body).to_bytes(_LENGTH_BYTES, "big") + _TAIL

    def _without_tail(self, data: Any) -> Any:
        self._passing.incoming = None
        if not isinstance(data, bytes) or not data.endswith(_TAIL):
            return data
        end = len(data) - len(_TAIL) - _LENGTH_BYTES
        size = int.from_bytes(data[end : end + _LENGTH_BYTES], "big")
        if 0 <= size <= min(end, _MAX_CARRIER_BYTES):
            self._passing.incoming = data[end - size : end]
        return data  # unpickling stops where the pickle does

    def _serialize_task(self, serialize: Any) -> Any:
        @functools.wraps(serialize)
        def serialize_task(task: Any) -> Any:
            self._passing.outgoing = task.__dict__.get(_CARRIER) or self._policy.inject()
            try:
                return serialize(task)
            finally:
                self._passing.outgoing = None

        return serialize_task

    def _deserialize_task(self, deserialize: Any) -> Any:
        @functools.wraps(deserialize)
        def deserialize_task(data: Any) -> Any:
            self._passing.incoming = None
            task = deserialize(data)
            if self._passing.incoming is not None:
                setattr(task, _CARRIER, self._passing.incoming.decode("ascii", "replace"))
            return task

        return deserialize_task

    # -- running a task ---------------------------------------------------------------------------

    def _execute(self, execute: Any) -> Any:
        @functools.wraps(execute)
        def execute_task(task: Any, *args: Any, **kwargs: Any) -> Any:
            # A task without a message runs in immediate mode, in the context of its caller.
            carrier = task.__dict__.get(_CARRIER) or self._policy.inject()
            setattr(task, _CARRIER, carrier)
            with self._policy.begin(carrier, name=f"{type(task).__module__}.{task.name}", identity=task.id):
                return execute(task, *args, **kwargs)

        return execute_task

    def _judge(self, task: Any, value: Any, exception: BaseException | None) -> None:
        run: TaskRun | None = current_run()
        if run is not None and run.identity == task.id:
            run.failed(exception, final=not task.retries)  # Huey counts down after this
