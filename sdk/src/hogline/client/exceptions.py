"""Reporting: what a client says about exceptions, whoever noticed them: the app, an interceptor, a hook, a logger."""

import _thread
import logging
import re
import sys
import time
from collections.abc import Mapping
from contextvars import copy_context
from datetime import UTC, datetime
from types import TracebackType
from typing import TYPE_CHECKING, Any

from hogline.client.asking import Asking
from hogline.client.events import guarded_event
from hogline.context import Context, current
from hogline.deduplication import CaptureScope, captured_before, mark_captured
from hogline.delivery.ledger import CAPTURE_ERROR, DISABLED, INCOMPLETE, RATE_LIMITED, TOO_MANY_EXCEPTIONS
from hogline.event import distinct_id_text
from hogline.facts.span import active_span
from hogline.rate_limiter import Limiter
from hogline.settings import ClientSettings
from hogline.tracebacks import Mechanism, exception_list
from hogline.tracebacks.event import fingerprint, with_own_words

if TYPE_CHECKING:
    from hogline.exchange import ObservedException
    from hogline.flags import FeatureFlagEvaluations
    from hogline.tracebacks.variables import Variables

__all__ = ["ExceptionMethods"]

_log = logging.getLogger("hogline")
_FRESH_STACK_TIMEOUT_S = 2.0


class ExceptionMethods(Asking):
    """The methods that turn an exception into `$exception`."""

    def __init__(self, settings: ClientSettings) -> None:
        super().__init__(settings)
        self._limiter: Limiter | None = None
        if settings.enable_exception_autocapture_rate_limiting:
            self._limiter = Limiter(
                size=settings.exception_autocapture_bucket_size,
                refill=settings.exception_autocapture_refill_rate,
                interval_s=settings.exception_autocapture_refill_interval_seconds,
                max_buckets=settings.exception_autocapture_max_buckets,
            )

    def capture_exception(
        self,
        exception: Any = None,
        *,
        distinct_id: Any = None,
        properties: Mapping[str, Any] | None = None,
        groups: Mapping[str, Any] | None = None,
        timestamp: datetime | str | None = None,
        uuid: Any = None,
        flags: "FeatureFlagEvaluations | None" = None,
        send_feature_flags: bool | Mapping[str, Any] = False,
        disable_geoip: bool | None = None,
    ) -> str | None:
        """Send *exception* (or the one being handled) as `$exception`, once for each object. Never raises, never keeps it.

        *exception* may be the triple of `sys.exc_info()` too. Of *properties*, `$exception_level` (fatal, error, warning, log,
        info, debug) and `$exception_fingerprint` (a text: what groups with what) are taken; what the SDK or the server
        says itself is ignored. *flags*, from `evaluate_flags()`, puts `$feature/<key>` on the event.
        """
        # The door of `guarded`, spelled out: who handles a RecursionError has few calls left on its stack, so all that
        # happens on it is this frame's.
        try:
            error = exception if exception is not None else sys.exc_info()[1]
            if flags is not None or send_feature_flags:
                asked = self._flag_properties(flags, send_feature_flags, distinct_id, groups, disable_geoip)
                properties = {**asked, **(properties or {})}
            said = {
                "distinct_id": distinct_id, "properties": properties, "groups": groups, "timestamp": timestamp, "uuid": uuid,
                "disable_geoip": disable_geoip,
            }  # fmt: skip
            if not issubclass(type(error), RecursionError):
                return self._capture(error, said)
            answers: list[str | Exception | None] = []
            done = _thread.allocate_lock()
            done.acquire()
            # Not threading.Thread: starting one takes several calls, this takes one.
            run: Any = copy_context().run
            _thread.start_new_thread(run, (self._capture_elsewhere, error, said, answers, done))
            done.acquire(timeout=_FRESH_STACK_TIMEOUT_S)
            answer = answers[0] if answers else None
            if isinstance(answer, Exception):
                raise answer
            return answer
        except RecursionError:  # not even these few; logging would take more
            try:
                self._ledger.refuse(CAPTURE_ERROR)
            except RecursionError:  # it is counted, or cannot be
                pass
            return None
        except Exception as failure:
            if self.settings.debug:
                raise
            self.lost("capture_exception", failure)
            return None

    def _capture(self, error: Any, said: dict[str, Any]) -> str | None:
        traceback = None
        if type(error) is tuple and len(error) == 3:
            _, error, traceback = error
        # By type: `isinstance` asks the object for its class when the type is none of them, and it may raise.
        if not issubclass(type(error), BaseException):
            _log.warning("hogline: capture_exception() outside an except block needs an exception, got %r", error)
            self._ledger.refuse(INCOMPLETE)
            return None
        return self.report_exception(error, Mechanism(), traceback=traceback, **said)

    def _capture_elsewhere(
        self, error: BaseException, said: dict[str, Any], answers: list[Any], done: _thread.LockType
    ) -> None:
        """Capture on this thread's fresh stack, and tell the one that waits."""
        try:
            answers.append(self._capture(error, said))
        except Exception as failure:
            answers.append(failure)
        finally:
            done.release()

    def report_exception(
        self,
        error: BaseException,
        mechanism: Mechanism,
        *,
        level: str = "error",
        source: str | None = None,
        context: Context | None = None,
        traceback: TracebackType | None = None,
        anew: bool = False,
        limited: bool = False,
        distinct_id: Any = None,
        properties: Mapping[str, Any] | None = None,
        groups: Mapping[str, Any] | None = None,
        **when: Any,
    ) -> str | None:
        """Send *error* unless it has become an event before (*anew*: the caller has looked). None: nothing was sent.

        *limited*: nobody asked for this very event, so that too many of a kind are held back. *context*, the current one by default, says who acts. Not guarded: for callers with a door of their own.
        """
        now = context if context is not None else current.get()
        origin = now.origin if now is not None else None
        scope = origin if isinstance(origin, CaptureScope) else None
        if not anew and captured_before(error, scope):
            return None
        if self.disabled:
            self._ledger.refuse(DISABLED)
            return None
        entries = self._snapshot(error, mechanism, now, traceback, limited=limited)
        mark_captured(error, scope)
        said = dict(properties or {})
        if groups:
            said["$groups"] = dict(groups)
        who = distinct_id_text(distinct_id) or (now.acting_distinct_id() if now is not None else None)
        said = {**active_span(), **said}
        identity = self._report(entries, now, said, who, level=level, source=source, limited=limited, **when)
        self._log_captured(error)
        return identity

    def _log_captured(self, error: BaseException) -> None:
        if self.settings.log_captured_exceptions:
            _log.error("hogline: captured an exception", exc_info=error)

    @guarded_event
    def report_uncaught(
        self,
        error: BaseException,
        mechanism: Mechanism,
        *,
        level: str,
        source: str,
        context: Context | None,
        traceback: TracebackType | None,
    ) -> None:
        """Send what a hook of the process noticed, and has not been captured before: each client that asked hears of it."""
        self.report_exception(
            error, mechanism, level=level, source=source, context=context, traceback=traceback, anew=True, limited=True
        )

    # -- what the interceptors' exchange needs ------------------------------------------------------------------------

    def snapshot_exception(self, error: BaseException, mechanism: Mechanism) -> list[dict[str, Any]]:
        """Return `$exception_list` for *error* as it stands now."""
        return self._snapshot(error, mechanism, current.get(), None, limited=True)

    @guarded_event
    def record_exception(self, observed: "ObservedException", properties: Mapping[str, Any]) -> None:
        """Send what an interceptor saw, with the context it was seen in."""
        seen_in: Context | None = observed.context
        who = seen_in.acting_distinct_id() if seen_in is not None else None
        seen_at = datetime.fromtimestamp(observed.stamp_ns / 1e9, UTC)
        said = {**observed.span, **properties}
        source = observed.source
        self._report(
            observed.entries, seen_in, said, who, level="error", source=source, limited=True, timestamp=seen_at
        )
        self._log_captured(observed.error)

    def refuse_exception(self) -> None:
        """Count an exception that found no room among those that wait for their request's status."""
        if not self.disabled:
            self._ledger.refuse(TOO_MANY_EXCEPTIONS)

    # -- the way of one exception -------------------------------------------------------------------------------------

    def _snapshot(
        self,
        error: BaseException,
        mechanism: Mechanism,
        context: Context | None,
        traceback: TracebackType | None,
        *,
        limited: bool,
    ) -> list[dict[str, Any]]:
        variables = self._variables(context, limited=limited)
        return exception_list(error, mechanism, self.exception_rules, traceback=traceback, variables=variables)

    def _variables(self, context: Context | None, *, limited: bool) -> "Variables | None":
        """Return how variables are told of, or None where they are not: the context's word, else the client's."""
        chosen = (context.options if context is not None else None) or {}

        def told(name: str) -> Any:
            return chosen.get(name, getattr(self.settings, name))

        if not told("capture_exception_code_variables"):
            return None
        from hogline.tracebacks.masks import masks  # only who asks for them pays for them
        from hogline.tracebacks.variables import Variables

        try:
            hidden = masks(
                told("code_variables_mask_patterns"),
                told("code_variables_ignore_patterns"),
                url_credentials=bool(told("code_variables_mask_url_credentials")),
                detect_secrets=bool(told("code_variables_detect_secrets")),
            )
        except (re.error, TypeError) as error:  # a context's own patterns; what cannot be masked is not told
            self.failed("code_variables_mask_patterns", error)
            return None
        bounds = self.settings.code_variables_max_bytes, self.settings.code_variables_max_seconds
        limiter = self._limiter
        if limiter is None or not limited:
            return Variables(hidden, *bounds)
        return Variables(hidden, *bounds, lambda entries: limiter.has_room(fingerprint(entries), time.monotonic()))

    def _report(
        self,
        entries: list[dict[str, Any]],
        context: Context | None,
        said: Mapping[str, Any],
        who: str | None,
        *,
        level: str,
        source: str | None,
        limited: bool,
        timestamp: Any = None,
        uuid: Any = None,
        disable_geoip: bool | None = None,
    ) -> str | None:
        facts = context.properties() if context is not None else {}
        merged = with_own_words({**self._plain, **facts, **said}, level=level)
        if limited and self._limiter is not None:
            kind = fingerprint(entries, merged.get("$exception_fingerprint"))
            suppressed = self._limiter.take(kind, time.monotonic())
            if suppressed is None:
                self._ledger.refuse(RATE_LIMITED)
                return None
            if suppressed:
                merged["$exception_suppressed_count"] = suppressed
        merged["$exception_list"] = entries
        if source is not None:
            merged["$exception_source"] = source
        return self._send("$exception", who, merged, timestamp, uuid, disable_geoip)
