"""Django: middleware, one class for WSGI and ASGI, for synchronous and asynchronous stacks.

    MIDDLEWARE = ["hogline.interceptors.django.PostHogInterceptor", ...]      # first, so outermost
    HOGLINE = {"capture_exceptions": True}

Exceptions do not pass through Django's middleware, so `errors` observes them where they are
answered. A streamed body is made after the middleware returned, so `stream` restores the context
for each step.
Source: docs/internals/frameworks.md#django and docs/internals/frameworks.md#drf-and-django-ninja.
"""

from hogline.interceptors.django.middleware import PostHogInterceptor

__all__ = ["PostHogInterceptor"]
