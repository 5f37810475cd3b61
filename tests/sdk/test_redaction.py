"""Secrets in URLs and in texts: by name, by shape, in userinfo.

Encoded, nested; and what is no secret stays as it was.
"""

import time
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from hogline.interceptors.wsgi import PostHogInterceptor
from hogline.redaction import (
    MASK,
    SECRET_NAMES,
    SECRET_WITHIN,
    redacted_path,
    redacted_query,
    redacted_text,
)
from hogline.testing import RecordingPostHog
from hogline.tracebacks.masks import masks
from tests.support.tools import ROOT

WORD = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
JWT = st.builds(
    "eyJ{}.{}.{}".format, st.text(WORD, min_size=8, max_size=30), st.text(WORD, min_size=8, max_size=30), st.text(WORD, min_size=8, max_size=30)
)  # fmt: skip
KEY = st.builds(
    "{}{}7{}".format,
    st.sampled_from(["phx_", "sk-", "sk_live_", "ghp_", "github_pat_", "glpat-", "xoxb-", "AKIA", "AIza", "hf_", "npm_", "SG."]),
    st.text(WORD, min_size=8, max_size=20),
    st.text(WORD, min_size=4, max_size=20),
)  # fmt: skip
SECRETS = JWT | KEY
NAMES = st.sampled_from(["q", "next", "page", "x[y]", "ref", "ünï"])


@pytest.mark.parametrize(
    ("query", "redacted"),
    [
        ("next=https%3A%2F%2Fshop%2F%3Ftoken%3Dabc", f"next={MASK}"),
        ("next=https://user:pw@shop/", f"next={MASK}"),
        ("next=https%253A%252F%252Fa%253Ab%2540shop", f"next={MASK}"),
        ("next=https://shop/a?q=1", "next=https://shop/a?q=1"),
        ("next=https://medium.example/@someone", "next=https://medium.example/@someone"),
        ("next=https:/user:pw@shop/", f"next={MASK}"),
        ('filter={"user":"bob","password":"hunter2"}', f"filter={MASK}"),
        ("filter=%7B%22api_key%22%3A%22abc%22%7D", f"filter={MASK}"),
        ("filter={'pin' : 1}", f"filter={MASK}"),
        ('filter={"state":"open","code":"DE"}', 'filter={"state":"open","code":"DE"}'),
        ("at=12:30&file=C:/me@home", "at=12:30&file=C:/me@home"),
        ("eyJhbGciOi.eyJzdWIi.sig=1", f"{MASK}=1"),
        ("q=task-management-system", "q=task-management-system"),
        ("q=npm_config_registry", "q=npm_config_registry"),
        ("q=100%25&r=50%", "q=100%25&r=50%"),
        ("a=1;b=2&+&=&&", "a=1;b=2&+&=&&"),
    ],
)
def test_a_query_is_looked_through(query, redacted):
    """URLs in URLs, encodings, secrets in place of names."""
    assert redacted_query(query) == redacted


def test_more_names_can_be_named():
    """They match as they are written, or with other punctuation."""
    assert redacted_query("Order-Ref=1&q=2", frozenset({"orderref"})) == f"Order-Ref={MASK}&q=2"


@pytest.mark.parametrize(
    ("path", "redacted"),
    [
        ("/", "/"),
        ("/items/1234567", "/items/1234567"),
        ("/reset/eyJhbGciOi.eyJzdWIi.sig/now", f"/reset/{MASK}/now"),
        ("/keys/sk_live_0123456789", f"/keys/{MASK}"),
        ("/f/%65yJhbGciOi.eyJzdWIi.sig", f"/f/{MASK}"),
        ("/task-management-systems", "/task-management-systems"),
        ("/cart;jsessionid=0123ABCDEF99", f"/{MASK}"),
        ("/a/b;access_token=hunter2/c", f"/a/{MASK}/c"),
        ("/cb?token=hunter2/2&q=1", f"/cb?token={MASK}&q=1"),
        ("/fetch/https://bob:hun/ter2@db.internal/x", f"/fetch/https://{MASK}@db.internal/x"),
        ("/fetch/https:/bob:hunter2@db.internal/x", f"/fetch/https:/{MASK}@db.internal/x"),
        ("/fetch/http://host:8000/a@b", "/fetch/http://host:8000/a@b"),
        ("/fetch/http:/host:8000/a@b", "/fetch/http:/host:8000/a@b"),
        ("/year=2026/colour;v=1", "/year=2026/colour;v=1"),
    ],
)
def test_a_path_hides_segments_that_are_secrets(path, redacted):
    """Segments are known by their shape, and by the names of parameters in them.

    A query or a URL that the server decoded into the path is such a segment.
    """
    assert redacted_path(path) == redacted


@pytest.mark.parametrize(
    ("text", "redacted"),
    [
        ("no route to postgres://shop:s3cret@db:5432/shop", f"no route to postgres://{MASK}@db:5432/shop"),
        ("redis://:pa/ss@cache:6379/0 refused", f"redis://{MASK}@cache:6379/0 refused"),
        ("https://token@host/x", f"https://{MASK}@host/x"),
        ("404 for url 'https://api/x?api_key=abc&q=1'", f"404 for url 'https://api/x?api_key={MASK}&q=1'"),
        ("see https://api/cb#access_token=abc&state=x", f"see https://api/cb#access_token={MASK}&state={MASK}"),
        ("http://host:8000/a@b stays", "http://host:8000/a@b stays"),
        ("Authorization: Bearer abc.def-ghi", f"Authorization: {MASK}"),
        ("bad key sk-proj-abcdefgh12345678!", f"bad key {MASK}!"),
        ("the npm_config_registry and task-management-system", "the npm_config_registry and task-management-system"),
        ("user@example.com has no password", "user@example.com has no password"),
        ("cannot GET https://api/cart;jsessionid=0123ABCDEF", f"cannot GET https://api/{MASK}"),
        ("GET https://api/fetch/https://bob:hunter2@db/x", f"GET https://api/fetch/https://{MASK}@db/x"),
        ("url_https://bob:hunter2@db/x", f"url_https://{MASK}@db/x"),
        ('{"u":"https://a:1","m":"x@y"}', '{"u":"https://a:1","m":"x@y"}'),
        ("keyJar monkeyJuice eyJx-sk-live-12345678 aeyJab.cd", f"keyJar monkeyJuice eyJx-{MASK} a{MASK}"),
        ("", ""),
    ],
)
def test_a_text_hides_what_is_secret_in_it(text, redacted):
    """Exceptions' messages: URLs' userinfo and parameters, and whatever has the shape of a key."""
    assert redacted_text(text) == redacted


@pytest.mark.parametrize(
    "redact",
    [
        redacted_text,
        redacted_query,
        redacted_path,
        masks(None, None, url_credentials=True, detect_secrets=True).without_secrets,
    ],
)
@pytest.mark.parametrize(
    "unit",
    [
        "sk-", "eyJ", "eyJ-sk-", "AKIAeyJ_", "AKIA", "sk-proj-", "SG.a", "PRIVATE KEY", "-----BEGIN A", "://", ":/a", "://a:", "Basic ",
        "Basic a=b,", "password=", "password='", '\\"token\\": \\"', "%25", "%", "\\u0073", "\\/", "aB3/", "aB3 ", "a@", "=", "key" + " " * 50, "\\" * 7,
        "-us", "a0" * 16, "1" * 9 + ":AA", "pat" + "a" * 14 + ".", "b" * 14 + ".atlasv1.", "a.", "Aa", "/a", "token" + "_id" * 4, "Bearer\t", "\n  [type=a, input_value=", "input_value=\n  [type=a, ", "a\n  ",
    ],
)  # fmt: skip
def test_hostile_texts_cost_no_more_than_their_length(redact, unit):
    """However often a secret seems to begin: 64,000 characters take less than a second, eight times
    as many not 64 times that.
    """
    begun_s = time.thread_time()
    redact(unit * (64_000 // len(unit)))
    assert time.thread_time() - begun_s < 1.0


@pytest.mark.parametrize("between", [" ", ""])
def test_no_more_of_a_text_is_read_than_is_shown(between):
    """Text far behind the cut costs nothing, and a secret that crosses the cut is masked all the
    same.
    """
    text = f"{'x' * 95} postgres://shop:s3cret@db/{between}{'y' * 1_000_000}"
    redacted = redacted_text(text, 100)
    assert len(redacted) <= 100 + 2048
    assert redacted.startswith(f"{'x' * 95} postgres://{MASK}@db/")


@given(st.text(max_size=300))
def test_a_text_without_a_url_or_a_secret_stays_as_it_was(text):
    """Nothing else is touched."""
    if "://" not in text and "Bearer" not in text and "eyJ" not in text:
        assert redacted_text(text) == text


@given(st.text("ab%=&?#/:@.+eyJ-_", max_size=300), st.integers(0, 4))
def test_hostile_texts_are_redacted_without_an_error(text, encodings):
    """A text that was redacted once has nothing more to hide."""
    for _ in range(encodings):
        text = quote(text)
    for redact in (redacted_query, redacted_path, redacted_text):
        once = redact(text)
        assert isinstance(once, str)


PLACES = {
    "query": lambda secret, name: (f"/a?b=1&{quote(name)}={secret}", ""),
    "encoded": lambda secret, name: (f"/a?{quote(name)}=" + "".join(f"%{ord(c):02X}" for c in secret), ""),
    "twice encoded": lambda secret, name: (f"/a?{quote(name)}={quote_plus(quote_plus(f'https://x/?k={secret}'))}", ""),
    "nested": lambda secret, name: (f"/a?{quote(name)}=https://user:{secret}@x/", ""),
    "name": lambda secret, _: (f"/a?{secret}=1&{secret}", ""),
    "path": lambda secret, _: (f"/a/{secret}/b", ""),
    "message": lambda secret, name: (
        "/a",
        f"GET https://api.example/{secret}?{quote(name)}={secret} failed with {secret}",
    ),
    "message's userinfo": lambda secret, _: (
        "/a",
        f"cannot reach postgres://app:{secret}@db:5432/x, redis://{secret}@cache",
    ),
    "message's fragment": lambda secret, name: ("/a", f"bad redirect https://x/cb#{quote(name)}={secret}"),
    "header in a message": lambda secret, _: ("/a", f"{{'Authorization': 'Bearer {secret}'}}"),
}


class UpstreamError(Exception):
    """An exception that an HTTP client raises."""


def events_of(target, message):
    """Return the events of a request to *target* whose handler captures, and raises *message* from
    another exception.
    """
    client = RecordingPostHog()

    def app(environ, start_response):
        client.capture("visited")
        try:
            try:
                raise UpstreamError(message)
            except UpstreamError as error:
                raise RuntimeError(f"while working: {error}") from error
        except RuntimeError as error:
            error.add_note(message)
            client.capture_exception(error)
        start_response("200 OK", [("Content-Length", "0")])
        return [b""]

    path, _, query = target.partition("?")
    environ = {
        "REQUEST_METHOD": "GET", "PATH_INFO": path, "QUERY_STRING": query, "HTTP_HOST": "shop.example", "SERVER_NAME": "shop", "SERVER_PORT": "80",
        "wsgi.url_scheme": "https", "HTTP_X_FORWARDED_FOR": "203.0.113.9",
    }  # fmt: skip
    for _ in PostHogInterceptor(app, client=client)(environ, lambda *_: None):
        pass
    return client.events


@pytest.mark.parametrize("place", PLACES)
@settings(max_examples=25, deadline=None)
@given(SECRETS, NAMES)
@example("sk_live_0123456789abcdef", "q")
def test_what_has_the_shape_of_a_secret_appears_in_no_event(place, secret, name):
    """This holds wherever the request or an exception's message has it.

    Its percent-encoded form does not appear either.
    """
    target, message = PLACES[place](secret, name)
    events = events_of(target, message)
    assert [event.event for event in events] == ["visited", "$exception"]
    encoded = "".join(f"%{ord(c):02X}" for c in secret)
    for event in events:
        assert secret.encode() not in event.raw
        assert encoded.encode() not in event.raw


def test_messages_can_be_left_as_they_are():
    """The client's option `redact_messages`."""
    client = RecordingPostHog(redact_messages=False)
    client.capture_exception(ValueError("https://user:pw@host/"))
    [event] = client.events
    assert event.properties["$exception_list"][0]["value"] == "https://user:pw@host/"


def test_the_page_lists_every_name():
    """The documented default list is the one in the code."""
    text = (ROOT / "docs" / "guides" / "identity.md").read_text()
    missing = [name for name in (*SECRET_WITHIN, *SECRET_NAMES) if f"`{name}`" not in text]
    assert not missing
