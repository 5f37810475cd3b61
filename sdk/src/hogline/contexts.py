"""posthog-python's context functions under its module's name."""

from typing import Any

from hogline.context import (
    Context,
    current,
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
    set_context_session,
    tag,
)
from hogline.default import new_context, scoped

__all__ = [
    "ContextScope",
    "get_capture_exception_code_variables_context",
    "get_code_variables_detect_secrets_context",
    "get_code_variables_ignore_patterns_context",
    "get_code_variables_mask_patterns_context",
    "get_code_variables_mask_url_credentials_context",
    "get_context_device_id",
    "get_context_distinct_id",
    "get_context_session_id",
    "get_tags",
    "identify_context",
    "new_context",
    "scoped",
    "set_capture_exception_code_variables_context",
    "set_code_variables_detect_secrets_context",
    "set_code_variables_ignore_patterns_context",
    "set_code_variables_mask_patterns_context",
    "set_code_variables_mask_url_credentials_context",
    "set_context_device_id",
    "set_context_session",
    "tag",
]

ContextScope = Context


def _option(name: str) -> Any:
    context = current.get()
    return context.options.get(name) if context is not None and context.options else None


def get_capture_exception_code_variables_context() -> bool | None:
    """Return what this context has set for `capture_exception_code_variables`."""
    value: bool | None = _option("capture_exception_code_variables")
    return value


def get_code_variables_mask_patterns_context() -> list[str] | None:
    """Return what this context has set for `code_variables_mask_patterns`."""
    return _listed(_option("code_variables_mask_patterns"))


def get_code_variables_ignore_patterns_context() -> list[str] | None:
    """Return what this context has set for `code_variables_ignore_patterns`."""
    return _listed(_option("code_variables_ignore_patterns"))


def get_code_variables_mask_url_credentials_context() -> bool | None:
    """Return what this context has set for `code_variables_mask_url_credentials`."""
    value: bool | None = _option("code_variables_mask_url_credentials")
    return value


def get_code_variables_detect_secrets_context() -> bool | None:
    """Return what this context has set for `code_variables_detect_secrets`."""
    value: bool | None = _option("code_variables_detect_secrets")
    return value


def _listed(value: Any) -> list[str] | None:
    return None if value is None else list(value)
