"""Snapshots, what events carry of them, and `$feature_flag_called`: once for each person, flag and
answer.
"""

import logging
import threading

import pytest

from hogline.flags.called_events import RecentKeys
from tests.sdk.flags.conftest import called

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")
RECORD = {
    "enabled": True, "variant": "b", "reason": {"code": "condition_match", "condition_index": 0, "description": "Matched condition set 1"},
    "metadata": {"id": 7, "version": 3, "payload": '{"n": 1}', "has_experiment": False},
}  # fmt: skip


def test_an_event_carries_exactly_what_the_code_branched_on(sink, client):
    """One request; `False` too; the caller's own properties win."""
    sink.flags = {"off": False, "on": True, "b": RECORD}
    flags = client.evaluate_flags("u1")
    assert flags.is_enabled("on")
    assert flags.get_flag("b") == "b"
    client.capture("bought", distinct_id="u1", flags=flags, properties={"$feature/on": "mine"})
    client.capture("few", distinct_id="u1", flags=flags.only(["off"]))
    client.capture("read", distinct_id="u1", flags=flags.only_accessed())
    client.capture_exception(ValueError("x"), distinct_id="u1", flags=flags)
    client.flush(20)
    [bought, few, read, error] = [sink.named(name)[0].properties for name in ("bought", "few", "read", "$exception")]
    assert (bought["$feature/off"], bought["$feature/on"], bought["$feature/b"]) == (False, "mine", "b")
    assert bought["$active_feature_flags"] == error["$active_feature_flags"] == ["b", "on"]
    assert [name for name in few if name.startswith("$feature/")] == ["$feature/off"]
    assert "$active_feature_flags" not in few
    assert sorted(name for name in read if name.startswith("$feature/")) == ["$feature/b", "$feature/on"]
    assert len(sink.asked("/flags/")) == 1


def test_the_event_says_all_that_is_known_of_the_answer(sink, client):
    """docs/internals/flags-protocol.md#feature-flag-called."""
    sink.flags = {"b": RECORD}
    client.evaluate_flags("u1", groups={"company": "acme"}).get_flag("b")
    [event] = called(sink, client)
    said = {
        name: value
        for name, value in event.properties.items()
        if "feature" in name or name in ("$groups", "locally_evaluated")
    }
    assert event.distinct_id == "u1"
    assert said == {
        "$feature_flag": "b", "$feature_flag_response": "b", "$feature/b": "b", "locally_evaluated": False, "$feature_flag_payload": {"n": 1},
        "$feature_flag_id": 7, "$feature_flag_version": 3, "$feature_flag_reason": "Matched condition set 1", "$feature_flag_request_id": "r-1",
        "$feature_flag_evaluated_at": 1790000000000, "$feature_flag_has_experiment": False, "$groups": {"company": "acme"},
    }  # fmt: skip


def test_it_is_sent_once_for_each_person_flag_answer_and_groups(sink, client):
    """Reads of snapshots and of single flags count together; silent ones do not count."""
    sink.flags = {"f": True}
    client.evaluate_flags("u1").get_flag("f", send_feature_flag_events=False)
    for _ in range(3):
        client.evaluate_flags("u1").is_enabled("f")
        client.get_feature_flag("f", "u1")
    client.evaluate_flags("u2").is_enabled("f")
    client.evaluate_flags("u1", groups={"company": "acme"}).is_enabled("f")
    sink.flags = {"f": "now a variant"}
    client.evaluate_flags("u1").is_enabled("f")
    client.get_feature_flag_payload("f", "u3")
    assert [(event.distinct_id, event.properties["$feature_flag_response"]) for event in called(sink, client)] == [
        ("u1", True), ("u2", True), ("u1", True), ("u1", "now a variant"),
    ]  # fmt: skip


def test_what_is_remembered_is_bounded_and_forgets_the_oldest(sink, connect):
    """posthog-python bounds persons, and not what it keeps of each."""
    once = RecentKeys(100)
    assert all(once.first(("u", n)) for n in range(1000))
    assert len(once) == 100
    assert not once.first(("u", 999))
    assert once.first(("u", 0))
    client = connect(flag_called_max_entries=1)
    sink.flags = {"a": True, "b": True}
    flags = client.evaluate_flags("u1")
    for key in "abab":
        flags.is_enabled(key)
    assert len(called(sink, client)) == 4


def test_of_many_threads_one_sends_the_event(sink, client):
    """The check and the note are one step."""
    sink.flags = {"f": True}
    flags = client.evaluate_flags("u1")
    start = threading.Barrier(8)

    def read():
        start.wait()
        for _ in range(50):
            flags.is_enabled("f")

    threads = [threading.Thread(target=read) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(called(sink, client)) == 1


@pytest.mark.parametrize(
    ("gate", "has_experiment", "is_minimal"),
    [(True, False, True), (True, None, False), (True, True, False), (False, False, False)],
)
def test_where_the_server_asks_for_little_little_is_sent(sink, connect, gate, has_experiment, is_minimal):
    """This holds only for a flag that certainly no experiment uses."""
    client = connect(super_properties={"tier": 1})
    sink.flags = {
        "f": {
            "enabled": True,
            "metadata": {"id": 1, "payload": "1"}
            | ({} if has_experiment is None else {"has_experiment": has_experiment}),
        }
    }
    sink.flags_more = {"minimalFlagCalledEvents": gate}
    client.evaluate_flags("u1").is_enabled("f")
    [event] = called(sink, client)
    left_out = {"$feature/f", "$feature_flag_payload", "tier"}
    assert left_out.isdisjoint(event.properties) is is_minimal
    assert {"$feature_flag", "$lib", "$lib_version", "locally_evaluated"} <= set(event.properties)


def test_a_flag_that_nobody_knows_is_missing_and_not_off(sink, client):
    """`None`, the default of the caller, and the reason on the event."""
    flags = client.evaluate_flags("u1")
    assert flags.get_flag("g") is None
    assert flags.is_enabled("g", True) is True
    assert client.get_feature_flag_result("h", "u1") is None
    events = called(sink, client)
    assert [event.properties["$feature_flag_error"] for event in events] == ["flag_missing", "flag_missing"]
    assert events[0].properties["$feature/g"] is None
    assert events[0].properties["$feature_flag_request_id"] == "r-1"


def test_what_the_server_could_not_evaluate_has_no_value(sink, client):
    """A failed record is unknown, and says so."""
    sink.flags = {"f": {"enabled": True, "failed": True}, "g": True}
    sink.flags_more = {"errorsWhileComputingFlags": True}
    flags = client.evaluate_flags("u1")
    assert (flags.get_flag("f"), flags.keys) == (None, ["g"])
    assert client.get_all_flags("u1") == {"g": True}
    [event] = called(sink, client)
    assert event.properties["$feature_flag_error"] == "errors_while_computing_flags,evaluation_failed"


def test_a_record_that_cannot_be_read_is_off_and_says_so(sink, client):
    """This holds however it is read.

    Source: docs/internals/flags-protocol.md#flags-response.
    """
    sink.flags = {"g": True}
    sink.flags_more = {"flags": {"f": {"enabled": "yes"}, "g": {"enabled": True}}}
    flags = client.evaluate_flags("u1")
    assert (flags.is_enabled("f", True), flags.is_enabled("g")) == (False, True)
    assert client.get_feature_flag("f", "u2") is False
    errors = [event.properties.get("$feature_flag_error") for event in called(sink, client)]
    assert errors == ["unknown_error", None, "unknown_error"]


def test_flag_keys_limit_what_is_asked_and_what_is_kept(sink, client):
    """An empty list asks for nothing at all."""
    sink.flags = {"a": True, "b": True, "c": True}
    assert client.evaluate_flags("u1", flag_keys=["a", "b"]).keys == ["a", "b"]
    assert sink.asked("/flags/")[0].body["flag_keys_to_evaluate"] == ["a", "b"]
    assert client.evaluate_flags("u1", flag_keys=[]).keys == []
    assert len(sink.asked("/flags/")) == 1


def test_a_snapshot_without_some_flags_says_which_it_never_had(sink, client, caplog):
    """`only()` warns; the original is as it was."""
    sink.flags = {"a": True}
    flags = client.evaluate_flags("u1")
    with caplog.at_level(logging.WARNING, "hogline"):
        assert flags.only(["a", "zz"]).keys == ["a"]
    assert "zz" in caplog.text
    assert flags.only_accessed().keys == []
    assert flags.keys == ["a"]


@pytest.mark.parametrize("options", [True, {"flag_keys_filter": ["a"], "person_properties": {"p": 1}}])
def test_posthog_pythons_older_way_still_works(sink, client, options):
    """`send_feature_flags` asks for each event."""
    sink.flags = {"a": "x"}
    client.capture("e", distinct_id="u1", send_feature_flags=options)
    client.flush(20)
    [event] = sink.named("e")
    assert (event.properties["$feature/a"], event.properties["$active_feature_flags"]) == ("x", ["a"])


@pytest.mark.parametrize("options", ["yes", 3, {"person_properties": 3}])
def test_an_event_is_never_lost_for_its_flags(sink, client, options):
    """posthog-python loses it when the option has a wrong type."""
    sink.answer(500, times=3, path="/flags/")
    assert client.capture("e", distinct_id="u1", send_feature_flags=options)
    assert client.capture("f", distinct_id="u1", flags="no snapshot")
    client.flush(20)
    assert len(sink.named("e")) == len(sink.named("f")) == 1
