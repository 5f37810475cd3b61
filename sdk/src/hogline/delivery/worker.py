"""The worker: one thread and one connection for each host, token and transport.

Any number of clients may share them.

The thread is started with the first event, and ends when every queue is closed and empty.
"""

import logging
import threading
import time
import weakref
from types import ModuleType

from hogline.delivery import process
from hogline.delivery.http_transport import HTTPTransport
from hogline.delivery.lazy_imports import import_http_pool, importing
from hogline.delivery.queue import EventQueue
from hogline.delivery.signals import Signals
from hogline.process_id import current_pid
from hogline.settings import ClientSettings
from hogline.transports import Transport

__all__ = ["Worker", "worker_for"]

_log = logging.getLogger("hogline")


class Worker:
    """Takes batches from its queues, one queue after the other, and uploads them."""

    def __init__(self, transport: Transport | None) -> None:
        self.signals: Signals = Signals()
        # The user's transport. Without one, each thread opens HTTP connections of its own.
        self._transport = transport
        self._queues: weakref.WeakSet[EventQueue] = weakref.WeakSet()
        # Queues with something to send, by id, each with the object that has to live until that is
        # sent.
        self._busy: dict[int, tuple[EventQueue, object]] = {}
        self._thread: threading.Thread | None = None  # the thread that sends
        self._uploading: EventQueue | None = None

    def serve(self, queue: EventQueue) -> None:
        """Send what *queue* will hold, for as long as somebody holds the queue."""
        with self.signals.lock:
            self._queues.add(queue)

    @property
    def is_running(self) -> bool:
        """Whether a thread sends."""
        return self._thread is not None

    @property
    def is_current_thread(self) -> bool:
        """Whether the caller runs on the thread that sends."""
        return self._thread is threading.current_thread()

    def wake(self, queue: EventQueue, owner: object) -> threading.Thread | None:
        """Make the worker look at *queue*, and keep *owner* alive until its events are sent.

        The caller holds the lock.

        Returns a new thread if none runs. The caller passes it to `start` after releasing the lock:
        a starting thread may run a finalizer that captures, which would wait for the lock for ever.
        """
        self._busy[id(queue)] = (queue, owner)
        # Don't call `is_alive()`: under gevent it yields, and another greenlet could then block on
        # this lock for ever where it is a real one, made before the patching (gunicorn --preload).
        # A thread that ends sets None here.
        if self._thread is not None:
            self.signals.work.notify_all()
            return None
        self._thread = threading.Thread(target=self._run, name="hogline-worker", daemon=True)
        return self._thread

    def start(self, thread: threading.Thread) -> bool:
        """Start *thread*; return False if none can be started.

        That happens at the interpreter's end or at the system's limit.
        """
        try:
            thread.start()
        except RuntimeError:
            with self.signals.lock:
                self._leave()
            return False
        process.watch_process()
        return True

    def drain(self, queue: EventQueue, deadline_s: float | None) -> None:
        """Send the events of *queue* on the caller's thread, where no other thread can be had."""
        lock = self.signals.lock
        with lock:
            self._thread = threading.current_thread()
        transport: Transport | None = None
        try:
            while deadline_s is None or time.monotonic() < deadline_s:
                with lock:
                    batch = queue.take()
                if not batch or not queue.may_send(deadline_s):
                    break
                try:
                    upload = _import_upload().upload
                    transport = transport or self._open_transport()
                    for part in queue.finish(batch):
                        upload(queue, part, transport, deadline_s)
                except Exception as error:
                    # An interrupt ends the caller's thread, so the caller handles it.
                    queue.fail(error)
        finally:
            if transport is not None and self._transport is None:
                transport.close()
            with lock:
                self._leave()
            queue.log()

    def disown(self, queue: EventQueue) -> bool:
        """Let other queues go on without the thread that still uploads for *queue*.

        The caller holds the lock. Returns whether there is such a thread.
        """
        is_uploading = self._uploading is queue and not self.is_current_thread
        if is_uploading:
            self._leave()
            self._uploading = None
        self._busy.pop(id(queue), None)
        return is_uploading

    def close_transport(self, deadline_s: float) -> None:
        """Close the user's transport, once the thread has ended, if no client needs it any more."""
        signals = self.signals
        if self._transport is None or self.is_current_thread:
            return
        with signals.lock:
            if not self._is_closed():
                return
            while self._thread is not None and (rest_s := deadline_s - time.monotonic()) > 0:
                signals.settled.wait(rest_s)
        try:
            self._transport.close()
        except Exception as error:  # a transport is the user's code
            _log.warning("hogline: closing the transport failed: %r", error)

    def _is_closed(self) -> bool:
        return all(queue.closed for queue in self._queues)

    def _leave(self) -> None:
        self._thread = None
        for queue, _ in self._busy.values():
            queue.wake_on_next_add()
        self.signals.settled.notify_all()  # callers that wait for this thread must look for another

    def _run(self) -> None:
        """Send until every queue is closed and empty. Nothing but that ends this thread."""
        thread = threading.current_thread()
        try:
            self._send_until_done(thread)
        finally:
            with self.signals.lock:
                if self._thread is thread:
                    self._leave()

    def _send_until_done(self, thread: threading.Thread) -> None:
        lock = self.signals.lock
        transport: Transport | None = None
        while True:
            with lock:
                found = self._await_work(thread)
                if found is None:
                    break
                queue, batch = found
                self._uploading = queue
            try:
                if batch:
                    upload = _import_upload().upload
                    transport = transport or self._open_transport()
                    for part in queue.finish(batch):
                        upload(queue, part, transport)
            except BaseException as error:
                # A SystemExit that a hook raised does not end this thread either.
                queue.fail(error)
            queue.end_upload()
            with lock:
                if self._uploading is queue and self._thread is thread:
                    self._uploading = None
            queue.log()
            del queue, batch, found
        if transport is not None and self._transport is None:
            transport.close()

    def _await_work(self, thread: threading.Thread) -> tuple[EventQueue, list[bytes]] | None:
        """Wait for a batch that is due, of one queue after the other.

        Return None if *thread* will get no more batches.

        An empty batch means that the queue has something to log, which needs the lock to be free.
        """
        while self._thread is thread:
            rest_s: float | None = None
            for key, (queue, owner) in list(self._busy.items()):
                due_s = queue.due_in_s(time.monotonic())
                if queue.has_news:
                    return queue, []
                if due_s is not None and due_s <= 0:
                    self._busy[key] = self._busy.pop(key)  # the other queues come first next time
                    batch = queue.take()
                    if batch or queue.has_news:
                        return queue, batch
                    due_s = queue.due_in_s(time.monotonic())
                if due_s is None:
                    self._busy.pop(key, None)
                    queue.wake_on_next_add()
                else:
                    rest_s = due_s if rest_s is None else min(rest_s, due_s)
                del queue, owner  # this thread must not keep a client alive while it waits
            if not self._busy and self._is_closed():
                self._thread = None
                self.signals.settled.notify_all()
                return None
            if rest_s is None or rest_s > 0:
                self.signals.work.wait(rest_s)
        return None

    def _open_transport(self) -> Transport:
        return self._transport or HTTPTransport()


def _import_upload() -> ModuleType:
    """Return the module that uploads batches, with everything that it will need."""
    with importing():
        import_http_pool()
        from hogline.delivery import upload

        return upload


class _Workers:
    """The workers of one process.

    A forked child has none of its parent's, even where no hook saw the fork.
    """

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.by_target: weakref.WeakValueDictionary[tuple[str, str, int, str], Worker] = weakref.WeakValueDictionary()


_by_pid: dict[int, _Workers] = {}


def worker_for(settings: ClientSettings, transport: Transport | None, path: str) -> Worker:
    """Return this process's worker for a client.

    Clients with the same host, token and *path* share one, and so do those with the same
    *transport*.
    """
    pid = current_pid()
    workers = _by_pid.setdefault(pid, _Workers())
    for other in [known for known in list(_by_pid) if known != pid]:
        _by_pid.pop(other, None)
    # A worker holds its transport, so the transport's id is nobody else's while the worker is
    # known. Events for another path must not wait for these; but a user's transport is called by
    # one thread at a time.
    target = (settings.host, settings.project_token, id(transport), path if transport is None else "")
    with workers.lock:
        worker = workers.by_target.get(target)
        if worker is None:
            worker = workers.by_target[target] = Worker(transport)
        return worker
