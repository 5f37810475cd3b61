"""What changed of people and groups, the properties over time, and who belongs to which group."""

import pytest

from tests.instance.projects.calls import call, new_project
from tests.instance.reader import Reader, dollars, event


@pytest.fixture(scope="module")
def shop(instance):
    """A project in which Ada signs in, is changed over the API, and acts for two groups."""
    record, own = new_project(Reader(instance.url, instance.token, instance.key))
    own.base = f"/api/projects/{record['id']}"
    both = {"company": "acme", "team": "red"}
    events = [
        event("looked", distinct_id="visitor", after_s=-50),
        event("$identify", distinct_id="ada", after_s=-40, **dollars(anon_distinct_id="visitor", set={"plan": "free"})),
        event("$groupidentify", after_s=-35, **dollars(group_type="company", group_key="acme", group_set={"seats": 1})),
        event("$groupidentify", after_s=-34, **dollars(group_type="team", group_key="red", group_set={"name": "Red"})),
        event("$groupidentify", after_s=-33, **dollars(group_type="company", group_key="acme", group_set={"seats": 2})),
        event("bought", distinct_id="ada", after_s=-30, **dollars(groups=both)),
        event("bought", distinct_id="ada", after_s=-29, **dollars(groups=both, set={"plan": "pro"})),
    ]
    own.send(*events)
    own.wait_for(len(events))
    [own.person] = call(own, "GET", f"{own.base}/persons/?distinct_id=visitor").json()["results"]
    path = f"{own.base}/persons/{own.person['uuid']}/"
    assert call(own, "POST", f"{path}update_property/", {"key": "seat", "value": "aisle"}).status == 202
    own.wait_for(len(events) + 1)
    return own


def test_a_persons_log_has_merges_and_changes_over_the_api(shop):
    """In PostHog's shape, newest first, in pages; the log of all people has them too."""
    path = f"{shop.base}/persons/{shop.person['uuid']}/activity/"
    log = call(shop, "GET", path).json()
    assert (log["total_count"], log["next"], log["previous"]) == (2, None, None)
    changed, merged = log["results"]
    assert (changed["activity"], changed["scope"], changed["item_id"]) == ("updated", "Person", shop.person["uuid"])
    assert changed["detail"]["changes"] == [
        {"type": "Person", "action": "changed", "field": "properties.seat", "before": None, "after": "aisle"}
    ]
    assert merged["activity"] == "people_merged_into"
    assert merged["detail"]["merge"]["source"]["distinct_ids"] == ["visitor"]
    assert merged["detail"]["merge"]["target"]["distinct_ids"] == ["ada"]
    second = call(shop, "GET", f"{path}?limit=1&page=2").json()
    assert (second["results"], second["previous"]) == ([merged], "?limit=1&page=1")
    assert call(shop, "GET", f"{shop.base}/persons/activity/").json()["results"] == [changed, merged]


def test_the_timeline_has_a_point_for_each_change_of_properties(shop):
    """Each with the number of events that saw these properties."""
    path = f"{shop.base}/persons/properties_timeline/?person_id={shop.person['uuid']}"
    timeline = call(shop, "GET", path).json()
    plans = [(each["properties"].get("plan"), each["properties"].get("seat")) for each in timeline["points"]]
    assert plans == [(None, None), ("free", None), ("pro", None), ("pro", "aisle")]
    assert [each["relevant_event_count"] for each in timeline["points"]] == [1, 5, 1, 1]
    assert "plan" in timeline["crucial_property_keys"]
    empty = call(shop, "GET", f"{path}&date_from=2020-01-01&date_to=2020-02-01").json()
    assert empty["points"] == []
    assert call(shop, "GET", f"{path}&date_from=soon").json()["attr"] == "date_from"


def test_a_group_has_its_people_its_fellow_groups_and_its_log(shop):
    """And a person has their groups."""
    index = {
        each["group_type"]: each["group_type_index"] for each in call(shop, "GET", f"{shop.base}/groups_types/").json()
    }
    company = f"group_type_index={index['company']}"
    related = call(shop, "GET", f"{shop.base}/groups/related/?{company}&id=acme").json()
    assert [(each["type"], each["id"]) for each in related] == [("person", shop.person["uuid"]), ("group", "red")]
    assert related[1]["group_properties"] == {"name": "Red"}
    of_ada = call(shop, "GET", f"{shop.base}/groups/related/?id={shop.person['uuid']}").json()
    assert {each["group_key"] for each in of_ada} == {"acme", "red"}
    log = call(shop, "GET", f"{shop.base}/groups/activity/?{company}&group_key=acme").json()
    assert [(each["activity"], each["detail"]["changes"][0]["after"]) for each in log["results"]] == [
        ("updated", 2),
        ("created", 1),
    ]
    assert call(shop, "GET", f"{shop.base}/groups/activity/?{company}").status == 400
