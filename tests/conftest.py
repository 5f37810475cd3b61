"""Fixtures that every room of the suite uses."""

import signal
from collections.abc import Iterator

import pytest

from tests.support.sink import Sink

# A shell starts its background jobs with SIGINT ignored, and whatever they start inherits that. Tests interrupt for real.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def sink() -> Iterator[Sink]:
    """A server of its own that answers like PostHog and keeps what it was sent."""
    server = Sink()
    yield server
    server.stop()
