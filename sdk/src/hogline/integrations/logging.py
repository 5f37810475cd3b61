"""Logging: `logger.exception(...)`, and any record with `exc_info`, as one `$exception` event.

    logging.getLogger().addHandler(PostHogHandler(client=posthog))

An exception that an interceptor, a hook or a `capture_exception()` has sent already is not sent
again. Where an interceptor is about to judge it by the response, the handler waits, and sends it
only if the interceptor does not.
"""

import functools
import logging
import sys
import threading
from datetime import UTC, datetime
from types import FrameType
from typing import Any

from hogline.client import Client
from hogline.context import current
from hogline.default import default_client
from hogline.exception_kinds import is_noise, unwrapped
from hogline.exchange import current_exchange
from hogline.log_throttle import ONCE, ThrottledLog
from hogline.redaction import redacted_text
from hogline.safe_attributes import class_name
from hogline.tracebacks import Mechanism

__all__ = ["PostHogHandler"]

_SENDER = "hogline-sender"  # records of this thread are about our own delivery
_MAX_MESSAGE_CHARACTERS = 10_000
_LEVELS = ((logging.CRITICAL, "fatal"), (logging.ERROR, "error"), (logging.WARNING, "warning"), (logging.INFO, "info"))
_SOURCE = "python.logging"
_LISTENER_FRAMES = 6  # between this handler and the listener that calls it
# Loggers of servers, frameworks and the interpreter for exceptions that nothing handled; any other
# logger's were caught.
_LAST_RESORTS = frozenset(
    {
        "aiohttp.server", "asyncio", "celery.app.trace", "concurrent.futures", "django.request", "flask.app", "gunicorn.error", "hypercorn.error",
        "quart.app", "rq.worker", "sanic.error", "tornado.application", "uvicorn.error", "waitress",
    }
)  # fmt: skip


class PostHogHandler(logging.Handler):
    """A handler that sends the exceptions of log records from *level* on through *client*.

    The default client is used when *client* is None. The record's level is the event's level; its
    message and its logger's name are `$log_message` and `$logger_name`. Records without an
    exception, cancellations, clients that went away and Hogline's own records are passed over.
    Never raises.

    Add it to a logger, beside a `QueueHandler` and not to its `QueueListener`: a `QueueHandler`
    takes the exception out of each record, and the context of the code that logs is gone on the
    listener's thread.
    """

    def __init__(self, client: Client | None = None, level: int | str = logging.WARNING) -> None:
        self._client = client
        self._inside = threading.local()
        self._log = ThrottledLog(ONCE)
        super().__init__(level)

    def createLock(self) -> None:  # noqa: N802 - logging's name
        """Make no lock.

        A capture may wait for another thread, and that thread may be about to log.
        """
        self.lock: Any = None

    def handle(self, record: logging.LogRecord) -> Any:
        """Emit *record* if the filters let it through, without a lock."""
        passed: Any = self.filter(record)
        if passed:
            self.emit(passed if isinstance(passed, logging.LogRecord) else record)
        return passed

    def emit(self, record: logging.LogRecord) -> None:
        """Send the exception of *record*, if it has one that is not known yet."""
        if getattr(self._inside, "now", False) or _is_own(record):
            return
        self._inside.now = True
        try:
            self._emit(record)
        except Exception as error:
            self._lost(record, error)
        finally:
            self._inside.now = False

    def _lost(self, record: logging.LogRecord, error: Exception) -> None:
        """Count the event that could not be made; the client logs why."""
        try:
            client = self._client or default_client()
            client.lost("PostHogHandler", error)
        except Exception:  # there is no client, or it raised
            self.handleError(record)

    def _emit(self, record: logging.LogRecord) -> None:
        noticed = _noticed(record)
        if noticed is None:
            if record.levelno >= logging.ERROR and _is_behind_a_queue(sys._getframe()):  # noqa: SLF001
                self._log.warning(
                    "queue",
                    "PostHogHandler is a handler of a QueueListener, and a QueueHandler takes the exceptions out of records; "
                    "add PostHogHandler to the logger, beside the QueueHandler (logged once)",
                )
            return
        logged, traceback = noticed
        if is_noise(logged):
            return
        error = unwrapped(logged)
        client = self._client or default_client()
        message = _message(record)
        if client.settings.redact_messages:
            message = redacted_text(message)
        capture = functools.partial(
            client.exceptions.capture_once,
            error,
            Mechanism(type="logger", handled=record.name not in _LAST_RESORTS),
            level=next((word for least, word in _LEVELS if record.levelno >= least), "debug"),
            source=_SOURCE,
            context=current.get(),
            timestamp=datetime.now(UTC),
            traceback=traceback if error is logged else None,
            is_limited=True,
            properties={"$logger_name": record.name, "$log_message": message[:_MAX_MESSAGE_CHARACTERS]},
        )
        exchange = current_exchange()
        if exchange is None or not exchange.defer(error, capture):
            capture()


def _is_own(record: logging.LogRecord) -> bool:
    return record.name.partition(".")[0] == "hogline" or record.threadName == _SENDER


def _noticed(record: logging.LogRecord) -> tuple[BaseException, Any] | None:
    """Return the exception of *record* and its traceback, if it has one."""
    info: Any = record.exc_info
    if issubclass(type(info), BaseException):  # a record that was not made by a logger
        return info, None
    if type(info) is not tuple or not issubclass(type(info[1]), BaseException):
        return None
    return info[1], info[2]


def _is_behind_a_queue(frame: FrameType | None) -> bool:
    """Return whether a `QueueListener` called.

    Its records come from a `QueueHandler`, which formats exceptions and drops them.
    """
    for _ in range(_LISTENER_FRAMES):
        frame = frame.f_back if frame is not None else None
        if frame is None:
            return False
        # By names: the module `logging.handlers` is slow to import, and loaded in a process that
        # has listeners.
        if frame.f_code.co_name == "handle" and frame.f_globals.get("__name__") == "logging.handlers":
            return True
    return False


def _message(record: logging.LogRecord) -> str:
    for read in (record.getMessage, lambda: str(record.msg)):  # arguments may not fit the message
        try:
            return read()
        except Exception:  # noqa: S112 - an object that cannot be printed: any class may be logged
            continue
    return f"<{class_name(type(record.msg))} that cannot be printed>"
