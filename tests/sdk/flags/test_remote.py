"""Flags that the server answers for: the request, its faults, and what the caller and
`$feature_flag_called` are told.
"""

import asyncio
import socket

import pytest

import hogline
from hogline import PostHog
from tests.sdk.flags.conftest import called
from tests.support.faults import Faults, close_before_answer, cut_body, garbage, hang, reset_in_body

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")
SILENT = {"send_feature_flag_events": False}


def test_a_question_is_one_post_with_what_the_specification_names(sink, client):
    """docs/internals/flags-protocol.md#remote-evaluation: groups that were not passed lose their
    properties; no key in the header; the runtime is named.
    """
    sink.flags = {"f": "a"}
    result = client.get_feature_flag_result(
        "f", "u1", groups={"company": "acme"}, person_properties={"p": 1},
        group_properties={"company": {"n": 1}, "project": {"x": 1}}, device_id="d1", **SILENT,
    )  # fmt: skip
    assert result.get_value() == "a"
    [request] = sink.requests
    assert (request.method, request.path) == ("POST", "/flags/?v=4")
    assert "authorization" not in request.headers
    assert request.body.pop("sent_at")
    assert request.body == {
        "api_key": "phc_test", "token": "phc_test", "distinct_id": "u1", "groups": {"company": "acme"}, "person_properties": {"p": 1},
        "group_properties": {"company": {"$group_key": "acme", "n": 1}}, "geoip_disable": True, "device_id": "d1",
        "flag_keys_to_evaluate": ["f"], "evaluation_runtime": "server",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("record", "value", "payload"),
    [
        ({"enabled": True, "variant": None, "metadata": {"payload": '{"a": 1}'}}, True, {"a": 1}),
        ({"enabled": True, "variant": "b", "metadata": {"payload": "no json"}}, "b", None),
        ({"enabled": False}, False, None), ({"value": "x"}, "x", None), ({"value": 3, "metadata": {"payload": "1"}}, True, 3),
        ({"value": None}, False, None), ({"enabled": True, "failed": True, "metadata": {"payload": "1"}}, None, None),
        ({"enabled": "yes"}, False, None), ({"enabled": True, "metadata": {"id": "seven"}}, False, None), (7, False, None),
    ],
)  # fmt: skip
def test_records_of_every_version_are_read(sink, client, record, value, payload):
    """A wrong type fails its own record, and no other."""
    sink.flags = {"good": True}
    sink.flags_more = {"flags": {"f": record, "good": {"enabled": True}}}
    snapshot = client.evaluate_flags("u1")
    assert snapshot.get_flag("f", **SILENT) == value
    assert snapshot.get_flag_payload("f") == payload
    assert snapshot.is_enabled("good", **SILENT)


def test_the_oldest_answer_is_read_too(sink, client):
    """`featureFlags` and `featureFlagPayloads`, as the compliance harness answers."""
    sink.answer(200, body=b'{"featureFlags": {"a": true, "b": "x", "c": false}, "featureFlagPayloads": {"b": "[1]"}}')
    assert client.get_all_flags_and_payloads("u1") == {
        "featureFlags": {"a": True, "b": "x", "c": False}, "featureFlagPayloads": {"b": "[1]"},
    }  # fmt: skip


@pytest.mark.parametrize(
    ("answers", "requests", "error"),
    [
        ([502], 2, None), ([504], 2, None), ([502, 504], 2, "api_error_504"), ([500], 1, "api_error_500"), ([503], 1, "api_error_503"),
        ([429], 1, "api_error_429"), ([408], 1, "api_error_408"), ([401], 1, "api_error_401"), ([302], 1, "api_error_302"),
    ],
)  # fmt: skip
def test_only_502_and_504_are_asked_again(sink, client, answers, requests, error):
    """RecentKeys, after 0.3 s: somebody waits for the answer."""
    sink.flags = {"f": True}
    for status in answers:
        sink.answer(status, path="/flags/")
    assert client.get_feature_flag("f", "u1") is (None if error else True)
    assert len(sink.asked("/flags/")) == requests
    [event] = called(sink, client)
    assert event.properties.get("$feature_flag_error") == error
    assert event.properties["$feature_flag_response"] is (None if error else True)


@pytest.mark.parametrize(
    ("fault", "connections", "error"),
    [
        (reset_in_body, 2, None),
        (close_before_answer, 2, None),
        (hang, 2, "timeout"),
        (cut_body, 2, None),
        (garbage, 2, None),
    ],
)
def test_a_transport_failure_is_asked_again_once(sink, fault, connections, error):
    """A real proxy misbehaves at first, and then recovers.

    Only a proxy that hangs twice leaves no answer.
    """
    sink.flags = {"f": True}
    proxy = Faults(sink.url, fault, *([fault] if error else []))
    client = PostHog("phc_test", host=proxy.url, feature_flags_request_timeout_seconds=0.3, send=False)
    asked = client.evaluate_flags("u1")
    assert asked.get_flag("f") is (None if error else True)
    assert asked.error == error
    assert proxy.connections == connections
    proxy.stop()
    client.shutdown(0)


@pytest.mark.parametrize("head", [b"HTTP/1.1 200 OK\r\nContent-Length: 300\r\n\r\n", b"HTTP/1.1 200 OK\r\nX-Filler: "])
def test_an_answer_that_drips_is_given_up_in_time(sink, head):
    """Each byte comes soon after the last, so no read ever times out.

    The whole, head and body, has a deadline all the same.
    """
    bytes_sent = []

    def drip(visit):
        visit.request()
        visit.connection.sendall(head)
        while len(bytes_sent) < 299 and not visit.stopped.wait(0.05):
            visit.connection.sendall(b" ")
            bytes_sent.append(1)

    proxy = Faults(sink.url, drip)
    client = PostHog(
        "phc_test",
        host=proxy.url,
        feature_flags_request_timeout_seconds=0.3,
        feature_flags_request_max_retries=0,
        send=False,
    )
    assert client.evaluate_flags("u1").error == "timeout"
    assert len(bytes_sent) < 299
    sink.flags = {"f": True}
    assert client.evaluate_flags("u1").get_flag("f") is True  # the rest of the first response is not read as the second
    proxy.stop()
    client.shutdown(0)


def test_a_refused_connection_is_not_asked_again():
    """Nobody will listen in a third of a second either."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    client = PostHog("phc_test", host=f"http://127.0.0.1:{port}", feature_flags_request_max_retries=20, send=False)
    snapshot = client.evaluate_flags("u1")  # twenty waits would take days
    assert (snapshot.error, snapshot.keys) == ("connection_error", [])
    client.shutdown(0)


def test_a_used_up_quota_is_no_answer_and_is_not_asked_again(sink, client):
    """`quotaLimited` with status 200: flags are unknown, not off."""
    sink.flags_more = {"quotaLimited": ["feature_flags"], "flags": {}}
    assert client.get_feature_flag("f", "u1") is None
    assert len(sink.asked("/flags/")) == 1
    [event] = called(sink, client)
    assert event.properties["$feature_flag_error"] == "quota_limited"


@pytest.mark.parametrize("body", [b"<html>", b"[]", b""])
def test_an_answer_that_is_none_is_an_unknown_error(sink, client, body):
    """A captive portal's page, say."""
    sink.answer(200, body=body, path="/flags/")
    assert client.evaluate_flags("u1").error == "unknown_error"


def test_nobody_to_ask_about_means_no_request_and_an_empty_answer(sink, client):
    """Neither the caller nor the context has a distinct id."""
    assert client.evaluate_flags().keys == []
    assert client.evaluate_flags(" ").is_enabled("f") is False
    assert client.get_feature_flag("f") is None
    assert client.get_all_flags() == {}
    assert client.get_feature_variants() == {}
    assert called(sink, client) == []
    assert sink.requests == []


def test_the_context_says_who_and_what_is_known_of_them(sink, client):
    """The context has the distinct id, groups, person properties and device.

    The caller's arguments win.
    """
    with hogline.new_context():
        hogline.identify_context("ctx")
        hogline.set_context_device_id("device")
        hogline.set_context_groups({"company": "acme", "project": 1})
        hogline.set_context_person_properties({"plan": "pro", "seats": 3})
        client.evaluate_flags(person_properties={"seats": 4}, groups={"project": 2})
        client.capture("in between")
    body = sink.asked("/flags/")[0].body
    assert (body["distinct_id"], body["device_id"]) == ("ctx", "device")
    assert body["groups"] == {"company": "acme", "project": "2"}
    assert body["group_properties"] == {"company": {"$group_key": "acme"}, "project": {"$group_key": "2"}}
    assert body["person_properties"] == {"plan": "pro", "seats": 4}
    client.flush(20)
    [event] = sink.named("in between")
    assert event.properties["$groups"] == {"company": "acme", "project": 1}
    assert "plan" not in event.properties


def test_awaitable_twins_let_the_loop_run(sink, client):
    """While the server takes half a second the loop goes on, and the context is the caller's."""
    sink.flags = {"f": "b"}
    sink.answer(200, body=b'{"flags": {"f": {"enabled": true, "variant": "b"}}}', delay_s=0.5, path="/flags/")

    async def ticking(ticks):
        while True:
            ticks.append(1)
            await asyncio.sleep(0.01)

    async def main():
        ticks = []
        ticker = asyncio.create_task(ticking(ticks))
        with hogline.new_context():
            hogline.identify_context("async-user")
            snapshot = await client.aevaluate_flags()
        during = len(ticks)
        ticker.cancel()
        one = await client.aget_feature_flag_result("f", "u2", **SILENT)
        every = await client.aget_all_flags_and_payloads("u3")
        return snapshot, during, one, every

    snapshot, during, one, every = asyncio.run(main())
    assert snapshot.get_flag("f") == one.variant == every["featureFlags"]["f"] == "b"
    assert during > 3
    assert [request.body["distinct_id"] for request in sink.asked("/flags/")] == ["async-user", "u2", "u3"]


def test_the_methods_that_always_ask_the_server(sink, local):
    """posthog-python's older ones; local rules do not matter to them."""
    sink.definitions = {"flags": []}
    sink.flags = {
        "a": True,
        "b": {"enabled": True, "variant": "x", "metadata": {"payload": "[1]", "id": 4}},
        "c": False,
    }
    assert local.get_feature_variants("u1") == {"a": True, "b": "x", "c": False}
    assert local.get_feature_payloads("u1") == {"b": "[1]"}
    decision = local.get_flags_decision("u1", {"company": "acme"}, flag_keys_to_evaluate=["b"])
    assert decision["requestId"] == "r-1"
    assert decision["flags"]["b"].metadata.id == 4
    assert sink.asked("/flags/")[-1].body["flag_keys_to_evaluate"] == ["b"]


def test_a_remote_config_payload_is_read_with_the_secret_key(sink, local, client):
    """Bearer; without a key nobody is asked."""
    sink.remote_config = {"settings/a": b"", "settings": b'"{\\"limit\\": 3}"'}
    assert local.get_remote_config_payload("settings") == '{"limit": 3}'
    assert local.get_remote_config_payload("unknown") is None
    assert sink.requests[0].headers["authorization"] == "Bearer phs_secret"
    assert sink.requests[0].path == "/api/projects/@current/feature_flags/settings/remote_config?token=phc_test"
    before = len(sink.requests)
    assert client.get_remote_config_payload("settings") is None
    assert asyncio.run(local.aget_remote_config_payload("settings")) == '{"limit": 3}'
    assert len(sink.requests) == before + 1


def test_a_disabled_client_asks_nobody(sink, connect):
    """The answer is the one that posthog-python gives."""
    client = connect(disabled=True)
    assert client.get_feature_flag("f", "u1") is None
    assert client.get_all_flags("u1") is None
    assert client.get_all_flags_and_payloads("u1") == {"featureFlags": None, "featureFlagPayloads": None}
    assert client.evaluate_flags("u1").keys == []
    assert sink.requests == []


@pytest.mark.parametrize(
    "bad",
    [{"groups": ["company"]}, {"person_properties": 7}, {"group_properties": {"company": 3}, "groups": {"company": 1}}],
)
def test_bad_data_never_raises(sink, client, bad):
    """A snapshot that is empty, a value that is unknown."""
    sink.flags = {"f": True}
    assert client.evaluate_flags("u1", **bad).get_flag("f") in (None, True)
    assert client.get_feature_flag("f", "u1", **bad) in (None, True)


def test_a_disabled_client_answers_in_the_shape_of_an_answer(connect):
    """Programs read `["flags"]` of it."""
    off = connect(disabled=True)
    assert off.get_flags_decision("u1") == {"flags": {}, "requestId": None}


@pytest.mark.parametrize(
    "text", ['{"broken":', "not json", "   ", "", "NaN", "Infinity", '{"nested": [NaN]}', "[" * 20000]
)
def test_a_payload_that_is_no_json_is_none(sink, client, text):
    """This holds for every method that reads it.

    Another payload beside it is read.
    """
    sink.flags = {
        key: {"key": key, "enabled": True, "variant": None, "metadata": {"id": 1, "payload": payload}}
        for key, payload in (("broken", text), ("fine", "[1]"))
    }
    flags = client.evaluate_flags("u1")
    assert (flags.get_flag_payload("broken"), flags.get_flag_payload("fine")) == (None, [1])
    assert client.get_feature_flag_result("broken", "u1").payload is None
    assert client.get_all_flags_and_payloads("u1")["featureFlagPayloads"] == {"fine": "[1]"}
    assert client.get_feature_payloads("u1") == {"fine": "[1]"}
