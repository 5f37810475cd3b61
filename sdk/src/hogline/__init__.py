"""PostHog for Python backends: the line from a browser session to the server event it caused.

    from hogline import PostHog

    posthog = PostHog("<project token>", host="https://us.i.posthog.com")
    posthog.capture("checkout", properties={"total": 42})

Interceptors are in `hogline.interceptors.<framework>`; a program imports only those that it uses.
"""

import sys
from typing import TYPE_CHECKING, Any

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
from hogline.header_context import context_from_headers
from hogline.module_settings import ConfigurableModule, read_option
from hogline.settings import ExceptionCapture
from hogline.transports import Transport, UploadRequest, UploadResponse
from hogline.version import VERSION as VERSION
from hogline.version import __version__

if TYPE_CHECKING:
    from hogline.args import ID_TYPES as ID_TYPES
    from hogline.args import ExceptionArg as ExceptionArg
    from hogline.args import OptionalCaptureArgs as OptionalCaptureArgs
    from hogline.args import OptionalSetArgs as OptionalSetArgs
    from hogline.async_client import AsyncClient as AsyncClient
    from hogline.async_client import AsyncPosthog as AsyncPosthog
    from hogline.capture_compression import CaptureCompression as CaptureCompression
    from hogline.capture_mode import CaptureMode as CaptureMode
    from hogline.feature_flags import InconclusiveMatchError as InconclusiveMatchError
    from hogline.feature_flags import RequiresServerEvaluation as RequiresServerEvaluation
    from hogline.flag_definition_cache import FlagDefinitionCacheData as FlagDefinitionCacheData
    from hogline.flag_definition_cache import FlagDefinitionCacheProvider as FlagDefinitionCacheProvider
    from hogline.flags.snapshot import FeatureFlagEvaluations as FeatureFlagEvaluations
    from hogline.types import BeforeSendCallback as BeforeSendCallback
    from hogline.types import FeatureFlag as FeatureFlag
    from hogline.types import FeatureFlagEvaluationRuntime as FeatureFlagEvaluationRuntime
    from hogline.types import FeatureFlagResult as FeatureFlagResult
    from hogline.types import FlagsAndPayloads as FlagsAndPayloads
    from hogline.types import FlagValue as FlagValue
    from hogline.types import UnresolvedFlagReason as UnresolvedFlagReason

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
    "context_from_headers",
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

# posthog-python's further names are imported at their first use: most programs never need them.
_ELSEWHERE = {
    "AsyncClient": "async_client",
    "AsyncPosthog": "async_client",
    "BeforeSendCallback": "types",
    "CaptureCompression": "capture_compression",
    "CaptureMode": "capture_mode",
    "DEFAULT_CODE_VARIABLES_DETECT_SECRETS": "exception_utils",
    "DEFAULT_CODE_VARIABLES_IGNORE_PATTERNS": "exception_utils",
    "DEFAULT_CODE_VARIABLES_MASK_PATTERNS": "exception_utils",
    "DEFAULT_CODE_VARIABLES_MASK_URL_CREDENTIALS": "exception_utils",
    "ExceptionArg": "args",
    "FeatureFlag": "types",
    "FeatureFlagEvaluationRuntime": "types",
    "FeatureFlagEvaluations": "feature_flag_evaluations",
    "FeatureFlagResult": "types",
    "FlagDefinitionCacheData": "flag_definition_cache",
    "FlagDefinitionCacheProvider": "flag_definition_cache",
    "FlagValue": "types",
    "FlagsAndPayloads": "types",
    "ID_TYPES": "args",
    "InconclusiveMatchError": "feature_flags",
    "OptionalCaptureArgs": "args",
    "OptionalSetArgs": "args",
    "RequiresServerEvaluation": "feature_flags",
    "UnresolvedFlagReason": "types",
}

if not TYPE_CHECKING:  # a type checker would take every name for one that exists

    def __getattr__(name: str) -> Any:
        """Import posthog-python's further names, and read the default client's options.

        PEP 562 describes such a function.
        """
        from importlib import import_module

        if name in _ELSEWHERE:
            return getattr(import_module(f"hogline.{_ELSEWHERE[name]}"), name)
        return read_option(name)


sys.modules[__name__].__class__ = ConfigurableModule
