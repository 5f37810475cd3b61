"""Paths that SDKs call besides capture.

Features serve them; ingest only dispatches by path.
"""

import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from hogline_instance.ingest.http import Request, Response

__all__ = ["Endpoint", "find_endpoint", "is_owned"]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A path that SDKs call, and the function of a feature that serves it.

    *pattern* matches the whole path without its trailing slash. A path below one of *prefixes* that
    no pattern matches gets a 404 as text with CORS headers, instead of a page. *answer* runs on the
    event loop, so it must hand SQL and other waits to a thread.
    """

    pattern: re.Pattern[str]
    answer: Callable[[Request, re.Match[str]], Awaitable[Response]]
    prefixes: tuple[str, ...] = ()


def find_endpoint(endpoints: Sequence[Endpoint], path: str) -> tuple[Endpoint, re.Match[str]] | None:
    """Return the endpoint of *path* (without a trailing slash) and the match, or None."""
    for endpoint in endpoints:
        if match := endpoint.pattern.fullmatch(path):
            return endpoint, match
    return None


def is_owned(endpoints: Sequence[Endpoint], path: str) -> bool:
    """Return whether *path* belongs to an endpoint or lies below one of their prefixes."""
    return any(path.startswith(endpoint.prefixes) or endpoint.pattern.fullmatch(path) for endpoint in endpoints)
