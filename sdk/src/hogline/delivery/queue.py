"""A lane to the sender: one client's queue and counts, as the sender and its courier see them."""

import logging
import os
import threading
import time
from typing import TYPE_CHECKING

import orjson

from hogline.delivery.ledger import RETRIES_EXHAUSTED, SENDER_ERROR, SPOOL_DAMAGED, Ledger
from hogline.delivery.outbox import Outbox, Store
from hogline.delivery.worker import sender_for
from hogline.exceptions import DeliveryError
from hogline.settings import ClientSettings

if TYPE_CHECKING:
    from hogline.delivery.retry import Answer

__all__ = ["Lane"]

_log = logging.getLogger("hogline")
_MIN_BATCH_EVENTS = 100  # a backlog leaves in batches of at least this many, however small `flush_at` is
_REST_S = 30.0  # between two rounds of attempts for what waits on disk
_MAX_FAILURES = 5  # of our own with one batch that is on disk: it must not hold up those behind it for ever
_getpid = os.getpid


class Lane:
    """What waits for one client, and what became of it."""

    def __init__(self, settings: ClientSettings, *, ledger: Ledger) -> None:
        self.settings = settings
        self._ledger = ledger
        # A queue that is full is worth a request, even where the bounds of a batch are wider than its own.
        self._flush_at = min(settings.flush_at, settings.max_queue_size)
        self._full_bytes = min(settings.max_batch_bytes, settings.max_queue_bytes)
        self._batch_events = max(settings.flush_at, _MIN_BATCH_EVENTS)
        self._begin()

    def _begin(self) -> None:
        """Start from nothing, as a new client and as a forked child do."""
        self._sender = sender_for(self.settings.host, self.settings.project_token)
        self._lock = self._sender.lock
        self._outbox = self._open_store()
        self._ledger.share(self._lock, self._on_disk if self.settings.spool_dir is not None else None)
        self._put_count = 0  # events that ever entered the queue
        self._settled_count = 0  # of those, sent or dropped; events are settled in order
        self._flush_to = 0  # everything up to here is wanted out now
        self._empty = True  # the next event is the oldest, and wakes the sender
        self._oldest_s = 0.0  # when the queue stopped being empty
        self._in_flight: list[bytes] = []
        self._recovered = False  # what is on its way was a dead process's
        self._rest_until_s = 0.0  # retries are used up; what is on disk can wait
        self._rounds = 0  # of retries that were all in vain
        self._failures = 0  # of our own with the batch that is on its way
        self._flushed = False
        self._untold = 0  # events that the disk did not give back
        self.closed: bool = False
        self._abandoned = False  # the deadline of shutdown() has passed; nothing counts any more
        self._traced = False  # a failure of the sender's own was logged with its traceback
        self._sender.lanes.add(self)
        pid = _getpid()
        self._claims = {pid: object()}
        self._pid = pid  # last: it says that all of the above is this process's

    def _open_store(self) -> Store:
        settings = self.settings
        memory = Outbox(settings.max_queue_size, settings.max_queue_bytes)
        if settings.spool_dir is None:
            return memory
        try:
            from hogline.delivery.spool import Spool
        except ImportError as error:  # there is no such lock outside POSIX
            memory.trouble = ("write", f"spool_dir needs a system with flock ({error}); events wait in memory only")
            return memory
        return Spool(settings, memory)

    def _on_disk(self) -> tuple[int, int]:
        return self._outbox.kept, self._outbox.damaged_bytes

    def after_fork(self) -> None:
        """Leave the parent's events, locks, thread, files and connections to the parent."""
        closed = self.closed
        self._outbox.forget()
        self._ledger.reset()
        self._begin()
        self.closed = closed

    def _call(self) -> threading.Thread | None:
        """Make the sender look at this lane; the caller holds the lock, and starts the thread that it may get."""
        self._sender.busy[id(self)] = self
        return self._sender.wake()

    def call_again(self) -> None:
        """Let the next event call the sender anew."""
        self._empty = True

    def due_in_s(self, now_s: float) -> float | None:
        """Return in how many seconds the sender should take a batch (0 or less: now), or None: it has nothing to do here."""
        if self._abandoned:
            return None
        outbox = self._outbox
        if not self._in_flight and not outbox and not outbox.behind:
            if self.closed:
                outbox.close()
                return None
            return outbox.look_in_s(now_s)
        if self._rest_until_s > now_s:
            return self._rest_until_s - now_s
        full = len(outbox) >= self._flush_at or outbox.size_bytes >= self._full_bytes
        wanted = self._settled_count < self._flush_to
        if (
            self.closed or full or wanted or outbox.behind or self._in_flight
        ):  # a drain that ran out of time left a batch
            return 0.0
        return self._oldest_s + self.settings.flush_interval - now_s

    def take(self) -> list[bytes]:
        """Return the batch that is on its way, or move the next one there; the caller holds the lock."""
        if not self._in_flight:
            outbox, ledger = self._outbox, self._ledger
            self._in_flight = outbox.take(self._batch_events, self.settings.max_batch_bytes)
            if not self._in_flight and outbox and (self.due_in_s(time.monotonic()) or 0.0) <= 0:
                self._in_flight = outbox.take(self._batch_events, self.settings.max_batch_bytes)
            self._empty = not outbox
            self._recovered = outbox.recovered > 0
            if self._recovered:
                ledger.accepted += outbox.recovered
                ledger.recovered += outbox.recovered
            if outbox.lost:
                ledger.lose(SPOOL_DAMAGED, outbox.lost)
                self._count_settled(outbox.lost)
                self._untold += outbox.lost
                outbox.lost = 0
            self._sender.settled.notify_all()  # there is room, or nothing is behind any more
        return self._in_flight

    @property
    def troubled(self) -> bool:
        """Whether `log` has something to say that no batch may come to say."""
        return self._outbox.trouble is not None or self._untold > 0

    def may_send(self, deadline_s: float | None) -> bool:
        """Tell whether the courier may make another request."""
        now_s = time.monotonic()
        return not self._abandoned and now_s >= self._rest_until_s and (deadline_s is None or now_s < deadline_s)

    def pause(self, seconds: float, answer: "Answer", deadline_s: float | None) -> None:
        """Wait before the next request."""
        until_s = time.monotonic() + seconds
        until_s = until_s if deadline_s is None else min(until_s, deadline_s)
        with self._lock:
            self._ledger.retried += 1
            self._ledger.last_error = str(answer)
            # New events notify the same condition; the wait goes on until its time has come.
            while not self._abandoned and (rest_s := until_s - time.monotonic()) > 0:
                self._sender.work.wait(rest_s)

    def settle(self, batch: list[bytes]) -> None:
        """Note that the server has *batch*: counted, and on record before the next one leaves."""
        with self._lock:
            if self._abandoned or not batch:
                return
            self._ledger.sent += len(batch)
            self._ledger.batches += 1
            self._let_go(batch)

    def give_up(
        self,
        batch: list[bytes],
        reason: str,
        answer: "Answer",
        *,
        request_id: str | None = None,
        details: tuple[str, ...] = (),
    ) -> None:
        """Count *batch* as dropped and tell the hooks; or, where another round may help, let what is on disk rest."""
        with self._lock:
            if self._abandoned:
                return
            self._ledger.last_error = str(answer)
            self._failures += reason == SENDER_ERROR
            again = reason == RETRIES_EXHAUSTED or (reason == SENDER_ERROR and self._failures < _MAX_FAILURES)
            if again and self._outbox.keeps(batch[0]):
                self._rest_until_s = time.monotonic() + _REST_S
                self._rounds += 1
                self._sender.settled.notify_all()
                return
            self._ledger.lose(reason, len(batch))
        try:
            # The hooks come before flush() is let go: who flushed has been told.
            self._ledger.tell(reason, batch)
            self._tell_error(batch, reason, answer, request_id, details)
        finally:
            with self._lock:
                if not self._abandoned:
                    self._let_go(batch)

    def _tell_error(
        self, batch: list[bytes], reason: str, answer: "Answer", request_id: str | None, details: tuple[str, ...]
    ) -> None:
        on_error = self.settings.on_error
        if on_error is not None:
            said = f" ({', '.join(sorted(set(details)))})" if any(details) else ""
            error = DeliveryError(
                f"{len(batch)} events given up ({reason}): {self.settings.host} answered {answer}{said}",
                reason=reason,
                events=len(batch),
                status=answer.status,
                request_id=request_id,
                details=details,
            )
            try:
                on_error(error, [orjson.loads(event) for event in batch])
            except Exception as failure:
                self._ledger.hook_failed("on_error", failure)

    def failed(self, error: BaseException) -> None:
        """Let what is on its way rest after an error of ours, or give it up."""
        from hogline.delivery.retry import Answer

        if not self._traced:  # a failure of ours will come again with each batch; the ledger counts them
            self._traced = True
            _log.error("hogline: the sender failed and goes on", exc_info=error)
        if self._in_flight:
            self.give_up(self._in_flight, SENDER_ERROR, Answer(None, text=repr(error)))

    def log(self) -> None:
        """Log what was lost, and what is wrong with the disk. Call without the lock."""
        trouble, self._outbox.trouble = self._outbox.trouble, None
        if trouble is not None:
            kind, text = trouble
            self._ledger.warn(f"spool {kind}", text, logging.ERROR)
        if self._untold:
            with self._lock:
                untold, self._untold = self._untold, 0
            self._ledger.tell(SPOOL_DAMAGED, [None] * untold)
        self._ledger.log_losses()

    def _let_go(self, batch: list[bytes]) -> None:
        """Take *batch* off what is on its way; the caller holds the lock."""
        self._outbox.settle(batch)
        self._failures = 0
        if len(batch) == len(self._in_flight):
            self._in_flight = []
        else:
            gone = set(map(id, batch))
            self._in_flight = [event for event in self._in_flight if id(event) not in gone]
        self._count_settled(0 if self._recovered else len(batch))

    def _count_settled(self, count: int) -> None:
        self._settled_count += count
        self._sender.settled.notify_all()
