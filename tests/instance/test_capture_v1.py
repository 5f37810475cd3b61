"""Capture v1: a result for each event, and errors that SDKs do not retry."""

import json
import uuid
from datetime import UTC, datetime

import pytest
import urllib3

from tests.instance.reader import WAIT_S

POOL = urllib3.PoolManager(retries=False, timeout=WAIT_S)


def ask(reader, path, method="GET", **how):
    return POOL.request(method, reader.url + path, redirect=False, **how)


V1 = "/i/v1/analytics/events"


def v1_headers(reader, **changed):
    headers = {
        "Authorization": f"Bearer {reader.token}", "PostHog-Sdk-Info": "posthog-node/5.70.0", "PostHog-Attempt": "1",
        "PostHog-Request-Id": str(uuid.uuid4()), "PostHog-Request-Timestamp": datetime.now(UTC).isoformat(),
        "Content-Type": "application/json", "User-Agent": "test",
    }  # fmt: skip
    return {name: value for name, value in {**headers, **changed}.items() if value is not None}


def v1_event(name, **changed):
    event = {
        "event": name, "uuid": str(uuid.uuid4()), "distinct_id": "ada", "timestamp": datetime.now(UTC).isoformat(),
        "session_id": "s-9", "window_id": "w-9", "options": {"process_person_profile": False}, "properties": {"kept": 1},
    }  # fmt: skip
    return {key: value for key, value in {**event, **changed}.items() if value is not None}


def v1_post(reader, batch, **changed):
    body = json.dumps({"created_at": datetime.now(UTC).isoformat(), "batch": batch}).encode()
    return ask(reader, V1, "POST", body=body, headers=v1_headers(reader, **changed))


def test_capture_v1_answers_for_each_event_and_stores_the_good_ones(reader):
    """The stored event has the values of headers and options.

    Source: docs/internals/instance-protocol.md#capture-v1."""
    name = f"v1-{uuid.uuid4()}"
    good = v1_event(name)
    dropped = {
        "missing_event_name": v1_event(None),
        "event_name_too_long": v1_event("x" * 201),
        "missing_distinct_id": v1_event(name, distinct_id=" "),
        "distinct_id_too_large": v1_event(name, distinct_id="y" * 201),
        "invalid_event_timestamp": v1_event(name, timestamp="yesterday"),
        "malformed_event_properties": v1_event(name, properties=[1]),
        "invalid_options": v1_event(name, options=3),
    }
    nobody = v1_event(name, distinct_id="anonymous")
    answer = v1_post(reader, [good, nobody, *dropped.values()])
    assert answer.status == 200, answer.data
    results = answer.json()["results"]
    assert results[good["uuid"]] == {"result": "ok"}
    assert results[nobody["uuid"]] == {"result": "ok", "details": "person_processing_disabled"}
    for reason, event in dropped.items():
        assert results[event["uuid"]] == {"result": "drop", "details": reason}
    found = {one["distinct_id"]: one for one in reader.wait_for(2, event=name)}
    assert set(found) == {"ada", "anonymous"}
    wanted = {
        "kept": 1, "$lib": "posthog-node", "$lib_version": "5.70.0", "$session_id": "s-9", "$window_id": "w-9",
        "$process_person_profile": False,
    }  # fmt: skip
    assert {key: found["ada"]["properties"][key] for key in wanted} == wanted


@pytest.mark.parametrize(
    ("headers", "batch", "status", "error"),
    [
        ({"Authorization": None}, [{}], 401, "invalid_api_token"),
        ({"PostHog-Attempt": None}, [{}], 400, "missing_required_headers"),
        ({"PostHog-Attempt": "0"}, [{}], 400, "invalid_header_value"),
        ({"PostHog-Request-Timestamp": "now"}, [{}], 400, "invalid_header_value"),
        ({}, [], 400, "empty_batch"),
        ({}, [{"event": "x"}], 400, "missing_event_uuid"),
        ({}, [{"event": "x", "uuid": "nope"}], 400, "invalid_event_uuid"),
        ({}, [17], 400, "missing_event_uuid"),
    ],
)
def test_a_broken_v1_request_gets_an_error_that_sdks_do_not_retry(reader, headers, batch, status, error):
    """The error is JSON with a code and a sentence, never a 404, which SDKs retry four times."""
    answer = v1_post(reader, batch, **headers)
    assert (answer.status, answer.json()["error"]) == (status, error)
    assert answer.json()["error_description"]
