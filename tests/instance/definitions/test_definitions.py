"""Definitions: names and types are noted once, listed as PostHog lists them, and suggested."""

import time
import uuid

import pytest
from sqlalchemy import event as sql_event
from sqlalchemy.orm import Session

import hogline_instance.startup  # noqa: F401 - loads the tables of every feature
from hogline_instance.db import Database
from hogline_instance.definitions.detection import detect_type
from hogline_instance.definitions.step import DefinitionStep
from hogline_instance.events.event import read_event
from hogline_instance.pipeline import Batch
from hogline_instance.projects import Projects
from tests.instance.projects.calls import call, new_project
from tests.instance.reader import WAIT_S, event

# Midnight: the workers collect the tests at different seconds, and must find the same names.
DAY_S = int(time.time()) // 86_400 * 86_400


@pytest.mark.parametrize(
    ("name", "value", "kind"),
    [
        ("utm_source", 5, "String"), ("$feature_flag_response", True, "String"), ("$survey_response_1", 3, "String"), ("price", 4.5, "Numeric"),
        ("done", "TRUE", "Boolean"), ("done", False, "Boolean"), ("label", "x", "String"), ("label", "2026-01-31", "DateTime"),
        ("label", "31/01/2026 10:00:00", "DateTime"), ("label", "2026-01-31T10:00:00Z", "DateTime"),
        ("label", "Tue, 01 Dec 2026 10:00:00 GMT", "DateTime"), ("created_at", DAY_S, "DateTime"), ("created_at", 5, "Numeric"),
        ("created_at", str(DAY_S), "DateTime"), ("list", [1], None), ("nothing", None, None),
    ],
)  # fmt: skip
def test_a_type_is_detected_from_name_and_value(name, value, kind):
    """The rules are PostHog's."""
    assert detect_type(name, value) == kind


@pytest.fixture
def step_of(database_url, tmp_path):
    """Run batches through one step on an empty database, and return the SQL statements of each."""
    database = Database(database_url)
    database.migrate()
    project = Projects(database, secrets_dir=tmp_path, max_age_s=1).current()
    step = DefinitionStep()
    statements = []
    sql_event.listen(database._engine, "before_cursor_execute", lambda *given: statements.append(given[2]))

    def run(*names, repeated=False, **properties):
        import json

        rows = [
            read_event(json.dumps({"team_id": project.id, "uuid": str(uuid.uuid4()), "event": name, "distinct_id": "a",
                                   "timestamp": "2026-01-01 00:00:00.000000", "properties": properties}).encode())
            for name in names
        ]  # fmt: skip
        batch = Batch("b", rows, is_repeated=repeated)
        statements.clear()
        with database.transaction() as session:
            step.apply(batch, session)
        for each in batch.after_commit:
            each()
        return [text for text in statements if not text.startswith(("BEGIN", "SAVEPOINT"))]

    run.database = database
    yield run
    database.close()


def names_in(database, table):
    from sqlalchemy import text

    with Session(database._engine) as session:
        return session.execute(text(f"SELECT * FROM {table}")).mappings().all()


def test_a_batch_with_nothing_new_asks_sql_nothing(step_of):
    """The number of statements does not depend on the number of events."""
    assert len(step_of(*(f"event {index}" for index in range(500)), a=1, b="x")) == 6
    assert step_of(*(f"event {index}" for index in range(500)), a=2, b="y") == []
    assert len(names_in(step_of.database, "event_definitions")) == 500
    assert sorted(row["name"] for row in names_in(step_of.database, "property_definitions")) == ["a", "b"]


def test_the_first_type_stays_and_an_unknown_one_is_learnt(step_of):
    """A null says nothing; the first value of a type does."""
    step_of("e", first=1, late=None)
    step_of("e", first="text", late="text")
    step_of("e", late=5)
    types = {row["name"]: row["property_type"] for row in names_in(step_of.database, "property_definitions")}
    assert types == {"first": "Numeric", "late": "String"}


def test_a_repeated_batch_writes_nothing(step_of):
    """Its definitions are committed already."""
    assert step_of("e", repeated=True, a=1) == []


def test_what_a_client_sent_is_listed_and_suggested(reader):
    """Events, event and person properties, and values, with PostHog's filters."""
    record, own = new_project(reader)
    base = f"/api/projects/{record['id']}"
    own.send(
        event("bought", price=5, colour="red", **{"$set": {"plan": "pro"}}),
        event("bought", price=6, colour="red"),
        event("looked", colour="blue"),
    )
    own.wait_for(3)
    deadline = time.monotonic() + WAIT_S
    while (listed := call(reader, "GET", f"{base}/event_definitions/").json())["count"] < 2:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert [each["name"] for each in listed["results"]] == ["bought", "looked"]
    found = call(reader, "GET", f"{base}/event_definitions/by_name/?name=bought").json()
    patched = call(
        reader,
        "PATCH",
        f"{base}/event_definitions/{found['id']}/",
        {"description": "A sale", "tags": ["x"], "verified": True},
    )
    assert (patched.json()["description"], patched.json()["verified"]) == ("A sale", True)
    properties = call(
        reader,
        "GET",
        f"{base}/property_definitions/?event_names=%5B%22bought%22%5D&filter_by_event_names=true&exclude_core_properties=true",
    )
    assert [(each["name"], each["property_type"]) for each in properties.json()["results"]] == [
        ("colour", "String"),
        ("price", "Numeric"),
    ]
    looked = call(
        reader,
        "GET",
        f"{base}/property_definitions/?event_names=%5B%22looked%22%5D&filter_by_event_names=true&exclude_core_properties=true",
    )
    assert [each["name"] for each in looked.json()["results"]] == ["colour"]
    people = call(reader, "GET", f"{base}/property_definitions/?type=person&search=pla").json()["results"]
    assert [each["name"] for each in people] == ["plan"]
    values = call(reader, "GET", f"{base}/events/values/?key=colour").json()
    assert values == [{"name": "red", "count": 2}, {"name": "blue", "count": 1}]
    assert call(reader, "GET", f"{base}/events/values?key=colour&value=BL").json() == [{"name": "blue", "count": 1}]
    assert call(reader, "DELETE", f"{base}/event_definitions/{found['id']}/").status == 204
    page = reader.get("/definitions", key=None, headers={"Cookie": f"hogline_project={record['id']}"})
    assert b"<code>colour</code>" in page.data
    assert b"looked" in page.data
