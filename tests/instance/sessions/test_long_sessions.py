"""Unusual sessions: long ones, odd ids, invalid URLs, and sessions that end at the same instant."""

import json
import re
import sys
import uuid
from datetime import UTC, datetime, timedelta
from html import unescape
from urllib.parse import quote

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hogline_instance.events.event import StoredEvent
from hogline_instance.events.row import time_text
from hogline_instance.sessions.timeline import build_timeline
from tests.instance.reader import dollars, event

START = datetime(2026, 5, 1, 9, tzinfo=UTC)
BROKEN_URLS = [
    "http://[#x",
    "http://[::1",
    "http://ex\u2105mple.com/#a",
    "//",
    "http://x:99999/",
    "\0",
    "javascript:1",
    "a" * 3000,
]


def stored(name, after_s, **properties):
    return StoredEvent(
        team_id=1, uuid=str(uuid.uuid4()), event=name, distinct_id="d", session_id="s",
        timestamp_text=time_text(START + timedelta(seconds=after_s)), raw_properties=msgspec.Raw(json.dumps(properties).encode()),
    )  # fmt: skip


def page_view(after_s, url="https://shop.example/"):
    return stored("$pageview", after_s, **dollars(lib="web", window_id="w", current_url=url))


def request(after_s, url="https://shop.example/"):
    return stored("paid", after_s, **dollars(lib="hogline", window_id="w", current_url=url, request_method="GET", request_id=str(uuid.uuid4())))  # fmt: skip


def test_the_line_of_many_requests_takes_work_in_proportion():
    """Four times the events take no more than five times the calls."""

    def calls(count):
        events = [one for number in range(count) for one in (page_view(number), request(number + 0.1))]
        counted = [0]

        def count_call(_frame, happening, _argument):
            counted[0] += happening == "call"

        sys.setprofile(count_call)
        try:
            build_timeline(events)
        finally:
            sys.setprofile(None)
        return counted[0]

    assert calls(2000) < 5 * calls(500)


@given(
    st.lists(
        st.tuples(st.sampled_from(["view", "click", "request"]), st.integers(0, 40), st.sampled_from(["w", "v", ""])),
        max_size=25,
    )
)
@settings(max_examples=200, deadline=None)
def test_a_cause_is_the_nearest_load_or_the_last_action_of_the_window(things):
    """The bisection finds the same cause as a scan of every browser event."""
    events = []
    for kind, after_s, window in things:
        known = (
            dollars(window_id=window, current_url="https://shop.example/")
            if window
            else dollars(current_url="https://shop.example/")
        )
        if kind == "request":
            known |= dollars(lib="hogline", request_method="GET", request_id=str(uuid.uuid4()))
            events.append(stored("paid", after_s, **known))
        else:
            events.append(
                stored("$pageview" if kind == "view" else "$autocapture", after_s, **known, **dollars(lib="web"))
            )
    timeline = build_timeline(events)
    windows = {window.id: window.number for window in timeline.windows}
    browser = sorted((one for one in events if one.text("$lib") == "web"), key=lambda one: (one.timestamp, one.uuid))
    for entry in timeline.entries:
        for found in entry.requests:
            same = [one for one in browser if not found.window or windows.get(one.text("$window_id")) == found.window]
            loads = [
                one
                for one in same
                if one.event == "$pageview" and abs(one.timestamp - found.at) <= timedelta(seconds=10)
            ]
            if loads:
                assert found.reason == "loaded this page"
                assert entry.event is not None
                assert abs(entry.event.timestamp - found.at) == min(abs(one.timestamp - found.at) for one in loads)
            elif entry.event is not None:
                before = [one for one in same if timedelta(0) <= found.at - one.timestamp <= timedelta(seconds=30)]
                assert entry.event.timestamp == before[-1].timestamp


@pytest.mark.parametrize("url", BROKEN_URLS, ids=lambda url: repr(url)[:20])
def test_a_url_that_is_none_is_compared_as_text(reader, url):
    """The session of a page and a request with an invalid URL is shown."""
    session = str(uuid.uuid4())
    known = dollars(session_id=session, current_url=url)
    reader.send(
        event("$pageview", **known, **dollars(lib="web")),
        event("paid", **known, **dollars(is_server=True, lib="hogline", request_id="r", request_method="GET")),
    )
    reader.wait_for(2, session_id=session)
    assert reader.session(session)["requests"] == 1
    assert reader.get(f"/session/{session}", key=None).status == 200


@pytest.mark.parametrize(
    "tail", ["a\nb", "a/b", "x/remote_config", "a?b#c%2F", "\u00e9 \u202e", "<b>", "..", "a\\b"], ids=repr
)
def test_every_session_that_is_listed_can_be_opened(reader, tail):
    """Its page and the API show it, whatever characters its id has."""
    session = f"{uuid.uuid4()}{tail}"
    reader.send(event("thing", **dollars(session_id=session)))
    reader.wait_for(1, session_id=session)
    assert reader.session(session)["session_id"] == session
    assert reader.get(f"/session/{quote(session, safe='')}", key=None).status == 200


def test_a_session_of_20000_events_is_read_in_parts(reader):
    """Each part is short, the counts are the whole session's, and no event is missing."""
    session = str(uuid.uuid4())
    sent = [event(f"e{number}", at=START, after_s=number, **dollars(session_id=session)) for number in range(20_000)]
    for place in range(0, len(sent), 5000):
        reader.send(*sent[place : place + 5000])
    reader.wait_for(1, session_id=session, event="e19999")
    names, after = [], None
    for _ in range(30):
        part = reader.get(f"/api/projects/@current/sessions/{session}", **({"after": after} if after else {})).json()
        names += [entry["event"]["event"] for entry in part["entries"]]
        assert part["duration_s"] == 19_999
        after = part["next"]
        if after is None:
            break
    assert names == [f"e{number}" for number in range(20_000)]
    page = reader.get(f"/session/{session}", key=None)
    assert page.status == 200
    assert b'rel="next"' in page.data


def test_sessions_that_end_together_are_all_listed(reader):
    """Following "Older" lists each of them once."""
    made = {f"{uuid.uuid4()}" for _ in range(120)}
    # Hours ago, so that the first page stays with the sessions of other tests.
    at = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=3)
    reader.send(*(event("thing", at=at, **dollars(session_id=one)) for one in made))
    for one in made:
        reader.wait_for(1, session_id=one)
    seen, link = [], "/sessions"
    for _ in range(40):
        html = reader.get(link, key=None).data.decode()
        seen += re.findall(r'href="/session/([0-9a-f-]{36})"', html)
        following = re.search(r'rel="next" href="([^"]+)"', html)
        if following is None or made <= set(seen):
            break
        link = unescape(following[1])
    assert made <= set(seen)
    assert len(seen) == len(set(seen))


@pytest.mark.parametrize("before", ["0001-01-01", "9999-12-31T23:59:59", "1969-01-01T00:00:00+14:00"])
@pytest.mark.parametrize("path", ["/sessions", "/events", "/api/projects/@current/events/"])
def test_times_at_the_ends_of_the_calendar_are_answered(reader, path, before):
    """The instance never responds with 500."""
    assert reader.get(path, before=before).status == 200
    assert reader.get(path, after=before).status == 200


def test_a_server_does_not_name_the_visitors_device(reader):
    """Without browser events, the device comes from the User-Agent, never from `$os`."""
    agent = "Mozilla/5.0 (iPhone; CPU iPhone OS 17_4 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.4 Mobile/15E148 Safari/604.1"
    known, unknown = str(uuid.uuid4()), str(uuid.uuid4())
    server = dollars(lib="hogline", is_server=True, os="Linux", os_version="12", request_method="GET", request_id="r")
    reader.send(
        event("a", **server, **dollars(session_id=known, raw_user_agent=agent)),
        event("a", **server, **dollars(session_id=unknown)),
    )
    reader.wait_for(1, session_id=unknown)
    reader.wait_for(1, session_id=known)
    facts = reader.session(known)
    assert (facts["browser"], facts["os"], facts["device"]) == ("Mobile Safari 17", "iOS 17", "iPhone")
    facts = reader.session(unknown)
    assert (facts["browser"], facts["os"], facts["device"]) == ("", "", "")
