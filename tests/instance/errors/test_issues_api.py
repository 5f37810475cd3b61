"""`error_tracking/issues` and `ErrorTrackingQuery`, in PostHog's shapes, on a running instance."""

import json
import subprocess
import sys
import uuid
from datetime import UTC, datetime, timedelta

import pytest

from tests.instance.errors.api import call, query, until
from tests.instance.errors.bodies import entry, exception, python_frame, stored, unique
from tests.instance.reader import dollars, event


def issue_of(reader, *sent):
    """Send events and return the id of the issue of each."""
    return [each["$exception_issue_id"] for each in stored(reader, *sent)]


def test_an_issue_has_posthogs_record_and_its_counts(reader):
    """Occurrences, people, sessions, first and last time, library, volume and both events."""
    kind, now = unique(), datetime.now(UTC)
    sent = [
        exception(entry(kind, f"no {n}", [python_frame()]), at=now - timedelta(hours=n), session_id=f"{kind}-{n % 2}")
        for n in range(4)
    ]
    sent.append(exception(entry(kind, "again", [python_frame()]), distinct_id=sent[0]["distinct_id"], at=now))
    [issue_id] = set(issue_of(reader, *sent))
    record = call(reader, "GET", f"issues/{issue_id}/")
    assert set(record) == {
        "id", "status", "name", "description", "first_seen", "assignee", "external_issues", "cohort", "severity",
    }  # fmt: skip
    assert (record["status"], record["name"], record["assignee"]) == ("active", kind, None)
    assert record["first_seen"][:19] == (now - timedelta(hours=3)).isoformat()[:19]
    answer = query(reader, searchQuery=kind, withFirstEvent=True, withLastEvent=True)
    [row] = answer["results"]
    counts = row["aggregations"]
    assert (counts["occurrences"], counts["users"], counts["sessions"]) == (5, 4, 2)
    assert sum(each["value"] for each in counts["volume_buckets"]) == 5 == sum(counts["volumeRange"])
    assert (row["library"], row["source"], row["function"]) == ("posthog-python", "shop/pay.py", "charge")
    assert row["first_event"]["uuid"] == sent[3]["uuid"]
    assert json.loads(row["last_event"]["properties"])["$exception_types"] == [kind]
    assert (answer["hasMore"], answer["error"], answer["is_cached"]) == (False, None, False)


def test_the_list_is_searched_filtered_ordered_and_paged(reader):
    """Every word must occur; statuses come from SQL, the order from the store."""
    mark = uuid.uuid4().hex[:8]
    sent = []
    for place, many in enumerate((1, 3, 2)):
        sent += [
            exception(entry(f"Kind{place}{mark}", "m", [python_frame(f"go{place}")]), lib="hogline" if place else "web")
            for _ in range(many)
        ]
    ids = list(dict.fromkeys(issue_of(reader, *sent)))
    names = [each["name"] for each in query(reader, searchQuery=mark, orderBy="occurrences")["results"]]
    assert names == [f"Kind1{mark}", f"Kind2{mark}", f"Kind0{mark}"]
    upwards = query(reader, searchQuery=mark, orderBy="first_seen", orderDirection="ASC")["results"]
    assert [each["id"] for each in upwards] == ids
    page = query(reader, searchQuery=mark, orderBy="occurrences", limit=1, offset=1)
    assert [each["name"] for each in page["results"]] == [f"Kind2{mark}"]
    assert page["hasMore"] is True
    assert [each["name"] for each in query(reader, searchQuery=f"{mark} GO2")["results"]] == [f"Kind2{mark}"]
    filters = {"type": "AND", "values": [{"type": "AND", "values": [{"key": "$lib", "value": ["web"]}]}]}
    assert [each["id"] for each in query(reader, searchQuery=mark, filterGroup=filters)["results"]] == [ids[0]]
    call(reader, "PATCH", f"issues/{ids[0]}/", {"status": "resolved"})
    assert [each["id"] for each in query(reader, searchQuery=mark, status="resolved")["results"]] == [ids[0]]
    assert (
        query(reader, searchQuery=mark, dateRange={"date_from": "2020-01-01", "date_to": "2020-02-01"})["results"] == []
    )
    twin = call(reader, "POST", "query/issues_list/", {"searchQuery": mark, "limit": 1})
    assert (len(twin["results"]), twin["nextOffset"]) == (1, 1)


def test_a_search_counts_those_occurrences_alone_that_match(reader):
    """Of an issue with two messages one is counted; a word that all have counts all."""
    kind, now = unique(), datetime.now(UTC)
    messages = (("alpha", 3), ("beta", 2), ("alpha", 1))
    sent = [
        exception(entry(kind, text, [python_frame(text)]), at=now - timedelta(hours=hours), exception_fingerprint=kind)
        for text, hours in messages
    ]
    issue_of(reader, *sent)
    for words, expected, function in ((f"{kind} Alpha", 2, "alpha"), (f"{kind} beta", 1, "beta"), (kind, 3, "alpha")):
        for order in ("last_seen", "users", "sessions", "occurrences"):
            [row] = query(reader, searchQuery=words, orderBy=order, withFirstEvent=True, withLastEvent=True)["results"]
            counts = row["aggregations"]
            assert (counts["occurrences"], counts["users"], sum(counts["volumeRange"])) == (expected,) * 3
            assert row["function"] == function
        places = [number for number, (text, _) in enumerate(messages) if expected == 3 or text == function]
        assert row["first_event"]["uuid"] == sent[places[0]]["uuid"]
        assert row["last_event"]["uuid"] == sent[places[-1]]["uuid"]


@pytest.mark.parametrize("status", ["resolved", "archived", "pending_release"])
def test_an_exception_reopens_its_issue_once_and_the_release_is_noted(reader, status):
    """Three exceptions after the change reopen once; the history names the release of the first."""
    kind = unique()
    [issue_id] = issue_of(reader, exception(entry(kind, "v", [python_frame()]), release="1.0"))
    call(reader, "PATCH", f"issues/{issue_id}/", {"status": status})
    again = [exception(entry(kind, "v", [python_frame()]), release="1.1") for _ in range(3)]
    assert set(issue_of(reader, *again)) == {issue_id}
    assert call(reader, "GET", f"issues/{issue_id}/")["status"] == "active"
    history = call(reader, "GET", f"issues/{issue_id}/activity/")["results"]
    assert [each["activity"] for each in history] == ["reopened", status, "created"]
    assert history[0]["detail"]["release"] == "1.1"
    assert history[1]["detail"]["changes"] == [
        {"type": "ErrorTrackingIssue", "action": "changed", "field": "status", "before": "active", "after": status}
    ]


def test_a_suppressed_issues_exceptions_are_dropped_and_counted(reader):
    """The events are not stored, and `/_ready` says how many and why."""
    kind, reason = unique(), "exceptions of a suppressed issue are dropped"
    [issue_id] = issue_of(reader, exception(entry(kind, "v", [python_frame()])))
    call(reader, "PATCH", f"issues/{issue_id}/", {"status": "suppressed"})
    before = reader.get("/_ready", key=None).json()["not_kept"].get(reason, 0)
    muted = exception(entry(kind, "v", [python_frame()]))
    reader.send(muted)
    until(lambda: reader.get("/_ready", key=None).json()["not_kept"].get(reason, 0) == before + 1)
    assert reader.events(distinct_id=muted["distinct_id"]) == []
    call(reader, "PATCH", f"issues/{issue_id}/", {"status": "active"})
    assert issue_of(reader, exception(entry(kind, "v", [python_frame()]))) == [issue_id]


def test_past_and_future_events_follow_a_merge_and_a_split(reader):
    """Counts move with the fingerprint, and an outdated id answers 308 with the new one."""
    kind = unique()
    sent = [exception(entry(kind, "v", [python_frame(name)])) for name in ("a", "a", "b")]
    found = stored(reader, *sent)
    first, second = found[0]["$exception_issue_id"], found[2]["$exception_issue_id"]
    assert call(reader, "POST", f"issues/{first}/merge", {"ids": [second, first, str(uuid.uuid4())]}) == {
        "success": True
    }
    call(reader, "GET", f"issues/{second}/", status=404)
    fingerprint = found[2]["$exception_fingerprint"]
    assert call(reader, "GET", f"issues/{second}/?fingerprint={fingerprint}", status=308) == {"issue_id": first}
    [row] = query(reader, searchQuery=kind)["results"]
    assert (row["id"], row["aggregations"]["occurrences"]) == (first, 3)
    assert issue_of(reader, exception(entry(kind, "v", [python_frame("b")]))) == [first]
    assert len(call(reader, "GET", f"fingerprints/?issue_id={first}")["results"]) == 2

    split = call(
        reader, "POST", f"issues/{first}/split", {"fingerprints": [{"fingerprint": fingerprint, "name": f"{kind} b"}]}
    )
    [own] = split["new_issue_ids"]
    assert call(reader, "GET", f"issues/{own}/")["name"] == f"{kind} b"
    counts = {row["id"]: row["aggregations"]["occurrences"] for row in query(reader, searchQuery=kind)["results"]}
    assert counts == {first: 2, own: 2}
    assert issue_of(reader, exception(entry(kind, "v", [python_frame("b")]))) == [own]


def test_issues_are_assigned_and_changed_in_bulk(reader):
    """Assignees are users or roles; an unknown issue is 404, an unknown status 400."""
    ids = issue_of(reader, *[exception(entry(unique(), "v")) for _ in range(2)])
    call(reader, "PATCH", f"issues/{ids[0]}/assign", {"assignee": {"type": "user", "id": 7}})
    assert call(reader, "GET", f"issues/{ids[0]}/")["assignee"] == {"type": "user", "id": 7}
    mine = query(reader, assignee={"type": "user", "id": 7})["results"]
    assert ids[0] in {each["id"] for each in mine}
    assert ids[1] not in {each["id"] for each in mine}
    call(reader, "POST", "issues/bulk", {"action": "assign", "ids": ids, "assignee": None})
    call(reader, "POST", "issues/bulk", {"action": "set_status", "ids": ids, "status": "resolved"})
    for each in ids:
        record = call(reader, "GET", f"issues/{each}")
        assert (record["status"], record["assignee"]) == ("resolved", None)
    refused = call(reader, "PATCH", f"issues/{ids[0]}/", {"status": "gone"}, status=400)
    assert (refused["code"], refused["attr"]) == ("invalid_choice", "status")
    call(reader, "GET", f"issues/{uuid.uuid4()}/", status=404)
    call(reader, "GET", "issues/nonsense/", status=404)
    call(reader, "DELETE", f"issues/{ids[0]}/", status=405)
    call(reader, "POST", f"issues/{ids[0]}/comments/", {"content": "seen <b>it</b>"}, status=201)
    assert call(reader, "GET", f"issues/{ids[0]}/activity/")["results"][0]["detail"]["content"] == "seen <b>it</b>"
    for broken in (
        {"type": "user", "id": {}},
        {"type": [], "id": 1},
        {"type": "user", "id": True},
        {"type": "team", "id": 1},
        [],
    ):
        answer = call(reader, "PATCH", f"issues/{ids[0]}/assign", {"assignee": broken}, status=400)
        assert answer["attr"] == "assignee"


def test_frames_are_found_by_their_ids_with_source_lines(reader):
    """The line before the crash comes first in `before`."""
    frame = python_frame(
        f"run_{uuid.uuid4().hex}", line=30, pre_context=["a", "b"], context_line="crash()", post_context=["c"]
    )
    [found] = stored(reader, exception(entry(unique(), "v", [frame])))
    raw_id = found["$exception_list"][0]["stacktrace"]["frames"][0]["raw_id"]
    [row] = call(reader, "POST", "stack_frames/batch_get/", {"raw_ids": [raw_id, "unknown/0"]})["results"]
    assert row["contents"]["resolved_name"] == frame["function"]
    assert row["context"] == {
        "before": [{"number": 29, "line": "b"}, {"number": 28, "line": "a"}],
        "line": {"number": 30, "line": "crash()"},
        "after": [{"number": 31, "line": "c"}],
    }


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        ({}, "the body must be"),
        ({"query": {"kind": "NoQuery"}}, "unknown query kind 'NoQuery'"),
        ({"query": {"kind": "ErrorTrackingQuery", "orderBy": "x; DROP"}}, "orderBy must be one of"),
        ({"query": {"kind": "ErrorTrackingQuery", "dateRange": {"date_from": "soon"}}}, "a date must be relative"),
        ({"query": {"kind": "ErrorTrackingQuery", "limit": "many"}}, "limit must be a number"),
        ({"query": {"kind": "ErrorTrackingQuery", "status": ["x"]}}, "status must be one of"),
        ({"query": {"kind": "ErrorTrackingQuery", "filterGroup": [1]}}, "filterGroup: it must hold"),
    ],
)
def test_a_query_that_cannot_be_answered_says_why(reader, body, detail):
    """The error has PostHog's shape."""
    refused = call(reader, "POST", "query", body, status=400, base="/api/projects/@current")
    assert (refused["type"], refused["code"]) == ("validation_error", "invalid_input")
    assert detail in refused["detail"]


def test_wrapped_queries_and_kinds_in_the_path_are_answered(reader):
    """A wrapper is answered as its source, and the path's kind must be the query's."""
    inner = {"kind": "ErrorTrackingQuery", "limit": 1, "volumeResolution": 0}
    for path, asked in (("query", {"kind": "DataTableNode", "source": inner}), ("query/ErrorTrackingQuery/", inner)):
        assert "results" in call(
            reader, "POST", path, {"query": asked, "refresh": "blocking"}, base="/api/projects/@current"
        )
    call(reader, "POST", "query/TrendsQuery", {"query": inner}, status=400, base="/api/projects/@current")


def test_users_are_people_also_after_they_were_merged(reader):
    """A visitor who signs in counts once, for exceptions before and after."""
    kind = unique()
    anonymous, known = f"anon-{kind}", f"ada-{kind}"
    stored(reader, *[exception(entry(kind, "v", [python_frame()]), distinct_id=each) for each in (anonymous, known)])
    assert query(reader, searchQuery=kind)["results"][0]["aggregations"]["users"] == 2
    reader.send(event("$identify", distinct_id=known, **dollars(anon_distinct_id=anonymous)))
    until(lambda: query(reader, searchQuery=kind)["results"][0]["aggregations"]["users"] == 1)


def test_posthog_pythons_exceptions_are_grouped_and_their_chain_is_in_order(reader, tmp_path):
    """A cause and a group of the official client, each thrown twice from other lines, are two issues."""
    script = """
import sys
from posthog import Posthog
client = Posthog(sys.argv[2], host=sys.argv[1])
def charge(number):
    try:
        {}["card"]
    except KeyError as error:
        raise ValueError(f"order {number}") from error
for number in range(3):
    try:
        charge(number)
    except ValueError as error:
        client.capture_exception(error, distinct_id=sys.argv[3])
try:
    raise ExceptionGroup("several", [ValueError("a"), TypeError("b")]) if sys.version_info >= (3, 11) else RuntimeError()
except Exception as error:
    client.capture_exception(error, distinct_id=sys.argv[3])
client.flush()
client.shutdown()
"""
    who = f"py-{uuid.uuid4()}"
    for lines in ("", "\n\n\n"):
        (tmp_path / "shop.py").write_text(lines + script)
        command = [sys.executable, "shop.py", reader.url, reader.token, who]
        subprocess.run(command, check=True, capture_output=True, timeout=90, cwd=tmp_path)
    found = [each["properties"] for each in reader.wait_for(8, distinct_id=who, event="$exception")]
    chains = [each for each in found if each["$exception_types"][0] == "ValueError"]
    groups = [each for each in found if each["$exception_types"][0] == "ExceptionGroup"]
    assert (len(chains), len(groups)) == (6, 2)
    assert {tuple(each["$exception_types"]) for each in chains} == {("ValueError", "KeyError")}
    assert (
        len({each["$exception_issue_id"] for each in chains})
        == len({each["$exception_issue_id"] for each in groups})
        == 1
    )
    frame = chains[0]["$exception_list"][0]["stacktrace"]["frames"][-1]
    assert (frame["resolved_name"], frame["source"], frame["in_app"]) == ("charge", "shop.py", True)
