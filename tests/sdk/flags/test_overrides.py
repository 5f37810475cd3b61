"""Forced answers: from the code, an option, the environment and a file; and the fixture."""

import importlib
import os

import httpx
import pytest

from hogline import PostHog, SettingsError
from hogline.flags.overrides import forced
from tests.sdk.flags.conftest import called

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


def values(client, who="u1"):
    flags = client.evaluate_flags(who)
    return {key: flags.get_flag(key) for key in flags.keys}


def test_a_forced_answer_wins_over_the_server_until_it_is_taken_back(sink, client):
    """For everybody, on every way of asking.

    It is no exposure, so `$feature_flag_called` is not sent.
    """
    sink.flags = {"f": False, "g": True}
    with client.flags.override({"f": {"value": "forced", "payload": {"n": 1}}}):
        assert values(client) == {"f": "forced", "g": True}
        assert client.get_feature_flag("f", "u1") == client.get_all_flags("u1")["f"] == "forced"
        assert (
            client.get_feature_flag_payload("f", "u1") == client.evaluate_flags("u1").get_flag_payload("f") == {"n": 1}
        )
        assert client.get_all_flags_and_payloads("u1")["featureFlagPayloads"] == {"f": '{"n":1}'}
        assert client.evaluate_flags().get_flag("f") == client.get_feature_flag("f") == "forced"
        with client.flags.override(["h"]):
            assert values(client) == {"f": "forced", "h": True, "g": True}
        client.capture("e", distinct_id="u1", flags=client.evaluate_flags("u1"))
    assert values(client) == {"f": False, "g": True}
    events = called(sink, client)
    assert [(event.properties["$feature_flag"], event.properties["$feature_flag_response"]) for event in events] == [
        ("g", True),
        ("f", False),
    ]
    assert sink.named("e")[0].properties["$feature/f"] == "forced"


def test_what_is_forced_needs_no_request(sink, client):
    """No request is sent when nothing else is asked for."""
    override = client.flags.override({"f": True})
    assert client.get_feature_flag("f", "u1") is True
    assert client.evaluate_flags("u1", flag_keys=["f"]).is_enabled("f")
    assert sink.asked("/flags/") == []
    override.remove()
    assert client.get_feature_flag("f", "u1") is None
    client.flags.override({"f": True})
    client.flags.clear_overrides()
    assert client.get_feature_flag("f", "u1") is None


def test_inner_overrides_may_end_in_any_order(client):
    """Each takes back its own, and nothing else."""
    one = client.flags.override({"f": "one"})
    two = client.flags.override({"f": "two"})
    one.remove()
    assert client.get_feature_flag("f", "u1") == "two"
    two.remove()
    assert client.get_feature_flag("f", "u1") is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a, theme=dark,off=false , on=ON", {"a": True, "theme": "dark", "off": False, "on": True}),
        ('{"a": false, "b": {"value": "x"}}', {"a": False, "b": "x"}), ("", {}), (" , ", {}), ("a=", {"a": ""}),
    ],
)  # fmt: skip
def test_the_environments_text(text, expected):
    """JSON, or a list that is easily typed."""
    assert {key: record.value for key, record in forced(text).items()} == expected


@pytest.mark.parametrize("bad", ['{"a": 3}', "{", {"a": None}, {"a": {"value": 2}}])
def test_what_no_flag_can_answer_is_told_where_it_is_said(bad):
    """At the call, or where the client is made."""
    with pytest.raises(SettingsError):
        PostHog("phc_x", flag_overrides=bad, send=False)


def test_the_environment_and_a_file_force_answers(sink, tmp_path, monkeypatch):
    """The code wins over the environment, the environment over the file.

    A file that changes is read again.
    """
    path = tmp_path / "flags.json"
    path.write_text('{"a": "file", "b": "file", "c": "file"}')
    monkeypatch.setenv("HOGLINE_FLAG_OVERRIDES", "b=env,c=env")
    monkeypatch.setenv("HOGLINE_FLAG_OVERRIDES_FILE", str(path))
    client = PostHog("phc_x", host=sink.url, send=False)
    client.flags.override({"c": "code"})
    assert values(client) == {"a": "file", "b": "env", "c": "code"}
    path.write_text('{"a": "changed')
    os.utime(path, ns=(1, 1))
    client.flags._overrides._looked_at_s = 0.0
    assert values(client)["a"] == "file"  # half written: the last overrides still hold
    path.write_text('{"a": "changed"}')
    client.flags._overrides._looked_at_s = 0.0
    assert values(client)["a"] == "changed"
    path.unlink()
    client.flags._overrides._looked_at_s = 0.0
    assert "a" not in values(client)
    client.shutdown(0)


def test_the_fixture_forces_answers_and_asks_nobody(posthog, posthog_flags, monkeypatch):
    """Any other flag is unknown; the example of the documentation, in its own app."""
    monkeypatch.setenv("HOGLINE_PROJECT_TOKEN", "phc_example")
    example = importlib.import_module("examples.flags_app")
    monkeypatch.setattr(example, "posthog", posthog)
    posthog_flags({"summer-sale": True, "theme": {"value": "dark", "payload": {"contrast": 2}}})
    assert posthog.get_feature_flag("another", "u1") is None

    async def visit():
        transport = httpx.ASGITransport(example.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://shop") as browser:
            return await browser.get("/price", headers={"X-POSTHOG-DISTINCT-ID": "alice"})

    import asyncio

    assert asyncio.run(visit()).json() == {"total": 42, "theme": "dark"}
    [event] = posthog.named("price shown")
    assert event.distinct_id == "alice"
    assert event.properties["$feature/summer-sale"] is True
    assert event.properties["$active_feature_flags"] == ["summer-sale", "theme"]


def test_the_example_asks_about_the_visitor(sink, monkeypatch):
    """Who, and what is known of them, come from the request's context."""
    monkeypatch.setenv("HOGLINE_PROJECT_TOKEN", "phc_example")
    monkeypatch.setenv("HOGLINE_HOST", sink.url)
    example = importlib.reload(importlib.import_module("examples.flags_app"))
    sink.flags = {"summer-sale": True}

    async def visit():
        transport = httpx.ASGITransport(example.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://shop") as browser:
            return await browser.get("/price", headers={"X-POSTHOG-DISTINCT-ID": "alice"})

    import asyncio

    assert asyncio.run(visit()).json() == {"total": 42, "theme": "light"}
    [request] = sink.asked("/flags/")
    assert (request.body["distinct_id"], request.body["person_properties"]) == ("alice", {"plan": "pro"})
    example.posthog.shutdown(5)
    assert sink.named("price shown")[0].properties["$feature/summer-sale"] is True
