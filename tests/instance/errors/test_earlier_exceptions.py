"""Exceptions that were stored before there were issues get theirs, in pages that can be stopped."""

import json
from types import SimpleNamespace

import msgspec
import pytest
from sqlalchemy import select, update

from hogline_instance.db import Database
from hogline_instance.errors import earlier_exceptions
from hogline_instance.errors.source_maps.resolver import SymbolResolver
from hogline_instance.errors.tables import HistoryRow, IssueRow
from hogline_instance.events.event import StoredEvent
from hogline_instance.exceptions import StoreError
from hogline_instance.projects.tables import ProjectRow
from tests.instance.errors.bodies import entry, python_frame


class StoredRows:
    """Stands in for the store's events, which need a process of their own for chDB."""

    def __init__(self, events):
        self.events, self.written, self.tokens, self.refuses = events, {}, [], False

    def page(self, _store, _project_id, *, until, after, limit):
        assert until
        ordered = sorted(self.events, key=lambda each: (each.received_at, each.uuid))
        found = [each for each in ordered if (each.received_at, each.uuid) > after][:limit]
        return [StoredEvent(**{name: getattr(each, name) for name in each.__struct_fields__}) for each in found]

    def insert_events(self, rows, token):
        if self.refuses:
            raise StoreError("away")
        self.tokens.append(token)
        for line in rows.splitlines():
            row = json.loads(line)
            self.written[row["uuid"][-1]] = row


def stored(number, *entries, received="2026-01-01 00:00:00.000", **properties):
    given = {"$lib": "posthog-python", "$exception_list": list(entries), **properties}
    return StoredEvent(
        team_id=1, uuid=f"0190a000-0000-7000-8000-00000000000{number}", event="$exception", distinct_id="u",
        timestamp_text="2025-12-31 23:00:00.000000", received_at=received, raw_properties=msgspec.Raw(json.dumps(given).encode()),
        raw_person_properties=msgspec.Raw(b'{"plan":"pro"}'),
    )  # fmt: skip


@pytest.fixture
def database(tmp_path):
    made = Database(f"sqlite:///{tmp_path}/errors.sqlite3")
    made.migrate()
    with made.transaction() as session:
        session.add(ProjectRow(id=1, name="p", token="phc_p"))
    yield made
    made.close()


def test_the_pages_go_on_where_they_stopped_and_a_repeated_page_changes_nothing(database, monkeypatch):
    """A store that is away loses nothing, and old exceptions reopen no issue; broken lists stay."""
    same = [entry("Declined", "v", [python_frame()])]
    rows = StoredRows([
        stored(1, *same), stored(2, *same), stored(3, entry("Other", "v", [python_frame("b")])), stored(4),
        stored(5, **{"$cymbal_errors": ["is empty"]}), stored(6, *same, received="2026-01-02 00:00:00.000"),
    ])  # fmt: skip
    monkeypatch.setattr(earlier_exceptions, "events_without_issues", rows.page)
    monkeypatch.setattr("hogline_instance.pipeline.history._PAGES_PER_CALL", 1)
    symbols, projects = SymbolResolver(), (SimpleNamespace(id=1),)

    def call():
        return earlier_exceptions.make_issues_of_earlier_exceptions(database, rows, projects, symbols, page_events=2)

    rows.refuses = True
    with pytest.raises(StoreError):
        call()
    rows.refuses = False
    assert call() == 2
    with database.transaction() as session:
        session.execute(update(IssueRow).values(status="resolved"))
    assert [call() for _ in range(4)] == [2, 2, 0, 0]
    with database.session() as session:
        issues = {row.name: row for row in session.scalars(select(IssueRow))}
        history = [row.activity for row in session.scalars(select(HistoryRow))]
    assert {name: row.status for name, row in issues.items()} == {"Declined": "resolved", "Other": "active"}
    assert history == ["created", "created"]
    assert set(rows.written) == set("12346")
    assert {rows.written[number]["issue_id"] for number in "126"} == {issues["Declined"].id}
    assert rows.written["1"]["received_at"] == "2026-01-01 00:00:00.001"
    assert rows.written["1"]["person_properties"] == {"plan": "pro"}
    assert rows.written["4"]["properties"]["$cymbal_errors"] == ["$exception_list is empty"]
    assert len(set(rows.tokens)) == len(rows.tokens) == 3
