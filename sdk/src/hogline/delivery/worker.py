"""The sender: one thread and one connection for each host and key, whichever clients and however many share it.

The thread is started with the first event, and ends when every lane is closed and empty. A lane is what one client holds.
"""

import logging
import os
import threading
import time
import weakref
from typing import TYPE_CHECKING

from hogline.delivery import process

if TYPE_CHECKING:
    from hogline.delivery.queue import Lane
    from hogline.delivery.transport import Transport

__all__ = ["Sender", "sender_for"]

_log = logging.getLogger("hogline")
_getpid = os.getpid


class Sender:
    """What the lanes of one host and key share: a lock, a thread, a connection."""

    def __init__(self, host: str) -> None:
        # The lock lets its holder in again: a signal handler, or a finalizer, may capture while its own thread holds it.
        self.lock: threading.RLock = threading.RLock()
        self.work: threading.Condition = threading.Condition(self.lock)  # the thread waits here
        self.settled: threading.Condition = threading.Condition(self.lock)  # flush() waits here, and who waits for room
        self.lanes: weakref.WeakSet[Lane] = weakref.WeakSet()
        self.busy: dict[int, Lane] = {}  # those with something to send; held until it is sent
        self.thread: threading.Thread | None = None  # who sends
        self._host = host
        self._carrying: Lane | None = None

    def wake(self) -> threading.Thread | None:
        """Notify the thread, or return a new one for the caller to start once it has let go of the lock.

        A starting thread may run a finalizer that captures: who held the lock until it has started would wait for ever.
        """
        # Not asked for its life: under gevent that lets others run, who would wait for the lock for ever where it is a real
        # one, made before the patching (gunicorn --preload). A thread that ends says so itself.
        if self.thread is not None:
            self.work.notify_all()
            return None
        self.thread = threading.Thread(target=self._run, name="hogline-sender", daemon=True)
        return self.thread

    def start(self, thread: threading.Thread) -> bool:
        """Start the thread; False: none can be had, at the interpreter's end or at the system's limit."""
        try:
            thread.start()
        except RuntimeError:
            with self.lock:
                self._leave()
            return False
        process.watch_process()
        return True

    def drain(self, lane: "Lane", deadline_s: float | None) -> None:
        """Be the sender for a while, on the caller's thread, where no other can be had."""
        with self.lock:
            self.thread = threading.current_thread()
        transport: Transport | None = None
        try:
            while deadline_s is None or time.monotonic() < deadline_s:
                with self.lock:
                    batch = lane.take()
                if not batch or not lane.may_send(deadline_s):
                    break
                try:
                    upload = process.import_upload()
                    transport = transport or upload.Transport(self._host)
                    upload.deliver(lane, batch, transport, deadline_s)
                except Exception as error:  # what ends the caller's own thread, an interrupt, is the caller's
                    lane.failed(error)
        finally:
            if transport is not None:
                transport.close()
            with self.lock:
                self._leave()
            lane.log()

    def disown(self, lane: "Lane") -> None:
        """Let the others go on without the thread that is busy with *lane*, which gave up waiting; the caller holds the lock."""
        if self._carrying is lane and self.thread is not threading.current_thread():
            self._leave()
            self._carrying = None

    def _leave(self) -> None:
        self.thread = None
        for lane in self.busy.values():
            lane.call_again()
        self.settled.notify_all()  # who waits for this thread must look for another

    def _run(self) -> None:
        """Send until every lane is closed and empty. The third guarded door: nothing ends this thread but the end of its work."""
        me = threading.current_thread()
        try:
            self._send_until_done(me)
        finally:
            with self.lock:
                if self.thread is me:
                    self._leave()

    def _send_until_done(self, me: threading.Thread) -> None:
        transport: Transport | None = None
        while True:
            with self.lock:
                found = self._await_work(me)
                if found is None:
                    break
                lane, batch = found
                self._carrying = lane
            try:
                if batch:
                    upload = process.import_upload()
                    transport = transport or upload.Transport(self._host)
                    upload.deliver(lane, batch, transport)
            except BaseException as error:  # a SystemExit that a hook raised is not this thread's end either
                lane.failed(error)
            with self.lock:
                if self._carrying is lane and self.thread is me:
                    self._carrying = None
            lane.log()
            del lane, batch, found
        if transport is not None:
            transport.close()

    def _await_work(self, me: threading.Thread) -> "tuple[Lane, list[bytes]] | None":
        """Wait for a batch that is due, of one lane after the other; None: there will be none for this thread.

        An empty batch: the lane has only something to log, which nobody does who holds the lock.
        """
        while self.thread is me:
            rest_s: float | None = None
            for key, lane in list(self.busy.items()):
                due_s = lane.due_in_s(time.monotonic())
                if due_s is not None and due_s <= 0:
                    self.busy[key] = self.busy.pop(key)  # the others come first next time
                    batch = lane.take()
                    if batch or lane.troubled:
                        return lane, batch
                    due_s = lane.due_in_s(time.monotonic())
                if due_s is None:
                    self.busy.pop(key, None)
                    lane.call_again()
                else:
                    rest_s = due_s if rest_s is None else min(rest_s, due_s)
            if not self.busy and all(lane.closed for lane in self.lanes):
                self.thread = None
                return None
            if rest_s is None or rest_s > 0:
                self.work.wait(rest_s)
        return None


class _Senders:
    """The senders of one process. A forked child has none of its parent's, also where no hook saw the fork."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.by_target: weakref.WeakValueDictionary[tuple[str, str], Sender] = weakref.WeakValueDictionary()


_by_pid: dict[int, _Senders] = {}


def sender_for(host: str, project_token: str) -> Sender:
    """Return this process's sender for *host* and *project_token*."""
    pid = _getpid()
    senders = _by_pid.setdefault(pid, _Senders())
    for other in [known for known in list(_by_pid) if known != pid]:
        _by_pid.pop(other, None)
    with senders.lock:
        sender = senders.by_target.get((host, project_token))
        if sender is None:
            sender = senders.by_target[host, project_token] = Sender(host)
        return sender
