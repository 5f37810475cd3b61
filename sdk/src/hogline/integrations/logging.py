"""Logging: `logger.exception(...)`, and any record with `exc_info`, as one `$exception` event.

    logging.getLogger().addHandler(PostHogHandler(client=posthog))

What an interceptor, a hook or a `capture_exception()` has sent already is not sent again, and what an interceptor is about to
judge is left to it: it knows the response.
"""

import logging
import threading
from typing import Any

from hogline.client import Client
from hogline.default import default_client
from hogline.exception_kinds import is_noise, unwrapped
from hogline.exchange import current_exchange
from hogline.redaction import redacted_text
from hogline.tracebacks import Mechanism

__all__ = ["PostHogHandler"]

_SENDER = "hogline-sender"  # what its thread logs is about our own delivery
_MAX_MESSAGE_CHARACTERS = 10_000
_LEVELS = ((logging.CRITICAL, "fatal"), (logging.ERROR, "error"), (logging.WARNING, "warning"), (logging.INFO, "info"))
_SOURCE = "python.logging"
# Where servers, frameworks and the interpreter say that nothing handled an exception; everybody else has caught theirs.
_LAST_RESORTS = frozenset(
    {
        "aiohttp.server", "asyncio", "celery.app.trace", "concurrent.futures", "django.request", "flask.app", "gunicorn.error", "hypercorn.error",
        "quart.app", "rq.worker", "sanic.error", "tornado.application", "uvicorn.error", "waitress",
    }
)  # fmt: skip


class PostHogHandler(logging.Handler):
    """A handler that sends the exceptions of log records from *level* on through *client* (the default client when None).

    The record's level is the event's; its message and its logger's name are `$log_message` and `$logger_name`. Records without an
    exception, cancellations, clients that went away and Hogline's own records are passed over. Never raises.
    """

    def __init__(self, client: Client | None = None, level: int | str = logging.WARNING) -> None:
        self._client = client
        self._inside = threading.local()
        super().__init__(level)

    def createLock(self) -> None:  # noqa: N802 - logging's name
        """Have none: a capture may wait for another thread, and that thread may be about to log."""
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
        except Exception:  # there is no client, or it logs to where this is no use
            self.handleError(record)

    def _emit(self, record: logging.LogRecord) -> None:
        told: Any = record.exc_info
        if type(told) is not tuple or not issubclass(type(told[1]), BaseException) or is_noise(told[1]):
            return
        error = unwrapped(told[1])
        exchange = current_exchange()
        if exchange is not None and exchange.is_judging(error):
            return
        client = self._client or default_client()
        message = _message(record)
        if client.settings.redact_messages:
            message = redacted_text(message)
        client.exceptions.capture_once(
            error,
            Mechanism(type="logger", handled=record.name not in _LAST_RESORTS),
            level=next((word for least, word in _LEVELS if record.levelno >= least), "debug"),
            source=_SOURCE,
            traceback=told[2] if error is told[1] else None,
            is_limited=True,
            properties={"$logger_name": record.name, "$log_message": message[:_MAX_MESSAGE_CHARACTERS]},
        )


def _is_own(record: logging.LogRecord) -> bool:
    return record.name.partition(".")[0] == "hogline" or record.threadName == _SENDER


def _message(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except Exception:  # arguments that do not fit
        return str(record.msg)
