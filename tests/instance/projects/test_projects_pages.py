"""The pages of projects: settings are saved, a project is chosen, created and deleted."""

import uuid

from tests.instance.projects.calls import call, new_project, post_form
from tests.instance.reader import event, text_of


def test_settings_are_saved_by_a_form(reader):
    """Each setting of the page is in the API's record afterwards."""
    record, _ = new_project(reader)
    fields = {
        "name": "Renamed <b>", "timezone": "Asia/Tokyo", "week_start_day": "1", "anonymize_ips": "on",
        "app_urls": "https://a.example\r\nhttps://b.example\r\n", "filter_type": "person", "filter_key": "email",
        "filter_operator": "not_icontains", "filter_value": "@acme.example",
    }  # fmt: skip
    saved = post_form(reader, f"/projects/{record['id']}", fields)
    assert saved.status == 303, text_of(saved)
    found = call(reader, "GET", f"/api/projects/{record['id']}/").json()
    assert (found["name"], found["timezone"], found["week_start_day"]) == ("Renamed <b>", "Asia/Tokyo", 1)
    assert found["anonymize_ips"] is True
    assert found["app_urls"] == ["https://a.example", "https://b.example"]
    assert found["test_account_filters"] == [
        {"key": "email", "type": "person", "operator": "not_icontains", "value": "@acme.example"}
    ]
    page = reader.get(f"/projects/{record['id']}", key=None)
    assert b"Renamed <b>" not in page.data
    assert b'value="@acme.example"' in page.data


def test_a_wrong_value_is_explained_and_kept_in_the_form(reader):
    """Nothing is saved."""
    record, _ = new_project(reader)
    answer = post_form(reader, f"/projects/{record['id']}", {"name": "x", "timezone": "Nowhere"})
    assert answer.status == 400
    assert "IANA name" in text_of(answer)
    assert b'value="Nowhere"' in answer.data
    assert call(reader, "GET", f"/api/projects/{record['id']}/").json()["timezone"] == "UTC"


def test_what_a_browser_captures_is_decided_on_the_page(reader):
    """The config that posthog-js loads follows at once, also that of `/flags?config=true`."""
    record, own = new_project(reader)
    path = f"/projects/{record['id']}"

    def config(**headers):
        return call(reader, "GET", f"/array/{own.token}/config", headers=headers).json()

    before = config()
    assert (before["sessionRecording"], before["heatmaps"], before["capturePerformance"]) == (False, False, False)
    assert before["autocapture_opt_out"] is False
    fields = {
        "name": record["name"], "timezone": "UTC", "heatmaps_opt_in": "on", "surveys_opt_in": "on", "autocapture_opt_out": "on",
        "autocapture_web_vitals_opt_in": "on", "session_recording_opt_in": "on", "session_recording_sample_rate": "0.5",
        "recording_domains": "https://*.shop.example", "quota_recordings": "on",
    }  # fmt: skip
    assert post_form(reader, path, fields).status == 303
    after = config(Origin="https://www.shop.example")
    assert after["sessionRecording"]["endpoint"] == "/s/"
    assert after["sessionRecording"]["sampleRate"] == "0.50"
    assert after["capturePerformance"] == {
        "network_timing": False,
        "web_vitals": True,
        "web_vitals_allowed_metrics": None,
    }
    assert (after["heatmaps"], after["surveys"], after["autocapture_opt_out"]) == (True, True, True)
    assert after["quotaLimited"] == ["recordings"]
    assert config(Referer="https://other.example/page")["sessionRecording"] is False
    assert config(Referer="http://[")["sessionRecording"]  # as without a referrer
    body = {"token": own.token, "distinct_id": "ada"}
    flags = call(reader, "POST", "/flags/?v=2&config=true", body).json()
    assert (flags["heatmaps"], flags["sessionRecording"]["sampleRate"]) == (True, "0.50")
    assert "checked" in reader.get(path, key=None).data.decode().partition('name="heatmaps_opt_in"')[2][:20]
    assert call(reader, "PATCH", f"/api{path}/", {"quota_limited": ["sleep"]}).json()["attr"] == "quota_limited"


def test_a_project_without_quota_gets_no_flags_and_its_sdks_are_told_why(reader):
    """In every version of `/flags/` and `/decide/`, and for local evaluation with 402."""
    record, own = new_project(reader)
    flags = f"/api/projects/{record['id']}/feature_flags/"
    call(reader, "POST", flags, {"key": "always", "filters": {"groups": [{"rollout_percentage": 100}]}})
    body = {"token": own.token, "distinct_id": "ada"}
    definitions = f"/flags/definitions?token={own.token}"
    assert list(call(reader, "POST", "/flags/?v=2", body).json()["flags"]) == ["always"]
    assert call(reader, "GET", definitions).status == 200
    call(reader, "PATCH", f"/api/projects/{record['id']}/", {"quota_limited": ["feature_flags"]})
    for path in ("/flags/?v=2", "/flags/?v=1", "/decide/?v=1", "/decide/?v=3", "/decide/?v=4"):
        answer = call(reader, "POST", path, body)
        assert (answer.status, answer.json()["quotaLimited"]) == (200, ["feature_flags"]), path
        assert not answer.json().get("flags")
        assert not answer.json().get("featureFlags")
    refused = call(reader, "GET", definitions)
    assert (refused.status, refused.json()["code"]) == (402, "payment_required")


def test_the_chosen_project_is_on_every_page(reader):
    """A cookie keeps the choice; without it the first project is shown."""
    record, second = new_project(reader)
    name = f"only-there-{uuid.uuid4()}"
    second.send(event(name))
    second.wait_for(1, event=name)
    opened = post_form(reader, f"/projects/{record['id']}/open", {})
    cookie = opened.headers["Set-Cookie"].partition(";")[0]
    assert name in text_of(reader.get("/events", key=None, headers={"Cookie": cookie}))
    assert name not in text_of(reader.get("/events", key=None))


def test_a_project_is_created_and_deleted_on_pages(reader):
    """Deleting takes the project's name."""
    name = f"made-{uuid.uuid4()}"
    made = post_form(reader, "/projects", {"name": name, "timezone": "UTC"})
    assert made.status == 303
    path = made.headers["Location"]
    assert post_form(reader, f"{path}/delete", {"name": "another"}).status == 400
    assert reader.get(path, key=None).status == 200
    assert post_form(reader, f"{path}/delete", {"name": name}).status == 303
    assert reader.get(path, key=None).status == 404


def test_another_site_cannot_change_a_project(reader):
    """A form that another origin posts is refused."""
    record, _ = new_project(reader)
    answer = post_form(reader, f"/projects/{record['id']}", {"name": "stolen"}, Origin="https://evil.example")
    assert answer.status == 403
    assert call(reader, "GET", f"/api/projects/{record['id']}/").json()["name"] == record["name"]
