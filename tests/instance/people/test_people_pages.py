"""The pages of people and groups, and the names of people wherever their events are shown."""

import uuid

import pytest

from tests.instance.people.test_persons_api import person_of, sent
from tests.instance.reader import dollars, event, text_of


@pytest.fixture
def visitor(reader):
    """An anonymous visitor who signed in, acts for a company, and met an error."""
    name, anonymous, session_id = uuid.uuid4().hex[:12], str(uuid.uuid4()), str(uuid.uuid4())
    email = f"{name}@example.com"
    sent(
        reader,
        event("$pageview", distinct_id=anonymous, **dollars(browser="Firefox", session_id=session_id, current_url="https://x.org/a", lib="web")),
        event("$identify", distinct_id=name, **dollars(anon_distinct_id=anonymous, set={"email": email, "plan": "<b>pro"}, session_id=session_id, lib="web")),
        event("$groupidentify", distinct_id=name, **dollars(group_type="company", group_key=f"{name}/1", group_set={"name": f"Acme {name}"})),
        event("paid", distinct_id=name, **dollars(groups={"company": f"{name}/1"}, session_id=session_id)),
        event("$exception", distinct_id=name, **dollars(exception_list=[{"type": "E", "value": "v"}], session_id=session_id)),
    )  # fmt: skip
    return {"own": name, "anonymous": anonymous, "session": session_id, "email": email, **person_of(reader, name)}


def page(reader, path, **query):
    answer = reader.get(path, key=None, **query)
    assert answer.status == 200, answer.data
    return answer


def test_the_list_shows_and_finds_people(reader, visitor):
    """By any property, and by a comparison; each with counts and when they were last seen."""
    for query in (f"search={visitor['email'].upper()}", f"key=email&value={visitor['email']}"):
        answer = page(reader, f"/people?{query}")
        assert f'<a href="/person/{visitor["uuid"]}">{visitor["email"]}</a>' in answer.data.decode()
        assert "1 person" in text_of(answer)
        assert f"{visitor['own']} +1 5 1 1 " in text_of(answer)
    assert "No people here" in text_of(page(reader, "/people", search=uuid.uuid4().hex))


def test_a_person_is_shown_with_everything_that_is_known(reader, visitor):
    """Name, ids and how they were joined, properties and their origins, groups, session, events."""
    answer = page(reader, f"/person/{visitor['uuid']}")
    html, text = answer.data.decode(), text_of(answer)
    assert f"{visitor['email']} identified" in text
    assert f"identified with {visitor['own']}" in text
    assert "plan <b>pro set, $identify" in text
    assert "&lt;b&gt;pro" in html
    assert "$initial_browser Firefox the first event" in text
    assert "$browser Firefox the event's own property, $pageview" in text
    assert f"company Acme {visitor['own']}" in text
    assert f'href="/session/{visitor["session"]}"' in html
    assert "Errors 1" in text
    for line in ("paid", "E: v", "Identified", "Pageview"):
        assert line in text


@pytest.mark.parametrize("path", ["/", "/events", "/sessions"])
def test_lists_show_the_name_instead_of_the_id(reader, visitor, path):
    """Live, events and sessions."""
    assert visitor["email"] in text_of(page(reader, path))


def test_an_event_and_a_session_link_their_person(reader, visitor):
    """The session shows the name of the person, and the event links to them."""
    link = f'href="/person/{visitor["uuid"]}"'
    session = page(reader, f"/session/{visitor['session']}").data.decode()
    assert link in session
    assert visitor["email"] in session
    first = reader.events(distinct_id=visitor["anonymous"])[0]
    assert link in page(reader, f"/event/{first['uuid']}").data.decode()


def test_groups_are_shown_with_their_events(reader, visitor):
    """The list of a type, found by name, and one group whose key has a slash."""
    types = reader.get("/api/projects/@current/groups_types/").json()
    index = next(each["group_type_index"] for each in types if each["group_type"] == "company")
    answer = page(reader, "/groups", type=index, search=f"acme {visitor['own']}")
    assert f'href="/group/{index}/{visitor["own"]}%2F1"' in answer.data.decode()
    group = text_of(page(reader, f"/group/{index}/{visitor['own']}/1"))
    assert f"Acme {visitor['own']}" in group
    assert "paid" in group
    assert reader.get(f"/group/{index}/nobody", key=None).status == 404


def test_a_person_can_be_deleted_on_their_page(reader, visitor):
    """The form leads back to the list; the page is gone."""
    answer = reader.pool.request("POST", f"{reader.url}/person/{visitor['uuid']}/delete", redirect=False)
    assert answer.status == 303
    assert reader.get(f"/person/{visitor['uuid']}", key=None).status == 404
    assert visitor["email"] not in text_of(page(reader, "/events"))


def test_a_link_to_a_person_who_was_merged_leads_to_the_survivor(reader):
    """Also after two merges; when the survivor is deleted, the link ends with them."""
    one, two, three = (f"{uuid.uuid4().hex[:12]}@old.example" for _ in range(3))
    merges = []
    for earlier, later in ((one, two), (two, three)):
        sent(reader, event("seen", distinct_id=earlier), event("seen", distinct_id=later))
        merges.append(person_of(reader, earlier)["uuid"])
        sent(reader, event("$merge_dangerously", distinct_id=later, **dollars(), alias=earlier))
    survivor = person_of(reader, three)["uuid"]
    for absorbed in merges:
        answer = reader.get(f"/person/{absorbed}", key=None)
        assert (answer.status, answer.headers["location"]) == (303, f"/person/{survivor}")
    reader.pool.request("POST", f"{reader.url}/person/{survivor}/delete", redirect=False)
    assert {reader.get(f"/person/{each}", key=None).status for each in (*merges, survivor)} == {404}


def test_a_refused_merge_is_listed_as_a_warning(reader):
    """With both ids, and a link to the event."""
    one, two = uuid.uuid4().hex, uuid.uuid4().hex
    refused = event("$identify", distinct_id=two, **dollars(anon_distinct_id=one))
    sent(
        reader,
        event("$identify", distinct_id=one, **dollars(anon_distinct_id=f"{one}-anon")),
        event("$identify", distinct_id=two, **dollars(anon_distinct_id=f"{two}-anon")),
        refused,
    )
    answer = page(reader, "/people/warnings")
    assert "cannot merge already identified" in text_of(answer)
    assert one in text_of(answer)
    assert f"/event/{refused['uuid']}" in answer.data.decode()
    assert reader.get("/person/nonsense", key=None).status == 404


def test_the_events_api_gives_the_person_of_today(reader, visitor):
    """An event of before the sign-in belongs to the person; one without a person has only an id."""
    lone = event("ping", distinct_id=uuid.uuid4().hex, **dollars(process_person_profile=False))
    sent(reader, lone)
    (first,) = reader.events(distinct_id=visitor["anonymous"])
    assert first["person_id"] == visitor["uuid"]
    assert first["person"]["properties"]["email"] == visitor["email"]
    assert first["person"]["distinct_ids"] == visitor["distinct_ids"]
    assert first["person"]["is_identified"] is True
    assert {each["event"] for each in reader.events(person_id=visitor["uuid"])} >= {"$pageview", "paid"}
    (found,) = reader.events(distinct_id=lone["distinct_id"])
    assert found["person"] is None
    assert [each["uuid"] for each in reader.events(person_id=found["person_id"])] == [lone["uuid"]]
    assert person_of(reader, lone["distinct_id"]) is None


def test_no_rule_for_lists_of_events_hides_the_lists_of_people(reader, visitor):
    """`.table-box` is hidden while it has no row of an event, so other tables stand in `.list-box`."""
    assert visitor["uuid"]
    for path in ("/people", "/groups"):
        assert 'class="list-box"' in page(reader, path).data.decode()
        assert 'class="table-box"' not in page(reader, path).data.decode()
