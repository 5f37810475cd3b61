"""The door of this room: what a client holds. Events in, deadlines kept, an orderly end.

`put` is the hot path: one lock, one append; it wakes the sender only when the queue stops being empty and when a batch is
full. The pid is owned: a forked child starts with nothing of its parent's, whether Python's fork hooks ran or not (rule `own-the-pid`).
"""

import logging
import os
import threading
import time

from hogline.delivery import process
from hogline.delivery.ledger import QUEUE_FULL, SHUTDOWN, SPOOL_FULL, Ledger
from hogline.delivery.queue import Lane
from hogline.settings import ClientSettings

__all__ = ["Delivery"]

_log = logging.getLogger("hogline")
# Room is told of; not where another process makes it on disk, or a handler interrupts a caller on its way to the wait.
_LOOK_AGAIN_S = 1.0
_OWN_WITHIN_S = 5.0  # what takes microseconds; longer waits only who interrupted it
_getpid = os.getpid


class Delivery(Lane):
    """What a client holds of this room."""

    def __init__(self, settings: ClientSettings, *, ledger: Ledger) -> None:
        super().__init__(settings, ledger=ledger)
        process.watch(self)

    def _own(self) -> None:
        """Begin anew in a process that was forked without Python's hooks. Of several threads one does it, the others wait.

        Raises whatever hindered it: the next call tries again.
        """
        pid, claim = _getpid(), object()
        until_s = time.monotonic() + _OWN_WITHIN_S
        while self._pid != pid:
            claims = self._claims
            if claims.setdefault(pid, claim) is claim:
                try:
                    self.after_fork()
                except BaseException:
                    claims.pop(pid, None)
                    raise
            elif time.monotonic() > until_s:
                raise TimeoutError("this process was forked, and its client has not begun anew")
            else:
                time.sleep(0.001)

    def _is_ours(self) -> bool:
        """Tell whether this is the client's own process, or has become it now."""
        try:
            self._own()
        except Exception as error:
            _log.warning("hogline: the client cannot begin anew after a fork: %r", error)
            return False
        return True

    def put(self, event: bytes) -> bool:
        """Take one serialised event; False: it is refused, and counted."""
        if self._pid != _getpid():
            self._own()
        newcomer = None
        with self._lock:
            taken = not self.closed and self._outbox.add(event)
            if taken:
                self._ledger.accepted += 1
                self._put_count += 1
                if self._empty:
                    self._empty = False
                    self._oldest_s = time.monotonic()
                    newcomer = self._call()
                # The event that filled it says so; those that come while the sender is busy need not.
                elif len(self._outbox) == self._flush_at or 0 <= self._outbox.size_bytes - self._full_bytes < len(
                    event
                ):
                    newcomer = self._call()
        if newcomer is not None:
            self._sender.start(newcomer)
        if self._outbox.trouble is not None:
            self.log()
        return taken or self._put_when_full(event)

    def _put_when_full(self, event: bytes) -> bool:
        """Do what `when_full` says with an event that found no room."""
        settings = self.settings
        reason = SPOOL_FULL if settings.spool_dir is not None else QUEUE_FULL
        until_s = time.monotonic() + settings.when_full_timeout if self._may_block() else 0.0
        dropped: list[bytes] = []
        taken = waits = False
        while not taken:
            newcomer = None
            with self._lock:
                if self.closed:
                    reason = SHUTDOWN
                    break
                if waits and self._outbox.add(event):
                    self._ledger.accepted += 1
                    self._put_count += 1
                    taken = True
                elif settings.when_full == "drop_oldest" and (oldest := self._outbox.drop_oldest()):
                    self._let_oldest_go(oldest, reason)
                    dropped += oldest
                    waits = True
                # What fills the queue waits for no company any more. Said once, and not again for each that is refused.
                elif self._flush_to < self._put_count:
                    self._flush_to = self._put_count
                    newcomer = self._call()
                elif (rest_s := until_s - time.monotonic()) > 0:
                    self._sender.settled.wait(min(rest_s, _LOOK_AGAIN_S))
                    waits = True
                else:
                    break
            if newcomer is not None:
                self._sender.start(newcomer)
        if dropped:
            self._ledger.tell(reason, dropped)
        if not taken:
            self._ledger.refuse(reason, event)
        return taken

    def _let_oldest_go(self, events: list[bytes], reason: str) -> None:
        """Count *events*, which gave way to a new one; the caller holds the lock."""
        ledger, recovered = self._ledger, self._outbox.recovered
        ledger.accepted += recovered
        ledger.recovered += recovered
        ledger.lose(reason, len(events))
        self._count_settled(len(events) - recovered)

    def _may_block(self) -> bool:
        """Tell whether the caller may wait: not the sender itself, and not a handler that interrupted a holder of the lock."""
        sender = self._sender
        return (
            self.settings.when_full == "block"
            and sender.thread is not threading.current_thread()
            and not self._lock._is_owned()  # type: ignore[attr-defined]  # noqa: SLF001 - as threading.Condition asks it
        )

    @property
    def shutdown_timeout_s(self) -> float:
        """How long the end of the process may wait for what is not sent yet."""
        return self.settings.shutdown_timeout

    @property
    def used(self) -> bool:
        """Whether this process ever put an event here, or flushed."""
        return self._flushed or self._put_count > 0

    def flush(self, timeout_s: float | None) -> bool:
        """Send what waits now, and what dead processes left in the spool; True: all of it was settled within *timeout_s*.

        Never raises. False at once: this is the sender's own thread, or all retries were in vain and the disk keeps the rest.
        False, too: the spool has a file that cannot be opened.
        """
        if self._pid != _getpid() and not self._is_ours():
            return False
        deadline_s = None if timeout_s is None else time.monotonic() + timeout_s
        sender = self._sender
        with self._lock:
            self._flushed = True
            goal, rounds = self._put_count, self._rounds
            self._flush_to = max(self._flush_to, goal)
            self._rest_until_s = 0.0
            if not self._abandoned:
                self._outbox.look()
        while True:
            with self._lock:
                if self._settled_count >= goal and not self._outbox.behind:
                    return not self._outbox.stuck
                if self._abandoned or self._rounds != rounds or threading.current_thread() is sender.thread:
                    # A hook on the sender's own thread cannot wait for it; the flush happens after it.
                    return False
                newcomer = self._call()
            if newcomer is not None and not sender.start(newcomer):
                sender.drain(self, deadline_s)
            with self._lock:
                rest_s = None if deadline_s is None else deadline_s - time.monotonic()
                over = self._settled_count >= goal and not self._outbox.behind
                if not over and rest_s is not None and rest_s <= 0:
                    return False
                if not over and self._rounds == rounds and sender.thread is not None:
                    sender.settled.wait(rest_s)

    def shutdown(self, timeout_s: float, *, at_exit: bool = False) -> bool:
        """Refuse new events, send what waits, give up and count what is not sent within *timeout_s*. Safe to call twice.

        What is on disk is not given up: it stays for the next process.
        """
        if self._pid != _getpid() and not self._is_ours():
            return False
        with self._lock:
            self.closed = True
        flushed = self.flush(timeout_s) if self.used else True
        lost: list[bytes] = []
        kept = 0
        with self._lock:
            if not flushed and threading.current_thread() is not self._sender.thread and not self._abandoned:
                self._abandoned = True
                self._sender.disown(self)
                lost = [event for event in self._in_flight if not self._outbox.keeps(event)]
                lost += self._outbox.forgo()
                self._in_flight = []
                self._count_settled(len(lost))
                if lost:
                    self._ledger.lose(SHUTDOWN, len(lost))
                kept = self._outbox.kept
            if flushed or self._abandoned:
                self._outbox.close()
            self._sender.work.notify_all()
        if lost:
            self._ledger.tell(SHUTDOWN, lost)
        if kept:
            _log.info("hogline: %d events wait in %s for the next process", kept, self.settings.spool_dir)
        if at_exit:
            self._ledger.log_summary()
        else:
            self._ledger.log_losses(every_s=0.0)
        return flushed
