"""Flags as a client's user meets them: overrides, then local rules, then the server; snapshots, and the events about them.

Joins `flags` (what a definition means) with `delivery` (where definitions and answers come from). Imported with the first
flag that is asked for.
"""

from hogline.delivery.flag_provider import FlagDefinitionCacheProvider
from hogline.flagging.flags import Flags
from hogline.flagging.results import FeatureFlagEvaluationRuntime, FeatureFlagResult
from hogline.flagging.snapshot import FeatureFlagEvaluations

__all__ = [
    "FeatureFlagEvaluationRuntime",
    "FeatureFlagEvaluations",
    "FeatureFlagResult",
    "FlagDefinitionCacheProvider",
    "Flags",
]
