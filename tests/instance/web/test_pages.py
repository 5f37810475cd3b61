"""Parts of all pages: security headers, links, durations, the limit of failed sign-ins."""

import re
from datetime import timedelta

import pytest

from hogline_instance.web.login import Throttle
from hogline_instance.web.templating import elapsed, safe_link


def test_every_page_carries_the_policy_and_no_inline_code(reader, failure):
    """The headers forbid inline code, sniffing and framing; the HTML has no inline code or foreign
    URL.
    """
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


@pytest.mark.parametrize(
    ("url", "linked"),
    [("https://a.example/x?y#z", True), ("http://a.example", True), ("javascript:alert(1)", False), ("JAVASCRIPT:alert(1)", False),
     (" javascript:alert(1)", False), ("data:text/html,x", False), ("//a.example", False), ("java\nscript:alert(1)", False),
     ("https://", False), ("http://[", False), ("ftp://a.example", False)],
)  # fmt: skip
def test_only_web_addresses_become_links(url, linked):
    """A URL with a scheme other than http and https stays text."""
    assert safe_link(url) == (url if linked else "")


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "0 ms"), (0.18, "180 ms"), (0.9999, "1.0 s"), (4.24, "4.2 s"), (9.97, "10 s"), (59.6, "1 min"), (90, "1 min 30 s"),
     (720, "12 min"), (3599, "1 h"), (12_000, "3 h 20 min"), (200_000, "2 days")],
)  # fmt: skip
def test_lengths_of_time_read_naturally(seconds, words):
    """Rounding never shows 60 seconds or 60 minutes."""
    assert elapsed(timedelta(seconds=seconds)) == words


def test_failed_sign_ins_are_throttled_by_client():
    """One address may fail five times a minute; others, and all a minute later, may go on."""
    throttle = Throttle()
    for moment in range(5):
        assert throttle.wait_s("a", moment) == 0
        throttle.failed("a", moment)
    assert throttle.wait_s("a", 5) > 0
    assert throttle.wait_s("b", 5) == 0
    for number in range(500):
        throttle.failed(f"other-{number}", 6)
    assert throttle.wait_s("b", 7) == 0
    assert throttle.wait_s("a", 7) > 0
    assert throttle.wait_s("a", 70) == 0
