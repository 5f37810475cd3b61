"""PostHog's compliance harness, its capture and capture_v1 suites, as sentences over both modes.

Source: docs/internals/capture-protocol.md#compliance-harness.

The mock server is the sink: real requests of the real client.
"""

import re
import uuid
from datetime import UTC, datetime, timedelta, timezone

import pytest

V0, V1 = "/batch/", "/i/v1/analytics/events"
RFC_3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|\+00:00)")
TRANSIENT = {"v0": [408, 500, 502, 503, 504], "v1": [408, 500, 502, 503, 504]}
FINAL = {"v0": [400, 401, 403, 413], "v1": [400, 401, 402, 403, 413, 415]}


@pytest.fixture(params=["v0", "v1"])
def mode(request):
    return request.param


@pytest.fixture
def client(make, mode):
    return make(capture_mode=mode)


def batches(sink):
    return [request.body["batch"] for request in sink.requests]


def only_event(client, sink, *args, **kwargs):
    client.capture(*args, **{"distinct_id": "u1"} | kwargs)
    assert client.flush(20)
    [[event]] = batches(sink)
    return event


# -- the event -------------------------------------------------------------------------------------


def test_an_event_has_the_required_fields(client, sink, mode):
    """Id, name, person, time and properties; in v1 options too, and no more than that."""
    event = only_event(client, sink, "signed up", properties={"plan": "pro", "n": 1, "deep": {"list": [1, None, True]}})
    assert event["event"] == "signed up"
    assert event["distinct_id"] == "u1"
    assert str(uuid.UUID(event["uuid"])) == event["uuid"]
    assert RFC_3339.fullmatch(event["timestamp"])
    assert {"plan": "pro", "n": 1, "deep": {"list": [1, None, True]}}.items() <= event["properties"].items()
    assert set(event) == {
        "event",
        "uuid",
        "distinct_id",
        "timestamp",
        "properties",
        *(["options"] if mode == "v1" else []),
    }


def test_the_library_says_who_it_is(client, sink, mode):
    """v0 in the properties; v1 in PostHog-Sdk-Info, from which the server derives them."""
    event = only_event(client, sink, "e")
    if mode == "v0":
        assert event["properties"]["$lib"] == "hogline"
        assert event["properties"]["$lib_version"]
    else:
        assert not {"$lib", "$lib_version"} & event["properties"].keys()
        assert re.fullmatch(r"hogline/\S+", sink.requests[0].headers["posthog-sdk-info"])


@pytest.mark.parametrize("who", [7, uuid.UUID(int=9), 1.5])
def test_a_distinct_id_is_a_string(client, sink, who):
    """A distinct id of any type becomes a string."""
    assert only_event(client, sink, "e", distinct_id=who)["distinct_id"] == str(who)


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        (datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone(timedelta(hours=2))), "2026-01-02T01:04:05+00:00"),
        ("2026-01-02T03:04:05-05:00", "2026-01-02T08:04:05+00:00"), (datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC), "2026-01-02T03:04:05+00:00"),
    ],
)  # fmt: skip
def test_a_time_is_sent_in_utc_and_texts_that_look_like_times_stay(client, sink, given, sent):
    """Only the field is normalised."""
    event = only_event(client, sink, "e", timestamp=given, properties={"when": "2026-01-02T03:04:05-05:00"})
    assert event["timestamp"] == sent
    assert event["properties"]["when"] == "2026-01-02T03:04:05-05:00"


def test_sets_and_groups_are_preserved(client, sink):
    """Both forms are below `properties` in v1."""
    client.capture(
        "e", distinct_id="u", properties={"$set": {"a": 1}, "$set_once": {"b": 2}}, groups={"company": "acme"}
    )
    assert client.flush(20)
    [[event]] = batches(sink)
    wanted = {"$set": {"a": 1}, "$set_once": {"b": 2}, "$groups": {"company": "acme"}}
    assert wanted.items() <= event["properties"].items()


@pytest.mark.parametrize("off", [True, False])
def test_geoip_is_switched_off_for_a_server_unless_told_otherwise(make, sink, mode, off):
    """It can be set as an option, and for one event."""
    event = only_event(make(capture_mode=mode, disable_geoip=off), sink, "e")
    assert event["properties"].get("$geoip_disable") == (True if off else None)


# -- the request -----------------------------------------------------------------------------------


def test_a_v0_request_is_posthogs_batch(make, sink):
    """The token in the body, `sent_at`, no v1 header and no Authorization."""
    only_event(make(), sink, "e")
    [request] = sink.requests
    assert (request.method, request.path) == ("POST", V0)
    assert set(request.body) == {"api_key", "historical_migration", "sent_at", "batch"}
    assert request.body["api_key"] == "phc_test"
    assert RFC_3339.fullmatch(request.body["sent_at"])
    assert "authorization" not in request.headers
    assert not [name for name in request.headers if name.startswith("posthog-")]


def test_a_v1_request_has_its_path_its_headers_and_its_keys(make, sink):
    """No token and no `sent_at` in the body; nothing goes to an older path."""
    only_event(make(capture_mode="v1"), sink, "e")
    [request] = sink.requests
    assert (request.method, request.path) == ("POST", V1)
    assert set(request.body) == {"created_at", "batch"}
    assert RFC_3339.fullmatch(request.body["created_at"])
    headers = request.headers
    assert headers["authorization"] == "Bearer phc_test"
    assert headers["content-type"] == "application/json"
    assert headers["user-agent"] == headers["posthog-sdk-info"]
    assert headers["posthog-attempt"] == "1"
    assert uuid.UUID(headers["posthog-request-id"])
    assert RFC_3339.fullmatch(headers["posthog-request-timestamp"])


@pytest.mark.parametrize("historical", [True, False])
def test_historical_migration_is_said(make, sink, mode, historical):
    """v0 says it always, v1 only where it is true."""
    only_event(make(capture_mode=mode, historical_migration=historical), sink, "e")
    assert sink.requests[0].body.get("historical_migration", False) is historical
    assert ("historical_migration" in sink.requests[0].body) is (historical or mode == "v0")


@pytest.mark.parametrize("on", [True, False])
def test_bodies_are_compressed_unless_told_otherwise(make, sink, mode, on):
    """The header names it; without it there is no header."""
    only_event(make(capture_mode=mode, gzip=on), sink, "e")
    assert sink.requests[0].headers.get("content-encoding") == ("gzip" if on else None)


def test_events_leave_together_each_with_an_id_of_its_own(client, sink):
    """They are sent in one request, in order."""
    ids = [client.capture(f"e{n}", distinct_id="u") for n in range(10)]
    assert client.flush(20)
    [batch] = batches(sink)
    assert [event["event"] for event in batch] == [f"e{n}" for n in range(10)]
    assert [event["uuid"] for event in batch] == ids
    assert len(set(ids)) == 10


def test_flushing_nothing_sends_nothing(client, sink):
    """Not even an empty batch is sent."""
    assert client.flush(20)
    assert sink.requests == []


def test_requests_have_ids_of_their_own(make, sink):
    """v1."""
    client = make(capture_mode="v1")
    for _ in range(2):
        client.capture("e", distinct_id="u")
        assert client.flush(20)
    assert len({request.headers["posthog-request-id"] for request in sink.requests}) == 2
    assert {request.headers["posthog-attempt"] for request in sink.requests} == {"1"}


# -- trying again ----------------------------------------------------------------------------------


@pytest.mark.parametrize("status", TRANSIENT["v0"])
def test_what_may_pass_is_tried_again_with_the_same_events(client, sink, mode, status):
    """Same ids and times; the first wait is a tenth of a second at least; nothing arrives twice."""
    sink.answer(status)
    client.capture("a", distinct_id="u")
    client.capture("b", distinct_id="u")
    assert client.flush(30)
    first, second = sink.requests
    assert first.body["batch"] == second.body["batch"]
    assert second.at_s - first.at_s >= 0.1
    assert [event.event for event in sink.events] == ["a", "b"]
    if mode == "v1":
        assert [request.headers["posthog-attempt"] for request in sink.requests] == ["1", "2"]
        assert first.headers["posthog-request-id"] == second.headers["posthog-request-id"]
        assert first.headers["posthog-request-timestamp"] != second.headers["posthog-request-timestamp"]
        assert first.body["created_at"] == second.body["created_at"]
    else:
        assert first.body["sent_at"] != second.body["sent_at"]


@pytest.mark.parametrize("status", sorted({*FINAL["v0"], *FINAL["v1"]}))
def test_what_is_final_is_asked_once(client, sink, status):
    """A body that is too large is final as well, for a single event."""
    sink.answer(status)
    client.capture("e", distinct_id="u")
    assert client.flush(20)
    assert len(sink.requests) == 1
    assert sum(client.stats().dropped.values()) == 1


def test_retry_after_is_honoured(client, sink):
    """3 s delay the next request by 2.5 s at least."""
    sink.answer(429 if client.settings.capture_mode == "v0" else 503, headers={"Retry-After": "3"})
    client.capture("e", distinct_id="u")
    assert client.flush(30)
    first, second = sink.requests
    assert second.at_s - first.at_s >= 2.5


def test_four_requests_at_most(client, sink):
    """`max_retries=3`."""
    sink.answer(503, times=9)
    client.capture("e", distinct_id="u")
    assert client.flush(60)
    assert len(sink.requests) == 4
    assert client.stats().dropped == {"retries_exhausted": 1}
