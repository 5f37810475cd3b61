"""Who an event belongs to: the cases of a merge, property updates, personless events, groups."""

import json

import pytest
from sqlalchemy import event as sqlalchemy_event
from sqlalchemy import text

from hogline_instance.events.person_ids import person_uuid
from tests.instance.people.batches import NOON, Node, line


def shown(row):
    """Return the person's properties on a row, without the creator."""
    properties = json.loads(bytes(row.raw_person_properties))
    properties.pop("$creator_event_uuid", None)
    return properties


def properties(person):
    return {name: value for name, value in person["properties"].items() if name != "$creator_event_uuid"}


def test_an_event_finds_or_creates_the_person_of_its_id(node):
    """The uuid follows from project and id as PostHog's does; projects share no person."""
    first, second, other = node.run(
        line("a", "u1", uid="0190a000-0000-7000-8000-000000000001"),
        line("b", "u1", after_s=60),
        line("a", "u1", team=2),
    )
    assert first.person_id == second.person_id == "66545e47-9600-5f24-95fd-044cb5baa8f0"
    assert other.person_id == person_uuid(2, "u1") != first.person_id
    person = node.person("u1")
    assert person["properties"] == {"$creator_event_uuid": "0190a000-0000-7000-8000-000000000001"}
    assert not person["is_identified"]
    assert (person["created_at"], person["version"]) == (NOON.replace(tzinfo=None), 0)
    assert first.person_mode == "full"


def test_neither_id_has_a_person_so_one_is_created_with_both(node):
    node.run(line("$identify", "u", X_anon_distinct_id="anon"))
    assert set(node.people()) == {person_uuid(1, "u")}
    assert node.person("u")["versions"] == {("u", 0), ("anon", 0)}
    assert node.person("u")["is_identified"]


@pytest.mark.parametrize("known", ["anon", "u"])
def test_only_one_id_has_a_person_so_the_other_is_attached(node, known):
    node.run(line("a", known))
    (row,) = node.run(line("$identify", "u", X_anon_distinct_id="anon"))
    assert set(node.people()) == {person_uuid(1, known)} == {row.person_id}
    assert node.person("u")["ids"] == {"u", "anon"}
    assert node.person("u")["is_identified"]


def test_both_ids_are_one_person_already(node):
    node.run(line("$identify", "u", X_anon_distinct_id="anon"))
    before = node.people()
    node.run(line("$identify", "u", X_anon_distinct_id="anon"))
    assert node.people() == before


def test_an_anonymous_person_is_absorbed_by_the_one_who_identifies(node):
    """The survivor's properties win, the earlier creation stays, and every id moves."""
    node.run(
        line("$set", "anon", X_set={"a": 1, "b": 1}, after_s=-7200),
        line("$set", "u", X_set={"b": 2, "c": 2}),
        line("$identify", "u", X_anon_distinct_id="anon", X_set={"c": 3}, X_set_once={"a": 9, "d": 4}),
    )
    assert set(node.people()) == {person_uuid(1, "u")}
    person = node.person("anon")
    assert properties(person) == {"a": 1, "b": 2, "c": 3, "d": 4}
    assert person["versions"] == {("u", 0), ("anon", 1)}
    assert person["created_at"].hour == 10
    (late,) = node.run(line("a", "anon"))
    assert late.person_id == person_uuid(1, "u")


def test_two_identified_people_are_joined_only_dangerously(node):
    """A refused merge is a warning, and its `$set` still applies to the event's own person."""
    node.run(line("$identify", "u", X_anon_distinct_id="a1"), line("$identify", "v", X_anon_distinct_id="a2"))
    (row,) = node.run(line("$create_alias", "u", alias="v", X_set={"x": 1}))
    assert len(node.people()) == 2
    assert node.warnings() == ["cannot_merge_already_identified"]
    assert shown(row) == properties(node.person("u")) == {"x": 1}
    node.run(line("$merge_dangerously", "u", alias="v"))
    assert node.person("v")["ids"] == {"u", "v", "a1", "a2"}


ILLEGAL = ["null", "0", "NaN", "[object Object]", "GUEST", "Undefined", "'anonymous'", '"email"', " ", "''", "x" * 401]


@pytest.mark.parametrize("illegal", ILLEGAL)
def test_a_placeholder_id_is_never_merged(node, illegal):
    node.run(
        line("a", "anon"),
        line("$identify", "u", X_anon_distinct_id=illegal),
        line("$create_alias", "u2", alias=illegal),
    )
    assert node.warnings() == ["cannot_merge_with_illegal_distinct_id"] * 2
    assert [person["ids"] for person in node.people().values()].count({"u"}) == 1
    assert not node.person("u")["is_identified"]


def test_an_event_with_a_placeholder_id_has_a_person_nevertheless(node):
    (row,) = node.run(line("$identify", "null", X_anon_distinct_id="anon"))
    assert row.person_id == person_uuid(1, "null")
    assert set(node.people()) == {row.person_id}


@pytest.mark.parametrize("other", ["", None, "u", [1], True])
def test_identify_without_another_id_identifies_nobody(node, other):
    node.run(line("$identify", "u", X_anon_distinct_id=other, X_set={"email": "u@example.com"}))
    assert not node.person("u")["is_identified"]
    assert properties(node.person("u")) == {"email": "u@example.com"}
    assert node.warnings() == []


def test_set_once_comes_before_set_and_unset_is_last(node):
    node.run(line("$set", "u", X_set={"a": 2, "c": 1}, X_set_once={"a": 1, "b": 1, "n": None}, X_unset=["c"]))
    assert properties(node.person("u")) == {"a": 2, "b": 1}
    node.run(line("thing", "u", X_set_once={"b": 2}, X_unset={"a": ""}))
    assert properties(node.person("u")) == {"b": 1}


def test_an_event_sets_automatic_and_initial_properties(node):
    node.run(line("$pageview", "u", X_browser="Firefox", utm_source="news", X_os_name="iOS", X_referrer=None, other=1))
    assert properties(node.person("u")) == {
        "$browser": "Firefox", "$initial_browser": "Firefox", "utm_source": "news", "$initial_utm_source": "news",
        "$os": "iOS", "$initial_os": "iOS", "$referrer": None,
    }  # fmt: skip
    node.run(line("$pageview", "v", X_os="Linux", X_lib="posthog-node", X_browser="Go", X_set={"$browser": "own"}))
    assert properties(node.person("v")) == {"$browser": "own", "$initial_browser": "Go"}


def test_a_change_of_noisy_keys_alone_is_shown_on_the_row_and_not_stored(node):
    node.run(line("$pageview", "u", X_current_url="/1"))
    (row,) = node.run(line("$pageview", "u", X_current_url="/2"))
    assert shown(row)["$current_url"] == "/2"
    assert properties(node.person("u"))["$current_url"] == "/1"
    node.run(line("$pageview", "u", X_current_url="/3", X_set={"plan": "pro"}))
    assert properties(node.person("u"))["$current_url"] == "/3"
    node.run(line("$set", "u", X_set={"$current_url": "/4"}))
    assert properties(node.person("u"))["$current_url"] == "/4"


@pytest.mark.parametrize("name", ["$exception", "$$heatmap"])
def test_some_events_create_a_person_and_change_no_property(node, name):
    (row,) = node.run(line(name, "u", X_browser="Firefox", X_set={"a": 1}))
    assert shown(row) == properties(node.person("u")) == {}


def test_a_personless_event_makes_no_person_and_carries_no_property(node):
    (row,) = node.run(
        line("a", "anon", X_process_person_profile=False, X_set={"a": 1}, X_groups={"company": "x"}, kept=1)
    )
    assert node.people() == {}
    assert (row.person_id, row.person_mode, row.group_0) == (person_uuid(1, "anon"), "propertyless", "")
    assert row.properties == {"$process_person_profile": False, "$groups": {"company": "x"}, "kept": 1}
    node.run(line("$identify", "u", X_anon_distinct_id="anon"))
    assert node.person("anon")["versions"] == {("u", 0), ("anon", 0)}
    assert set(node.people()) == {person_uuid(1, "anon")}  # its earlier events need no move


def test_an_id_used_personlessly_moves_when_it_joins_a_known_person(node):
    node.run(line("a", "anon", X_process_person_profile=False), line("a", "u"))
    node.run(line("$identify", "u", X_anon_distinct_id="anon"))
    assert node.person("anon")["versions"] == {("u", 0), ("anon", 1)}


def test_a_personless_event_of_a_known_person_takes_their_id(node):
    """One minute after the person was created it shows that the client should have sent a profile."""
    node.run(line("$set", "u", X_set={"a": 1}))
    soon, late = node.run(
        line("a", "u", X_process_person_profile=False, after_s=59),
        line("a", "u", X_process_person_profile=False, after_s=61),
    )
    assert (soon.person_mode, late.person_mode) == ("propertyless", "force_upgrade")
    assert shown(soon) == shown(late) == {}


def test_a_flag_call_is_personless_until_there_is_a_person(node):
    rows = node.run(
        line("$feature_flag_called", "x"),
        line("$feature_flag_called", "y", X_process_person_profile=True),
        line("$feature_flag_called", "z", X_groups={"company": "acme"}),
        line("$feature_flag_called", "y"),
    )
    assert [row.person_mode for row in rows] == ["propertyless", "full", "full", "full"]
    assert {each for person in node.people().values() for each in person["ids"]} == {"y", "z"}


def test_a_personless_identity_event_is_dropped_with_a_warning(node):
    rows = node.run(line("$identify", "u", X_anon_distinct_id="anon", X_process_person_profile=False), line("a", "u"))
    assert [row.event for row in rows] == ["a"]
    assert node.warnings() == ["invalid_event_when_process_person_profile_is_false"]


def test_groups_have_an_index_and_five_types(node):
    (row,) = node.run(line("a", "u", X_groups={"company": "acme", "team": 7, "none": None}))
    assert (row.group_0, row.group_1, row.group_2) == ("acme", "7", "")
    (row,) = node.run(line("a", "u", X_groups={str(number): "k" for number in range(4)}))
    assert (row.group_2, row.group_3, row.group_4) == ("k", "k", "k")
    assert node.warnings() == ["group_type_limit_exceeded"]
    assert node.groups()[0] == {"company": 0, "team": 1, "0": 2, "1": 3, "2": 4}


def test_groupidentify_merges_a_groups_properties_and_makes_no_person(node):
    node.run(
        line("$groupidentify", "$company_acme", X_group_type="company", X_group_key=5, X_group_set={"a": 1, "b": 1})
    )
    node.run(line("$groupidentify", "$company_acme", X_group_type="company", X_group_key="5", X_group_set={"b": 2}))
    assert node.groups() == ({"company": 0}, {(0, "5"): {"a": 1, "b": 2}})
    assert node.people() == {}


def test_properties_beyond_the_limit_are_not_stored(node):
    node.run(line("$set", "u", X_set={"a": 1}))
    (row,) = node.run(line("$set", "u", X_set={"big": "x" * 600_000}))
    assert shown(row) == properties(node.person("u")) == {"a": 1}
    assert node.warnings() == ["person_properties_size_violation"]


def test_text_that_a_database_cannot_store_is_replaced(node):
    node.run(line("$set", "u", X_set={"a\0": "b\0c"}))
    assert properties(node.person("u")) == {"a\ufffd": "b\ufffdc"}


def test_the_number_of_statements_does_not_grow_with_the_batch(node):
    """Merges, personless events, groups and new people among them."""

    def batch(prefix, size):
        for number in range(size):
            own = f"{prefix}{number}"
            yield line("a", own, X_set={"n": number})
            yield line("p", f"{own}-p", X_process_person_profile=False)
            yield line("$identify", f"{own}-u", X_anon_distinct_id=own)
            yield line("$groupidentify", own, X_group_type="company", X_group_key=own)

    counts = []
    for size in (2, 200):
        node.run(*batch(f"first{size}-", size))
        statements = []

        def note(_connection, _cursor, statement, *_rest, into=statements):
            into.append(statement)

        sqlalchemy_event.listen(node.database._engine, "before_cursor_execute", note)
        node.run(*batch(f"first{size}-", size), *batch(f"second{size}-", size))
        sqlalchemy_event.remove(node.database._engine, "before_cursor_execute", note)
        counts.append(len(statements))
    assert counts[0] == counts[1] < 40


def test_people_of_the_batch_before_are_remembered_until_somebody_else_writes(database, tmp_path):
    """A server's batches never follow each other, and a step without memory asks each time."""
    asked = []

    def note(_connection, _cursor, statement, *_rest):
        asked.append("person_distinct_ids" in statement)

    def asks(node):
        asked.clear()
        sqlalchemy_event.listen(database._engine, "before_cursor_execute", note)
        node.run(line("a", "u"), line("a", "v"))
        sqlalchemy_event.remove(database._engine, "before_cursor_execute", note)
        return any(asked)

    is_server = database.dialect == "postgresql"
    node = Node(database, tmp_path / "n")
    assert [asks(node), asks(node), asks(node)] == [True, is_server, is_server]
    with database.transaction() as session:
        session.execute(text("UPDATE projects SET name = 'another'"))
    assert [asks(node), asks(node)] == [True, is_server]
    forgetful = Node(database, tmp_path / "m", remembered_max_bytes=0)
    assert [asks(forgetful), asks(forgetful)] == [True, True]


def test_features_hear_of_merges_in_the_transaction(database, tmp_path):
    heard = []
    node = Node(database, tmp_path / "n", on_merge=[lambda _session, merges: heard.extend(merges)])
    node.run(line("a", "anon"), line("a", "u"), line("$identify", "u", X_anon_distinct_id="anon"))
    ((merge),) = heard
    assert (merge.team_id, merge.distinct_ids) == (1, ("anon",))
    assert (merge.absorbed_uuid, merge.survivor_uuid) == (person_uuid(1, "anon"), person_uuid(1, "u"))
