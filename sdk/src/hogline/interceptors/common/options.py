"""Check an interceptor's options, and find the client that they mean."""

from collections.abc import Mapping
from typing import Any

from hogline.default import default_client
from hogline.exchange.policy import Policy
from hogline.settings import InterceptorSettings

__all__ = ["make_policy"]

# `$exception_source` of the frameworks for which posthog-python has a name, too.
_SOURCES = {"asgi": "asgi.middleware", "django": "django.middleware", "flask": "flask.got_request_exception"}


def make_policy(source: str, options: Mapping[str, Any]) -> Policy:
    """Return the policy for an interceptor's keyword *options*; *source* is its framework's name.

    Raises TypeError: an option that does not exist.  Raises SettingsError: a value that cannot
    work.
    """
    settings = InterceptorSettings.load(options)
    client = settings.client
    return Policy(
        settings, default_client if client is None else lambda: client, _SOURCES.get(source, f"{source}.interceptor")
    )
