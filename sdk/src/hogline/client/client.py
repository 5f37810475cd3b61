"""`Client`: the object that a user holds.

Every public method stands here, under posthog-python's names, and delegates to one of the client's
parts.

Each method guards the app: bad data and failures of ours are logged and counted, never raised
(unless `debug=True`). Wrong use of a method, such as an argument that it does not take, raises
TypeError as in any Python call.
"""

import _thread
import sys
import time
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import copy_context
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeVar, Unpack

from hogline import context
from hogline.client.attributes import read_attribute, set_attribute
from hogline.client.events import EventPipeline
from hogline.client.exceptions import ExceptionEvents
from hogline.client.flag_calls import FlagCalls, GroupProperties, Properties, request_fields, warn_deprecated
from hogline.client.identity import EventOptions, PersonEvents
from hogline.context import Scope
from hogline.context_decorator import scoped_with
from hogline.delivery import Delivery, Ledger, Stats
from hogline.delivery.lazy_imports import importing
from hogline.delivery.ledger import CAPTURE_ERROR
from hogline.guard import guard
from hogline.settings import LONGEST_WAIT_S, ClientSettings
from hogline.settings.typed import ClientOptions

if TYPE_CHECKING:
    from hogline.client.ai import AiDelivery
    from hogline.flags import FeatureFlagEvaluationRuntime, FeatureFlagEvaluations, FeatureFlagResult, Flags
    from hogline.flags.evaluation import FlagValue

__all__ = ["Client", "PostHog", "Posthog"]

_FRESH_STACK_TIMEOUT_S = 2.0
_F = TypeVar("_F", bound=Callable[..., Any])
# Every client that was not shut down, oldest first; the first is the default one.
_living: "weakref.WeakValueDictionary[int, Client]" = weakref.WeakValueDictionary()
_all: "weakref.WeakSet[Client]" = weakref.WeakSet()
_observers: "list[Callable[[Client], None]]" = []


class Client:
    """A PostHog client for one project.

    `capture()` and similar methods only enqueue, so they are the same in `async def`. Methods that
    wait have an awaitable twin. *project_token* and every option of `ClientSettings` may also come
    from the environment (`HOGLINE_*`).

    Raises TypeError: an option that does not exist.  Raises SettingsError: a value that cannot
    work.
    """

    _ai: "AiDelivery | None" = None

    def __init__(
        self, project_token: str | None = None, host: str | None = None, **options: Unpack[ClientOptions]
    ) -> None:
        given: dict[str, Any] = {**options}
        for alias in ("project_api_key", "api_key"):  # posthog-python's names
            if alias in given:
                value = given.pop(alias)
                project_token = value if project_token is None else project_token
        if project_token is not None:
            given["project_token"] = project_token
        if host is not None:
            given["host"] = host
        self.settings: ClientSettings = ClientSettings.load(given)
        self.project_token: str = self.settings.project_token
        self._ledger = Ledger(on_drop=self.settings.on_drop, host=self.settings.host)
        self._delivery = Delivery(self.settings, ledger=self._ledger, transport=self.settings.transport)
        self._events = EventPipeline(self.settings, ledger=self._ledger, delivery=self._delivery)
        self._people = PersonEvents(self._events)
        self._flags = FlagCalls(self._events)
        self.exceptions: ExceptionEvents = ExceptionEvents(self._events)
        _living[id(self)] = self
        _all.add(self)
        for observe in _observers:
            observe(self)
        if self.settings.flag_overrides:
            assert self.flags  # made now, so that an unreadable override raises here
        if self.settings.capture_exceptions:
            from hogline.client import excepthooks  # imported lazily: few programs ask for them

            excepthooks.install(self)

    if TYPE_CHECKING:
        # posthog-python's attributes: the options, as `settings` has them.
        api_key: str
        host: str
        raw_host: str
        debug: bool
        send: bool
        gzip: bool
        timeout: float
        max_retries: int
        poll_interval: float
        secret_key: str
        personal_api_key: str
        disable_geoip: bool
        is_server: bool
        historical_migration: bool
        super_properties: Mapping[str, Any] | None
        before_send: Callable[[dict[str, Any]], dict[str, Any] | None] | None
        on_error: Callable[[Exception, list[dict[str, Any]]], None] | None
        project_root: str | None
        release: str | None
        environment: str | None
        release_id: str | None
        enable_local_evaluation: bool
        enable_exception_autocapture: bool
        log_captured_exceptions: bool
        feature_flags_request_timeout_seconds: float
    else:

        def __getattr__(self, name: str) -> Any:
            """Return an option's value, by its name here or in posthog-python."""
            return read_attribute(self, name)

        def __setattr__(self, name: str, value: Any) -> None:
            """Change an option that may change while a client lives.

            Raises SettingsError: it is any other option.
            """
            if not set_attribute(self, name, value):
                object.__setattr__(self, name, value)

    @staticmethod
    def first() -> "Client | None":
        """Return the first client of this process that was not shut down."""
        return next(iter(list(_living.values())), None)

    def __repr__(self) -> str:
        return f"PostHog({self.project_token[:8]}..., host={self.settings.host!r})"

    # -- events ------------------------------------------------------------------------------------

    def capture(
        self,
        event: str,
        *,
        distinct_id: Any = None,
        properties: Mapping[str, Any] | None = None,
        timestamp: datetime | str | None = None,
        uuid: Any = None,
        groups: Mapping[str, Any] | None = None,
        flags: "FeatureFlagEvaluations | None" = None,
        send_feature_flags: bool | Mapping[str, Any] = False,
        disable_geoip: bool | None = None,
    ) -> str | None:
        """Send *event* with the context's properties.

        Returns the id that is on the wire, or None if nothing will be sent.

        *properties* win over the context's, the context's over the client's defaults. Without a
        distinct id from here or the context, the event belongs to nobody (`$process_person_profile:
        false`). *groups* maps type to key. *flags*, from `evaluate_flags()`, puts `$feature/<key>`
        on it; *send_feature_flags* is posthog-python's older way, and may wait.
        """
        # This is written out, because a guard's block would be a tenth of the cost of this path.
        try:
            if flags is not None or send_feature_flags:
                known = self._flags.event_properties(flags, send_feature_flags, distinct_id, groups, disable_geoip)
                properties = {**known, **(properties or {})}
            return self._events.capture(event, distinct_id, properties, timestamp, uuid, groups, disable_geoip)
        except Exception as error:
            self._events.raise_or_count("capture", error)
            return None

    def capture_ai(
        self,
        event: str,
        *,
        distinct_id: Any = None,
        properties: Mapping[str, Any] | None = None,
        timestamp: datetime | str | None = None,
        uuid: Any = None,
        groups: Mapping[str, Any] | None = None,
        flags: "FeatureFlagEvaluations | None" = None,
        send_feature_flags: bool | Mapping[str, Any] = False,
        disable_geoip: bool | None = None,
    ) -> str | None:
        """Send an AI event of up to 8 MiB (`$ai_generation`, `$ai_span` ...) to the AI endpoint.

        Otherwise this is the same as `capture()`.

        It has a queue and a thread of its own, so that large events hold up no others. The
        properties are sent as given.
        """
        with guard("capture_ai", self._events.raise_or_count):
            if flags is not None or send_feature_flags:
                known = self._flags.event_properties(flags, send_feature_flags, distinct_id, groups, disable_geoip)
                properties = {**known, **(properties or {})}
            return self._events.capture(
                event, distinct_id, properties, timestamp, uuid, groups, disable_geoip, self._ai_delivery()
            )
        return None

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
        """Send *exception* (or the one being handled) as `$exception`, once for each object.

        It never raises, and never keeps the exception.

        *exception* may also be the triple of `sys.exc_info()`. Two of *properties* have a meaning
        of their own: `$exception_level` (fatal, error, warning, log, info, debug) and
        `$exception_fingerprint` (a text; events with the same one are grouped). Properties that the
        SDK or the server sets itself are ignored. *flags*, from `evaluate_flags()`, puts
        `$feature/<key>` on the event.
        """
        # Code that handles a RecursionError has few calls left on its stack: all that happens on it
        # is this one frame.
        try:
            error = exception if exception is not None else sys.exc_info()[1]
            if flags is not None or send_feature_flags:
                known = self._flags.event_properties(flags, send_feature_flags, distinct_id, groups, disable_geoip)
                properties = {**known, **(properties or {})}
            options = {
                "distinct_id": distinct_id, "properties": properties, "groups": groups, "timestamp": timestamp, "uuid": uuid,
                "disable_geoip": disable_geoip,
            }  # fmt: skip
            if not issubclass(type(error), RecursionError):
                return self.exceptions.capture(error, options)
            results: list[str | Exception | None] = []
            done = _thread.allocate_lock()
            done.acquire()
            # Not threading.Thread: starting one takes several calls, this takes one.
            run: Any = copy_context().run
            _thread.start_new_thread(run, (self.exceptions.capture_for, error, options, results, done))
            done.acquire(timeout=_FRESH_STACK_TIMEOUT_S)
            result = results[0] if results else None
            if isinstance(result, Exception):
                raise result
            return result
        except RecursionError:  # not even these few calls are left; logging would take more
            try:
                self._ledger.refuse(CAPTURE_ERROR)
            except RecursionError:  # it is counted, or cannot be
                pass
            return None
        except Exception as failure:
            self._events.raise_or_count("capture_exception", failure)
            return None

    # -- persons and groups ------------------------------------------------------------------------

    def set(
        self,
        *,
        distinct_id: Any = None,
        properties: Mapping[str, Any] | None = None,
        timestamp: datetime | str | None = None,
        uuid: Any = None,
        disable_geoip: bool | None = None,
    ) -> str | None:
        """Set person *properties*. Without a person, from here or the context, nothing is sent."""
        with guard("set", self._events.raise_or_count):
            return self._people.set(distinct_id, properties, _options(timestamp, uuid, disable_geoip))
        return None

    def set_once(
        self,
        *,
        distinct_id: Any = None,
        properties: Mapping[str, Any] | None = None,
        timestamp: datetime | str | None = None,
        uuid: Any = None,
        disable_geoip: bool | None = None,
    ) -> str | None:
        """Set person *properties* that are not set yet. Without a person nothing is sent."""
        with guard("set_once", self._events.raise_or_count):
            return self._people.set_once(distinct_id, properties, _options(timestamp, uuid, disable_geoip))
        return None

    def identify(
        self,
        distinct_id: Any = None,
        properties: Mapping[str, Any] | None = None,
        *,
        set_once: Mapping[str, Any] | None = None,
        anonymous_id: Any = None,
        timestamp: datetime | str | None = None,
        uuid: Any = None,
        disable_geoip: bool | None = None,
    ) -> str | None:
        """Identify *distinct_id* as a known person, with *properties*.

        The earlier events of *anonymous_id* become this person's.
        """
        with guard("identify", self._events.raise_or_count):
            options = _options(timestamp, uuid, disable_geoip)
            return self._people.identify(distinct_id, properties, set_once, anonymous_id, options)
        return None

    def alias(
        self,
        previous_id: Any,
        distinct_id: Any = None,
        timestamp: datetime | str | None = None,
        uuid: Any = None,
        disable_geoip: bool | None = None,
    ) -> str | None:
        """Join *distinct_id* (or the context's) to the person that *previous_id* is."""
        with guard("alias", self._events.raise_or_count):
            return self._people.alias(previous_id, distinct_id, _options(timestamp, uuid, disable_geoip))
        return None

    def group_identify(
        self,
        group_type: str,
        group_key: Any,
        properties: Mapping[str, Any] | None = None,
        timestamp: datetime | str | None = None,
        uuid: Any = None,
        disable_geoip: bool | None = None,
        distinct_id: Any = None,
    ) -> str | None:
        """Set *properties* of the group *group_key* of *group_type*."""
        with guard("group_identify", self._events.raise_or_count):
            options = _options(timestamp, uuid, disable_geoip)
            return self._people.group_identify(group_type, group_key, properties, distinct_id, options)
        return None

    # -- the context, as posthog-python has it on clients; a context serves every client -----------

    def new_context(self, fresh: bool = False, capture_exceptions: bool | None = None) -> Scope:
        """Return a `with` block whose events share what is tagged and identified inside it.

        See `hogline.new_context`.

        With *capture_exceptions*, an `Exception` that leaves the block is captured by this client.
        """
        return Scope(fresh=fresh, on_error=self.capture_exception if capture_exceptions else None)

    def scoped(self, fresh: bool = False, capture_exceptions: bool | None = None) -> Callable[[_F], _F]:
        """Return a decorator that runs each call in a context of its own; see `hogline.scoped`."""
        return scoped_with(lambda: self.new_context(fresh=fresh, capture_exceptions=capture_exceptions))

    def tag(self, name: str, value: Any) -> None:
        """Put property *name* on every later event of this context; see `hogline.tag`."""
        context.tag(name, value)

    def get_tags(self) -> dict[str, Any]:
        """Return a copy of this context's tags."""
        return context.get_tags()

    def identify_context(self, distinct_id: Any) -> None:
        """Set the distinct id of this context; see `hogline.identify_context`."""
        context.identify_context(distinct_id)

    def set_context_session(self, session_id: str | None) -> None:
        """Set the session that this context belongs to."""
        context.set_context_session(session_id)

    def set_context_device_id(self, device_id: str | None) -> None:
        """Set the device by which flag rollouts are bucketed in this context."""
        context.set_context_device_id(device_id)

    # -- flags: without a distinct id from the caller or the context nobody is asked about ---------

    @property
    def flags(self) -> "Flags":
        """The client's flags: overrides, and the definitions that are loaded."""
        return self._flags.flags

    def evaluate_flags(
        self,
        distinct_id: Any = None,
        groups: Properties = None,
        person_properties: Properties = None,
        group_properties: GroupProperties = None,
        only_evaluate_locally: bool = False,
        disable_geoip: bool | None = None,
        flag_keys: Sequence[str] | None = None,
        device_id: str | None = None,
    ) -> "FeatureFlagEvaluations":
        """Return all flags of one person, asking the server at most once.

        Pass the result to `capture(flags=...)`.

        *distinct_id*, *groups*, *person_properties* and *device_id* are completed by the context.
        *flag_keys* limits the snapshot. With *only_evaluate_locally* the server is never asked;
        `unresolved_flags` then says what is left open.
        """
        fields = request_fields(
            distinct_id, groups, person_properties, group_properties, disable_geoip, device_id, flag_keys
        )
        return self._flags.evaluate("evaluate_flags", fields, only_locally=only_evaluate_locally)

    async def aevaluate_flags(
        self,
        distinct_id: Any = None,
        groups: Properties = None,
        person_properties: Properties = None,
        group_properties: GroupProperties = None,
        only_evaluate_locally: bool = False,
        disable_geoip: bool | None = None,
        flag_keys: Sequence[str] | None = None,
        device_id: str | None = None,
    ) -> "FeatureFlagEvaluations":
        """`evaluate_flags()` that lets the event loop run."""
        fields = request_fields(
            distinct_id, groups, person_properties, group_properties, disable_geoip, device_id, flag_keys
        )
        return await self._flags.aevaluate("aevaluate_flags", fields, only_locally=only_evaluate_locally)

    def get_feature_flag_result(
        self,
        key: str,
        distinct_id: Any = None,
        groups: Properties = None,
        person_properties: Properties = None,
        group_properties: GroupProperties = None,
        only_evaluate_locally: bool = False,
        send_feature_flag_events: bool = True,
        disable_geoip: bool | None = None,
        device_id: str | None = None,
    ) -> "FeatureFlagResult | None":
        """Return the flag's value, variant and payload; None: it cannot be known.

        Sends `$feature_flag_called` once.
        """
        fields = request_fields(distinct_id, groups, person_properties, group_properties, disable_geoip, device_id)
        return self._flags.read(
            "get_feature_flag_result",
            key,
            fields,
            only_locally=only_evaluate_locally,
            send_events=send_feature_flag_events,
        )

    async def aget_feature_flag_result(
        self,
        key: str,
        distinct_id: Any = None,
        groups: Properties = None,
        person_properties: Properties = None,
        group_properties: GroupProperties = None,
        only_evaluate_locally: bool = False,
        send_feature_flag_events: bool = True,
        disable_geoip: bool | None = None,
        device_id: str | None = None,
    ) -> "FeatureFlagResult | None":
        """`get_feature_flag_result()` that lets the event loop run."""
        fields = request_fields(distinct_id, groups, person_properties, group_properties, disable_geoip, device_id)
        return await self._flags.aread(
            "aget_feature_flag_result",
            key,
            fields,
            only_locally=only_evaluate_locally,
            send_events=send_feature_flag_events,
        )

    def get_feature_flag(
        self,
        key: str,
        distinct_id: Any = None,
        groups: Properties = None,
        person_properties: Properties = None,
        group_properties: GroupProperties = None,
        only_evaluate_locally: bool = False,
        send_feature_flag_events: bool = True,
        disable_geoip: bool | None = None,
        device_id: str | None = None,
    ) -> "FlagValue | None":
        """Return True, False, a variant's key, or None: it cannot be known.

        Deprecated, as in posthog-python.
        """
        warn_deprecated("get_feature_flag", "get_flag")
        fields = request_fields(distinct_id, groups, person_properties, group_properties, disable_geoip, device_id)
        result = self._flags.read(
            "get_feature_flag", key, fields, only_locally=only_evaluate_locally, send_events=send_feature_flag_events
        )
        return result.get_value() if result is not None else None

    def feature_enabled(
        self,
        key: str,
        distinct_id: Any = None,
        groups: Properties = None,
        person_properties: Properties = None,
        group_properties: GroupProperties = None,
        only_evaluate_locally: bool = False,
        send_feature_flag_events: bool = True,
        disable_geoip: bool | None = None,
        device_id: str | None = None,
    ) -> bool | None:
        """Return whether the flag is on, or None: it cannot be known.

        Deprecated, as in posthog-python.
        """
        warn_deprecated("feature_enabled", "is_enabled")
        fields = request_fields(distinct_id, groups, person_properties, group_properties, disable_geoip, device_id)
        result = self._flags.read(
            "feature_enabled", key, fields, only_locally=only_evaluate_locally, send_events=send_feature_flag_events
        )
        return result.enabled if result is not None else None

    def get_feature_flag_payload(
        self,
        key: str,
        distinct_id: Any = None,
        match_value: "FlagValue | None" = None,
        groups: Properties = None,
        person_properties: Properties = None,
        group_properties: GroupProperties = None,
        only_evaluate_locally: bool = False,
        send_feature_flag_events: bool = False,
        disable_geoip: bool | None = None,
        device_id: str | None = None,
    ) -> Any:
        """Return the payload of the flag's value, or of *match_value*.

        Deprecated, as in posthog-python.
        """
        warn_deprecated("get_feature_flag_payload", "get_flag_payload")
        fields = request_fields(distinct_id, groups, person_properties, group_properties, disable_geoip, device_id)
        result = self._flags.read(
            "get_feature_flag_payload",
            key,
            fields,
            match_value=match_value,
            only_locally=only_evaluate_locally,
            send_events=send_feature_flag_events,
        )
        return result.payload if result is not None else None

    def get_all_flags(
        self,
        distinct_id: Any = None,
        groups: Properties = None,
        person_properties: Properties = None,
        group_properties: GroupProperties = None,
        only_evaluate_locally: bool = False,
        disable_geoip: bool | None = None,
        device_id: str | None = None,
        flag_keys_to_evaluate: Sequence[str] | None = None,
    ) -> "dict[str, FlagValue] | None":
        """Return the values of all flags by key, without an event; None: the client is disabled."""
        fields = request_fields(
            distinct_id,
            groups,
            person_properties,
            group_properties,
            disable_geoip,
            device_id,
            flag_keys_to_evaluate or None,
        )
        found = self._flags.values_and_payloads("get_all_flags", fields, only_locally=only_evaluate_locally)
        values: dict[str, FlagValue] | None = found["featureFlags"]
        return values

    def get_all_flags_and_payloads(
        self,
        distinct_id: Any = None,
        groups: Properties = None,
        person_properties: Properties = None,
        group_properties: GroupProperties = None,
        only_evaluate_locally: bool = False,
        disable_geoip: bool | None = None,
        device_id: str | None = None,
        flag_keys_to_evaluate: Sequence[str] | None = None,
    ) -> dict[str, Any]:
        """Return values and payloads by key, without an event.

        The shape is `{"featureFlags": values, "featureFlagPayloads": JSON texts}`.
        """
        fields = request_fields(
            distinct_id,
            groups,
            person_properties,
            group_properties,
            disable_geoip,
            device_id,
            flag_keys_to_evaluate or None,
        )
        return self._flags.values_and_payloads("get_all_flags_and_payloads", fields, only_locally=only_evaluate_locally)

    async def aget_all_flags_and_payloads(
        self,
        distinct_id: Any = None,
        groups: Properties = None,
        person_properties: Properties = None,
        group_properties: GroupProperties = None,
        only_evaluate_locally: bool = False,
        disable_geoip: bool | None = None,
        device_id: str | None = None,
        flag_keys_to_evaluate: Sequence[str] | None = None,
    ) -> dict[str, Any]:
        """`get_all_flags_and_payloads()` that lets the event loop run."""
        fields = request_fields(
            distinct_id,
            groups,
            person_properties,
            group_properties,
            disable_geoip,
            device_id,
            flag_keys_to_evaluate or None,
        )
        return await self._flags.avalues_and_payloads(
            "aget_all_flags_and_payloads", fields, only_locally=only_evaluate_locally
        )

    # -- the server's answer about flags, never evaluated here -------------------------------------

    def get_flags_decision(
        self,
        distinct_id: Any = None,
        groups: Properties = None,
        person_properties: Properties = None,
        group_properties: GroupProperties = None,
        disable_geoip: bool | None = None,
        flag_keys_to_evaluate: Sequence[str] | None = None,
        device_id: str | None = None,
    ) -> dict[str, Any]:
        """Ask the server, and return its answer: `flags` by key, `requestId` and other fields.

        The answer is empty where there is none.
        """
        fields = request_fields(
            distinct_id,
            groups,
            person_properties,
            group_properties,
            disable_geoip,
            device_id,
            flag_keys_to_evaluate or None,
        )
        return self._flags.decide(fields)

    def get_feature_flags_and_payloads(
        self,
        distinct_id: Any = None,
        groups: Properties = None,
        person_properties: Properties = None,
        group_properties: GroupProperties = None,
        disable_geoip: bool | None = None,
        flag_keys_to_evaluate: Sequence[str] | None = None,
        device_id: str | None = None,
    ) -> dict[str, Any]:
        """Ask the server, and return values and payloads by key.

        The shape is `{"featureFlags": values, "featureFlagPayloads": JSON texts}`.
        """
        fields = request_fields(
            distinct_id,
            groups,
            person_properties,
            group_properties,
            disable_geoip,
            device_id,
            flag_keys_to_evaluate or None,
        )
        return self._flags.decided_values(fields)

    def get_feature_variants(
        self,
        distinct_id: Any = None,
        groups: Properties = None,
        person_properties: Properties = None,
        group_properties: GroupProperties = None,
        disable_geoip: bool | None = None,
        flag_keys_to_evaluate: Sequence[str] | None = None,
        device_id: str | None = None,
    ) -> "dict[str, FlagValue]":
        """Ask the server, and return the values by key."""
        fields = request_fields(
            distinct_id,
            groups,
            person_properties,
            group_properties,
            disable_geoip,
            device_id,
            flag_keys_to_evaluate or None,
        )
        found: dict[str, FlagValue] = self._flags.decided_values(fields)["featureFlags"]
        return found

    def get_feature_payloads(
        self,
        distinct_id: Any = None,
        groups: Properties = None,
        person_properties: Properties = None,
        group_properties: GroupProperties = None,
        disable_geoip: bool | None = None,
        flag_keys_to_evaluate: Sequence[str] | None = None,
        device_id: str | None = None,
    ) -> dict[str, Any]:
        """Ask the server, and return the payloads by key, as JSON texts."""
        fields = request_fields(
            distinct_id,
            groups,
            person_properties,
            group_properties,
            disable_geoip,
            device_id,
            flag_keys_to_evaluate or None,
        )
        found: dict[str, Any] = self._flags.decided_values(fields)["featureFlagPayloads"]
        return found

    # -- flag definitions and remote config --------------------------------------------------------

    def load_feature_flags(self) -> bool:
        """Ask for the flag definitions now, and return whether there are any.

        This needs `secret_key`.
        """
        return self._flags.run("load_feature_flags", lambda flags: flags.load(), False)

    async def aload_feature_flags(self) -> bool:
        """`load_feature_flags()` that lets the event loop run."""
        return await self._flags.arun("aload_feature_flags", lambda flags: flags.load(), False)

    def feature_flag_definitions(self) -> list[Mapping[str, Any]]:
        """Return the definitions that are loaded, as the server sent them."""
        return list(self._flags.definitions("feature_flag_definitions").values())

    def get_feature_flag_evaluation_runtime(self, key: str) -> "FeatureFlagEvaluationRuntime | None":
        """Return where the flag is meant to be evaluated; None: no definition of it is loaded."""
        from hogline.flags import FeatureFlagEvaluationRuntime

        definition = self._flags.definitions("get_feature_flag_evaluation_runtime").get(key)
        return FeatureFlagEvaluationRuntime.of(definition) if definition is not None else None

    def get_feature_flag_keys_by_evaluation_runtime(
        self, evaluation_runtime: "FeatureFlagEvaluationRuntime | str"
    ) -> list[str]:
        """Return the loaded flags that suit *evaluation_runtime*; those for all sides suit each.

        Raises ValueError: there is no such runtime.
        """
        from hogline.flags import FeatureFlagEvaluationRuntime as Runtime

        wanted = Runtime(evaluation_runtime)
        loaded = self._flags.definitions("get_feature_flag_keys_by_evaluation_runtime")
        found = {key: Runtime.of(definition) for key, definition in loaded.items()}
        return [key for key, runtime in found.items() if runtime is wanted or Runtime.ALL in (runtime, wanted)]

    def get_remote_config_payload(self, key: str) -> Any:
        """Return the payload of the remote config flag *key*, decrypted by the server.

        This needs `secret_key`.
        """
        return self._flags.remote_config(key)

    async def aget_remote_config_payload(self, key: str) -> Any:
        """`get_remote_config_payload()` that lets the event loop run."""
        return await self._flags.aremote_config(key)

    # -- delivery ----------------------------------------------------------------------------------

    def flush(self, timeout_seconds: float | None = 10.0) -> bool:
        """Send the waiting events.

        Returns whether all of it was settled within *timeout_seconds* (None: however long). Never
        raises.
        """
        limit = None if timeout_seconds is None else min(LONGEST_WAIT_S, timeout_seconds)
        if self._ai is None:
            return self._delivery.flush(limit)
        until_s = None if limit is None else time.monotonic() + limit
        flushed = self._delivery.flush(limit)
        return self._ai.delivery.flush(None if until_s is None else max(0.0, until_s - time.monotonic())) and flushed

    def shutdown(self, timeout_seconds: float | None = None) -> bool:
        """Send the waiting events and stop; afterwards nothing is accepted.

        This takes at most *timeout_seconds*, by default `shutdown_timeout`.
        """
        _living.pop(id(self), None)
        if self.settings.capture_exceptions:
            from hogline.client import excepthooks

            excepthooks.uninstall(self)
        self._flags.close()
        limit = min(LONGEST_WAIT_S, self.settings.shutdown_timeout if timeout_seconds is None else timeout_seconds)
        if self._ai is None:
            return self._delivery.shutdown(limit)
        until_s = time.monotonic() + limit
        finished = self._delivery.shutdown(limit)
        return self._ai.delivery.shutdown(max(0.0, until_s - time.monotonic())) and finished

    def join(self) -> None:
        """Send the waiting events and stop: posthog-python's older name of `shutdown()`."""
        self.shutdown()

    async def aflush(self, timeout_seconds: float | None = 10.0) -> bool:
        """`flush()` that lets the event loop run."""
        # Callers of this have loaded `asyncio` already; other programs save its start-up time.
        import asyncio

        return await asyncio.to_thread(self.flush, timeout_seconds)

    async def ashutdown(self, timeout_seconds: float | None = None) -> bool:
        """`shutdown()` that lets the event loop run."""
        import asyncio

        return await asyncio.to_thread(self.shutdown, timeout_seconds)

    def stats(self) -> Stats:
        """Return what became of the events of this process.

        `accepted` is the sum of those sent, those waiting and all that were dropped.
        """
        stats = self._ledger.snapshot()
        if self._ai is None:
            return stats
        from hogline.client.ai import add_stats

        return add_stats(stats, self._ai.ledger.snapshot())

    def _ai_delivery(self) -> "AiDelivery":
        if self._ai is not None:
            return self._ai
        with importing():
            # Imported lazily: most programs capture no AI events.
            from hogline.client.ai import AiDelivery
        # Several threads may come here; the first one's object stays.
        ai: AiDelivery = vars(self).setdefault("_ai", AiDelivery(self.settings))
        return ai

    # -- settings that may change during its life --------------------------------------------------

    @property
    def disabled(self) -> bool:
        """Whether events are refused, and counted as `disabled`. May be set at any time.

        Events that already wait are still sent.
        """
        return self._events.disabled

    @disabled.setter
    def disabled(self, value: bool) -> None:
        self._events.disabled = value

    def disable(self) -> None:
        """Opt out: from now on no event is taken. Events that already wait are still sent."""
        self._events.disabled = True

    def enable(self) -> None:
        """Opt in again. Without a project token the client stays disabled, and logs that."""
        self._events.disabled = False

    def register(self, properties: Mapping[str, Any]) -> None:
        """Add super properties: properties that every later event has.

        Properties of the context and of the caller win over them.
        """
        with guard("register", self._events.raise_or_log):
            self._events.register(properties)

    def unregister(self, *names: str) -> None:
        """Remove super properties again, those of the constructor too.

        Unknown *names* are ignored.
        """
        with guard("unregister", self._events.raise_or_log):
            self._events.unregister(*names)

    # -- for interceptors, queues and integrations: failures met on behalf of this client ---------

    def failed(self, what: str, error: BaseException) -> None:
        """Log that *what* failed, at most once a minute. Never raises."""
        self._events.log_failure(what, error)

    def lost(self, what: str, error: BaseException) -> None:
        """Count an event that *error* kept from being made, and log the failure. Never raises."""
        self._events.count_loss(what, error)


def _options(timestamp: Any, uuid: Any, disable_geoip: bool | None) -> EventOptions:
    return {"timestamp": timestamp, "uuid": uuid, "disable_geoip": disable_geoip}


@contextmanager
def every_client(observe: Callable[[Client], None]) -> Iterator[None]:
    """Call *observe* with each client of this process.

    In this block, it is also called with each new client when that is made.
    """
    for client in list(_all):
        observe(client)
    _observers.append(observe)
    try:
        yield
    finally:
        _observers.remove(observe)


PostHog = Client
Posthog = Client
