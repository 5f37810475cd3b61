"""Clients for the sink."""

import pytest

from hogline import PostHog


@pytest.fixture
def make(sink):
    """Make clients for the sink; they are shut down at the end."""
    made = []

    def build(token="phc_test", **options):
        client = PostHog(token, **{"host": sink.url, "flush_interval": 30.0, "timeout": 5.0} | options)
        made.append(client)
        return client

    yield build
    for client in made:
        client.shutdown(0)
