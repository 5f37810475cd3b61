"""Clients that retry soon: a test of what is retried does not wait for seconds between requests."""

from typing import Any

from hogline import PostHog


def quick_client(token: str = "phc_test", *, first_backoff_s: float = 0.2, **options: Any) -> PostHog:
    """Return a client that waits at most *first_backoff_s* before its first retry, and twice as long before each later one."""
    client = PostHog(token, **options)
    client._delivery._queue.first_backoff_s = first_backoff_s
    return client
