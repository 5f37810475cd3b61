"""How a client's methods reach its flags.

`hogline.flags` is imported at the first call, and no failure there reaches the app.
"""

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from hogline.client.events import EventPipeline
from hogline.context import current
from hogline.delivery import lazy_imports
from hogline.guard import guard

if TYPE_CHECKING:
    from hogline.flags import FeatureFlagEvaluations, FeatureFlagResult, Flags
    from hogline.flags.evaluation import FlagValue
    from hogline.flags.flow import Flow

__all__ = ["FlagCalls", "GroupProperties", "Properties", "request_fields", "warn_deprecated"]

_T = TypeVar("_T")
Properties = Mapping[str, Any] | None
GroupProperties = Mapping[str, Mapping[str, Any]] | None


class FlagCalls:
    """Runs a client's calls to its flags, and returns a fallback where one fails."""

    _flags: "Flags | None" = None

    def __init__(self, events: EventPipeline) -> None:
        self._events = events
        self._is_offline = False
        self._leader: FlagCalls | None = None  # another client, whose forced values hold here too

    @property
    def flags(self) -> "Flags":
        """The client's flags, made when they are first read.

        Read it inside a guard: the system may refuse the resources that this takes.
        """
        if self._flags is not None:
            return self._flags
        with lazy_imports.importing():
            # Imported lazily: hashes, patterns and dates cost start-up time.
            from hogline.flags import Flags
        made = Flags(self._events.settings, self._send_called, self._count_lost_called)
        self._apply(made)
        kept: Flags = vars(self).setdefault("_flags", made)  # the first of several threads wins
        return kept

    def set_offline(self, value: bool) -> None:
        """Set whether these flags make no request, and evaluate nothing; for tests."""
        self._is_offline = value
        if self._flags is not None:
            self._apply(self._flags)

    @contextmanager
    def following(self, leader: "FlagCalls") -> Iterator[None]:
        """Take the forced values of *leader* in this block, and make no request; for tests."""
        previous, self._leader = self._leader, leader
        was_offline = self._is_offline
        self.set_offline(True)
        try:
            yield
        finally:
            self._leader = previous
            self.set_offline(was_offline)

    def _apply(self, flags: "Flags") -> None:
        flags.set_offline(self._is_offline, self._leader.flags if self._leader is not None else None)

    def close(self) -> None:
        """Stop the flags' thread, if there is one.

        The app's cache provider is shut down too, whether it was used or not.
        """
        with guard("shutdown", self._events.log_failure):
            if self._flags is not None:
                self._flags.close()
            elif self._events.settings.flag_definition_cache_provider is not None:
                self.flags.close()

    def run(self, what: str, ask: "Callable[[Flags], Flow[_T]]", fallback: _T) -> _T:
        """Return the result of *ask*, or *fallback* if it fails or the client is disabled."""
        if self._events.disabled:
            return fallback
        with guard(what, self._events.raise_or_log):
            from hogline.flags.flow import run

            return run(ask(self.flags))
        return fallback

    async def arun(self, what: str, ask: "Callable[[Flags], Flow[_T]]", fallback: _T) -> _T:
        """`run()` that lets the event loop run."""
        if self._events.disabled:
            return fallback
        with guard(what, self._events.raise_or_log):
            from hogline.flags.flow import arun

            return await arun(ask(self.flags))
        return fallback

    # -- one flag ----------------------------------------------------------------------------------

    def read(
        self,
        what: str,
        key: str,
        fields: dict[str, Any],
        *,
        match_value: "FlagValue | None" = None,
        only_locally: bool,
        send_events: bool,
    ) -> "FeatureFlagResult | None":
        """Return one flag's result; None: it cannot be known.

        An answer that needs no waiting is returned without a flow.
        """
        if self._events.disabled:
            return None
        # This is written out, because a guard's block would cost a tenth of a local evaluation.
        try:
            flags = self._flags or self.flags
            result = flags.read_now(key, fields, match_value, send_events=send_events)
        except Exception as error:
            self._events.raise_or_log(what, error)
            return None
        if result is not None:
            return result
        return self.run(
            what,
            lambda flags: flags.read(
                key, fields, match_value=match_value, only_locally=only_locally, send_events=send_events
            ),
            None,
        )

    async def aread(
        self, what: str, key: str, fields: dict[str, Any], *, only_locally: bool, send_events: bool
    ) -> "FeatureFlagResult | None":
        """`read()` that lets the event loop run."""
        return await self.arun(
            what, lambda flags: flags.read(key, fields, only_locally=only_locally, send_events=send_events), None
        )

    # -- all flags ---------------------------------------------------------------------------------

    def evaluate(self, what: str, fields: dict[str, Any], *, only_locally: bool) -> "FeatureFlagEvaluations":
        """Return the snapshot of all flags; an empty one where that fails."""
        return self.run(what, lambda flags: flags.evaluate(fields, only_locally=only_locally), None) or _no_flags()

    async def aevaluate(self, what: str, fields: dict[str, Any], *, only_locally: bool) -> "FeatureFlagEvaluations":
        """`evaluate()` that lets the event loop run."""
        found = await self.arun(what, lambda flags: flags.evaluate(fields, only_locally=only_locally), None)
        return found or _no_flags()

    def values_and_payloads(self, what: str, fields: dict[str, Any], *, only_locally: bool) -> dict[str, Any]:
        """Return `{"featureFlags": values, "featureFlagPayloads": JSON texts}`.

        Both are None if the client is disabled.
        """
        if self._events.disabled:
            return _both(None, None)
        empty: tuple[dict[str, FlagValue], dict[str, Any]] = ({}, {})
        return _both(*self.run(what, lambda flags: flags.all_values(fields, only_locally=only_locally), empty))

    async def avalues_and_payloads(self, what: str, fields: dict[str, Any], *, only_locally: bool) -> dict[str, Any]:
        """`values_and_payloads()` that lets the event loop run."""
        if self._events.disabled:
            return _both(None, None)
        empty: tuple[dict[str, FlagValue], dict[str, Any]] = ({}, {})
        return _both(*await self.arun(what, lambda flags: flags.all_values(fields, only_locally=only_locally), empty))

    def decide(self, fields: dict[str, Any]) -> dict[str, Any]:
        """Return the server's answer, `flags` by key with `requestId` and other fields.

        It has no flags where there is no answer.
        """
        answer = self.run("get_flags_decision", lambda flags: flags.decide(fields), None)
        if answer is None:
            return {"flags": {}, "requestId": None}
        return {
            "flags": dict(answer.flags),
            "requestId": answer.request_id,
            "evaluatedAt": answer.evaluated_at,
            "errorsWhileComputingFlags": answer.errors_while_computing,
            "minimalFlagCalledEvents": answer.minimal_flag_called_events,
        }

    def decided_values(self, fields: dict[str, Any]) -> dict[str, Any]:
        """Return the server's answer, values and payloads by key.

        The shape is `{"featureFlags": values, "featureFlagPayloads": JSON texts}`.
        """
        from hogline.flags.results import is_payload

        evaluated = {key: flag for key, flag in self.decide(fields).get("flags", {}).items() if not flag.failed}
        payloads = {
            key: flag.metadata.payload
            for key, flag in evaluated.items()
            if flag.enabled and is_payload(flag.metadata.payload)
        }
        return _both({key: flag.get_value() for key, flag in evaluated.items()}, payloads)

    def definitions(self, what: str) -> Mapping[str, Mapping[str, Any]]:
        """Return the definitions that are loaded, by key."""
        with guard(what, self._events.raise_or_log):
            ruleset = self.flags.ruleset
            return ruleset.definitions if ruleset is not None else {}
        return {}

    def remote_config(self, key: str) -> Any:
        """Return the payload of the remote config flag *key*; None: there is none."""
        return _decoded(self.run("get_remote_config_payload", lambda flags: flags.remote_config(key), None))

    async def aremote_config(self, key: str) -> Any:
        """`remote_config()` that lets the event loop run."""
        return _decoded(await self.arun("aget_remote_config_payload", lambda flags: flags.remote_config(key), None))

    # -- events ------------------------------------------------------------------------------------

    def event_properties(
        self,
        flags: "FeatureFlagEvaluations | None",
        send_feature_flags: Any,
        distinct_id: Any,
        groups: Properties,
        disable_geoip: bool | None,
    ) -> Mapping[str, Any]:
        """Return an event's properties about flags. The event is sent even if this fails."""
        with guard("capture(flags=...)", self._events.log_failure):
            if flags is None:
                return self._legacy_event_properties(send_feature_flags, distinct_id, groups, disable_geoip)
            if send_feature_flags:
                both = TypeError("flags= and send_feature_flags= were both given; flags= counts")
                self._events.log_failure("capture", both)
            return flags.event_properties()
        return {}

    def _legacy_event_properties(
        self, options: Any, distinct_id: Any, groups: Properties, disable_geoip: bool | None
    ) -> Mapping[str, Any]:
        if not isinstance(options, bool | Mapping):
            raise TypeError(f"send_feature_flags must be True, False or a mapping, got {options!r}")
        warnings.warn(
            "send_feature_flags is deprecated: it may ask the server for each event; pass flags=posthog.evaluate_flags(...)",
            DeprecationWarning,
            stacklevel=4,
        )
        given: Mapping[str, Any] = options if isinstance(options, Mapping) else {}
        fields = request_fields(
            distinct_id, groups, given.get("person_properties"), given.get("group_properties"), disable_geoip, None,
            given.get("flag_keys_filter") or None,
        )  # fmt: skip
        only_locally = given.get("only_evaluate_locally")
        if only_locally is None:
            only_locally = self.flags.ruleset is not None
        what = "capture(send_feature_flags=...)"
        return self.evaluate(what, fields, only_locally=bool(only_locally)).event_properties()

    def _send_called(
        self,
        event: str,
        distinct_id: str,
        properties: dict[str, Any],
        *,
        groups: Mapping[str, Any],
        disable_geoip: bool | None,
        allowed: frozenset[str] | None,
        forbidden: frozenset[str],
    ) -> None:
        """Send an event about a flag; see `hogline.flags.called_events.SendCalled`."""
        context = current.get()
        known = {**self._events.defaults, **(context.properties() if context is not None else {})}
        merged = {**{name: value for name, value in known.items() if name not in forbidden}, **properties}
        if groups:
            merged["$groups"] = dict(groups)
        if allowed is not None:
            merged = {name: value for name, value in merged.items() if name in allowed}
        self._events.send(event, distinct_id, merged, disable_geoip=disable_geoip)

    def _count_lost_called(self, error: Exception) -> None:
        self._events.raise_or_count("$feature_flag_called", error)


def request_fields(
    distinct_id: Any,
    groups: Properties,
    person_properties: Properties,
    group_properties: GroupProperties,
    disable_geoip: bool | None,
    device_id: str | None,
    keys: Sequence[str] | None = None,
) -> dict[str, Any]:
    """Return the caller's arguments in the form that `FlagRequest.of` takes."""
    return {
        "distinct_id": distinct_id,
        "groups": groups,
        "person_properties": person_properties,
        "group_properties": group_properties,
        "disable_geoip": disable_geoip,
        "device_id": device_id,
        "keys": keys,
    }


def warn_deprecated(name: str, instead: str) -> None:
    """Warn the caller of the client's method *name* that it is deprecated."""
    warnings.warn(
        f"{name}() asks for one flag at a time; call flags = posthog.evaluate_flags(...) once, and flags.{instead}(key)",
        DeprecationWarning,
        stacklevel=3,
    )


def _no_flags() -> "FeatureFlagEvaluations":
    from hogline.flags import FeatureFlagEvaluations

    return FeatureFlagEvaluations({}, tell=lambda *_: None)


def _both(values: Any, payloads: Any) -> dict[str, Any]:
    return {"featureFlags": values, "featureFlagPayloads": payloads}


def _decoded(body: bytes | None) -> Any:
    import orjson

    try:
        return orjson.loads(body) if body else None
    except ValueError:
        return None
