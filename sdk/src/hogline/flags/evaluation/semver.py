"""Versions: `1.2.3` as numbers, and the ranges that tilde, caret and wildcard mean.

Source: docs/internals/flags-protocol.md#operators.
"""

from typing import Any, TypeAlias

__all__ = ["Version", "bounds", "parsed"]

Version: TypeAlias = tuple[int, int, int]


def parsed(value: Any) -> Version | None:
    """Return *value* as major, minor and patch, or None if it is no version.

    Missing parts are 0.
    """
    text = str(value).strip().lstrip("vV").partition("-")[0].partition("+")[0]
    parts = text.split(".")
    if not parts[0]:
        return None
    return _numbers([part or "0" for part in [*parts, "", ""][:3]])


def _numbers(parts: list[str]) -> Version | None:
    for part in parts:
        if not (part.isascii() and part.isdecimal()) or (len(part) > 1 and part[0] == "0"):
            return None
    major, minor, patch = map(int, parts)
    return major, minor, patch


def bounds(operator: str, value: Any) -> tuple[Version, Version] | None:
    """Return the first version of a range and the first one after it.

    The result is None if *value* names no range.
    """
    if operator == "semver_wildcard":
        return _wildcard(str(value))
    first = parsed(value)
    if first is None:
        return None
    major, minor, patch = first
    if operator == "semver_tilde" or (operator == "semver_caret" and major == 0 and minor > 0):
        return first, (major, minor + 1, 0)
    return first, ((major + 1, 0, 0) if major > 0 else (0, 0, patch + 1))


def _wildcard(text: str) -> tuple[Version, Version] | None:
    parts = [part for part in text.strip().lstrip("vV").replace("*", "").split(".") if part]
    if not parts:
        return None
    given = len(parts[:3])
    first = _numbers([*parts, "0", "0"][:3])
    if first is None:
        return None
    after = [number if place < given else 0 for place, number in enumerate(first)]
    after[given - 1] += 1
    return first, (after[0], after[1], after[2])
