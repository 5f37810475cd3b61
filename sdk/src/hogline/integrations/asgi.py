"""posthog-python's ASGI middleware by name.

It is Hogline's interceptor, with that package's arguments.
"""

from collections.abc import Callable, Mapping
from typing import Any

from hogline.client import Client
from hogline.default import captures_exceptions
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
        reads_headers = trust_tracing_headers if capture_tracing_headers is None else capture_tracing_headers
        super().__init__(
            app,
            client=client,
            capture_exceptions=captures_exceptions(client) if capture_exceptions is None else capture_exceptions,
            request_filter=request_filter,
            properties=extra_properties,
            identity_headers=reads_headers is not False,
        )
