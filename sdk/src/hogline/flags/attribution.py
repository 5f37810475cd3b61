"""Attribution: which rule of a flag produced a value.

Servers report it for flags of configuration version 2.

Source: docs/internals/flags-protocol.md#feature-flag-called.
"""

import re
from typing import Any, NamedTuple

from hogline.wire.flags import RemoteFlag

__all__ = ["EXPOSURE_FORBIDDEN", "FLAG_CALLED_FORBIDDEN", "MINIMAL_ATTRIBUTION", "Attribution", "attribution_of"]

_EXPERIMENT = "experiment"
_SPLIT = "experiment_split"
# The reasons that name a rule, and the types of rule that each of them may name.
_RULE_TYPES = {
    "targeting_match": frozenset({"targeted_release", "percentage_rollout"}),
    _SPLIT: frozenset({_EXPERIMENT}),
    "rollout_miss": frozenset({"percentage_rollout", _EXPERIMENT}),
    "experiment_paused": frozenset({_EXPERIMENT}),
    "holdout": frozenset({_EXPERIMENT}),
}
_UUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")

MINIMAL_ATTRIBUTION = frozenset(
    {
        "$feature_flag_config_version",
        "$feature_flag_reason_code",
        "$feature_flag_rule_id",
        "$feature_flag_rule_type",
        "$feature_flag_variant_key",
    }
)
"""Properties that a minimal `$feature_flag_called` keeps for a flag of configuration version 2."""
FLAG_CALLED_FORBIDDEN = MINIMAL_ATTRIBUTION | {
    "$feature_flag_reason",
    "$feature_flag_forced_variant",
    "$feature_flag_experiment_id",
}
"""Properties that neither the context nor a super property may put on such an event."""
EXPOSURE_FORBIDDEN = frozenset(
    {
        "$feature_flag_config_version",
        "$feature_flag_reason_code",
        "$feature_flag_rule_type",
        "$experiment_exposure_source",
        "$feature_flag_experiment_id",
        "$feature_flag_forced_variant",
    }
)
"""Properties that `$experiment_exposure` never carries."""


class Attribution(NamedTuple):
    """The reason and the rule of one value.

    With a variant key, the person was assigned to it by an experiment.
    """

    reason_code: str | None = None
    rule_id: str | None = None
    rule_type: str | None = None
    variant_key: str | None = None

    def properties(self) -> dict[str, Any]:
        """Return the properties of `$feature_flag_called`."""
        named = {
            "$feature_flag_reason_code": self.reason_code,
            "$feature_flag_rule_id": self.rule_id,
            "$feature_flag_rule_type": self.rule_type,
            "$feature_flag_variant_key": self.variant_key,
        }
        return {
            "$feature_flag_config_version": 2,
            **{name: value for name, value in named.items() if value is not None},
        }


def attribution_of(flag: RemoteFlag) -> Attribution | None:
    """Return the attribution of *flag*.

    The result is None if its configuration is of an older version, or its record is malformed.

    A rule is named whole or not at all: with a UUID, a type that suits the reason, and for a split
    the variant's key.
    """
    metadata = flag.metadata
    if flag.malformed or metadata.config_version != 2:
        return None
    reason = flag.reason.code or None
    suiting = _RULE_TYPES.get(reason or "")
    is_named = (
        not flag.failed
        and suiting is not None
        and metadata.rule_type in suiting
        and metadata.rule_id is not None
        and _UUID.fullmatch(metadata.rule_id) is not None
    )
    if not is_named or (reason == _SPLIT and metadata.variant_key is None):
        return Attribution(reason)
    return Attribution(reason, metadata.rule_id, metadata.rule_type, metadata.variant_key if reason == _SPLIT else None)
