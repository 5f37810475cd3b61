"""Checks of the process itself: whether the worker's thread can run in it."""

import os
import sys
import threading
from types import ModuleType

from hogline.doctor.finding import Finding

__all__ = ["process_findings"]

_SERVERS = ("uwsgi", "gunicorn", "uvicorn", "hypercorn", "granian", "waitress", "daphne", "celery", "dramatiq", "rq")
_WAIT_S = 5.0


def process_findings() -> list[Finding]:
    """Return the findings about this process: its worker model and its threads."""
    return [_worker(), _threads()]


def _worker() -> Finding:
    server = next((name for name in _SERVERS if name in sys.modules), None)
    python = f"Python {sys.version.split()[0]}, process {os.getpid()}, {os.cpu_count()} CPUs"
    said = f"{server}; {python}" if server else f"no app server; {python}"
    processes = sys.modules.get("multiprocessing.process")
    if processes is not None and processes.parent_process() is not None:
        said += "; a child of multiprocessing"
    return Finding("worker model", "ok", said)


def _threads() -> Finding:
    subject = "threads"
    uwsgi = sys.modules.get("uwsgi")
    if uwsgi is not None and not _uwsgi_has_threads(uwsgi):
        return Finding(subject, "fail", "uWSGI runs without threads, so events are sent only when the worker ends",
                       "start it with enable-threads = true")  # fmt: skip
    for library in ("gevent", "eventlet"):
        patcher = sys.modules.get(f"{library}.monkey") or sys.modules.get(f"{library}.patcher")
        asks = getattr(patcher, "is_module_patched", None) or getattr(patcher, "is_monkey_patched", None)
        if asks is not None and (asks("threading") or asks("thread")):
            return Finding(subject, "ok", f"{library} has patched them: the worker's thread is a greenlet")
    alive = threading.Event()
    thread = threading.Thread(target=alive.set, name="hogline-doctor", daemon=True)
    try:
        thread.start()
    except RuntimeError as error:
        return Finding(
            subject, "fail", f"no thread can be started: {error}", "raise the limit on processes (ulimit -u)"
        )
    if not alive.wait(_WAIT_S):
        return Finding(subject, "fail", f"a new thread did not run within {_WAIT_S:g} s")
    return Finding(subject, "ok", f"can be started; {threading.active_count()} run now")


def _uwsgi_has_threads(uwsgi: ModuleType) -> bool:
    options = getattr(uwsgi, "opt", {})
    return any(
        options.get(name) not in (None, b"false", b"0", False)
        for name in ("enable-threads", b"enable-threads", "threads", b"threads")
    )
