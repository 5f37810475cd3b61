"""Fixtures that every room of the suite uses."""

from collections.abc import Iterator

import pytest

from tests.support.sink import Sink


@pytest.fixture
def sink() -> Iterator[Sink]:
    """A server of its own that answers like PostHog and keeps what it was sent."""
    server = Sink()
    yield server
    server.stop()
