"""Client: what a user holds. It joins the rooms: context, event, wire, delivery; and guards the host's code from all of them."""

import functools
import logging
import os
import sys
import time
import weakref
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, ParamSpec, TypeVar

from hogline.context import Context, current
from hogline.delivery import Delivery, Ledger, Stats
from hogline.delivery.ledger import BEFORE_SEND, DISABLED, NO_NAME, SEND_IS_FALSE, TOO_LARGE
from hogline.event import checked_event_id, distinct_id_text, new_stamp, timestamp_text
from hogline.exceptions import EventTooLarge
from hogline.exchange import current_exchange
from hogline.facts.process import library_properties, runtime_properties
from hogline.marks import captured_before, mark_captured
from hogline.policy import Sighting
from hogline.settings import ClientSettings
from hogline.tracebacks import Mechanism, Rules, exception_list
from hogline.wire.values import serialise

__all__ = ["Client", "PostHog", "Posthog"]

_log = logging.getLogger("hogline")
_NOTHING: Mapping[str, Any] = {}
_LINE = ("$session_id", "$window_id", "$request_id")  # what ties an identity event to its session
# Every client that was not shut down, oldest first; the first is the default one.
_living: "weakref.WeakValueDictionary[int, Client]" = weakref.WeakValueDictionary()
_P = ParamSpec("_P")
_T = TypeVar("_T")


def _guarded(method: Callable[_P, _T]) -> Callable[_P, _T | None]:
    """The door that keeps the host safe: bad data never raises here. Wrong use (a TypeError of the call itself) does."""

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
            client.failed(method.__name__, error)
            return None

    return guard


class Client:
    """A PostHog client for one project.

    `capture()` and its kin only enqueue, so they are the same in `async def`. What waits has an awaitable twin.
    *project_token* and every option of `ClientSettings` may also come from the environment (`HOGLINE_*`).

    Raises TypeError: an option that does not exist.  Raises SettingsError: a value that cannot work.
    """

    def __init__(self, project_token: str | None = None, host: str | None = None, **options: Any) -> None:
        for alias in ("project_api_key", "api_key"):  # posthog-python's names
            if alias in options:
                project_token = options.pop(alias) if project_token is None else project_token
        if project_token is not None:
            options["project_token"] = project_token
        if host is not None:
            options["host"] = host
        self.settings = ClientSettings.load(options)
        self.disabled = self.settings.disabled
        self.project_token = self.settings.project_token
        if not self.project_token and not self.disabled:
            _log.error(
                "hogline: no project token, so nothing is sent; pass PostHog('phc_...') or set HOGLINE_PROJECT_TOKEN"
            )
            self.disabled = True
        self._ledger = Ledger(on_drop=self.settings.on_drop, host=self.settings.host)
        self._delivery = Delivery(self.settings, ledger=self._ledger)
        self._plain = self._defaults(runtime_properties())  # what capture() sends
        self._sparse = self._defaults({})  # what the identity events send
        self._complained: set[str] = set()
        _living[id(self)] = self
        self.exception_rules = Rules(
            project_root=self.settings.project_root or os.getcwd(),  # noqa: PTH109 - pathlib costs start-up time
            in_app_include=tuple(self.settings.in_app_include),
            in_app_exclude=tuple(self.settings.in_app_exclude),
        )

    @staticmethod
    def first() -> "Client | None":
        """Return the first client of this process that was not shut down."""
        return next(iter(list(_living.values())), None)

    def __repr__(self) -> str:
        return f"PostHog({self.project_token[:8]}..., host={self.settings.host!r})"

    def _defaults(self, runtime: Mapping[str, Any]) -> dict[str, Any]:
        settings = self.settings
        defaults = {**runtime, **library_properties()}
        if settings.is_server:
            defaults["$is_server"] = True
        if settings.disable_geoip:
            defaults["$geoip_disable"] = True
        return {**defaults, **(settings.super_properties or {})}

    # -- events -----------------------------------------------------------------------------------------------------

    def capture(
        self,
        event: str,
        *,
        distinct_id: Any = None,
        properties: Mapping[str, Any] | None = None,
        timestamp: datetime | str | None = None,
        uuid: Any = None,
        groups: Mapping[str, Any] | None = None,
        disable_geoip: bool | None = None,
    ) -> str | None:
        """Send *event* with what the context knows. Returns the id that is on the wire, or None: nothing will be sent.

        *properties* win over the context's, the context's over the client's defaults. Without a distinct id from here or
        the context, the event belongs to nobody (`$process_person_profile: false`). *groups* maps type to key.
        """
        # The door of `_guarded`, spelled out: on this path its extra frame would be a tenth of the cost.
        try:
            now = current.get()
            if now is None:
                merged = {**self._plain, **(properties or _NOTHING)}
                who = distinct_id_text(distinct_id)
            else:
                merged = {**self._plain, **now.properties(), **(properties or _NOTHING)}
                who = now.who() if distinct_id is None else distinct_id_text(distinct_id) or now.who()
            if groups:
                merged["$groups"] = dict(groups)
            return self._send(event, who, merged, timestamp, uuid, disable_geoip)
        except Exception as error:
            if self.settings.debug:
                raise
            self.failed("capture", error)
            return None

    @_guarded
    def set(self, *, distinct_id: Any = None, properties: Mapping[str, Any] | None = None, **when: Any) -> str | None:
        """Set person *properties*. Without a person, from here or the context, nothing is sent."""
        return self._person("$set", {"$set": properties}, distinct_id, **when)

    @_guarded
    def set_once(
        self, *, distinct_id: Any = None, properties: Mapping[str, Any] | None = None, **when: Any
    ) -> str | None:
        """Set person *properties* that are not set yet. Without a person nothing is sent."""
        return self._person("$set_once", {"$set_once": properties}, distinct_id, **when)

    @_guarded
    def identify(
        self,
        distinct_id: Any = None,
        properties: Mapping[str, Any] | None = None,
        *,
        set_once: Mapping[str, Any] | None = None,
        anonymous_id: Any = None,
        **when: Any,
    ) -> str | None:
        """Say that *distinct_id* is a known person, with *properties*; *anonymous_id*'s earlier events become theirs."""
        said = {"$set": properties, "$set_once": set_once, "$anon_distinct_id": distinct_id_text(anonymous_id)}
        return self._person("$identify", said, distinct_id, bare=True, **when)

    @_guarded
    def alias(self, previous_id: Any, distinct_id: Any = None, **when: Any) -> str | None:
        """Join *distinct_id* (or the context's) to the person that *previous_id* is."""
        previous = distinct_id_text(previous_id)
        new = distinct_id_text(distinct_id) or _context_person()
        if previous is None or new is None:
            _log.warning("hogline: alias() needs two ids, got %r and %r; nothing was sent", previous_id, distinct_id)
            return None
        return self._person("$create_alias", {"distinct_id": previous, "alias": new}, previous, **when)

    @_guarded
    def group_identify(
        self,
        group_type: str,
        group_key: Any,
        properties: Mapping[str, Any] | None = None,
        *,
        distinct_id: Any = None,
        **when: Any,
    ) -> str | None:
        """Set *properties* of the group *group_key* of *group_type*."""
        key = distinct_id_text(group_key)
        if not group_type or key is None:
            _log.warning("hogline: group_identify() needs a type and a key, got %r and %r", group_type, group_key)
            return None
        said = {"$group_type": group_type, "$group_key": key, "$group_set": dict(properties or {})}
        person = distinct_id_text(distinct_id) or _context_person() or f"${group_type}_{key}"
        return self._person("$groupidentify", said, person, **when)

    @_guarded
    def capture_exception(
        self,
        exception: BaseException | None = None,
        *,
        distinct_id: Any = None,
        properties: Mapping[str, Any] | None = None,
        groups: Mapping[str, Any] | None = None,
        timestamp: datetime | str | None = None,
        uuid: Any = None,
        disable_geoip: bool | None = None,
    ) -> str | None:
        """Send *exception* (or the one being handled) as `$exception`, once for each object. Never raises, never keeps it."""
        error = exception if exception is not None else sys.exc_info()[1]
        if not isinstance(error, BaseException):
            _log.warning("hogline: capture_exception() outside an except block needs an exception, got %r", exception)
            return None
        exchange = current_exchange()
        if self.disabled or captured_before(error, exchange):
            return None
        entries = self.snapshot_exception(error, Mechanism())
        if exchange is not None:
            exchange.remember_captured(error)
        mark_captured(error, exchange)
        own = {"$exception_level": "error", **(properties or {}), "$exception_list": entries}
        now = current.get()
        merged = {**self._plain, **(now.properties() if now is not None else {}), **own}
        if groups:
            merged["$groups"] = dict(groups)
        who = distinct_id_text(distinct_id) or _context_person()
        return self._send("$exception", who, merged, timestamp, uuid, disable_geoip)

    # -- what the interceptors' exchange needs ------------------------------------------------------------------------

    def snapshot_exception(self, error: BaseException, mechanism: Mechanism) -> list[dict[str, Any]]:
        """Return `$exception_list` for *error* as it stands now."""
        return exception_list(error, mechanism, self.exception_rules)

    @_guarded
    def record_exception(self, sighting: Sighting, properties: Mapping[str, Any]) -> None:
        """Send what an interceptor saw, with the context it was seen in."""
        seen_in: Context | None = sighting.context
        own = {
            "$exception_list": sighting.entries,
            "$exception_level": "error",
            "$exception_source": sighting.source,
            **properties,
        }
        merged = {**self._plain, **(seen_in.properties() if seen_in is not None else {}), **own}
        seen_at = datetime.fromtimestamp(sighting.stamp_ns / 1e9, UTC)
        self._send("$exception", seen_in.who() if seen_in is not None else None, merged, seen_at, None, None)

    # -- delivery -----------------------------------------------------------------------------------------------------

    def flush(self, timeout_seconds: float | None = 10.0) -> bool:
        """Send what waits; returns whether all of it was settled within *timeout_seconds* (None: however long). Never raises."""
        return self._delivery.flush(timeout_seconds)

    def shutdown(self, timeout_seconds: float | None = None) -> bool:
        """Send what waits and stop; afterwards nothing is accepted. At most *timeout_seconds*, by default `shutdown_timeout`."""
        _living.pop(id(self), None)
        limit = self.settings.shutdown_timeout if timeout_seconds is None else timeout_seconds
        return self._delivery.shutdown(limit)

    async def aflush(self, timeout_seconds: float | None = 10.0) -> bool:
        """`flush()` that lets the event loop run."""
        import asyncio  # who calls this has it loaded; who doesn't saves its start-up time

        return await asyncio.to_thread(self.flush, timeout_seconds)

    async def ashutdown(self, timeout_seconds: float | None = None) -> bool:
        """`shutdown()` that lets the event loop run."""
        import asyncio

        return await asyncio.to_thread(self.shutdown, timeout_seconds)

    def stats(self) -> Stats:
        """Return what became of the events of this process: accepted = sent + waiting + all that were dropped."""
        return self._ledger.snapshot()

    # -- the way of one event -----------------------------------------------------------------------------------------

    def _person(
        self,
        event: str,
        said: Mapping[str, Any],
        distinct_id: Any,
        *,
        bare: bool = False,
        timestamp: datetime | str | None = None,
        uuid: Any = None,
        disable_geoip: bool | None = None,
    ) -> str | None:
        """Send an identity event: no context properties but session and window, so that no tag becomes a person's."""
        own = {key: dict(value) if isinstance(value, Mapping) else value for key, value in said.items() if value}
        who = distinct_id_text(distinct_id) or _context_person()
        if who is None or not (own or bare):
            _log.warning("hogline: %s needs a person and properties; nothing was sent", event)
            return None
        now = current.get()
        context = now.properties() if now is not None else _NOTHING
        line = {key: context[key] for key in _LINE if key in context}
        return self._send(event, who, {**self._sparse, **line, **own}, timestamp, uuid, disable_geoip)

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
        if self.disabled:
            self._ledger.refuse(DISABLED)
            return None
        identity, stamp = new_stamp()
        if uuid is not None:
            identity = self._own_id(uuid, identity)
        if timestamp is not None:
            stamp = self._own_time(timestamp, stamp)
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
        if len(body) > settings.max_event_bytes:
            self._ledger.refuse(TOO_LARGE, message)
            if settings.debug:
                raise EventTooLarge(event, len(body), settings.max_event_bytes)
            return None
        if not settings.send:
            self._ledger.refuse(SEND_IS_FALSE)
            return identity
        return identity if self._delivery.put(body) else None

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
        minute = f"{what} {int(time.monotonic() // 60)}"
        if minute not in self._complained:
            self._complained = {minute}
            _log.error("hogline: %s failed: %r (the app goes on)", what, error)


def _context_person() -> str | None:
    now = current.get()
    return now.who() if now is not None else None


PostHog = Client
Posthog = Client
