"""This module has the fixture `recorded`: the events and calls of each queue that ran the
contract's tasks.
"""

import os

import pytest

from tests.propagation.recording import QUEUES, recording


@pytest.fixture(scope="session")
def recordings(tmp_path_factory):
    """A folder that all processes of this test run share."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "recordings"
    folder.mkdir(exist_ok=True)
    return folder


@pytest.fixture(params=QUEUES)
def recorded(request, recordings):
    """The recording of one queue.

    Where the test asks for a feature (`needs`) that it does not have, the test is skipped.
    """
    made = recording(request.param, recordings)
    for feature in getattr(request.function, "needs", ()):
        if feature not in made.features:
            pytest.skip(f"{request.param} has no {feature}")
    return made
