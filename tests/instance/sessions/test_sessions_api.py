"""The merged timeline: order of time, windows, and each request under the event that caused it."""

import random
import uuid
from datetime import UTC, datetime, timedelta

import msgspec

from hogline_instance.events.event import StoredEvent
from hogline_instance.events.row import time_text
from hogline_instance.sessions import build_timeline
from tests.instance.reader import dollars, event

START = datetime(2026, 5, 1, 9, tzinfo=UTC)
HOST = "https://shop.example"


def browser(name, after_s, window="w1", path="/", **more):
    """An event of posthog-js."""
    return event(
        name, at=START, after_s=after_s, **dollars(lib="web", window_id=window, current_url=HOST + path), **more
    )


def server(name, after_s, method, path, window="w1", **more):
    """An event captured inside a server request."""
    known = dollars(lib="hogline", request_method=method, request_path=path, current_url=HOST + path)
    if window:
        known["$window_id"] = window
    return event(name, at=START, after_s=after_s, **known, **more)


def line(*events):
    """The timeline of *events*, given in any order."""
    import json

    stored = [
        StoredEvent(
            team_id=1,
            uuid=one["uuid"],
            event=one["event"],
            distinct_id=one["distinct_id"],
            session_id="s",
            timestamp_text=time_text(datetime.fromisoformat(one["timestamp"])),
            raw_properties=msgspec.Raw(json.dumps(one["properties"]).encode()),
        )
        for one in events
    ]
    random.Random(1).shuffle(stored)
    return build_timeline(stored)


def told(timeline):
    """The timeline in short: (event, window, [(method path, [events])])."""
    return [
        (
            entry.event.event if entry.event else None,
            entry.window,
            [(f"{request.method} {request.path}", [one.event for one in request.events]) for request in entry.requests],
        )
        for entry in timeline.entries
    ]


def test_the_events_of_one_request_stand_together_under_the_click_that_caused_it():
    """`$request_id` groups events; the person's last action in the same window is the cause."""
    one, two = {"$request_id": "r1"}, {"$request_id": "r2"}
    timeline = line(
        browser("$pageview", 0),
        browser("$autocapture", 5),
        server("cart changed", 5.1, "POST", "/cart", **one),
        server("stock checked", 5.2, "POST", "/cart", **two),
        server("$exception", 5.3, "POST", "/cart", **one),
    )
    assert told(timeline) == [
        ("$pageview", 1, []),
        ("$autocapture", 1, [("POST /cart", ["cart changed", "$exception"]), ("POST /cart", ["stock checked"])]),
    ]
    assert timeline.entries[1].failed


def test_without_request_ids_method_path_window_and_time_group():
    """Events with the same method, path and window are one request if at most two seconds apart."""
    timeline = line(
        server("a", 0, "POST", "/cart"),
        server("b", 1.5, "POST", "/cart"),
        server("c", 9, "POST", "/cart"),
        server("d", 9.1, "POST", "/cart", window="w2"),
        server("e", 9.2, "PUT", "/cart"),
    )
    assert [names for _, _, requests in told(timeline) for _, names in requests] == [["a", "b"], ["c"], ["d"], ["e"]]


def test_a_page_load_belongs_to_its_pageview_though_the_server_saw_it_first():
    """A navigation carries no tracing headers, so URL and time decide."""
    timeline = line(
        browser("$pageview", -60, path="/about"),
        server("page served", -0.2, "GET", "/cart", window=""),
        browser("$pageview", 0, path="/cart#top"),
    )
    assert told(timeline) == [("$pageview", 1, []), ("$pageview", 1, [("GET /cart", ["page served"])])]
    assert timeline.entries[1].requests[0].reason == "loaded this page"


def test_a_request_is_never_put_under_another_windows_event():
    """With two windows open, a request is shown under its own window's event, or alone if it names
    none.
    """
    timeline = line(
        browser("$pageview", 0, window="w1"),
        browser("$pageview", 1, window="w2"),
        server("mine", 1.5, "POST", "/x", window="w1"),
        server("whose", 2, "POST", "/x", window=""),
    )
    assert told(timeline) == [
        ("$pageview", 1, [("POST /x", ["mine"])]),
        ("$pageview", 2, []),
        (None, 0, [("POST /x", ["whose"])]),
    ]


def test_what_nobody_caused_is_no_cause():
    """Web vitals and flag checks are never the cause, nor is a click half a minute earlier."""
    timeline = line(
        browser("$autocapture", 0),
        browser("$web_vitals", 1),
        server("soon", 2, "POST", "/x"),
        server("late", 40, "POST", "/x"),
    )
    assert told(timeline) == [
        ("$autocapture", 1, [("POST /x", ["soon"])]),
        ("$web_vitals", 1, []),
        (None, 1, [("POST /x", ["late"])]),
    ]


def test_silence_and_identity_changes_are_marked():
    """Five idle minutes are marked, and so is an entry whose distinct id differs from the previous
    one.
    """
    timeline = line(
        browser("$pageview", 0), browser("$pageview", 400), {**browser("$identify", 401), "distinct_id": "grace"}
    )
    assert [entry.idle for entry in timeline.entries] == [None, timedelta(seconds=400), None]
    assert [entry.identity for entry in timeline.entries] == ["", "", "grace"]


def test_every_event_stands_exactly_once():
    """The timeline neither loses nor repeats an event, whatever the mixture."""
    dice = random.Random(7)
    events = []
    for _ in range(300):
        make = dice.choice([browser, server])
        args = {"window": dice.choice(["w1", "w2", ""])}
        if make is server:
            args |= {"method": dice.choice(["GET", "POST"]), "path": dice.choice(["/", "/a"])}
            if dice.random() < 0.5:
                args["$request_id"] = str(dice.randrange(20))
        events.append(make(dice.choice(["$pageview", "$exception", "odd"]), dice.uniform(0, 900), **args))
    events.append(event("loose", at=START))
    shown = []
    for entry in line(*events).entries:
        shown += [entry.event.uuid] if entry.event else []
        shown += [one.uuid for request in entry.requests for one in request.events]
    assert sorted(shown) == sorted(one["uuid"] for one in events)


def test_the_api_gives_the_merged_timeline_of_stored_events(reader):
    """Events sent by a browser and by a server come back as one timeline."""
    session = str(uuid.uuid4())
    click = browser("$autocapture", 0, **{"$session_id": session})
    order = server(
        "ordered", 0.3, "POST", "/orders", **{"$session_id": session, "$request_id": "r", "$response_status_code": 201}
    )
    reader.send(click, order)
    reader.wait_for(2, session_id=session)
    body = reader.session(session)
    assert (body["session_id"], body["pageviews"], body["requests"], body["errors"]) == (session, 0, 1, 0)
    [entry] = body["entries"]
    assert (entry["event"]["id"], entry["side"], entry["window"]) == (click["uuid"], "browser", 1)
    [request] = entry["requests"]
    assert (request["method"], request["path"], request["status"]) == ("POST", "/orders", 201)
    assert request["events"][0]["id"] == order["uuid"]
    assert request["events"][0]["properties"]["$request_id"] == "r"
