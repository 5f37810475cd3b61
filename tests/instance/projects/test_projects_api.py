"""Projects over the API: created, read, changed and deleted as PostHog's tools do it."""

import sqlite3
import threading
import time
import uuid
from contextlib import closing

import pytest

from hogline_instance.db import Database
from hogline_instance.projects import Projects
from hogline_instance.projects.tables import ProjectRow
from hogline_instance.store import Store
from tests.instance.projects.calls import call, new_project, post_form
from tests.instance.reader import WAIT_S, Reader, event


def wait_until(condition):
    deadline = time.monotonic() + WAIT_S
    while not (found := condition()):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    return found


def test_a_new_project_answers_with_its_id_and_token_and_takes_events(reader):
    """Events of its token are stored for it at once, and are in no other project."""
    record, second = new_project(reader, "Shop", timezone="Europe/Berlin")
    assert record["name"] == "Shop"
    assert record["timezone"] == "Europe/Berlin"
    assert record["api_token"].startswith("phc_")
    sent = event("in the new project")
    second.send(sent)
    [found] = second.wait_for(1, event="in the new project")
    assert found["uuid"] == sent["uuid"]
    assert reader.events(event="in the new project") == []


def test_a_project_stays_known_from_the_moment_it_was_read(tmp_path):
    """A reload that began before the project was made, in another thread, does not take it away."""
    database = Database(f"sqlite:///{tmp_path / 'p.sqlite3'}")
    database.migrate()
    projects, done = Projects(database, secrets_dir=tmp_path, max_age_s=60), threading.Event()

    def reload():
        while not done.is_set():
            projects.refresh()

    reloading = [threading.Thread(target=reload) for _ in range(4)]
    for thread in reloading:
        thread.start()
    try:
        for number in range(2, 80):
            with database.transaction() as session:
                session.add(ProjectRow(id=number, name="p", token=f"phc_{number}"))
            projects.refresh()
            for _ in range(10):
                assert projects.by_id(number) is not None, number
                time.sleep(0.001)  # the others end what they began
    finally:
        done.set()
        for thread in reloading:
            thread.join()
        database.close()


@pytest.mark.parametrize("base", ["/api/projects", "/api/environments", "/api/organizations/@current/projects"])
def test_a_project_is_read_and_changed_under_each_of_its_paths(reader, base):
    """A PATCH changes only the fields that it names."""
    record, _ = new_project(reader)
    path = f"{base}/{record['id']}"
    changed = call(reader, "PATCH", f"{path}/", {"app_urls": ["https://*.example.com"], "heatmaps_opt_in": True})
    assert changed.status == 200, changed.data
    for form in (path, f"{path}/"):
        found = call(reader, "GET", form).json()
        assert found["app_urls"] == ["https://*.example.com"]
        assert found["heatmaps_opt_in"] is True
        assert found["name"] == record["name"]
        assert found["api_token"] == record["api_token"]
    listed = (
        call(reader, "GET", f"{base}/").json()
        if "environments" not in base
        else call(reader, "GET", "/api/projects/").json()
    )
    assert record["id"] in [each["id"] for each in listed["results"]]
    assert listed["count"] == len(listed["results"])


def test_lists_have_pages(reader):
    """`limit` and `offset` cut the list, and `next` leads on without the key in its URL."""
    new_project(reader)
    first = call(reader, "GET", f"/api/projects/?limit=1&personal_api_key={reader.key}").json()
    assert len(first["results"]) == 1
    assert first["previous"] is None
    assert reader.key not in first["next"]
    second = reader.get(first["next"]).json()
    assert second["results"][0]["id"] != first["results"][0]["id"]
    assert second["previous"].endswith("offset=0")


def test_tools_find_their_user_organisation_and_key(reader):
    """The Terraform provider and the MCP server ask these first."""
    user = call(reader, "GET", "/api/users/@me/").json()
    assert user["team"]["api_token"] == reader.token
    assert user["team"]["organization"] == user["organization"]["id"]
    owner = call(reader, "GET", "/api/organizations/@current/").json()
    assert owner["id"] == user["organization"]["id"]
    assert call(reader, "GET", f"/api/organizations/{owner['id']}/").json()["slug"] == owner["slug"]
    assert [each["id"] for each in call(reader, "GET", "/api/organizations/").json()["results"]] == [owner["id"]]
    assert call(reader, "GET", f"/api/organizations/{uuid.uuid4()}/").status == 404
    key = call(reader, "GET", "/api/personal_api_keys/@current").json()
    assert key["scopes"] == ["*"]
    assert key["scoped_teams"] == []


@pytest.mark.parametrize(
    ("body", "attr", "code"),
    [
        ({}, "name", "required"),
        ({"name": "  "}, "name", "blank"),
        ({"name": "x" * 201}, "name", "max_length"),
        ({"name": "x", "timezone": "Mars/Olympus"}, "timezone", "invalid_choice"),
        ({"name": "x", "anonymize_ips": "yes"}, "anonymize_ips", "invalid"),
        ({"name": "x", "app_urls": "https://a.example"}, "app_urls", "not_a_list"),
        ({"name": "x", "test_account_filters": [{"value": "x"}]}, "test_account_filters", "invalid"),
        ({"name": "x", "week_start_day": 9}, "week_start_day", "invalid_choice"),
        ({"name": "x", "session_recording_sample_rate": "2"}, "session_recording_sample_rate", "invalid"),
    ],
)  # fmt: skip
def test_an_invalid_field_is_named(reader, body, attr, code):
    """The answer is a 400 in PostHog's form."""
    answer = call(reader, "POST", "/api/projects/", body)
    assert answer.status == 400
    assert (answer.json()["type"], answer.json()["attr"], answer.json()["code"]) == ("validation_error", attr, code)


def test_a_body_that_is_not_json_is_a_parse_error(reader):
    """A broken body, and one of another kind, never answer 500."""
    headers = {"Content-Type": "application/json"}
    broken = call(reader, "POST", "/api/projects/", b"{", headers=headers)
    assert (broken.status, broken.json()["code"]) == (400, "parse_error")
    listed = call(reader, "POST", "/api/projects/", [1])
    assert (listed.status, listed.json()["type"]) == (400, "validation_error")


def test_a_path_without_that_method_answers_405(reader):
    """An unknown path stays a 404."""
    answer = call(reader, "PUT", "/api/projects/@current/", {})
    assert (answer.status, answer.json()["code"]) == (405, "method_not_allowed")
    assert call(reader, "PUT", "/api/projects/@current/nothing/", {}).status == 404


def test_tokens_are_replaced(reader):
    """The old project token ends at once; a secret token stays valid until its backup is dropped."""
    record, second = new_project(reader)
    path = f"/api/projects/{record['id']}"
    fresh = call(reader, "PATCH", f"{path}/reset_token/").json()
    assert fresh["api_token"] != record["api_token"]
    second.send(event("sent with the old token"))
    Reader(reader.url, fresh["api_token"], reader.key).send(event("sent with the new token"))
    second.wait_for(1, event="sent with the new token")
    assert second.events(event="sent with the old token") == []
    first = call(reader, "PATCH", f"{path}/rotate_secret_token/").json()["secret_api_token"]
    rotated = call(reader, "PATCH", f"{path}/rotate_secret_token/").json()
    assert first.startswith("phs_")
    assert rotated["secret_api_token_backup"] == first != rotated["secret_api_token"]
    assert call(reader, "PATCH", f"{path}/delete_secret_token_backup/").json()["secret_api_token_backup"] is None


def test_a_limited_key_does_only_what_its_scopes_allow_in_its_project(reader):
    """A missing scope is named; other projects are neither listed nor served."""
    record, second = new_project(reader)
    page = post_form(
        reader,
        f"/projects/{record['id']}/keys",
        {"label": "report", "scopes": "project:read, query:read", "limited": "on"},
    )
    key = next(
        word for word in page.data.decode().replace("<", " ").replace(">", " ").split() if word.startswith("phx_")
    )
    path = f"/api/projects/{record['id']}/"
    assert call(reader, "GET", path, key=key).status == 200
    assert call(reader, "GET", f"{path}events/", key=key).status == 200
    assert [each["id"] for each in call(reader, "GET", "/api/projects/", key=key).json()["results"]] == [second.id]
    refused = call(reader, "PATCH", path, {"name": "x"}, key=key)
    assert refused.status == 403
    assert refused.json()["detail"] == "API key missing required scope 'project:write'"
    for other in ("/api/projects/1/", "/api/environments/1/events/", "/api/projects/1/sessions/x"):
        answer = call(reader, "GET", other, key=key)
        assert (answer.status, answer.json()["code"]) == (403, "permission_denied"), other


def test_a_key_in_the_body_counts(reader):
    """Older clients send `personal_api_key` in the JSON body."""
    answer = reader.pool.request(
        "PATCH", f"{reader.url}/api/projects/@current/", json={"personal_api_key": reader.key, "heatmaps_opt_in": None}
    )
    assert answer.status == 200


def test_a_project_that_anonymises_addresses_stores_none(reader):
    """`$ip` goes, whether the client sent it or the connection had it; the rest stays as sent."""
    record, second = new_project(reader, anonymize_ips=True)
    second.send(event("from nowhere", **{"$ip": "203.0.113.9", "big": 12345678901234567890123}), event("plain"))
    [found] = second.wait_for(1, event="from nowhere")
    assert "$ip" not in found["properties"]
    assert found["properties"]["big"] == 12345678901234567890123
    assert "$ip" not in second.wait_for(1, event="plain")[0]["properties"]
    call(reader, "PATCH", f"/api/projects/{record['id']}/", {"anonymize_ips": False})
    second.send(event("from somewhere", **{"$ip": "203.0.113.9"}))
    assert second.wait_for(1, event="from somewhere")[0]["properties"]["$ip"] == "203.0.113.9"


def test_a_deleted_project_is_gone_with_its_events(reader):
    """Its token stores nothing any more, its id answers 404, and its id is never given again."""
    record, second = new_project(reader)
    second.send(event("to be deleted"))
    second.wait_for(1, event="to be deleted")
    path = f"/api/organizations/@current/projects/{record['id']}/"
    assert call(reader, "DELETE", path).status == 204
    assert call(reader, "GET", path).status == 404
    assert reader.get(f"/api/projects/{record['id']}/events/").status == 404
    second.send(event("too late"))
    later, third = new_project(reader)
    assert later["id"] > record["id"]
    assert third.events() == []


def test_no_row_of_a_deleted_project_remains(serve):
    """Every SQL table and every table of the store is empty of it; other projects keep their rows."""
    served = serve()
    own = Reader(served.url, served.token, served.key)
    _, second = new_project(own)
    for each, number in ((own, 1), (second, 2)):
        each.send(
            event("$identify", distinct_id=f"person-{number}", **{"$set": {"name": "x"}, "$anon_distinct_id": "a"}),
            event("$exception", **{"$exception_list": [{"type": "E", "value": "v"}]}),
        )
        each.wait_for(2)
    before = rows_of_project(served.data_dir, second.id)
    assert call(own, "DELETE", f"/api/projects/{second.id}/").status == 204
    assert len(own.events()) == 2
    served.stop()
    assert sum(before.values()) > 0
    assert not any(rows_of_project(served.data_dir, second.id).values())
    assert any(rows_of_project(served.data_dir, 1).values())
    store = Store(f"chdb:///{served.data_dir}/store", query_max_s=30, query_max_bytes=2**30)
    try:
        found = store.query("SELECT DISTINCT team_id FROM analytics.events")
    finally:
        store.close()
    assert [row["team_id"] for row in found] == [1]


def rows_of_project(data_dir, project_id):
    """Return the number of rows of a project in each SQL table that has such a column."""
    found = {}
    with closing(sqlite3.connect(data_dir / "projects.sqlite3")) as database:
        for (table,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
            for column in {row[1] for row in database.execute(f"PRAGMA table_info({table})")} & {
                "team_id",
                "project_id",
            }:
                statement = f"SELECT count(*) FROM {table} WHERE {column} = ?"
                found[table, column] = database.execute(statement, (project_id,)).fetchone()[0]
    return found


def test_the_only_project_stays(serve):
    """An instance always has a project; the answer says what to do."""
    served = serve()
    own = Reader(served.url, served.token, served.key)
    answer = call(own, "DELETE", "/api/projects/@current/")
    assert answer.status == 400
    assert "Create another one first" in answer.json()["detail"]
    record, _ = new_project(own)
    assert call(own, "DELETE", "/api/projects/1/").status == 204
    assert wait_until(lambda: call(own, "GET", "/api/projects/@current/").json().get("id")) == record["id"]
