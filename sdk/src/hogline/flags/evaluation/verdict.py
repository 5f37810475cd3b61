"""Verdict: a flag's value for a person, and its reason.

`Unknown`: a filter cannot be evaluated, and why.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final, TypeAlias

__all__ = [
    "DEPENDENCY",
    "FIXED_TEXT",
    "MISSING",
    "SERVER",
    "SERVER_DEPENDENCY",
    "UNSUPPORTED",
    "Answer",
    "FlagValue",
    "Unknown",
    "UnresolvedFlagReason",
    "Verdict",
    "graver",
]

FlagValue: TypeAlias = bool | str


class UnresolvedFlagReason(StrEnum):
    """Reasons why a flag has no local value. If several apply, the first in this order is given.

    Members are strings, equal to posthog-python's.
    Source: docs/internals/flags-protocol.md#evaluation-order.
    """

    EXPERIENCE_CONTINUITY = "experience_continuity"
    UNSUPPORTED_DEFINITION = "unsupported_definition"
    UNRESOLVED_DEPENDENCY = "unresolved_dependency"
    MISSING_CONTEXT = "missing_context"


_GRAVITY = {reason: number for number, reason in enumerate(UnresolvedFlagReason)}


@dataclass(frozen=True, slots=True, eq=False)
class Unknown:
    """A filter cannot be evaluated.

    With *ends* only the server can, and no later condition may decide instead.
    """

    reason: UnresolvedFlagReason
    ends: bool = False


MISSING: Final = Unknown(UnresolvedFlagReason.MISSING_CONTEXT)
UNSUPPORTED: Final = Unknown(UnresolvedFlagReason.UNSUPPORTED_DEFINITION)
DEPENDENCY: Final = Unknown(UnresolvedFlagReason.UNRESOLVED_DEPENDENCY)
SERVER: Final = Unknown(UnresolvedFlagReason.UNSUPPORTED_DEFINITION, ends=True)
SERVER_DEPENDENCY: Final = Unknown(UnresolvedFlagReason.UNRESOLVED_DEPENDENCY, ends=True)

Answer: TypeAlias = bool | Unknown


def graver(one: UnresolvedFlagReason | None, other: UnresolvedFlagReason | None) -> UnresolvedFlagReason | None:
    """Return the reason that comes first in the order of reasons."""
    if one is None or other is None:
        return one or other
    return min(one, other, key=_GRAVITY.__getitem__)


FIXED_TEXT = {
    "no_condition_match": "No condition sets matched",
    "out_of_rollout_bound": "Out of rollout bound",
    "no_group_type": "No group type",
    "super_condition_value": "Super condition value",
    "holdout_condition_value": "Holdout condition value",
    "flag_disabled": "Feature flag is disabled",
}


@dataclass(frozen=True, slots=True)
class Verdict:
    """A flag's value for one subject.

    `value` is True, False, a variant's key, or None: unresolved, and `unresolved` says why. `code`
    and `condition_index` are the server's reason. With `ends` only the server can know it.
    Source: docs/internals/flags-protocol.md#flags-response.
    """

    value: FlagValue | None
    code: str
    condition_index: int | None = None
    unresolved: UnresolvedFlagReason | None = None
    ends: bool = False

    @property
    def description(self) -> str:
        """The reason in the server's words."""
        if self.code == "condition_match" and self.condition_index is not None:
            return f"Matched condition set {self.condition_index + 1}"
        return FIXED_TEXT.get(self.code, self.code)
