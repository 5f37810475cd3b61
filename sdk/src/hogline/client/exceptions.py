"""Exception events: from an exception to a `$exception` event.

The exception comes from the app, an interceptor, a hook or a logger.

`capture` is called by the user, `capture_once` by the SDK itself. Both send an exception object
once, however many layers report it.
"""

import _thread
import logging
import re
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from types import TracebackType
from typing import TYPE_CHECKING, Any

from hogline.client.events import EventPipeline, working_directory
from hogline.context import Context, current
from hogline.deduplication import CaptureScope, captured_before, mark_captured
from hogline.delivery.ledger import DISABLED, INCOMPLETE, RATE_LIMITED, TOO_MANY_EXCEPTIONS
from hogline.event import distinct_id_text
from hogline.facts.span import active_span
from hogline.guard import guard
from hogline.rate_limiter import Limiter
from hogline.settings import ClientSettings
from hogline.tracebacks import Mechanism, Rules, exception_list
from hogline.tracebacks.event import fingerprint, with_own_words

if TYPE_CHECKING:
    from hogline.exchange import ObservedException
    from hogline.tracebacks.variables import Variables

__all__ = ["ExceptionEvents"]

_log = logging.getLogger("hogline")


class ExceptionEvents:
    """Sends a client's `$exception` events."""

    def __init__(self, events: EventPipeline) -> None:
        settings = events.settings
        self._events = events
        self._limiter = _limiter(settings)
        self.rules: Rules = Rules(
            project_root=settings.project_root or working_directory(),
            in_app_include=tuple(settings.in_app_include),
            in_app_exclude=tuple(settings.in_app_exclude),
            redact_messages=settings.redact_messages,
        )

    # -- for the client ----------------------------------------------------------------------------

    def capture(self, exception: Any, options: dict[str, Any]) -> str | None:
        """Send what the app passed to `capture_exception()`; *options* are its other arguments."""
        traceback = None
        if type(exception) is tuple and len(exception) == 3:
            _, exception, traceback = exception
        # By type: `isinstance` asks the object for its class when the type is none of them, and it
        # may raise.
        if not issubclass(type(exception), BaseException):
            _log.warning("hogline: capture_exception() outside an except block needs an exception, got %r", exception)
            self._events.ledger.refuse(INCOMPLETE)
            return None
        return self.capture_once(exception, Mechanism(), traceback=traceback, **options)

    def capture_for(self, error: Any, options: dict[str, Any], results: list[Any], done: _thread.LockType) -> None:
        """Capture on this thread's empty stack.

        The result goes to the thread that waits for *done*.
        """
        try:
            results.append(self.capture(error, options))
        except Exception as failure:
            results.append(failure)
        finally:
            done.release()

    # -- for interceptors, queues, hooks and loggers -----------------------------------------------

    def capture_once(
        self,
        error: BaseException,
        mechanism: Mechanism,
        *,
        level: str = "error",
        source: str | None = None,
        context: Context | None = None,
        traceback: TracebackType | None = None,
        is_new: bool = False,
        is_limited: bool = False,
        distinct_id: Any = None,
        properties: Mapping[str, Any] | None = None,
        groups: Mapping[str, Any] | None = None,
        timestamp: Any = None,
        uuid: Any = None,
        disable_geoip: bool | None = None,
    ) -> str | None:
        """Send *error* unless it has become an event before; returns the event's id, or None.

        This method is not guarded.
        *context* is where it happened; None means here. *is_new*: the caller knows that it has not
        become an event. *is_limited*: the app did not ask for this very event, so the rate limit of
        its kind applies.
        """
        context = context if context is not None else current.get()
        origin = context.origin if context is not None else None
        scope = origin if isinstance(origin, CaptureScope) else None
        if not is_new and captured_before(error, scope):
            return None
        if self._events.disabled:
            self._events.ledger.refuse(DISABLED)
            return None
        entries = self._serialise(error, mechanism, context, traceback, is_limited=is_limited)
        mark_captured(error, scope)
        merged = {**active_span(), **(properties or {})}
        if groups:
            merged["$groups"] = dict(groups)
        person = distinct_id_text(distinct_id) or (context.acting_distinct_id() if context is not None else None)
        event_id = self._send(
            entries, context, merged, person,
            level=level, source=source, is_limited=is_limited, timestamp=timestamp, uuid=uuid, disable_geoip=disable_geoip,
        )  # fmt: skip
        self._log(error)
        return event_id

    def serialise(self, error: BaseException, mechanism: Mechanism) -> list[dict[str, Any]]:
        """Return `$exception_list` for *error* as it stands now."""
        return self._serialise(error, mechanism, current.get(), None, is_limited=True)

    def send_observed(self, observed: "ObservedException", properties: Mapping[str, Any]) -> None:
        """Send an exception that an interceptor observed and serialised.

        It is sent with the context in which it was observed.
        """
        with guard("exception capture", self._events.raise_or_count):
            context: Context | None = observed.context
            person = context.acting_distinct_id() if context is not None else None
            self._send(
                observed.entries,
                context,
                {**observed.span, **properties},
                person,
                level="error",
                source=observed.source,
                is_limited=True,
                timestamp=datetime.fromtimestamp(observed.stamp_ns / 1e9, UTC),
            )
            self._log(observed.error)

    def count_overflow(self) -> None:
        """Count an exception for which a request had no room left."""
        if not self._events.disabled:
            self._events.ledger.refuse(TOO_MANY_EXCEPTIONS)

    # -- the steps ---------------------------------------------------------------------------------

    def _serialise(
        self,
        error: BaseException,
        mechanism: Mechanism,
        context: Context | None,
        traceback: TracebackType | None,
        *,
        is_limited: bool,
    ) -> list[dict[str, Any]]:
        variables = self._variables(context, is_limited=is_limited)
        return exception_list(error, mechanism, self.rules, traceback=traceback, variables=variables)

    def _variables(self, context: Context | None, *, is_limited: bool) -> "Variables | None":
        """Return how local variables are read, or None where they are not sent.

        The context's options win.
        """
        chosen = (context.options if context is not None else None) or {}
        settings = self._events.settings

        def option(name: str) -> Any:
            return chosen.get(name, getattr(settings, name))

        if not option("capture_exception_code_variables"):
            return None
        # Imported lazily: most programs send no variables.
        from hogline.tracebacks.masks import masks
        from hogline.tracebacks.variables import Variables

        try:
            hidden = masks(
                option("code_variables_mask_patterns"),
                option("code_variables_ignore_patterns"),
                url_credentials=bool(option("code_variables_mask_url_credentials")),
                detect_secrets=bool(option("code_variables_detect_secrets")),
            )
        except (re.error, TypeError) as error:
            # A context's own patterns may be invalid. Without masks no variable is sent.
            self._events.log_failure("code_variables_mask_patterns", error)
            return None
        bounds = settings.code_variables_max_bytes, settings.code_variables_max_seconds
        limiter = self._limiter
        if limiter is None or not is_limited:
            return Variables(hidden, *bounds)
        return Variables(hidden, *bounds, lambda entries: limiter.has_room(fingerprint(entries), time.monotonic()))

    def _send(
        self,
        entries: list[dict[str, Any]],
        context: Context | None,
        properties: Mapping[str, Any],
        distinct_id: str | None,
        *,
        level: str,
        source: str | None,
        is_limited: bool,
        timestamp: Any = None,
        uuid: Any = None,
        disable_geoip: bool | None = None,
    ) -> str | None:
        known = context.properties() if context is not None else {}
        merged = with_own_words({**self._events.defaults, **known, **properties}, level=level)
        if is_limited and self._limiter is not None:
            kind = fingerprint(entries, merged.get("$exception_fingerprint"))
            suppressed = self._limiter.take(kind, time.monotonic())
            if suppressed is None:
                self._events.ledger.refuse(RATE_LIMITED)
                return None
            if suppressed:
                merged["$exception_suppressed_count"] = suppressed
        merged["$exception_list"] = entries
        if source is not None:
            merged["$exception_source"] = source
        return self._events.send("$exception", distinct_id, merged, timestamp, uuid, disable_geoip)

    def _log(self, error: BaseException) -> None:
        if self._events.settings.log_captured_exceptions:
            _log.error("hogline: captured an exception", exc_info=error)


def _limiter(settings: ClientSettings) -> Limiter | None:
    if not settings.enable_exception_autocapture_rate_limiting:
        return None
    return Limiter(
        size=settings.exception_autocapture_bucket_size,
        refill=settings.exception_autocapture_refill_rate,
        interval_s=settings.exception_autocapture_refill_interval_seconds,
        max_buckets=settings.exception_autocapture_max_buckets,
    )
