"""The flag methods that always ask the server, and those that look at definitions: posthog-python's older and rarer ones."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from hogline.client.asking import Asking, GroupProperties, Properties
from hogline.client.asking import about as asked_about

if TYPE_CHECKING:
    from hogline.flags import FeatureFlagEvaluationRuntime
    from hogline.flags.evaluation import FlagValue

__all__ = ["FlagDecisionMethods"]


class FlagDecisionMethods(Asking):
    """What the server says, as it is; what the definitions say, as they are."""

    # -- the server's answer as it is -----------------------------------------------------------------------------------

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
        """Ask the server, and return its answer: `flags` by key, `requestId` and its kin; empty where there is none."""
        if self.disabled:
            return {}
        about = asked_about(
            distinct_id,
            groups,
            person_properties,
            group_properties,
            disable_geoip,
            device_id,
            flag_keys_to_evaluate or None,
        )
        answer = self._wait("get_flags_decision", lambda flags: flags.decide(about), None)
        if answer is None:
            return {}
        return {
            "flags": dict(answer.flags),
            "requestId": answer.request_id,
            "evaluatedAt": answer.evaluated_at,
            "errorsWhileComputingFlags": answer.errors_while_computing,
            "minimalFlagCalledEvents": answer.minimal_flag_called_events,
        }

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
        """Ask the server, and return `{"featureFlags": values, "featureFlagPayloads": JSON texts}` by key."""
        flags = self.get_flags_decision(
            distinct_id, groups, person_properties, group_properties, disable_geoip, flag_keys_to_evaluate, device_id
        ).get("flags", {})
        well = {key: flag for key, flag in flags.items() if not flag.failed}
        payloads = {
            key: flag.metadata.payload
            for key, flag in well.items()
            if flag.enabled and flag.metadata.payload is not None
        }
        return {"featureFlags": {key: flag.get_value() for key, flag in well.items()}, "featureFlagPayloads": payloads}

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
        values: dict[str, FlagValue] = self.get_feature_flags_and_payloads(
            distinct_id, groups, person_properties, group_properties, disable_geoip, flag_keys_to_evaluate, device_id
        )["featureFlags"]
        return values

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
        payloads: dict[str, Any] = self.get_feature_flags_and_payloads(
            distinct_id, groups, person_properties, group_properties, disable_geoip, flag_keys_to_evaluate, device_id
        )["featureFlagPayloads"]
        return payloads

    # -- definitions ----------------------------------------------------------------------------------------------------

    def load_feature_flags(self) -> bool:
        """Ask for the flag definitions now; returns whether there are any. Needs `secret_key`."""
        return not self.disabled and bool(self._wait("load_feature_flags", lambda flags: flags.load(), False))

    async def aload_feature_flags(self) -> bool:
        """`load_feature_flags()` that lets the event loop run."""
        return not self.disabled and bool(await self._await("aload_feature_flags", lambda flags: flags.load(), False))

    def feature_flag_definitions(self) -> list[Mapping[str, Any]]:
        """Return the definitions that are loaded, as the server sent them."""
        return list(self._definitions("feature_flag_definitions").values())

    def get_feature_flag_evaluation_runtime(self, key: str) -> "FeatureFlagEvaluationRuntime | None":
        """Return where the flag is meant to be evaluated; None: no definition of it is loaded."""
        from hogline.flags import FeatureFlagEvaluationRuntime

        definition = self._definitions("get_feature_flag_evaluation_runtime").get(key)
        return FeatureFlagEvaluationRuntime.of(definition) if definition is not None else None

    def get_feature_flag_keys_by_evaluation_runtime(
        self, evaluation_runtime: "FeatureFlagEvaluationRuntime | str"
    ) -> list[str]:
        """Return the loaded flags that suit *evaluation_runtime*; those for all sides suit each.

        Raises ValueError: there is no such runtime.
        """
        from hogline.flags import FeatureFlagEvaluationRuntime as Runtime

        wanted = Runtime(evaluation_runtime)
        loaded = self._definitions("get_feature_flag_keys_by_evaluation_runtime")
        found = {key: Runtime.of(definition) for key, definition in loaded.items()}
        return [key for key, runtime in found.items() if runtime is wanted or Runtime.ALL in (runtime, wanted)]

    def _definitions(self, what: str) -> Mapping[str, Mapping[str, Any]]:
        try:
            ruleset = self.flags.ruleset
        except Exception as error:
            return self._stumbled(what, error, {})
        return ruleset.definitions if ruleset is not None else {}

    def get_remote_config_payload(self, key: str) -> Any:
        """Return the payload of the remote config flag *key*, decrypted by the server. Needs `secret_key`."""
        if self.disabled:
            return None
        return _config(self._wait("get_remote_config_payload", lambda flags: flags.remote_config(key), None))

    async def aget_remote_config_payload(self, key: str) -> Any:
        """`get_remote_config_payload()` that lets the event loop run."""
        if self.disabled:
            return None
        return _config(await self._await("aget_remote_config_payload", lambda flags: flags.remote_config(key), None))


def _config(body: bytes | None) -> Any:
    import orjson

    try:
        return orjson.loads(body) if body else None
    except ValueError:
        return None
