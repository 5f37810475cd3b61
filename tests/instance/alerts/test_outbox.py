"""The messages of alerts in SQL, on both databases: each occasion once, whatever is repeated or dies."""

import json
import uuid
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from sqlalchemy import select

from hogline_instance.alerts.channels import Outcome
from hogline_instance.alerts.editing import create_alert
from hogline_instance.alerts.outbox import begin_message, due_alerts, record_outcome, release
from hogline_instance.alerts.recording import recorder
from hogline_instance.alerts.scheduling import next_retry, occasions_of_next_message
from hogline_instance.alerts.tables import AlertRow, DeliveryRow
from hogline_instance.db import Database
from hogline_instance.errors.issues import change_issue
from hogline_instance.errors.source_maps.resolver import SymbolResolver
from hogline_instance.errors.spikes import BUCKETS, find_spikes, note_spikes
from hogline_instance.errors.step import ErrorStep
from hogline_instance.errors.tables import FingerprintRow
from hogline_instance.events.row import EventRow, encode_row, time_text
from hogline_instance.pipeline import StepRunner
from hogline_instance.projects.tables import ProjectRow
from hogline_instance.settings import Settings
from tests.instance.errors.bodies import entry, python_frame

LEASE = timedelta(minutes=1)
SETTINGS = Settings(alert_max_waiting=4, alert_max_attempts=3, alert_log_max_deliveries=3)
DONE, REFUSED = Outcome(accepted=True, answer="200"), Outcome(accepted=False, answer="410")
BUSY = Outcome(accepted=False, answer="503", may_retry=True)


class Node:
    """A process: its pipeline with error tracking, and its share in sending."""

    def __init__(self, database, folder, name="node"):
        self.database, self.name, self.folder = database, name, folder / name
        self.folder.mkdir()
        step = ErrorStep(SymbolResolver(), [recorder(SETTINGS)])
        self.runner = StepRunner([step], database, journal_id=name, folder=self.folder)

    def run(self, name, lines, *, forgets=False):
        if forgets:
            self.runner.prepared.remove(name)
        assert not self.runner.run(name, lines).rejected

    def due(self, now):
        with self.database.session() as session:
            return due_alerts(session, claimed_by=self.name, now=now)

    def begin(self, alert_id, now):
        """Return the id of the next message with the number of its occasions."""
        with self.database.transaction() as session:
            begun = begin_message(session, alert_id, claimed_by=self.name, now=now, lease=LEASE)
            return None if begun is None else (begun.id, begun.total)

    def record(self, message_id, outcome, now):
        with self.database.transaction() as session:
            return record_outcome(session, message_id, outcome, now=now, settings=SETTINGS)

    def release(self, alert_id):
        with self.database.transaction() as session:
            release(session, alert_id, claimed_by=self.name)


def line(kind):
    properties = {"$lib": "hogline", "$exception_list": [entry(kind, "v", [python_frame(f"fn_{kind}")])]}
    return encode_row(
        EventRow(
            team_id=1, uuid=str(uuid.uuid4()), event="$exception", distinct_id="ada", timestamp_text=time_text(datetime.now(UTC)),
            person_id=str(uuid.uuid4()), raw_properties=msgspec.Raw(json.dumps(properties).encode()), person_mode="full",
        )
    )  # fmt: skip


@pytest.fixture
def node(database_url, tmp_path):
    database = Database(database_url)
    database.migrate()
    with database.transaction() as session:
        for number in (1, 2):
            session.add(ProjectRow(id=number, name=f"p{number}", token=f"phc_{number}"))
    yield Node(database, tmp_path)
    database.close()


def alert(node, project=1, **fields):
    body = {
        "name": "n",
        "kind": "slack",
        "url": "https://hooks.test/x",
        "digest_after": 2,
        "digest_minutes": 10,
        **fields,
    }
    with node.database.transaction() as session:
        return create_alert(session, project, body, SETTINGS).id


def rows(node, *columns):
    with node.database.session() as session:
        return [tuple(row) for row in session.execute(select(*columns).order_by(DeliveryRow.id))]


def test_an_occasion_has_one_row_for_each_alert_however_often_its_batch_is_processed(node):
    """After a replay, after one whose rows are lost, and after a regression; never elsewhere."""
    first, second, paused, other = (
        alert(node),
        alert(node, triggers=["reopened"]),
        alert(node, enabled=False),
        alert(node, project=2),
    )
    lines = [line("A"), line("B"), line("A")]
    node.run("one", lines)
    node.run("one", lines)
    node.run("one", lines, forgets=True)
    with node.database.transaction() as session:
        issue = session.scalar(select(FingerprintRow.issue_id).limit(1))
        change_issue(session, 1, issue, {"status": "resolved"}, actor="test")
    node.run("two", lines)
    with node.database.transaction() as session:  # somebody resolves it before the batch is repeated
        change_issue(session, 1, issue, {"status": "resolved"}, actor="test")
    node.run("two", lines, forgets=True)
    found = rows(node, DeliveryRow.alert_id, DeliveryRow.kind)
    assert sorted(found) == sorted([(first, "created"), (first, "created"), (first, "reopened"), (second, "reopened")])
    assert not {each[0] for each in found} & {paused, other}


def test_a_spike_is_an_occasion_with_its_count(node):
    """It is recorded in the transaction that notes it, so a snoozed one is none."""
    spiking = alert(node, triggers=["spiking"])
    node.run("one", [line("A")])
    now = datetime.now(UTC)
    with node.database.session() as session:
        fingerprint = session.scalar(select(FingerprintRow.fingerprint).limit(1))
        spikes = find_spikes(session, 1, {fingerprint: [2] * (BUCKETS - 1) + [900]})
    for moment in (now, now + timedelta(minutes=1)):
        with node.database.transaction() as session:
            if occasions := note_spikes(session, 1, spikes, moment):
                recorder(SETTINGS)(session, occasions)
    [(alert_id, kind, detail)] = rows(node, DeliveryRow.alert_id, DeliveryRow.kind, DeliveryRow.detail)
    assert (alert_id, kind, detail["count"], detail["baseline"]) == (spiking, "spiking", 900, 2.0)


def test_a_message_that_a_crash_interrupted_is_sent_again_under_its_id(node, tmp_path):
    """By the same process at once, by another when the claim has ended."""
    made, now = alert(node), datetime.now(UTC)
    node.run("one", [line("A")])
    other = Node(node.database, tmp_path, "other")
    soon = now + timedelta(seconds=1)
    message, total = node.begin(made, soon)
    assert total == 1
    assert other.due(soon) == []
    assert other.begin(made, soon) is None
    assert node.begin(made, soon) == (message, 1)
    later = soon + LEASE + timedelta(seconds=1)
    assert other.due(later) == [made]
    assert other.begin(made, later) == (message, 1)
    assert other.record(message, DONE, later) is False
    assert other.record(message, DONE, later) is False  # the first process comes late
    assert rows(node, DeliveryRow.status, DeliveryRow.attempts) == [("sent", 1)]
    node.run("two", [line("B")])
    node.release(made)  # it no longer has the claim
    assert node.begin(made, later) is None
    other.release(made)
    assert node.begin(made, later)[0] != message


def test_a_retry_comes_before_what_is_new_and_ends(node):
    """While a receiver is down, new occasions wait; they go out together after it."""
    made, now = alert(node), datetime.now(UTC) + timedelta(seconds=1)
    node.run("one", [line("A")])
    message, _ = node.begin(made, now)
    assert node.record(message, BUSY, now) is False
    node.run("two", [line("B"), line("C")])
    assert node.begin(made, now) is None
    node.release(made)
    assert node.due(now) == []  # nobody looks again before the retry
    now += timedelta(seconds=16)
    assert node.begin(made, now) == (message, 1)
    node.record(message, BUSY, now)
    now += timedelta(seconds=31)
    assert node.begin(made, now) == (message, 1)
    assert node.record(message, BUSY, now) is True
    digest, total = node.begin(made, now)
    assert (digest != message, total) == (True, 2)
    node.record(digest, REFUSED, now)
    assert rows(node, DeliveryRow.status, DeliveryRow.attempts) == [("failed", 3), ("failed", 1), ("failed", 1)]


def test_what_waits_and_what_the_log_keeps_is_bounded(node):
    """Occasions beyond the limit are counted in the next message; old rows are deleted."""
    made, now = alert(node), datetime.now(UTC) + timedelta(seconds=1)
    node.run("one", [line(f"K{number}") for number in range(7)])
    with node.database.session() as session:
        assert session.get(AlertRow, made).omitted == 3
    message, total = node.begin(made, now)
    assert total == 4
    assert [each[0].get("omitted") for each in rows(node, DeliveryRow.detail)] == [3, None, None, None]
    node.record(message, DONE, now)
    assert [each[0] for each in rows(node, DeliveryRow.status)] == ["sent"] * 3
    node.run("two", [line("L1")])
    message, total = node.begin(made, now + timedelta(seconds=1))
    assert total == 1
    node.run("three", [line("L2")])
    node.record(message, DONE, now + timedelta(seconds=1))
    assert node.begin(made, now + timedelta(seconds=2)) is None  # two messages went out in ten minutes
    node.release(made)
    assert node.due(now + timedelta(minutes=9)) == []
    assert node.begin(made, now + timedelta(minutes=10, seconds=1))[1] == 1


@pytest.mark.parametrize(
    ("waiting", "sent", "most", "expected"),
    [(0, 0, 5, 0), (1, 0, 5, 1), (5, 0, 5, 1), (6, 0, 5, 6), (1, 4, 5, 1), (2, 4, 5, 2), (9, 5, 5, 0)],
)
def test_more_occasions_than_messages_left_become_one(waiting, sent, most, expected):
    """The rule of digests."""
    assert occasions_of_next_message(waiting=waiting, sent=sent, most=most) == expected


def test_the_wait_doubles_up_to_the_longest():
    """A receiver may ask for more, within the longest."""
    now = datetime.now(UTC)

    def waits(attempts, wanted_s=None):
        found = next_retry(now, attempts=attempts, first_s=15, longest_s=3600, wanted_s=wanted_s)
        return (found - now).total_seconds()

    assert [waits(attempts) for attempts in (1, 2, 3, 8, 9, 100)] == [15, 30, 60, 1920, 3600, 3600]
    assert [waits(1, wanted) for wanted in (5, 60, 1e9)] == [15, 60, 3600]
