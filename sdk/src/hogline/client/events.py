"""The way of one event: assembled, filtered, serialised once, handed to delivery. What all of a client's methods stand on."""

import functools
import logging
import os
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, ParamSpec, TypeVar

from hogline.context import current
from hogline.delivery import Delivery, Ledger
from hogline.delivery.ledger import BEFORE_SEND, CAPTURE_ERROR, DISABLED, NO_NAME, SEND_IS_FALSE, TOO_LARGE
from hogline.event import checked_event_id, new_stamp, timestamp_text
from hogline.exceptions import EventTooLarge
from hogline.facts.process import library_properties, runtime_properties
from hogline.facts.span import active_span
from hogline.settings import ClientSettings
from hogline.tracebacks import Rules, fit
from hogline.wire.values import serialise

__all__ = ["Assembly", "context_person", "guarded", "guarded_event"]

_log = logging.getLogger("hogline")
_LOG_EVERY_S = 60.0
_MAX_PLACES = 100
_P = ParamSpec("_P")
_T = TypeVar("_T")


def guarded(method: Callable[_P, _T], *, sends: bool = False) -> Callable[_P, _T | None]:
    """The door that keeps the host safe: bad data never raises here. Wrong use (a TypeError of the call itself) does.

    *sends*: the method was to send an event, which is counted as lost.
    """

    @functools.wraps(method)
    def guard(*args: _P.args, **kwargs: _P.kwargs) -> _T | None:
        try:
            return method(*args, **kwargs)
        except Exception as error:
            client: Any = args[0]
            trace = error.__traceback__
            never_began = isinstance(error, TypeError) and trace is not None and trace.tb_next is None
            if never_began or client.settings.debug:
                raise
            if sends:
                client.lost(method.__name__, error)
            else:
                client.failed(method.__name__, error)
            return None

    return guard


def guarded_event(method: Callable[_P, _T]) -> Callable[_P, _T | None]:
    """The door of a method that sends an event: one that is lost here is counted."""
    return guarded(method, sends=True)


class Assembly:
    """What a client is made of, whatever its methods: settings, ledger, delivery, and the way of one event."""

    def __init__(self, settings: ClientSettings) -> None:
        self.settings = settings
        self.project_token: str = settings.project_token
        self._disabled = True
        self.disabled = settings.disabled
        self._ledger = Ledger(on_drop=settings.on_drop, host=settings.host)
        self._delivery = Delivery(settings, ledger=self._ledger)
        self._super: dict[str, Any] = dict(settings.super_properties or {})
        self._set_defaults()
        self._complained_at_s: dict[str, float] = {}
        self.exception_rules: Rules = Rules(
            project_root=settings.project_root or _working_directory(),
            in_app_include=tuple(settings.in_app_include),
            in_app_exclude=tuple(settings.in_app_exclude),
            redact_messages=settings.redact_messages,
        )

    def _defaults(self, runtime: Mapping[str, Any]) -> dict[str, Any]:
        settings = self.settings
        defaults = {**runtime, **library_properties()}
        if settings.is_server:
            defaults["$is_server"] = True
        if settings.disable_geoip:
            defaults["$geoip_disable"] = True
        if settings.release_id is not None:
            defaults["$release_id"] = settings.release_id
        return {**defaults, **self._super}

    def _set_defaults(self) -> None:
        self._plain = self._defaults(runtime_properties())  # what capture() sends
        self._sparse = self._defaults({})  # what the identity events send

    # -- what may change while the client lives -----------------------------------------------------------------------

    @property
    def disabled(self) -> bool:
        """Whether events are refused, and counted as `disabled`. May be set at any time; what waits already is still sent."""
        return self._disabled

    @disabled.setter
    def disabled(self, value: bool) -> None:
        if not value and not self.project_token:
            _log.error(
                "hogline: no project token, so nothing is sent; pass PostHog('phc_...') or set HOGLINE_PROJECT_TOKEN"
            )
            value = True
        self._disabled = bool(value)

    def disable(self) -> None:
        """Opt out: from now on nothing is taken. What waits already is still sent."""
        self.disabled = True

    def enable(self) -> None:
        """Opt in again. Without a project token the client stays disabled, and says so."""
        self.disabled = False

    @guarded
    def register(self, properties: Mapping[str, Any]) -> None:
        """Add super properties: every later event has them, unless the context or the caller says otherwise."""
        self._super = {**self._super, **properties}
        self._set_defaults()

    @guarded
    def unregister(self, *names: str) -> None:
        """Take super properties away again, those of the constructor too; unknown *names* are passed over."""
        self._super = {name: value for name, value in self._super.items() if name not in names}
        self._set_defaults()

    # -- the way of one event -----------------------------------------------------------------------------------------

    def _send(
        self,
        event: str,
        who: str | None,
        properties: dict[str, Any],
        timestamp: Any,
        uuid: Any,
        disable_geoip: bool | None,
    ) -> str | None:
        """Assemble, filter, serialise once, enqueue."""
        if self._disabled:
            self._ledger.refuse(DISABLED)
            return None
        identity, stamp = new_stamp()
        if uuid is not None:
            identity = self._own_id(uuid, identity)
        if timestamp is not None:
            stamp = self._own_time(timestamp, stamp)
        if self.settings.capture_trace_context and (span := active_span()):
            properties = {**span, **properties}
        if disable_geoip is not None:
            properties["$geoip_disable"] = disable_geoip
        if who is None:
            who = identity
            properties.setdefault("$process_person_profile", False)
        message: dict[str, Any] = {
            "event": event if isinstance(event, str) else str(event),
            "properties": properties,
            "timestamp": stamp,
            "distinct_id": who,
            "uuid": identity,
        }
        if not event:
            _log.warning("hogline: capture() needs the event's name; nothing was sent")
            self._ledger.refuse(NO_NAME, message)
            return None
        settings = self.settings
        if settings.before_send is not None:
            changed = self._before_send(settings.before_send, message)
            if changed is None:
                return None
            message, identity = changed, changed["uuid"]
        body = serialise(message)
        if len(body) > settings.max_event_bytes and self._lighten(message, len(body)):
            body = serialise(message)
        if len(body) > settings.max_event_bytes:
            self._ledger.refuse(TOO_LARGE, message)
            if settings.debug:
                raise EventTooLarge(event, len(body), settings.max_event_bytes)
            return None
        if not settings.send:
            self._ledger.refuse(SEND_IS_FALSE)
            return identity
        return identity if self._delivery.put(body) else None

    def _lighten(self, message: dict[str, Any], size_bytes: int) -> bool:
        """Make an exception's list as small as the event needs it; False: this event has none."""
        properties = message.get("properties")
        if message.get("event") != "$exception" or not isinstance(properties, dict):
            return False
        entries = properties.get("$exception_list")
        if not isinstance(entries, list):
            return False
        others_bytes = size_bytes - len(serialise({"": entries}))
        properties["$exception_list"] = fit(entries, self.settings.max_event_bytes - others_bytes)
        return True

    def _before_send(
        self, hook: Callable[[dict[str, Any]], dict[str, Any] | None], message: dict[str, Any]
    ) -> dict[str, Any] | None:
        """Return what the user's *hook* made of the event, or None: it drops it, or it failed (fail closed)."""
        identity = message["uuid"]
        try:
            changed = hook(message)
        except Exception as error:
            self.failed("before_send", error)
            changed = None
        if changed is not None and not isinstance(changed, dict):
            self.failed("before_send", TypeError(f"it returned {type(changed).__name__}, not a dict or None"))
            changed = None
        if changed is None:
            self._ledger.refuse(BEFORE_SEND, message)
            return None
        changed["uuid"] = checked_event_id(changed.get("uuid")) or identity
        return changed

    def _own_id(self, given: Any, made: str) -> str:
        checked = checked_event_id(given)
        if checked is None:
            _log.error("hogline: uuid=%r is not a UUID; the event has %s instead", given, made)
        return checked or made

    def _own_time(self, given: Any, made: str) -> str:
        text = timestamp_text(given, datetime.now(UTC))
        if text is None:
            _log.warning("hogline: timestamp=%r is no datetime and no ISO 8601 time; the event has now instead", given)
        return text or made

    def failed(self, what: str, error: BaseException) -> None:
        """Log a failure of ours or of a hook, once a minute for each place."""
        now_s, last_s = time.monotonic(), self._complained_at_s.get(what)
        if last_s is not None and now_s - last_s < _LOG_EVERY_S:
            return
        if len(self._complained_at_s) >= _MAX_PLACES:
            self._complained_at_s.clear()
        self._complained_at_s[what] = now_s
        _log.error("hogline: %s failed: %r (the app goes on)", what, error)

    def lost(self, what: str, error: BaseException) -> None:
        """Count an event that a failure kept from being made, and log the failure."""
        self._ledger.refuse(DISABLED if self._disabled else CAPTURE_ERROR)
        self.failed(what, error)


def _working_directory() -> str:
    try:
        return os.getcwd()  # noqa: PTH109 - pathlib costs start-up time
    except OSError:  # it is gone; then all that is no package's is the app's own code
        return ""


def context_person() -> str | None:
    """Return who acts in the current context, as far as known."""
    now = current.get()
    return now.acting_distinct_id() if now is not None else None
