"""Evaluation by what is stored of people and groups, and the answer that is kept across a login."""

import uuid

from tests.instance.flags.api import create, value
from tests.instance.reader import dollars, event

HALF = {"groups": [{"properties": [], "rollout_percentage": 50}]}


def until(check, tries=200):
    """Return the first true result of *check*; events take a moment to become people."""
    import time

    for _ in range(tries):
        if found := check():
            return found
        time.sleep(0.05)
    raise AssertionError("it did not happen")


def test_stored_properties_decide_and_the_request_overrides_them(reader):
    """A `$set` is enough for the next request; a property of the request wins."""
    who = f"stored-{uuid.uuid4()}"
    made = create(
        reader, groups=[{"properties": [{"key": "plan", "value": "pro", "operator": "exact", "type": "person"}]}]
    )
    assert value(reader, made, who) is False
    reader.send(event("$identify", distinct_id=who, **dollars(set={"plan": "pro"})))
    assert until(lambda: value(reader, made, who)) is True
    assert value(reader, made, who, person_properties={"plan": "free"}) is False


def test_stored_properties_of_a_group_decide(reader):
    """The group's key comes with the request, its properties are stored."""
    kind, key = "company", f"acme-{uuid.uuid4()}"
    reader.send(
        event(
            "$groupidentify", distinct_id="someone", **dollars(group_type=kind, group_key=key, group_set={"seats": "9"})
        )
    )
    filter_ = {"key": "seats", "value": "9", "operator": "exact", "type": "group", "group_type_index": 0}
    made = create(reader, groups=[{"properties": [filter_], "aggregation_group_type_index": 0}])
    assert until(lambda: value(reader, made, "x", groups={kind: key})) is True
    assert value(reader, made, "x", groups={kind: "other"}) is False
    assert value(reader, made, "x") is False


def test_a_visitor_keeps_their_answer_when_they_sign_in(reader):
    """The anonymous id is hashed from then on, from every distinct id of the person."""
    made = create(reader, filters=HALF, groups=HALF["groups"], ensure_experience_continuity=True)
    plain = create(reader, groups=HALF["groups"])
    for _ in range(6):
        anonymous, known = f"anon-{uuid.uuid4()}", f"known-{uuid.uuid4()}"
        before = value(reader, made, anonymous)
        reader.send(event("$identify", distinct_id=known, **dollars(anon_distinct_id=anonymous, set={"signed": "in"})))
        signed = [{"key": "signed", "value": "in", "operator": "exact", "type": "person"}]
        person = create(reader, groups=[{"properties": signed}])
        assert until(lambda person=person, known=known: value(reader, person, known)) is True
        assert value(reader, made, known, **{"$anon_distinct_id": anonymous}) is before
        assert value(reader, made, known) is before
        assert value(reader, made, known, **{"$anon_distinct_id": "another"}) is before
        assert value(reader, plain, known) in (True, False)


def test_hash_keys_follow_a_merge(reader):
    """The person who remains answers as the one who was absorbed did."""
    made = create(reader, groups=HALF["groups"], ensure_experience_continuity=True)
    needs = create(
        reader, groups=[{"properties": [{"key": "here", "value": "yes", "operator": "exact", "type": "person"}]}]
    )
    guest, user, anonymous = (f"{name}-{uuid.uuid4()}" for name in ("guest", "user", "anon"))
    reader.send(event("$set", distinct_id=guest, **dollars(set={"here": "yes"})))
    assert until(lambda: value(reader, needs, guest)) is True
    kept = value(reader, made, guest, **{"$anon_distinct_id": anonymous})
    reader.send(event("$set", distinct_id=user, **dollars(set={"there": "yes"})))
    reader.send(event("$identify", distinct_id=user, **dollars(anon_distinct_id=guest)))
    assert until(lambda: value(reader, needs, user)) is True
    assert value(reader, made, user) is kept
