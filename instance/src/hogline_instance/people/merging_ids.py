"""Which ids an event wants joined, and which ids must never be joined.

Pure. Source: docs/internals/instance-protocol.md#merging-persons.
"""

from collections.abc import Mapping

__all__ = ["ANONYMOUS_ID", "IDENTITY_EVENTS", "is_illegal", "other_id"]

ANONYMOUS_ID = "$anon_distinct_id"
IDENTITY_EVENTS = {"$identify": ANONYMOUS_ID, "$create_alias": "alias", "$merge_dangerously": "alias"}
"""The events that join two ids, and the property that names the other id."""
_MAX_CHARACTERS = 400
_ANY_CASE = frozenset(
    {
        "anonymous", "guest", "distinctid", "distinct_id", "id", "not_authenticated", "email", "undefined", "true", "false",
    }
)  # fmt: skip
_EXACT = frozenset({"[object Object]", "NaN", "None", "none", "null", "0", "undefined"})


def other_id(event: str, properties: Mapping[str, object]) -> str:
    """Return the id that *event* joins with its own distinct id, or ''."""
    name = IDENTITY_EVENTS.get(event)
    value = properties.get(name) if name is not None else None
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        return ""
    return str(value)


def is_illegal(distinct_id: str) -> bool:
    """Return whether *distinct_id* is a placeholder that many visitors share, or cannot be stored."""
    text = distinct_id.strip()
    if not text or "\0" in distinct_id or len(distinct_id) > _MAX_CHARACTERS:
        return True
    if len(text) >= 2 and text[0] == text[-1] and text[0] in "\"'":
        text = text[1:-1].strip()
        if not text:
            return True
    return text.lower() in _ANY_CASE or text in _EXACT
