"""Events that were stored before the instance had people get theirs, in pages that can be stopped."""

import tarfile
import time
from types import SimpleNamespace

from sqlalchemy import select

from hogline_instance.events.event import read_event
from hogline_instance.events.person_ids import person_uuid
from hogline_instance.people import earlier_events
from hogline_instance.people.tables import DistinctIdRow
from tests.instance.people.batches import line
from tests.instance.reader import Reader
from tests.instance.test_old_data_folder import ARCHIVE


class StoredLines:
    """Stands in for the store's events, which need a process of their own for chDB."""

    def __init__(self, lines):
        self.events = [read_event(each) for each in lines]
        self.asked = 0

    def page(self, _store, _project_id, *, until, after, limit):
        self.asked += 1
        ordered = sorted(self.events, key=lambda each: (each.received_at, each.uuid))
        assert until
        return [each for each in ordered if (each.received_at, each.uuid) > after][:limit]


def test_the_work_is_cut_into_pages_and_goes_on_where_it_stopped(node, monkeypatch):
    """A later event that was processed live is not overwritten by an earlier one."""
    node.run(line("$set", "u", X_set={"plan": "new"}, after_s=7200))
    stored = StoredLines(
        [
            line("$pageview", "anon", uid="0190a000-0000-7000-8000-000000000001"),
            line("$set", "u", X_set={"plan": "old", "city": "Rome"}, uid="0190a000-0000-7000-8000-000000000002"),
            line("$identify", "u", X_anon_distinct_id="anon", uid="0190a000-0000-7000-8000-000000000003"),
            line("seen", "p", X_process_person_profile=False, uid="0190a000-0000-7000-8000-000000000004"),
            line("seen", "other", uid="0190a000-0000-7000-8000-000000000005"),
        ]
    )
    monkeypatch.setattr(earlier_events, "events_without_people", stored.page)
    monkeypatch.setattr(earlier_events, "publish_overrides", lambda _database, _store: 0)
    monkeypatch.setattr("hogline_instance.pipeline.history._PAGES_PER_CALL", 1)
    counts = [
        earlier_events.give_people_to_earlier_events(node.database, None, (SimpleNamespace(id=1),), page_events=2)
        for _ in range(5)
    ]
    assert counts == [2, 2, 1, 0, 0]
    assert stored.asked == 4  # a finished project asks no more
    assert node.person("u")["ids"] == {"u", "anon"}
    assert node.person("u")["properties"]["plan"] == "new"
    assert node.person("u")["properties"]["city"] == "Rome"
    assert {each for person in node.people().values() for each in person["ids"]} == {"u", "anon", "other"}
    with node.database.session() as session:
        versions = {row.distinct_id: row.version for row in session.scalars(select(DistinctIdRow))}
    assert versions == {"u": 0, "anon": 1, "other": 0}


def test_the_events_of_an_earlier_version_get_their_people(serve, tmp_path):
    """The browser's anonymous id and the user's own id are one person."""
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(tmp_path, filter="data")
    served = serve(tmp_path / "data")
    reader = Reader(served.url, served.token, served.key)
    reader.wait_for(5)
    deadline = time.monotonic() + 30
    while None in (people := [each["person"] for each in reader.events()]):
        assert time.monotonic() < deadline, people
        time.sleep(0.2)
    assert {each["uuid"] for each in people} <= {person_uuid(1, each) for one in people for each in one["distinct_ids"]}
    assert any("ada@example.com" in each["distinct_ids"] for each in people)
    assert served.stop() == 0
