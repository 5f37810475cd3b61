"""A secret of a known format is in no byte that leaves the process.

This holds whatever object contains it and however it is written.
"""

import argparse
import array
import base64
import collections
import dataclasses
import datetime
import enum
import functools
import http.cookies
import io
import json
import linecache
import logging
import pathlib
import random
import re
import string
import sys
import types
from collections.abc import Iterator
from typing import Any, NamedTuple
from urllib.parse import quote, quote_plus, urlsplit

import attrs
import httpx
import numpy
import pydantic
import pytest
import sqlalchemy
import werkzeug.datastructures
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hogline.integrations.logging import PostHogHandler
from hogline.interceptors.wsgi import PostHogInterceptor
from hogline.redaction import redacted_text
from hogline.redaction.formats import FORMATS
from hogline.redaction.texts import redacted_source_line
from hogline.testing import CapturedEvent, RecordingPostHog
from hogline.tracebacks.masks import masks
from tests.support.tools import ROOT

BASE64 = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
WORD = BASE64[:-2] + "-_"
MASKS = masks(None, None, url_credentials=True, detect_secrets=True)
PASSWORD = "hunter2-plain".replace("-", " ")  # as one word, lines of source would show it
HERE = str(pathlib.Path(__file__).parent)


def chars(chance: random.Random, alphabet: str, count: int) -> str:
    return "".join(chance.choice(alphabet) for _ in range(count))


def web_token(chance: random.Random) -> str:
    head = (
        base64.urlsafe_b64encode(json.dumps({"alg": "HS256", "kid": chars(chance, WORD, 5)}).encode())
        .decode()
        .rstrip("=")
    )
    return f"{head}.eyJ{chars(chance, WORD, 40)}.{chars(chance, WORD, 43)}"


def private_key(chance: random.Random) -> str:
    kind = chance.choice(["", "RSA ", "EC ", "OPENSSH ", "ENCRYPTED "])
    lines = "\n".join(chars(chance, BASE64, 64) for _ in range(4))
    return f"-----BEGIN {kind}PRIVATE KEY-----\n{lines}\n-----END {kind}PRIVATE KEY-----"


def aws_secret_key(chance: random.Random) -> str:
    """Return a key as AWS makes them, but for the few that the page says are missed."""
    while True:
        key = chars(chance, BASE64, 40)
        if not key.isalpha() and len(set(key)) >= 26:
            return key


SPECIAL = {
    ("AWS", "secret access key: 40 random characters of base64"): aws_secret_key,
    ("JSON web token", "signed, encrypted or bare"): web_token,
    ("PEM", "private key, also PGP's"): private_key,
}


def secrets_of(known: Any) -> st.SearchStrategy[str]:
    """Secrets as vendors make them: each character by chance, which those of `st.from_regex` are
    not, and in less time.
    """
    make = SPECIAL.get((known.vendor, known.kind)) or functools.partial(sampled, pattern=known.pattern)
    return st.integers(0, 2**64).map(lambda seed: make(random.Random(seed)))


def sampled(chance: random.Random, pattern: str) -> str:
    """Return a text that *pattern* matches as a whole.

    Lookaheads are satisfied by trying again.
    """
    parsed = re._parser.parse(pattern, re.ASCII)
    while True:
        text = "".join(pieces(chance, parsed))
        if re.fullmatch(pattern, text):
            return text


def pieces(chance: random.Random, items: Any) -> Iterator[str]:
    for kind, argument in items:
        name = str(kind)
        if name == "LITERAL":
            yield chr(argument)
        elif name == "IN":
            yield chance.choice("".join(members(argument)))
        elif name.endswith("REPEAT"):
            least, most, inner = argument
            for _ in range(chance.randint(least, min(most, least + 20))):
                yield from pieces(chance, inner)
        elif name == "SUBPATTERN":
            yield from pieces(chance, argument[3])
        elif name == "BRANCH":
            yield from pieces(chance, chance.choice(argument[1]))
        else:
            assert name in ("ASSERT", "ASSERT_NOT"), name


def members(items: Any) -> Iterator[str]:
    for kind, argument in items:
        if str(kind) == "LITERAL":
            yield chr(argument)
        elif str(kind) == "RANGE":
            yield "".join(map(chr, range(argument[0], argument[1] + 1)))
        else:
            yield string.digits if str(argument) == "CATEGORY_DIGIT" else string.ascii_letters + string.digits + "_"


def percent(text: str) -> str:
    return "".join(f"%{byte:02x}" for byte in text.encode())


def escaped(text: str) -> str:
    return "".join(f"\\u{ord(character):04x}" for character in text)


ENCODINGS = {
    "as it is": str,
    "percent-encoded": lambda secret: quote(secret, safe=""),
    "as a form": quote_plus,
    "every byte percent-encoded": percent,
    "percent-encoded twice": lambda secret: quote(quote(secret, safe=""), safe=""),
    "escaped in JSON": lambda secret: json.dumps(secret)[1:-1].replace("/", "\\/"),
    "every character escaped in JSON": escaped,
    "in base64": lambda secret: base64.b64encode(secret.encode()).decode(),
    "in base64 of URLs": lambda secret: base64.urlsafe_b64encode(secret.encode()).decode().rstrip("="),
    "in base64 of mail": lambda secret: base64.encodebytes(secret.encode()).decode(),
    "in base64 of UTF-16": lambda secret: base64.b64encode(secret.encode("utf-16-le")).decode(),
    "in base64 behind a name": lambda secret: base64.b64encode(f"user:{secret}".encode()).decode(),
    "in base32": lambda secret: base64.b32encode(secret.encode()).decode(),
    "in hex": lambda secret: secret.encode().hex(),
    "in hex with spaces": lambda secret: secret.encode().hex(" "),
    "in hex with colons": lambda secret: secret.encode().hex(":").upper(),
    "in hex of Python": lambda secret: "".join(f"\\x{byte:02x}" for byte in secret.encode()),
    "in octal": lambda secret: "".join(f"\\{byte:03o}" for byte in secret.encode()),
    "in long escapes": lambda secret: "".join(f"\\U{ord(character):08x}" for character in secret),
    "in escapes with braces": lambda secret: "".join(f"\\u{{{ord(character):x}}}" for character in secret),
    "in old escapes of URLs": lambda secret: "".join(f"%u{ord(character):04x}" for character in secret),
    "in entities": lambda secret: "".join(f"&#{ord(character)};" for character in secret),
    "in entities in hex": lambda secret: "".join(f"&#x{ord(character):X};" for character in secret),
    "quoted-printable": lambda secret: "".join(f"={byte:02X}" for byte in secret.encode()),
    "in the repr of UTF-16": lambda secret: repr(secret.encode("utf-16-le")),
    "as codes": lambda secret: str(list(secret.encode())),
    "as characters": lambda secret: repr(list(secret)),
    "in a broken line": lambda secret: f"{secret[: len(secret) // 2]}\\\n{secret[len(secret) // 2 :]}",
    "in a broken line of mail": lambda secret: f"{secret[: len(secret) // 2]}=\n{secret[len(secret) // 2 :]}",
    "with a space of no width": lambda secret: f"{secret[: len(secret) // 2]}\u200b{secret[len(secret) // 2 :]}",
}
ENCODINGS_OF_URLS = [
    "percent-encoded", "as a form", "every byte percent-encoded", "percent-encoded twice", "in base64 of URLs", "in hex", "in base32",
]  # fmt: skip

POSITIONS = {
    "alone": "{}",
    "in a sentence": "the upstream refused {} today",
    "after a letter": "n{}",
    "after an escaped newline": "line\\n{}\\nline",
    "after an equals sign": "x={};y=1",
    "in SQL": "UPDATE hosts SET x = '{}' WHERE id = 7",
    "in JSON": '{{"a": [1, {{"b": "{}"}}]}}',
    "in JSON in JSON": '{{"a": "{{\\"b\\": \\"{}\\"}}"}}',
    "in a repr": "<Client(host='h', x='{}', port=1) at 0x7f0000000000>",
    "in a query": "GET https://api.example/v1?x={}&y=1 failed",
    "in a path": "GET https://api.example/v1/{}/items failed",
    "in a fragment": "https://api.example/cb#x={}",
    "behind much text": "w " * 480 + "{}",
    "as userinfo": "redis://{}@cache:6379/0",
    "as a password": "postgres://app:{}@db:5432/x",
    "as a bearer": "Authorization: Bearer {}",
    "in a header": "X-Thing: {}",
    "in a cookie": "Cookie: a=b; s={}",
    "in brackets": "({})",
    "in an element": "<a>{}</a>",
    "after digits": "123{}",
    "between accents": "\u00e9{}\u00e9",
    "between pipes": "a|{}|b",
}


class Field(enum.Enum):
    PASSWORD = "w"


class TextField(enum.StrEnum):
    PASSWORD = "w"


class Pair(NamedTuple):
    name: str
    held: str


class SubStr(str):
    __slots__ = ()


class Mute:
    """A key that cannot be printed."""

    def __str__(self) -> str:
        raise RuntimeError

    __repr__ = __str__


class MuteText(str):
    __slots__ = ()

    def __str__(self) -> str:
        raise RuntimeError

    __repr__ = __str__


@dataclasses.dataclass
class Data:
    held: Any


@dataclasses.dataclass(slots=True)
class Slotted:
    held: Any


@attrs.define
class Attrs:
    held: Any


class Model(pydantic.BaseModel):
    held: Any


class BrokenError(Exception):
    pass


CONTAINERS = {
    "itself": lambda value: value,
    "str subclass": SubStr,
    "text that cannot be printed": MuteText,
    "bytes": str.encode,
    "bytearray": lambda value: bytearray(value.encode()),
    "list": lambda value: [value],
    "tuple": lambda value: (1, value),
    "set": lambda value: {value},
    "frozenset": lambda value: frozenset({value}),
    "deque": lambda value: collections.deque([value]),
    "named tuple": lambda value: Pair("x", value),
    "dict": lambda value: {"x": value},
    "key": lambda value: {value: 1},
    "key in a tuple": lambda value: {("x", value): 1},
    "key in a named tuple": lambda value: {Pair("x", value): 1},
    "bytes key": lambda value: {value.encode(): 1},
    "default dict": lambda value: collections.defaultdict(list, x=[value]),
    "counter": lambda value: collections.Counter([value]),
    "chain map": lambda value: collections.ChainMap({}, {"x": value}),
    "user dict": lambda value: collections.UserDict(x=value),
    "user list": lambda value: collections.UserList([value]),
    "user string": collections.UserString,
    "mapping proxy": lambda value: types.MappingProxyType({"x": value}),
    "namespace": lambda value: types.SimpleNamespace(x=value),
    "dataclass": Data,
    "slotted dataclass": Slotted,
    "attrs class": Attrs,
    "pydantic model": lambda value: Model(held=value),
    "exception": ValueError,
    "exception's pair": lambda value: BrokenError("x", {"y": value}),
    "group": lambda value: ExceptionGroup("g", [ValueError(value)]),
    "beside a key that cannot be printed": lambda value: {Mute(): value, MuteText("x"): value},
    "command": lambda value: ["curl", "-H", value],
    "enum": lambda value: enum.Enum("Made", {"X": value}).X,
    "closure": lambda value: lambda: value,
    "generator": lambda value: (item for item in [value]),
    "UTF-16": lambda value: value.encode("utf-16-le"),
    "characters": list,
    "deque of characters": collections.deque,
    "codes": lambda value: list(value.encode()),
    "memory": lambda value: memoryview(value.encode()),
    "stream": io.StringIO,
    "array": lambda value: array.array("b", value.encode()),
    "array of numpy": lambda value: numpy.array([value]),
    "text of numpy": numpy.str_,
    "time zone": lambda value: datetime.datetime(2020, 1, 1, tzinfo=datetime.timezone(datetime.timedelta(0), value)),
    "module": types.ModuleType,
    "partial": lambda value: functools.partial(print, value),
    "cookie": lambda value: http.cookies.SimpleCookie({"a": value}),
    "request": lambda value: httpx.Request("GET", "http://h/", params={"a": value}),
}


ROOM = f"{HERE}/room_of_secrets"
_code = compile(
    "def raise_with(held): raise ValueError('x')\ndef raise_this(error): raise error\n", f"{ROOM}/holder.py", "exec"
)
_namespace: dict[str, Any] = {"__name__": "holder"}
exec(_code, _namespace)
raise_with, raise_this = _namespace["raise_with"], _namespace["raise_this"]
"""The only code whose variables are sent: those of a test hold Hypothesis's objects, which take
long to read.
"""


def last(client: RecordingPostHog) -> CapturedEvent:
    """The last event; the recorder reads all that it has each time, so it forgets them."""
    event = client.events[-1]
    client.clear()
    return event


def assert_gone(raw: bytes, secret: str) -> None:
    """Assert that the secret is absent, and any spelling of it that a reader could turn back."""
    text = raw.decode("utf-8", "replace")
    spellings = {encode(secret) for encode in ENCODINGS.values()}
    spellings |= {json.dumps(spelling)[1:-1] for spelling in spellings}
    spellings |= {spelling.replace(", ", ",") for spelling in spellings}
    spellings |= {
        secret.strip(),
        percent(secret).upper(),
        repr(secret)[1:-1],
        base64.b64encode(secret.encode()).decode(),
    }
    for spelling in spellings:
        assert spelling not in text


@pytest.fixture(scope="module")
def client():
    made = RecordingPostHog(capture_exception_code_variables=True, code_variables_max_seconds=60.0, project_root=ROOM)
    yield made
    made.shutdown()


@pytest.fixture(scope="module")
def visited(client):
    def app(environ, start_response):
        client.capture("visited", distinct_id="u")
        start_response("200 OK", [])
        return [b""]

    return PostHogInterceptor(app, client=client)


each_format = pytest.mark.parametrize("known", FORMATS, ids=lambda known: f"{known.vendor} {known.kind}")


@each_format
@settings(max_examples=20, deadline=None)
@given(data=st.data())
def test_no_secret_leaves_in_variables(client, known, data):
    """Container, nesting, position and encoding in every combination."""
    secret = data.draw(secrets_of(known))
    text = POSITIONS[data.draw(st.sampled_from(list(POSITIONS)))].format(
        ENCODINGS[data.draw(st.sampled_from(list(ENCODINGS)))](secret)
    )
    value = text
    names = data.draw(st.lists(st.sampled_from(list(CONTAINERS)), min_size=1, max_size=3))
    for name in names:
        try:
            value = CONTAINERS[name](value)
        except (TypeError, AttributeError, RuntimeError, ValueError):  # a list is no key, and has no bytes
            value = [value]
    try:
        raise_with(value)
    except ValueError as error:
        client.capture_exception(error)
    assert_gone(last(client).raw, secret)


@each_format
@settings(max_examples=20, deadline=None)
@given(data=st.data())
def test_no_secret_leaves_in_a_message(client, known, data):
    """This holds for the messages of an exception, its cause, its notes, and a log record."""
    secret = data.draw(secrets_of(known))
    text = POSITIONS[data.draw(st.sampled_from(list(POSITIONS)))].format(
        ENCODINGS[data.draw(st.sampled_from(list(ENCODINGS)))](secret)
    )
    error = KeyError(text)
    error.__cause__ = ValueError(text)
    error.add_note(text)
    try:  # one that was never raised would have the stack of this test
        raise_this(error)
    except KeyError:
        pass
    PostHogHandler(client=client).handle(
        logging.makeLogRecord(
            {
                "name": "shop",
                "levelno": logging.ERROR,
                "msg": "failed: %s",
                "args": (text,),
                "exc_info": (KeyError, error, error.__traceback__),
            }
        )
    )
    assert_gone(last(client).raw, secret)


@each_format
@settings(max_examples=3, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_no_secret_leaves_in_a_log_line_of_ours(known, data, caplog):
    """Log lines quote the failing part, here a hook of the app.

    With `log_captured_exceptions` they quote whole tracebacks.
    """
    secret = data.draw(secrets_of(known))
    text = POSITIONS[data.draw(st.sampled_from(list(POSITIONS)))].format(secret)

    def fail(event):
        raise ValueError(text)

    client = RecordingPostHog(before_send=fail, log_captured_exceptions=True)
    client.capture("x", distinct_id="u")
    try:
        raise ValueError(text)
    except ValueError as error:
        client.capture_exception(error)
    client.shutdown()
    assert "before_send failed" in caplog.text
    assert_gone(caplog.text.encode(), secret)
    caplog.clear()


URLS = {
    "a value": lambda secret: ("/a", f"b=1&x={secret}"),
    "a name": lambda secret: ("/a", f"{secret}=1"),
    "a URL in it": lambda secret: ("/a", "next=" + quote(f"https://x.example/{secret}?y={secret}", safe="")),
    "a segment": lambda secret: (f"/a/{secret}/b", ""),
}


@each_format
@settings(max_examples=20, deadline=None)
@given(data=st.data())
def test_no_secret_leaves_in_a_url(client, visited, known, data):
    """This holds for the URL of the request, in every event of it."""
    secret = data.draw(secrets_of(known))
    written = ENCODINGS[data.draw(st.sampled_from(ENCODINGS_OF_URLS))](secret)
    path, query = URLS[data.draw(st.sampled_from(list(URLS)))](written)

    environ = {
        "REQUEST_METHOD": "GET",
        "PATH_INFO": path,
        "QUERY_STRING": query,
        "HTTP_HOST": "shop.example",
        "wsgi.url_scheme": "https",
    }
    for _ in visited(environ, lambda *_: None):
        pass
    assert_gone(last(client).raw, secret)


@each_format
@settings(max_examples=3, deadline=None)
@given(data=st.data())
def test_no_secret_leaves_in_a_line_of_source(client, known, data):
    """Somebody wrote it into the code."""
    secret = data.draw(secrets_of(known)).replace("\n", "\\n")
    name = f"{ROOM}/made_{data.draw(st.integers(0, 10**9))}.py"
    source = f"x = '{secret}'\ny = 'https://app:{quote(secret, safe='')}@db/'\nraise ValueError\n"
    linecache.cache[name] = (len(source), None, source.splitlines(keepends=True), name)
    try:
        exec(compile(source, name, "exec"), {"__name__": "made"})
    except ValueError as error:
        client.capture_exception(error)
    assert_gone(last(client).raw, secret)


NAMED = [
    "password",
    "user_password",
    "X-Api-Key",
    "api key",
    "client_secret",
    "accessToken",
    "passphrase",
    "Set-Cookie",
    "aws_secret_access_key",
    "csrfmiddlewaretoken",
]
KEYS = {
    "text": str, "str subclass": SubStr, "unprintable": MuteText, "bytes": str.encode, "bytearray": str.encode,
    "tuple": lambda name: ("db", name), "enum": lambda name: enum.Enum("Key", {"A": name}).A, "named enum": lambda _: Field.PASSWORD,
    "text enum": lambda _: TextField.PASSWORD, "mute": lambda _: Mute(),
}  # fmt: skip
SEQUENCES = {"pair", "pairs", "condition", "exception's arguments"}
NAMED_CONTAINERS = {
    "dict": lambda key, value: {key: value},
    "user dict": lambda key, value: collections.UserDict({key: value}),
    "ordered dict": lambda key, value: collections.OrderedDict({key: value}),
    "chain map": lambda key, value: collections.ChainMap({key: value}),
    "pair": lambda key, value: (key, value),
    "pairs": lambda key, value: [[key, value]],
    "condition": lambda key, value: (key, "=", value),
    "dict of lists": lambda key, value: {key: [value]},
    "exception": lambda key, value: ValueError({key: value}),
    "exception's arguments": ValueError,
}  # fmt: skip


@pytest.mark.parametrize("name", NAMED)
def test_what_a_secrets_name_stands_for_does_not_leave(client, name):
    """This holds for every type of key and container.

    A key that cannot be read hides its value.
    """
    secret = PASSWORD
    for key, make_key in KEYS.items():
        for container, make in NAMED_CONTAINERS.items():
            if key == "mute" and container in SEQUENCES:
                continue
            try:
                raise_with(make(make_key(name), secret))
            except ValueError as error:
                error.args = ("x",)
                client.capture_exception(error)
            assert_gone(last(client).raw, secret)


Login = collections.namedtuple("Login", "user password")  # noqa: PYI024 - as apps make them


class TypedLogin(NamedTuple):
    user: str
    password: str


class Derived(TypedLogin):
    pass


@pytest.mark.parametrize("login", [Login, TypedLogin, Derived])
@pytest.mark.parametrize(
    "around",
    [lambda one: one, lambda one: [one], lambda one: {one: 1}, lambda one: {"a": (1, one)}, lambda one: {(1, one): 2}],
)
def test_a_field_of_a_named_tuple_has_a_name(client, login, around):
    """The name also counts where it is a key."""
    try:
        raise_with(around(login("ada", PASSWORD)))
    except ValueError as error:
        client.capture_exception(error)
    assert_gone(last(client).raw, PASSWORD)


@pytest.mark.parametrize(
    "held",
    [
        {"name": "password", "value": PASSWORD},
        types.SimpleNamespace(name="sessionid", value=PASSWORD),
        enum.Enum("Setting", {"PASSWORD": PASSWORD}).PASSWORD,
        ["mysql", "-u", "root", "--password", PASSWORD],
        ("Basic", PASSWORD),
        {"Key": "DB_PASSWORD", "Value": PASSWORD},
        httpx.Headers({"x-api-key": PASSWORD}),
        httpx.URL(f"https://ann:{quote(PASSWORD)}@host/"),
        urlsplit(f"https://ann:{PASSWORD}@host/"),
        werkzeug.datastructures.Headers([("X-Api-Key", PASSWORD)]),
        sqlalchemy.engine.make_url(f"postgresql://ann:{quote(PASSWORD)}@host/db"),
        pydantic.SecretStr(PASSWORD),
    ],
    ids=str,
)
def test_a_name_may_stand_beside_its_value(client, held):
    """Records of a name and a value, members of an enum, arguments of a command, headers, parts of
    URLs.
    """
    try:
        raise_with(held)
    except ValueError as error:
        client.capture_exception(error)
    assert_gone(last(client).raw, PASSWORD)


@given(
    st.text(min_size=0, max_size=12),
    st.text(min_size=0, max_size=12),
    st.sampled_from(["{}", "Authorization: {}", "'Authorization': '{}'", "x\\n{}", "n{}"]),
)
def test_basic_credentials_are_hidden_however_short(user, password, position):
    """Base64 is no encryption."""
    credentials = base64.b64encode(f"{user}:{password}".encode()).decode()
    text = position.format(f"Basic {credentials}")
    for shown in (redacted_text(text), MASKS.without_secrets(text)):
        assert f"Basic {credentials}" not in shown


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("login failed: password=hunter2x", "login failed: password=redacted"),
        ("body {'user': 'ada', 'password': 'hunter2'}", "body {'user': 'ada', 'password': 'redacted'}"),
        ('{"api_key": "hunter2", "a": 1}', '{"api_key": "redacted", "a": 1}'),
        ('{\\"api_key\\": \\"hunter2\\", \\"a\\": 1}', '{\\"api_key\\": \\"redacted\\", \\"a\\": 1}'),
        ("User(name='ada', password='hunter2')", "User(name='ada', password='redacted')"),
        ("SET password = 'hunter2' WHERE", "SET password = 'redacted' WHERE"),
        ("Cookie: sessionid=abc; a=b", "Cookie: redacted"),
        ("x-api-key: abc123def", "x-api-key: redacted"),
        ("password=None, token=<hidden>, secret=get_secret()", "password=None, token=<hidden>, secret=get_secret()"),
        ("max_tokens=4096 and tokens: 512", "max_tokens=4096 and tokens: 512"),
        ("wrong password: at least one digit", "wrong password: at least one digit"),
        ("Command '['mysql', '--password', 'hunter2']' failed", "Command '['mysql', '--password', 'redacted']' failed"),
        ("mysql --password hunter2 -u x", "mysql --password redacted -u x"),
        ("('password', 'hunter2')", "('password', 'redacted')"),
        ("<a><password>hunter2</password></a>", "<a><password>redacted</password></a>"),
        ('{"name": "password", "value": "hunter2"}', '{"name": "password", "value": "redacted"}'),
        ("ALTER USER app WITH PASSWORD 'hunter2'", "ALTER USER app WITH PASSWORD 'redacted'"),
        ("CREATE USER app IDENTIFIED BY 'hunter2'", "CREATE USER app IDENTIFIED BY 'redacted'"),
        ("DB_PASS=hunter2", "DB_PASS=redacted"),
        ("use --token to sign in", "use --token to sign in"),
        ("the --password option is required", "the --password option is required"),
        ("unexpected token 'export', <tokens>512</tokens>", "unexpected token 'export', <tokens>512</tokens>"),
        ("no columns: ['id', 'password', 'email']", "no columns: ['id', 'password', 'email']"),
        ("PASSWORD_RESET_TIMEOUT = 259200", "PASSWORD_RESET_TIMEOUT = 259200"),
        ("user@example.com has no password", "user@example.com has no password"),
    ],
)
def test_a_message_hides_what_a_secrets_name_stands_for(text, left):
    """Assignments, JSON, reprs, headers; not prose."""
    assert redacted_text(text) == left


def test_what_a_validation_refused_does_not_leave(client):
    """pydantic's errors quote the input."""

    class Form(pydantic.BaseModel):
        age: int
        password: int
        login: dict[str, int]

    given = {"age": "many", "password": PASSWORD, "login": {"api_key": PASSWORD}}
    with pytest.raises(pydantic.ValidationError) as raised:
        Form(**given)
    client.capture_exception(raised.value)
    event = last(client)
    assert_gone(event.raw, PASSWORD)
    message = event.properties["$exception_list"][0]["value"]
    assert "input_value='many'" in message
    assert message.count("input_value=redacted") == 2


ORDINARY = [
    "d290f1ee-6c54-4b01-90e6-d701748f0851", "D290F1EE-6C54-4B01-90E6-D701748F0851", "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b",
    "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b9f86d081884c7d659a2feaa0", "/usr/lib/python3.11/site-packages/MyPackage2/Thing.py",
    "C:\\Users\\Ada\\AppData\\Local\\Programs\\Python311\\Lib\\site-packages\\thing.py", "src/components/OrderHistory2/Thing/index",
    "<shop.models.Order2 object at 0x7f3a1c2b4d50>", "<django.core.handlers.wsgi.WSGIRequest object at 0x7f3a1c2b4d50>",
    "<function Order.total.<locals>.add_Tax at 0x7F3A1C2B4D50>", "<bound method HTTPConnectionPool.urlopen of <urllib3.Pool2 object at 0x7f00>>",
    "The quick brown fox jumps over the lazy dog.", "an author wrote of basic understanding", "task-management-systems-for-everyone-2",
    "the npm_config_registry and pypi-attestations", "MSG.some_long_identifier_name.other_long_identifier", "django.db.models.BigAutoField",
    "SECURE_HSTS_INCLUDE_SUBDOMAINS", "DEFAULT_AUTO_FIELD", "DJANGO_SETTINGS_MODULE", "WSGI_APPLICATION", "EMAIL_BACKEND", "DATA_UPLOAD_MAX_MEMORY_SIZE",
    "CustomResourceDefinitionV1Beta1", "HTTPConnectionPool2TestCaseV3ForAllUsers", "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko)",
    "2026-11-25T22:43:01.811161+00:00", "ada@example.com", "https://shop.example:8443/cart?item=3&colour=Blue", "SELECT id, name FROM customers WHERE id = 7",
    "ValueError: invalid literal for int() with base 10: '4x'", "Python 3.11.7 (main, Nov 30 2026, 21:31:01) [GCC 12.2.0] on linux",
    "rk_liveness_probe", "Sk-Learn pipelines", "EAAAlphabet", "key-value-stores-of-2026", "https://www.youtube.com/watch?v=dQw4w9WgXcQ",
    "68656c6c6f20776f726c642068656c6c6f20776f726c64", "[104, 101, 108, 108, 111, 32, 119, 111, 114, 108, 100, 33, 33]",
    "MAC 00:1b:63:84:45:e6, 10 20 30 40 50 60 70 80 90",
    "https://shop.example/?gclid=EAIaIQobChMI7pXh0eKx_gIVCgCtBh2J9QkzEAAYASAAEgK1HfD_BwE",
]  # fmt: skip


@pytest.mark.parametrize("text", ORDINARY)
def test_what_is_no_secret_stays_readable(text):
    """Identifiers, hashes, paths, prose, reprs."""
    assert redacted_text(text) == text
    assert MASKS.shown(text) == text


@pytest.mark.parametrize(
    "text",
    [
        "cD0yMDI2LTExLTI1VDIyOjQzOjAxLjgxMTE2MQ==",
        "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk",
    ],
)
def test_what_decodes_to_no_secret_stays_readable_in_a_message(text):
    """A cursor of a list, a picture."""
    assert redacted_text(text) == text


def test_the_names_of_djangos_settings_stay_readable():
    """All of them, and their values as far as they are no secrets."""
    from django.conf import global_settings

    names = [name for name in dir(global_settings) if name.isupper()]
    assert [name for name in names if MASKS.without_secrets(name) != name] == []
    assert redacted_text(", ".join(names)) == ", ".join(names)


def test_names_paths_and_lines_of_the_standard_library_stay_readable():
    """Dotted names, files, and lines of real code."""
    library = pathlib.Path(argparse.__file__).parent
    files = [*library.glob("*.py"), *library.glob("email/*.py")]
    texts = [*sys.stdlib_module_names, *map(str, files)]
    assert [text for text in texts if MASKS.without_secrets(text) != text] == []
    lines = [
        line
        for name in ("argparse", "dataclasses", "tempfile", "logging/handlers")
        for line in (library / f"{name}.py").read_text().splitlines()
    ]
    assert [line for line in lines if redacted_source_line(line) != line] == []
    assert sum(MASKS.without_secrets(line) != line for line in lines) <= len(lines) // 500


def test_numbers_stay_numbers(client):
    """Subclasses have their value, too."""

    class Euro(float):
        pass

    class Count(int):
        pass

    try:
        raise_with([Euro(9.5), Count(7), enum.IntEnum("Code", {"OK": 200}).OK, True])
    except ValueError as error:
        client.capture_exception(error)
    frame = last(client).properties["$exception_list"][0]["stacktrace"]["frames"][-1]
    assert frame["code_variables"]["held"] == "[9.5,7,200,true]"


def test_the_page_lists_every_format():
    """Each format has its source, and they stand in the code's order."""
    page = (ROOT / "docs" / "concepts" / "secrets.md").read_text()
    rows = re.findall(r"^\| ([^|]+) \| ([^|]+) \| ([^|]+) \| \[[^]]*\]\(([^)]+)\) \|$", page, re.MULTILINE)
    assert rows == [
        (known.vendor, known.kind, ", ".join(f"`{hint}`" for hint in known.hints) or "no prefix", known.source)
        for known in FORMATS
    ]
