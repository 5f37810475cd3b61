"""One instance for each worker, shared by its tests (they tell their events apart), and a factory for those that kill it."""

from collections.abc import Iterator

import pytest

from tests.instance.reader import Reader
from tests.support.instances import Instance, start_instance


@pytest.fixture(scope="session")
def instance(tmp_path_factory) -> Iterator[Instance]:
    """A running instance."""
    served = start_instance(tmp_path_factory.mktemp("instance") / "data")
    yield served
    assert served.stop() == 0, "\n".join(served.log)
    assert not [line for line in served.log if "Traceback" in line], "\n".join(served.log)


@pytest.fixture
def reader(instance) -> Reader:
    """Somebody who sends to the shared instance and reads from it."""
    return Reader(instance.url, instance.token, instance.key)


@pytest.fixture
def serve(tmp_path) -> Iterator[object]:
    """Start instances of one's own; each is ended with the test."""
    started: list[Instance] = []

    def start(folder=None, *options, **how) -> Instance:
        served = start_instance(folder or tmp_path / "data", *options, **how)
        started.append(served)
        return served

    yield start
    for served in started:
        if served.process.poll() is None:
            served.kill()
