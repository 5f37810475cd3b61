"""Pipeline steps: one SQL transaction per batch, processed once despite kill -9."""

import functools
import sys
import time
import uuid
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from hogline_instance.db import Database
from hogline_instance.events.row import EventRow, encode_row
from hogline_instance.pipeline import StepRunner
from hogline_instance.pipeline.prepared import PreparedBatch, PreparedBatches
from tests.instance.reader import Reader, event
from tests.instance.stepped_instance import NumberingStep

COMMAND = (sys.executable, str(Path(__file__).with_name("stepped_instance.py")))


def numbers(url):
    """Return the numbers in the step's table."""
    engine = create_engine(url)
    try:
        with engine.connect() as connection:
            return [row[0] for row in connection.execute(text("SELECT last FROM numbers ORDER BY last"))]
    finally:
        engine.dispose()


@pytest.mark.parametrize("point", ["before_commit", "after_commit", "before_insert", "after_insert"])
def test_killed_around_the_commit_a_batch_is_processed_and_stored_once(serve, tmp_path, database_url, point):
    """SQL and rows are the same after kill -9 at each point between the journal and the store."""
    name, environ = f"stepped-{uuid.uuid4()}", {"HOGLINE_DATABASE_URL": database_url}
    dying = serve(tmp_path / "data", command=COMMAND, environ={**environ, "STEP_KILL_AT": point})
    sent = [event(name, order=order) for order in range(5)]
    Reader(dying.url, dying.token, dying.key).send(*sent, event("unwanted"))
    assert dying.process.wait(60) == -9
    dying.kill()  # only closes its pipe
    served = serve(tmp_path / "data", command=COMMAND, environ=environ)
    reader = Reader(served.url, served.token, served.key)
    found = sorted(reader.wait_for(5, event=name), key=lambda one: one["properties"]["order"])
    assert [one["properties"]["number"] for one in found] == [1, 2, 3, 4, 5]
    reader.send(event(name, order=5))  # the next batch continues the numbers of the first
    assert {one["properties"]["number"] for one in reader.wait_for(6, event=name)} == {1, 2, 3, 4, 5, 6}
    assert reader.events(event="unwanted") == []
    assert reader.get("/_ready", key=None).json()["not_kept"] == {"unwanted events are dropped": 1}
    assert served.stop() == 0
    assert numbers(database_url) == [1, 2, 3, 4, 5, 6]


def test_an_event_that_a_step_cannot_process_is_set_aside_and_costs_the_others_nothing(serve, tmp_path):
    """Its SQL changes are rolled back, and it is kept in rejected.jsonl."""
    name = f"poison-{uuid.uuid4()}"
    served = serve(tmp_path / "data", command=COMMAND)
    reader = Reader(served.url, served.token, served.key)
    poison = event(name, order=2, poison="yes")
    reader.send(event(name, order=0), event(name, order=1), poison, event(name, order=3))
    found = sorted(reader.wait_for(3, event=name), key=lambda one: one["properties"]["order"])
    assert [(one["properties"]["order"], one["properties"]["number"]) for one in found] == [(0, 1), (1, 2), (3, 3)]
    assert reader.get("/_ready", key=None).json()["rejected_events"] == 1
    assert served.stop() == 0
    assert numbers(f"sqlite:///{tmp_path / 'data' / 'projects.sqlite3'}") == [1, 2, 3]
    assert poison["uuid"] in (tmp_path / "data" / "rejected.jsonl").read_text()


@pytest.fixture
def database(database_url):
    opened = Database(database_url)
    opened.migrate()
    yield opened
    opened.close()


def line(order):
    return encode_row(
        EventRow(
            team_id=1,
            uuid=str(uuid.uuid4()),
            event="e",
            distinct_id=str(order),
            timestamp_text="2026-01-01 00:00:00.000000",
        )
    )


def test_two_nodes_with_one_database_each_process_their_own_batches(database, tmp_path):
    """Journals have unique ids, so a batch of one node is never taken for one of the other."""
    nodes = []
    for number in (1, 2):
        folder = tmp_path / str(number)
        folder.mkdir()
        nodes.append(StepRunner([NumberingStep()], database, journal_id=f"journal-{number}", folder=folder))
    results = [node.run("same-name", [line(0), line(1)]) for node in nodes]
    again = [node.run("same-name", []) for node in nodes]
    assert [list(result.lines) for result in results] == [list(result.lines) for result in again]
    assert results[0].lines != results[1].lines
    with database.session() as session:
        assert session.scalar(text("SELECT count(*) FROM numbers")) == 4


def test_a_prepared_batch_is_read_back_whole_or_not_at_all(tmp_path):
    """Another name, a truncated file or a missing file: there is no prepared batch."""
    kept = PreparedBatches(tmp_path)
    batch = PreparedBatch(
        "a:1.0-1.9", [b'{"a":1}', b'{"b":"\xc3\xa9"}'], {"unwanted": 2}, [(b'{"c":3}', "ValueError()")]
    )
    assert kept.read(batch.name) is None
    for each in (batch, PreparedBatch("empty", [], {}, [])):
        kept.write(each)
        assert kept.read(each.name) == each
        assert kept.read("another") is None
        kept.remove(each.name)
        assert kept.read(each.name) is None
    kept.write(batch)
    [path] = (tmp_path / "prepared").glob("*.batch")
    path.write_bytes(path.read_bytes()[:-1])
    assert kept.read(batch.name) is None
    assert list(kept.unstored(but=None)) == []


def test_the_batch_of_a_former_version_is_found(tmp_path):
    """That version kept one batch, in the data folder itself."""
    batch = PreparedBatch("a:1.0-1.9", [b'{"a":1}'], {}, [])
    kept = PreparedBatches(tmp_path)
    kept.write(batch)
    [path] = (tmp_path / "prepared").glob("*.batch")
    path.rename(tmp_path / "prepared-batch")
    kept = PreparedBatches(tmp_path)
    assert kept.read(batch.name) == batch
    assert not (tmp_path / "prepared-batch").exists()


def test_while_the_store_is_away_one_batch_waits_for_it_and_none_is_forgotten(serve, tmp_path):
    """The steps of the next batch run meanwhile; a restart stores both, and what came after them."""
    name = f"away-{uuid.uuid4()}"
    served = serve(tmp_path / "data", command=COMMAND, environ={"STEP_STORE_AWAY": "1"})
    reader = Reader(served.url, served.token, served.key)
    waiting = functools.partial((tmp_path / "data" / "prepared").glob, "*.batch")
    for order in range(4):
        reader.send(event(name, order=order))
        deadline_s = time.monotonic() + 20
        while len(list(waiting())) < min(order + 1, 2) and time.monotonic() < deadline_s:
            time.sleep(0.02)
    assert len(list(waiting())) == 2
    assert "away" in reader.get("/_ready", key=None).json()["error"]
    served.stop()
    served = serve(tmp_path / "data", command=COMMAND)
    reader = Reader(served.url, served.token, served.key)
    found = reader.wait_for(4, event=name)
    assert sorted((one["properties"]["order"], one["properties"]["number"]) for one in found) == [
        (0, 1), (1, 2), (2, 3), (3, 4),
    ]  # fmt: skip
    assert served.stop() == 0
    assert list(waiting()) == []


class NotingStep:
    """Notes whether each batch follows the one before, and fails on a batch with a certain event."""

    def __init__(self):
        self.follows = []

    def apply(self, batch, session):
        self.follows.append(batch.follows)
        if any(row.event == "poison" for row in batch.rows):
            raise ValueError("this event cannot be processed")


def test_a_batch_follows_the_one_before_unless_somebody_wrote_or_it_failed(database, tmp_path):
    """The database's other connections count, whoever uses them; a server's batches never follow."""
    step, is_sqlite = NotingStep(), database.dialect == "sqlite"
    runner = StepRunner([step], database, journal_id="journal", folder=tmp_path)
    runner.run("1", [line(0)])
    runner.run("2", [line(1)])
    runner.run("3", [line(2)])
    with database.transaction() as session:
        session.execute(text("CREATE TABLE others (id INTEGER)"))
    runner.run("4", [line(3)])
    runner.run("5", [line(4)])
    assert step.follows == [False, is_sqlite, is_sqlite, False, is_sqlite]
    step.follows.clear()
    poison = line(5).replace(b'"event":"e"', b'"event":"poison"')
    assert len(runner.run("6", [line(6), poison]).rejected) == 1
    assert step.follows == [is_sqlite, False, False]  # the whole, and its halves
