"""Flags and cohorts over SQLite and PostgreSQL alike: definitions, history, people, cohorts, jobs."""

from datetime import timedelta
from types import SimpleNamespace

import pytest

from hogline_instance.cohorts.calculation import calculate
from hogline_instance.cohorts.editing import add_people, change_cohort, create_cohort
from hogline_instance.cohorts.listing import count_people, people_of_cohort
from hogline_instance.cohorts.lookup import members
from hogline_instance.cohorts.places import delete_places, move_places
from hogline_instance.cohorts.tables import CohortRow
from hogline_instance.db import utc_now
from hogline_instance.flags.changes import FlagEditor
from hogline_instance.flags.cohort_use import use_of_cohort
from hogline_instance.flags.evaluation import evaluate
from hogline_instance.flags.flag_set import flag_sets
from hogline_instance.flags.hash_keys import forget_hash_keys, move_hash_keys, read_hash_keys
from hogline_instance.flags.remote_config import PayloadCipher
from hogline_instance.flags.request import FlagsRequest
from hogline_instance.flags.schedules import make_due_changes
from hogline_instance.flags.tables import FlagHistoryRow, ScheduledChangeRow
from hogline_instance.people import person_values
from hogline_instance.people.listing import PersonQuestion, list_people, property_values
from hogline_instance.people.tables import PersonRow
from hogline_instance.web.errors import ApiError
from tests.instance.people.batches import Node, line

PRO = {"key": "plan", "value": "pro", "operator": "exact", "type": "person"}


def groups(*filters, **more):
    return {"groups": [{"properties": list(filters), "rollout_percentage": 100, **more}]}


@pytest.fixture
def editor(database, tmp_path):
    return FlagEditor(database, PayloadCipher(tmp_path))


@pytest.fixture
def people(database, tmp_path):
    """Ada pays and Bob does not, of project 1; project 2 has an Ada of its own."""
    node = Node(database, tmp_path / "node", on_merge=[move_places, move_hash_keys])
    node.run(
        line("$set", "ada", X_set={"plan": "pro", "age": 30}),
        line("$set", "bob", X_set={"plan": "free", "age": 20}),
        line("$set", "ada", team=2, X_set={"plan": "free"}),
    )
    return node


def uuid_of(database, distinct_id):
    with database.session() as session:
        [person] = list_people(session, 1, PersonQuestion(distinct_id=distinct_id), limit=2)
    return person.uuid


def answers_of(database, distinct_id, project=1, **asked):
    sets = flag_sets(database)
    sets.refresh()
    found, failed = evaluate(database, sets.of(project), project, FlagsRequest(distinct_id, runtime="server", **asked))
    assert not failed
    return {each.flag.key: each.value for each in found}


def test_a_flag_is_made_changed_deleted_and_returned_with_its_history(database, editor):
    """A key is free again after a deletion, and taken in one project only."""
    made = editor.create(1, {"key": "beta", "filters": groups()}, "ada")
    editor.create(2, {"key": "beta", "filters": groups()}, "bob")
    with pytest.raises(ApiError, match="already a feature flag"):
        editor.create(1, {"key": "beta", "filters": groups()}, "ada")
    changed = editor.change(1, made.id, {"filters": groups(PRO), "tags": ["x"]}, "bob")
    assert (changed.version, changed.last_modified_by) == (2, "bob")
    with database.session() as session:
        entries = session.query(FlagHistoryRow).filter_by(flag_id=made.id).order_by(FlagHistoryRow.id).all()
    assert [each["field"] for each in entries[1].changes] == ["filters", "tags"]
    assert editor.return_to(1, made.id, entries[0].id, "ada").filters == made.filters
    editor.change(1, made.id, {"deleted": True}, "ada")
    assert editor.create(1, {"key": "beta", "filters": groups()}, "ada").id != made.id
    assert editor.change(1, made.id, {"deleted": False}, "ada").key == "beta-2"


def test_flags_read_what_is_stored_of_people(database, editor, people):
    """Of the project's own people, and over the answer that is kept across a login."""
    editor.create(1, {"key": "pro", "filters": groups(PRO)}, "x")
    editor.create(2, {"key": "pro", "filters": groups(PRO)}, "x")
    half = {"groups": [{"properties": [], "rollout_percentage": 50}]}
    editor.create(1, {"key": "half", "filters": half, "ensure_experience_continuity": True}, "x")
    assert [answers_of(database, who)["pro"] for who in ("ada", "bob", "nobody")] == [True, False, False]
    assert answers_of(database, "ada", project=2) == {"pro": False}
    for number in range(6):
        # The request comes before the event that makes the person, as a browser's does.
        visitor, known = f"visitor-{number}", f"known-{number}"
        before = answers_of(database, visitor)["half"]
        assert answers_of(database, known, anon_distinct_id=visitor)["half"] is before
        people.run(line("$identify", known, X_anon_distinct_id=visitor))
        assert answers_of(database, known)["half"] is before
        assert answers_of(database, known, anon_distinct_id="another")["half"] is before
    uuid = uuid_of(database, "known-0")
    with database.transaction() as session:
        assert read_hash_keys(session, 1, [uuid]) == {"half": "visitor-0"}
        forget_hash_keys(session, 2, [uuid])
        assert read_hash_keys(session, 1, [uuid])
        forget_hash_keys(session, 1, [uuid])
        assert read_hash_keys(session, 1, [uuid]) == {}


def test_cohorts_are_calculated_listed_moved_and_kept_while_used(database, editor, people):
    """A dynamic one by a property, a static one by hand."""
    with database.transaction() as session:
        filters = {"properties": {"type": "AND", "values": [PRO]}}
        dynamic = create_cohort(session, 1, {"name": "payers", "filters": filters}).id
        static = create_cohort(session, 1, {"name": "listed", "is_static": True})
        add_people(session, static, [uuid_of(database, "bob")])
        static_id = static.id
    calculate(database, None, 1, dynamic)
    in_static = {"type": "cohort", "key": "id", "operator": "in", "value": static_id}
    editor.create(1, {"key": "listed", "filters": groups(in_static)}, "x")
    assert answers_of(database, "bob")["listed"] is True
    people.run(line("$identify", "carl", X_anon_distinct_id="bob"))  # Bob's person gets one more id.
    people.run(line("$set", "dan"), line("$identify", "dan", X_anon_distinct_id="bob"))
    assert answers_of(database, "carl")["listed"] is True
    with database.transaction() as session:
        assert count_people(session, 1, [dynamic, static_id]) == {dynamic: 1, static_id: 1}
        [ada] = people_of_cohort(session, 1, dynamic, limit=9)
        assert list_people(session, 1, PersonQuestion(members=members(session, 1, dynamic)), limit=9) == [ada]
        assert members(session, 2, dynamic) is None
        row = session.get(CohortRow, static_id)
        with pytest.raises(ApiError, match=r"used in 1 active feature flag\(s\): listed"):
            change_cohort(session, row, {"deleted": True}, (use_of_cohort,))
        assert use_of_cohort(session, 2, static_id) == ""
        delete_places(session, 1, [ada.uuid])
        assert count_people(session, 1, [dynamic]) == {dynamic: 0}


def test_values_are_suggested_from_the_projects_own_people(database, people):
    """The most frequent first; a name that no path can hold suggests nothing."""
    people.run(line("$set", "eve", X_set={"plan": "pro"}))
    with database.session() as session:
        assert person_values(session, 1, ["plan", "age", "none", 'a"b']) == {
            "plan": ["pro", "free"], "age": ["20", "30"], "none": [],
        }  # fmt: skip
        assert person_values(session, 2, ["plan"]) == {"plan": ["free"]}
        assert property_values(session, PersonRow, PersonRow.team_id == 1, "plan", "R") == [("pro", 2), ("free", 1)]


def test_a_scheduled_change_is_made_once_at_its_time(database, editor, tmp_path):
    """A change that cannot be made keeps its reason, and the others are made."""
    flag = editor.create(1, {"key": "later", "filters": groups()}, "ada")
    now = utc_now()
    changes = [
        ({"operation": "update_status", "value": False}, -60), ({"operation": "update_status", "value": True}, 3600),
        ({"operation": "add_release_condition", "value": {"groups": [{"rollout_percentage": 500}]}}, -30),
    ]  # fmt: skip
    with database.transaction() as session:
        session.add_all(
            ScheduledChangeRow(
                team_id=1, record_id=str(flag.id), model_name="FeatureFlag", payload=payload, created_by="ada",
                scheduled_at=now + timedelta(seconds=after_s),
            )
            for payload, after_s in changes
        )  # fmt: skip
    services = SimpleNamespace(database=database, settings=SimpleNamespace(data_dir=tmp_path))
    make_due_changes(services)
    make_due_changes(services)
    with database.session() as session:
        made, waiting, failed = session.query(ScheduledChangeRow).order_by(ScheduledChangeRow.id)
    assert (made.executed_at is not None, made.failure_reason) == (True, None)
    assert (waiting.executed_at, waiting.failure_reason) == (None, None)
    assert "between 0 and 100" in failed.failure_reason
    changed = editor.change(1, flag.id, {}, "ada")
    assert (changed.active, changed.version) == (False, 3)
