"""Several nodes on one database: each mistake has one issue, found with a fixed number of statements."""

import json
import threading
import uuid
from datetime import UTC, datetime

import msgspec
import pytest
from sqlalchemy import event as listening
from sqlalchemy import func, select

from hogline_instance.db import Database
from hogline_instance.errors.source_maps.resolver import SymbolResolver
from hogline_instance.errors.step import ErrorStep
from hogline_instance.errors.tables import FingerprintRow, HistoryRow, IssueRow
from hogline_instance.events.event import StoredEvent
from hogline_instance.pipeline import Batch
from hogline_instance.projects.tables import ProjectRow
from tests.instance.errors.bodies import entry, python_frame


@pytest.fixture
def database(database_url):
    opened = Database(database_url)
    opened.migrate()
    with opened.transaction() as session:
        session.add(ProjectRow(id=1, name="p", token="phc_p"))
    yield opened
    opened.close()


def batch(*kinds):
    """Return a batch with one exception of each kind."""
    rows = [
        StoredEvent(
            team_id=1, uuid=str(uuid.uuid4()), event="$exception", distinct_id="ada",
            timestamp_text=datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S.%f"),
            raw_properties=msgspec.Raw(
                json.dumps({"$lib": "hogline", "$exception_list": [entry(kind, "v", [python_frame()])]}).encode()
            ),
        )
        for kind in kinds
    ]  # fmt: skip
    return Batch(str(uuid.uuid4()), rows)


def apply(database, *kinds):
    """Process a batch as one node does, and return the issue of each event."""
    given = batch(*kinds)
    with database.transaction() as session:
        ErrorStep(SymbolResolver()).apply(given, session)
    return [row.issue_id for row in given.rows]


def test_of_nodes_that_meet_a_mistake_at_the_same_moment_one_makes_the_issue(database):
    """Every node's events get the winner's issue, and no issue without a fingerprint remains."""
    kinds = [f"Kind{number}" for number in range(20)]
    found, barrier = [], threading.Barrier(4)

    def node(order):
        barrier.wait(30)
        issues = apply(database, *order)
        found.append(dict(zip(order, issues, strict=True)))

    threads = [threading.Thread(target=node, args=(order,)) for order in (kinds, kinds[::-1], kinds, kinds[::-1])]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(found) == 4
    assert all(each == found[0] for each in found)
    with database.session() as session:
        counts = [
            session.scalar(select(func.count()).select_from(each)) for each in (IssueRow, FingerprintRow, HistoryRow)
        ]
    assert counts == [20, 20, 20]


def test_a_batch_again_changes_nothing(database):
    """The same events have the same issues, and nothing is noted twice."""
    first = apply(database, "A", "B", "A")
    assert apply(database, "A", "B", "A") == first
    assert first[0] == first[2] != first[1]
    with database.session() as session:
        assert session.scalar(select(func.count()).select_from(HistoryRow)) == 2


def test_the_number_of_statements_does_not_grow_with_the_batch(database):
    """A thousand exceptions of two hundred issues need as many statements as two."""
    counted = []
    engine = database._engine
    listening.listen(engine, "before_cursor_execute", lambda *arguments: counted.append(arguments[2]))
    apply(database, "A", "B")
    few = len(counted)
    counted.clear()
    apply(database, *[f"Kind{number % 200}" for number in range(1_000)])
    assert len(counted) <= few + 2, counted  # the driver may split one insert of many rows
