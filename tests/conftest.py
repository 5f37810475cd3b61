"""Fixtures and settings of the whole suite."""

import contextlib
import gc
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

import hogline
from hogline.client import client
from tests.support.flaky import FailureLog
from tests.support.sink import Sink

# An environment of old frameworks has no Hypothesis.
with contextlib.suppress(ImportError):
    import hypothesis

    # Its deadlines are of the clock: an example that a busy machine delays would be a failure.
    hypothesis.settings.register_profile(
        "suite", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
    )
    hypothesis.settings.load_profile("suite")


def pytest_configure(config: pytest.Config) -> None:
    """Keep the failures of this run where `.ci/run` asks for them."""
    if path := os.environ.get("HOGLINE_FAILED"):
        config.pluginmanager.register(FailureLog(Path(path)))


def pytest_collection_finish() -> None:
    """Keep the garbage collector away from the tests themselves.

    Each collection would visit the objects of ten thousand collected tests and of every imported
    framework, which takes 0.3 s. Some tests collect, and so does Python by itself.
    """
    gc.collect()
    gc.freeze()


@pytest.fixture
def sink() -> Iterator[Sink]:
    """A server of its own that answers like PostHog and keeps what it was sent."""
    server = Sink()
    yield server
    server.stop()


@pytest.fixture(autouse=True)
def no_default_client() -> None:
    """Begin without a default client: one that an earlier test of this process left behind would be
    taken for it.
    """
    client._living.clear()
    hogline.set_default_client(None)


@pytest.fixture(autouse=True)
def interruptible() -> None:
    """Let processes that a test starts be interrupted for real.

    A shell starts its background jobs with SIGINT ignored, some servers leave it so, and whatever
    we start inherits that.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
