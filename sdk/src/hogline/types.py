"""posthog-python's types under its module's name.

`from hogline.types import ...` needs no other change.
"""

from collections.abc import Callable, Mapping
from typing import Any, TypedDict

from hogline.flags.evaluation import FlagValue, UnresolvedFlagReason
from hogline.flags.results import FeatureFlagEvaluationRuntime, FeatureFlagResult
from hogline.wire.flags import FlagMetadata, FlagReason
from hogline.wire.flags import RemoteFlag as FeatureFlag

__all__ = [
    "BeforeSendCallback",
    "FeatureFlag",
    "FeatureFlagError",
    "FeatureFlagEvaluationRuntime",
    "FeatureFlagResult",
    "FlagMetadata",
    "FlagReason",
    "FlagValue",
    "FlagsAndPayloads",
    "FlagsResponse",
    "LegacyFlagMetadata",
    "SendFeatureFlagsOptions",
    "UnresolvedFlagReason",
]

BeforeSendCallback = Callable[[dict[str, Any]], dict[str, Any] | None]
"""The type of `before_send`."""
LegacyFlagMetadata = FlagMetadata


class SendFeatureFlagsOptions(TypedDict, total=False):
    """The options that `capture(send_feature_flags=...)` takes instead of True."""

    should_send: bool
    only_evaluate_locally: bool | None
    person_properties: Mapping[str, Any] | None
    group_properties: Mapping[str, Mapping[str, Any]] | None
    flag_keys_filter: list[str] | None


class FlagsAndPayloads(TypedDict, total=False):
    """The answer of `get_all_flags_and_payloads()`."""

    featureFlags: dict[str, FlagValue] | None
    featureFlagPayloads: dict[str, str] | None


class FlagsResponse(TypedDict, total=False):
    """The answer of `get_flags_decision()`."""

    flags: dict[str, FeatureFlag]
    errorsWhileComputingFlags: bool
    requestId: str | None
    evaluatedAt: int | None
    minimalFlagCalledEvents: bool


class FeatureFlagError:
    """The values of `$feature_flag_error`."""

    ERRORS_WHILE_COMPUTING = "errors_while_computing_flags"
    EVALUATION_FAILED = "evaluation_failed"
    FLAG_MISSING = "flag_missing"
    LOCAL_EVALUATION_INCONCLUSIVE = "local_evaluation_inconclusive"
    QUOTA_LIMITED = "quota_limited"
    TIMEOUT = "timeout"
    CONNECTION_ERROR = "connection_error"
    UNKNOWN_ERROR = "unknown_error"

    @staticmethod
    def api_error(status: int | str) -> str:
        """Return the value for an HTTP error."""
        return f"api_error_{status}"
