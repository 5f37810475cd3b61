"""Outgoing HTTP: the three headers go to listed hosts, hop by hop, and the next service continues
the line.

Real clients and real servers; asserted is what the servers were sent. Rules `outgoing-headers` and
`aiohttp-client-middlewares`.
"""

import asyncio
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, quote, urlsplit

import aiohttp
import httpx
import pytest
import requests
import urllib3
from hypothesis import given
from hypothesis import strategies as st

import hogline
from hogline import PostHog, SettingsError
from hogline.context import Context, current
from hogline.interceptors.asgi import PostHogInterceptor as AsgiInterceptor
from hogline.interceptors.wsgi import PostHogInterceptor as WsgiInterceptor
from hogline.propagation import aiohttp as for_aiohttp
from hogline.propagation import httpx as for_httpx
from hogline.propagation import requests as for_requests
from hogline.propagation import urllib3 as for_urllib3
from hogline.propagation.outgoing import Destinations
from tests.support.behaviours import shows
from tests.support.serving import VISITOR, serving, serving_asgi

IDS = ("alice", "session-a", "window-a")
TOLD = {name.lower(): value for name, value in VISITOR.items()}


class Service:
    """A server that keeps the headers of each request, and redirects to what `?to=` says."""

    def __init__(self):
        service = self
        self.seen = []

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                service.seen.append({name.lower(): value for name, value in self.headers.items()})
                hops = parse_qs(urlsplit(self.path).query).get("to")
                self.send_response(302 if hops else 200)
                if hops:
                    self.send_header("Location", hops[0])
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *args):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.host = f"127.0.0.1:{self.server.server_port}"
        self.url = f"http://{self.host}/"
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def to(self, url):
        return f"{self.url}?to={quote(url, safe='')}"

    def stop(self):
        self.server.shutdown()
        self.server.server_close()

    @property
    def told(self):
        """Return the tracing headers that each request carried."""
        return [{name: value for name, value in seen.items() if name.startswith("x-posthog-")} for seen in self.seen]


@pytest.fixture(scope="module")
def pair():
    ours, theirs = Service(), Service()
    yield ours, theirs
    ours.stop()
    theirs.stop()


@pytest.fixture
def services(pair):
    for service in pair:
        service.seen.clear()
    return pair


def with_httpx(hosts, url, headers):
    with httpx.Client(follow_redirects=True) as client:
        for_httpx.PostHogPropagation(client, hosts=hosts)
        return client.get(url, headers=headers).status_code


def with_httpx_transport(hosts, url, headers):
    transport = for_httpx.PostHogTransport(httpx.HTTPTransport(), hosts=hosts)
    with httpx.Client(transport=transport, follow_redirects=True) as client:
        return client.get(url, headers=headers).status_code


def with_async_httpx(hosts, url, headers):
    async def main():
        async with httpx.AsyncClient(follow_redirects=True) as client:
            for_httpx.PostHogPropagation(client, hosts=hosts)
            return (await client.get(url, headers=headers)).status_code

    return asyncio.run(main())


def with_async_httpx_transport(hosts, url, headers):
    async def main():
        transport = for_httpx.AsyncPostHogTransport(httpx.AsyncHTTPTransport(), hosts=hosts)
        async with httpx.AsyncClient(transport=transport, follow_redirects=True) as client:
            return (await client.get(url, headers=headers)).status_code

    return asyncio.run(main())


def with_requests(hosts, url, headers):
    with requests.Session() as session:
        for_requests.PostHogPropagation(session, hosts=hosts)
        return session.get(url, headers=headers, timeout=20).status_code


def with_aiohttp(hosts, url, headers):
    async def main():
        middleware = for_aiohttp.PostHogPropagation(hosts=hosts)
        async with (
            aiohttp.ClientSession(middlewares=(middleware,)) as session,
            session.get(url, headers=headers) as answer,
        ):
            return answer.status

    return asyncio.run(main())


def with_urllib3(hosts, url, headers):
    with urllib3.PoolManager() as manager:
        for_urllib3.PostHogPropagation(manager, hosts=hosts)
        return manager.request("GET", url, headers=headers).status


CLIENTS = [
    with_httpx,
    with_httpx_transport,
    with_async_httpx,
    with_async_httpx_transport,
    with_requests,
    with_aiohttp,
    with_urllib3,
]
every_client = pytest.mark.parametrize("get", CLIENTS, ids=lambda get: get.__name__.removeprefix("with_"))


@contextmanager
def acting(who="alice", session="session-a", window="window-a"):
    """Be in the context of a request with these ids."""

    class Request:
        def distinct_id(self):
            return who

        def session_id(self):
            return session

        def properties(self):
            facts = {"$session_id": session, "$window_id": window, "$ip": "203.0.113.9", "secret": "x"}
            return {name: value for name, value in facts.items() if value is not None}

    before = current.get()
    current.set(Context(object(), Request()))
    try:
        yield
    finally:
        current.set(before)


@every_client
def test_a_listed_host_gets_the_three_headers_and_nothing_else(get, services):
    """A server sends the headers that posthog-js sends."""
    ours, theirs = services
    with acting():
        assert get([ours.host], ours.url, {"X-Own": "1"}) == 200
        assert get([ours.host], theirs.url, {"X-Own": "1"}) == 200
    assert ours.told == [TOLD]
    assert theirs.told == [{}]
    assert ours.seen[0]["x-own"] == theirs.seen[0]["x-own"] == "1"
    assert ours.seen[0].keys() - TOLD.keys() == theirs.seen[0].keys()


@shows("outgoing-headers")
@every_client
def test_no_redirect_takes_a_header_to_another_host_and_it_is_back_when_redirected_back(get, services):
    """Listed, not listed, listed: judged at each hop."""
    ours, theirs = services
    with acting():
        assert get([ours.host], ours.to(theirs.to(ours.url)), {}) == 200
        assert get([ours.host], theirs.to(ours.url), {}) == 200
        assert get([ours.host], ours.to(ours.to(theirs.url)), {}) == 200
    assert ours.told == [TOLD] * 5
    assert theirs.told == [{}] * 3


@every_client
def test_what_the_caller_set_stays(get, services):
    """Under any spelling; the other two are added."""
    ours, _ = services
    with acting():
        assert get([ours.host], ours.to(ours.url), {"x-posthog-SESSION-id": "own"}) == 200
    assert ours.told == [TOLD | {"x-posthog-session-id": "own"}] * 2


@every_client
def test_outside_a_context_or_without_ids_nothing_is_sent(get, services):
    """An id that no header can hold is not sent either, nor a line break in one."""
    ours, _ = services
    assert get([ours.host], ours.url, {}) == 200
    with acting(None, None, None):
        assert get([ours.host], ours.url, {}) == 200
    with acting("алиса", None, "w\r\nX-Evil: 1"):
        assert get([ours.host], ours.url, {}) == 200
    assert ours.told == [{}, {}, {"x-posthog-window-id": "wX-Evil: 1"}]
    assert "x-evil" not in ours.seen[-1]


@shows("aiohttp-client-middlewares")
def test_aiohttps_middlewares_of_one_request_replace_the_sessions(services):
    """Documented; no header, no crash."""
    ours, _ = services

    async def main():
        middleware = for_aiohttp.PostHogPropagation(hosts=[ours.host])
        async with (
            aiohttp.ClientSession(middlewares=(middleware,)) as session,
            session.get(ours.url, middlewares=()) as answer,
        ):
            return answer.status

    with acting():
        assert asyncio.run(main()) == 200
    assert ours.told == [{}]


@pytest.mark.parametrize(
    ("hosts", "url", "allowed"),
    [
        ("api.shop.example", "https://api.shop.example/a?b", True),
        ("api.shop.example", "http://api.shop.example:8443/", True),
        ("api.shop.example", "https://API.shop.example./", True),
        ("API.Shop.Example.", "https://api.shop.example", True),
        ("api.shop.example", "https://shop.example/", False),
        ("api.shop.example", "https://api.shop.example.evil.example/", False),
        ("shop.example", "https://evilshop.example/", False),
        ("shop.example", "https://api.shop.example/", False),
        ("shop.example", "https://shop.example@evil.example/", False),
        ("shop.example", "https://evil.example/?shop.example", False),
        ("shop.example", "https://evil.example\\@shop.example/", False),
        ("*.shop.example", "https://api.shop.example/", True),
        ("*.shop.example", "https://a.b.shop.example/", True),
        ("*.shop.example", "https://shop.example/", False),
        ("*.shop.example", "https://evilshop.example/", False),
        ("*.shop.example:8443", "https://a.shop.example:8443/", True),
        ("*.shop.example:8443", "https://a.shop.example/", False),
        ("shop.example:443", "https://shop.example/", True),
        ("shop.example:443", "http://shop.example/", False),
        ("shop.example:8080", "http://shop.example:8081/", False),
        ("https://shop.example", "https://shop.example:443/", True),
        ("https://shop.example", "http://shop.example/", False),
        ("https://shop.example", "https://shop.example:444/", False),
        ("[::1]:8000", "http://[::1]:8000/", True),
        ("[::1]", "http://[::1]:8001/", True),
        ("127.0.0.1", "http://127.0.0.1:9/", True),
        ("bücher.example", "https://xn--bcher-kva.example/", True),
        ("xn--bcher-kva.example", "https://bücher.example/", True),
        # Two standards disagree about a few characters; clients follow the newer one, Python's
        # codec the older.
        ("strasse.example", "https://straße.example/", False),
        ("straße.example", "https://strasse.example/", False),
        ("straße.example", "https://xn--strae-oqa.example/", True),
        ("xn--strae-oqa.example", "https://STRAßE.example/", True),
        ("xn--4xa.example", "https://ς.example/", False),
        ("ς.example", "https://xn--3xa.example/", True),
        ("shop.example", "https://sh\u200dop.example/", False),
        ("shop.example", "ftp://shop.example/", False),
        ("shop.example", "/relative", False),
        ("shop.example", "https://shop.example:99999/", False),
        ("shop.example", "", False),
        (("a.example", "b.example"), "https://b.example/", True),
    ],
)
def test_which_urls_a_list_of_hosts_allows(hosts, url, allowed):
    """Exact host, port, scheme, wildcard subdomain; never a suffix without its dot."""
    assert Destinations(hosts).allows(url) is allowed


@pytest.mark.parametrize(
    "hosts",
    [
        [], ["*"], ["*.com"], [""], ["shop.example/path"], ["user@shop.example"], ["ftp://shop.example"], ["a b"], ["shop.example:x"],
        ["*.*.example"], [7], ["https://"], ["a?b"],
    ],
    ids=str,
)  # fmt: skip
def test_an_entry_that_cannot_match_or_matches_too_much_is_an_error(hosts):
    """The error is raised where the client is set up, and says what to write instead."""
    with pytest.raises(SettingsError):
        Destinations(hosts)


@given(st.text())
def test_any_text_can_be_asked_about(url):
    """A URL that cannot be read is not listed."""
    assert not Destinations(["shop.example"]).allows(url) or "shop.example" in url.lower()


@pytest.mark.parametrize("client", ["httpx", "requests", "urllib3", "async httpx", "aiohttp"])
def test_the_second_services_events_carry_the_session_of_the_browser(client, sink):
    """A request with browser headers reaches the first service.

    Its handler calls the second, whose interceptor continues the line.
    """
    posthog = PostHog("phc_test", host=sink.url, flush_interval=0.05)

    def second(environ, start_response):
        posthog.capture("second")
        start_response("200 OK", [("Content-Length", "2")])
        return [b"ok"]

    with serving(WsgiInterceptor(second, client=posthog), posthog, sink) as behind:
        url, hosts = f"http://127.0.0.1:{behind.port}/", [f"127.0.0.1:{behind.port}"]

        def call():
            return {"httpx": with_httpx, "requests": with_requests, "urllib3": with_urllib3}[client](hosts, url, {})

        async def call_async():
            if client == "aiohttp":
                middleware = for_aiohttp.PostHogPropagation(hosts=hosts)
                async with aiohttp.ClientSession(middlewares=(middleware,)) as session, session.get(url) as answer:
                    return answer.status
            async with httpx.AsyncClient() as session:
                for_httpx.PostHogPropagation(session, hosts=hosts)
                return (await session.get(url)).status_code

        async def first(scope, receive, send):
            posthog.capture("first")
            status = await (call_async() if client in ("async httpx", "aiohttp") else asyncio.to_thread(call))
            await send({"type": "http.response.start", "status": status, "headers": [(b"content-length", b"0")]})
            await send({"type": "http.response.body", "body": b""})

        with serving_asgi(AsgiInterceptor(first, client=posthog), posthog, sink) as front:
            assert front.get("/", VISITOR).status == 200
    sink.wait_for(2)
    posthog.shutdown()
    for event in sink.events:
        told = event.properties
        assert (event.distinct_id, told["$session_id"], told["$window_id"]) == IDS
    assert {event.event for event in sink.events} == {"first", "second"}
    assert hogline.get_context_distinct_id() is None
