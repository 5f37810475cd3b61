"""The name under which a person is shown. Pure.

Source: docs/internals/management-api.md#persons.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["DISPLAY_NAME_PROPERTIES", "display_name", "name_properties", "ordered_ids"]

DISPLAY_NAME_PROPERTIES = ("email", "Email", "$email", "name", "Name", "username", "Username", "UserName")
_MAX_CHARACTERS = 200
_LIKE_A_UUID = re.compile(r"[0-9a-fA-F]{8,}(-[0-9a-fA-F]+){3,}")


def name_properties(settings: Mapping[str, object]) -> tuple[str, ...]:
    """Return the properties that a project names people by, in order, or the default ones."""
    chosen = settings.get("person_display_name_properties")
    if isinstance(chosen, (list, tuple)):
        return tuple(str(each) for each in chosen) or DISPLAY_NAME_PROPERTIES
    return DISPLAY_NAME_PROPERTIES


def display_name(
    properties: Mapping[str, Any], distinct_ids: Sequence[str], wanted: Sequence[str] = DISPLAY_NAME_PROPERTIES
) -> str:
    """Return the first of the *wanted* properties that has a value, else a readable distinct id."""
    for name in wanted:
        value = properties.get(name)
        if value is None or isinstance(value, (bool, dict, list)):
            continue
        text = " ".join(str(value).split())
        if text:
            return text[:_MAX_CHARACTERS]
    ids = ordered_ids(distinct_ids)
    return ids[0][:_MAX_CHARACTERS] if ids else ""


def ordered_ids(distinct_ids: Sequence[str]) -> list[str]:
    """Return *distinct_ids* with those first that do not look like a uuid made by an SDK."""
    return sorted(distinct_ids, key=lambda each: _LIKE_A_UUID.fullmatch(each) is not None)
