"""Paths that SDKs call besides capture.

Features answer them; ingest only knows which path is whose.
"""

import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from hogline_instance.ingest.http import Request, Response

__all__ = ["Endpoint", "find_endpoint", "is_owned"]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A path that SDKs call, and the function of a feature that answers it.

    *pattern* matches the whole path without its last slash. *prefixes* are paths whose other
    children belong to SDKs as well: one that no pattern matches gets 404 as text with CORS headers,
    instead of a page. *answer* runs on the event loop, so it must hand SQL and other waits to a
    thread.
    """

    pattern: re.Pattern[str]
    answer: Callable[[Request, re.Match[str]], Awaitable[Response]]
    prefixes: tuple[str, ...] = ()


def find_endpoint(endpoints: Sequence[Endpoint], path: str) -> tuple[Endpoint, re.Match[str]] | None:
    """Return the endpoint of *path* (without its last slash) and what its pattern matched, or None."""
    for endpoint in endpoints:
        if match := endpoint.pattern.fullmatch(path):
            return endpoint, match
    return None


def is_owned(endpoints: Sequence[Endpoint], path: str) -> bool:
    """Return whether *path* is one of the endpoints' or lies below one of their prefixes."""
    return any(path.startswith(endpoint.prefixes) or endpoint.pattern.fullmatch(path) for endpoint in endpoints)
