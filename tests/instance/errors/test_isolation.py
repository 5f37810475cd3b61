"""A project's issues cannot be read or changed through another project."""

from tests.instance.errors.api import call
from tests.instance.errors.bodies import entry, exception, python_frame, stored, unique


def test_another_project_neither_sees_nor_changes_an_issue(reader):
    """Every path of the API answers as if the issue, its rule, its set and its frames did not exist."""
    kind = unique()
    [found] = stored(reader, exception(entry(kind, "v", [python_frame(f"fn_{kind}")])))
    issue, fingerprint = found["$exception_issue_id"], found["$exception_fingerprint"]
    wanted = {"type": "AND", "values": [{"key": "$exception_types", "value": "none"}]}
    rule = call(reader, "POST", "grouping_rules/", {"filters": wanted}, status=201)["id"]
    started = call(reader, "POST", "symbol_sets/bulk_start_upload", {"chunk_ids": [kind]}, status=201)
    chosen = started["id_map"][kind]["symbol_set_id"]
    other = call(reader, "POST", "projects/", {"name": "other"}, status=201, base="/api")["id"]
    base = f"/api/projects/{other}/error_tracking"

    for method, path, body in (
        ("GET", f"issues/{issue}/", None),
        ("PATCH", f"issues/{issue}/", {"status": "resolved"}),
        ("POST", f"issues/{issue}/merge", {"ids": []}),
        ("POST", f"issues/{issue}/split", {"fingerprints": [fingerprint]}),
        ("PATCH", f"issues/{issue}/assign", {"assignee": {"type": "user", "id": 1}}),
        ("POST", f"issues/{issue}/comments/", {"content": "x"}),
        ("GET", f"grouping_rules/{rule}/", None),
        ("PATCH", f"grouping_rules/{rule}/", {"filters": wanted}),
        ("DELETE", f"grouping_rules/{rule}/", None),
        ("DELETE", f"symbol_sets/{chosen}/", None),
    ):
        call(reader, method, path, body, status=404, base=base)
    call(reader, "POST", "issues/bulk", {"action": "set_status", "ids": [issue], "status": "resolved"}, base=base)
    hashes = {"content_hashes": {chosen: "x"}}
    assert (
        call(reader, "POST", "symbol_sets/bulk_finish_upload", hashes, status=400, base=base)["code"]
        == "file_not_found"
    )
    assert call(reader, "GET", "issues/", base=base)["results"] == []
    assert call(reader, "GET", f"issues/{issue}/activity/", base=base)["results"] == []
    assert call(reader, "GET", f"fingerprints/?issue_id={issue}", base=base)["results"] == []
    raw_id = found["$exception_list"][0]["stacktrace"]["frames"][0]["raw_id"]
    assert call(reader, "POST", "stack_frames/batch_get/", {"raw_ids": [raw_id]}, base=base)["results"] == []
    query = {"query": {"kind": "ErrorTrackingQuery", "volumeResolution": 1, "dateRange": {"date_from": "all"}}}
    assert call(reader, "POST", "query/", query, base=f"/api/projects/{other}")["results"] == []
    assert call(reader, "GET", f"issues/{issue}/")["status"] == "active"
    call(reader, "DELETE", f"grouping_rules/{rule}/", status=204)
