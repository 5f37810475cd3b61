"""The queue of one client, and what became of each of its events.

It holds events that wait or are being sent, and knows when the next batch is due.
"""

import logging
import time
from enum import Enum
from typing import Any

import orjson

from hogline.delivery.inbox import Inbox
from hogline.delivery.ledger import QUEUE_FULL, RETRIES_EXHAUSTED, SENDER_ERROR, SPOOL_DAMAGED, SPOOL_FULL, Ledger
from hogline.delivery.outbox import Outbox
from hogline.delivery.pending import Event, finished
from hogline.delivery.signals import Signals
from hogline.exceptions import DeliveryError
from hogline.settings import ClientSettings
from hogline.transports import UploadResponse
from hogline.wire.batch import BATCH_PATH

__all__ = ["Added", "EventQueue"]

_log = logging.getLogger("hogline")
# What waits leaves in batches of this many, however small `flush_at` is: a request costs the same
# for few events and for many.
_MIN_BATCH_EVENTS = 1000
# Under load the worker sends at this interval, instead of being woken each time that `flush_at`
# events wait: to wake a thread, and to send a request, cost the threads that serve requests more
# than all other parts of delivery.
_PACE_S = 0.2
_URGENT_SHARE = 4  # a queue that is filled to a quarter is sent at once
_REST_S = 30.0  # between two rounds of retries for events on disk
# Our failures with one batch that is on disk: it must not block the events behind it for ever.
_MAX_FAILURES = 5


class Added(Enum):
    """The outcome of `EventQueue.add`."""

    REFUSED = 0
    """There was no room, or the queue is closed."""
    ADDED = 1
    """The event waits; the worker will find it."""
    WAKE = 2
    """The event waits, and the worker should be woken."""


_REFUSED, _ADDED, _WAKE = Added.REFUSED, Added.ADDED, Added.WAKE


class EventQueue:
    """Events of one client, in an outbox.

    Unless a method says otherwise, the caller holds `signals.lock`.
    """

    def __init__(
        self,
        settings: ClientSettings,
        *,
        ledger: Ledger,
        outbox: Outbox,
        signals: Signals,
        path: str = BATCH_PATH,
    ) -> None:
        self.settings = settings
        self.path = path  # the URL path for batches of the v0 protocol
        self.outbox = outbox
        self.signals = signals
        self.used: bool = False
        """Whether this process ever added an event, or flushed."""
        self.closed: bool = False
        """Whether new events are refused; `close` sets it."""
        self.inbox: Inbox = Inbox()
        """Small events that were put without the lock."""
        self.abandoned: bool = False
        """Whether the deadline of `shutdown()` has passed.

        From then on nothing is counted any more, but for the answer to a request that still runs.
        """
        self.is_asking: bool = False
        """Whether a request was made whose answer is not recorded yet."""
        self._is_sending_late: bool = False  # a request that `abandon` left behind still runs
        self.first_backoff_s: float = 1.0
        """How long the first retry of a request waits at most; tests wait less."""
        self._ledger = ledger
        # A full queue is worth a request, even where a batch may be larger than the whole queue.
        self._flush_at = min(settings.flush_at, settings.max_queue_size)
        self._full_bytes = min(settings.max_batch_bytes, settings.max_queue_bytes)
        self._pace_s = min(_PACE_S, settings.flush_interval)
        self._urgent_at = max(self._flush_at, settings.max_queue_size // _URGENT_SHARE)
        self._urgent_bytes = max(self._full_bytes, settings.max_queue_bytes // _URGENT_SHARE)
        self._batch_events = max(settings.flush_at, _MIN_BATCH_EVENTS)
        self._added_count = 0  # events that were ever added
        self._settled_count = 0  # of those, sent or dropped; events are settled in order
        self._flush_to = 0  # events up to here should leave now
        self._adds_to_wake = 1  # so many events are added before the worker is woken
        self._bytes_to_wake = self._full_bytes  # or this many bytes wait
        # When the queue stopped being empty. None: it has been empty since the last batch.
        self._oldest_s: float | None = None
        self._took_s = 0.0  # when the last batch was taken
        self._in_flight: list[bytes] = []
        self._in_flight_recovered = False  # the events in flight came from a dead process
        self._rest_until_s = 0.0  # retries are used up, and events on disk can wait
        self._rounds = 0  # rounds of retries, all used up
        self._failures = 0  # our failures with the batch in flight
        self._unreported = 0  # events that the disk did not give back
        self._traced = False  # a failure of ours was logged with its traceback
        ledger.share(
            signals.lock,
            self._disk_counts if settings.spool_dir is not None else None,
            catch_up=self.count_inbox,
        )

    def _disk_counts(self) -> tuple[int, int]:
        return self.outbox.on_disk, self.outbox.damaged_bytes

    # -- in ----------------------------------------------------------------------------------------

    def add(self, event: Event) -> Added:
        """Append *event*, if there is room."""
        self.count_inbox()
        if self.closed or not self.outbox.add(event):
            return _REFUSED
        return self._count_added(1)

    def take_in(self) -> Added:
        """Count the events in the inbox, which is full."""
        self.count_inbox()
        return self._count_added(0)

    def _count_added(self, count: int) -> Added:
        self._ledger.accepted += count
        self._added_count += count
        self._adds_to_wake -= count
        if self._adds_to_wake <= 0 or self.outbox.size_bytes >= self._bytes_to_wake:
            return self._wake()
        self._make_room()
        return _ADDED

    def count_inbox(self) -> None:
        """Count the events in the inbox. Wakes nobody: there are too few for that."""
        if self.inbox.events and not self.closed:
            events = self.inbox.empty()
            count = len(events)
            self.outbox.extend(events)
            self._ledger.accepted += count
            self._added_count += count
            self._adds_to_wake -= count
            self._make_room()

    def _make_room(self) -> None:
        settings, outbox = self.settings, self.outbox
        needs_lock = self.closed or settings.spool_dir is not None
        size_bytes = outbox.size_bytes
        self.inbox.make_room(
            0 if needs_lock else self._adds_to_wake,
            bytes_to_wake=self._bytes_to_wake - size_bytes,
            free_events=settings.max_queue_size - len(outbox),
            free_bytes=settings.max_queue_bytes - size_bytes,
        )

    def close(self) -> None:
        """Refuse events from now on."""
        self.inbox.room = 0  # first: what is put after the count is refused by `refuse_late`
        self.count_inbox()
        self.closed = True
        self._make_room()

    def refuse_late(self, event: Event) -> bool:
        """Remove *event* from the inbox of a closed queue; return whether it was there."""
        is_late = self.inbox.holds(event)
        if is_late:
            self.inbox.events.remove(event)
        return is_late

    def _wake(self) -> Added:
        """Choose how many more events may come before the worker is woken again.

        The worker may change that number as soon as it runs.
        """
        self.used = True
        count = len(self.outbox)
        if count <= 1:
            self._oldest_s = time.monotonic()
        self._adds_to_wake = self._flush_at - count if count < self._flush_at else self._urgent_at
        self._bytes_to_wake = self.outbox.size_bytes + self._urgent_bytes
        self._make_room()
        return _WAKE

    @property
    def full_reason(self) -> str:
        """The ledger's reason for an event that finds no space here."""
        return SPOOL_FULL if self.settings.spool_dir is not None else QUEUE_FULL

    def drop_oldest(self) -> list[Event]:
        """Drop and return the oldest events, to make room for a new one.

        Report them without the lock.
        """
        outbox, ledger = self.outbox, self._ledger
        dropped = outbox.drop_oldest()
        if dropped:
            recovered = outbox.recovered
            ledger.accepted += recovered
            ledger.recovered += recovered
            ledger.lose(self.full_reason, len(dropped))
            self._count_settled(len(dropped) - recovered)
        return dropped

    def send_now(self) -> bool:
        """Make all waiting events due; return False if they already were."""
        if self._flush_to >= self._added_count:
            return False
        self._flush_to = self._added_count
        return True

    # -- flush and shutdown ------------------------------------------------------------------------

    def begin_flush(self) -> tuple[int, int]:
        """Make all waiting events due, those of dead processes too.

        Return a goal for `flushed` and `flush_failed`.
        """
        self.used = True
        self.count_inbox()
        self.send_now()
        self._rest_until_s = 0.0
        if not self.abandoned:
            self.outbox.find_backlog()
        return self._added_count, self._rounds

    def flushed(self, goal: tuple[int, int]) -> bool:
        """Return whether every event that waited when the flush began is settled."""
        return self._settled_count >= goal[0] and not self.outbox.has_backlog

    def flush_failed(self, goal: tuple[int, int]) -> bool:
        """Return whether all retries failed since the flush began, or `shutdown()` gave up."""
        return self.abandoned or self._rounds != goal[1]

    def abandon(self, reason: str, *, is_uploading: bool) -> list[Event]:
        """Give up: drop and return all events that are not on disk, counted under *reason*.

        With *is_uploading* a request may still run, whose answer is recorded on disk when it comes.
        Report the events without the lock.
        """
        self.abandoned = True
        self._is_sending_late = is_uploading and self.is_asking
        outbox = self.outbox
        lost: list[Event] = [event for event in self._in_flight if not outbox.is_on_disk(event)]
        lost += outbox.drop_unsaved()
        self._in_flight = []
        self._count_settled(len(lost))
        if lost:
            self._ledger.lose(reason, len(lost))
        return lost

    def close_outbox(self) -> None:
        """Release the outbox, after a flush or `abandon`. The caller holds the lock."""
        self.outbox.close(keep_in_flight=self._is_sending_late)

    # -- out: the worker ---------------------------------------------------------------------------

    def due_in_s(self, now_s: float) -> float | None:
        """Return in how many seconds the worker should take a batch.

        0 or less means now, None that nothing will be due.
        """
        if self.abandoned:
            return None
        self.count_inbox()
        outbox = self.outbox
        if not self._in_flight and not outbox and not outbox.has_backlog:
            if self.closed:
                outbox.close()
                return None
            paced_s = self._took_s + self._pace_s - now_s
            # Under load another event comes by then, which need not wake the worker.
            if paced_s > 0:
                self._expect_at_most(self._urgent_at, self._urgent_bytes)
                return paced_s
            self.wake_on_next_add()
            # An event may have come just before; nobody else would take it in.
            return 0.0 if self.inbox.events else outbox.backlog_check_in_s(now_s)
        maintain_in_s = outbox.maintain(now_s)
        due_s = self._batch_due_in_s(now_s)
        return due_s if maintain_in_s is None else min(due_s, max(maintain_in_s, 0.001))

    def _expect_at_most(self, count: int, size_bytes: int) -> None:
        """Let the worker be woken when more than so many events or bytes wait."""
        self._adds_to_wake = max(1, count - len(self.outbox))
        self._bytes_to_wake = size_bytes
        self._make_room()

    def _batch_due_in_s(self, now_s: float) -> float:
        if self._rest_until_s > now_s:
            return self._rest_until_s - now_s
        outbox = self.outbox
        count, size_bytes = len(outbox), outbox.size_bytes
        flushing = self._settled_count < self._flush_to
        # A drain that ran out of time leaves a batch in flight.
        if self.closed or flushing or outbox.has_backlog or self._in_flight:
            return 0.0
        if count >= self._urgent_at or size_bytes >= self._urgent_bytes:
            return 0.0
        oldest_s = self._took_s if self._oldest_s is None else self._oldest_s
        interval_s = oldest_s + self.settings.flush_interval - now_s
        paced_s = self._took_s + self._pace_s - now_s
        if count >= self._flush_at or size_bytes >= self._full_bytes or 0 < paced_s < interval_s:
            self._expect_at_most(self._urgent_at, self._urgent_bytes)
            return min(paced_s, interval_s)
        self._expect_at_most(self._flush_at, self._full_bytes)
        return interval_s

    def take(self) -> list[bytes]:
        """Return the batch in flight, or put the next one in flight."""
        if not self._in_flight:
            self.count_inbox()
            outbox, ledger = self.outbox, self._ledger
            self._in_flight = outbox.take(self._batch_events, self.settings.max_batch_bytes)
            if not self._in_flight and outbox and self._batch_due_in_s(time.monotonic()) <= 0:
                self._in_flight = outbox.take(self._batch_events, self.settings.max_batch_bytes)
            self._took_s = time.monotonic()
            self._oldest_s = None
            self._in_flight_recovered = outbox.recovered > 0
            if self._in_flight_recovered:
                ledger.accepted += outbox.recovered
                ledger.recovered += outbox.recovered
            if outbox.lost:
                ledger.lose(SPOOL_DAMAGED, outbox.lost)
                self._count_settled(outbox.lost)
                self._unreported += outbox.lost
                outbox.lost = 0
            self.signals.settled.notify_all()  # there is room now, or the backlog is drained
        return self._in_flight

    def finish(self, batch: list[Any]) -> list[list[bytes]]:
        """Make the bytes of the events in *batch*, in place. Call without the lock.

        Returns the parts in which they are sent: one, unless they turn out to be larger than a
        request may be.
        """
        batch[:] = map(finished, batch)
        max_bytes = self.settings.max_batch_bytes
        if sum(map(len, batch)) <= max_bytes:
            return [batch]
        parts: list[list[bytes]] = []
        size = 0
        for event in batch:
            size += len(event)
            if not parts or size > max_bytes:
                parts.append([])
                size = len(event)
            parts[-1].append(event)
        return parts

    def wake_on_next_add(self) -> None:
        """Let the next event wake the worker, which is about to stop watching this queue."""
        self._adds_to_wake = 1
        self.inbox.room = 0

    @property
    def has_news(self) -> bool:
        """Whether `log` has a line to write now, because no later batch may write it."""
        return self.outbox.problem is not None or self._unreported > 0

    # -- out: the upload, which does not hold the lock ---------------------------------------------

    def may_send(self, deadline_s: float | None) -> bool:
        """Return whether another request may be made. This needs no lock."""
        now_s = time.monotonic()
        return not self.abandoned and now_s >= self._rest_until_s and (deadline_s is None or now_s < deadline_s)

    def pause(self, seconds: float, response: UploadResponse, deadline_s: float | None) -> None:
        """Count a retry and wait before it. Takes the lock."""
        until_s = time.monotonic() + seconds
        until_s = until_s if deadline_s is None else min(until_s, deadline_s)
        with self.signals.lock:
            self._ledger.retried += 1
            self._ledger.last_error = str(response)
            # New events notify the same condition, so wait until the time has come.
            self.is_asking = False
            while not self.abandoned and (rest_s := until_s - time.monotonic()) > 0:
                self.signals.work.wait(rest_s)

    def settle(self, batch: list[bytes]) -> None:
        """Count *batch* as sent, and record that before the next batch leaves. Takes the lock."""
        with self.signals.lock:
            self.is_asking = False
            if self.abandoned:
                self._settle_late(batch)
            elif batch:
                self._ledger.sent += len(batch)
                self._ledger.batches += 1
                self._remove(batch)

    def _settle_late(self, batch: list[bytes]) -> None:
        """Record that events were sent after all; those that were not on disk are counted as lost."""
        sent = [event for event in batch if self._is_sending_late and self.outbox.is_on_disk(event)]
        self._ledger.sent += len(sent)
        self._ledger.batches += bool(sent)
        self.outbox.settle(sent)
        self._count_settled(0 if self._in_flight_recovered else len(sent))

    def end_upload(self) -> None:
        """Release the files of a request that `abandon` left behind, once it is over. Takes the lock."""
        if not self._is_sending_late:
            return
        with self.signals.lock:
            self._is_sending_late = False
            self.outbox.close()

    def give_up(
        self,
        batch: list[bytes],
        reason: str,
        response: UploadResponse,
        *,
        request_id: str | None = None,
        details: tuple[str, ...] = (),
    ) -> None:
        """Drop *batch* and call the hooks, or put it off if it is on disk and a retry may help.

        Takes the lock.
        """
        with self.signals.lock:
            self.is_asking = False
            if self.abandoned:
                return
            self._ledger.last_error = str(response)
            self._failures += reason == SENDER_ERROR
            retry_later = reason == RETRIES_EXHAUSTED or (reason == SENDER_ERROR and self._failures < _MAX_FAILURES)
            if retry_later and self.outbox.is_on_disk(batch[0]):
                self._rest_until_s = time.monotonic() + _REST_S
                self._rounds += 1
                self.signals.settled.notify_all()
                return
            self._ledger.lose(reason, len(batch))
        try:
            # Before the batch is settled: when flush() returns, the hooks have been called.
            self._ledger.report(reason, batch)
            self._call_on_error(batch, reason, response, request_id, details)
        finally:
            with self.signals.lock:
                if not self.abandoned:
                    self._remove(batch)

    def _call_on_error(
        self,
        batch: list[bytes],
        reason: str,
        response: UploadResponse,
        request_id: str | None,
        details: tuple[str, ...],
    ) -> None:
        on_error = self.settings.on_error
        if on_error is None:
            return
        because = f" ({', '.join(sorted(set(details)))})" if any(details) else ""
        error = DeliveryError(
            f"{len(batch)} events given up ({reason}): {self.settings.host} answered {response}{because}",
            reason=reason,
            events=len(batch),
            status=response.status,
            request_id=request_id,
            details=details,
        )
        try:
            on_error(error, [orjson.loads(event) for event in batch])
        except Exception as failure:  # the user's hook; delivery goes on
            self._ledger.hook_failed("on_error", failure)

    def fail(self, error: BaseException) -> None:
        """Give up the batch in flight after an error of ours; on disk it waits for another try.

        Takes the lock.
        """
        if not self._traced:  # the same failure will come with each batch; the ledger counts them
            self._traced = True
            _log.error("hogline: the sender failed and goes on", exc_info=error)
        if self._in_flight:
            self.give_up(self._in_flight, SENDER_ERROR, UploadResponse(None, text=repr(error)))

    def log(self) -> None:
        """Log which events were lost, and what is wrong with the disk. Call without the lock."""
        problem, self.outbox.problem = self.outbox.problem, None
        if problem is not None:
            kind, text = problem
            self._ledger.warn(f"spool {kind}", text, logging.ERROR)
        if self._unreported:
            with self.signals.lock:
                unreported, self._unreported = self._unreported, 0
            self._ledger.report(SPOOL_DAMAGED, [None] * unreported)
        self._ledger.log_losses()

    def _remove(self, batch: list[bytes]) -> None:
        """Take *batch* out of the events in flight."""
        self.outbox.settle(batch)
        self._failures = 0
        if len(batch) == len(self._in_flight):
            self._in_flight = []
        else:
            removed = set(map(id, batch))
            self._in_flight = [event for event in self._in_flight if id(event) not in removed]
        self._count_settled(0 if self._in_flight_recovered else len(batch))

    def _count_settled(self, count: int) -> None:
        self._settled_count += count
        self.signals.settled.notify_all()
