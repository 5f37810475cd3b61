"""The pages of issues, on a running instance."""

import uuid
from datetime import UTC, datetime, timedelta
from urllib.parse import urlencode

from tests.instance.errors.api import call
from tests.instance.errors.bodies import entry, exception, python_frame, stored, unique
from tests.instance.reader import dollars, event, text_of


def page(reader, path, status=200):
    answer = reader.get(path, key=None)
    assert answer.status == status, answer.data
    return answer


def post(reader, path, **fields):
    """Send a form as a browser does, and return the response."""
    return reader.pool.request(
        "POST", reader.url + path, body=urlencode(fields, doseq=True).encode(), redirect=False,
        headers={"Content-Type": "application/x-www-form-urlencoded", "Origin": reader.url},
    )  # fmt: skip


def test_the_list_is_searched_and_changed_in_bulk(reader):
    """A resolved issue leaves the list of active ones; each has its counts and a sparkline."""
    mark = uuid.uuid4().hex[:8]
    sent = [exception(entry(f"A{mark}", "<b>no</b> funds", [python_frame("a")])) for _ in range(3)]
    sent.append(exception(entry(f"B{mark}", "v", [python_frame("b")]), release="2.0", lib="hogline"))
    found = stored(reader, *sent)
    ids = [found[0]["$exception_issue_id"], found[3]["$exception_issue_id"]]
    listed = page(reader, f"/issues?search={mark}")
    assert f"A{mark}" in text_of(listed)
    assert f"B{mark}" in text_of(listed)
    assert b"<b>no</b>" not in listed.data
    assert listed.data.count(b'class="chart sparkline"') == 2
    assert f"A{mark}" not in text_of(page(reader, f"/issues?search={mark}&release=2.0&library=hogline"))
    assert post(reader, "/issues", id=ids, action="resolved", back=f"search={mark}").status == 303
    assert f"A{mark}" not in text_of(page(reader, f"/issues?search={mark}"))
    assert f"A{mark}" in text_of(page(reader, f"/issues?search={mark}&status=resolved"))
    post(reader, "/issues", id=ids, action="merge", back="")
    assert f"B{mark}" not in text_of(page(reader, f"/issues?search={mark}&status=any"))
    # A link to the issue that was merged leads to the other, also after that was merged in its turn.
    [gone] = [each for each in ids if reader.get(f"/issue/{each}", key=None).status == 303]
    [kept] = [each for each in ids if each != gone]
    [third] = stored(reader, exception(entry(f"C{mark}", "v", [python_frame("c")])))
    last = third["$exception_issue_id"]
    call(reader, "POST", f"issues/{last}/merge", {"ids": [kept]})
    for each in (gone, kept):
        assert reader.get(f"/issue/{each}", key=None).headers["Location"] == f"/issue/{last}"
    assert reader.get(f"/issue/{gone}/markdown", key=None).headers["Location"] == f"/issue/{last}/markdown"
    assert reader.get(f"/issue/{uuid.uuid4()}", key=None).status == 404


def test_an_issue_shows_what_broke_what_led_there_and_the_history(reader):
    """Source, locals, causes, the session's line, people, and previous and next occurrence."""
    kind, session, now = unique(), str(uuid.uuid4()), datetime.now(UTC)
    frame = python_frame(context_line="raise Declined(card)", code_variables={"card": "<i>4242</i>"})
    chain = [entry(kind, "no funds", [frame]), entry("KeyError", "'card'", source="cause")]
    visitor = f"ada-{kind}"
    line = [
        event("$pageview", distinct_id=visitor, at=now, **dollars(lib="web", session_id=session, current_url="https://shop.test/cart")),
        event("add_to_cart", distinct_id=visitor, at=now, after_s=1, **dollars(lib="web", session_id=session)),
    ]  # fmt: skip
    crash = exception(
        *chain, lib="hogline", distinct_id=visitor, at=now, after_s=2, session_id=session, request_method="POST",
        request_path="/pay", request_route="/pay", response_status_code=500, release="2.4.0",
    )  # fmt: skip
    earlier = exception(*chain, lib="hogline", at=now - timedelta(hours=1))
    reader.send(*line)
    found = stored(reader, earlier, crash)
    issue = found[1]["$exception_issue_id"]
    shown = page(reader, f"/issue/{issue}")
    words = text_of(shown)
    for expected in (kind, "raise Declined(card)", "card <i>4242</i>", "caused by", "KeyError", "Pageview", "add_to_cart",
                     "POST", "/pay", "2.4.0", visitor, "First seen", "Occurrences 2", "Releases", "Routes"):  # fmt: skip
        assert expected in words, expected
    assert b"<i>4242" not in shown.data
    assert f"?event={earlier['uuid']}".encode() in shown.data
    before = page(reader, f"/issue/{issue}?event={earlier['uuid']}")
    assert f"?event={crash['uuid']}".encode() in before.data
    text = page(reader, f"/issue/{issue}/markdown").data.decode()
    assert f"## `{kind}`" in text
    assert "charge (shop/pay.py:12)" in text
    post(reader, f"/issue/{issue}", comment="looked <script>alert(1)</script>", assignee="ada", status="resolved")
    after = page(reader, f"/issue/{issue}")
    assert (
        "looked <script>" in text_of(page(reader, f"/issue/{issue}")).replace("\n", " ")
        or b"&lt;script&gt;" in after.data
    )
    assert b"<script>alert" not in after.data
    record = call(reader, "GET", f"issues/{issue}/")
    assert (record["status"], record["assignee"]) == ("resolved", {"id": "ada", "type": "user"})
    page(reader, f"/issue/{uuid.uuid4()}", 404)
    page(reader, f"/issue/{issue}?event={uuid.uuid4()}", 404)
    page(reader, f"/issue/{issue}?event=nonsense", 404)


def test_an_occurrence_shows_its_circumstances_and_the_first_one_is_a_link_away(reader):
    """Request, page, browser, release and flags, on the page and in its Markdown."""
    kind, now = unique(), datetime.now(UTC)
    common = {"lib": "hogline", "release": "1.0", "feature/new-checkout": "test"}
    first = exception(entry(kind, "v", [python_frame()]), at=now - timedelta(days=70), **common)
    browser = {"browser": "Firefox", "browser_version": 140, "os": "Linux", "current_url": "https://shop.test/<b>pay"}
    last = exception(entry(kind, "v", [python_frame()]), at=now, request_method="POST", request_path="/pay", **browser)
    found = stored(reader, first, last)
    issue = found[0]["$exception_issue_id"]
    shown = page(reader, f"/issue/{issue}")
    words = text_of(shown).partition("This occurrence")[2].partition("What led there")[0]
    assert "Request POST /pay" in words
    assert "Browser Firefox 140" in words
    assert "https://shop.test/<b>pay" in words
    assert b"<b>pay" not in shown.data
    assert b'href="?event=first"' in shown.data
    oldest = page(reader, f"/issue/{issue}?event=first")
    words = text_of(oldest).partition("This occurrence")[2]
    assert "Release 1.0" in words
    assert "Flags new-checkout test" in words
    assert f"/event/{first['uuid']}".encode() in oldest.data
    assert f'href="/issue/{issue}" data-key="l"'.encode() in oldest.data
    text = page(reader, f"/issue/{issue}/markdown?event=first").data.decode()
    assert "- Release: `1.0`" in text


def test_an_issue_is_renamed_rated_and_split_and_several_are_assigned_by_forms(reader):
    """A form changes its own fields alone; several issues are never assigned to nobody at once."""
    kind = unique()
    found = stored(reader, *[exception(entry(kind, "v", [python_frame(name)])) for name in ("a", "b")])
    issue, other = (each["$exception_issue_id"] for each in found)
    record = lambda: call(reader, "GET", f"issues/{issue}/")  # noqa: E731
    post(reader, "/issues", id=[issue, other], action="assign", assignee="ada", back="")
    post(reader, "/issues", id=[issue, other], action="assign", assignee=" ", back="")
    assert [call(reader, "GET", f"issues/{each}/")["assignee"]["id"] for each in (issue, other)] == ["ada", "ada"]
    assert post(reader, f"/issue/{issue}", name=f"Renamed {kind}", description="why", severity="high").status == 303
    assert (record()["name"], record()["description"], record()["severity"]) == (f"Renamed {kind}", "why", "high")
    assert record()["assignee"]["id"] == "ada"
    post(reader, f"/issue/{issue}", severity="", assignee="")
    assert (record()["name"], record()["severity"], record()["assignee"]) == (f"Renamed {kind}", None, None)
    call(reader, "POST", f"issues/{issue}/merge", {"ids": [other]})
    fingerprint = found[1]["$exception_fingerprint"]
    assert f'name="fingerprint" value="{fingerprint}"' in page(reader, f"/issue/{issue}").data.decode()
    assert post(reader, f"/issue/{issue}", fingerprint=fingerprint).status == 303
    moved = reader.get(f"/issue/by-fingerprint?fingerprint={fingerprint}", key=None).headers["Location"]
    assert moved.rpartition("/")[2] not in {issue, other}
    assert b'name="fingerprint"' not in page(reader, f"/issue/{issue}").data
    assert post(reader, f"/issue/{uuid.uuid4()}", severity="high").status == 404


def test_the_flag_that_causes_an_error_stands_on_top(reader):
    """92 % of the occurrences had a variant that half of the traffic has; noise is not shown."""
    kind, lib = unique(), f"lib-{uuid.uuid4()}"
    variants = lambda number, share: "test" if number < share else "control"  # noqa: E731
    traffic = [
        event("view", distinct_id=f"p{number}", **{**dollars(lib=lib, browser="Firefox" if number % 3 else "Chrome"),
              "$feature/new-checkout": variants(number, 50)})
        for number in range(100)
    ]  # fmt: skip
    reader.send(*traffic)
    sent = [
        exception(entry(kind, "v", [python_frame()]), lib=lib, distinct_id=f"{kind}{number}",
                  browser="Firefox" if number % 3 else "Chrome", **{"feature/new-checkout": variants(number, 46)})
        for number in range(50)
    ]  # fmt: skip
    found = stored(reader, *sent)
    words = text_of(page(reader, f"/issue/{found[0]['$exception_issue_id']}"))
    common = words.partition("What they have in common")[2].partition("The share among")[0]
    assert "flag new-checkout test 92 % 50 %" in common
    assert "Firefox" not in common
    assert "control" not in common


def test_hostile_issues_are_pages_without_a_script(reader):
    """HTML in every field is text on the list, the issue and its Markdown."""
    evil = "<script>alert(1)</script>`\n# x"
    frame = {
        "platform": "python",
        "filename": evil,
        "function": evil,
        "module": evil,
        "context_line": evil,
        "lineno": 1,
    }
    sent = exception(
        entry(unique() + evil, evil, [frame], type=evil), exception_level=evil, release=evil, session_id=evil, environment=evil,
    )  # fmt: skip
    [found] = stored(reader, sent)
    issue = found["$exception_issue_id"]
    for path in (
        f"/issue/{issue}",
        "/issues?" + urlencode({"search": "alert(1)"}),
        f"/issues?{urlencode({'search': evil})}",
    ):
        shown = page(reader, path)
        assert b"<script>alert" not in shown.data
    text = page(reader, f"/issue/{issue}/markdown")
    assert text.headers["Content-Type"].startswith("text/plain")
    assert "# x" not in text.data.decode().splitlines()[:3]
