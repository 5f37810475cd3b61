"""Clients for the sink."""

import pytest

from tests.support.clients import quick_client


@pytest.fixture
def make(sink):
    """Make clients for the sink; they are shut down at the end."""
    made = []

    def build(token="phc_test", **options):
        client = quick_client(token, **{"host": sink.url, "flush_interval": 30.0, "timeout": 5.0} | options)
        made.append(client)
        return client

    yield build
    for client in made:
        client.shutdown(0)
