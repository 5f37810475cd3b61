"""These tests show the promises that are special to Robyn, on its own server.

They cover sub-routers, one handler for all exceptions, and shutdown.
"""

import random
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.support.behaviours import shows
from tests.support.frameworks import Framework
from tests.support.sink import exception_of, person_of
from tests.support.site import Site, visitor

ROW = Framework(
    name="robyn", source="robyn.", requires=("robyn",), app="robyn_shop", protocol="own", servers=("robyn-alone",), route="/items/:item_id"
)  # fmt: skip

pytestmark = pytest.mark.skipif(ROW.missing() is not None, reason=str(ROW.missing()))


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder: Path = tmp_path_factory.mktemp("robyn")
    running = Site.start(ROW, "robyn-alone", folder / "log", FLUSH_INTERVAL_S="3600")
    yield running
    last = running.ask("/items/last", headers=visitor("alice"))
    try:
        running.server.stop(signal.SIGINT)
        # The queued events have been sent, and those that the app's own shutdown handler captured.
        assert [len(running.arrived(rid)) for rid in (last.rid, "end")] == [1, 1]
        assert not running.complaints()
    finally:
        running.sink.stop()


@shows("route-template", "original-path")
def test_every_row_of_the_guide_is_on_a_plain_capture(shop):
    """Session, person, window, absolute URL, method, path, template, user agent, address."""
    headers = [*visitor("alice"), ("User-Agent", "Firefox/1"), ("X-Forwarded-For", "203.0.113.9, 10.0.0.1")]
    answer = shop.ask("/items/caf%C3%A9%20x?colour=light%20red", headers=headers)
    event = shop.event(answer)
    expected = {
        "$session_id": "session-alice",
        "$window_id": "window-alice",
        "$request_method": "GET",
        "$request_path": "/items/caf\u00e9 x",
        "$request_route": "/items/:item_id",
        "$user_agent": "Firefox/1",
        "$ip": "203.0.113.9",
        "asked": "GET",
    }
    assert {name: event.properties.get(name) for name in expected} == expected
    assert person_of(event) == "alice"
    url, _, query = event.properties["$current_url"].partition("?")
    assert url == "http://shop.example/items/caf%C3%A9%20x"
    # Robyn forgets in which order they came.
    assert sorted(query.split("&")) == ["colour=light%20red", f"rid={answer.rid}"]


@shows("context-everywhere", "outliving-tasks")
@pytest.mark.parametrize("path", ["/sync", "/stream", "/stream-async", "/task"])
def test_everything_a_request_causes_is_the_visitors(shop, path):
    """Handlers in threads, both kinds of streams, tasks; afterwards there is nobody."""
    answer = shop.ask(path, headers=visitor("alice"))
    events = shop.events(answer, 3 if "stream" in path else 1)
    assert {(person_of(event), event.properties["$session_id"]) for event in events} == {("alice", "session-alice")}
    assert {event.properties["$request_route"] for event in events} == {path}
    assert answer.body == (b"abc" if "stream" in path else b"ok")
    assert [shop.ask("/who").body for _ in range(3)] == [b"-"] * 3


@shows("concurrent-requests")
def test_requests_at_once_are_never_mixed(shop):
    """Random waits; every event is its own request's."""
    rng = random.Random(8)

    def ask(number):
        return number, shop.ask(f"/slow?delay_ms={rng.randrange(2, 40)}", headers=visitor(f"visitor-{number}"))

    with ThreadPoolExecutor(10) as pool:
        answers = list(pool.map(ask, range(30)))
    shop.flush()
    for number, answer in answers:
        assert [event.distinct_id for event in shop.events(answer, 1)] == [f"visitor-{number}"]


@shows("swallowed-errors", "error-after-start")
@pytest.mark.parametrize(
    ("path", "status", "handled"), [("/error", 500, False), ("/error-sync", 500, False), ("/stream-error", 200, False)]
)
def test_what_a_handler_raises_is_one_event(shop, path, status, handled):
    """The event has the status that was sent, the visitor and the template."""
    answer = shop.ask(path, headers=visitor("alice"))
    event = shop.event(answer)
    assert answer.status == status
    assert (exception_of(event), person_of(event)) == (("ValueError", handled, status), "alice")
    assert event.properties["$request_route"] == path
    assert event.properties["$exception_list"][0]["value"] == f"boom {answer.rid}"


@shows("registered-handlers")
def test_what_the_apps_handler_answers_is_handled(shop):
    """`@app.exception`, for the routes that are added after it."""
    answer = shop.ask("/handled")
    assert (answer.status, answer.body) == (507, b"handled")
    assert exception_of(shop.event(answer)) == ("KeyError", True, 507)


def test_a_sub_router_is_watched_on_request(shop):
    """`watch(sub_router)`: with its prefix in the template."""
    answer = shop.ask("/shop/broken/x")
    event = shop.event(answer)
    assert (answer.status, exception_of(event)) == (500, ("ValueError", False, 500))
    assert event.properties["$request_route"] == "/shop/broken/:name"


@shows("http-error-below-threshold")
def test_answers_and_unknown_paths_are_no_exceptions(shop):
    """A returned 503 is an answer; a 404 is Robyn's own."""
    for path, status in (("/unwatched", 503), ("/nowhere", 404)):
        answer = shop.ask(path)
        assert answer.status == status
        shop.events(answer, 0)


def test_callbacks_are_given_robyns_request(shop):
    """Callbacks name the person.

    A request that the filter excludes has no context, and no exception.
    """
    assert shop.event(shop.ask("/sync", headers=[*visitor("alice"), ("X-User", "user-7")])).distinct_id == "user-7"
    out = [*visitor("alice"), ("X-Filter", "out")]
    event = shop.event(shop.ask("/sync", headers=out))
    assert (person_of(event), "$current_url" in event.properties) == (None, False)
    shop.events(shop.ask("/error", headers=out), 0)


@shows("header-bytes", "bad-host")
def test_hostile_headers_are_cleaned(shop):
    """Control bytes, duplicates, a bad Host: the request is served."""
    headers = [("X-POSTHOG-DISTINCT-ID", "  "), ("X-POSTHOG-DISTINCT-ID", "bob"), ("User-Agent", b"\xff\xfe")]
    answer = shop.ask("/sync", headers=headers)
    assert answer.status == 200
    assert shop.event(answer).distinct_id == "bob"
    bad = shop.ask("/sync", host="h:abc")
    if bad.status == 200:
        assert "$current_url" not in shop.event(bad).properties
