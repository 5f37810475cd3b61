"""Flags of configuration version 2: which rule decided stands on the events, and an experiment's
split is an exposure.
"""

import pytest

from tests.sdk.flags.conftest import called

RULE = "0190a1b2-0000-7000-8000-000000000001"


def record(value=True, code="targeting_match", *, failed=False, **metadata):
    return {
        "key": "f",
        "value": value,
        "failed": failed,
        "reason": {"code": code, "condition_index": 0, "description": "text for people"},
        "metadata": {"id": 7, "version": 3, "config_version": 2, **metadata},
    }


def split(variant="test", rule=RULE, value=None):
    named = {"rule_type": "experiment", "rule_id": rule, "variant_key": variant, "has_experiment": True}
    return record(variant if value is None else value, "experiment_split", **named)


def exposures(sink, client):
    assert client.flush(20)
    return sink.named("$experiment_exposure")


ATTRIBUTION = ("config_version", "reason_code", "rule_id", "rule_type", "variant_key")


def attribution(event):
    return tuple(event.properties.get(f"$feature_flag_{name}") for name in ATTRIBUTION)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (record(rule_type="percentage_rollout", rule_id=RULE), (2, "targeting_match", RULE, "percentage_rollout", None)),
        (record(rule_type="targeted_release", rule_id=RULE), (2, "targeting_match", RULE, "targeted_release", None)),
        (record(False, "rollout_miss", rule_type="experiment", rule_id=RULE), (2, "rollout_miss", RULE, "experiment", None)),
        (record("h", "holdout", rule_type="experiment", rule_id=RULE), (2, "holdout", RULE, "experiment", None)),
        (split(), (2, "experiment_split", RULE, "experiment", "test")),
        (split(variant=""), (2, "experiment_split", RULE, "experiment", "")),
        # A rule is named whole, or not at all.
        (record(rule_type="experiment", rule_id=RULE), (2, "targeting_match", None, None, None)),
        (record(rule_type="percentage_rollout", rule_id="7"), (2, "targeting_match", None, None, None)),
        (record(rule_type="percentage_rollout"), (2, "targeting_match", None, None, None)),
        (record("x", "experiment_split", rule_type="experiment", rule_id=RULE), (2, "experiment_split", None, None, None)),
        (record(code="something_new", rule_type="experiment", rule_id=RULE), (2, "something_new", None, None, None)),
        (record(failed=True, rule_type="percentage_rollout", rule_id=RULE), (2, "targeting_match", None, None, None)),
    ],
)  # fmt: skip
@pytest.mark.parametrize("way", ["snapshot", "single"])
def test_the_event_names_the_rule_that_decided(sink, client, answer, expected, way):
    """Its code replaces the text written for people.

    An incomplete answer names no rule.
    """
    sink.flags = {"f": answer}
    if way == "snapshot":
        client.evaluate_flags("u1").get_flag("f")
    else:
        client.get_feature_flag_result("f", "u1")
    [event] = called(sink, client)
    assert attribution(event) == expected
    assert "$feature_flag_reason" not in event.properties
    assert len(exposures(sink, client)) == (expected[4] is not None)


def test_an_older_flag_says_what_it_said_before(sink, client):
    """Version 1, typed or not: the text, and no attribution."""
    typed = record("on", rule_type="percentage_rollout", rule_id=RULE)
    typed["metadata"]["config_version"] = 1
    sink.flags = {"f": typed, "g": True}
    flags = client.evaluate_flags("u1")
    flags.get_flag("f")
    flags.get_flag("g")
    assert {event.properties["$feature_flag_reason"] for event in called(sink, client)} == {
        "text for people",
        "Matched condition set 1",
    }
    assert all(attribution(event) == (None,) * 5 for event in called(sink, client))


def test_a_split_is_an_exposure_once_for_each_rule_and_variant(sink, client):
    """This holds however often it is read, and whatever value it has meanwhile.

    Another rule of the flag is another exposure.
    """
    client.register({"$feature_flag_variant_key": "wrong", "$feature_flag_rule_type": "wrong", "team": "a"})
    sink.flags = {"f": split()}
    for _ in range(3):
        client.evaluate_flags("u1").get_flag("f")
    sink.flags = {"f": split(value={"size": 3})}
    client.evaluate_flags("u1").get_flag("f")
    [first] = exposures(sink, client)
    own = {name: value for name, value in first.properties.items() if "flag" in name or "locally" in name}
    assert own == {
        "$feature_flag": "f", "$feature_flag_response": "test", "locally_evaluated": False, "$feature_flag_id": 7,
        "$feature_flag_version": 3, "$feature_flag_request_id": "r-1", "$feature_flag_evaluated_at": 1790000000000,
        "$feature_flag_variant_key": "test", "$feature_flag_rule_id": RULE,
    }  # fmt: skip
    assert (first.distinct_id, first.properties["team"]) == ("u1", "a")
    sink.flags = {"f": split(rule=RULE.replace("1b2", "1b3"))}
    client.evaluate_flags("u1").get_flag("f")
    client.evaluate_flags("u2").get_flag("f")
    assert len(exposures(sink, client)) == 3


def test_arms_of_one_value_are_told_apart(sink, client):
    """Two variants that look alike are two assignments."""
    for variant in ("a", "b"):
        sink.flags = {"f": split(variant, value=True)}
        client.evaluate_flags("u1").get_flag("f")
    assert [event.properties["$feature_flag_variant_key"] for event in called(sink, client)] == ["a", "b"]


def test_a_minimal_event_keeps_its_attribution(sink, client):
    """A forced value, or one from the fallback cache, has no attribution."""
    sink.flags = {"f": record(rule_type="percentage_rollout", rule_id=RULE, has_experiment=False)}
    sink.flags_more = {"minimalFlagCalledEvents": True}
    client.register({"big": "x"})
    client.evaluate_flags("u1").get_flag("f")
    [event] = called(sink, client)
    assert attribution(event) == (2, "targeting_match", RULE, "percentage_rollout", None)
    assert "big" not in event.properties


def test_what_the_fallback_cache_remembers_is_no_exposure(connect, sink):
    """The assignment was reported when the server made it."""
    client = connect(flag_fallback_cache_url="memory://", feature_flags_request_max_retries=0)
    sink.flags = {"f": split()}
    assert client.evaluate_flags("u1").get_flag("f") == "test"
    sink.answer(500, path="/flags/", times=9)
    client.flags.forget_called()
    seen = []
    client.flags._called_events._send = lambda event, *args, **more: seen.append(event)
    assert client.evaluate_flags("u1").get_flag("f") == "test"
    assert seen == ["$feature_flag_called"]


def test_typed_values_are_read_as_older_servers_sent_them(sink, client):
    """Numbers and objects are payloads of a flag that is on.

    A record of a wrong type fails alone.
    """
    sink.flags = {
        "number": record(4.5), "object": record({"size": 3}), "text": record("dark"), "none": record(None),
        "odd": record([1]), "worse": record(True, rule_id=7),
    }  # fmt: skip
    flags = client.evaluate_flags("u1")
    values = {key: (flags.get_flag(key), flags.get_flag_payload(key)) for key in sink.flags}
    assert values == {
        "number": (True, 4.5), "object": (True, {"size": 3}), "text": ("dark", None), "none": (False, None),
        "odd": (False, None), "worse": (False, None),
    }  # fmt: skip
