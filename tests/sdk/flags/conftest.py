"""Clients that ask a sink about flags.

Each test's definitions are shared in a folder of its own.
"""

import pytest

from hogline import PostHog


@pytest.fixture
def connect(sink, tmp_path):
    """Return a function that makes a client of the sink."""
    made = []

    def connected(token="phc_test", **options):
        options = {"host": sink.url, "flush_interval": 0.05, "flag_cache_dir": str(tmp_path / "cache")} | options
        made.append(PostHog(token, **options))
        return made[-1]

    yield connected
    for client in made:
        client.shutdown(5)


@pytest.fixture
def client(connect):
    """A client without a secret key: every flag is the server's."""
    return connect()


@pytest.fixture
def local(connect):
    """A client with a secret key."""
    return connect(secret_key="phs_secret")


def called(sink, client):
    """Return the `$feature_flag_called` events that have left."""
    assert client.flush(20)
    return sink.named("$feature_flag_called")
