"""Any Python value to JSON: rendered readably or replaced with a marker, never a reason to lose the event."""

import collections
import dataclasses
import enum
import ipaddress
import math
import pathlib
import types
import uuid
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from fractions import Fraction

import numpy
import orjson
import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hogline.wire.values import serialise


class Colour(enum.Enum):
    RED = "red"


class Broken:
    def __str__(self):
        raise RuntimeError("no text")

    __repr__ = __str__


class Shy:
    """An object with nothing to say."""


@dataclasses.dataclass
class Point:
    x: int
    y: object


class Model(pydantic.BaseModel):
    name: str


class Text(str):
    __slots__ = ()


def wire(value: object) -> object:
    return orjson.loads(serialise({"value": value}))["value"]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("text", "text"), (True, True), (1, 1), (1.5, 1.5), (None, None),
        (math.nan, None), (math.inf, None), (-math.inf, None), ({"deep": [math.nan]}, {"deep": [None]}),
        (datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC), "2026-01-02T03:04:05+00:00"),
        (datetime(2026, 1, 2, 3, 4, 5), "2026-01-02T03:04:05"),
        (date(2026, 1, 2), "2026-01-02"), (time(3, 4), "03:04:00"), (timedelta(minutes=1), 60.0),
        (Decimal("1.5"), 1.5), (Decimal("NaN"), None), (Fraction(1, 2), 0.5), (1 + 2j, "(1+2j)"),
        (uuid.UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (Colour.RED, "red"), (b"bytes", "bytes"), (b"\xff\xfe", "<2 bytes>"), (bytearray(b"x"), "x"),
        ({1}, [1]), (frozenset({1}), [1]), ((1, 2), [1, 2]), (collections.deque([1, 2]), [1, 2]),
        (collections.OrderedDict(a=1), {"a": 1}), (types.MappingProxyType({"a": 1}), {"a": 1}),
        (Point(1, Decimal(2)), {"x": 1, "y": 2.0}), (Model(name="n"), {"name": "n"}),
        (numpy.float64(1.5), 1.5), (numpy.int32(3), 3), (numpy.array([1, 2]), [1, 2]), (numpy.complex128(1j), "1j"),
        (numpy.arange(4).reshape(2, 2)[:, 1], [1, 3]), (numpy.float64("nan"), None),
        (pathlib.PurePosixPath("/a"), "/a"), (ipaddress.ip_address("::1"), "::1"),
        (ValueError("bad"), "ValueError: bad"), (Text("sub"), "sub"), (dict, "builtins.dict"),
        (2**64 - 1, 2**64 - 1), (2**64, str(2**64)), (-(2**63), -(2**63)), (-(2**70), str(-(2**70))),
        ("a\ud800b", "a\ufffdb"), ("\ud83d\ude00", "\U0001f600"),
        ({1: "int", None: "none", True: "bool", (1, 2): "tuple", 2.5: "float"}, {"1": "bool", "null": "none", "[1, 2]": "tuple", "2.5": "float"}),
    ],
    ids=repr,
)  # fmt: skip
def test_values_become_what_a_reader_expects(value, expected):
    """docs/internals/capture-protocol.md#property-serialisation lists what posthog-python turns into null, or loses the event over."""
    assert wire(value) == expected


def test_what_has_no_text_becomes_a_marker_with_its_type():
    """Never a silent null."""
    assert wire(Broken()) == f"<{__name__}.Broken>"
    assert wire(Shy()) == f"<{__name__}.Shy>"
    assert wire({"in": [Broken()]}) == {"in": [f"<{__name__}.Broken>"]}
    assert wire(10**5000) == f"<integer of {(10**5000).bit_length()} bits>"


def test_circles_end_in_a_marker_and_keep_the_rest():
    """posthog-python loses the event and logs thousands of lines."""
    circle: dict[str, object] = {"name": "ring"}
    circle["self"] = circle
    ring: list[object] = [1]
    ring.append({"ring": ring})
    assert wire(circle) == {"name": "ring", "self": "<circular reference>"}
    assert wire(ring) == [1, {"ring": "<circular reference>"}]


def test_one_object_twice_is_no_circle():
    """Only an object inside itself is cut."""
    shared = {"a": 2**70}
    assert wire([shared, shared]) == [{"a": str(2**70)}] * 2


def test_nesting_deeper_than_a_reader_reads_is_cut():
    """Deep but acyclic nesting keeps its outer levels."""
    deep: object = "bottom"
    for _ in range(5000):
        deep = [deep]
    text = serialise({"value": deep}).decode()
    assert "nested deeper than" in text


json_like = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary() | st.dates() | st.decimals(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.integers() | st.none(), inner) | st.tuples(inner),
    max_leaves=20,
)


@given(json_like)
def test_any_nest_of_values_becomes_json(value):
    """The law: whatever goes in, valid JSON comes out."""
    orjson.loads(serialise({"value": value}))


@given(st.recursive(st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(st.characters(exclude_categories=["Cs"])), lambda i: st.lists(i) | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), i)))  # fmt: skip
def test_json_values_arrive_unchanged(value):
    """decode(encode(v)) == v for everything that JSON can hold."""
    assert wire(value) == value
