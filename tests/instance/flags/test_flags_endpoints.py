"""Flag endpoints: every project's set of flags is empty, in the shape that each version expects."""

import json
import uuid

import pytest
import urllib3

from tests.instance.reader import WAIT_S

POOL = urllib3.PoolManager(retries=False, timeout=WAIT_S)


def ask(reader, path, method="GET", **how):
    return POOL.request(method, reader.url + path, redirect=False, **how)


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
    """No SDK gets an error, and none keeps retrying."""
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
    """The error has PostHog's form."""
    answer = ask(reader, "/flags/?v=2", "POST", body=json.dumps(body).encode())
    assert (answer.status, answer.json()["code"]) == (status, code)


@pytest.mark.parametrize("path", ["/flags/definitions", "/flags/definitions/", "/api/feature_flag/local_evaluation/"])
def test_definitions_are_an_empty_set_with_an_etag_for_who_has_the_personal_key(reader, path):
    """A poller that has the current set gets 304; a project token is not enough."""
    query = f"?token={reader.token}&send_cohorts"
    key = {"Authorization": f"Bearer {reader.key}"}
    answer = ask(reader, path + query, headers=key)
    assert answer.json() == {"flags": [], "group_type_mapping": {}, "cohorts": {}}
    known = ask(reader, path + query, headers={**key, "If-None-Match": answer.headers["etag"]})
    assert (known.status, known.data) == (304, b"")
    for headers in ({}, {"Authorization": f"Bearer {reader.token}"}, {"Authorization": "Bearer phx_guess"}):
        assert ask(reader, path + query, headers=headers).status == 401


def test_a_flag_that_does_not_exist_has_no_remote_config(reader):
    """The response is a 404 in PostHog's error form."""
    absent = ask(
        reader,
        "/api/projects/@current/feature_flags/beta/remote_config?token=phc_x",
        headers={"Authorization": f"Bearer {reader.key}"},
    )
    assert absent.status == 404
    assert absent.json() == {
        "type": "invalid_request",
        "code": "not_found",
        "detail": "This flag does not exist.",
        "attr": None,
    }
