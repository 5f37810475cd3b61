"""The pages without a browser: what they say, where they link, and the headers that guard them."""

import re
import uuid
from datetime import UTC, datetime, timedelta
from html import unescape
from urllib.parse import quote

import pytest

from hogline_instance.ui.login import Throttle
from hogline_instance.ui.render import elapsed, safe_link
from tests.instance.reader import dollars, event


def text_of(answer):
    """The visible words of a page."""
    return unescape(re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", answer.data.decode())))


@pytest.fixture
def failure(reader):
    """A stored exception of a session, with a frame of the application, one of a library, and a cause."""
    frames = [
        {"platform": "python", "filename": "lib/router.py", "function": "route", "lineno": 7, "in_app": False},
        {
            "platform": "python", "filename": "shop/pay.py", "function": "charge", "lineno": 12, "in_app": True,
            "pre_context": ["def charge(card):"], "context_line": "    raise Declined(card)", "post_context": [""],
        },
    ]  # fmt: skip
    chain = [
        {
            "type": "Declined",
            "value": "no <b>funds",
            "mechanism": {"handled": False, "type": "middleware"},
            "stacktrace": {"frames": frames},
        },
        {"type": "KeyError", "value": "'card'", "mechanism": {"type": "chained", "source": "cause"}},
    ]
    sent = event(
        "$exception",
        distinct_id=f"visitor-{uuid.uuid4()}",
        **dollars(
            lib="hogline", session_id=str(uuid.uuid4()), exception_list=chain, request_method="POST", request_path="/pay",
            response_status_code=500,
        ),
    )  # fmt: skip
    reader.send(sent)
    reader.wait_for(1, distinct_id=sent["distinct_id"])
    return sent


def test_every_page_carries_the_policy_and_no_inline_code(reader, failure):
    """A strict policy, no sniffing, no framing; no script or style inside the HTML, no address outside this origin."""
    session = failure["properties"]["$session_id"]
    for path in (
        "/",
        "/events",
        "/sessions",
        f"/event/{failure['uuid']}",
        f"/session/{session}",
        "/login",
        "/event/none",
    ):
        answer = reader.get(path, key=None)
        assert answer.status == (404 if path == "/event/none" else 200), path
        policy = answer.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Referrer-Policy"] == "no-referrer"
        html = answer.data.decode()
        assert not re.search(r"<style|<[^>]+\s(style|on\w+)=|<script(?! src=\"/ui/static/)", html)
        assert all(address.startswith("/") for address in re.findall(r"(?:src|<link[^>]* href)=\"([^\"]+)\"", html))


def test_the_event_page_shows_the_chain_with_its_crash_site_first(reader, failure):
    """Type, value, handled or not, source lines, the library folded, the cause after it, the status."""
    answer = reader.get(f"/event/{failure['uuid']}")
    words = text_of(answer)
    for part in (
        "Declined",
        "no <b>funds",
        "unhandled",
        "raise Declined(card)",
        "1 library frame",
        "caused by",
        "KeyError",
        "500",
    ):
        assert part in words, part
    assert words.index("shop/pay.py:12") < words.index("lib/router.py:7")
    html = answer.data.decode()
    assert re.search(r"<details open>\s*<summary><span class=\"function\">charge", html)
    assert f"/session/{failure['properties']['$session_id']}" in html


def test_the_session_page_tells_browser_server_windows_and_errors_apart(reader):
    """One line: windows numbered, a request under its click, the error red with its status and a link, the silence named."""
    session, start = str(uuid.uuid4()), datetime.now(UTC) - timedelta(hours=1)
    web = dollars(lib="web", session_id=session, current_url="https://shop.example/cart")
    back = dollars(
        lib="hogline", session_id=session, window_id="w1", request_id="r", request_method="POST", request_path="/pay"
    )
    broken = event(
        "$exception", at=start, after_s=5.4, **back,
        **dollars(exception_list=[{"type": "Declined", "value": "no funds"}], response_status_code=502),
    )  # fmt: skip
    reader.send(
        event("$pageview", at=start, **web, **dollars(window_id="w1")),
        event(
            "$autocapture", at=start, after_s=5, **web, **dollars(window_id="w1", event_type="click", el_text="Pay now")
        ),
        event("payment begun", at=start, after_s=5.2, **back, total=12.5),
        broken,
        event("$pageview", at=start, after_s=905.4, distinct_id="grace", **web, **dollars(window_id="w2")),
    )
    reader.wait_for(5, session_id=session)
    answer = reader.get(f"/session/{session}")
    words = text_of(answer)
    for part in (
        "Clicked “Pay now”",
        "Window 2",
        "POST /pay",
        "502",
        "Declined: no funds",
        "15 min idle",
        "from here on grace",
        "total 12.5",
    ):
        assert part in words, part
    assert words.index("Clicked “Pay now”") < words.index("payment begun") < words.index("Declined: no funds")
    assert f'href="/event/{broken["uuid"]}"' in answer.data.decode()
    listed = text_of(reader.get("/sessions"))
    assert "/cart" in listed


def test_stored_events_page_filters_and_pages_like_the_api(reader):
    """`Older` leads on; the form keeps what was asked."""
    name = f"paged-{uuid.uuid4()}"
    reader.send(*(event(name, after_s=-index) for index in range(130)))
    reader.wait_for(130, event=name)
    first = reader.get("/events", event=name).data.decode()
    assert f'value="{name}"' in first
    older = unescape(re.search(r'rel="next" href="([^"]+)"', first).group(1))
    second = reader.get(older).data.decode()
    rows = [set(re.findall(r'data-uuid="([^"]+)"', page)) for page in (first, second)]
    assert [len(row) for row in rows] == [100, 30]
    assert not rows[0] & rows[1]
    assert 'rel="next"' not in second


def test_ids_with_slashes_and_quotes_have_pages(reader):
    """A session id is a stranger's text; its page is found all the same."""
    session = f"a/b?c=\"'<i>&#{uuid.uuid4()}"
    reader.send(event("odd", **{"$session_id": session}))
    reader.wait_for(1, session_id=session)
    assert reader.get(f"/session/{quote(session, safe='')}").status == 200


def test_a_bad_filter_is_explained_on_a_page(reader):
    """A typing mistake in a form is answered in words."""
    answer = reader.get("/events", after="yesterday")
    assert answer.status == 400
    assert "ISO 8601" in text_of(answer)


@pytest.mark.parametrize(
    ("url", "linked"),
    [("https://a.example/x?y#z", True), ("http://a.example", True), ("javascript:alert(1)", False), ("JAVASCRIPT:alert(1)", False),
     (" javascript:alert(1)", False), ("data:text/html,x", False), ("//a.example", False), ("java\nscript:alert(1)", False),
     ("https://", False), ("http://[", False), ("ftp://a.example", False)],
)  # fmt: skip
def test_only_web_addresses_become_links(url, linked):
    """What is not http or https stays text."""
    assert safe_link(url) == (url if linked else "")


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "0 ms"), (0.18, "180 ms"), (0.9999, "1.0 s"), (4.24, "4.2 s"), (9.97, "10 s"), (59.6, "1 min"), (90, "1 min 30 s"),
     (720, "12 min"), (3599, "1 h"), (12_000, "3 h 20 min"), (200_000, "2 days")],
)  # fmt: skip
def test_lengths_of_time_read_naturally(seconds, words):
    """No unit overflows into the next one."""
    assert elapsed(timedelta(seconds=seconds)) == words


def test_failed_sign_ins_are_throttled_by_address_and_in_all():
    """Five a minute from one address; fifty from everywhere; a minute later all may try again."""
    throttle = Throttle()
    for moment in range(5):
        assert throttle.wait_s("a", moment) == 0
        throttle.failed("a", moment)
    assert throttle.wait_s("a", 5) > 0
    assert throttle.wait_s("b", 5) == 0
    for number in range(45):
        throttle.failed(f"other-{number}", 6)
    assert throttle.wait_s("b", 7) > 0
    assert throttle.wait_s("a", 70) == 0
