"""Bucketing: which persons are in a rollout, a variant or a holdout.

The hash is the server's, so the persons are the same.
"""

from collections.abc import Sequence
from hashlib import sha1
from typing import Any

__all__ = ["Variants", "fraction", "held_out", "share"]

_SCALE = float(0xFFFFFFFFFFFFFFF)
_from_bytes = int.from_bytes


def fraction(text: str) -> float:
    """Return the position of *text* between 0 and 1: the first 15 hex digits of its SHA-1.

    Source: docs/internals/flags-protocol.md#hash.
    """
    digest = sha1(text.encode(), usedforsecurity=False).digest()
    return (_from_bytes(digest[:8], "big") >> 4) / _SCALE


def share(percentage: Any) -> float:
    """Return a percentage as a fraction.

    Raises ValueError: it is no number, so the definition cannot be evaluated.
    """
    if isinstance(percentage, bool) or not isinstance(percentage, int | float):
        raise ValueError(f"no percentage: {percentage!r}")  # noqa: TRY004 - a definition's value, not a caller's type
    return percentage / 100


def held_out(holdout: Any, identifier: str) -> str | None:
    """Return the holdout's value if *identifier* is held out, else None.

    A holdout is the same for all of its flags.
    """
    if not isinstance(holdout, dict):
        return None
    percentage, number = holdout.get("exclusion_percentage"), holdout.get("id")
    if percentage is None or number is None:
        return None
    limit = min(max(float(percentage), 0.0), 100.0)
    if limit < 100.0 and fraction(f"holdout-{identifier}") > limit / 100:
        return None
    return f"holdout-{number}"


class Variants:
    """The variants of a flag, in the order of their ranges."""

    __slots__ = ("_ends", "keys")

    def __init__(self, variants: Sequence[Any]) -> None:
        self.keys: list[Any] = [variant["key"] for variant in variants]
        self._ends: list[float] = []
        end = 0.0
        for variant in variants:
            end += share(variant["rollout_percentage"])
            self._ends.append(end)

    def pick(self, key: str, identifier: str) -> str | None:
        """Return the variant of flag *key* that *identifier* falls into.

        The result is None where the ranges leave a gap.
        """
        if not self.keys:
            return None
        place = fraction(f"{key}.{identifier}variant")
        for variant, end in zip(self.keys, self._ends, strict=True):
            if place < end:
                return str(variant)
        return None
