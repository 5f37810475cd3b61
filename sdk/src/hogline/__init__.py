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
    capture_ai,
    capture_exception,
    default_client,
    flush,
    group_identify,
    identify,
    join,
    new_context,
    scoped,
    set,  # noqa: A004 - posthog-python's name
    set_default_client,
    set_once,
    shutdown,
)
from hogline.default_flags import (
    aevaluate_flags,
    evaluate_flags,
    feature_enabled,
    feature_flag_definitions,
    get_all_flags,
    get_all_flags_and_payloads,
    get_feature_flag,
    get_feature_flag_evaluation_runtime,
    get_feature_flag_keys_by_evaluation_runtime,
    get_feature_flag_payload,
    get_feature_flag_result,
    get_remote_config_payload,
    load_feature_flags,
)
from hogline.delivery import Stats
from hogline.exceptions import DeliveryError, EventTooLarge, HoglineError, SettingsError
from hogline.settings import ExceptionCapture
from hogline.transports import Transport, UploadRequest, UploadResponse
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
    "Transport",
    "UploadRequest",
    "UploadResponse",
    "__version__",
    "aevaluate_flags",
    "alias",
    "capture",
    "capture_ai",
    "capture_exception",
    "default_client",
    "evaluate_flags",
    "feature_enabled",
    "feature_flag_definitions",
    "flush",
    "get_all_flags",
    "get_all_flags_and_payloads",
    "get_context_device_id",
    "get_context_distinct_id",
    "get_context_session_id",
    "get_feature_flag",
    "get_feature_flag_evaluation_runtime",
    "get_feature_flag_keys_by_evaluation_runtime",
    "get_feature_flag_payload",
    "get_feature_flag_result",
    "get_remote_config_payload",
    "get_tags",
    "group_identify",
    "identify",
    "identify_context",
    "join",
    "load_feature_flags",
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
