"""A client's options as its attributes, as posthog-python has them.

Examples are `client.host` and `client.debug = True`.
"""

import dataclasses
from typing import Any

from hogline.exceptions import SettingsError
from hogline.settings import ClientSettings
from hogline.settings.options import checked

__all__ = ["read_attribute", "set_attribute"]

_DECLARED = {declared.name: declared for declared in dataclasses.fields(ClientSettings)}
_ALIASES = {
    "api_key": "project_token",
    "raw_host": "host",
    "personal_api_key": "secret_key",
    "enable_exception_autocapture": "capture_exceptions",
    "in_app_modules": "in_app_include",
}
# Read at each use, so that a change takes effect at once.
_CHANGEABLE = frozenset(
    {
        "before_send",
        "capture_exception_code_variables",
        "capture_trace_context",
        "code_variables_detect_secrets",
        "code_variables_ignore_patterns",
        "code_variables_mask_patterns",
        "code_variables_mask_url_credentials",
        "debug",
        "disable_geoip",
        "environment",
        "feature_flags_request_max_retries",
        "feature_flags_request_timeout_seconds",
        "is_server",
        "log_captured_exceptions",
        "max_event_bytes",
        "on_error",
        "release",
        "release_id",
        "send",
        "super_properties",
    }
)
_ON_EVERY_EVENT = frozenset({"disable_geoip", "environment", "is_server", "release", "release_id", "super_properties"})


def read_attribute(client: Any, name: str) -> Any:
    """Return the option that *name* means.

    Raises AttributeError: there is no such option, or the client is still being made.
    """
    own = _ALIASES.get(name, name)
    settings = vars(client).get("settings")
    if settings is None or own not in _DECLARED:
        raise AttributeError(f"'PostHog' has no attribute {name!r}")
    return getattr(settings, own)


def set_attribute(client: Any, name: str, value: Any) -> bool:
    """Change the option that *name* means; False: *name* is no option.

    Raises SettingsError: the option cannot change while the client lives, or *value* cannot work.
    """
    own = _ALIASES.get(name, name)
    if own not in _DECLARED or (own in ("disabled", "project_token") and "settings" not in vars(client)):
        return False
    if own == "disabled":
        return False  # a property of the client
    settings = vars(client).get("settings")
    if settings is None:
        return False
    value = checked(_DECLARED[own], value)
    if value == getattr(settings, own):
        # A client holds the token itself, too, because it is read for each request.
        return own != "project_token"
    if own not in _CHANGEABLE:
        raise SettingsError(
            f"{name} of a client cannot change after the client was made; pass it to PostHog({own}=...), "
            "or set it before the first call of the module's functions"
        )
    object.__setattr__(settings, own, value)
    if own in _ON_EVERY_EVENT:
        client._events.use_changed_settings()  # noqa: SLF001 - this module is a part of the client
    client._events.choose_way()  # noqa: SLF001 - this module is a part of the client
    return True
