"""The pages in a real Chromium: hostile content stays inert, and the live page updates itself."""

import json
import uuid
from datetime import UTC, datetime
from urllib.parse import quote

import pytest

from tests.instance.reader import dollars, event
from tests.support.browser import launch_browser

pytestmark = pytest.mark.needs_browser

ATTACKS = [
    "<script>window.owned=1</script>",
    '"><img src=x onerror=window.owned=1>',
    "'><svg/onload=window.owned=1>",
    "</title></textarea></template><script>window.owned=1</script>",
    "{{ 7*7 }}${7*7}",
    "javascript:window.owned=1",
    "\x1b[31mred\x1b]0;title\x07",
    "\u202egnp.exe",
]


@pytest.fixture
def page():
    """A fresh page of a real Chromium."""
    with launch_browser() as browser:
        yield browser.new_page()


def hostile(session, name):
    """An event with an attack in every field."""
    frame = {"filename": name, "function": name, "module": name, "lineno": 1, "in_app": True, "context_line": name,
             "pre_context": [name], "post_context": [name]}  # fmt: skip
    known = dollars(
        lib="web", session_id=session, window_id=name, current_url=name, el_text=name, request_method=name, request_path=name,
        request_route=name, browser=name, referrer=name, set={"email": name}, event_type="click",
        exception_list=[{"type": name, "value": name, "module": name, "mechanism": {"type": name, "source": name},
                         "stacktrace": {"frames": [frame]}}],
    )  # fmt: skip
    return {**known, name: name, "nested": {name: [name]}}


@pytest.mark.parametrize("attack", ATTACKS, ids=range(len(ATTACKS)))
def test_hostile_content_runs_nothing_and_reaches_nobody(reader, page, attack):
    """On no page does event content run, send requests or make script links, and the policy blocks
    nothing.
    """
    session = f"{attack}{uuid.uuid4()}"
    names = (attack, "$exception", "$autocapture", "$identify", "$pageview")
    sent = [event(name, distinct_id=attack, **hostile(session, attack)) for name in names]
    reader.send(*sent)
    reader.wait_for(len(sent), session_id=session)
    requested, complaints = [], []
    page.on("request", lambda request: requested.append(request.url))
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    where = [
        "/",
        "/events",
        "/sessions",
        f"/session/{quote(session, safe='')}",
        f"/?search={quote(attack)}",
        *(f"/event/{one['uuid']}" for one in sent),
    ]
    for path in where:
        page.goto(reader.url + path)
        page.wait_for_timeout(150)
        assert page.evaluate("window.owned") is None, path
        links = page.eval_on_selector_all("a", "all => all.map(one => one.protocol)")
        assert set(links) <= {"http:", "https:"}, path
    assert all(url.startswith(reader.url + "/") for url in requested)
    assert complaints == []


def test_a_megabyte_of_one_property_leaves_the_page_usable(reader, page):
    """The value is cut on the page and complete in the raw event."""
    sent = event("huge", text="x" * 1_000_000)
    reader.send(sent)
    reader.wait_for(1, event="huge")
    page.goto(f"{reader.url}/event/{sent['uuid']}")
    assert "cut here" in page.inner_text(".properties")
    assert "x" * 1_000_000 in page.text_content(".raw")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_a_new_event_appears_on_top_of_the_live_page(reader, page):
    """It appears without a reload, linked to event and session; hostile text stays text."""
    page.goto(reader.url + "/")
    page.wait_for_selector("#dot.on")
    session = str(uuid.uuid4())
    sent = event(ATTACKS[0], **{"$session_id": session, "$lib": "web", "$current_url": "https://a.example/cart?x=1"})
    reader.send(sent)
    row = page.wait_for_selector(f"tr[data-uuid='{sent['uuid']}']")
    assert row.query_selector(".c-event a").inner_text() == ATTACKS[0]
    assert row.query_selector(".path").inner_text() == "/cart?x=1"
    assert row.query_selector(".c-session a").get_attribute("href") == f"/session/{session}"
    assert page.evaluate("window.owned") is None


def test_pause_holds_rows_back_until_resumed(reader, page):
    """While paused, the page counts new events; when resumed, it shows them."""
    name = f"paused-{uuid.uuid4()}"  # Events of other tests would wait too.
    page.goto(f"{reader.url}/?event={name}")
    page.wait_for_selector("#dot.on")
    page.click("#pause")
    sent = event(name, at=datetime.now(UTC))
    reader.send(sent)
    page.wait_for_selector("#state:has-text('1 waiting')")
    assert page.query_selector(f"tr[data-uuid='{sent['uuid']}']") is None
    page.click("#pause")
    page.wait_for_selector(f"tr[data-uuid='{sent['uuid']}']")


def test_an_event_that_comes_twice_waits_once(reader, page):
    """The server sends an event twice if it is stored while the server reads the backlog."""
    name = f"twice-{uuid.uuid4()}"
    page.goto(f"{reader.url}/?event={name}")
    page.wait_for_selector("#dot.on")
    page.click("#pause")
    reader.send(event(name, at=datetime.now(UTC)))
    page.wait_for_selector("#state:has-text('1 waiting')")
    page.evaluate("receive(held.slice())")
    assert page.inner_text("#state") == "paused, 1 waiting"
    page.click("#pause")
    assert page.locator("#rows tr").count() == 1


def test_thousands_of_events_keep_the_page_bounded(reader, page):
    """The page keeps at most 500 rows, and says that the rest is stored."""
    page.goto(reader.url + "/?event=flood")
    page.wait_for_selector("#dot.on")
    for _ in range(20):
        reader.send(*(event("flood") for _ in range(150)))
    last = event("flood", after_s=1)
    reader.send(last)
    page.wait_for_selector(f"tr[data-uuid='{last['uuid']}']")
    assert page.evaluate("document.getElementById('rows').children.length") <= 500


def test_a_session_that_goes_on_says_so(reader, page):
    """A notice announces new events, and the text does not move."""
    session = str(uuid.uuid4())
    reader.send(event("first", **{"$session_id": session}))
    reader.wait_for(1, session_id=session)
    page.goto(f"{reader.url}/session/{session}")
    assert page.is_hidden("#more")
    reader.send(event("second", **{"$session_id": session}))
    page.wait_for_selector("#more:not([hidden])")
    assert "1 new event" in page.inner_text("#more")
    page.click("#more a")
    page.wait_for_selector("text=second")


def test_a_property_is_found_by_name_or_value(reader, page):
    """Typing filters the list; rows that do not match are hidden."""
    sent = event("searched", colour="teal", size=4)
    reader.send(sent)
    reader.wait_for(1, event="searched")
    page.goto(f"{reader.url}/event/{sent['uuid']}")
    page.fill("#find", "TEAL")
    assert page.eval_on_selector_all(".property:not([hidden]) dt", "all => all.map(one => one.textContent)") == [
        "colour"
    ]
    page.fill("#find", json.dumps({"no": "such"}))
    assert page.is_visible("#none-found")


def test_no_page_is_wider_than_a_phone(reader, page, failure):
    """The menu, lists and details fit 390 pixels; wide parts scroll inside themselves."""
    page.set_viewport_size({"width": 390, "height": 800})
    page.goto(reader.url + "/")
    paths = page.eval_on_selector_all("header a", "links => links.map(link => link.getAttribute('href'))")
    session = failure["properties"]["$session_id"]
    paths += [f"/session/{session}", f"/event/{failure['uuid']}"]
    for listed, kind in (("/issues", "/issue/"), ("/people", "/person/")):
        page.goto(reader.url + listed)
        paths.append(page.locator(f"main a[href^='{kind}']").first.get_attribute("href"))
    for path in paths:
        page.goto(reader.url + path)
        assert page.evaluate("document.documentElement.scrollWidth") <= 390, path
