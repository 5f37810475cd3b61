"""The methods that ask about flags, with posthog-python's names and keywords; those that wait have awaitable twins.

They only say what is asked; `flagging`, imported with the first of them, knows how. Bad data and a server out of reach never
raise: what cannot be known is None, and a snapshot is empty.
"""

import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from hogline.client.asking import GroupProperties, Properties
from hogline.client.asking import about as asked_about
from hogline.client.flag_decisions import FlagDecisionMethods

if TYPE_CHECKING:
    from hogline.flags import FeatureFlagEvaluations, FeatureFlagResult
    from hogline.flags.evaluation import FlagValue

__all__ = ["FlagMethods"]


class FlagMethods(FlagDecisionMethods):
    """What a client says about flags. Without a distinct id from the caller or the context nobody is asked."""

    # -- the snapshot -------------------------------------------------------------------------------------------------

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
        """Return all flags of one person, asking the server at most once; hand it to `capture(flags=...)`.

        *distinct_id*, *groups*, *person_properties* and *device_id* are completed by the context. *flag_keys* limits the
        snapshot. With *only_evaluate_locally* the server is never asked; `unresolved_flags` then says what is left open.
        """
        about = asked_about(
            distinct_id, groups, person_properties, group_properties, disable_geoip, device_id, flag_keys
        )
        if self.disabled:
            return _nothing()
        found = self._wait(
            "evaluate_flags", lambda flags: flags.evaluate(about, only_locally=only_evaluate_locally), None
        )
        return found or _nothing()

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
        about = asked_about(
            distinct_id, groups, person_properties, group_properties, disable_geoip, device_id, flag_keys
        )
        if self.disabled:
            return _nothing()
        found = await self._await(
            "aevaluate_flags", lambda flags: flags.evaluate(about, only_locally=only_evaluate_locally), None
        )
        return found or _nothing()

    # -- one flag -----------------------------------------------------------------------------------------------------

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
        """Return the flag's value, variant and payload; None: it cannot be known. Sends `$feature_flag_called` once."""
        about = asked_about(distinct_id, groups, person_properties, group_properties, disable_geoip, device_id)
        return self._read(key, about, None, only_evaluate_locally, send_feature_flag_events)

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
        about = asked_about(distinct_id, groups, person_properties, group_properties, disable_geoip, device_id)
        return await self._aread(key, about, None, only_evaluate_locally, send_feature_flag_events)

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
        """Return True, False, a variant's key, or None: it cannot be known. Deprecated, as in posthog-python."""
        _deprecated("get_feature_flag", "get_flag")
        about = asked_about(distinct_id, groups, person_properties, group_properties, disable_geoip, device_id)
        result = self._read(key, about, None, only_evaluate_locally, send_feature_flag_events)
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
        """Return whether the flag is on, or None: it cannot be known. Deprecated, as in posthog-python."""
        _deprecated("feature_enabled", "is_enabled")
        about = asked_about(distinct_id, groups, person_properties, group_properties, disable_geoip, device_id)
        result = self._read(key, about, None, only_evaluate_locally, send_feature_flag_events)
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
        """Return what is attached to the flag's value, or to *match_value*. Deprecated, as in posthog-python."""
        _deprecated("get_feature_flag_payload", "get_flag_payload")
        about = asked_about(distinct_id, groups, person_properties, group_properties, disable_geoip, device_id)
        result = self._read(key, about, match_value, only_evaluate_locally, send_feature_flag_events)
        return result.payload if result is not None else None

    # -- all flags, as values -------------------------------------------------------------------------------------------

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
        about = asked_about(
            distinct_id,
            groups,
            person_properties,
            group_properties,
            disable_geoip,
            device_id,
            flag_keys_to_evaluate or None,
        )
        values: dict[str, FlagValue] | None = self._all("get_all_flags", about, only_evaluate_locally)["featureFlags"]
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
        """Return `{"featureFlags": values, "featureFlagPayloads": JSON texts}` by key, without an event."""
        about = asked_about(
            distinct_id,
            groups,
            person_properties,
            group_properties,
            disable_geoip,
            device_id,
            flag_keys_to_evaluate or None,
        )
        return self._all("get_all_flags_and_payloads", about, only_evaluate_locally)

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
        about = asked_about(
            distinct_id,
            groups,
            person_properties,
            group_properties,
            disable_geoip,
            device_id,
            flag_keys_to_evaluate or None,
        )
        if self.disabled:
            return _both(None)
        none: tuple[dict[str, FlagValue], dict[str, Any]] = ({}, {})
        found = await self._await(
            "aget_all_flags_and_payloads",
            lambda flags: flags.all_values(about, only_locally=only_evaluate_locally),
            none,
        )
        return _both(found)

    # -- the doors ------------------------------------------------------------------------------------------------------

    def _read(
        self, key: str, about: dict[str, Any], match_value: Any, only_locally: bool, send_events: bool
    ) -> "FeatureFlagResult | None":
        """Read one flag: what can be said at once is said at once."""
        if self.disabled:
            return None
        try:
            flags = self._flags or self.flags
            at_once = flags.read_at_hand(key, about, match_value, send_events=send_events)
        except Exception as error:
            return self._stumbled("get_feature_flag", error, None)
        if at_once is not None:
            return at_once
        return self._wait(
            "get_feature_flag",
            lambda flags: flags.read(
                key, about, match_value=match_value, only_locally=only_locally, send_events=send_events
            ),
            None,
        )

    async def _aread(
        self, key: str, about: dict[str, Any], match_value: Any, only_locally: bool, send_events: bool
    ) -> "FeatureFlagResult | None":
        if self.disabled:
            return None
        return await self._await(
            "aget_feature_flag_result",
            lambda flags: flags.read(
                key, about, match_value=match_value, only_locally=only_locally, send_events=send_events
            ),
            None,
        )

    def _all(self, what: str, about: dict[str, Any], only_locally: bool) -> dict[str, Any]:
        if self.disabled:
            return _both(None)
        none: tuple[dict[str, FlagValue], dict[str, Any]] = ({}, {})
        return _both(self._wait(what, lambda flags: flags.all_values(about, only_locally=only_locally), none))


def _nothing() -> "FeatureFlagEvaluations":
    """Return the snapshot of nobody."""
    from hogline.flags import FeatureFlagEvaluations

    return FeatureFlagEvaluations({}, tell=lambda *_: None)


def _both(found: "tuple[dict[str, FlagValue], dict[str, Any]] | None") -> dict[str, Any]:
    values, payloads = found if found is not None else (None, None)
    return {"featureFlags": values, "featureFlagPayloads": payloads}


def _deprecated(name: str, instead: str) -> None:
    warnings.warn(
        f"{name}() asks for one flag at a time; call flags = posthog.evaluate_flags(...) once, and flags.{instead}(key)",
        DeprecationWarning,
        stacklevel=3,
    )
