"""Clients that retry soon, so that tests of retries do not wait for seconds."""

from typing import Any

from hogline import PostHog


def quick_client(token: str = "phc_test", *, first_backoff_s: float = 0.2, **options: Any) -> PostHog:
    """Return a client that waits at most *first_backoff_s* before its first retry, and then doubles
    that.
    """
    client = PostHog(token, **options)
    client._delivery._queue.first_backoff_s = first_backoff_s
    return client
