"""Definitions of flags through PostHog's API: what is accepted, refused, counted and kept."""

import hashlib
import sqlite3
import time
import uuid
from contextlib import closing

import pytest

from tests.instance.flags.api import FLAGS, call, change, create, value
from tests.instance.reader import WAIT_S, Reader


def condition(**filter_):
    return {
        "groups": [{"properties": [{"key": "email", "type": "person", "operator": "exact", "value": "x", **filter_}]}]
    }


def test_terraform_creates_changes_deletes_and_restores_a_flag_as_it_sends_them(reader):
    """Create and update send `deleted: false`; delete is a GET, then a PATCH with the key."""
    sent = {
        "key": "terraform", "name": "By Terraform", "active": True, "deleted": False, "tags": ["managed-by:terraform"],
        "filters": {"groups": [{"properties": [], "rollout_percentage": 50}]}, "rollout_percentage": 50,
        "ensure_experience_continuity": False,
    }  # fmt: skip
    status, made = call(reader, "POST", FLAGS, sent)
    assert status == 201
    assert {name: made[name] for name in ("key", "name", "active", "deleted", "tags", "rollout_percentage", "version")} == {
        "key": "terraform", "name": "By Terraform", "active": True, "deleted": False, "tags": ["managed-by:terraform"],
        "rollout_percentage": 50, "version": 1,
    }  # fmt: skip
    assert change(reader, made, **{**sent, "name": "Renamed"})["version"] == 2
    assert change(reader, made, key="terraform", deleted=True)["deleted"] is True
    assert made["id"] not in [each["id"] for each in call(reader, "GET", FLAGS)[1]["results"]]
    assert change(reader, made, **sent)["deleted"] is False


def test_a_deleted_flags_key_is_free_and_a_restored_flag_gets_another(reader):
    """Two live flags never share a key."""
    first = create(reader, "recycled")
    change(reader, first, deleted=True)
    second = create(reader, "recycled")
    assert second["id"] != first["id"]
    assert change(reader, first, deleted=False)["key"] == "recycled-2"


def test_the_flag_of_the_recordings_is_neither_deleted_nor_renamed(reader):
    """posthog-js would record nothing any more; the answer names the setting."""
    flag = create(reader)
    link = {"session_recording_linked_flag": {"id": flag["id"], "key": flag["key"]}}
    try:
        assert call(reader, "PATCH", "/api/projects/@current/", link)[0] == 200
        for sent in ({"deleted": True}, {"key": "renamed"}):
            status, answer = call(reader, "PATCH", f"{FLAGS}{flag['id']}/", sent)
            assert (status, "session_recording_linked_flag" in answer["detail"]) == (400, True)
        assert change(reader, flag, key=flag["key"], name="still changed")["name"] == "still changed"
    finally:
        call(reader, "PATCH", "/api/projects/@current/", {"session_recording_linked_flag": None})
    assert change(reader, flag, deleted=True)["deleted"] is True


@pytest.mark.parametrize(
    ("body", "attr", "code", "says"),
    [
        ({}, "key", "required", "required"),
        ({"key": "no spaces"}, "key", "invalid_key", "hyphens"),
        ({"key": "k" * 401}, "key", "max_length", "400"),
        ({"key": "a", "filters": {"groups": []}}, "filters", "invalid_input", "at least one condition set"),
        ({"key": "a", "filters": {"groups": [{"rollout_percentage": "50"}]}}, "filters", "invalid_input", "between 0 and 100"),
        ({"key": "a", "filters": {"groups": [{"rollout_percentage": True}]}}, "filters", "invalid_input", "between 0 and 100"),
        ({"key": "a", "filters": {"groups": [{}], "multivariate": {"variants": [{"key": "x", "rollout_percentage": 99}]}}}, "filters", "invalid_input", "sum to 100"),
        ({"key": "a", "filters": {"groups": [{"variant": "gone"}]}}, "filters", "invalid_input", "does not exist"),
        ({"key": "a", "filters": condition(operator="regex", value="(")}, "filters", "invalid_value", "not a regular expression"),
        ({"key": "a", "filters": condition(operator="regex", value="(?=x)")}, "filters", "invalid_value", "write it without"),
        ({"key": "a", "filters": condition(operator="gt", value=5)}, "filters", "invalid_value", 'as "42"'),
        ({"key": "a", "filters": condition(operator="like")}, "filters", "invalid_operator", "does not exist"),
        ({"key": "a", "filters": condition(operator="between", value=[1, 2])}, "filters", "unsupported_operator", "gte"),
        ({"key": "a", "filters": condition(operator="is_date_before", value="soon")}, "filters", "invalid_date", "2026-01-31"),
        ({"key": "a", "filters": condition(operator="semver_gt", value="x")}, "filters", "invalid_value", "1.2.3"),
        ({"key": "a", "filters": condition(type="cohort", key="id", value=999_999)}, "filters", "cohort_does_not_exist", "no cohort"),
        ({"key": "a", "filters": condition(type="group")}, "filters", "invalid_input", "about people"),
        ({"key": "a", "filters": condition(type="flag", operator="flag_evaluates_to", key="999999")}, "filters", "invalid_input", "no flag"),
        ({"key": "a", "filters": {"groups": [{}], "payloads": {"true": "{broken"}}}, "filters", "invalid_input", "not valid JSON"),
        ({"key": "a", "filters": {"groups": [{}], "payloads": {"other": "1"}}}, "filters", "invalid_input", "expected true"),
        ({"key": "a", "filters": []}, "filters", "invalid_input", "must be an object"),
        ({"key": "a", "evaluation_runtime": "edge"}, "evaluation_runtime", "invalid_choice", "client"),
        ({"key": "a", "has_encrypted_payloads": True}, "non_field_errors", "invalid_input", "remote config"),
        ({"key": "a", "archived": True}, "non_field_errors", "invalid_input", "disable it"),
    ],
)  # fmt: skip
def test_what_cannot_be_evaluated_is_refused_with_posthogs_code_and_a_way_out(reader, body, attr, code, says):
    """Nothing is stored of it."""
    status, error = call(reader, "POST", FLAGS, body)
    assert (status, error["type"], error["attr"], error["code"]) == (400, "validation_error", attr, code), error
    assert says in error["detail"]


def test_a_key_is_taken_once(reader):
    """The second flag is refused."""
    create(reader, "taken")
    status, error = call(reader, "POST", FLAGS, {"key": "taken"})
    assert (status, error["code"], error["detail"]) == (400, "unique", "There is already a feature flag with this key.")


def test_a_circle_of_dependencies_is_refused_and_spelled_out(reader):
    """a needs b, so b cannot need a; and no flag that others need can be disabled."""
    b = create(reader, "circle-b")
    needs = {"type": "flag", "operator": "flag_evaluates_to", "value": True}
    a = create(reader, "circle-a", groups=[{"properties": [{**needs, "key": str(b["id"])}]}])
    back = {"groups": [{"properties": [{**needs, "key": str(a["id"])}]}]}
    status, error = call(reader, "PATCH", f"{FLAGS}{b['id']}/", {"filters": back})
    assert status == 400
    assert "circle-b → circle-a → circle-b" in error["detail"]
    for fields in ({"active": False}, {"deleted": True}):
        status, error = call(reader, "PATCH", f"{FLAGS}{b['id']}/", fields)
        assert (status, "circle-a" in error["detail"]) == (400, True)
    assert call(reader, "GET", f"{FLAGS}{b['id']}/dependent_flags/")[1] == [
        {"id": a["id"], "key": "circle-a", "name": ""}
    ]


def test_the_history_says_who_changed_what_and_a_stale_change_is_refused(reader):
    """Each change is a version; a writer who read an old version of the same field gets 409."""
    made = create(reader, "kept", name="one")
    change(reader, made, name="two")
    history = call(reader, "GET", f"{FLAGS}{made['id']}/activity/")[1]
    assert [each["activity"] for each in history["results"]] == ["updated", "created"]
    assert history["results"][0]["detail"]["changes"] == [
        {"type": "FeatureFlag", "action": "changed", "field": "name", "before": "one", "after": "two"}
    ]
    assert history["results"][0]["user"]["first_name"]
    stale = {"name": "three", "version": 1, "original_flag": made}
    status, error = call(reader, "PATCH", f"{FLAGS}{made['id']}/", stale)
    assert (status, error["code"]) == (409, "conflict")


def test_a_flag_is_never_deleted_hard(reader):
    """DELETE names the call that deletes."""
    status, error = call(reader, "DELETE", f"{FLAGS}{create(reader)['id']}/")
    assert (status, error["code"]) == (405, "method_not_allowed")
    assert '"deleted" to true' in error["detail"]


def test_the_list_filters_and_pages(reader):
    """The newest comes first; `search`, `active`, `type` and `tags` narrow it."""
    made = [create(reader, f"listed-{number}", tags=["listed"], active=number != 1) for number in range(3)]
    page = call(reader, "GET", f'{FLAGS}?tags=["listed"]&limit=2')[1]
    assert (page["count"], [each["id"] for each in page["results"]]) == (3, [made[2]["id"], made[1]["id"]])
    assert "offset=2" in page["next"]
    assert [each["key"] for each in call(reader, "GET", f"{FLAGS}?search=LISTED-1")[1]["results"]] == ["listed-1"]
    assert call(reader, "GET", f'{FLAGS}?tags=["listed"]&active=false')[1]["count"] == 1
    assert call(reader, "GET", f'{FLAGS}?tags=["listed"]&type=multivariant')[1]["count"] == 0


def test_encrypted_remote_config_shows_only_to_who_asks_for_it(reader):
    """Records hold a marker; sending the marker back keeps the payload."""
    made = create(
        reader, "secret-config", is_remote_configuration=True, has_encrypted_payloads=True,
        filters={"payloads": {"true": {"password": "canary"}}},
    )  # fmt: skip
    assert "canary" not in str(made)
    changed = change(reader, made, name="renamed", filters=made["filters"])
    path = f"{FLAGS}{{}}/remote_config?token={reader.token}"
    assert call(reader, "GET", path.format("secret-config")) == (200, '{"password":"canary"}')
    assert call(reader, "GET", path.format(changed["id"])) == (200, '{"password":"canary"}')
    assert "canary" not in str(call(reader, "GET", f"{FLAGS}{made['id']}/activity/"))
    assert call(reader, "GET", path.format("secret-config"), key=None)[0] == 401


def test_an_early_access_feature_switches_its_flag_on_for_those_who_enrol(reader):
    """The stage decides whether enrolment counts; general availability is for everybody."""
    path = "/api/projects/@current/early_access_feature/"
    status, feature = call(reader, "POST", path, {"name": "Dark Mode", "stage": "beta"})
    assert (status, feature["feature_flag"]["key"]) == (201, "dark-mode")
    listed = call(reader, "GET", f"/api/early_access_features/?token={reader.token}", key=None)[1][
        "earlyAccessFeatures"
    ]
    ours = [(each["flagKey"], each["stage"]) for each in listed if each["name"] == "Dark Mode"]
    assert ours == [("dark-mode", "beta")]
    enrolled = {"$feature_enrollment/dark-mode": True}
    assert value(reader, feature["feature_flag"], person_properties=enrolled) is True
    assert value(reader, feature["feature_flag"]) is False
    status, error = call(reader, "PATCH", f"{FLAGS}{feature['feature_flag']['id']}/", {"deleted": True})
    assert (status, "Dark Mode" in error["detail"]) == (400, True)
    assert call(reader, "PATCH", f"{path}{feature['id']}/", {"stage": "general-availability"})[0] == 200
    assert value(reader, feature["feature_flag"]) is True
    assert call(reader, "DELETE", f"{path}{feature['id']}/")[0] == 204
    assert call(reader, "GET", "/api/early_access_features/?token=phc_unknown", key=None)[0] == 401


def test_a_scheduled_change_is_made_at_its_time(reader):
    """A job makes it, and the history names the schedule."""
    made = create(reader, "scheduled")
    path = "/api/projects/@current/scheduled_changes/"
    body = {
        "record_id": str(made["id"]), "model_name": "FeatureFlag", "scheduled_at": "2026-01-01T00:00:00Z",
        "payload": {"operation": "update_status", "value": False},
    }  # fmt: skip
    status, planned = call(reader, "POST", path, body)
    assert (status, planned["executed_at"]) == (201, None)
    deadline = time.monotonic() + WAIT_S
    while call(reader, "GET", f"{path}{planned['id']}/")[1]["executed_at"] is None:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert call(reader, "GET", f"{FLAGS}{made['id']}/")[1]["active"] is False
    assert call(reader, "GET", f"{FLAGS}{made['id']}/activity/")[1]["results"][0]["user"]["first_name"].startswith(
        "schedule of"
    )
    status, error = call(reader, "POST", path, {**body, "is_recurring": True})
    assert (status, error["attr"]) == (400, "recurrence_interval")


def other_project(instance):
    """Return a client of a second project, written as another process would write it."""
    key, token, number = f"phx_{uuid.uuid4().hex}", f"phc_{uuid.uuid4().hex}", uuid.uuid4().int % 1_000_000 + 1_000
    hashed = "sha256$" + hashlib.sha256(key.encode()).hexdigest()
    with closing(sqlite3.connect(instance.data_dir / "projects.sqlite3", timeout=30)) as database, database:
        database.execute(
            "INSERT INTO projects (id, name, token, created_at) VALUES (?, 'Other', ?, '2026-01-01')", (number, token)
        )
        database.execute(
            "INSERT INTO personal_keys (project_id, key_hash, created_at) VALUES (?, ?, '2026-01-01')", (number, hashed)
        )
    other = Reader(instance.url, token, key)
    deadline = time.monotonic() + WAIT_S
    while call(other, "POST", "/flags/?v=2", {"token": token, "distinct_id": "x"}, key=None)[0] != 200:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    return other


def test_one_project_sees_no_flag_of_another(reader, instance):
    """No list, record, history, answer or definition holds the other project's flag."""
    other = other_project(instance)
    hidden = create(other, "canary-flag", name="canary")
    for path in (
        FLAGS,
        f"{FLAGS}activity/",
        f"{FLAGS}my_flags/",
        f"{FLAGS}evaluation_reasons/?distinct_id=x",
        "/flags/definitions",
    ):
        assert "canary" not in str(call(reader, "GET", path)), path
    for path in (f"{FLAGS}{hidden['id']}/", f"{FLAGS}{hidden['id']}/activity/", f"{FLAGS}canary-flag/remote_config"):
        assert call(reader, "GET", path)[0] == 404, path
    assert call(reader, "PATCH", f"{FLAGS}{hidden['id']}/", {"active": False})[0] == 404
    assert value(reader, hidden) is None
    assert value(other, hidden) is True
