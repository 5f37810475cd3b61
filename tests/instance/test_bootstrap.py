"""What keeps the official SDKs healthy besides capture: configuration, scripts, flags, definitions, and capture v1."""

import json
import uuid
from datetime import UTC, datetime

import pytest
import urllib3

from tests.instance.reader import WAIT_S, Reader

POOL = urllib3.PoolManager(retries=False, timeout=WAIT_S)


def ask(reader, path, method="GET", **how):
    return POOL.request(method, reader.url + path, redirect=False, **how)


def test_the_browsers_configuration_comes_as_json_and_as_a_script(reader):
    """Rules `no-surveys-key` and `boolean-autocapture-opt-out`: gzip-js, a boolean opt-out, and no key for surveys."""
    answer = ask(reader, f"/array/{reader.token}/config")
    config = answer.json()
    assert answer.headers["content-type"] == "application/json"
    assert "gzip-js" in config["supportedCompression"]
    assert config["autocapture_opt_out"] is False
    assert config["token"] == reader.token
    assert config["analytics"] == {"endpoint": "/i/v0/e/"}
    assert "surveys" not in config
    script = ask(reader, f"/array/{reader.token}/config.js", headers={"Origin": "https://shop.example"})
    assert script.headers["content-type"].startswith("application/javascript")
    assert script.headers["access-control-allow-origin"] == "https://shop.example"
    literal = script.data.decode().split("{config:", 1)[1].rsplit(",siteApps", 1)[0]
    assert json.loads(literal) == config


def test_a_token_in_the_script_can_only_be_a_token(reader):
    """Nothing that a URL says becomes script."""
    assert ask(reader, "/array/%22%5D%3Balert(1)%2F%2F/config.js").status == 404


@pytest.mark.parametrize("slash", ["", "/"])
@pytest.mark.parametrize(
    ("path", "present", "absent"),
    [
        ("/flags{}?v=2", {"flags": {}}, "featureFlags"),
        ("/flags{}?v=4", {"flags": {}}, "featureFlags"),
        ("/flags{}", {"flags": {}}, "featureFlags"),
        ("/flags{}?v=1", {"featureFlags": {}}, "flags"),
        ("/decide{}?v=1", {"featureFlags": []}, "flags"),
        ("/decide{}", {"featureFlags": []}, "flags"),
        ("/decide{}?v=2", {"featureFlags": {}}, "flags"),
        ("/decide{}?v=3", {"featureFlags": {}, "featureFlagPayloads": {}}, "flags"),
        ("/decide{}?v=4", {"flags": {}}, "featureFlags"),
    ],
)
def test_flags_are_an_empty_set_in_the_shape_of_each_version(reader, path, slash, present, absent):
    """No SDK sees an error, and none goes on asking."""
    body = json.dumps({"token": reader.token, "distinct_id": "ada"}).encode()
    answer = ask(reader, path.format(slash), "POST", body=body)
    assert answer.status == 200, answer.data
    found = answer.json()
    assert found["errorsWhileComputingFlags"] is False
    assert uuid.UUID(found["requestId"])
    assert {name: found[name] for name in present} == present
    assert absent not in found


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"distinct_id": "ada"}, 401, "authentication_failed"),
        ({"token": "phc_x"}, 400, "missing_distinct_id"),
    ],
)
def test_a_flags_request_without_a_key_or_a_person_is_told(reader, body, status, code):
    """In PostHog's error form."""
    answer = ask(reader, "/flags/?v=2", "POST", body=json.dumps(body).encode())
    assert (answer.status, answer.json()["code"]) == (status, code)


@pytest.mark.parametrize("path", ["/flags/definitions", "/flags/definitions/", "/api/feature_flag/local_evaluation/"])
def test_definitions_are_an_empty_set_with_an_etag_for_who_has_the_personal_key(reader, path):
    """A poller that knows the set gets 304; a project token is not enough."""
    query = f"?token={reader.token}&send_cohorts"
    key = {"Authorization": f"Bearer {reader.key}"}
    answer = ask(reader, path + query, headers=key)
    assert answer.json() == {"flags": [], "group_type_mapping": {}, "cohorts": {}}
    known = ask(reader, path + query, headers={**key, "If-None-Match": answer.headers["etag"]})
    assert (known.status, known.data) == (304, b"")
    for headers in ({}, {"Authorization": f"Bearer {reader.token}"}, {"Authorization": "Bearer phx_guess"}):
        assert ask(reader, path + query, headers=headers).status == 401


def test_the_lists_that_sdks_poll_are_empty(reader):
    """A 404 would be asked for again every second."""
    assert ask(reader, "/api/surveys/?token=phc_x").json() == {"surveys": []}
    assert ask(reader, "/api/early_access_features/?token=phc_x").json() == {"earlyAccessFeatures": []}
    assert ask(reader, "/s/", "POST", body=b"[]").json() == {"status": 1}
    absent = ask(
        reader, "/api/projects/@current/feature_flags/beta/remote_config?token=phc_x",
        headers={"Authorization": f"Bearer {reader.key}"},
    )  # fmt: skip
    assert absent.status == 404
    assert absent.json() == {
        "type": "invalid_request",
        "code": "not_found",
        "detail": "This flag does not exist.",
        "attr": None,
    }


def test_without_posthog_js_a_script_is_404_with_the_way_to_have_it(reader):
    """posthog-js goes on without its optional features."""
    answer = ask(reader, "/static/array.js")
    assert answer.status == 404
    assert b"--posthog-js" in answer.data


def test_scripts_come_from_the_package_of_that_version_and_from_nowhere_else(serve, tmp_path):
    """Rules `versioned-scripts` and `script-mime-type`: the right MIME type, another version's path is 404, and no path leaves the folder."""
    dist = tmp_path / "posthog-js" / "dist"
    dist.mkdir(parents=True)
    (dist / "array.js").write_text("array()")
    (dist / "recorder.js").write_text("recorder()")
    (dist / "secret.txt").write_text("secret")
    (tmp_path / "posthog-js" / "package.json").write_text('{"version": "1.2.3"}')
    (tmp_path / "posthog-js" / "outside.js").write_text("outside()")
    served = serve(None, "--posthog-js", str(dist))
    reader = Reader(served.url, served.token, served.key)
    for path in ("/static/array.js", "/static/1.2.3/array.js", "/static/array.js?v=1.2.3"):
        answer = ask(reader, path, headers={"Origin": "https://shop.example"})
        assert (answer.status, answer.data) == (200, b"array()")
        assert answer.headers["content-type"].startswith("application/javascript")
        assert answer.headers["access-control-allow-origin"] == "https://shop.example"
    preloaded = ask(reader, f"/array/{reader.token}/array.js").data.decode()
    assert preloaded.endswith("array()")
    assert reader.token in preloaded
    for path in (
        "/static/9.9.9/array.js", "/static/absent.js", "/static/secret.txt", "/static/..%2foutside.js", "/static/../outside.js",
        "/static/%2e%2e/outside.js", "/static/1.2.3/..%2F..%2Foutside.js",
    ):  # fmt: skip
        assert ask(reader, path).status == 404, path


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
    """docs/internals/instance-protocol.md#capture-v1: what the headers and options say is on the stored event."""
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
        ({}, [{"uuid": "0192f0c0-0000-7000-8000-000000000000"}] * 2, 400, "duplicate_event_uuid"),
        ({}, [17], 400, "missing_event_uuid"),
    ],
)
def test_a_broken_v1_request_gets_an_error_that_sdks_do_not_retry(reader, headers, batch, status, error):
    """JSON, with a code and a sentence; never 404, which is tried four times and then lost."""
    answer = v1_post(reader, batch, **headers)
    assert (answer.status, answer.json()["error"]) == (status, error)
    assert answer.json()["error_description"]
