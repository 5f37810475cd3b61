"""Code variables of the frames of an exception: crash site first, masked, bounded.

No code of a value is called.
"""

import collections
import datetime
import decimal
import enum
import json
import pathlib
import sys
import threading
import time
import types
import uuid
from dataclasses import dataclass

import pytest

import hogline
from hogline import SettingsError
from hogline.testing import RecordingPostHog
from hogline.tracebacks import Mechanism, Rules, exception_list
from hogline.tracebacks.masks import REDACTED, masks
from hogline.tracebacks.variables import Variables

PLAIN = masks(None, None, url_credentials=True, detect_secrets=True)


@pytest.fixture
def described(tmp_path):
    """The entries of an exception, with variables; patient, since the machine may be busy."""

    def read(error, *, max_bytes=32 * 1024, max_seconds=60.0, hidden=PLAIN, root=None, **rules):
        rules = Rules(project_root=str(root or tmp_path), **rules)
        return exception_list(error, Mechanism(), rules, variables=Variables(hidden, max_bytes, max_seconds))

    return read


def variables_of(entry):
    return {frame["function"]: frame.get("code_variables") for frame in entry["stacktrace"]["frames"]}


def raised(work):
    try:
        work()
    except BaseException as error:
        return error
    raise AssertionError("nothing was raised")


@pytest.fixture
def shown(described):
    """Return how one value is shown, held by a local variable `value` of a frame."""

    def read(value, name="value", **options):
        namespace = {}
        exec(compile(f"def hold({name}):\n    raise ValueError('x')\n", __file__, "exec"), namespace)
        error = raised(lambda: namespace["hold"](value))
        frame = described(error, root=pathlib.Path(__file__).parent, **options)[0]["stacktrace"]["frames"][-1]
        return frame.get("code_variables", {}).get(name)

    return read


CHAIN = """
def inner(order):
    attempts = 3
    raise ValueError("inner")

def outer(customer):
    total = 42
    try:
        inner("o-1")
    except ValueError as error:
        why = "because"
        raise KeyError("outer") from error

def group():
    cart = ["tea"]
    errors = []
    for work in (lambda: inner("o-2"), lambda: outer("ada")):
        try: work()
        except Exception as error: errors.append(error)
    raise ExceptionGroup("both", errors)

group()
"""


def test_variables_belong_to_the_frames_of_their_own_exception(run_file, described):
    """In posthog-python those of causes and members come from the root's frames.

    Source: docs/internals/capture-protocol.md#code-variables.
    """
    both, first, second, cause = (variables_of(entry) for entry in described(run_file(CHAIN)))
    assert json.loads(both["group"]["cart"]) == ["tea"]
    assert first["inner"] == {"order": "o-2", "attempts": 3}
    assert {name: second["outer"][name] for name in ("customer", "total", "why")} == {
        "customer": "ada", "total": 42, "why": "because",
    }  # fmt: skip
    assert cause["inner"] == {"order": "o-1", "attempts": 3}
    assert cause["outer"]["customer"] == "ada"


def test_the_crash_site_comes_first_when_there_is_no_room_for_all(run_file, described):
    """posthog-python begins at the outermost frame and starves the one that matters."""
    source = """
    def crash(n):
        here = "h" * 900
        raise ValueError(n)
    def middle(n):
        there = "t" * 900
        crash(n)
    def outer(n):
        yonder = "y" * 900
        middle(n)
    outer(1)
    """
    names = {}
    for room in (0, 1100, 2200, 32 * 1024):
        [entry] = described(run_file(source), max_bytes=room)
        names[room] = [name for name, held in variables_of(entry).items() if held and len(held) == 2]
    assert names == {0: [], 1100: ["crash"], 2200: ["middle", "crash"], 32 * 1024: ["outer", "middle", "crash"]}


def test_one_frame_cannot_starve_the_others(run_file, described):
    """Half of what is left is one frame's at most."""
    source = """
    def crash():
        {many}
        raise ValueError
    def outer():
        who = "ada"
        crash()
    outer()
    """
    many = "; ".join(f"v{n} = {'x' * 900!r}" for n in range(100))
    [entry] = described(run_file(source.format(many=many)), max_bytes=8000)
    held = variables_of(entry)
    assert 3 <= len(held["crash"]) <= 4
    assert held["outer"] == {"who": "ada"}


def test_only_the_apps_own_frames_have_variables(run_file, described):
    """Variables of a library are left out."""
    source = """
    def crash(held):
        raise ValueError
    crash(1)
    """
    [entry] = described(run_file(source, path="lib/site-packages/lib.py", name="lib"))
    assert variables_of(entry) == {"<module>": None, "crash": None}


def test_a_module_has_the_globals_that_its_lines_mention(run_file, described):
    """posthog-python dumps all globals: functions, modules, clients."""
    source = """
    import json, os
    unrelated = "far away"
    class Client: pass
    client = Client()
    def helper(): pass
    a = b = c = d = e = None
    1
    2
    3
    4
    wanted = 7
    limit = 3; helper(); json.dumps(wanted); Client
    raise ValueError(limit, client)
    """
    [entry] = described(run_file(source))
    held = variables_of(entry)["<module>"]
    assert held["wanted"] == 7
    assert held["limit"] == 3
    assert held.keys() == {"wanted", "limit", "client"}


def test_an_exception_that_was_never_raised_has_the_variables_of_the_code_that_captured_it(posthog):
    """Its stack is theirs."""
    client = here(capture_exception_code_variables=True)
    basket = ["tea"]
    client.capture_exception(ValueError("x"))
    [event] = client.events
    [entry] = event.properties["$exception_list"]
    assert json.loads(entry["stacktrace"]["frames"][-1]["code_variables"]["basket"]) == basket


class Colour(enum.Enum):
    RED = 1


@dataclass
class Order:
    number: int
    lines: list


class Slotted:
    __slots__ = ("never", "size")

    def __init__(self):
        self.size = 3


class Base:
    __slots__ = ("below",)


class Derived(Base):
    def __init__(self):
        self.below, self.above = 1, 2


Point = collections.namedtuple("Point", "x y")  # noqa: PYI024 - as apps make them
deep = []
for _ in range(30):
    deep = [deep]
loop = [1]
loop.append(loop)

VALUES = {
    "none": (None, "None"),
    "true": (True, "True"),
    "integer": (7, 7),
    "a large integer": (2**70, str(2**70)),
    "an integer that takes minutes to print": (1 << 10**7, "<integer of 10000001 bits>"),
    "float": (1.5, 1.5),
    "nan": (float("nan"), "nan"),
    "text": ("tea", "tea"),
    "long text": ("a " * 10**6, "a " * 512 + "..."),
    "surrogates": ("\udc80", "\udc80"),
    "bytes": (b"caf\xc3\xa9", "b'caf\\xc3\\xa9'"),
    "a gigabyte, nearly": (bytearray(10**7), repr(bytes(1024)) + "..."),
    "list": ([1, "a", None, True, 1.5], '[1,"a",null,true,1.5]'),
    "tuple": ((1, (2,)), "[1,[2]]"),
    "named tuple": (Point(1, 2), "[1,2]"),
    "set": ({1}, "[1]"),
    "deque": (collections.deque([1]), "[1]"),
    "dict": ({"a": 1, 2: "b", None: 0, (1, 2): 3}, '{"a":1,"2":"b","null":0,"[1,2]":3}'),
    "ordered dict": (collections.OrderedDict(a=1), '{"a":1}'),
    "many items": (list(range(60)), json.dumps([*range(50), "... 10 more"], separators=(",", ":"))),
    "many keys": (dict.fromkeys(range(60), 0), json.dumps({**{str(n): 0 for n in range(50)}, "...": "10 more"}, separators=(",", ":"))),
    "a circle": (loop, '[1,"<circular ref>"]'),
    "too deep": (deep, "[" * 12 + '"..."' + "]" * 12),
    "dataclass": (Order(1, ["tea"]), '{"number":1,"lines":["tea"],"__class__":"Order"}'),
    "slots": (Slotted(), '{"size":3,"__class__":"Slotted"}'),
    "a dict and slots": (Derived(), '{"above":2,"below":1,"__class__":"Derived"}'),
    "nothing to see": (object(), "<builtins.object>"),
    "function": (raised, "<function raised>"),
    "class": (Order, f"<class '{__name__}.Order'>"),
    "module": (json, "<module json>"),
    "exception": (ValueError("a", 1), 'ValueError("a",1)'),
    "decimal": (decimal.Decimal("1.10"), "1.10"),
    "uuid": (uuid.UUID(int=1), "00000000-0000-0000-0000-000000000001"),
    "path": (pathlib.PurePosixPath("/srv/app"), "/srv/app"),
    "date": (datetime.date(2026, 1, 2), "2026-01-02"),
    "datetime": (datetime.datetime(2026, 1, 2, 3, 4, 5), "2026-01-02T03:04:05.000000"),
    "aware datetime": (datetime.datetime(2026, 1, 2, tzinfo=datetime.UTC), "2026-01-02T00:00:00.000000UTC"),
    "timedelta": (datetime.timedelta(1), "1 day, 0:00:00"),
    "generator": ((n for n in ()), "<builtins.generator>"),
    "lock": (threading.Lock(), "<_thread.lock>"),
}  # fmt: skip


@pytest.mark.parametrize("kind", VALUES)
def test_a_value_is_shown_short_and_readable(shown, kind):
    """Numbers are shown as numbers, structures as JSON, and objects by their attributes.

    The shapes are posthog-python's.
    """
    value, wanted = VALUES[kind]
    assert shown(value) == wanted


def test_an_enum_shows_its_member(shown):
    """The member is shown by its own attributes, such as its name."""
    assert '"_name_":"RED"' in shown(Colour.RED)


class Forbidden(BaseException):
    """Nothing catches it on the way."""


def explode(*_args, **_kwargs):
    raise Forbidden


EVERYTHING = dict.fromkeys(("__repr__", "__str__", "__len__", "__iter__", "__bool__", "__eq__", "__hash__", "__getattr__", "__getattribute__", "__getitem__", "__contains__", "__format__", "__dir__", "__reduce__", "__index__", "__int__", "__float__", "__lt__", "__getstate__", "items", "keys", "values", "model_dump", "dict", "isoformat", "utcoffset", "__fspath__"), explode)  # fmt: skip


def hostile(*bases, **more):
    return type("Hostile", bases, {**EVERYTHING, **more})


class Meta(type):
    __getattribute__ = explode
    __instancecheck__ = __subclasscheck__ = __eq__ = __repr__ = explode
    __hash__ = type.__hash__


class Zone(datetime.tzinfo):
    utcoffset = dst = tzname = __repr__ = __str__ = explode


def filled(kind, *arguments):
    return kind.__new__(kind, *arguments)


HOSTILE_VALUES = {
    "object": hostile(object),
    "property for a dict": hostile(object, __dict__=property(explode)),
    "class with a property": hostile(object, __class__=property(explode)),
    "metaclass": Meta("Odd", (), {}),
    "class of a metaclass": lambda: Meta("Odd", (), {}),
    "list": lambda: list.__new__(hostile(list)),
    "tuple": lambda: tuple.__new__(hostile(tuple), (1, 2)),
    "dict": lambda: dict.__new__(hostile(dict)),
    "set": lambda: set.__new__(hostile(set)),
    "deque": lambda: collections.deque.__new__(hostile(collections.deque)),
    "str": lambda: str.__new__(hostile(str), "text"),
    "bytes": lambda: bytes.__new__(hostile(bytes), b"bytes"),
    "int": lambda: int.__new__(hostile(int), 7),
    "float": lambda: float.__new__(hostile(float), 7.0),
    "exception": lambda: hostile(Exception)("message"),
    "path": lambda: object.__new__(hostile(pathlib.PurePosixPath)),
    "datetime": lambda: datetime.datetime.__new__(hostile(datetime.datetime), 2026, 1, 1),
    "time zone": lambda: datetime.datetime(2026, 1, 1, tzinfo=Zone()),
    "decimal": lambda: decimal.Decimal.__new__(hostile(decimal.Decimal), "1"),
    "enum": lambda: enum.Enum("Hostile", {"A": 1}).A,
    "module": lambda: types.ModuleType.__new__(hostile(types.ModuleType)),
    "slots": hostile(object, __slots__=("a",)),
}


@pytest.mark.parametrize("around", ["alone", "in a list", "as a dict's value", "as an attribute"])
@pytest.mark.parametrize("kind", HOSTILE_VALUES)
def test_no_code_of_a_value_is_called(shown, kind, around):
    """No repr, no property, no length: any may block, raise or change something."""
    value = HOSTILE_VALUES[kind]()
    holder = {
        "alone": lambda: value,
        "in a list": lambda: [value],
        "as a dict's value": lambda: {"key": value},
        "as an attribute": lambda: types.SimpleNamespace(held=value),
    }[around]()
    assert shown(holder) is not None


class Blocking:
    """An object whose every method waits for ever."""

    def __getattribute__(self, name):
        threading.Event().wait()

    __repr__ = __str__ = __len__ = __iter__ = __eq__ = __getattribute__


def test_locals_that_would_block_do_not_block_the_capture(described):
    """The app's thread goes on."""

    def hold():
        blocking, inside = Blocking(), [{"a": Blocking()}]
        raise ValueError(id(blocking), id(inside))

    error = raised(hold)
    done = threading.Event()
    threading.Thread(
        target=lambda: (described(error, root=pathlib.Path(__file__).parent), done.set()), daemon=True
    ).start()
    assert done.wait(60)


@pytest.mark.parametrize(
    "namespace", [collections.UserDict(a=1), type("Odd", (dict,), {"items": explode, "get": explode})(a=1)]
)
def test_namespaces_of_all_kinds_are_survived(described, namespace):
    """`exec` takes any mapping for locals; only what is a dict is read."""
    code = compile("b = 2\nraise ValueError(b)", __file__, "exec")
    error = raised(lambda: exec(code, {"__name__": "app"}, namespace))
    assert described(error, root=pathlib.Path(__file__).parent)[0]["value"] == "2"


def test_a_value_that_changes_meanwhile_is_survived(shown):
    """Another thread owns it as well."""
    stop = threading.Event()
    busy = {n: n for n in range(40)}

    def churn():
        n = 0
        while not stop.is_set():
            busy[n % 97] = busy.pop((n + 13) % 97, n)
            n += 1

    thread = threading.Thread(target=churn)
    thread.start()
    try:
        for _ in range(50):
            assert shown(busy) is not None
    finally:
        stop.set()
        thread.join()


# -- secrets ---------------------------------------------------------------------------------------

HIDDEN_NAMES = [
    "password", "user_password", "PASSWORD", "dbPasswd", "client_secret", "API_KEY", "apiKey", "auth_header", "access_token", "jwt",
    "dsn", "connection_string", "private_key", "stripe_sk_key", "pwd",
]  # fmt: skip


@pytest.mark.parametrize("name", HIDDEN_NAMES)
def test_names_that_sound_like_secrets_hide_what_they_hold(shown, name):
    """Variables, keys, attributes, at any depth."""
    value = "plain words"
    assert shown(value, name=name) == REDACTED
    assert json.loads(shown({"deep": [{name: value}]})) == {"deep": [{name: REDACTED}]}
    assert json.loads(shown(types.SimpleNamespace(**{name: value})))[name] == REDACTED
    assert value not in shown({f"the {name}=7": value})


class Field(enum.Enum):
    PASSWORD = "w"


def test_what_is_known_of_one_key_is_not_taken_from_how_it_looks_unmasked(shown):
    """A key that is no text is looked at without masks, too.

    The result counts for nothing else.
    """
    login = type("Login", (), {"__init__": lambda self: vars(self).update(password="hunter2", user="sk_ada")})
    described = shown([{login(): 1, ("sk_ada", 2): 2}, {"password": "hunter2", "user": "sk_ada"}, ["sk_ada"]])
    assert "hunter2" not in described
    assert "sk_ada" not in described


@pytest.mark.parametrize("name", [b"password", ("db", "password"), frozenset({"api_key"}), Field.PASSWORD])
def test_keys_that_are_no_texts_hide_as_much(shown, name):
    """A row of Redis has bytes for keys.

    A hidden key has a name of its own, so that none replaces another.
    """
    value = "plain words"
    described = json.loads(shown({name: value, b"second_password": value, ("city", 1): "Ulm", 7: "seven"}))
    assert list(described.values()) == [REDACTED, REDACTED, "Ulm", "seven"]
    assert list(described)[2:] == ['["city",1]', "7"]


@pytest.mark.parametrize("kind", [tuple, list])
@pytest.mark.parametrize("name", ["password", b"authorization"])
def test_pairs_hide_as_a_dict_does(shown, kind, name):
    """Forms and headers are lists of names and values; a loop over them holds one."""
    value = "plain words"
    pair = kind((name, value))
    assert value not in shown(pair)
    assert json.loads(shown([("city", "Ulm"), pair])) == [["city", "Ulm"], [REDACTED, REDACTED]]


SECRETS = [
    "-----BEGIN RSA PRIVATE KEY-----\nMIIEow\n", "AKIAIOSFODNN7EXAMPLE", "ghp_16C7e42F292c6912E7710c838347Ae178B4a",
    "glpat-abcdefghij0123456789", "xoxb-123456789012-abcdefghijkl", "AIzaSyA1234567890abcdefghijklmnopqrstuv",
    "npm_abcdefghijklmnopqrstuvwxyz0123456789", "phx_abcdefghijklmnopqrstuvwxyz123456", "SG.abcdefghijklmnop1234.qrstuvwxyzABCDEF5678",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.c2lnbmF0dXJl", "hf_abcdefghijklmnopqrst", "dapi0123456789abcdef0123456789abcdef",
    "rk_live_abcdefghijklmnop", "sk_live_abcdefghijklmnop", "aB3$xY9!kL2#mN8@qR5", "Zm9vYmFyQmF6MTIzNDU2Nzg5MEFCQw==",
]  # fmt: skip


@pytest.mark.parametrize("secret", SECRETS)
def test_what_looks_like_a_key_is_hidden_wherever_it_stands(shown, secret):
    """Alone, in a sentence, in a query, in bytes, in a key of a dict, behind a thousand characters,
    in an exception's arguments.
    """
    for value in (
        secret, f"sent {secret} to them", f"https://x.example/?k={secret}", secret.encode(), {secret: 1}, [("k", secret)],
        "w " * 500 + secret, ValueError(secret), {"k": {1: {secret}}},
    ):  # fmt: skip
        assert secret[:12] not in str(shown(value)), value


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        ("postgres://bob:hunter2@db:5432/shop", f"postgres://{REDACTED}@db:5432/shop"),
        ("redis://:hunter2@cache/0", f"redis://{REDACTED}@cache/0"),
        ("https://hunter2@host/a", f"https://{REDACTED}@host/a"),
        ("amqp://u:p@ss@mq/v", f"amqp://{REDACTED}@mq/v"),
        ("mysql://u:pa/ss@db/x", f"mysql://{REDACTED}@db/x"),
        ("a https://u:p@h b ftp://v:q@i c", f"a https://{REDACTED}@h b ftp://{REDACTED}@i c"),
        ("Bearer abcDEF123", f"Bearer {REDACTED}"),
        ("Basic dXNlcjpwYXNz", f"Basic {REDACTED}"),
    ],
)
def test_credentials_in_a_text_are_hidden_and_the_rest_is_shown(shown, value, wanted):
    """URLs and headers."""
    assert shown(value) == wanted
    assert json.loads(shown([value])) == [wanted]


@pytest.mark.parametrize(
    "value",
    [
        "https://shop.example:8443/cart?item=3", "http://host:8080/a@b", "/usr/lib/python3.11/site-packages/MyPackage2/Thing.py",
        "d290f1ee-6c54-4b01-90e6-d701748f0851", "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b", "2026-11-25T22:43:01.811161+00:00",
        "basic understanding of things", "The quick brown fox jumps over the lazy dog.", "src/shop/OrderHistory2.py", "customer_number_42",
        "ValueError: negative total -3", "SELECT id, name FROM customers WHERE id = 7", "ada@example.com",
    ],
)  # fmt: skip
def test_what_is_no_secret_is_shown(shown, value):
    """A report of markers helps nobody."""
    assert shown(value) == value


def test_the_patterns_are_the_apps(shown):
    """posthog-python's options; a name that is ignored does not show at all."""
    own = masks(("iban", "^card_"), ("^tmp",), url_credentials=False, detect_secrets=False)
    assert shown("DE00", name="my_IBAN", hidden=own) == REDACTED
    assert shown("an iban", name="x", hidden=own) == REDACTED
    assert shown("hunter2", name="password", hidden=own) == "hunter2"
    assert shown("https://u:p@h/", hidden=own) == "https://u:p@h/"
    assert shown(SECRETS[-1], hidden=own) == SECRETS[-1]
    assert shown("x", name="tmp_file", hidden=own) is None
    assert shown("x", name="__dunder") is None


# -- bounds ----------------------------------------------------------------------------------------


def test_reading_stops_in_time(described):
    """The clock runs away.

    Values already read stay, the rest is left out, and the event is whole.
    """

    def hold():
        first, second = "a", "b"
        raise ValueError(first, second)

    [entry] = described(raised(hold), root=pathlib.Path(__file__).parent, max_seconds=0.0)
    assert all("code_variables" not in frame for frame in entry["stacktrace"]["frames"])
    assert entry["stacktrace"]["frames"][-1]["function"] == "hold"


HUGE = """
def crash(depth):
    {locals}
    raise ValueError(depth)
def down(depth):
    {locals}
    if depth: down(depth - 1)
    else:
        try: crash(depth)
        except ValueError as error:
            raise KeyError(1) from error
down(60)
"""
LOCALS = "; ".join(
    [
        "big = {n: {m: list(range(100)) for m in range(60)} for n in range(60)}",
        "text = 'wörd \\x00 ' * 300_000",
        "nested = [[[[['deep'] * 60] * 60] * 60] * 60] * 60",
        "mixed = {f'key {n}': object() for n in range(3000)}",
        *(f"v{n} = 'control \\x01\\x02 {n}' * 500" for n in range(150)),
    ]
)


def test_an_event_with_variables_stays_small_whatever_the_locals(run_file):
    """Under 200,000 characters.

    The variables within their own bound; capture and all within two seconds of its own time.
    """
    error = run_file(HUGE.format(locals=LOCALS))
    client = RecordingPostHog(
        capture_exception_code_variables=True,
        code_variables_max_seconds=60.0,  # on a busy machine, half a second is little
        project_root=str(pathlib.Path(error.__traceback__.tb_frame.f_code.co_filename).parent),
    )
    begun_s = time.thread_time()
    assert client.capture_exception(error, properties={"note": "x" * 1000}) is not None
    assert time.thread_time() - begun_s < 2.0
    [event] = client.events
    assert len(event.raw.decode()) < 200_000
    held = [
        frame["code_variables"]
        for entry in event.properties["$exception_list"]
        for frame in entry["stacktrace"]["frames"]
        if "code_variables" in frame
    ]
    assert sum(len(json.dumps(variables)) for variables in held) < 20_000
    outer, cause = event.properties["$exception_list"]
    assert cause["stacktrace"]["frames"][-1]["code_variables"]["big"].startswith('{"0":')
    assert "depth" in outer["stacktrace"]["frames"][-1]["code_variables"]


def test_even_an_event_of_its_own_size_has_the_crash(posthog):
    """The caller's properties nearly fill it: the list gives way, and the event stays under
    `max_event_bytes`.
    """
    client = here(capture_exception_code_variables=True)

    def down(n):
        held = "x " * 500
        return down(n - 1) if n else 1 / 0 + len(held)

    error = raised(lambda: down(90))
    assert client.capture_exception(error, properties={"note": "y" * (900 * 1024 - 20_000)}) is not None
    [event] = client.events
    assert len(event.raw) <= 900 * 1024
    assert event.properties["$exception_list"][0]["stacktrace"]["frames"][-1]["lineno"]
    assert client.stats().dropped == {}


# -- switches --------------------------------------------------------------------------------------


def capture_with(client):
    basket, pin = "tea", "0000"
    try:
        raise ValueError(len(basket) + len(pin))
    except ValueError as error:
        client.capture_exception(error)
    frame = client.events[-1].properties["$exception_list"][0]["stacktrace"]["frames"][-1]
    return frame.get("code_variables")


def here(**options):
    """Return a client of this folder, which has time to read variables also on a busy machine."""
    folder = str(pathlib.Path(__file__).parent)
    return RecordingPostHog(project_root=folder, code_variables_max_seconds=30, **options)


def test_variables_are_off_unless_asked_for():
    """They are other people's data."""
    assert capture_with(here()) is None
    assert capture_with(here(capture_exception_code_variables=True))["basket"] == "tea"


def test_a_context_may_choose_otherwise():
    """posthog-python's five setters; gone with the context, and inherited inside it."""
    off, on = here(), here(capture_exception_code_variables=True, code_variables_mask_patterns=["basket"])
    with hogline.new_context():
        hogline.set_capture_exception_code_variables_context(True)
        with hogline.new_context():
            assert capture_with(off)["basket"] == "tea"
            hogline.set_code_variables_mask_patterns_context(["^pin$"])
            assert (capture_with(on)["basket"], capture_with(on)["pin"]) == ("tea", REDACTED)
            hogline.set_code_variables_ignore_patterns_context(["basket", "client"])
            assert capture_with(on).keys() == {"error", "pin"}
        assert capture_with(on)["basket"] == REDACTED
        with hogline.new_context(fresh=True):
            assert capture_with(off) is None
    assert capture_with(off) is None
    with hogline.new_context():
        hogline.set_capture_exception_code_variables_context(False)
        assert capture_with(on) is None


def test_variables_are_left_out_where_a_contexts_masks_are_broken(caplog):
    """A broken pattern hides everything."""
    client = here(capture_exception_code_variables=True)
    with hogline.new_context():
        hogline.set_code_variables_mask_patterns_context(["("])
        assert capture_with(client) is None
    assert "code_variables_mask_patterns failed" in caplog.text


def test_patterns_are_checked_where_the_client_is_made():
    """They may come from the environment, between commas.

    posthog-python's None is the default.
    """
    with pytest.raises(SettingsError, match="code_variables_mask_patterns must be a list of regular expressions"):
        here(code_variables_mask_patterns=["("])
    settings = hogline.PostHog(
        "phc_x",
        code_variables_ignore_patterns="a, b",
        code_variables_mask_url_credentials=None,
        code_variables_detect_secrets=None,
    ).settings
    assert settings.code_variables_ignore_patterns == ("a", "b")
    assert settings.code_variables_mask_url_credentials is True


def test_an_interceptors_exceptions_have_variables_too():
    """Through the exchange, with the request's context."""
    from hogline.interceptors.wsgi import PostHogInterceptor

    def app(environ, start):
        basket = "tea"
        raise ValueError(basket)

    client = here(capture_exception_code_variables=True)
    with pytest.raises(ValueError, match="tea"):
        PostHogInterceptor(app, client=client, capture_exceptions=True)({"REQUEST_METHOD": "GET"}, None)
    [event] = client.events
    assert event.properties["$exception_list"][0]["stacktrace"]["frames"][-1]["code_variables"]["basket"] == "tea"


def test_nothing_is_held_after_the_capture(run_file):
    """The event is text; the locals go when the exception goes."""
    import gc
    import weakref

    class Held:
        pass

    client = here(capture_exception_code_variables=True)

    def work():
        held = Held()
        reference = weakref.ref(held)
        try:
            raise ValueError(id(held))
        except ValueError as error:
            client.capture_exception(error)
        return reference

    reference = work()
    gc.collect()
    assert reference() is None
    assert sys.getrefcount(client) < 10
