"""Events whose JSON is finished by the sending thread say what was true when they were captured."""

import gc

import pytest

from hogline.interceptors.asgi import AsgiExchange
from hogline.interceptors.common.options import make_policy
from hogline.interceptors.wsgi import PostHogInterceptor, WsgiExchange

ENVIRON = {
    "REQUEST_METHOD": "GET", "SCRIPT_NAME": "", "PATH_INFO": "/items/7", "QUERY_STRING": "colour=red", "SERVER_NAME": "localhost",
    "SERVER_PORT": "8000", "wsgi.url_scheme": "http", "REMOTE_ADDR": "192.0.2.1", "HTTP_HOST": "shop.example",
    "HTTP_USER_AGENT": "Firefox/1", "HTTP_X_POSTHOG_SESSION_ID": "session-1", "HTTP_X_POSTHOG_WINDOW_ID": "window-1",
    "HTTP_X_POSTHOG_DISTINCT_ID": "alice", "HTTP_X_FORWARDED_FOR": "203.0.113.9",
}  # fmt: skip
HOSTILE = [
    {},
    {"HTTP_X_POSTHOG_SESSION_ID": "a, b", "HTTP_X_POSTHOG_DISTINCT_ID": " \x00 ,carol"},
    {
        "HTTP_USER_AGENT": "caf\xe9 \x07 agent",
        "HTTP_HOST": "two words",
        "HTTP_X_FORWARDED_FOR": "garbage, 198.51.100.7",
    },
    {
        "HTTP_HOST": "",
        "SERVER_NAME": "::1",
        "PATH_INFO": '/\xc3\xa9/"quoted"/\x01',
        "QUERY_STRING": "token=secret&b=%22",
    },
    {"HTTP_X_POSTHOG_DISTINCT_ID": "", "REQUEST_METHOD": None, "REMOTE_ADDR": None, "HTTP_X_FORWARDED_FOR": ""},
    {"HTTP_X_POSTHOG_SESSION_ID": "two\nlines", "HTTP_USER_AGENT": "\u4e2d"},
    {"PATH_INFO": "/" + "a" * 5000, "HTTP_USER_AGENT": "b" * 3000},
]
OWN = [
    None,
    {},
    {"plan": "pro", "nested": {"a": [{}]}},
    {"$ip": "mine", "$os": "mine"},
    {"bad": object(), 3: "three", "brace": "{"},
]


def captured(client, changes, **options):
    """Serve one request whose app captures every kind of properties."""

    def app(environ, start_response):
        for own in OWN:
            client.capture("checkout", properties=own)
        client.capture("named", distinct_id="bob")
        start_response("200 OK", [])
        return [b""]

    list(PostHogInterceptor(app, client=client, **options)({**ENVIRON, **changes}, lambda *_: None))
    client.flush(10)


@pytest.mark.parametrize("changes", HOSTILE)
@pytest.mark.parametrize("options", [{}, {"identity_headers": False}, {"address_header": "forwarded"}])
def test_an_event_is_the_same_whether_it_is_made_at_once_or_later(make, sink, changes, options):
    """`before_send` needs whole events, so it makes the client write them at once."""
    captured(make(before_send=lambda event: event), changes, **options)
    captured(make(), changes, **options)

    def shown(event):
        volatile = {"$request_id", "bad"}
        properties = {name: value for name, value in event.properties.items() if name not in volatile}
        nobody = event.distinct_id == event.uuid
        return event.event, nobody or event.distinct_id, properties

    events = sink.events
    assert len(events) == 2 * (len(OWN) + 1)
    at_once, later = events[: len(events) // 2], events[len(events) // 2 :]
    assert list(map(shown, at_once)) == list(map(shown, later))
    assert len({event.properties["$request_id"] for event in later}) == 1


def test_what_the_caller_changes_afterwards_changes_no_event(make, sink):
    """The caller's properties are written when they are captured, and the request's facts are read."""
    client, own = make(), {"cart": ["apple"]}

    def app(environ, start_response):
        identity = client.capture("checkout", properties=own)
        own["cart"].append("pear")
        environ.update(PATH_INFO="/other", HTTP_X_POSTHOG_DISTINCT_ID="mallory")
        start_response("200 OK", [])
        return [identity.encode()]

    [identity] = PostHogInterceptor(app, client=client)(dict(ENVIRON), lambda *_: None)
    client.flush(10)
    [event] = sink.events
    assert (event.uuid, event.distinct_id) == (identity.decode(), "alice")
    assert (event.properties["cart"], event.properties["$request_path"]) == (["apple"], "/items/7")


def test_a_waiting_event_keeps_no_request_alive(make):
    """It holds a few texts of a bounded size, and nothing of the app's."""
    client = make()

    class Body:
        """A part of the request that is large."""

    def app(environ, start_response):
        client.capture("checkout")
        start_response("200 OK", [])
        return [b""]

    list(PostHogInterceptor(app, client=client)({**ENVIRON, "app.body": Body()}, lambda *_: None))
    assert client.stats().waiting == 1
    assert not [kept for kept in gc.get_objects() if type(kept) is Body]


def test_dropped_events_reach_the_hook_whole(make):
    """`on_drop` is called with finished events."""
    dropped = []
    client = make(
        max_queue_size=1, flush_at=1000, host="http://127.0.0.1:9", on_drop=lambda why, event: dropped.append(event)
    )
    captured_paths = []

    def app(environ, start_response):
        for _ in range(3):
            client.capture("checkout", properties={"plan": "pro"})
        captured_paths.append(environ["PATH_INFO"])
        start_response("200 OK", [])
        return [b""]

    list(PostHogInterceptor(app, client=client)(dict(ENVIRON), lambda *_: None))
    client.shutdown(0)
    assert len(dropped) == 3
    assert all(
        event["properties"]["$request_path"] == "/items/7" and event["distinct_id"] == "alice" for event in dropped
    )


def test_a_class_that_reads_its_request_in_its_own_way_is_asked_at_once():
    """A subclass that overrides what a snapshot reads is not passed over."""

    class Own(WsgiExchange):
        def host(self):
            return "own.example"

    class Plain(AsgiExchange):
        pass

    policy = make_policy("wsgi", {"client": None})
    assert Own(policy, dict(ENVIRON)).unfinished("id", needs_person=True) is None
    scope = {"type": "http", "method": "GET", "path": "/", "headers": [], "query_string": b""}
    assert Plain(policy, scope).unfinished("id", needs_person=True) is not None
