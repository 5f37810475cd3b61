"""The session's page: one timeline of browser and server."""

import uuid
from datetime import UTC, datetime, timedelta
from urllib.parse import quote

from tests.instance.reader import dollars, event, text_of


def test_the_session_page_tells_browser_server_windows_and_errors_apart(reader):
    """The page numbers windows, puts a request under its click, and marks errors and silences."""
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


def test_ids_with_slashes_and_quotes_have_pages(reader):
    """A client chooses the session id; whatever characters it has, its page is found."""
    session = f"a/b?c=\"'<i>&#{uuid.uuid4()}"
    reader.send(event("odd", **{"$session_id": session}))
    reader.wait_for(1, session_id=session)
    assert reader.get(f"/session/{quote(session, safe='')}").status == 200
