"""Django: middleware, the same class under WSGI and ASGI, whatever stands above and below it.

    MIDDLEWARE = ["hogline.interceptors.django.PostHogInterceptor", ...]      # first, so outermost
    HOGLINE = {"capture_exceptions": True}

No exception passes a middleware in Django, so the ones to see are told by `errors`. A streamed body is made after the
middleware returned: `stream` takes the context up again for each of its steps.
Source: docs/internals/frameworks.md#django and docs/internals/frameworks.md#drf-and-django-ninja.
"""

from hogline.interceptors.django.middleware import PostHogInterceptor

__all__ = ["PostHogInterceptor"]
