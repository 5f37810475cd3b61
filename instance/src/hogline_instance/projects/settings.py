"""The settings of a project, by their names in PostHog's API: default and check of each.

Source: docs/internals/management-api.md#users-organisations-and-projects.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from zoneinfo import available_timezones

from hogline_instance.web.errors import invalid_field

__all__ = ["SETTINGS", "Setting", "checked_settings", "setting_values"]

_MAX_ITEMS = 200
_MAX_CHARS = 4_000
_FILTER_TYPES = frozenset({"event", "person", "group", "cohort", "session", "element", "feature", "hogql"})


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting: its default, and a check that returns the value or raises ApiError."""

    default: Any
    check: Callable[[str, Any], Any]


def _flag(name: str, value: Any) -> Any:
    if not isinstance(value, bool):
        raise invalid_field(name, "invalid", "Must be a valid boolean.")
    return value


def _flag_or_null(name: str, value: Any) -> Any:
    return None if value is None else _flag(name, value)


def _number(smallest: int, largest: int) -> Callable[[str, Any], Any]:
    def check(name: str, value: Any) -> Any:
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int):
            raise invalid_field(name, "invalid", "A valid integer is required.")
        if not smallest <= value <= largest:
            raise invalid_field(name, "invalid_choice", f'"{value}" is not a valid choice: {smallest} to {largest}.')
        return value

    return check


def _texts(name: str, value: Any) -> Any:
    if not isinstance(value, list) or len(value) > _MAX_ITEMS:
        raise invalid_field(name, "not_a_list", f"Expected a list of at most {_MAX_ITEMS} items.")
    if not all(isinstance(each, str) and len(each) <= _MAX_CHARS for each in value):
        raise invalid_field(name, "invalid", f"Each item must be a text of at most {_MAX_CHARS} characters.")
    return [each.strip() for each in value if each.strip()]


def _objects(name: str, value: Any) -> Any:
    if not isinstance(value, list) or len(value) > _MAX_ITEMS or not all(isinstance(each, dict) for each in value):
        raise invalid_field(name, "not_a_list", f"Expected a list of at most {_MAX_ITEMS} objects.")
    return value


def _filters(name: str, value: Any) -> Any:
    for each in _objects(name, value):
        if not isinstance(each.get("key"), str) or not each["key"]:
            raise invalid_field(name, "invalid", "Each filter needs a key: the name of a property.")
        if each.get("type", "event") not in _FILTER_TYPES:
            raise invalid_field(
                name, "invalid_choice", f'"{str(each["type"])[:50]}" is not a type of filter; types: {", ".join(sorted(_FILTER_TYPES))}.'
            )  # fmt: skip
    return value


def _json_or_null(name: str, value: Any) -> Any:
    if value is not None and not isinstance(value, dict | list):
        raise invalid_field(name, "invalid", "Must be an object, a list or null.")
    return value


def _share(name: str, value: Any) -> Any:
    if value is None:
        return None
    try:
        share = float(value)
    except (TypeError, ValueError):
        share = -1.0
    if isinstance(value, bool) or not 0 <= share <= 1:
        raise invalid_field(name, "invalid", "A number from 0 to 1 is required.")
    return f"{share:.2f}"


def _resources(name: str, value: Any) -> Any:
    if unknown := set(_texts(name, value)) - {"feature_flags", "recordings"}:
        raise invalid_field(
            name, "invalid_choice", f'"{min(unknown)[:50]}" is not a valid choice. Use feature_flags or recordings.'
        )
    return list(dict.fromkeys(value))


def _timezone(name: str, value: Any) -> Any:
    if value not in available_timezones():
        raise invalid_field(
            name,
            "invalid_choice",
            f'"{str(value)[:60]}" is not a valid choice: use an IANA name such as Europe/Berlin.',
        )
    return value


_OFF = Setting(False, _flag)
SETTINGS: Mapping[str, Setting] = {
    "timezone": Setting("UTC", _timezone),
    "week_start_day": Setting(0, _number(0, 1)),
    "anonymize_ips": _OFF,
    "app_urls": Setting([], _texts),
    "recording_domains": Setting([], _texts),
    "test_account_filters": Setting([], _filters),
    "test_account_filters_default_checked": _OFF,
    "path_cleaning_filters": Setting([], _objects),
    "data_attributes": Setting(["data-attr"], _texts),
    "person_display_name_properties": Setting([], _texts),
    "autocapture_opt_out": _OFF,
    "autocapture_exceptions_opt_in": Setting(True, _flag),
    "autocapture_exceptions_errors_to_ignore": Setting([], _texts),
    "autocapture_web_vitals_opt_in": _OFF,
    "capture_performance_opt_in": _OFF,
    "capture_console_log_opt_in": _OFF,
    "capture_dead_clicks": Setting(None, _flag_or_null),
    "heatmaps_opt_in": Setting(None, _flag_or_null),
    "surveys_opt_in": Setting(None, _flag_or_null),
    "session_recording_opt_in": _OFF,
    "session_recording_sample_rate": Setting(None, _share),
    "session_recording_minimum_duration_milliseconds": Setting(None, _number(0, 15_000)),
    "session_recording_linked_flag": Setting(None, _json_or_null),
    "session_recording_masking_config": Setting(None, _json_or_null),
    "session_recording_network_payload_capture_config": Setting(None, _json_or_null),
    "primary_dashboard": Setting(None, _number(1, 2**31 - 1)),
    "flags_persistence_default": _OFF,
    "cookieless_server_hash_mode": Setting(0, _number(0, 2)),
    "inject_web_apps": _OFF,
    "person_processing_opt_out": _OFF,
    "default_evaluation_contexts_enabled": _OFF,
    "require_evaluation_contexts": _OFF,
    "quota_limited": Setting([], _resources),
}
"""Every setting, in the order of the record."""


def checked_settings(body: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings that *body* names, each checked; other fields are ignored.

    Raises ApiError: a value is invalid; `attr` names its field.
    """
    return {name: setting.check(name, body[name]) for name, setting in SETTINGS.items() if name in body}


def setting_values(stored: Mapping[str, Any]) -> dict[str, Any]:
    """Return every setting with its value: the *stored* one, or the default."""
    return {name: stored.get(name, setting.default) for name, setting in SETTINGS.items()}
