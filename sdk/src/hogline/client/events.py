"""The event pipeline between a captured event and the queue.

It adds defaults and context, asks `before_send`, checks the size, serialises once and enqueues.
"""

import logging
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from hogline.client.unfinished import REQUEST_NAMES, head_of, inner_json, unfinished, whole
from hogline.context import Context, current
from hogline.delivery import Delivery, Ledger
from hogline.delivery.inbox import SMALL_EVENT_BYTES
from hogline.delivery.ledger import BEFORE_SEND, CAPTURE_ERROR, DISABLED, NO_NAME, TOO_LARGE
from hogline.delivery.pending import Event, finished
from hogline.event import checked_event_id, distinct_id_text, new_id, new_stamp, timestamp_text
from hogline.exceptions import EventTooLarge
from hogline.facts.process import library_properties, runtime_properties
from hogline.facts.span import active_span
from hogline.guard import guard
from hogline.log_throttle import ThrottledLog
from hogline.settings import ClientSettings
from hogline.tracebacks import fit
from hogline.wire.values import serialise

if TYPE_CHECKING:
    from hogline.client.ai import AiDelivery

__all__ = ["EventPipeline", "context_distinct_id", "working_directory"]

_log = logging.getLogger("hogline")
_NOTHING: Mapping[str, Any] = {}
_NO_PROPERTIES: dict[str, Any] = {}
_NOT_YET: str = "not yet"  # compared by identity
_MOST_ESCAPED = 6  # how many times longer than its raw values an event's JSON can be


class EventPipeline:
    """Turns the calls of a client's methods into bytes in the delivery queue."""

    def __init__(self, settings: ClientSettings, *, ledger: Ledger, delivery: Delivery) -> None:
        self.settings = settings
        self.ledger = ledger
        self._put: Callable[[Event], bool] = delivery.put
        self._put_small: Callable[[Event], bool] = delivery.put_small
        self._is_diverted = False
        self._throttled = ThrottledLog()
        # The defaults as JSON; None where no event may be finished later.
        self._written_defaults: bytes | None = None
        self._disabled = True
        self.disabled = settings.disabled
        self._super: dict[str, Any] = dict(settings.super_properties or {})
        self._set_defaults()

    # -- settings that may change during its life --------------------------------------------------

    @property
    def disabled(self) -> bool:
        """Whether events are refused, and counted as `disabled`.

        Events that already wait are still sent.
        """
        return self._disabled

    @disabled.setter
    def disabled(self, value: bool) -> None:
        if not value and not self.settings.project_token:
            _log.error(
                "hogline: no project token, so nothing is sent; pass PostHog('phc_...') or set HOGLINE_PROJECT_TOKEN"
            )
            value = True
        self._disabled = bool(value)
        self.choose_way()

    def choose_way(self) -> None:
        """Choose whether events may be finished later.

        Called when something that decides it has changed, so that no event has to ask.
        """
        settings = self.settings
        needs_whole = settings.before_send is not None or settings.capture_trace_context
        # The defaults of events that are finished later; None while all are written at once.
        self._later: bytes | None = (
            None if needs_whole or self._is_diverted or self._disabled else self._written_defaults
        )

    def register(self, properties: Mapping[str, Any]) -> None:
        """Add super properties."""
        self._super = {**self._super, **properties}
        self._set_defaults()

    def unregister(self, *names: str) -> None:
        """Remove super properties."""
        self._super = {name: value for name, value in self._super.items() if name not in names}
        self._set_defaults()

    def use_changed_settings(self) -> None:
        """Read again the settings that become properties of every event."""
        self._super = dict(self.settings.super_properties or {})
        self._set_defaults()

    def _set_defaults(self) -> None:
        self.defaults: dict[str, Any] = self._defaults(runtime_properties())
        """Properties that every captured event carries."""
        self.identity_defaults: dict[str, Any] = self._defaults(_NOTHING)
        """Properties of events about persons and groups. They say nothing about the process."""
        reserved = REQUEST_NAMES.union(self.defaults)
        # A spool holds whole events.
        can_finish_later = self.settings.spool_dir is None and len(reserved) == len(REQUEST_NAMES) + len(self.defaults)
        self._reserved: frozenset[str] = reserved
        self._written_defaults = inner_json(self.defaults) if can_finish_later else None
        self.choose_way()

    def _defaults(self, runtime: Mapping[str, Any]) -> dict[str, Any]:
        settings = self.settings
        defaults = {**runtime, **library_properties()}
        if settings.is_server:
            defaults["$is_server"] = True
        if settings.disable_geoip:
            defaults["$geoip_disable"] = True
        deployment = {
            "$release": settings.release,
            "$environment": settings.environment,
            "$release_id": settings.release_id,
        }
        defaults.update((name, value) for name, value in deployment.items() if value is not None)
        return {**defaults, **self._super}

    @contextmanager
    def diverted(self, put: Callable[[bytes], bool]) -> Iterator[None]:
        """Pass serialised events to *put* in this block, not to the delivery queue; for tests.

        A client that is disabled because it has no token, as is usual in tests, takes events in the
        meantime.
        """

        def count_and_put(event: Event) -> bool:
            with self.ledger.lock:
                self.ledger.accepted += 1
                self.ledger.sent += 1
            return put(finished(event))

        previous, was_disabled = self._put, self._disabled
        self._put, self._is_diverted = count_and_put, True
        if not self.settings.project_token and not self.settings.disabled:
            self._disabled = False
        self.choose_way()
        try:
            yield
        finally:
            self._put, self._disabled, self._is_diverted = previous, was_disabled, False
            self.choose_way()

    # -- one event ---------------------------------------------------------------------------------

    def capture(
        self,
        event: str,
        distinct_id: Any,
        properties: Mapping[str, Any] | None,
        timestamp: datetime | str | None,
        uuid: Any,
        groups: Mapping[str, Any] | None,
        disable_geoip: bool | None,
        ai: "AiDelivery | None" = None,
    ) -> str | None:
        """Send *event* with the defaults and the context's properties.

        Returns its id, or None if it is refused.
        """
        context = current.get()
        defaults = self._later
        # Each step counts, since this runs cold in every request.
        if (
            defaults is not None
            and groups is None
            and timestamp is None
            and uuid is None
            and disable_geoip is None
            and ai is None
            and type(event) is str
            and event
            and (properties is None or type(properties) is dict)
        ):
            result = self._capture_unfinished(event, distinct_id, properties or _NO_PROPERTIES, context, defaults)
            if result is not _NOT_YET:
                return result
        if context is None:
            merged = {**self.defaults, **(properties or _NOTHING)}
            person = distinct_id_text(distinct_id)
        else:
            merged = {**self.defaults, **context.properties(), **(properties or _NOTHING)}
            person = (
                context.acting_distinct_id()
                if distinct_id is None
                else distinct_id_text(distinct_id) or context.acting_distinct_id()
            )
        if groups:
            merged["$groups"] = dict(groups)
        return self.send(event, person, merged, timestamp, uuid, disable_geoip, ai)

    def _capture_unfinished(
        self, event: str, distinct_id: Any, properties: dict[str, Any], context: Context | None, defaults: bytes
    ) -> str | None:
        """Send *event* without the facts that can be added when it leaves.

        Returns its id, None if it is refused, or `_NOT_YET` if it has to be made at once.
        """
        person = None if distinct_id is None else distinct_id_text(distinct_id)
        origin = found = None
        if context is not None:
            if context.session_id is not None:
                return _NOT_YET
            if context.tags:
                properties = {**context.tags, **properties}
            if person is None:
                person = context.distinct_id
            origin = context.origin
        if not self._reserved.isdisjoint(properties):
            return _NOT_YET
        event_id, now_s = new_id()
        if origin is not None and (found := origin.unfinished(event_id, needs_person=person is None)) is None:
            return _NOT_YET
        head = head_of(event, event_id, properties)
        if head is None:
            return _NOT_YET
        made: Event
        if found is None:
            made = whole(head, defaults, event_id, now_s, person)
            size = len(made)
        else:
            snapshot, user, route = found
            made = unfinished(head, defaults, event_id, now_s, person or user, snapshot, route)
            size = made[1] * _MOST_ESCAPED
        settings = self.settings
        if size > settings.max_event_bytes:
            return _NOT_YET
        if not settings.send:
            self.ledger.count_unsent()
            return event_id
        put = self._put_small if size < SMALL_EVENT_BYTES else self._put
        return event_id if put(made) else None

    def send(
        self,
        event: str,
        distinct_id: str | None,
        properties: dict[str, Any],
        timestamp: Any = None,
        uuid: Any = None,
        disable_geoip: bool | None = None,
        ai: "AiDelivery | None" = None,
    ) -> str | None:
        """Send *event* with exactly these *properties*; returns its id, or None if it is refused.

        *ai* is the queue for AI events.
        """
        if self._disabled:
            self.ledger.refuse(DISABLED)
            return None
        event_id, time_text = new_stamp()
        if uuid is not None:
            event_id = _given_id(uuid, event_id)
        if timestamp is not None:
            time_text = _given_time(timestamp, time_text)
        if self.settings.capture_trace_context and (span := active_span()):
            properties = {**span, **properties}
        if disable_geoip is not None:
            properties["$geoip_disable"] = disable_geoip
        if distinct_id is None:
            distinct_id = event_id
            properties.setdefault("$process_person_profile", False)
        message: dict[str, Any] = {
            "event": event if isinstance(event, str) else str(event),
            "properties": properties,
            "timestamp": time_text,
            "distinct_id": distinct_id,
            "uuid": event_id,
        }
        if not event:
            _log.warning("hogline: capture() needs the event's name; nothing was sent")
            self.ledger.refuse(NO_NAME, message)
            return None
        settings = self.settings
        if settings.before_send is not None:
            changed = self._before_send(settings.before_send, message)
            if changed is None:
                return None
            message, event_id = changed, changed["uuid"]
        body = serialise(message)
        max_bytes = settings.max_event_bytes if ai is None else ai.max_event_bytes
        if len(body) > max_bytes and self._shorten_exceptions(message, len(body)):
            body = serialise(message)
        if len(body) > max_bytes:
            self.ledger.refuse(TOO_LARGE, message)
            if settings.debug:
                raise EventTooLarge(event, len(body), max_bytes)
            return None
        if not settings.send:
            self.ledger.count_unsent()
            return event_id
        put = self._put if ai is None or self._is_diverted else ai.delivery.put
        return event_id if put(body) else None

    def _before_send(
        self, hook: Callable[[dict[str, Any]], dict[str, Any] | None], message: dict[str, Any]
    ) -> dict[str, Any] | None:
        """Return the event that the user's *hook* returned, or None to drop it.

        An event whose hook failed is dropped too (fail closed).
        """
        event_id, changed = message["uuid"], None
        with guard("before_send", self.log_failure):
            changed = hook(message)
        if changed is not None and not isinstance(changed, dict):
            self.log_failure("before_send", TypeError(f"it returned {type(changed).__name__}, not a dict or None"))
            changed = None
        if changed is None:
            self.ledger.refuse(BEFORE_SEND, message)
            return None
        changed["uuid"] = checked_event_id(changed.get("uuid")) or event_id
        return changed

    def _shorten_exceptions(self, message: dict[str, Any], size_bytes: int) -> bool:
        """Shorten an exception event's list until the event fits.

        The result is False if this event has no such list.
        """
        properties = message.get("properties")
        if message.get("event") != "$exception" or not isinstance(properties, dict):
            return False
        entries = properties.get("$exception_list")
        if not isinstance(entries, list):
            return False
        others_bytes = size_bytes - len(serialise({"": entries}))
        properties["$exception_list"] = fit(entries, self.settings.max_event_bytes - others_bytes)
        return True

    # -- failures of our own code or of the app's hooks --------------------------------------------

    def log_failure(self, what: str, error: BaseException) -> None:
        """Log that *what* failed, at most once a minute for each *what*."""
        self._throttled.error(what, "%s failed: %r (the app goes on)", what, error)

    def count_loss(self, what: str, error: BaseException) -> None:
        """Count an event that *error* kept from being made, and log the failure."""
        self.ledger.refuse(DISABLED if self._disabled else CAPTURE_ERROR)
        self.log_failure(what, error)

    def raise_or_log(self, what: str, error: Exception) -> None:
        """Log a failure; with `debug=True` raise it at the caller instead."""
        if self.settings.debug:
            raise error
        self.log_failure(what, error)

    def raise_or_count(self, what: str, error: Exception) -> None:
        """Count the event that a failure lost.

        With `debug=True` raise the failure at the caller instead.
        """
        if self.settings.debug:
            raise error
        self.count_loss(what, error)


def context_distinct_id() -> str | None:
    """Return the distinct id of the current context, if it has one."""
    context = current.get()
    return context.acting_distinct_id() if context is not None else None


def working_directory() -> str:
    """Return the working directory, or an empty text when it was deleted."""
    try:
        return os.getcwd()  # noqa: PTH109 - pathlib costs start-up time
    except OSError:
        return ""


def _given_id(given: Any, generated: str) -> str:
    checked = checked_event_id(given)
    if checked is None:
        _log.error("hogline: uuid=%r is not a UUID; the event has %s instead", given, generated)
    return checked or generated


def _given_time(given: Any, generated: str) -> str:
    text = timestamp_text(given, datetime.now(UTC))
    if text is None:
        _log.warning(
            "hogline: timestamp=%r is no datetime and no ISO 8601 time; the event has the current time instead", given
        )
    return text or generated
