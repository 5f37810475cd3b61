"""The options as typed keyword arguments.

Type checkers know each name and type, and editors complete them.

The classes in `client.py`, `interceptor.py` and `task.py` declare the options; a test holds these
to them.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from typing import Any, Literal, Protocol, TypedDict

from hogline.settings.client import CaptureCompression, CaptureMode, ClientSettings, Event, WhenFull
from hogline.settings.interceptor import AddressHeader, ExceptionCapture, Network, UrlQuery
from hogline.transports import Transport

__all__ = ["ClientOptions", "InterceptorOptions", "TaskOptions"]


class ClientOptions(TypedDict, total=False):
    """The keyword arguments of `PostHog(...)`, beside the project token and the host.

    See `ClientSettings`.
    """

    disabled: bool
    send: bool
    debug: bool
    flush_at: int
    flush_interval: float
    max_queue_size: int
    max_queue_bytes: int
    when_full: WhenFull
    when_full_timeout: float
    spool_dir: str | os.PathLike[str] | None
    spool_max_bytes: int
    max_event_bytes: int
    max_batch_bytes: int
    gzip: bool
    capture_mode: CaptureMode | Literal["legacy", "analytics_v1"] | Enum
    capture_compression: CaptureCompression | Enum | None
    timeout: float
    max_retries: int
    shutdown_timeout: float
    disable_geoip: bool
    is_server: bool
    historical_migration: bool
    transport: Transport | None
    super_properties: Mapping[str, Any] | None
    before_send: Callable[[Event], Event | None] | None
    on_drop: Callable[[str, Event | None], None] | None
    on_error: Callable[[Exception, list[Event]], None] | None
    redact_messages: bool
    project_root: str | os.PathLike[str] | None
    in_app_include: Sequence[str] | None
    in_app_exclude: Sequence[str]
    capture_exceptions: bool
    log_captured_exceptions: bool
    enable_exception_autocapture_rate_limiting: bool
    exception_autocapture_bucket_size: int
    exception_autocapture_refill_rate: int
    exception_autocapture_refill_interval_seconds: float
    exception_autocapture_max_buckets: int
    capture_exception_code_variables: bool
    code_variables_mask_patterns: Sequence[str] | None
    code_variables_ignore_patterns: Sequence[str] | None
    code_variables_mask_url_credentials: bool | None
    code_variables_detect_secrets: bool | None
    code_variables_max_bytes: int
    code_variables_max_seconds: float
    capture_trace_context: bool
    release: str | None
    environment: str | None
    detect_deployment: bool
    release_id: str | None
    secret_key: str | None
    enable_local_evaluation: bool
    poll_interval: float
    flag_cold_start_seconds: float
    flag_definitions_timeout_seconds: float
    flag_cache_dir: str | os.PathLike[str] | None
    flag_definition_cache_provider: Any
    flag_fallback_cache_url: str | None
    feature_flags_request_timeout_seconds: float
    feature_flags_request_max_retries: int
    flag_called_max_entries: int
    flag_overrides: Mapping[str, Any] | str | None
    flag_overrides_file: str | os.PathLike[str] | None
    # posthog-python's names for the token and for options above.
    project_api_key: str | None
    api_key: str | None
    personal_api_key: str | None
    enable_exception_autocapture: bool
    in_app_modules: Sequence[str] | None


class HasSettings(Protocol):
    """A `hogline.PostHog`, as far as this package knows it."""

    settings: ClientSettings


class InterceptorOptions(TypedDict, total=False):
    """The keyword arguments of each `PostHogInterceptor(...)`; see `InterceptorSettings`."""

    client: "HasSettings | None"
    capture_exceptions: bool | ExceptionCapture
    distinct_id: Callable[[Any], Any] | None
    identity_headers: bool
    read_cookie: bool
    trusted_proxies: int | str | Sequence[str | Network] | None
    address_header: AddressHeader
    cookie_idle_seconds: int
    secret_parameters: Sequence[str]
    url_query: UrlQuery
    request_filter: Callable[[Any], Any] | None
    properties: Callable[[Any], Mapping[str, Any] | None] | None


class TaskOptions(TypedDict, total=False):
    """The keyword arguments of each queue's `PostHogPropagation(...)`; see `TaskSettings`."""

    client: "HasSettings | None"
    capture_exceptions: bool
    every_attempt: bool
    ignore: Sequence[type[BaseException]] | type[BaseException]
    tags: Sequence[str]
    max_carrier_bytes: int
