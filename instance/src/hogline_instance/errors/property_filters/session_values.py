"""The values of a session that issues are filtered by, as expressions over its events.

Source: docs/internals/query-semantics.md#property-filters.
"""

from hogline_instance.errors.property_filters.tree import SESSION_VALUES

__all__ = ["session_value"]

_TIME = "'%Y-%m-%dT%H:%i:%SZ', 'UTC'"
_URL = "toString(`mat_$current_url`)"
_URLS = {"entry": f"argMinIf({_URL}, timestamp, {_URL} != '')", "end": f"argMaxIf({_URL}, timestamp, {_URL} != '')"}
_PARTS = {"current_url": "{0}", "pathname": "path({0})", "hostname": "domain({0})"}
_COUNTED = {"$pageview_count": "$pageview", "$screen_count": "$screen", "$autocapture_count": "$autocapture"}


def session_value(key: str) -> str:
    """Return the expression of *key*, one of SESSION_VALUES, for a query that groups by session."""
    return _EXPRESSIONS[key]


def _first(name: str) -> str:
    value = f"JSONExtractString(properties, '{name}')"
    return f"argMinIf({value}, timestamp, {value} != '')"


def _expression(key: str) -> str:
    if key in _COUNTED:  # an event may have been inserted twice
        return f"uniqExactIf(uuid, event = '{_COUNTED[key]}')"
    side, _, rest = key.removeprefix("$").partition("_")
    if side in _URLS and rest in _PARTS:
        return _PARTS[rest].format(_URLS[side])
    return _first(f"${rest}" if rest == "referring_domain" else rest)


_EXPRESSIONS = {
    **{key: _expression(key) for key in SESSION_VALUES},
    "$session_duration": "dateDiff('second', min(timestamp), max(timestamp))",
    "$start_timestamp": f"formatDateTime(min(timestamp), {_TIME})",
    "$end_timestamp": f"formatDateTime(max(timestamp), {_TIME})",
}
