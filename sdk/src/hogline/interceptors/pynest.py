"""PyNest: Starlette's interceptor, for the FastAPI server that PyNest builds.

app = PyNestFactory.create(AppModule)
app.use(PostHogInterceptor, client=posthog, capture_exceptions=True)

PyNest has no interceptors of its own; `app.use` adds middleware. A route's `@UseFilters` answers
inside the route, where no middleware sees the exception; with global filters the interceptor sees
it.  Source: docs/internals/frameworks.md#starlette.
"""

from hogline.interceptors import starlette

__all__ = ["PostHogInterceptor"]


class PostHogInterceptor(starlette.PostHogInterceptor):
    """Middleware for PyNest apps. Keyword options are `InterceptorSettings`'."""

    source = "pynest"
