"""What every interceptor does with its options: check them, and find the client they mean."""

from typing import Any

from hogline.client import Client
from hogline.default import default_client
from hogline.exceptions import SettingsError
from hogline.policy import Policy
from hogline.settings import InterceptorSettings

__all__ = ["make_policy"]


def make_policy(source: str, options: dict[str, Any]) -> Policy:
    """Return the policy for an interceptor's keyword *options*; *source* is its framework's name.

    Raises TypeError: an option that does not exist.  Raises SettingsError: a value that cannot work.
    """
    known = InterceptorSettings.__slots__
    for name in options:
        if name not in known:
            raise TypeError(f"PostHogInterceptor has no option {name!r}; it knows {', '.join(sorted(known))}")
    settings = InterceptorSettings(**options)
    client = settings.client
    if client is not None and not isinstance(client, Client):
        raise SettingsError(
            f"client must be a hogline.PostHog, got {type(client).__module__}.{type(client).__qualname__}; "
            "did you mean `from hogline import PostHog`?"
        )
    return Policy(settings, default_client if client is None else lambda: client, f"{source}.interceptor")
