"""PostHog for Python backends: the line from a browser session to the server event it caused.

    from hogline import PostHog

    posthog = PostHog("<project token>", host="https://us.i.posthog.com")
    posthog.capture("checkout", properties={"total": 42})

Interceptors live in `hogline.interceptors.<framework>` and are imported only by who uses them.
"""

from hogline.client import Client, PostHog, Posthog
from hogline.context import (
    get_context_device_id,
    get_context_distinct_id,
    get_context_session_id,
    get_tags,
    identify_context,
    set_capture_exception_code_variables_context,
    set_code_variables_detect_secrets_context,
    set_code_variables_ignore_patterns_context,
    set_code_variables_mask_patterns_context,
    set_code_variables_mask_url_credentials_context,
    set_context_device_id,
    set_context_groups,
    set_context_person_properties,
    set_context_session,
    tag,
)
from hogline.default import (
    alias,
    capture,
    capture_exception,
    default_client,
    flush,
    group_identify,
    identify,
    new_context,
    scoped,
    set,  # noqa: A004 - posthog-python's name
    set_default_client,
    set_once,
    shutdown,
)
from hogline.delivery import Stats
from hogline.exceptions import DeliveryError, EventTooLarge, HoglineError, SettingsError
from hogline.settings import ExceptionCapture
from hogline.version import __version__

__all__ = [
    "Client",
    "DeliveryError",
    "EventTooLarge",
    "ExceptionCapture",
    "HoglineError",
    "PostHog",
    "Posthog",
    "SettingsError",
    "Stats",
    "__version__",
    "alias",
    "capture",
    "capture_exception",
    "default_client",
    "flush",
    "get_context_device_id",
    "get_context_distinct_id",
    "get_context_session_id",
    "get_tags",
    "group_identify",
    "identify",
    "identify_context",
    "new_context",
    "scoped",
    "set",
    "set_capture_exception_code_variables_context",
    "set_code_variables_detect_secrets_context",
    "set_code_variables_ignore_patterns_context",
    "set_code_variables_mask_patterns_context",
    "set_code_variables_mask_url_credentials_context",
    "set_context_device_id",
    "set_context_groups",
    "set_context_person_properties",
    "set_context_session",
    "set_default_client",
    "set_once",
    "shutdown",
    "tag",
]
