"""Any Python value to JSON: rendered readably or replaced with a marker, never a reason to lose the
event.
"""

import collections
import dataclasses
import enum
import ipaddress
import math
import pathlib
import re
import subprocess
import sys
import time as time_module
import types
import typing
import uuid
import zoneinfo
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from fractions import Fraction
from urllib.parse import urlparse, urlsplit

import attrs
import django.utils.functional
import django.utils.safestring
import numpy
import orjson
import pandas
import pydantic
import pytest
import sqlalchemy.orm
import werkzeug.local
from hypothesis import given
from hypothesis import strategies as st
from multidict import MultiDict as AioMultiDict
from starlette.datastructures import QueryParams
from werkzeug.datastructures import Headers, MultiDict

from hogline.wire import values
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
    """docs/internals/capture-protocol.md#property-serialisation lists what posthog-python turns
    into null, or loses the event over.
    """
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


# -- one value is written in one way ---------------------------------------------------------------


class Euro(float):
    __slots__ = ()

    def __repr__(self):
        return "euro"


class Count(int):
    def __int__(self):
        return 99


class Rows(list):
    def __iter__(self):
        return iter(["other"])


class Places(dict):
    def items(self):
        return [("other", 1)]


class Pair(tuple):
    __slots__ = ()

    def __repr__(self):
        return "pair"


Named = collections.namedtuple("Named", "x y")  # noqa: PYI024 - as apps make them


class Typed(typing.NamedTuple):
    x: int
    password: str


@dataclasses.dataclass
class Card:
    kind: object
    _number: str = "4111"


@dataclasses.dataclass(slots=True)
class SlottedCard:
    kind: object
    _number: str = "4111"


@attrs.define
class AttrsCard:
    kind: object
    _number: str = "4111"


@attrs.define(slots=False)
class OpenAttrsCard:
    kind: object
    _number: str = "4111"


class Size(enum.IntEnum):
    BIG = 3


class Tone(enum.StrEnum):
    LOUD = "loud"


class Flag(enum.Flag):
    A = 1


class FailureError(Exception):
    pass


@dataclasses.dataclass
class FailureDataError(Exception):
    code: int = 1


class Base(sqlalchemy.orm.MappedAsDataclass, sqlalchemy.orm.DeclarativeBase):
    pass


class User(Base):
    __tablename__ = "users"
    id: sqlalchemy.orm.Mapped[int] = sqlalchemy.orm.mapped_column(primary_key=True)
    name: sqlalchemy.orm.Mapped[str]
    _password: sqlalchemy.orm.Mapped[str] = sqlalchemy.orm.mapped_column("password")


def lazy(value):
    return django.utils.functional.SimpleLazyObject(lambda: value)


def nested(depth):
    value = 1
    for level in range(depth):
        value = [value] if level % 2 else {"a": value}
    return value


LEAVES = [
    *(lambda value=value: value for value in [
        None, True, 1, 2**64 - 1, -(2**63), 1.5, math.nan, math.inf, "text", b"bytes", b"\xff", bytearray(b"x"), memoryview(b"x"), 1 + 2j, range(3), Colour.RED,
        Size.BIG, Tone.LOUD, Flag.A, Euro(9.5), Euro("nan"), Count(3), Text("sub"), Pair((1, 2)), Named(1, 2), Typed(1, "x"), (1, 2), {1}, frozenset({2}),
        Rows([1, 2]), Places(a=1), collections.deque([1]), collections.OrderedDict(a=1), collections.Counter(a=1), collections.defaultdict(list, a=[1]),
        collections.ChainMap({"a": 1}, {"b": 2}), collections.UserDict(a=1), collections.UserList([1]), collections.UserString("a"), types.MappingProxyType({"a": 1}),
        types.SimpleNamespace(a=1), Card("visa"), SlottedCard("visa"), AttrsCard("visa"), OpenAttrsCard("visa"), Model(name="n"), FailureError("x", 1), FailureDataError(7),
        User(id=1, name="ada", _password="hunter2"), Broken(), Shy(), dict, len, uuid.UUID(int=1), date(2026, 1, 2), time(3, 4), time(3, 4, tzinfo=UTC),
        datetime(2026, 1, 2, 3, 4, 5, 6), datetime(2026, 1, 2, tzinfo=UTC), datetime(1, 1, 1, tzinfo=zoneinfo.ZoneInfo("Asia/Tokyo")),
        timedelta(minutes=1), Decimal("1.5"), Decimal("1E+400"), Decimal("NaN"), Fraction(1, 3), time_module.gmtime(0), urlsplit("https://ann:hunter2@h/p?token=abc&q=1#f"),
        urlparse("https://ann:hunter2@h/p;v=1"), urlsplit(b"https://ann:hunter2@h/p"), pathlib.PurePosixPath("/a"), ipaddress.ip_address("::1"), re.compile("a"),
        numpy.float64(1.5), numpy.float32(1.1), numpy.float16(1.1), numpy.longdouble("1.5"), numpy.int8(3), numpy.uint64(2**64 - 1), numpy.bool_(True),
        numpy.str_("a"), numpy.bytes_(b"a"), numpy.complex64(1j), numpy.clongdouble(1j), numpy.datetime64("2026-01-02"), numpy.datetime64("2026-01-02T03:04:05.000006"),
        numpy.datetime64("2026-01-02T03:04:05.000000007", "ns"), numpy.datetime64("NaT", "s"), numpy.timedelta64(3, "s"), numpy.timedelta64(3, "ns"), numpy.timedelta64("NaT", "s"),
        numpy.void(b"x"), numpy.array([1, 2]), numpy.array([1.1], dtype="f4"), numpy.array([1.1, math.nan]), numpy.array(5), numpy.array(["a"]), numpy.array([{"a": 1}, None]),
        numpy.array([1, 2], dtype=">i4"), numpy.array([[1, 2], [3, 4]])[:, 1], numpy.ma.array([1, 2], mask=[0, 1]),
        numpy.array([(1, 2.5)], dtype=[("a", "i4"), ("b", "f8")]), numpy.array([numpy.datetime64("2026-01-02T03:04:05")]), numpy.longdouble("nan"),
        pandas.NaT, pandas.NA, pandas.Timestamp("2026-01-02T03:04:05", tz="Asia/Tokyo"), pandas.Timedelta(3, "s"), pandas.Period("2026-01", "M"), pandas.Interval(0, 1),
        pandas.Series([1.5, None]), pandas.Series(["a", None]), pandas.Series([pandas.Timestamp("2026-01-02")]), pandas.Index([1, 2]), pandas.DatetimeIndex(["2026-01-02"]),
        pandas.Categorical(["a", "b"]), pandas.array([1, None], dtype="Int64"), pandas.MultiIndex.from_tuples([(1, "a")]), pandas.DataFrame({"a": [1, 2]}),
        MultiDict([("a", "1"), ("a", "2"), ("b", "3")]), AioMultiDict([("a", "1"), ("a", "2"), ("b", "3")]), QueryParams("a=1&a=2&b=3"), Headers([("a", "1"), ("A", "2")]),
        lazy(5), lazy(1.5), lazy("text"), lazy({"a": 1}), lazy([1]), lazy(Card("visa")), lazy(Named(1, 2)), lazy(None), lazy(Colour.RED),
        django.utils.functional.lazy(lambda: "text", str)(), django.utils.safestring.mark_safe("<b>"), werkzeug.local.LocalProxy(lambda: 5), orjson.Fragment(b'{"a": 1}'),
        nested(63), nested(64), nested(65), nested(120), nested(200),
    ]),
]  # fmt: skip
BESIDE = [{7: 3}, 2**70, "\ud800", object]


@pytest.mark.parametrize("make", LEAVES, ids=lambda make: f"{type(make()).__name__}-{type(make()).__module__}")
@pytest.mark.parametrize(
    "around",
    [lambda one, /: one, lambda one: [one], lambda one: {"a": one}, lambda one: (1, one), Card, lambda one: Named(one, [one]), lambda one: AttrsCard({"b": one}),
     lambda one: collections.UserDict(a=one), lambda one: collections.deque([one]), lambda one: lazy([one]), lambda one: Rows([one]), lambda one: Places(a=one)],
    ids=["alone", "list", "dict", "tuple", "dataclass", "namedtuple", "attrs", "userdict", "deque", "lazy", "list subclass", "dict subclass"],
)  # fmt: skip
def test_a_value_is_written_in_one_way(make, around):
    """This holds whatever is beside the value.

    orjson writes most events itself, and refuses those with such neighbours.
    """
    value = around(make())
    circle: list[object] = []
    circle.append(circle)
    alone = serialise({"value": value})
    for beside in (*BESIDE[:-1], circle):
        together = orjson.loads(serialise({"value": value, "beside": beside}))
        assert together["value"] == orjson.loads(alone)["value"]
    text = alone.decode()
    assert "4111" not in text
    assert "hunter2" not in text
    assert "abc" not in text


@given(json_like, st.sampled_from(LEAVES))
def test_any_nest_is_written_in_one_way(value, make):
    """The law, over whatever Hypothesis makes of the plain kinds."""
    event = {"value": [value, make()]}
    try:
        fast = orjson.dumps(event, values.render, values.OPTIONS)
    except (TypeError, ValueError):
        return
    assert orjson.loads(fast) == orjson.loads(orjson.dumps(values.cleaned(event)))


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (Named(1, 2), [1, 2]), (Euro(9.5), 9.5), (Count(3), 3), (numpy.longdouble("1.5"), 1.5), (lazy(5), 5), (time_module.gmtime(0), [1970, 1, 1, 0, 0, 0, 3, 1, 0]),
        (urlsplit("https://ann:hunter2@h/p?token=abc&q=1"), ["https", "redacted@h", "/p", "token=redacted&q=1", ""]), (Rows([1]), [1]), (Places(a=1), {"a": 1}),
        (Card("visa"), {"kind": "visa"}), (SlottedCard("visa"), {"kind": "visa"}), (AttrsCard("visa"), {"kind": "visa"}),
        (User(id=1, name="ada", _password="hunter2"), {"id": 1, "name": "ada"}), (FailureDataError(7), "FailureDataError: 7"),
        (MultiDict([("a", "1"), ("a", "2")]), {"a": ["1", "2"]}), (AioMultiDict([("a", "1"), ("a", "2"), ("b", "3")]), {"a": ["1", "2"], "b": "3"}),
        (QueryParams("a=1&a=2"), {"a": ["1", "2"]}), (numpy.datetime64("NaT", "s"), None), (numpy.float32(1.1), 1.1), (werkzeug.local.LocalProxy(lambda: 5), 5),
        (pandas.NaT, None), (pandas.NA, None), (pandas.Timestamp("2026-01-02T03:04:05", tz="Asia/Tokyo"), "2026-01-02T03:04:05+09:00"), (pandas.Timedelta(3, "s"), 3.0),
        (pandas.Series([1.5, None]), [1.5, None]), (pandas.Series([pandas.Timestamp("2026-01-02")]), ["2026-01-02T00:00:00"]),
        (pandas.array([1, None], dtype="Int64"), [1, None]), (pandas.Categorical(["a", "b"]), ["a", "b"]),
    ],
    ids=lambda value: re.sub(r" at 0x[0-9a-f]+", "", repr(value)),  # the same in every worker of pytest-xdist
)  # fmt: skip
def test_subclasses_and_containers_are_what_they_hold(value, expected):
    """Numbers are numbers, tuples are arrays, private fields are private, several values are all
    there.
    """
    assert wire(value) == expected
    assert wire([value, {7: 3}])[0] == expected


def test_djangos_query_dict_keeps_all_values():
    """Forms send several values of one name.

    Django's settings hold for the whole process, so a process of its own configures them.
    """
    program = (
        "import django.conf, django.http; django.conf.settings.configure()\n"
        "from hogline.wire.values import serialise\n"
        "query = django.http.QueryDict('a=1&a=2&b=3')\n"
        "print(serialise({'fast': query}).decode(), serialise({'fast': query, 7: 3}).decode())"
    )
    printed = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout
    assert printed.split() == ['{"fast":{"a":["1","2"],"b":["3"]}}', '{"fast":{"a":["1","2"],"b":["3"]},"7":3}']


UNITS = ["Y", "M", "W", "D", "h", "m", "s", "ms", "us", "ns", "ps", "fs", "as"]


@given(st.sampled_from(UNITS), st.integers(-(2**63), 2**63 - 1) | st.integers(-(10**6), 10**6))
def test_each_moment_of_numpy_is_written_and_read_back(unit, number):
    """orjson ends the process on some of them: `datetime64(-1, "M")` is December 1969."""
    moment = numpy.datetime64(number, unit)
    written = wire(moment)
    assert written == wire([moment, {7: 3}])[0] == wire(numpy.array([moment]))[0]
    if numpy.isnat(moment):
        assert written is None
    elif unit in ("ps", "fs", "as"):
        assert numpy.datetime64(written, unit) == moment
    elif written != str(moment):
        assert numpy.datetime64(written).astype(moment.dtype) == moment


SECONDS = {
    "W": 604_800,
    "D": 86_400,
    "h": 3_600,
    "m": 60,
    "s": 1,
    "ms": 1e-3,
    "us": 1e-6,
    "ns": 1e-9,
    "ps": 1e-12,
    "fs": 1e-15,
    "as": 1e-18,
}


@given(st.sampled_from(list(SECONDS)), st.integers(-(2**63) + 1, 2**63 - 1) | st.integers(-(10**6), 10**6))
def test_each_duration_of_numpy_is_seconds(unit, number):
    duration = numpy.timedelta64(number, unit)
    written = wire(duration)
    assert written == wire([duration, {7: 3}])[0] == wire(numpy.array([duration]))[0]
    if isinstance(written, float):
        assert written == pytest.approx(number * SECONDS[unit])
    else:
        assert written == str(duration)
