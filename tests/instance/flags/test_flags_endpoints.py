"""The endpoints that SDKs call: the shapes of each version, definitions with an ETag, bad input."""

import gzip
import json
import uuid

import pytest
import urllib3

from tests.instance.flags.api import call, change, create, evaluate, value
from tests.instance.reader import WAIT_S

POOL = urllib3.PoolManager(retries=False, timeout=WAIT_S)


def ask(reader, path, method="GET", **how):
    return POOL.request(method, reader.url + path, redirect=False, **how)


@pytest.fixture(scope="session")
def flags(instance):
    """A boolean flag that is on, one that is off, and one with two variants and payloads."""
    from tests.instance.reader import Reader

    reader = Reader(instance.url, instance.token, instance.key)
    return (
        create(reader, "shape-on"),
        create(reader, "shape-off", groups=[{"properties": [], "rollout_percentage": 0}]),
        create(
            reader, "shape-variant",
            filters={"multivariate": {"variants": [{"key": "a", "rollout_percentage": 100}]}, "payloads": {"a": {"n": 1}}},
        ),
    )  # fmt: skip


@pytest.mark.parametrize("slash", ["", "/"])
@pytest.mark.parametrize(
    ("path", "shape"),
    [
        ("/flags{}?v=2", "v2"), ("/flags{}?v=4", "v2"), ("/flags{}", "v2"), ("/flags{}?v=1", "all"),
        ("/decide{}?v=1", "list"), ("/decide{}", "list"), ("/decide{}?v=2", "active"), ("/decide{}?v=3", "all"),
        ("/decide{}?v=4", "v2"),
    ],
)  # fmt: skip
def test_each_version_answers_in_its_shape(reader, flags, path, slash, shape):
    """Old SDKs and new ones read the same values."""
    body = json.dumps({"token": reader.token, "distinct_id": "ada"}).encode()
    answer = ask(reader, path.format(slash), "POST", body=body)
    assert answer.status == 200, answer.data
    found = answer.json()
    assert found["errorsWhileComputingFlags"] is False
    assert uuid.UUID(found["requestId"])
    if shape == "v2":
        record = found["flags"]["shape-variant"]
        assert (record["enabled"], record["variant"], record["metadata"]["payload"]) == (True, "a", '{"n":1}')
        assert record["reason"] == {
            "code": "condition_match",
            "condition_index": 0,
            "description": "Matched condition set 1",
        }
        assert found["flags"]["shape-off"]["reason"]["code"] == "out_of_rollout_bound"
        assert "featureFlags" not in found
        return
    ours = found["featureFlags"]
    if shape == "list":
        assert {"shape-on", "shape-variant"} <= set(ours)
        assert "shape-off" not in ours
    else:
        assert (ours["shape-on"], ours["shape-variant"]) == (True, "a")
        assert ours.get("shape-off") is (False if shape == "all" else None)
        assert found["featureFlagPayloads"]["shape-variant"] == '{"n":1}'
    assert "flags" not in found


@pytest.mark.parametrize(
    ("change_", "status", "code"),
    [
        ({"token": None}, 401, "authentication_failed"),
        ({"token": "phc_nobody"}, 401, "authentication_failed"),
        ({"distinct_id": None}, 400, "missing_distinct_id"),
        ({"distinct_id": {"a": 1}}, 400, "missing_distinct_id"),
    ],
)
def test_a_flags_request_without_a_key_or_a_person_is_told(reader, change_, status, code):
    """The error has PostHog's form."""
    body = {"token": reader.token, "distinct_id": "ada", **change_}
    answer = ask(reader, "/flags/?v=2", "POST", body=json.dumps(body).encode())
    assert (answer.status, answer.json()["code"]) == (status, code)


@pytest.mark.parametrize(
    "fields",
    [
        {"groups": "x", "person_properties": 5, "group_properties": [1]},
        {"groups": {"company": {"a": 1}, "team": None}, "flag_keys": "x", "evaluation_contexts": {}},
        {"person_properties": {"a\0b": 1, "$x": [[[[]]]]}, "$anon_distinct_id": [], "$device_id": {}},
        {"distinct_id": 7, "disable_flags": "yes", "evaluation_runtime": 9, "timezone": 1, "sent_at": {}},
        {"groups": {"company": 1e300}, "group_properties": {"company": "x"}, "person_properties": {"n": float("nan")}},
    ],
)
def test_fields_of_a_wrong_type_count_as_absent(reader, flags, fields):
    """The client keeps its flags: they are all in the answer."""
    answer = evaluate(reader, **{"distinct_id": "ada", **fields})
    assert {each["key"] for each in flags} <= set(answer["flags"])


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"\xff\xfe",
        b"\x1f\x8b\x08broken",
        b"[" * 100_000,
        b'{"token":"\\ud800","distinct_id":1}',
    ],
)
def test_garbage_is_refused_and_never_fails(reader, body):
    """A client error tells the SDK to keep the flags that it has."""
    for path in ("/flags/?v=2", "/decide/?v=3", "/flags/?v=2&compression=gzip-js"):
        assert ask(reader, path, "POST", body=body).status in (400, 401)


def test_a_compressed_body_is_read_as_posthog_js_sends_it(reader, flags):
    """It is gzip without a header that says so."""
    body = gzip.compress(json.dumps({"token": reader.token, "distinct_id": "ada"}).encode())
    answer = ask(reader, "/flags/?v=2", "POST", body=body, headers={"Content-Type": "text/plain"})
    assert answer.json()["flags"]["shape-on"]["enabled"] is True


def test_only_what_is_asked_for_is_answered(reader, flags):
    """`flag_keys` names flags, `disable_flags` none; an inactive flag is in no answer."""
    assert set(evaluate(reader, flag_keys=["shape-on", "unknown"])["flags"]) == {"shape-on"}
    assert evaluate(reader, disable_flags=True)["flags"] == {}
    assert value(reader, create(reader, active=False)) is None


@pytest.mark.parametrize(
    ("headers", "named", "seen"),
    [
        ({"User-Agent": "posthog-python/7.91.1"}, None, {"server"}),
        ({"User-Agent": "posthog-node/5.70.0"}, None, {"server"}),
        ({"User-Agent": "Mozilla/5.0 (X11)"}, None, {"client"}),
        ({"User-Agent": "thing/1", "Origin": "https://shop.example"}, None, {"client"}),
        ({"User-Agent": "thing/1"}, None, set()),
        ({"User-Agent": "thing/1"}, "server", {"server"}),
        ({"User-Agent": "posthog-python/7.91.1"}, "client", {"client"}),
    ],
)
def test_a_flag_of_the_other_runtime_is_left_out(reader, headers, named, seen):
    """The request says where it comes from, or its headers do."""
    made = {name: create(reader, evaluation_runtime=name) for name in ("client", "server", "all")}
    body = {"evaluation_runtime": named} if named else {}
    found = evaluate(reader, headers=headers, flag_keys=[each["key"] for each in made.values()], **body)["flags"]
    assert set(found) == {made[name]["key"] for name in (*seen, "all")}


def test_a_flag_with_evaluation_contexts_needs_one_of_them(reader):
    """Without contexts in the request it is left out."""
    made = create(reader, evaluation_contexts=["checkout", "admin"])
    assert value(reader, made) is None
    assert value(reader, made, evaluation_contexts=["docs"]) is None
    assert value(reader, made, evaluation_contexts=["docs", "checkout"]) is True
    assert value(reader, made, evaluation_environments=["admin"]) is True


def test_a_change_is_seen_by_the_next_request(reader):
    """No cache stands between the API and the SDKs."""
    made = create(reader)
    assert value(reader, made) is True
    change(reader, made, filters={"groups": [{"properties": [], "rollout_percentage": 0}]})
    assert value(reader, made) is False


@pytest.mark.parametrize("path", ["/flags/definitions", "/flags/definitions/", "/api/feature_flag/local_evaluation/"])
def test_definitions_have_an_etag_for_who_has_a_key(reader, flags, path):
    """A poller that has the current set gets 304; a change gives another tag."""
    query = f"?token={reader.token}&send_cohorts"
    key = {"Authorization": f"Bearer {reader.key}"}
    answer = ask(reader, path + query, headers=key)
    assert {"shape-on", "shape-off", "shape-variant"} <= {each["key"] for each in answer.json()["flags"]}
    assert {"group_type_mapping", "cohorts"} <= set(answer.json())
    known = ask(reader, path + query, headers={**key, "If-None-Match": answer.headers["etag"]})
    assert (known.status, known.data) == (304, b"")
    create(reader)
    fresh = ask(reader, path + query, headers={**key, "If-None-Match": answer.headers["etag"]})
    assert (fresh.status, fresh.headers["etag"] != answer.headers["etag"]) == (200, True)
    for headers in ({}, {"Authorization": f"Bearer {reader.token}"}, {"Authorization": "Bearer phx_guess"}):
        assert ask(reader, path + query, headers=headers).status == 401


def test_a_flag_that_does_not_exist_has_no_remote_config(reader):
    """The response is a 404 in PostHog's error form."""
    status, absent = call(reader, "GET", "/api/projects/@current/feature_flags/absent/remote_config?token=phc_x")
    assert status == 404
    assert absent == {
        "type": "invalid_request",
        "code": "not_found",
        "detail": "This flag does not exist.",
        "attr": None,
    }
