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
