"""OpenFeature: its own client asks, PostHog's flags answer."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest
from openfeature import api
from openfeature.evaluation_context import EvaluationContext
from openfeature.exception import ErrorCode
from openfeature.flag_evaluation import Reason
from openfeature.track import TrackingEventDetails

import hogline
from hogline import PostHog
from hogline.integrations.openfeature import PostHogProvider

ROOT = Path(__file__).parents[3]
ALICE = EvaluationContext(
    "alice", {"plan": "pro", "groups": {"company": "acme"}, "group_properties": {"company": {"n": 1}}, "device_id": "d"}
)
FLAGS = {
    "on": True, "off": False, "theme": "dark", "seven": "7", "half": "0.5",
    "limits": {"enabled": True, "variant": "big", "metadata": {"payload": '{"rows": [1, 2]}'}},
    "count": {"enabled": True, "metadata": {"payload": "12"}},
}  # fmt: skip
CASES = [
    ("boolean", "on", False, True, Reason.TARGETING_MATCH, None), ("boolean", "off", True, False, Reason.DEFAULT, None),
    ("boolean", "theme", False, True, Reason.SPLIT, None), ("string", "theme", "light", "dark", Reason.SPLIT, None),
    ("string", "on", "light", "light", Reason.ERROR, ErrorCode.TYPE_MISMATCH), ("string", "off", "light", "light", Reason.DEFAULT, None),
    ("integer", "seven", 1, 7, Reason.SPLIT, None), ("integer", "count", 1, 12, Reason.TARGETING_MATCH, None),
    ("integer", "half", 1, 1, Reason.ERROR, ErrorCode.TYPE_MISMATCH), ("float", "half", 1.0, 0.5, Reason.SPLIT, None),
    ("float", "theme", 1.0, 1.0, Reason.ERROR, ErrorCode.TYPE_MISMATCH), ("object", "limits", {}, {"rows": [1, 2]}, Reason.SPLIT, None),
    ("object", "on", {"a": 1}, {"a": 1}, Reason.ERROR, ErrorCode.TYPE_MISMATCH),
    ("boolean", "unknown", True, True, Reason.ERROR, ErrorCode.FLAG_NOT_FOUND),
]  # fmt: skip


@pytest.fixture
def posthog(sink):
    client = PostHog("phc_test", host=sink.url, flush_interval=0.05)
    sink.flags = FLAGS
    yield client
    client.shutdown(5)


@pytest.fixture
def openfeature(posthog):
    api.set_provider_and_wait(PostHogProvider(posthog))
    yield api.get_client()
    api.clear_providers()


@pytest.mark.parametrize(("kind", "key", "default", "value", "reason", "error"), CASES)
def test_each_type_is_read_from_value_variant_or_payload(openfeature, kind, key, default, value, reason, error):
    """Synchronous and asynchronous methods agree."""
    found = getattr(openfeature, f"get_{kind}_details")(key, default, ALICE)
    assert (found.value, found.reason, found.error_code) == (value, reason, error)
    again = asyncio.run(getattr(openfeature, f"get_{kind}_details_async")(key, default, ALICE))
    assert again == found


def test_the_evaluation_context_says_who_and_what_is_known(openfeature, sink):
    """The targeting key is the distinct id, attributes are person properties.

    Only one flag is requested.
    """
    openfeature.get_boolean_value("on", default_value=False, evaluation_context=ALICE)
    body = sink.asked("/flags/")[0].body
    assert (body["distinct_id"], body["person_properties"], body["device_id"]) == ("alice", {"plan": "pro"}, "d")
    assert body["group_properties"] == {"company": {"$group_key": "acme", "n": 1}}
    assert body["flag_keys_to_evaluate"] == ["on"]


def test_without_a_targeting_key_the_context_says_who(openfeature, sink):
    """Where the context has no id either, no request is made."""
    found = openfeature.get_boolean_details("on", default_value=True)
    assert (found.value, found.error_code) == (True, ErrorCode.TARGETING_KEY_MISSING)
    assert sink.requests == []
    with hogline.new_context():
        hogline.identify_context("bob")
        assert openfeature.get_string_value("theme", "light") == "dark"
    assert sink.asked("/flags/")[0].body["distinct_id"] == "bob"


def test_a_server_out_of_reach_leaves_the_default(openfeature, sink):
    """The default comes with the reason."""
    sink.answer(500, path="/flags/")
    found = openfeature.get_boolean_details("on", default_value=True, evaluation_context=ALICE)
    assert (found.value, found.error_code, found.error_message) == (
        True,
        ErrorCode.GENERAL,
        "the server gave no answer: api_error_500",
    )


def test_reading_tells_posthog_once_and_tracking_captures(openfeature, posthog, sink):
    """`$feature_flag_called`, and an event of the tracked name."""
    for _ in range(3):
        openfeature.get_boolean_value("on", default_value=False, evaluation_context=ALICE)
    openfeature.track("bought", ALICE, TrackingEventDetails(9.5, {"items": 2}))
    posthog.flush(20)
    assert len(sink.named("$feature_flag_called")) == 1
    [event] = sink.named("bought")
    assert (event.distinct_id, event.properties["value"], event.properties["items"]) == ("alice", 9.5, 2)
    assert event.properties["$groups"] == {"company": "acme"}


def test_silently_if_told_so(posthog, sink):
    """`send_feature_flag_events=False`."""
    PostHogProvider(posthog, send_feature_flag_events=False).resolve_boolean_details("on", False, ALICE)
    posthog.flush(20)
    assert sink.named("$feature_flag_called") == []


def test_definitions_are_loaded_when_the_provider_is_set(sink, tmp_path):
    """They are loaded where the client has a key.

    A forced answer counts here too.
    """
    sink.definitions = {"flags": [{"key": "f", "active": True, "filters": {"groups": [{"rollout_percentage": 100}]}}]}
    client = PostHog("phc_test", host=sink.url, secret_key="phs_x", flag_cache_dir=str(tmp_path / "c"), send=False)
    api.set_provider_and_wait(PostHogProvider(client))
    assert api.get_client().get_boolean_value("f", default_value=False, evaluation_context=ALICE) is True
    with client.flags.override({"f": False}):
        assert api.get_client().get_boolean_value("f", default_value=True, evaluation_context=ALICE) is False
    assert sink.asked("/flags/") == []
    api.clear_providers()
    client.shutdown(0)


def test_the_example_runs(sink):
    """The page shows it as it is."""
    sink.flags = FLAGS | {"summer-sale": True}
    run = subprocess.run(
        [sys.executable, "examples/openfeature_flags.py"],
        cwd=ROOT, env=os.environ | {"HOGLINE_PROJECT_TOKEN": "phc_x", "HOGLINE_HOST": sink.url}, capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    assert run.stdout.splitlines() == ["sale: True", "theme: dark", "limits: {'rows': [1, 2]}"]
