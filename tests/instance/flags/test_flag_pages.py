"""The pages of flags: a person creates, tests, switches, edits and returns a flag without
JavaScript.
"""

import re
import uuid
from urllib.parse import urlencode

from tests.instance.flags.api import call, create, value
from tests.instance.reader import event, text_of


def post(reader, path, **fields):
    """Send a form as a browser does, and return the response."""
    headers = {"Content-Type": "application/x-www-form-urlencoded", "Origin": reader.url}
    return reader.pool.request("POST", reader.url + path, body=urlencode(fields), headers=headers, redirect=False)


def test_a_flag_is_made_with_the_form_alone(reader):
    """Conditions, variants and payloads of the form are what `/flags/` evaluates."""
    fields = {
        "key": "by-form", "name": "Made by hand", "active": "on", "runtime": "all", "c0_rollout": "100", "c0_about": "", "c0_variant": "",
        "c0_f0_kind": "property", "c0_f0_key": "plan", "c0_f0_operator": "exact", "c0_f0_value": '["pro", "team"]',
        "v0_key": "a", "v0_rollout": "60", "v0_payload": '{"n": 1}', "v1_key": "b", "v1_rollout": "39", "v1_payload": "",
    }  # fmt: skip
    refused = post(reader, "/feature_flags/new", **fields)
    assert refused.status == 400
    assert "must sum to 100" in text_of(refused)
    assert 'value="by-form"' in refused.data.decode(), "the form keeps what was typed"
    made = post(reader, "/feature_flags/new", **{**fields, "v1_rollout": "40"})
    assert made.status == 303, text_of(made)
    record = {"key": "by-form"}
    assert value(reader, record, person_properties={"plan": "team"}) in ("a", "b")
    assert value(reader, record, person_properties={"plan": "free"}) is False
    page = text_of(reader.get(made.headers["location"]))
    assert "plan is pro, team" in page
    assert "by-form" in text_of(reader.get("/feature_flags"))
    editor = reader.get(made.headers["location"] + "/edit").data.decode()
    assert 'value="plan"' in editor
    assert "[&#34;pro&#34;,&#34;team&#34;]" in editor


def test_the_editor_suggests_names_values_cohorts_and_flags(reader):
    """Names from the definitions, and values of people, as plain lists that need no JavaScript."""
    who, key = f"suggested-{uuid.uuid4()}", f"hue-{uuid.uuid4().hex[:8]}"
    reader.send(event("$set", distinct_id=who, **{"$set": {key: 'sea "green" <b>'}}))
    reader.wait_for(1, distinct_id=who)
    _, cohort = call(reader, "POST", "/api/projects/@current/cohorts/", {"name": f"sailors {who}", "is_static": True})
    filters = [
        {"key": key, "value": "x", "operator": "exact", "type": "person"},
        {"key": "id", "value": cohort["id"], "operator": "in", "type": "cohort"},
    ]
    made = create(reader, groups=[{"properties": filters}])
    page = reader.get(f"/feature_flags/{made['id']}/edit").data.decode()
    assert f'<option value="{key}">' in page
    assert f'list="values-{key}"' in page
    assert f'<datalist id="values-{key}"><option value="sea &#34;green&#34; &lt;b&gt;"></option></datalist>' in page
    assert f'<option value="{cohort["id"]}" label="sailors {who}">' in page
    assert f'<option value="{made["id"]}" label="{made["key"]}">' in page


def test_another_condition_set_is_added_without_javascript(reader):
    """The button sends the form back with one set more, and nothing is saved."""
    answer = post(reader, "/feature_flags/new", key="unsaved", c0_rollout="50", add="condition")
    assert "Condition set 2" in text_of(answer)
    assert "unsaved" not in text_of(reader.get("/feature_flags"))


def test_the_tester_says_what_somebody_sees_and_why(reader):
    """Each condition and each filter has its verdict, with the value that was found."""
    made = create(
        reader,
        groups=[
            {
                "properties": [{"key": "plan", "value": "pro", "operator": "exact", "type": "person"}],
                "rollout_percentage": 0,
            },
            {"properties": [{"key": "email", "value": "@example.com", "operator": "icontains", "type": "person"}]},
        ],
    )
    page = text_of(
        reader.get(f"/feature_flags/{made['id']}", distinct_id="jane", property="email", value="jane@example.com")
    )
    assert "jane sees true Matched condition set 2" in page
    assert "Set 1 does not match ✗ plan is pro does not hold value: 'not set'" in page
    assert "✗ outside the 0 % of this set" in page
    assert "✓ email contains @example.com holds value: 'jane@example.com'" in page


def test_the_page_shows_real_people_and_their_calls(reader):
    """People of recent events are evaluated now; calls are counted by answer."""
    made = create(reader)
    called = event(
        "$feature_flag_called", distinct_id="caller", **{"$feature_flag": made["key"], "$feature_flag_response": True}
    )
    reader.send(called)
    reader.wait_for(1, distinct_id="caller")
    page = text_of(reader.get(f"/feature_flags/{made['id']}"))
    assert re.search(r"caller true Matched condition set 1", page)
    assert re.search(r"Latest days true 1 ", page)


def test_a_flag_is_switched_and_returned_to_an_earlier_version(reader):
    """Both are one click, and both are in the history."""
    made = create(reader)
    path = f"/feature_flags/{made['id']}"
    assert post(reader, f"{path}/change", do="disable").status == 303
    assert value(reader, made) is None
    page = reader.get(path).data.decode()
    entry = re.search(r'name="entry" value="(\d+)"', page)[1]
    assert post(reader, f"{path}/change", entry=entry).status == 303
    assert value(reader, made) is True
    assert text_of(reader.get(path)).count("somebody on the pages updated it") == 2


def test_a_page_of_another_site_changes_nothing(reader):
    """A forged form is refused."""
    made = create(reader)
    headers = {"Content-Type": "application/x-www-form-urlencoded", "Origin": "https://evil.example"}
    answer = reader.pool.request(
        "POST", f"{reader.url}/feature_flags/{made['id']}/change", body="do=delete", headers=headers
    )
    assert answer.status == 403
    assert value(reader, made) is True


def test_names_of_flags_are_shown_as_text(reader):
    """A description cannot become markup."""
    made = create(reader, name="<script>alert(1)</script>")
    assert b"<script>alert" not in reader.get(f"/feature_flags/{made['id']}").data
    assert b"<script>alert" not in reader.get("/feature_flags").data


def test_a_browsers_own_form_is_accepted(reader):
    """It sends `Origin: null`, since the pages' referrer policy is `no-referrer`."""
    headers = {"Content-Type": "application/x-www-form-urlencoded", "Origin": "null", "Sec-Fetch-Site": "same-origin"}
    answer = reader.pool.request(
        "POST",
        f"{reader.url}/feature_flags/new",
        body="key=by-browser&active=on&c0_rollout=100",
        headers=headers,
        redirect=False,
    )
    assert answer.status == 303
