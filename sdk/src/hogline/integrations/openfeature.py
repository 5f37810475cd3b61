"""OpenFeature: `api.set_provider_and_wait(PostHogProvider(posthog))`.

The targeting key is the distinct id; without one the distinct id of the context is used. Attributes
are person properties, except `groups`, `group_properties` and `device_id`, which have the meaning
that they have for `evaluate_flags()`.

A flag's value is its variant, or on and off. Booleans ask whether it is on; texts are its variant;
numbers and objects are its payload, or a variant that reads as a number. A flag that is off answers
anything but a boolean with the default.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from openfeature.evaluation_context import EvaluationContext
from openfeature.exception import ErrorCode
from openfeature.flag_evaluation import FlagResolutionDetails, Reason
from openfeature.provider import AbstractProvider, Metadata

from hogline.client import Client
from hogline.default import default_client
from hogline.flags import FeatureFlagEvaluations
from hogline.flags.evaluation import FlagValue

__all__ = ["PostHogProvider"]

_T = TypeVar("_T")
_Tree = Sequence[Any] | Mapping[str, Any]
Reading = Callable[[FlagValue, Any], Any]
"""Converts a flag's value and payload to one of OpenFeature's types.

None: they have no such form.
"""


class PostHogProvider(AbstractProvider):
    """Evaluates OpenFeature's flags with PostHog. *client* None: the default client.

    The provider never shuts the client down.
    """

    def __init__(self, client: Client | None = None, *, send_feature_flag_events: bool = True) -> None:
        super().__init__()
        self._client = client
        self._send_events = send_feature_flag_events

    def get_metadata(self) -> Metadata:
        """Return the provider's name."""
        return Metadata(name="PostHog")

    def initialize(self, evaluation_context: EvaluationContext) -> None:  # noqa: ARG002 - OpenFeature's signature
        """Load the definitions, if the client has a key for them."""
        client = self._client or default_client()
        if client.settings.secret_key and client.settings.enable_local_evaluation:
            client.load_feature_flags()

    def track(
        self,
        tracking_event_name: str,
        evaluation_context: EvaluationContext | None = None,
        tracking_event_details: Any = None,
    ) -> None:
        """Capture an event of that name, with the tracked attributes as its properties."""
        details = tracking_event_details
        properties = dict(getattr(details, "attributes", None) or {})
        if getattr(details, "value", None) is not None:
            properties["value"] = details.value
        about = _about(evaluation_context)
        (self._client or default_client()).capture(
            tracking_event_name, distinct_id=about["distinct_id"], groups=about["groups"], properties=properties
        )

    # -- the five types, synchronous and asynchronous ---------------------------------------------

    def resolve_boolean_details(
        self, flag_key: str, default_value: bool, evaluation_context: EvaluationContext | None = None
    ) -> FlagResolutionDetails[bool]:
        """Return whether the flag is on."""
        return self._resolve(flag_key, default_value, evaluation_context, _as_bool)

    async def resolve_boolean_details_async(
        self, flag_key: str, default_value: bool, evaluation_context: EvaluationContext | None = None
    ) -> FlagResolutionDetails[bool]:
        """`resolve_boolean_details()` that lets the event loop run."""
        return await self._aresolve(flag_key, default_value, evaluation_context, _as_bool)

    def resolve_string_details(
        self, flag_key: str, default_value: str, evaluation_context: EvaluationContext | None = None
    ) -> FlagResolutionDetails[str]:
        """Return the flag's variant."""
        return self._resolve(flag_key, default_value, evaluation_context, _as_text)

    async def resolve_string_details_async(
        self, flag_key: str, default_value: str, evaluation_context: EvaluationContext | None = None
    ) -> FlagResolutionDetails[str]:
        """`resolve_string_details()` that lets the event loop run."""
        return await self._aresolve(flag_key, default_value, evaluation_context, _as_text)

    def resolve_integer_details(
        self, flag_key: str, default_value: int, evaluation_context: EvaluationContext | None = None
    ) -> FlagResolutionDetails[int]:
        """Return the flag's payload, or its variant, as a whole number."""
        return self._resolve(flag_key, default_value, evaluation_context, _as_int)

    async def resolve_integer_details_async(
        self, flag_key: str, default_value: int, evaluation_context: EvaluationContext | None = None
    ) -> FlagResolutionDetails[int]:
        """`resolve_integer_details()` that lets the event loop run."""
        return await self._aresolve(flag_key, default_value, evaluation_context, _as_int)

    def resolve_float_details(
        self, flag_key: str, default_value: float, evaluation_context: EvaluationContext | None = None
    ) -> FlagResolutionDetails[float]:
        """Return the flag's payload, or its variant, as a number."""
        return self._resolve(flag_key, default_value, evaluation_context, _as_float)

    async def resolve_float_details_async(
        self, flag_key: str, default_value: float, evaluation_context: EvaluationContext | None = None
    ) -> FlagResolutionDetails[float]:
        """`resolve_float_details()` that lets the event loop run."""
        return await self._aresolve(flag_key, default_value, evaluation_context, _as_float)

    def resolve_object_details(
        self, flag_key: str, default_value: _Tree, evaluation_context: EvaluationContext | None = None
    ) -> FlagResolutionDetails[_Tree]:
        """Return the flag's payload, a list or a mapping."""
        return self._resolve(flag_key, default_value, evaluation_context, _as_tree)

    async def resolve_object_details_async(
        self, flag_key: str, default_value: _Tree, evaluation_context: EvaluationContext | None = None
    ) -> FlagResolutionDetails[_Tree]:
        """`resolve_object_details()` that lets the event loop run."""
        return await self._aresolve(flag_key, default_value, evaluation_context, _as_tree)

    # -- shared parts ------------------------------------------------------------------------------

    def _resolve(
        self, key: str, default: _T, context: EvaluationContext | None, reading: Reading
    ) -> FlagResolutionDetails[_T]:
        flags = (self._client or default_client()).evaluate_flags(**_about(context), flag_keys=[key])
        return self._details(flags, key, default, reading)

    async def _aresolve(
        self, key: str, default: _T, context: EvaluationContext | None, reading: Reading
    ) -> FlagResolutionDetails[_T]:
        flags = await (self._client or default_client()).aevaluate_flags(**_about(context), flag_keys=[key])
        return self._details(flags, key, default, reading)

    def _details(
        self, flags: FeatureFlagEvaluations, key: str, default: _T, reading: Reading
    ) -> FlagResolutionDetails[_T]:
        value = flags.get_flag(key, send_feature_flag_events=self._send_events)
        if value is None:
            code, message = _why(flags, key)
            return FlagResolutionDetails(default, error_code=code, error_message=message, reason=Reason.ERROR)
        if value is False and reading is not _as_bool:
            return FlagResolutionDetails(default, reason=Reason.DEFAULT)
        found = reading(value, flags.get_flag_payload(key))
        variant = value if isinstance(value, str) else None
        if found is None:
            message = f"flag {key!r} is {value!r}, which is no {reading.__name__.removeprefix('_as_')} and has no payload that is"
            return FlagResolutionDetails(
                default, error_code=ErrorCode.TYPE_MISMATCH, error_message=message, reason=Reason.ERROR, variant=variant
            )
        reason = Reason.SPLIT if variant is not None else Reason.TARGETING_MATCH if value else Reason.DEFAULT
        return FlagResolutionDetails(found, reason=reason, variant=variant)


def _about(context: EvaluationContext | None) -> dict[str, Any]:
    """Return the arguments for `evaluate_flags()` from *context*."""
    if context is None:
        return {"distinct_id": None, "groups": None}
    attributes = dict(context.attributes)
    groups, group_properties = attributes.pop("groups", None), attributes.pop("group_properties", None)
    device_id = attributes.pop("device_id", None)
    return {
        "distinct_id": context.targeting_key,
        "groups": groups if isinstance(groups, Mapping) else None,
        "group_properties": group_properties if isinstance(group_properties, Mapping) else None,
        "device_id": device_id if isinstance(device_id, str) else None,
        "person_properties": attributes,
    }


def _why(flags: FeatureFlagEvaluations, key: str) -> tuple[ErrorCode, str]:
    if not flags.distinct_id:
        return ErrorCode.TARGETING_KEY_MISSING, "set a targeting key: the distinct id that the flag is about"
    if flags.error is not None:
        return ErrorCode.GENERAL, f"the server gave no answer: {flags.error}"
    return ErrorCode.FLAG_NOT_FOUND, f"there is no flag {key!r}"


def _as_bool(value: FlagValue, _payload: Any) -> bool:
    return value is not False


def _as_text(value: FlagValue, _payload: Any) -> str | None:
    return value if isinstance(value, str) else None


def _as_float(value: FlagValue, payload: Any) -> float | None:
    for one in (payload, value):
        if isinstance(one, int | float | str) and not isinstance(one, bool):
            try:
                return float(one)
            except (OverflowError, ValueError):
                continue
    return None


def _as_int(value: FlagValue, payload: Any) -> int | None:
    number = _as_float(value, payload)
    return int(number) if number is not None and number.is_integer() else None


def _as_tree(_value: FlagValue, payload: Any) -> _Tree | None:
    return payload if isinstance(payload, list | dict) else None
