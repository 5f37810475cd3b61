"""posthog-python's Django middleware by name.

It is Hogline's interceptor, with that package's `POSTHOG_MW_*` settings.
"""

from typing import Any

from django.conf import settings

from hogline.interceptors.django import PostHogInterceptor
from hogline.interceptors.django.settings import configured_policy

__all__ = ["PosthogContextMiddleware"]

# The settings, the options that they are here, and older names of theirs.
_OPTIONS = {
    "client": ("POSTHOG_MW_CLIENT",),
    "capture_exceptions": ("POSTHOG_MW_CAPTURE_EXCEPTIONS",),
    "request_filter": ("POSTHOG_MW_REQUEST_FILTER",),
    "properties": ("POSTHOG_MW_EXTRA_PROPERTIES", "POSTHOG_MW_EXTRA_TAGS"),
    "identity_headers": ("POSTHOG_MW_CAPTURE_TRACING_HEADERS", "POSTHOG_MW_TRUST_TRACING_HEADERS"),
}
_UNKNOWN = ("POSTHOG_MW_PROPERTIES_MAP", "POSTHOG_MW_TAG_MAP")


class PosthogContextMiddleware(PostHogInterceptor):
    """`PostHogInterceptor`, as posthog-python's middleware is called.

    `settings.HOGLINE` wins over `POSTHOG_MW_*`.

    Raises ImproperlyConfigured: a setting that has no counterpart, or a value that cannot work.
    """

    def _make_policy(self) -> Any:
        options: dict[str, Any] = {"capture_exceptions": True}
        for name, others in _OPTIONS.items():
            for other in reversed(others):
                if getattr(settings, other, None) is not None:
                    options[name] = getattr(settings, other)
        return configured_policy(options, unknown=[name for name in _UNKNOWN if getattr(settings, name, None)])
