"""Every event of a request carries these properties.

The tests show where each comes from, which source wins, and that hostile headers do no harm.
"""

import re
import socket
from itertools import product

import pytest

from tests.support.behaviours import shows
from tests.support.sink import names, person_of
from tests.support.site import HOST, needs, on_every_server, visitor


@on_every_server
@shows("route-template", "original-path")
def test_every_row_of_the_guide_is_on_a_plain_capture(site):
    """Session, person, window, absolute URL, method, path, route template, user agent and address
    are there.
    """
    answer = site.ask(
        "/items/7?colour=red",
        headers=[*visitor("alice"), ("User-Agent", "Firefox/1"), ("X-Forwarded-For", "203.0.113.9, 10.0.0.1")],
    )
    event = site.event(answer)
    assert (answer.status, answer.body, event.event, event.distinct_id) == (200, b"7", "captured", "alice")
    expected = {
        "$session_id": "session-alice",
        "$window_id": "window-alice",
        "$current_url": f"http://{HOST}/items/7?colour=red&rid={answer.rid}",
        "$request_method": "GET",
        "$request_path": "/items/7",
        "$request_route": site.framework.route,
        "$user_agent": "Firefox/1",
        "$raw_user_agent": "Firefox/1",
        "$ip": "203.0.113.9",
    }
    found = {name: event.properties.get(name) for name in expected}
    for each in (found, expected):
        each["$current_url"] = _comparable(site, each["$current_url"])
    assert found == expected
    assert person_of(event) == "alice"
    assert event.properties["$request_id"]


def _comparable(site, url):
    """Return a URL with its query in order, where a framework keeps none."""
    return "&".join(sorted(re.split("[?&]", url))) if "query-order" in site.framework.lacks else url


@shows("no-leak-on-connection")
def test_a_request_without_headers_is_nobodys(site):
    """The interceptor makes up no person, session or window.

    The address is that of the connection.
    """
    event = site.event(site.ask("/capture"))
    assert person_of(event) is None
    assert {"$session_id", "$window_id", "$user_agent", "$raw_user_agent"} & set(event.properties) == set()
    assert event.properties["$ip"] == "127.0.0.1"


def test_events_of_one_request_share_its_id_and_other_requests_do_not(site):
    """`$request_id` groups the events of one request."""
    first, second = site.events(site.ask("/scope"), 2), site.event(site.ask("/capture"))
    assert names(first) == ["inside", "outside"]
    assert first[1].properties["$request_id"] != second.properties["$request_id"]


class TestPrecedence:
    def test_what_the_caller_passes_wins_over_the_request(self, site):
        """An argument of `capture()` wins over the context, and the context over the client's
        defaults.
        """
        event = site.event(site.ask("/override", headers=visitor("alice")))
        assert event.distinct_id == "caller"
        assert event.properties["$request_method"] == "CALLER"
        assert event.properties["$session_id"] == "session-alice"

    def test_the_request_wins_over_the_clients_defaults(self, site):
        """The request sets `$request_method`.

        `region`, which no request has, comes from the client.
        """
        event = site.event(site.ask("/capture", headers=visitor("alice")))
        assert (event.properties["$request_method"], event.properties["region"]) == ("GET", "client")

    def test_what_code_says_of_the_context_wins_over_headers(self, site):
        """`identify_context()` and `set_context_session()` replace the ids of the headers."""
        event = site.event(site.ask("/context", headers=visitor("alice")))
        assert (event.distinct_id, event.properties["$session_id"]) == ("context", "context-session")
        assert event.properties["$window_id"] == "window-alice"

    def test_a_fresh_scope_knows_nothing_of_the_request_and_gives_it_back(self, site):
        """An event inside a fresh scope has no person; an event after it has the visitor again."""
        inside, outside = site.events(site.ask("/scope", headers=visitor("alice")), 2)
        assert (inside.event, person_of(inside), "$current_url" in inside.properties) == ("inside", None, False)
        assert (outside.event, person_of(outside)) == ("outside", "alice")

    def test_the_apps_word_on_who_acts_wins_over_the_header(self, site):
        """The `distinct_id` callback wins over the header.

        When it returns None, the header counts.
        """
        told = site.ask("/capture", options="callbacks", headers=[*visitor("alice"), ("X-User", "user-7")])
        untold = site.ask("/capture", options="callbacks", headers=visitor("alice"))
        assert (site.event(told).distinct_id, site.event(untold).distinct_id) == ("user-7", "alice")

    def test_more_properties_win_over_the_clients_and_lose_to_nobody_else(self, site):
        """Properties that the `properties` callback returns replace the client's defaults."""
        event = site.event(site.ask("/capture", options="callbacks", headers=[("X-Plan", "gold")]))
        assert event.properties["plan"] == "gold"
        assert site.event(site.ask("/capture", options="callbacks")).properties["plan"] == "client"

    def test_strangers_choose_no_person_where_identity_headers_are_off(self, site):
        """With `identity_headers=False`, session and window still come from the headers."""
        event = site.event(site.ask("/capture", options="no-identity", headers=visitor("alice")))
        assert person_of(event) is None
        assert (event.properties["$session_id"], event.properties["$window_id"]) == ("session-alice", "window-alice")


class TestSanitising:
    SENT = {
        "spaces": (b"  alice  ", "alice"),
        "control characters": (b"al\x01\x1fi\x7fce", "alice"),
        "2000 characters": (b"x" * 2000, "x" * 1000),
        "a byte above 0x7F": (b"al\xffice", "al\u00ffice"),
        "only spaces": (b"   ", None),
        "only C1 control characters": (b"\x85\x9f", None),
    }
    """Header values, and the id that an event has of each."""

    @shows("header-bytes")
    @on_every_server
    def test_ids_are_cleaned(self, site, subtests):
        """Ids lose control characters and are cut at 1000 characters.

        The request is served as usual.
        """
        for header, (name, (sent, kept)) in product(("Session", "Distinct", "Window"), self.SENT.items()):
            with subtests.test(header=header, sent=name):
                answer = site.ask("/capture", headers=[(f"X-POSTHOG-{header}-ID", sent)])
                if answer.status == 400 and any(byte < 0x20 or byte == 0x7F for byte in sent):
                    continue  # some servers refuse control characters in a header: no app and no interceptor sees them
                event = site.event(answer)
                assert answer.status == 200
                found = {
                    "Session": event.properties.get("$session_id"),
                    "Distinct": person_of(event),
                    "Window": event.properties.get("$window_id"),
                }
                unread = max(sent) > 0x7F and "header-bytes" in site.framework.lacks
                assert found == {"Session": None, "Distinct": None, "Window": None} | {header: None if unread else kept}

    @on_every_server
    @shows("header-bytes")
    @needs("duplicates")
    def test_the_first_usable_of_duplicates_counts(self, site):
        """The server may hand duplicates on apart or joined."""
        headers = [("X-POSTHOG-SESSION-ID", value) for value in ("", "first", "second")]
        assert site.event(site.ask("/capture", headers=headers)).properties["$session_id"] == "first"

    @on_every_server
    @shows("header-bytes")
    @needs("header-bytes")
    def test_hostile_bytes_elsewhere_do_no_harm(self, site):
        """A user agent of any bytes is kept, and a value that is no address is not used as one."""
        answer = site.ask("/capture", headers=[("User-Agent", b"\xff\xfe"), ("X-Forwarded-For", b"\xff, ';--, 1.2.3")])
        event = site.event(answer)
        assert event.properties["$user_agent"] == "\u00ff\u00fe"
        # None: uvicorn itself trusts the header of a peer on loopback, and takes its value for the
        # peer.
        assert event.properties.get("$ip") in ("127.0.0.1", None)


class TestUrl:
    QUERY = "/capture?token=s3cret&colour=red&sig=abc"

    @shows("url-secrets")
    @pytest.mark.parametrize(
        ("options", "query"),
        [
            ("default", "token=redacted&colour=red&sig=redacted"),
            ("query-keep", "token=s3cret&colour=red&sig=abc"),
            ("query-drop", None),
        ],
    )
    def test_the_query_is_redacted_kept_or_dropped(self, site, options, query):
        """Secrets in the query are masked unless `url_query` says otherwise."""
        answer = site.ask(self.QUERY, options=options)
        url = site.event(answer).properties["$current_url"]
        expected = f"http://{HOST}/capture" + (f"?{query}&rid={answer.rid}" if query else "")
        assert _comparable(site, url) == _comparable(site, expected)

    @shows("bad-host", "url-secrets")
    @on_every_server
    @pytest.mark.parametrize("host", ["a b", "h:99999", "h:abc", "evil.com/x?y#z", "", "user:pass@shop.example"])
    def test_a_bad_host_changes_nothing_but_the_url(self, site, host):
        """The answer stays the same; the URL is built from the server's address, or left out."""
        without = site.ask("/nothing", options="absent", host=host)
        asked = site.ask("/nothing", host=host)
        assert asked.shape == without.shape
        answer = site.ask("/capture", host=host)
        if answer.status != 200:
            assert answer.status == without.status
            return
        url = site.event(answer).properties.get("$current_url")
        servers = (
            "127.0.0.1",
            "localhost",
            "waitress.invalid",
            socket.gethostname(),
        )  # the names that servers have for themselves
        assert url is None or url in [f"http://{name}:{site.server.port}/capture?rid={answer.rid}" for name in servers]

    @on_every_server
    def test_a_path_that_needs_escapes_has_them(self, site):
        """`$request_path` is decoded; `$current_url` is encoded, as the browser sent it."""
        answer = site.ask("/items/caf%C3%A9%20%22x%22")
        event = site.event(answer)
        assert event.properties["$request_path"] == '/items/caf\u00e9 "x"'
        assert event.properties["$current_url"] == f"http://{HOST}/items/caf%C3%A9%20%22x%22?rid={answer.rid}"

    @shows("route-template")
    @needs("unrouted")
    def test_a_path_that_is_no_route_has_no_template(self, site):
        """`$request_route` is never the concrete path."""
        answer = site.ask("/items/7/nowhere", headers=visitor("alice"))
        assert answer.status == 404 or site.framework.route is None


class TestAddress:
    FORWARDED = [("X-Forwarded-For", "203.0.113.9, 198.51.100.7, 10.0.0.1")]

    @shows("visitor-address")
    @on_every_server
    @pytest.mark.parametrize(
        ("options", "ip"), [("default", "203.0.113.9"), ("one-hop", "10.0.0.1"), ("networks", "198.51.100.7")]
    )
    def test_the_address_is_the_first_not_ours(self, site, options, ip):
        """Where trusted proxies are set, a left-most value that the client made up is ignored."""
        answer = site.ask("/capture", options=options, headers=self.FORWARDED)
        assert site.event(answer).properties["$ip"] == ip

    @shows("visitor-address")
    @pytest.mark.parametrize(
        ("sent", "ip"),
        [("[2001:db8::1]:443", "2001:db8::1"), ("fe80::1%eth0", "fe80::1"), ("192.0.2.1:80", "192.0.2.1")],
    )
    def test_ports_and_zones_are_left_out(self, site, sent, ip):
        """The address keeps neither a port nor the zone of an IPv6 address."""
        assert site.event(site.ask("/capture", headers=[("X-Forwarded-For", sent)])).properties["$ip"] == ip


@shows("http-error-below-threshold", "route-template")
@needs("methods")
def test_routing_errors_and_other_methods_are_no_events(site):
    """A 404 or 405 of the router is no event."""
    assert [site.ask("/nowhere").status, site.ask("/capture", method="DELETE").status] == [404, 405]
    for answer in (site.ask("/nowhere"), site.ask("/capture", method="DELETE")):
        site.events(answer, 0)
