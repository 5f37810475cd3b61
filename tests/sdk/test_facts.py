"""Facts are read from a request: ids in headers, the client's address, the URL.

The functions are pure, and the texts hostile.
"""

import ipaddress
import json
from urllib.parse import quote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hogline.facts.address import client_address, forwarded_chain
from hogline.facts.tracing import CookieIdentity, clean, cookie_identity, split_joined, usable
from hogline.facts.url import page_facts, usable_host
from hogline.facts.visitor import joined_visitor, visitor
from hogline.redaction import MASK, redacted_query
from tests.support.behaviours import shows

OURS = (ipaddress.ip_network("10.0.0.0/8"), ipaddress.ip_network("fd00::/8"))


@pytest.mark.parametrize(
    ("values", "clean"),
    [
        (["s1"], "s1"), ([" s1 "], "s1"), (["\x00s\x1f1\x7f\x9f"], "s1"), (["", "  ", "s2"], "s2"), ([], None),
        (["\x01\x02"], None), (["x" * 2000], "x" * 1000), ([" " + "y" * 1500], "y" * 1000), (["a\r\nb"], "ab"),
    ],
)  # fmt: skip
def test_header_values_are_sanitised(values, clean):
    """Control characters go, ends are trimmed, 1000 characters stay, the first usable value counts.

    Source: docs/internals/capture-protocol.md#tracing-headers.
    """
    assert usable(values) == clean


@given(st.lists(st.text()))
def test_a_sanitised_value_holds_no_control_character_and_no_more_than_1000(values):
    """The law behind the table."""
    clean = usable(values)
    assert clean is None or (0 < len(clean) <= 1000 and not any(ord(c) < 32 or 127 <= ord(c) <= 159 for c in clean))


@pytest.mark.parametrize(
    ("joined", "parts"),
    [("S1,S2", ["S1", "S2"]), ("S1, S2", ["S1", "S2"]), ("one", ["one"]), ("Doe, Jane (admin)", ["Doe, Jane (admin)"])],
)
def test_joined_duplicates_are_split_only_when_all_parts_are_plain_ids(joined, parts):
    """WSGI servers join duplicates with commas before we see them.

    Source: docs/internals/frameworks.md#header-facts.
    """
    assert split_joined(joined) == parts


@shows("visitor-address")
@pytest.mark.parametrize(
    ("forwarded", "peer", "trusted", "address"),
    [
        (None, "203.0.113.9", None, "203.0.113.9"),
        ("198.51.100.1, 10.0.0.2", "10.0.0.1", None, "198.51.100.1"),
        ("garbage, 198.51.100.1", "10.0.0.1", None, "198.51.100.1"),
        ("198.51.100.1:443", "10.0.0.1", None, "198.51.100.1"),
        ('"[2001:db8::1]:443"', "10.0.0.1", None, "2001:db8::1"),
        ("fe80::1%eth0", "10.0.0.1", None, "fe80::1"),
        ("", "testclient", None, None),
        # Hops: the address in front of our proxies. Values that a visitor writes further left are
        # ignored.
        ("6.6.6.6, 198.51.100.1", "10.0.0.1", 0, "10.0.0.1"),
        ("6.6.6.6, 198.51.100.1", "10.0.0.1", 1, "198.51.100.1"),
        ("6.6.6.6, 198.51.100.1, 10.0.0.2", "10.0.0.1", 2, "198.51.100.1"),
        ("198.51.100.1", "10.0.0.1", 5, "198.51.100.1"),
        (None, "203.0.113.9", 1, "203.0.113.9"),
        # Networks: the rightmost address that is not ours.
        ("6.6.6.6, 198.51.100.1, 10.0.0.2", "10.0.0.1", OURS, "198.51.100.1"),
        ("6.6.6.6, 198.51.100.1", "203.0.113.9", OURS, "203.0.113.9"),
        ("::ffff:10.0.0.7, 198.51.100.1, ::ffff:10.0.0.2", "fd00::1", OURS, "198.51.100.1"),
        ("10.0.0.9", "10.0.0.1", OURS, "10.0.0.9"),
        ("198.51.100.1, garbage", "10.0.0.1", OURS, "10.0.0.1"),
    ],
)  # fmt: skip
def test_the_visitors_address(forwarded, peer, trusted, address):
    """No setting, hops, networks; IPv6, ports and zones."""
    assert client_address(forwarded, peer, trusted) == address


@pytest.mark.parametrize(
    ("header", "trusted", "address"),
    [
        ("for=192.0.2.60;proto=http;by=203.0.113.43", None, "192.0.2.60"),
        ('For="[2001:db8:cafe::17]:4711"', None, "2001:db8:cafe::17"),
        ("for=192.0.2.43, for=198.51.100.17", None, "192.0.2.43"),
        ("proto=https; for = 192.0.2.43", None, "192.0.2.43"),
        ('for=6.6.6.6, for="198.51.100.1:80";by="a,b;for=9.9.9.9", For=10.0.0.2', OURS, "198.51.100.1"),
        ("for=6.6.6.6, for=198.51.100.1", 1, "198.51.100.1"),
        ("for=unknown, for=198.51.100.1", None, "198.51.100.1"),
        ("for=_hidden", None, "10.0.0.1"),
        ("by=203.0.113.43", None, "10.0.0.1"),
        ("for=198.51.100.1, for=_hidden", OURS, "10.0.0.1"),
        ('for="198.51.100.1', None, "10.0.0.1"),
        ("", None, "10.0.0.1"),
    ],
)
def test_the_address_in_a_forwarded_header(header, trusted, address):
    """RFC 7239: quotes, ports, obfuscated names; the same rules about whom to believe."""
    assert client_address(forwarded_chain(header), "10.0.0.1", trusted) == address


@given(st.text(max_size=300), st.sampled_from([None, 0, 1, OURS]))
def test_any_forwarded_header_gives_an_address_or_none(header, trusted):
    """This holds for any text in the header."""
    address = client_address(forwarded_chain(header), "garbage", trusted)
    assert address is None or ipaddress.ip_address(address)


@given(st.text(max_size=200), st.text(max_size=50), st.sampled_from([None, 0, 1, 3, OURS]))
def test_an_address_is_an_ip_address_or_none(forwarded, peer, trusted):
    """This holds for any text in the header."""
    address = client_address(forwarded, peer, trusted)
    assert address is None or ipaddress.ip_address(address)


@pytest.mark.parametrize(
    ("host", "scheme", "result"),
    [
        ("shop.example", "https", "shop.example"), ("shop.example:443", "https", "shop.example"),
        ("shop.example:80", "http", "shop.example"), ("shop.example:8000", "http", "shop.example:8000"),
        ("[::1]:8000", "http", "[::1]:8000"), ("[::1]", "http", "[::1]"), ("under_score.example", "http", "under_score.example"),
        ("a b", "http", None), ("h:99999", "http", None), ("h:abc", "http", None), ("evil.com/x?y#z", "http", None),
        ("user:pw@evil.com", "http", None), ("", "http", None), (None, "http", None), ("h\r\nX: y", "http", None),
    ],
)  # fmt: skip
def test_only_a_host_of_host_characters_is_used(host, scheme, result):
    """docs/internals/frameworks.md#hostile-host-header: every framework does something else with
    these.
    """
    assert usable_host(host, scheme) == result


@shows("url-secrets")
@pytest.mark.parametrize(
    ("query", "redacted"),
    [
        ("q=shoes&page=2", "q=shoes&page=2"),
        ("token=abc", f"token={MASK}"),
        ("access_token=abc&q=1", f"access_token={MASK}&q=1"),
        ("API-Key=abc", f"API-Key={MASK}"),
        ("user%5Bpassword%5D=abc", f"user%5Bpassword%5D={MASK}"),
        ("code=4%2F0Ab", f"code={MASK}"),
        ("postcode=12345&encode=1", "postcode=12345&encode=1"),
        ("next=eyJhbGciOi.eyJzdWIi.sig", f"next={MASK}"),
        ("x=%65yJhbGciOi.eyJzdWIi.sig", f"x={MASK}"),
        ("k=sk_live_0123456789abcdef", f"k={MASK}"),
        ("phx_0123456789abcdef", MASK),
        ("token=", "token="), ("a=1&a=2&flag", "a=1&a=2&flag"), ("", ""),
    ],
)  # fmt: skip
def test_secrets_in_a_query_are_masked_and_the_rest_stays_as_it_was(query, redacted):
    """They are found by name and by shape, also percent-encoded.

    Order and spelling stay.
    """
    assert redacted_query(query) == redacted


SECRETS = st.from_regex(r"eyJ[A-Za-z0-9_-]{10,30}\.[A-Za-z0-9_-]{10,30}\.[A-Za-z0-9_-]{5,20}", fullmatch=True)


@given(st.text("abcxyz", min_size=1, max_size=8), SECRETS, st.booleans())
def test_a_secret_shaped_value_never_leaves_in_a_url(name, secret, encode):
    """This holds whatever its name is, and however it is encoded."""
    written = "".join(f"%{ord(c):02x}" for c in secret) if encode else secret
    url = page_facts("https", "shop.example", "/", f"a=1&{name}={written}", "redact")["$current_url"]
    assert secret not in url
    assert written not in url


@pytest.mark.parametrize(
    ("mode", "url"),
    [
        ("redact", f"https://h/a%20b?token={MASK}&q=1"),
        ("keep", "https://h/a%20b?token=secret&q=1"),
        ("drop", "https://h/a%20b"),
    ],
)
def test_the_query_is_redacted_kept_or_dropped(mode, url):
    """The option `url_query`."""
    assert page_facts("https", "h", "/a b", "token=secret&q=1", mode)["$current_url"] == url


@given(st.text(st.characters(exclude_categories=["Cs"])), st.text(st.characters(exclude_categories=["Cs"])))
def test_a_url_keeps_its_host_whatever_path_and_query_hold(path, query):
    """No path can smuggle a host, a user or a fragment in."""
    url = page_facts("https", "shop.example", f"/{path}", quote(query), "keep")["$current_url"]
    parts = urlsplit(url)
    assert (parts.hostname, parts.username, parts.fragment) == ("shop.example", None, "")


HEADER_VALUES = st.text(st.characters(max_codepoint=0xFF, exclude_characters="\n"), max_size=300)


@given(st.lists(HEADER_VALUES, min_size=6, max_size=6))
def test_headers_that_are_read_at_once_say_what_they_say_one_by_one(values):
    """A value that needs cleaning is cleaned alone; callers join no value with a newline."""
    found = joined_visitor("\n".join(values).encode("latin-1"))
    identity, host, chain = [clean(value) or "" for value in values[:4]], values[4].strip(), values[5].strip()
    assert found._replace(host=found.host.strip(), chain=found.chain.strip()) == visitor(*identity, host, chain)


TOKEN, NOW_S = "phc_x", 1_800_000_000.0
FRESH = [NOW_S * 1000 - 60_000, "session-1", NOW_S * 1000 - 3_600_000]


def cookie(state: object, extra: str = "") -> str:
    return f"a=b; ph_{TOKEN}_posthog={quote(json.dumps(state))}{extra}"


@pytest.mark.parametrize(
    ("header", "identity"),
    [
        (cookie({"$sesid": FRESH, "distinct_id": "alice", "$user_state": "identified"}), CookieIdentity("session-1", "alice")),
        (cookie({"$sesid": FRESH, "distinct_id": "anon", "$user_state": "anonymous"}), CookieIdentity("session-1")),
        (cookie({"$sesid": [NOW_S * 1000 - 31 * 60_000, "old", NOW_S * 1000 - 32 * 60_000]}), CookieIdentity()),
        (cookie({"$sesid": [NOW_S * 1000, "long", NOW_S * 1000 - 25 * 3_600_000]}), CookieIdentity()),
        (cookie({"$sesid": FRESH}, f"; __ph_opt_in_out_{TOKEN}=0"), CookieIdentity()),
        (cookie({"$sesid": FRESH}, f"; __ph_opt_in_out_{TOKEN}=1"), CookieIdentity("session-1")),
        (cookie({"$sesid": "nonsense"}), CookieIdentity()),
        (cookie([]), CookieIdentity()),
        (f"ph_{TOKEN}_posthog=%7Bbroken", CookieIdentity()),
        ("ph_phc_other_posthog={}", CookieIdentity()),
        (f"bad[name]=1; {cookie({'$sesid': FRESH})}; =; ;;", CookieIdentity("session-1")),
        (f"{cookie({'$sesid': FRESH})}; {cookie({'$sesid': [NOW_S * 1000, 'second', NOW_S * 1000]})}", CookieIdentity("session-1")),
        (cookie({"$sesid": FRESH}, f"; __ph_opt_in_out_{TOKEN}=no"), CookieIdentity()),
        (cookie({"$sesid": [True, "x", None]}), CookieIdentity()),
        ("x" * 20_000, CookieIdentity()),
        ("", CookieIdentity()),
    ],
)  # fmt: skip
def test_the_cookie_counts_as_posthog_js_would_count_it(header, identity):
    """Idle and longest session, identified persons only, consent respected.

    Source: docs/internals/capture-protocol.md#tracing-headers.
    """
    assert cookie_identity(header, TOKEN, NOW_S) == identity


@pytest.mark.parametrize(("idle_s", "session"), [(30, None), (59, None), (60, "session-1"), (36_000, "session-1")])
def test_how_long_a_session_may_be_idle_is_an_option(idle_s, session):
    """posthog-js's `session_idle_timeout_seconds`; the last activity was a minute ago."""
    assert cookie_identity(cookie({"$sesid": FRESH}), TOKEN, NOW_S, idle_s).session_id == session
