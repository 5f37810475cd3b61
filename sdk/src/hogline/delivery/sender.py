"""The sender: one thread for each client, started with the first event, that turns waiting events into requests.

`put` is the hot path: one lock, one append; it wakes the thread only when the outbox stops being empty and when a batch is
full. The pid is owned: a forked child starts with nothing of its parent's, whether Python's fork hooks ran or not (R9).
"""

import logging
import os
import threading
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import orjson

from hogline.delivery import lifetime
from hogline.delivery.ledger import QUEUE_FULL, SENDER_ERROR, SHUTDOWN, Ledger
from hogline.delivery.outbox import Outbox
from hogline.delivery.retry import Accepted, Answer, Refused, RetryAfter, Split, next_step
from hogline.exceptions import DeliveryError
from hogline.settings import ClientSettings
from hogline.wire.batch import encode

if TYPE_CHECKING:
    from hogline.delivery.transport import Transport

__all__ = ["Delivery"]

_log = logging.getLogger("hogline")
_MIN_BATCH_EVENTS = 100  # a backlog leaves in batches of at least this many, however small `flush_at` is
_getpid = os.getpid


class Delivery:
    """What a client holds of this room."""

    def __init__(self, settings: ClientSettings, *, ledger: Ledger) -> None:
        self._settings = settings
        self._ledger = ledger
        # An outbox that is full is worth a request, even where the bounds of a batch are wider than its own.
        self._flush_at = min(settings.flush_at, settings.max_queue_size)
        self._full_bytes = min(settings.max_batch_bytes, settings.max_queue_bytes)
        self._batch_events = max(settings.flush_at, _MIN_BATCH_EVENTS)
        self._begin()
        lifetime.watch(self)

    def _begin(self) -> None:
        """Start from nothing, as a new client and as a forked child do."""
        self._lock = self._ledger.lock
        self._work = threading.Condition(self._lock)  # the sender waits here
        self._settled = threading.Condition(self._lock)  # flush() waits here
        self._outbox = Outbox(self._settings.max_queue_size, self._settings.max_queue_bytes)
        self._thread: threading.Thread | None = None  # who sends
        self._transport: Transport | None = None
        self._put_count = 0  # events that ever entered the outbox
        self._settled_count = 0  # of those, sent or dropped; events are settled in order
        self._flush_to = 0  # everything up to here is wanted out now
        self._empty = True  # the next event is the oldest, and wakes the sender
        self._oldest_s = 0.0  # when the outbox stopped being empty
        self._in_flight: list[bytes] = []
        self._closed = False
        self._abandoned = False  # the deadline of shutdown() has passed; nothing counts any more
        self._traced = False  # a failure of the sender's own was logged with its traceback
        pid = _getpid()
        self._claims = {pid: object()}
        self._pid = pid  # last: it says that all of the above is this process's

    def after_fork(self) -> None:
        """Leave the parent's events, locks, thread and connections to the parent."""
        closed = self._closed
        self._ledger.reset()
        self._begin()
        self._closed = closed

    def _own(self) -> None:
        """Begin anew in a process that was forked without Python's hooks. Of several threads one does it, the others wait."""
        pid, claim = _getpid(), object()
        if self._claims.setdefault(pid, claim) is claim:
            self.after_fork()
        while self._pid != pid:
            time.sleep(0.001)

    # -- the caller's side --------------------------------------------------------------------------------------------

    def put(self, event: bytes) -> bool:
        """Take one serialised event; False: it is refused, and counted."""
        if self._pid != _getpid():
            self._own()
        newcomer = reason = None
        with self._lock:
            if not self._closed and self._outbox.add(event):
                self._ledger.accepted += 1
                self._put_count += 1
                if self._empty:
                    self._empty = False
                    self._oldest_s = time.monotonic()
                    newcomer = self._wake()
                # The event that filled it says so; those that come while the sender is busy need not.
                elif len(self._outbox) == self._flush_at or 0 <= self._outbox.size_bytes - self._full_bytes < len(
                    event
                ):
                    newcomer = self._wake()
            else:
                reason = SHUTDOWN if self._closed else QUEUE_FULL
                # What fills the queue waits for no company any more. Said once, and not again for each that is refused.
                if self._flush_to < self._put_count:
                    self._flush_to = self._put_count
                    newcomer = self._wake()
        if newcomer is not None:
            self._start(newcomer)
        if reason is None:
            return True
        self._ledger.refuse(reason, event)
        return False

    @property
    def shutdown_timeout_s(self) -> float:
        """How long the end of the process may wait for what is not sent yet."""
        return self._settings.shutdown_timeout

    @property
    def waiting(self) -> int:
        """How many events are in the outbox or on their way."""
        with self._lock:
            return self._put_count - self._settled_count

    def flush(self, timeout_s: float | None) -> bool:
        """Send what waits now; True: all of it was sent, or dropped and counted, within *timeout_s*. Never raises."""
        if self._pid != _getpid():
            self._own()
        deadline_s = None if timeout_s is None else time.monotonic() + timeout_s
        with self._lock:
            goal = self._put_count
            self._flush_to = max(self._flush_to, goal)
        while True:
            with self._lock:
                if self._settled_count >= goal:
                    return True
                if threading.current_thread() is self._thread:
                    return False  # a hook on the sender's own thread cannot wait for it; the flush happens after it
                newcomer = self._wake()
            if newcomer is not None and not self._start(newcomer):
                self._drain(deadline_s)
            with self._lock:
                rest_s = None if deadline_s is None else deadline_s - time.monotonic()
                if self._settled_count < goal and rest_s is not None and rest_s <= 0:
                    return False
                if self._settled_count < goal and self._thread is not None:
                    self._settled.wait(rest_s)

    def shutdown(self, timeout_s: float) -> bool:
        """Refuse new events, send what waits, give up and count what is not sent within *timeout_s*. Safe to call twice."""
        if self._pid != _getpid():
            self._own()
        with self._lock:
            self._closed = True
        flushed = self.flush(timeout_s)
        lost: list[bytes] = []
        with self._lock:
            if not flushed and threading.current_thread() is not self._thread:
                self._abandoned = True
                lost = [*self._in_flight, *self._outbox.take(len(self._outbox), self._settings.max_queue_bytes)]
                self._in_flight = []
                self._count_settled(len(lost))
                if lost:
                    self._ledger.lose(SHUTDOWN, len(lost))
            self._work.notify_all()
        if lost:
            self._ledger.tell(SHUTDOWN, lost)
        self._ledger.log_losses(every_s=0.0)
        return flushed

    def _wake(self) -> threading.Thread | None:
        """Notify the sender, or return a new one for the caller to start once it has let go of the lock.

        A starting thread may run a finalizer that captures: who held the lock until it has started would wait for ever.
        """
        thread = self._thread
        if thread is not None and (thread.ident is None or thread.is_alive()):  # no ident: another caller starts it
            self._work.notify()
            return None
        self._thread = threading.Thread(target=self._run, name="hogline-sender", daemon=True)
        return self._thread

    def _start(self, thread: threading.Thread) -> bool:
        """Start the sender; False: no thread can be had, at the interpreter's end or at the system's limit."""
        try:
            thread.start()
        except RuntimeError:
            with self._lock:
                self._thread = None
                self._empty = True  # the next event tries again
                self._settled.notify_all()  # who waits for this thread must look for another
            return False
        lifetime.watch_process()
        return True

    # -- the sender's side --------------------------------------------------------------------------------------------

    def _run(self) -> None:
        """Send until closed and empty. The third guarded door: nothing ends this thread but the end of its work."""
        while True:
            with self._lock:
                self._await_work()
                batch = self._take()
                if not batch or self._abandoned:
                    break
            try:
                self._deliver(batch)
            except BaseException as error:  # a SystemExit that a hook raised is not this thread's end either
                self._failed(error)
            self._ledger.log_losses()
        if self._transport is not None:
            self._transport.close()

    def _drain(self, deadline_s: float | None) -> None:
        """Be the sender for a while, on the caller's thread, where no other can be had."""
        with self._lock:
            self._thread = threading.current_thread()
        try:
            while deadline_s is None or time.monotonic() < deadline_s:
                with self._lock:
                    batch = self._take()
                if not batch:
                    break
                self._deliver(batch, deadline_s)
        finally:
            with self._lock:
                self._thread = None
                self._settled.notify_all()  # as above

    def _failed(self, error: BaseException) -> None:
        if not self._traced:  # a failure of ours will come again with each batch; the ledger counts them
            self._traced = True
            _log.error("hogline: the sender failed and goes on", exc_info=error)
        if self._in_flight:
            self._give_up(self._in_flight, SENDER_ERROR, Answer(None, text=repr(error)))

    def _take(self) -> list[bytes]:
        """Return the batch that is on its way, or move the next one there; the caller holds the lock."""
        if not self._in_flight:
            self._in_flight = self._outbox.take(self._batch_events, self._settings.max_batch_bytes)
            self._empty = not self._outbox
        return self._in_flight

    def _await_work(self) -> None:
        while not self._closed and not self._in_flight:  # a drain that ran out of time leaves a batch on its way
            if not self._outbox:
                self._work.wait()
                continue
            rest_s = self._oldest_s + self._settings.flush_interval - time.monotonic()
            full = len(self._outbox) >= self._flush_at or self._outbox.size_bytes >= self._full_bytes
            if full or rest_s <= 0 or self._settled_count < self._flush_to:
                return
            self._work.wait(rest_s)

    def _deliver(self, batch: list[bytes], deadline_s: float | None = None) -> None:
        """Send *batch* until it is accepted or given up."""
        attempt = 0
        while not self._abandoned and (deadline_s is None or time.monotonic() < deadline_s):
            attempt += 1
            answer = self._send(batch)
            from random import random  # slow, so not before `_send` has imported what sending takes

            step = next_step(
                attempt,
                answer,
                events=len(batch),
                max_retries=self._settings.max_retries,
                chance=random(),  # noqa: S311 - jitter is no secret
                now=datetime.now(UTC),
            )
            match step:
                case Accepted():
                    self._settle(batch)
                    return
                case Refused(reason):
                    self._give_up(batch, reason, answer)
                    return
                case Split():
                    middle = len(batch) // 2
                    self._deliver(batch[:middle], deadline_s)
                    self._deliver(batch[middle:], deadline_s)
                    return
                case RetryAfter(seconds):
                    self._pause(seconds, answer, deadline_s)

    def _send(self, batch: list[bytes]) -> Answer:
        if self._transport is None:
            settings = self._settings
            self._transport = lifetime.import_transport()(settings.host, timeout_s=settings.timeout, gzip=settings.gzip)
        sent_at = datetime.now(UTC).isoformat()
        historical = self._settings.historical_migration
        answer = self._transport.send(
            encode(batch, self._settings.project_token, sent_at, historical_migration=historical)
        )
        if self._settings.debug:
            _log.info("hogline: sent %d events: %s", len(batch), answer)
        return answer

    def _pause(self, seconds: float, answer: Answer, deadline_s: float | None) -> None:
        until_s = time.monotonic() + seconds
        until_s = until_s if deadline_s is None else min(until_s, deadline_s)
        with self._lock:
            self._ledger.retried += 1
            self._ledger.last_error = str(answer)
            # New events notify the same condition; the wait goes on until its time has come.
            while not self._abandoned and (rest_s := until_s - time.monotonic()) > 0:
                self._work.wait(rest_s)

    def _settle(self, batch: list[bytes]) -> None:
        with self._lock:
            if self._abandoned:
                return
            self._in_flight = self._in_flight[len(batch) :]
            self._ledger.sent += len(batch)
            self._ledger.batches += 1
            self._count_settled(len(batch))

    def _give_up(self, batch: list[bytes], reason: str, answer: Answer) -> None:
        with self._lock:
            if self._abandoned:
                return
            self._in_flight = self._in_flight[len(batch) :]
            self._ledger.last_error = str(answer)
            self._ledger.lose(reason, len(batch))
        try:
            # The hooks come before flush() is let go: who flushed has been told.
            self._ledger.tell(reason, batch)
            self._tell_error(batch, reason, answer)
        finally:
            with self._lock:
                self._count_settled(len(batch))

    def _tell_error(self, batch: list[bytes], reason: str, answer: Answer) -> None:
        on_error = self._settings.on_error
        if on_error is not None:
            error = DeliveryError(
                f"{len(batch)} events given up ({reason}): {self._settings.host} answered {answer}",
                reason=reason,
                events=len(batch),
                status=answer.status,
            )
            try:
                on_error(error, [orjson.loads(event) for event in batch])
            except Exception as failure:
                self._ledger.hook_failed("on_error", failure)

    def _count_settled(self, count: int) -> None:
        self._settled_count += count
        self._settled.notify_all()
