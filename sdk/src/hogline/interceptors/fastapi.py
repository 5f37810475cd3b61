"""FastAPI: Starlette's interceptor under FastAPI's name. Dependencies, routers, background tasks and WebSockets included.

app.add_middleware(PostHogInterceptor, client=posthog, capture_exceptions=True)
"""

from hogline.interceptors import starlette

__all__ = ["PostHogInterceptor"]


class PostHogInterceptor(starlette.PostHogInterceptor):
    """Middleware for FastAPI apps. Keyword options are `InterceptorSettings`'."""

    source = "fastapi"
