"""Fixtures: one instance per worker, shared by its tests, and a factory for tests that kill
instances.
"""

import uuid
from collections.abc import Iterator

import pytest

from hogline_instance.db import Database
from hogline_instance.projects.tables import ProjectRow
from tests.instance.alerts.servers import alert_options, authority, hooks, mail_server, mailbox  # noqa: F401 - fixtures
from tests.instance.reader import Reader, dollars, event
from tests.support.instances import Instance, start_instance
from tests.support.postgres import Postgres, running_postgres


@pytest.fixture(scope="session")
def instance(tmp_path_factory, alert_options) -> Iterator[Instance]:  # noqa: F811 - the fixture
    """A running instance, whose alerts may reach the test's own servers."""
    served = start_instance(tmp_path_factory.mktemp("instance") / "data", environ=alert_options)
    yield served
    assert served.stop() == 0, "\n".join(served.log)
    assert not served.errors()


@pytest.fixture
def reader(instance) -> Reader:
    """A client that sends to the shared instance and reads from it."""
    return Reader(instance.url, instance.token, instance.key)


@pytest.fixture
def serve(tmp_path) -> Iterator[object]:
    """Start separate instances; each is stopped at the end of the test."""
    started: list[Instance] = []

    def start(folder=None, *options, **how) -> Instance:
        served = start_instance(folder or tmp_path / "data", *options, **how)
        started.append(served)
        return served

    yield start
    for served in started:
        if served.process.poll() is None:
            served.kill()


@pytest.fixture
def failure(reader):
    """A stored exception of a session, with a frame of the application, one of a library, and a
    cause.
    """
    frames = [
        {"platform": "python", "filename": "lib/router.py", "function": "route", "lineno": 7, "in_app": False},
        {
            "platform": "python", "filename": "shop/pay.py", "function": "charge", "lineno": 12, "in_app": True,
            "pre_context": ["def charge(card):"], "context_line": "    raise Declined(card)", "post_context": [""],
        },
    ]  # fmt: skip
    chain = [
        {
            "type": "Declined",
            "value": "no <b>funds",
            "mechanism": {"handled": False, "type": "middleware"},
            "stacktrace": {"frames": frames},
        },
        {"type": "KeyError", "value": "'card'", "mechanism": {"type": "chained", "source": "cause"}},
    ]
    sent = event(
        "$exception",
        distinct_id=f"visitor-{uuid.uuid4()}",
        **dollars(
            lib="hogline", session_id=str(uuid.uuid4()), exception_list=chain, request_method="POST", request_path="/pay",
            response_status_code=500,
        ),
    )  # fmt: skip
    reader.send(sent)
    reader.wait_for(1, distinct_id=sent["distinct_id"])
    return sent


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A PostgreSQL server for this worker."""
    with running_postgres() as server:
        yield server


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request, tmp_path) -> str:
    """The URL of an empty database, once for each supported kind."""
    if request.param == "postgresql":
        return request.getfixturevalue("postgres").new_database()
    return f"sqlite:///{tmp_path / 'projects.sqlite3'}"


@pytest.fixture
def database(database_url):
    """An opened database of each kind with two projects."""
    opened = Database(database_url)
    opened.migrate()
    with opened.transaction() as session:
        session.add_all([ProjectRow(id=number, name=f"p{number}", token=f"phc_{number}") for number in (1, 2)])
    yield opened
    opened.close()
