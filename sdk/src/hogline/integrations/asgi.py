"""posthog-python's ASGI middleware by name.

It is Hogline's interceptor, with that package's arguments.
"""

from collections.abc import Callable, Mapping
from typing import Any

from hogline.client import Client
from hogline.integrations.official_options import interceptor_options
from hogline.interceptors.asgi import PostHogInterceptor

__all__ = ["PosthogASGIMiddleware"]


class PosthogASGIMiddleware(PostHogInterceptor):
    """`PostHogInterceptor`, as posthog-python's middleware is called.

    *capture_exceptions* None: as the client says.
    """

    def __init__(
        self,
        app: Any,
        client: Client | None = None,
        capture_exceptions: bool | None = None,
        request_filter: Callable[[Any], Any] | None = None,
        extra_properties: Callable[[Any], Mapping[str, Any] | None] | None = None,
        trust_tracing_headers: bool | None = None,
        *,
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
