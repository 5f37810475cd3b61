"""Flags whose conditions name a cohort: a listed one, a calculated one, and one inside another."""

import uuid

import pytest

from hogline import PostHog
from tests.instance.flags.api import call, create, evaluate, value
from tests.instance.reader import WAIT_S, event

COHORTS = "/api/projects/@current/cohorts/"


@pytest.fixture
def people(reader):
    """Two people, of whom one pays."""
    names = {plan: f"{plan}-{uuid.uuid4()}" for plan in ("pro", "free")}
    for plan, name in names.items():
        reader.send(event("$set", distinct_id=name, **{"$set": {"plan": plan}}))
        reader.wait_for(1, distinct_id=name)
    return names


def cohort(reader, **fields):
    status, record = call(reader, "POST", COHORTS, {"name": "cohort", **fields})
    assert status == 201, record
    return record["id"]


def paying():
    return {
        "properties": {
            "type": "AND",
            "values": [{"type": "person", "key": "plan", "value": ["pro"], "operator": "exact"}],
        }
    }


def flag_for(reader, number, operator="in"):
    return create(
        reader, groups=[{"properties": [{"type": "cohort", "key": "id", "value": number, "operator": operator}], "rollout_percentage": 100}]
    )  # fmt: skip


def listed(reader, distinct_id):
    """A static cohort with one person."""
    number = cohort(reader, is_static=True)
    status, found = call(reader, "GET", f"/api/projects/@current/persons/?distinct_id={distinct_id}")
    assert status == 200, found
    [person] = found["results"]
    status, answer = call(
        reader, "PATCH", f"{COHORTS}{number}/add_persons_to_static_cohort/", {"person_ids": [person["uuid"]]}
    )
    assert status < 300, answer
    return number


def test_who_is_listed_gets_the_flag(reader, people):
    """The instance knows who is in a static cohort."""
    record = flag_for(reader, listed(reader, people["free"]))
    assert (value(reader, record, people["free"]), value(reader, record, people["pro"])) == (True, False)
    assert value(reader, record, "nobody-yet") is False


def test_a_request_cannot_say_who_is_in_a_cohort(reader, people):
    """The hidden property of the answer is written last."""
    number = listed(reader, people["free"])
    record = flag_for(reader, number)
    claimed = {f"$in_cohort_{number}": True}
    assert value(reader, record, people["pro"], person_properties=claimed) is False


def test_a_described_cohort_follows_what_is_known_now(reader, people):
    """Its filters are evaluated for the request, so its own properties count, too."""
    record = flag_for(reader, cohort(reader, filters=paying()))
    assert (value(reader, record, people["pro"]), value(reader, record, people["free"])) == (True, False)
    assert value(reader, record, people["free"], person_properties={"plan": "pro"}) is True
    left_out = flag_for(reader, cohort(reader, filters=paying()), "not_in")
    assert (value(reader, left_out, people["pro"]), value(reader, left_out, people["free"])) == (False, True)


def test_a_cohort_inside_another_counts(reader, people):
    """A described cohort may name a listed one."""
    inner = listed(reader, people["free"])
    outer = cohort(
        reader,
        filters={"properties": {"type": "AND", "values": [{"type": "cohort", "key": "id", "value": inner}]}},
    )
    record = flag_for(reader, outer)
    assert (value(reader, record, people["free"]), value(reader, record, people["pro"])) == (True, False)


def test_sdks_decide_a_described_cohort_and_ask_for_a_listed_one(reader, people):
    """The definitions hold the filters of the first and nothing of the second."""
    described, other = cohort(reader, filters=paying()), listed(reader, people["free"])
    for number, person in ((described, "pro"), (other, "free")):
        record = flag_for(reader, number)
        evaluate(reader)
        client = PostHog(reader.token, host=reader.url, secret_key=reader.key, timeout=WAIT_S)
        try:
            local = client.evaluate_flags("somebody", person_properties={"plan": "pro"}, only_evaluate_locally=True)
            assert local.get_flag(record["key"]) is (True if number == described else None)
            assert client.evaluate_flags(people[person]).get_flag(record["key"]) is True
        finally:
            client.shutdown(0)


def test_the_people_of_a_flag_are_kept_in_a_cohort(reader, people):
    """Those for whom it is on now, whatever their properties are later."""
    who = [{"key": "plan", "value": "pro", "operator": "exact", "type": "person"}]
    record = create(reader, groups=[{"properties": who, "rollout_percentage": 100}])
    path = f"/api/projects/@current/feature_flags/{record['id']}/create_static_cohort_for_flag/"
    status, answer = call(reader, "POST", path)
    assert status == 201, answer
    made = answer["cohort"]
    assert (made["is_static"], record["key"] in made["name"]) == (True, True)
    reader.send(event("$set", distinct_id=people["pro"], **{"$set": {"plan": "free"}}))
    reader.wait_for(2, distinct_id=people["pro"])
    _, page = call(reader, "GET", f"/api/projects/@current/persons/?cohort={made['id']}")
    ids = {each for person in page["results"] for each in person["distinct_ids"]}
    assert (people["pro"] in ids, people["free"] in ids) == (True, False)
    group = create(reader, filters={"aggregation_group_type_index": 0}, groups=[{"properties": []}])
    refused = call(reader, "POST", path.replace(str(record["id"]), str(group["id"])))
    assert refused[0] == 400
    # Even if no event has named a type of group, the flag is off and fails for nobody.
    assert evaluate(reader)["errorsWhileComputingFlags"] is False
