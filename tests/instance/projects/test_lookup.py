"""Project lookup: keys of other processes are known after `project_lookup_max_age_s`."""

import hashlib
import json
import time
import uuid

import pytest
from sqlalchemy import text

from hogline_instance.db import Database
from hogline_instance.projects import Projects
from tests.instance.reader import Reader, event


class Clock:
    now_s = 0.0

    def __call__(self):
        return self.now_s


@pytest.fixture
def database(database_url):
    opened = Database(database_url)
    opened.migrate()
    yield opened
    opened.close()


def make_project(database, token, key):
    """Insert a project as another process would."""
    hashed = f"sha256${hashlib.sha256(key.encode()).hexdigest()}"
    with database.transaction() as session:
        session.execute(
            text("INSERT INTO projects (name, token, created_at) VALUES ('second', :token, '2026-01-01 00:00:00')"),
            {"token": token},
        )
        session.execute(
            text(
                "INSERT INTO personal_keys (project_id, key_hash, created_at)"
                " SELECT id, :hashed, '2026-01-01 00:00:00' FROM projects WHERE token = :token"
            ),
            {"hashed": hashed, "token": token},
        )


def test_a_key_is_asked_for_once_in_its_lifetime_and_again_after_it(database, tmp_path):
    """Unknown keys are cached like known ones, and a removed key expires."""
    clock = Clock()
    projects = Projects(database, secrets_dir=tmp_path, max_age_s=5, clock_s=clock)
    first = projects.current()
    assert projects.by_personal_key(projects.personal_key()) == first
    assert projects.by_personal_key("phx_later") is None
    make_project(database, "phc_later", "phx_later")
    assert projects.by_personal_key("phx_later") is None
    clock.now_s = 5.1
    later = projects.by_personal_key("phx_later")
    assert later.token == "phc_later"
    with database.transaction() as session:
        session.execute(text("DELETE FROM personal_keys"))
    assert projects.by_personal_key("phx_later") == later
    clock.now_s = 10.3
    assert projects.by_personal_key("phx_later") is None
    assert projects.current() == first


def test_tokens_are_read_again_and_stay_known_while_the_database_is_away(database, tmp_path):
    """`refresh` never raises, and a failed reload forgets nothing."""
    projects = Projects(database, secrets_dir=tmp_path, max_age_s=5)
    make_project(database, "phc_later", "phx_later")
    assert projects.by_token("phc_later") is None
    projects.refresh()
    assert projects.by_token("phc_later").name == "second"
    with database.transaction() as session:
        session.execute(text("ALTER TABLE projects RENAME TO gone"))
    projects.refresh()
    assert projects.by_token("phc_later").name == "second"


def test_a_running_instance_takes_events_of_a_project_that_another_process_made(serve, tmp_path):
    """It accepts and serves the project's events without a restart."""
    served = serve(tmp_path / "data")
    token, key, name = "phc_made_elsewhere", f"phx_{uuid.uuid4().hex}", f"elsewhere-{uuid.uuid4()}"
    database = Database(f"sqlite:///{tmp_path / 'data' / 'projects.sqlite3'}")
    make_project(database, token, key)
    database.close()
    second, first = Reader(served.url, token, key), Reader(served.url, served.token, served.key)
    deadline = time.monotonic() + 30
    while second.get("/api/projects/@current/events/").status != 200:
        assert time.monotonic() < deadline
        time.sleep(0.2)
    while not second.events(event=name):
        second.send(body=json.dumps({"api_key": token, "batch": [event(name)]}).encode())
        assert time.monotonic() < deadline
        time.sleep(0.3)
    assert first.events(event=name) == []
