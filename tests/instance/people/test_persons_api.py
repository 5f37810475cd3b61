"""The API of people: lists, changes, deletion and splitting, on a running instance."""

import json
import time
import uuid

import pytest

from tests.instance.reader import WAIT_S, dollars, event

PERSONS = "/api/projects/@current/persons/"


@pytest.fixture
def name():
    """A text that no other test uses."""
    return uuid.uuid4().hex[:12]


def sent(reader, *events):
    """Send *events*, and return when all are stored."""
    reader.send(*events)
    for each in events:
        wait(lambda each=each: reader.get(f"/api/projects/@current/events/{each['uuid']}/").status == 200)


def wait(condition):
    deadline = time.monotonic() + WAIT_S
    while not (found := condition()):
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.05)
    return found


def people(reader, **query):
    answer = reader.get(PERSONS, **query)
    assert answer.status == 200, answer.data
    return answer.json()["results"]


def person_of(reader, distinct_id):
    found = people(reader, distinct_id=distinct_id)
    return found[0] if found else None


def call(reader, method, path, body=None):
    return reader.pool.request(
        method, reader.url + path, body=json.dumps(body or {}).encode(),
        headers={"Authorization": f"Bearer {reader.key}", "Content-Type": "application/json"},
    )  # fmt: skip


def test_an_identified_visitor_is_one_person_with_both_ids(reader, name):
    """The list, the person by uuid and by number, and the name that is shown."""
    anonymous = str(uuid.uuid4())
    sent(
        reader,
        event("$pageview", distinct_id=anonymous, **dollars(browser="Firefox")),
        event(
            "$identify", distinct_id=name, **dollars(anon_distinct_id=anonymous, set={"email": f"{name}@example.com"})
        ),
    )
    (person,) = people(reader, distinct_id=anonymous)
    assert person["distinct_ids"] == [name, anonymous]
    assert person["name"] == f"{name}@example.com"
    assert person["is_identified"] is True
    assert person["properties"]["$initial_browser"] == "Firefox"
    by_uuid = reader.get(f"{PERSONS}{person['uuid']}/").json()
    by_number = reader.get(f"{PERSONS}{by_uuid['id']}").json()
    assert by_uuid == by_number
    assert by_uuid["distinct_ids"] == [name, anonymous]


def test_people_are_found_by_search_email_and_properties(reader, name):
    """Each operator keeps the people that it should; several filters apply together."""
    sent(
        reader,
        event("$set", distinct_id=f"{name}-a", **dollars(set={"email": f"A@{name}.com", "plan": name, "seats": 3, "paid": True})),
        event("$set", distinct_id=f"{name}-b", **dollars(set={"plan": name, "seats": 12, "paid": False})),
    )  # fmt: skip

    def ids(*filters, **query):
        chosen = [{"key": "plan", "value": name, "type": "person"}, *filters]
        return {each["distinct_ids"][0][-1] for each in people(reader, properties=json.dumps(chosen), **query)}

    assert ids() == {"a", "b"}
    assert ids({"key": "seats", "value": 5, "operator": "gt"}) == {"b"}
    assert ids({"key": "seats", "value": "5", "operator": "lt"}) == {"a"}
    assert ids({"key": "paid", "value": [True]}) == {"a"}
    assert ids({"key": "paid", "value": ["false"], "operator": "exact"}) == {"b"}
    assert ids({"key": "seats", "value": ["3"], "operator": "is_not"}) == {"b"}
    assert ids({"key": "email", "operator": "is_set", "value": "is_set"}) == {"a"}
    assert ids({"key": "email", "operator": "is_not_set", "value": "is_not_set"}) == {"b"}
    assert ids({"key": "email", "operator": "icontains", "value": f"@{name.upper()}"}) == {"a"}
    assert [each["distinct_ids"] for each in people(reader, email=f"A@{name}.com")] == [[f"{name}-a"]]
    assert [each["distinct_ids"] for each in people(reader, search=f"{name}.CO")] == [[f"{name}-a"]]
    assert [each["distinct_ids"] for each in people(reader, search=f"{name}-b")] == [[f"{name}-b"]]
    values = reader.get(f"{PERSONS}values/?key=plan&value={name[:8]}").json()
    assert {"name": name, "count": 2} in values


def test_a_list_has_pages_and_a_total_on_request(reader, name):
    """`next` is followed to the end; every person is listed once."""
    sent(reader, *(event("$set", distinct_id=f"{name}-{each}", **dollars(set={"plan": name})) for each in range(5)))
    chosen = json.dumps([{"key": "plan", "value": name}])
    page = reader.get(PERSONS, properties=chosen, limit=2, include_total="true").json()
    assert page["count"] == 5
    seen = [each["uuid"] for each in page["results"]]
    while page["next"]:
        page = reader.get(page["next"]).json()
        seen += [each["uuid"] for each in page["results"]]
    assert len(seen) == len(set(seen)) == 5


def test_properties_are_changed_and_removed_through_events(reader, name):
    """PATCH, update_property and delete_property; a later read sees the change."""
    sent(reader, event("$set", distinct_id=name, **dollars(set={"plan": "free", "seats": 1})))
    path = f"{PERSONS}{person_of(reader, name)['uuid']}/"
    assert call(reader, "PATCH", path, {"properties": {"plan": "pro"}}).status == 202
    assert call(reader, "POST", f"{path}update_property/", {"key": "city", "value": "Berlin"}).status == 202
    answer = call(reader, "POST", f"{path}delete_property", {"$unset": "seats"})
    assert (answer.status, answer.json()) == (201, {"success": True})
    wait(lambda: "seats" not in person_of(reader, name)["properties"])
    properties = person_of(reader, name)["properties"]
    assert (properties["plan"], properties["city"]) == ("pro", "Berlin")
    assert call(reader, "PATCH", path).json()["attr"] == "properties"
    assert call(reader, "POST", f"{path}update_property/", {"key": "x"}).json()["attr"] == "value"


@pytest.mark.parametrize("with_events", [False, True])
def test_deleting_a_person_leaves_none_of_their_properties(reader, name, with_events):
    """Not in the API of people or events, nor in the live backlog; the next event makes a new person."""
    canary = f"canary-{name}"
    first = event(
        "signed up", distinct_id=name, **dollars(set={"email": canary}, set_once={"origin": canary}), plan="pro"
    )
    sent(
        reader,
        first,
        event("$identify", distinct_id=name, **dollars(anon_distinct_id=f"{name}-anon", set={"x": canary})),
    )
    person = person_of(reader, name)
    assert call(reader, "DELETE", f"{PERSONS}{person['uuid']}/?delete_events={with_events}").status == 202
    assert person_of(reader, name) is None
    assert reader.get(f"{PERSONS}{person['uuid']}/").status == 404
    left = reader.get("/api/projects/@current/events/", distinct_id=name)
    assert canary.encode() not in left.data
    assert len(left.json()["results"]) == (0 if with_events else 2)
    if not with_events:
        assert (
            next(each for each in left.json()["results"] if each["event"] == "signed up")["properties"]["plan"] == "pro"
        )
    sent(reader, event("came back", distinct_id=name))
    again = person_of(reader, name)
    assert again["uuid"] == person["uuid"]
    assert again["distinct_ids"] == [name]
    assert "email" not in again["properties"]
    assert again["is_identified"] is False


def test_several_people_are_deleted_at_once(reader, name):
    """By uuid or distinct id; with `keep_person` only their events go."""
    sent(reader, *(event("thing", distinct_id=f"{name}-{each}") for each in "abc"))
    uuids = [person_of(reader, f"{name}-{each}")["uuid"] for each in "abc"]
    assert call(reader, "POST", f"{PERSONS}bulk_delete/", {}).status == 400
    kept = call(
        reader, "POST", f"{PERSONS}bulk_delete/", {"ids": uuids[:1], "delete_events": True, "keep_person": True}
    )
    assert (kept.status, person_of(reader, f"{name}-a")["uuid"]) == (202, uuids[0])
    assert reader.events(distinct_id=f"{name}-a") == []
    call(reader, "POST", f"{PERSONS}bulk_delete/", {"ids": [uuids[1]]})
    call(reader, "POST", f"{PERSONS}bulk_delete/", {"distinct_ids": [f"{name}-c"]})
    assert [person_of(reader, f"{name}-{each}") is None for each in "abc"] == [False, True, True]


def test_a_split_gives_each_other_id_a_person_of_its_own(reader, name):
    """The main id keeps the properties; later events of the ids go to their new people."""
    ids = [f"{name}-{each}" for each in range(3)]
    sent(
        reader,
        event("$identify", distinct_id=ids[0], **dollars(anon_distinct_id=ids[1], set={"plan": "pro"})),
        event("$create_alias", distinct_id=ids[0], alias=ids[2]),
    )
    path = f"{PERSONS}{person_of(reader, ids[0])['uuid']}/split/"
    assert call(reader, "POST", path, {"main_distinct_id": "someone else"}).status == 400
    assert call(reader, "POST", path, {"main_distinct_id": ids[1]}).status == 201
    found = [person_of(reader, each) for each in ids]
    assert [each["distinct_ids"] for each in found] == [[each] for each in ids]
    assert [each["properties"].get("plan") for each in found] == [None, "pro", None]
    sent(reader, event("$set", distinct_id=ids[2], **dollars(set={"city": "Rome"})))
    assert person_of(reader, ids[2])["properties"]["city"] == "Rome"
    assert "city" not in person_of(reader, ids[1])["properties"]


def test_wrong_requests_say_what_to_do(reader):
    """An id of another kind, an unreadable filter, a POST, an unknown person."""
    assert "distinct_id=" in reader.get(f"{PERSONS}ada@example.com/").json()["detail"]
    for filters in ("nonsense", "[1]", '[{"key": "a", "operator": "regexx"}]', '[{"key": "\\""}]'):
        answer = reader.get(PERSONS, properties=filters)
        assert (answer.status, answer.json()["attr"]) == (400, "properties")
    assert call(reader, "POST", PERSONS).status == 405
    assert reader.get(f"{PERSONS}{uuid.uuid4()}/").status == 404
    assert reader.get(f"{PERSONS}99999999999999/").status == 404


def test_groups_are_listed_found_and_changed(reader, name):
    """Types by index, a group's properties, search by key and name, and changes."""
    groups = "/api/projects/@current/groups/"
    sent(
        reader,
        event("$groupidentify", distinct_id="x", **dollars(group_type="company", group_key=name, group_set={"name": f"Acme {name}"})),
        event("thing", distinct_id="x", **dollars(groups={"company": name})),
    )  # fmt: skip
    types = reader.get("/api/projects/@current/groups_types/").json()
    index = next(each["group_type_index"] for each in types if each["group_type"] == "company")
    where = {"group_type_index": index}
    (found,) = reader.get(groups, **where, search=f"ACME {name}").json()["results"]
    assert (found["group_key"], found["group_properties"]) == (name, {"name": f"Acme {name}"})
    path = f"{groups}update_property/?group_type_index={index}&group_key={name}"
    assert call(reader, "POST", path, {"key": "size", "value": 7}).status == 200

    def properties():
        return reader.get(f"{groups}find/", **where, group_key=name).json()["group_properties"]

    wait(lambda: properties().get("size") == 7)
    call(reader, "POST", f"{groups}delete_property/?group_type_index={index}&group_key={name}", {"$unset": "name"})
    assert properties() == {"size": 7}
    made = {"group_type_index": index, "group_key": f"{name}-2", "group_properties": {"a": 1}}
    assert call(reader, "POST", groups, made).status == 201
    assert call(reader, "POST", groups, made).json()["code"] == "unique"
    assert reader.get(f"{groups}find/", **where, group_key="nobody").status == 404
    assert reader.get(groups).status == 400
    renamed = [{"group_type_index": index, "name_singular": "Company", "name_plural": "Companies"}]
    metadata = "/api/projects/@current/groups_types/update_metadata/"
    assert call(reader, "PATCH", metadata, renamed).json()[index]["name_plural"] == "Companies"
    # The instance is shared, and other tests read the name that the events give.
    unnamed = [{"group_type_index": index, "name_singular": None, "name_plural": None}]
    assert call(reader, "PATCH", metadata, unnamed).json()[index]["name_plural"] is None
    assert {"name": "size", "count": 1} in reader.get(f"{groups}property_definitions/").json()[str(index)]
    assert reader.get(f"{groups}property_values/?group_type_index={index}&key=a").json() == [{"name": "1", "count": 1}]
