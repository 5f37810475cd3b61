"""The v1 form of an event, and the server's words on each: tables of
docs/internals/capture-protocol.md#capture-v1.
"""

import copy
import gzip
import zlib

import orjson
import pytest
from backports import zstd
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hogline.wire.batch import compress
from hogline.wire.capture_v1 import encode_v1, event_v1, outcomes

BARE = {
    "event": "e",
    "uuid": "0192f0c0-0000-7000-8000-000000000000",
    "distinct_id": "u",
    "timestamp": "2026-11-25T12:00:00+00:00",
}


def form(properties=None, **more):
    return event_v1({**BARE, "properties": {} if properties is None else properties, **more})


def test_an_event_has_its_fields_at_the_root_and_options_always():
    """Even where there are none."""
    assert form({"total": 42}) == {**BARE, "options": {}, "properties": {"total": 42}}


@pytest.mark.parametrize(
    ("name", "option"),
    [
        ("$cookieless_mode", "cookieless_mode"), ("$ignore_sent_at", "disable_skew_correction"),
        ("$process_person_profile", "process_person_profile"),
    ],
)  # fmt: skip
@pytest.mark.parametrize(
    ("value", "becomes"),
    [
        (True, True), (False, False), ("true", True), (" TRUE ", True), ("1", True), ("False", False), ("0", False), (1, True), (0, False),
        (2.5, True), (0.0, False), ("yes", None), ("", None), (None, None), ([], None), ({}, None),
    ],
)  # fmt: skip
def test_a_flag_becomes_an_option_of_its_type_and_leaves_the_properties(name, option, value, becomes):
    """A flag that cannot be read leaves them too, and then there is no option."""
    made = form({name: value, "kept": 1})
    assert made["properties"] == {"kept": 1}
    assert made["options"] == ({} if becomes is None else {option: becomes})


def test_the_product_tour_is_a_string_or_nothing():
    """The one option that is no flag."""
    assert form({"$product_tour_id": "t1"})["options"] == {"product_tour_id": "t1"}
    assert form({"$product_tour_id": 5}) == {**BARE, "options": {}, "properties": {}}


@pytest.mark.parametrize("name", ["session_id", "window_id"])
def test_session_and_window_go_to_the_root_as_strings(name):
    """Anything else is dropped."""
    assert form({f"${name}": "s"}) == {**BARE, name: "s", "options": {}, "properties": {}}
    assert form({f"${name}": 7}) == {**BARE, "options": {}, "properties": {}}


@pytest.mark.parametrize("name", ["$set", "$set_once"])
def test_what_is_set_goes_into_the_properties(name):
    """Two objects merge, and the properties win."""
    assert form({}, **{name: {"a": 1}})["properties"] == {name: {"a": 1}}
    merged = form({name: {"a": "inside", "b": 1}}, **{name: {"a": "above", "c": 2}})
    assert merged["properties"] == {name: {"a": "inside", "b": 1, "c": 2}}
    assert name not in merged


def test_the_library_is_the_headers_business():
    """The server adds it from PostHog-Sdk-Info; groups and geoip stay."""
    kept = {"$groups": {"company": "acme"}, "$geoip_disable": True, "$is_server": True}
    assert form({"$lib": "hogline", "$lib_version": "1", **kept})["properties"] == kept


plain = st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=5)
json = plain | st.lists(plain, max_size=3) | st.dictionaries(st.text(max_size=5), plain, max_size=3)
names = st.sampled_from(["$session_id", "$window_id", "$set", "$process_person_profile", "$lib", "plan"])


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(names, json), st.dictionaries(st.sampled_from(["$set", "$set_once"]), json))
def test_the_given_event_is_not_changed(properties, more):
    """Hooks, retries and the spool still need it."""
    event = {**BARE, "properties": properties, **more}
    before = copy.deepcopy(event)
    made = event_v1(event)
    assert event == before
    assert made["properties"].get("plan") == properties.get("plan")
    assert not {"$session_id", "$window_id", "$process_person_profile", "$lib"} & made["properties"].keys()


def test_a_body_has_no_key_and_no_sent_at():
    """It has `historical_migration` only where that is true."""
    events = [orjson.dumps(form()), orjson.dumps(form())]
    assert orjson.loads(encode_v1(events, "2026-11-25T12:00:00+00:00", historical_migration=False)) == {
        "created_at": "2026-11-25T12:00:00+00:00",
        "batch": [form(), form()],
    }
    assert orjson.loads(encode_v1(events, "t", historical_migration=True))["historical_migration"] is True


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@pytest.mark.parametrize(
    ("encoding", "decompress"), [("gzip", gzip.decompress), ("deflate", zlib.decompress), ("zstd", zstd.decompress)]
)
@given(body=st.binary())
def test_what_is_compressed_can_be_read_again(encoding, decompress, body):
    """deflate has zlib's header."""
    assert decompress(compress(body, encoding)) == body


@pytest.mark.parametrize(
    ("said", "means"),
    [
        ({"result": "ok"}, ("sent", "")), ({"result": "warning", "details": "x"}, ("sent", "")), ({"result": "limited"}, ("sent", "")),
        ({"result": "new in 2030"}, ("sent", "")), (None, ("sent", "")), ("odd", ("sent", "")), ({}, ("sent", "")),
        ({"result": "drop", "details": "event_name_too_long"}, ("drop", "event_name_too_long")), ({"result": "drop"}, ("drop", "")),
        ({"result": "retry", "details": "not_persisted"}, ("retry", "not_persisted")),
    ],
)  # fmt: skip
def test_each_result_means_sent_dropped_or_again(said, means):
    """A result that is absent or unknown counts as sent: the server answered 200."""
    body = orjson.dumps({"results": {"a": said, "other": {"result": "drop"}}})
    [outcome] = outcomes(body, ["a"])
    assert (outcome.result, outcome.details) == means
    assert outcomes(body, ["absent"])[0].result == "sent"


@pytest.mark.parametrize(
    "body", [b"", b"<html>", b"[]", b"1", b'{"status": 1}', b'{"results": []}', b'{"results": null}', b"\xff"]
)
def test_an_answer_without_results_says_nothing(body):
    """It is not read as success."""
    assert outcomes(body, ["a"]) is None
