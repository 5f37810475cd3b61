"""FastAPI: Starlette's interceptor; covers dependencies, routers, background tasks and WebSockets.

app.add_middleware(PostHogInterceptor, client=posthog, capture_exceptions=True)
"""

from hogline.interceptors import starlette

__all__ = ["PostHogInterceptor"]


class PostHogInterceptor(starlette.PostHogInterceptor):
    """Middleware for FastAPI apps. Keyword options are `InterceptorSettings`'."""

    source = "fastapi"
