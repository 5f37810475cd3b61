"""The kinds of value that single options of a client have."""

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from hogline.settings.options import Choice, Kind, Text, UnfitError
from hogline.transports import Transport

__all__ = [
    "CacheProvider",
    "Compression",
    "FallbackCacheUrl",
    "FlagOverrides",
    "Host",
    "Patterns",
    "SecretKey",
    "TransportOrNone",
]

_DEFAULT_HOST = "https://us.i.posthog.com"
# The address of PostHog's app is not the address of its ingestion.
# Source: docs/internals/capture-protocol.md#hosts-and-urls.
_INGESTION_HOSTS = {
    "https://app.posthog.com": "https://us.i.posthog.com",
    "https://us.posthog.com": "https://us.i.posthog.com",
    "https://eu.posthog.com": "https://eu.i.posthog.com",
}
# The methods of `hogline.flags.FlagDefinitionCacheProvider`.
_PROVIDER_METHODS = (
    "should_fetch_flag_definitions",
    "get_flag_definitions",
    "on_flag_definitions_received",
    "shutdown",
)


class Host(Kind):
    """The base URL of a PostHog, without a trailing slash.

    The app's address becomes the ingestion's.
    """

    def check(self, value: Any) -> Any:
        """Return the URL; blank means PostHog Cloud in the US."""
        if not isinstance(value, str):
            raise UnfitError("be a string")
        text = value.strip().rstrip("/")
        if not text:
            return _DEFAULT_HOST
        try:
            parts = urlsplit(text)
            port = parts.port
        except ValueError as error:
            raise UnfitError("be a URL such as https://posthog.example.com:8000", hint=f": {error}") from None
        if port == 0:
            raise UnfitError("have a port from 1 to 65535, or none")
        if parts.scheme not in ("http", "https") or not parts.hostname:
            hint = "" if "://" in text else f"; did you mean 'https://{text}'?"
            raise UnfitError("start with http:// or https://", hint=hint)
        return _INGESTION_HOSTS.get(text, text)


class SecretKey(Text):
    """A key that may read flag definitions."""

    def check(self, value: Any) -> Any:
        """Return the key."""
        key = Text.check(self, value)
        if key.startswith("phc_"):
            raise UnfitError(
                "be a secret key (`phs_...`) or a personal key (`phx_...`) from the project's settings",
                shown="a project token (`phc_...`)",
                hint=", which cannot read flag definitions",
            )
        return key


class Compression(Choice):
    """How bodies are compressed; zstd only where it can be had."""

    def check(self, value: Any) -> Any:
        """Return the word."""
        chosen = Choice.check(self, value)
        if chosen == "zstd":
            from hogline.zstd import zstd_compressor

            if zstd_compressor() is None:
                raise UnfitError("be another word", hint=", which needs Python 3.14, or: pip install backports.zstd")
        return chosen


class Patterns(Kind):
    """Regular expressions, or None."""

    def check(self, value: Any) -> Any:
        """Return a tuple; a text holds several, between commas."""
        if value is None:
            return None
        given = [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value
        try:
            return tuple(re.compile(pattern).pattern for pattern in given)
        except (TypeError, re.error) as error:
            raise UnfitError("be a list of regular expressions", hint=f": {error}") from error


class FallbackCacheUrl(Text):
    """`memory://...` or `redis://...`, with lifetime and size."""

    def check(self, value: Any) -> Any:
        """Return the URL."""
        url = Text.check(self, value)
        if not url:
            return url
        parts = urlsplit(url)
        numbers = [part.partition("=")[2] for part in parts.query.split("&") if part]
        if parts.scheme not in ("memory", "redis", "rediss") or not all(number.isdecimal() for number in numbers):
            raise UnfitError(
                "be 'memory://?ttl=3600&size=10000', or redis://host:6379/0?ttl=3600",
                # The message leaves the value itself out, because it may hold a password.
                shown=f"one that begins with {parts.scheme + '://'!r}",
            )
        if parts.scheme != "memory":
            from importlib.util import find_spec

            if find_spec("redis") is None:
                raise UnfitError("be 'memory://...'", shown="Redis", hint=", which needs a package: pip install redis")
        return url


class CacheProvider(Kind):
    """An object with the methods of `FlagDefinitionCacheProvider`, or None."""

    def check(self, value: Any) -> Any:
        """Return the provider."""
        missing = [name for name in _PROVIDER_METHODS if value is not None and not callable(getattr(value, name, None))]
        if missing:
            raise UnfitError(
                f"have the methods {', '.join(_PROVIDER_METHODS)}", hint=f", which lacks {', '.join(missing)}"
            )
        return value


class FlagOverrides(Kind):
    """Forced answers: a mapping, or a text that `hogline.flags` reads when the client is made."""

    def check(self, value: Any) -> Any:
        """Return the value unchanged."""
        if value is not None and not isinstance(value, Mapping | str):
            raise UnfitError("be a mapping of flags to their answers, or a text of it")
        return value


class TransportOrNone(Kind):
    """An object with the methods of `hogline.Transport`, or None."""

    def check(self, value: Any) -> Any:
        """Return the transport."""
        if value is not None and (isinstance(value, type) or not isinstance(value, Transport)):
            raise UnfitError("be an object with the methods send(request) and close()")
        return value
