"""posthog-python's Flask integration by name.

It is Hogline's interceptor, with that package's arguments.
"""

from collections.abc import Callable, Mapping
from typing import Any

import flask

from hogline.client import Client
from hogline.integrations.official_options import interceptor_options
from hogline.interceptors.flask import PostHogInterceptor

__all__ = ["PosthogFlaskIntegration"]


class PosthogFlaskIntegration(PostHogInterceptor):
    """`PostHogInterceptor`, as posthog-python's integration is called.

    *capture_exceptions* None: as the client says.
    """

    def __init__(
        self,
        app: flask.Flask | None = None,
        *,
        client: Client | None = None,
        capture_exceptions: bool | None = None,
        request_filter: Callable[[Any], Any] | None = None,
        extra_properties: Callable[[Any], Mapping[str, Any] | None] | None = None,
        trust_tracing_headers: bool | None = None,
        capture_tracing_headers: bool | None = None,
    ) -> None:
        options = interceptor_options(
            client,
            capture_exceptions,
            request_filter,
            extra_properties,
            trust_tracing_headers,
            capture_tracing_headers,
        )
        super().__init__(app, **options)
