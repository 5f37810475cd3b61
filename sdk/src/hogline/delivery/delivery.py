"""Delivery: the object through which a client uses this package.

It takes events, flushes within a deadline, and shuts down in order.

`put` is the hot path: one lock, one append. It wakes the worker only when the queue stops being
empty and when a batch is full. A forked child starts with nothing of its parent's, whether Python's
fork hooks ran or not (rule `own-the-pid`).
"""

import logging
import time

from hogline.delivery import process
from hogline.delivery.ledger import SHUTDOWN, Ledger
from hogline.delivery.outbox import MemoryOutbox, Outbox
from hogline.delivery.pending import Event
from hogline.delivery.queue import Added, EventQueue
from hogline.delivery.worker import worker_for
from hogline.process_id import current_pid
from hogline.settings import ClientSettings
from hogline.transports import Transport
from hogline.wire.batch import BATCH_PATH

__all__ = ["Delivery"]

_log = logging.getLogger("hogline")
# Freed space normally wakes a caller that waits for room. Poll too: another process may free disk
# space, and a signal handler may run between check and wait.
_POLL_S = 1.0
# A restart takes microseconds; only a signal handler that interrupted it could wait this long.
_RESTART_TIMEOUT_S = 5.0
_REFUSED, _WAKE = Added.REFUSED, Added.WAKE


class Delivery:
    """Delivers the events of one client.

    It has a queue, and a worker that clients of the same project share.
    """

    def __init__(
        self,
        settings: ClientSettings,
        *,
        ledger: Ledger,
        transport: Transport | None = None,
        path: str = BATCH_PATH,
    ) -> None:
        self._settings = settings
        self._ledger = ledger
        self._transport = transport
        self._path = path
        self._begin()
        process.watch(self)

    def _begin(self) -> None:
        """Start with an empty queue, as a new client and as a forked child do."""
        settings = self._settings
        self._worker = worker_for(settings, self._transport, self._path)
        self._queue = EventQueue(
            settings,
            ledger=self._ledger,
            outbox=_open_outbox(settings),
            signals=self._worker.signals,
            path=self._path,
        )
        self._worker.serve(self._queue)
        pid = current_pid()
        self._restarts = {pid: object()}
        self._pid = pid  # last: it says that everything above belongs to this process

    def after_fork(self) -> None:
        """Leave the parent's events, locks, thread, files and connections to the parent."""
        closed = self._queue.closed
        self._queue.outbox.forget()
        self._ledger.reset()
        self._begin()
        if closed:
            self._queue.close()

    def _restart(self) -> None:
        """Begin anew in a process that was forked without Python's hooks.

        One thread does that, and the others wait for it.

        Raises the error that prevented it; the next call tries again.
        """
        pid, claim = current_pid(), object()
        until_s = time.monotonic() + _RESTART_TIMEOUT_S
        while self._pid != pid:
            restarts = self._restarts
            if restarts.setdefault(pid, claim) is claim:
                try:
                    self.after_fork()
                except BaseException:
                    restarts.pop(pid, None)
                    raise
            elif time.monotonic() > until_s:
                raise TimeoutError("this process was forked, and its client has not begun anew")
            else:
                time.sleep(0.001)

    def _is_ours(self) -> bool:
        """Return whether this delivery belongs to this process.

        A process that was forked without Python's hooks begins anew first.
        """
        if self._pid == current_pid():
            return True
        try:
            self._restart()
        except Exception as error:
            _log.warning("hogline: the client cannot begin anew after a fork: %r", error)
            return False
        return True

    @property
    def shutdown_timeout_s(self) -> float:
        """How long the end of the process may wait for events that are not sent yet."""
        return self._settings.shutdown_timeout

    @property
    def used(self) -> bool:
        """Whether this process ever added an event, or flushed."""
        return self._queue.used

    # -- put ---------------------------------------------------------------------------------------

    def put(self, event: Event) -> bool:
        """Take one event; return False if it was refused, and counted."""
        if self._pid != current_pid():
            self._restart()
        queue = self._queue
        thread = None
        with queue.signals.lock:
            added = queue.add(event)
            if added is _WAKE:
                thread = self._worker.wake(queue, self)
        if thread is not None:
            self._worker.start(thread)
        if queue.outbox.problem is not None:
            queue.log()
        return added is not _REFUSED or self._put_when_full(queue, event)

    def put_small(self, event: Event) -> bool:
        """Do the same for an event of at most `SMALL_EVENT_BYTES`, mostly without the lock."""
        queue = self._queue
        inbox = queue.inbox
        if not inbox.room or self._pid != current_pid():
            return self.put(event)
        inbox.events.append(event)
        return len(inbox.events) < inbox.room or self._take_in(queue, event)

    def _take_in(self, queue: EventQueue, event: Event) -> bool:
        """Count the events of an inbox that is full, or without room now; *event* is among them."""
        thread = None
        is_late = False
        with queue.signals.lock:
            if queue.closed:
                is_late = queue.refuse_late(event)
            elif queue.take_in() is _WAKE:
                thread = self._worker.wake(queue, self)
        if thread is not None:
            self._worker.start(thread)
        if is_late:
            self._ledger.refuse(SHUTDOWN, event)
        return not is_late

    def _put_when_full(self, queue: EventQueue, event: Event) -> bool:
        """Do what `when_full` says with an event that found no room."""
        settings, worker, signals = self._settings, self._worker, queue.signals
        until_s = time.monotonic() + settings.when_full_timeout if self._may_block(queue) else 0.0
        dropped: list[Event] = []
        reason = queue.full_reason
        is_added = has_waited = False
        while not is_added:
            thread = None
            with signals.lock:
                if queue.closed:
                    reason = SHUTDOWN
                    break
                if has_waited and (added := queue.add(event)) is not _REFUSED:
                    is_added = True
                    thread = worker.wake(queue, self) if added is _WAKE else None
                elif settings.when_full == "drop_oldest" and (oldest := queue.drop_oldest()):
                    dropped += oldest
                    has_waited = True
                elif queue.send_now():
                    # A full queue waits for no more events. True is returned once, not for each
                    # refused event.
                    thread = worker.wake(queue, self)
                elif (rest_s := until_s - time.monotonic()) > 0:
                    signals.settled.wait(min(rest_s, _POLL_S))
                    has_waited = True
                else:
                    break
            if thread is not None:
                worker.start(thread)
        if dropped:
            self._ledger.report(queue.full_reason, dropped)
        if not is_added:
            self._ledger.refuse(reason, event)
        return is_added

    def _may_block(self, queue: EventQueue) -> bool:
        """Return whether the caller may wait.

        The worker's thread may not, nor a handler that interrupted a holder of the lock.
        """
        return (
            self._settings.when_full == "block"
            and not self._worker.is_current_thread
            and not queue.signals.is_held_by_caller()
        )

    # -- flush and shutdown ------------------------------------------------------------------------

    def flush(self, timeout_s: float | None) -> bool:
        """Send the waiting events now, and those that dead processes left in the spool.

        Return whether all of them were settled in time.

        Never raises. The result is False at once if this is the worker's own thread, or if all
        retries failed and the events stay on disk. It is False, too, if the spool has a file that
        cannot be opened.
        """
        if not self._is_ours():
            return False
        deadline_s = None if timeout_s is None else time.monotonic() + timeout_s
        queue, worker = self._queue, self._worker
        signals = queue.signals
        with signals.lock:
            goal = queue.begin_flush()
        while True:
            with signals.lock:
                if queue.flushed(goal):
                    return not queue.outbox.is_stuck
                # A hook on the worker's thread cannot wait for that thread; the flush happens after
                # the hook.
                if queue.flush_failed(goal) or worker.is_current_thread:
                    return False
                thread = worker.wake(queue, self)
            if thread is not None and not worker.start(thread):
                worker.drain(queue, deadline_s)
            with signals.lock:
                rest_s = None if deadline_s is None else deadline_s - time.monotonic()
                flushed = queue.flushed(goal)
                if not flushed and rest_s is not None and rest_s <= 0:
                    return False
                if not flushed and not queue.flush_failed(goal) and worker.is_running:
                    signals.settled.wait(rest_s)

    def shutdown(self, timeout_s: float, *, at_exit: bool = False) -> bool:
        """Refuse new events and send those that wait; may be called twice.

        Events that are not sent within *timeout_s* are dropped and counted.

        Events on disk are not dropped: they stay for the next process.
        """
        if not self._is_ours():
            return False
        deadline_s = time.monotonic() + timeout_s
        queue, worker = self._queue, self._worker
        with queue.signals.lock:
            if not queue.closed:
                queue.close()
        flushed = self.flush(timeout_s) if queue.used else True
        lost: list[Event] = []
        left_on_disk = 0
        with queue.signals.lock:
            if not flushed and not queue.abandoned and not worker.is_current_thread:
                lost = queue.abandon(SHUTDOWN, is_uploading=worker.disown(queue))
                left_on_disk = queue.outbox.on_disk
            if flushed or queue.abandoned:
                queue.close_outbox()
            queue.signals.work.notify_all()
        if lost:
            self._ledger.report(SHUTDOWN, lost)
        if left_on_disk:
            _log.info("hogline: %d events wait in %s for the next process", left_on_disk, self._settings.spool_dir)
        worker.close_transport(deadline_s)
        if at_exit:
            self._ledger.log_summary()
        else:
            self._ledger.log_losses(every_s=0.0)
        return flushed


def _open_outbox(settings: ClientSettings) -> Outbox:
    memory = MemoryOutbox(settings.max_queue_size, settings.max_queue_bytes)
    if settings.spool_dir is None:
        return memory
    try:
        from hogline.delivery.spool import Spool
    except ImportError as error:  # there is no flock outside POSIX
        memory.problem = ("write", f"spool_dir needs a system with flock ({error}); events wait in memory only")
        return memory
    return Spool(settings, memory)
