"""The carrier that travels with a task is bounded on the way out, and checked on the way in."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hogline.context import Context
from hogline.propagation.carrier import Carried, pack, unpack


class Request:
    """An origin with properties of its own."""

    def __init__(self, who=None, session=None, properties=None):
        self.who, self.session, self.given = who, session, properties or {}

    def distinct_id(self):
        return self.who

    def session_id(self):
        return self.session

    def properties(self):
        return {**self.given, "$session_id": self.session} if self.session else self.given


def context(who=None, session=None, properties=None, tags=None):
    return Context(object(), Request(who, session, properties)).changed(tags=tags)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)


def test_nothing_travels_where_nothing_is_known():
    """No context, or an empty one."""
    assert pack(None) is None
    assert pack(context()) is None
    assert unpack(None) == Carried()


@given(
    st.text("abcxyz0123456789-", min_size=1, max_size=50),
    st.text(min_size=1, max_size=50).filter(lambda text: text.isprintable() and text == text.strip()),
)
def test_the_ids_arrive_as_they_left(session, who):
    """The ids may have any script, although the carrier is ASCII."""
    carrier = pack(context(who, session, {"$window_id": "w", "$request_path": "/a"}))
    assert carrier.isascii()
    carried = unpack(carrier)
    assert (carried.session_id, carried.distinct_id) == (session, who)
    assert carried.properties == {"$window_id": "w", "$request_path": "/a"}


@given(st.dictionaries(st.text(min_size=1, max_size=30), JSON, max_size=20), st.integers(256, 4096))
def test_a_carrier_never_is_larger_than_its_bound(properties, limit):
    """Properties that do not fit are left out; the ids are not."""
    carrier = pack(context("alice", "s1", {**properties, "$window_id": "w1"}), limit_bytes=limit)
    assert len(carrier) <= limit
    carried = unpack(carrier)
    assert (carried.distinct_id, carried.session_id, carried.properties["$window_id"]) == ("alice", "s1", "w1")
    assert all(carried.properties[name] == properties[name] for name in carried.properties if name in properties)


def test_what_cannot_be_json_stays_behind():
    """Objects, circles, NaN: the rest travels."""
    circle = []
    circle.append(circle)
    told = {"object": object(), "circle": circle, "nan": float("nan"), "fine": [1, {"a": None}]}
    assert unpack(pack(context("alice", properties=told))).properties == {"fine": [1, {"a": None}]}


def test_only_the_tags_that_were_named_travel():
    """A tag may be a secret; posthog-python ships them all to the broker."""
    told = unpack(pack(context("alice", tags={"plan": "pro", "secret": "x"}), tags=["plan", "absent"])).properties
    assert told == {"plan": "pro"}


@pytest.mark.parametrize(
    "carrier",
    [
        "", "{", "[]", "null", "7", b"\xff\xfe", 7, {}, [], "x" * 70_000, '{"v":2,"d":"alice"}', '{"d":"alice"}', '{"v":1,"p":[]}',
        '{"v":1,"d":7,"s":["x"]}', '{"v":1,"d":"  ","s":"\\u0000"}', '{"v":1,"p":{"$window_id":5,"$ip":{}}}', "[" * 5000,
    ],
    ids=str,
)  # fmt: skip
def test_what_is_broken_or_of_another_version_counts_as_nothing(carrier):
    """A broker's message is not trusted."""
    assert unpack(carrier) == Carried()


def test_what_arrives_is_cleaned_as_headers_are():
    """Control characters, spaces, length; properties that would steer the server."""
    carried = unpack(
        json.dumps(
            {
                "v": 1, "d": " al\x00ice\n", "s": "x" * 2000,
                "p": {"$set": {"admin": True}, "$process_person_profile": False, "$session_id": "other", "$task_id": "1", "": 1, "plan": "pro"},
            }
        )
    )  # fmt: skip
    assert carried.distinct_id == "alice"
    assert carried.session_id == "x" * 1000
    assert carried.properties == {"plan": "pro"}


@given(st.text() | st.binary() | JSON | JSON.map(json.dumps))
def test_whatever_arrives_is_read_without_an_error(carrier):
    """The ids that are read from it are text."""
    carried = unpack(carrier)
    assert all(value is None or isinstance(value, str) for value in (carried.distinct_id, carried.session_id))
