"""The stack trace on the page of an exception event."""

import re

from tests.instance.reader import text_of


def test_the_event_page_shows_the_chain_with_its_crash_site_first(reader, failure):
    """It shows type, value, whether it was handled, source lines, folded library frames, the cause
    and the status."""
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
