"""Exceptions and calls that are meant to harm: never a 500, never a script, and memory stays bounded."""

import json
import os
import uuid
from pathlib import Path
from urllib.parse import quote

import pytest

from hogline_instance.errors.source_maps.container import pack
from hogline_instance.errors.source_maps.worker_process import MapWorker
from tests.instance.errors.api import BASE, call, until
from tests.instance.errors.bodies import browser_frame, entry, exception, python_frame, stored, unique
from tests.instance.errors.test_source_maps import SCRIPT, upload

EVIL = "</script><script>alert(1)</script><img src=x onerror=alert(1)>"
MEGABYTE = 1024 * 1024


def resident_bytes(instance):
    """Return the memory of the instance with its worker of source maps."""
    if not Path("/proc/self/statm").exists():
        pytest.skip("the memory of another process is read from /proc")
    return _resident_bytes(instance.pid)


def _resident_bytes(pid):
    folder = Path(f"/proc/{pid}")
    pages = int((folder / "statm").read_text().split()[1])
    children = [child for each in folder.glob("task/*/children") for child in each.read_text().split()]
    return pages * os.sysconf("SC_PAGE_SIZE") + sum(map(_resident_bytes, children))


def test_a_message_of_ten_megabytes_costs_little_and_is_cut(reader, instance):
    """An event beyond the instance's limit is refused alone; one below keeps 10,000 characters."""
    before = resident_bytes(instance)
    big, below = exception(entry(unique(), "v" * 10 * MEGABYTE)), exception(entry(unique(), "x" * 600_000))
    reader.send(*[exception(entry(unique(), "w" * 4 * MEGABYTE)) for _ in range(2)], big, below)
    with pytest.raises(AssertionError, match="an event is too large"):
        reader.send(exception(entry(unique(), "w" * 10 * MEGABYTE)))
    [found] = reader.wait_for(1, distinct_id=below["distinct_id"])
    assert found["properties"]["$exception_list"][0]["value"] == "x" * 10_000 + "..."
    assert reader.events(distinct_id=big["distinct_id"]) == []
    assert resident_bytes(instance) - before < 400 * MEGABYTE


@pytest.mark.parametrize(
    "source_map",
    [
        {"mappings": "g" * 60_000 + "A", "sources": ["a"]}, {"mappings": "A" * 100_000, "sources": ["a"]},
        {"mappings": "AAAA", "sources": ["a"] * 100_000}, {"mappings": "AAAA", "sources": [{"x": 1}], "sourcesContent": [7]},
        {"mappings": ["AAAA"]}, {"sections": [{"offset": {"line": -1, "column": 2**70}, "map": {"mappings": ""}}]},
        {"mappings": "AAAA", "sources": ["a"], "names": "x" * MEGABYTE, "sourceRoot": 5},
        {"mappings": "DDDDD", "sources": [], "names": []},
    ],
    ids=["huge number", "one segment", "many sources", "odd sources", "list", "odd section", "odd names", "negative"],
)  # fmt: skip
def test_a_hostile_map_is_a_failure_or_an_answer_within_the_time(source_map, worker):
    """The worker answers the next question all the same."""
    blob = pack(SCRIPT, json.dumps({"version": 3, **source_map}).encode())
    answer = worker.find(uuid.uuid4().hex, [(1, 220), (2**31, 2**31), (0, 0)], lambda: blob)
    assert isinstance(answer, (str, list))


def test_maps_nested_without_end_and_scripts_of_braces_are_answered(worker):
    """Neither recursion nor a script that opens a hundred thousand functions ends the worker."""
    nested = '{"version":3,"sections":[{"offset":{"line":0,"column":0},"map":' * 5_000 + "{}" + "}]}" * 5_000
    assert "cannot be read" in worker.find("nested", [(1, 1)], lambda: pack(SCRIPT, nested.encode()))
    script = b"function a(){" * 20_000 + b"/" * 1_000 + b"`" + b"${" * 1_000
    plain = json.dumps({"version": 3, "sources": ["a"], "names": [], "mappings": "AAAA"}).encode()
    found = worker.find("braces", [(1, 200_000)], lambda: pack(script, plain))
    assert found[0]["source"] == "a"


@pytest.fixture(scope="module")
def worker():
    made = MapWorker(timeout_s=20)
    yield made
    made.close()


def test_paths_that_climb_are_names_in_frames_and_uploads(reader):
    """No file of the machine is read, whatever a frame, a chunk id or a map calls itself."""
    climbing = "../../../../../../etc/passwd"
    chunk = f"{climbing}/{uuid.uuid4()}"
    source_map = {"version": 3, "sources": [climbing, "/etc/passwd"], "names": [], "mappings": "AAAA"}
    set_id = upload(reader, chunk, pack(b"x" * 10, json.dumps(source_map).encode()))
    frames = [
        python_frame(filename=climbing, abs_path="/etc/passwd"),
        browser_frame(url=f"file://{climbing}", chunk_id=chunk, line=1, column=1),
    ]
    [found] = stored(reader, exception(entry(unique(), "v", frames), lib="web"))
    assert [each["source"] for each in found["$exception_list"][0]["stacktrace"]["frames"]] == [climbing] * 2
    for path in (f"/issue/{found['$exception_issue_id']}", "/issues/source-maps"):
        shown = reader.get(path, key=None)
        assert shown.status == 200
        assert b"root:" not in shown.data
    call(reader, "DELETE", f"symbol_sets/{quote(set_id, safe='')}/", status=204)


def test_html_in_every_property_is_text_on_every_page(reader):
    """Types, frames, variables, routes, browsers, people, sessions, releases, names and rules."""
    frame = python_frame(EVIL, EVIL, context_line=EVIL, pre_context=[EVIL], code_variables={EVIL: {EVIL: EVIL}})
    mark = uuid.uuid4().hex
    sent = [
        exception(
            entry(f"{EVIL}{mark}", EVIL, [frame], type=EVIL, source=EVIL), lib=EVIL, distinct_id=f"{EVIL}{mark}{number}", session_id=EVIL,
            release=EVIL, environment=EVIL, request_route=EVIL, pathname=EVIL, browser=EVIL, os=EVIL, current_url=f"javascript:{EVIL}",
            issue_name=f"{EVIL}{mark}", issue_description=EVIL, **{f"feature/{EVIL}": EVIL},
        )
        for number in range(4)
    ]  # fmt: skip
    found = stored(reader, *sent)
    issue = found[0]["$exception_issue_id"]
    call(
        reader,
        "PATCH",
        f"issues/{issue}/",
        {"assignee": {"type": "user", "id": EVIL}, "name": EVIL, "description": EVIL},
    )
    call(reader, "POST", f"issues/{issue}/comments/", {"content": EVIL}, status=201)
    for path in (
        f"/issue/{issue}", f"/issue/{issue}?event={sent[0]['uuid']}", f"/issues?search={quote(EVIL)}", f"/event/{sent[0]['uuid']}",
        f"/session/{quote(EVIL, safe='')}", f"/issues?status={quote(EVIL)}&order={quote(EVIL)}", f"/issues?period={quote(EVIL)}",
    ):  # fmt: skip
        shown = reader.get(path, key=None)
        assert shown.status in {200, 400}, path
        for part in (b"<script>alert", b"<img src=x", b'href="javascript:'):
            assert part not in shown.data, path
        assert "script-src 'self'" in shown.headers["Content-Security-Policy"]


FILTER = {"key": "\ud800", "value": ["\ud800", "\0"], "operator": "icontains"}
BODIES = [
    json.dumps({"query": {"kind": "ErrorTrackingQuery", "searchQuery": "\ud800 \0", "filterGroup": [FILTER]}}).encode(),
    json.dumps({"filters": {"type": "AND", "values": [FILTER]}, "content": "\ud800", "name": "\ud800"}).encode(),
    b"", b"[]", b"7", b'"text"', b"null", b"{", b"[" * 100_000, b'{"ids": {}, "status": [], "action": {}}',
    b'{"ids": ["\\u0000", "\\ud800"], "fingerprints": [[], {}, null], "assignee": [1], "status": "\\ud800", "action": "set_status"}',
    b'{"filters": {"type": "AND", "values": [{"key": {}, "operator": [], "value": {"a": 1}}]}, "orders": {"x": 1e999}, "content": 7}',
    json.dumps({"symbol_sets": [{"chunk_id": "x" * 5_000}], "content_hashes": {"\0": "\0"}, "raw_ids": ["%", "'", "\\"]}).encode(),
    json.dumps({"query": {"kind": "ErrorTrackingQuery", "dateRange": [1], "orderBy": {}}, "limit": 10**30, "offset": -1}).encode(),
    json.dumps({"dateRange": {"date_from": "9999-12-31T23:59:59", "date_to": "0001-01-01"}, "searchQuery": "%" * 900}).encode(),
    json.dumps({"hosts": ["[::1]"], "threshold": float(10**300), "version": "\0", "hash_id": "\ud800", "metadata": {"git": []}}).encode(),
]  # fmt: skip


def test_no_body_makes_any_call_of_error_tracking_fail(reader):
    """Each call answers below 500, with the error in PostHog's shape."""
    [found] = stored(reader, exception(entry(unique(), "v", [python_frame()])))
    issue, unknown = found["$exception_issue_id"], uuid.uuid4()
    calls = [
        ("PATCH", f"issues/{issue}/"), ("POST", f"issues/{issue}/merge/"), ("POST", f"issues/{issue}/split/"),
        ("PATCH", f"issues/{issue}/assign/"), ("POST", "issues/bulk/"), ("POST", f"issues/{issue}/comments/"),
        ("POST", "stack_frames/batch_get/"), ("POST", "query/issues_list/"), ("POST", "symbol_sets/bulk_start_upload/"),
        ("POST", "symbol_sets/bulk_finish_upload/"), ("POST", "releases/"), ("POST", "grouping_rules/"), ("PATCH", f"bypass_rules/{unknown}/"),
        ("PATCH", "grouping_rules/reorder/"), ("PATCH", "rate_limit_config/"), ("PATCH", "spike_detection_config/"),
        ("PATCH", "source_map_config/"),
    ]  # fmt: skip
    headers = {"Authorization": f"Bearer {reader.key}", "Content-Type": "application/json"}
    queries = [("POST", "../query/"), ("POST", "../query/ErrorTrackingQuery/")]
    failed = []
    for method, path in calls + queries:
        for body in BODIES:
            answer = reader.pool.request(method, f"{reader.url}{BASE}/{path}", body=body, headers=headers)
            if answer.status >= 500 or (answer.status >= 400 and not answer.json()["detail"]):
                failed.append((method, path, body[:60], answer.status, answer.data[:200]))
    assert not failed, failed
    for path in ("issues/%00/", "issues/values/?key=name&value=%00", "fingerprints/?issue_id=%ff", f"issues/{issue}/?fingerprint=%00",
                 "symbol_sets/?status=%00&limit=1", f"issues/{issue}/activity/?limit=-5", "releases/hash/%00/"):  # fmt: skip
        assert reader.get(f"{BASE}/{path}").status < 500, path
    for rule in call(reader, "GET", "grouping_rules/")["results"]:
        call(reader, "DELETE", f"grouping_rules/{rule['id']}/", status=204)
    call(reader, "PATCH", "spike_detection_config/", {"threshold": 500, "multiplier": 10})
    assert until(lambda: reader.get("/_ready", key=None).status == 200)
