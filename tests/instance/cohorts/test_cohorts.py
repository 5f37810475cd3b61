"""Cohorts: listed or calculated people, over the API and on pages."""

import time
import uuid
from datetime import UTC, datetime, timedelta

import pytest

from tests.instance.projects.calls import call, new_project, post_form
from tests.instance.reader import WAIT_S, event, text_of

NOW = datetime.now(UTC)


def did(days_ago, name, person):
    return event(name, distinct_id=person, at=NOW - timedelta(days=days_ago))


@pytest.fixture(scope="module")
def shop(instance):
    """A project with four people who did different things at different times."""
    from tests.instance.reader import Reader

    reader = Reader(instance.url, instance.token, instance.key)
    record, own = new_project(reader)
    plans = {"ada": "pro", "bob": "pro", "cy": "free", "dee": None}
    events = [
        event("$identify", distinct_id=name, at=NOW - timedelta(days=60),
              **{"$anon_distinct_id": f"{name}-anon", "$set": {"email": f"{name}@example.com"} | ({"plan": plan} if plan else {})})
        for name, plan in plans.items()
    ]  # fmt: skip
    events += [did(1, "bought", "ada"), did(2, "bought", "ada"), did(20, "bought", "ada"), did(40, "bought", "bob"), did(1, "bought", "cy"),
               did(50, "bought", "cy"), did(3, "looked", "ada"), did(30, "looked", "bob")]  # fmt: skip
    own.send(*events)
    own.wait_for(len(events))
    own.base = f"/api/projects/{record['id']}"
    people = call(own, "GET", f"{own.base}/persons/").json()["results"]
    own.people = {each["properties"]["email"].partition("@")[0]: each["uuid"] for each in people}
    return own


def leaf(value, key="bought", days=7, **more):
    return {
        "type": "behavioral",
        "value": value,
        "key": key,
        "event_type": "events",
        "time_value": days,
        "time_interval": "day",
        **more,
    }


def is_(key, value, operator="exact", **more):
    return {"type": "person", "key": key, "value": value, "operator": operator, **more}


def filters(*values, kind="AND"):
    return {"properties": {"type": kind, "values": list(values)}}


def made(shop, *values, kind="AND"):
    """Create a dynamic cohort, wait until it is calculated, and return its record."""
    answer = call(
        shop, "POST", f"{shop.base}/cohorts/", {"name": str(uuid.uuid4()), "filters": filters(*values, kind=kind)}
    )
    assert answer.status == 201, answer.data
    cohort = answer.json()
    deadline = time.monotonic() + WAIT_S
    while cohort["is_calculating"]:
        assert time.monotonic() < deadline
        time.sleep(0.2)
        cohort = call(shop, "GET", f"{shop.base}/cohorts/{cohort['id']}/").json()
    assert cohort["errors_calculating"] == 0, cohort
    return cohort


def members(shop, cohort):
    listed = call(shop, "GET", f"{shop.base}/cohorts/{cohort['id']}/persons/").json()["results"]
    return sorted(each["name"].partition("@")[0] for each in listed)


SEQ = {"seq_time_value": 7, "seq_time_interval": "day"}


@pytest.mark.parametrize(
    ("values", "kind", "expected"),
    [
        ([is_("plan", ["pro"])], "AND", ["ada", "bob"]),
        ([is_("plan", "is_set", "is_not_set")], "AND", ["dee"]),
        ([is_("email", "^(a|d)", "regex"), is_("plan", "pro")], "AND", ["ada"]),
        ([is_("plan", "free"), is_("email", "dee", "icontains")], "OR", ["cy", "dee"]),
        ([is_("plan", ["pro"], negation=True)], "AND", ["cy", "dee"]),
        ([{"type": "OR", "values": [is_("plan", "free"), is_("plan", "pro")]}, is_("email", "b", "icontains")], "AND", ["bob"]),
        ([leaf("performed_event")], "AND", ["ada", "cy"]),
        ([leaf("performed_event", negation=True)], "AND", ["bob", "dee"]),
        ([leaf("performed_event_multiple", days=30, operator="gte", operator_value=2)], "AND", ["ada"]),
        ([leaf("performed_event_multiple", days=30, operator="eq", operator_value=1)], "AND", ["cy"]),
        ([leaf("performed_event_first_time", days=30)], "AND", ["ada"]),
        ([leaf("performed_event_regularly", days=10, total_periods=3, min_periods=2)], "AND", ["ada"]),
        ([leaf("performed_event_sequence", key="looked", days=30, seq_event="bought", **SEQ)], "AND", ["ada"]),
        ([leaf("stopped_performing_event", days=60, **SEQ)], "AND", ["bob"]),
        ([leaf("restarted_performing_event", days=30, **SEQ)], "AND", ["cy"]),
        ([leaf("performed_event"), is_("plan", "free")], "AND", ["cy"]),
    ],
)  # fmt: skip
def test_a_dynamic_cohort_holds_who_matches(shop, values, kind, expected):
    """Properties, behaviour and groups of conditions give PostHog's people."""
    cohort = made(shop, *values, kind=kind)
    assert members(shop, cohort) == expected
    assert cohort["count"] == len(expected)


def test_a_cohort_of_cohorts_follows_them_and_refuses_a_circle(shop):
    """The named cohort is calculated first; one that is used cannot be deleted."""
    inner = made(shop, is_("plan", "pro"))
    outer = made(shop, {"type": "cohort", "key": "id", "value": inner["id"], "negation": True})
    assert members(shop, outer) == ["cy", "dee"]
    path = f"{shop.base}/cohorts/{inner['id']}/"
    circle = call(shop, "PATCH", path, {"filters": filters({"type": "cohort", "key": "id", "value": outer["id"]})})
    assert (circle.status, circle.json()["attr"]) == (400, "filters")
    assert "loop" in circle.json()["detail"]
    assert call(shop, "PATCH", path, {"deleted": True}).status == 400
    assert call(shop, "DELETE", path).status == 405
    changed = call(shop, "PATCH", path, {"filters": filters(is_("plan", "free"))})
    assert changed.json()["is_calculating"] is True
    call(shop, "POST", f"{shop.base}/cohorts/{outer['id']}/recalculate/")
    assert members(shop, inner) == ["cy"]
    assert members(shop, outer) == ["ada", "bob", "dee"]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({}, "Filters need"),
        (filters(), "1 to 100 conditions"),
        (filters({"type": "behavioral", "value": "performed_event", "key": "x", "time_value": 1, "time_interval": "day"}), "event_type"),
        (filters(is_("a", "(", "regex")), "cannot be evaluated"),
        (filters(is_("a", "x", "sounds_like")), "cannot be evaluated"),
        (filters({"type": "cohort", "key": "id", "value": 10**6}), "no cohort 1000000"),
        (filters(leaf("performed_event", days="1; DROP")), "time_value"),
        (filters({"type": "weather"}), "Unknown type"),
    ],
)  # fmt: skip
def test_conditions_that_cannot_be_evaluated_are_refused(shop, given, words):
    """The answer is a 400 for the field `filters`."""
    answer = call(shop, "POST", f"{shop.base}/cohorts/", {"name": "bad", "filters": given})
    assert (answer.status, answer.json()["attr"]) == (400, "filters")
    assert words in answer.json()["detail"]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("ada\nbob-anon\nnobody\n", ["ada", "bob"]),
        ("name,email\nx,CY@example.com\nshort\n", ["cy"]),
        ("distinct_id,other\ndee,1\n", ["dee"]),
    ],
)
def test_a_csv_makes_a_static_cohort(shop, content, expected):
    """Distinct ids, person ids and emails find people; unknown ones are left out."""
    answer = shop.pool.request(
        "POST", f"{shop.url}{shop.base}/cohorts/", headers={"Authorization": f"Bearer {shop.key}"},
        fields={"name": "uploaded", "is_static": "true", "csv": ("ids.csv", content, "text/csv")},
    )  # fmt: skip
    assert answer.status == 201, answer.data
    assert members(shop, answer.json()) == expected


def test_people_are_added_to_and_removed_from_a_static_cohort(shop):
    """The person's own list of cohorts follows."""
    body = {"name": "by hand", "is_static": True, "_create_static_person_ids": [shop.people["ada"]]}
    cohort = call(shop, "POST", f"{shop.base}/cohorts/", body).json()
    path = f"{shop.base}/cohorts/{cohort['id']}"
    ids = [shop.people["bob"], str(uuid.uuid4())]
    assert call(shop, "PATCH", f"{path}/add_persons_to_static_cohort/", {"person_ids": ids}).status == 200
    assert members(shop, cohort) == ["ada", "bob"]
    copy = call(shop, "GET", f"{path}/duplicate_as_static_cohort/").json()
    call(shop, "PATCH", f"{path}/remove_person_from_static_cohort/", {"person_id": shop.people["ada"]})
    assert members(shop, cohort) == ["bob"]
    assert members(shop, copy) == ["ada", "bob"]
    of_bob = call(shop, "GET", f"{shop.base}/persons/cohorts/?person_id={shop.people['bob']}").json()["results"]
    assert cohort["id"] in {each["id"] for each in of_bob}
    assert b"bob" in call(shop, "GET", f"{path}/persons.csv").data


def test_a_merged_person_keeps_their_place(shop):
    """The survivor is in the cohorts of the absorbed person."""
    shop.send(event("hello", distinct_id="walkin", **{"$set": {"email": "walkin@example.com"}}))
    shop.wait_for(1, event="hello")
    cohort = call(
        shop, "POST", f"{shop.base}/cohorts/", {"name": "walkins", "is_static": True, "_create_static_person_ids": [
            each["uuid"] for each in call(shop, "GET", f"{shop.base}/persons/?distinct_id=walkin").json()["results"]]},
    ).json()  # fmt: skip
    assert members(shop, cohort) == ["walkin"]
    shop.send(event("$identify", distinct_id="ada", **{"$anon_distinct_id": "walkin"}))
    deadline = time.monotonic() + WAIT_S
    while (found := members(shop, cohort)) != ["ada"]:
        assert time.monotonic() < deadline, found
        time.sleep(0.2)


def test_people_are_listed_and_shown_by_their_cohorts(shop):
    """`persons/?cohort=`, `persons/cohorts/`, and the person's page, which shows their flags too."""
    cohort = made(shop, is_("plan", "pro"))
    number = cohort["id"]
    listed = call(shop, "GET", f"{shop.base}/persons/?cohort={number}&include_total=true").json()
    assert listed["count"] == 2
    assert {each["properties"]["plan"] for each in listed["results"]} == {"pro"}
    assert call(shop, "GET", f"{shop.base}/persons/?cohort=999999").json()["attr"] == "cohort"
    cohorts = call(shop, "GET", f"{shop.base}/persons/cohorts/?person_id={shop.people['ada']}").json()["results"]
    assert number in {each["id"] for each in cohorts}
    in_cohort = {"type": "cohort", "key": "id", "operator": "in", "value": number}
    body = {"key": "in-cohort", "filters": {"groups": [{"properties": [in_cohort], "rollout_percentage": 100}]}}
    flag = call(shop, "POST", f"{shop.base}/feature_flags/", body).json()
    cookie = {"Cookie": f"hogline_project={shop.id}"}
    page = text_of(call(shop, "GET", f"/person/{shop.people['ada']}", headers=cookie))
    assert "in-cohort true Matched condition set 1" in page
    assert cohort["name"] in page
    found = text_of(call(shop, "GET", f"/people?cohort={number}&search=ada", headers=cookie))
    assert "1 person in a cohort" in found
    assert "bob@example.com" not in found
    assert call(shop, "GET", "/people?cohort=999999", headers=cookie).status == 404
    # While a flag uses it, the cohort stays.
    path = f"{shop.base}/cohorts/{number}/"
    refused = call(shop, "PATCH", path, {"deleted": True})
    assert refused.status == 400
    assert refused.json() == {
        "type": "validation_error",
        "code": "invalid_input",
        "detail": "This cohort is used in 1 active feature flag(s): in-cohort."
        " Please remove the cohort from these feature flags before deleting it.",
        "attr": None,
    }
    call(shop, "PATCH", f"{shop.base}/feature_flags/{flag['id']}/", {"deleted": True})
    # While the project's test accounts are told by it, too.
    filters = [{"type": "cohort", "key": "id", "operator": "not_in", "value": [number]}]
    call(shop, "PATCH", f"{shop.base}/", {"test_account_filters": filters})
    assert "test-account filters" in call(shop, "PATCH", path, {"deleted": True}).json()["detail"]
    call(shop, "PATCH", f"{shop.base}/", {"test_account_filters": []})
    assert call(shop, "PATCH", path, {"deleted": True}).status == 200


def test_a_deleted_person_leaves_every_cohort(shop):
    """Their next event makes a person of the same uuid, who is in none."""
    who = f"gone-{uuid.uuid4()}"
    shop.send(event("$set", distinct_id=who, **{"$set": {"a": 1}}))
    shop.wait_for(1, distinct_id=who)
    body = {"name": "listed", "is_static": True}
    cohort = call(shop, "POST", f"{shop.base}/cohorts/", body).json()
    [person] = call(shop, "GET", f"{shop.base}/persons/?distinct_id={who}").json()["results"]
    add = {"person_ids": [person["uuid"]]}
    path = f"{shop.base}/cohorts/{cohort['id']}/"
    assert call(shop, "PATCH", f"{path}add_persons_to_static_cohort/", add).status == 200
    assert call(shop, "DELETE", f"{shop.base}/persons/{person['uuid']}/").status == 202
    shop.send(event("$set", distinct_id=who, **{"$set": {"b": 1}}))
    shop.wait_for(2, distinct_id=who)
    [again] = call(shop, "GET", f"{shop.base}/persons/?distinct_id={who}").json()["results"]
    assert again["uuid"] == person["uuid"]
    assert call(shop, "GET", f"{path}persons/").json()["results"] == []
    assert call(shop, "DELETE", f"{shop.base}/persons/{person['uuid']}/").status == 202


def test_cohorts_are_made_and_changed_on_pages(shop):
    """The editor needs no JavaScript; conditions are shown as they were saved."""
    cookie = {"Cookie": f"hogline_project={shop.id}"}
    fields = {"name": "<b>pros", "group_type": "AND", "filter_type": "person", "filter_key": "plan", "filter_operator": "exact",
              "filter_value": "pro", "behaviour": "performed_event", "event": "bought", "time_value": "7", "time_interval": "day"}  # fmt: skip
    answer = post_form(shop, "/cohorts", fields, **cookie)
    assert answer.status == 303, text_of(answer)
    path = answer.headers["Location"]
    page = shop.get(path, key=None, headers=cookie)
    assert "ada@example.com" in text_of(page)
    assert "bob@example.com" not in text_of(page)
    assert b"<b>pros" not in page.data
    assert b'value="bought"' in page.data
    assert b'<datalist id="values-plan"><option value="pro">' in page.data
    assert b'<option value="bought">' in page.data
    changed = post_form(shop, path, {**fields, "event": "", "description": "x"}, **cookie)
    assert changed.status == 303
    assert "bob@example.com" in text_of(shop.get(path, key=None, headers=cookie))
    refused = post_form(shop, "/cohorts", {"name": "none", "group_type": "AND"}, **cookie)
    assert refused.status == 400
    assert post_form(shop, f"{path}/delete", {}, **cookie).status == 303
    assert "<b>pros" not in text_of(shop.get("/cohorts", key=None, headers=cookie))
