"""Requests of the management API, for the fuzzer to mutate.

The ids stand for things that an instance may have: a mutation of a path that names nothing finds no
code behind it.
"""

import random
from collections.abc import Callable
from typing import Any

__all__ = ["ID", "PARAMETERS", "READ_PATHS", "WRITES"]

_PROJECT = "/api/projects/@current"
_ERRORS = f"{_PROJECT}/error_tracking"
ID = "018f0000-0000-7000-8000-000000000001"
"""Stands for the id of a person or an issue; the fuzzer puts one of the instance in its place."""

_EXACT = {"key": "email", "value": "ada", "operator": "icontains", "type": "person"}
_RULE = {
    "filters": {"type": "AND", "values": [{"key": "$exception_types", "value": ["Declined"], "operator": "exact", "type": "event"}]},
    "assignee": {"id": 1, "type": "user"}, "order_key": 0, "description": "x", "severity": "high", "sampling_rate": 0.5,
}  # fmt: skip
_QUERY = {
    "kind": "EventsQuery", "query": "SELECT 1", "select": ["*"], "after": "-1d", "before": "now", "limit": 10, "offset": 0, "issueId": ID,
    "dateRange": {"date_from": "-7d", "date_to": None}, "orderBy": "last_seen", "orderDirection": "DESC", "status": "all", "searchQuery": "x",
    "filterGroup": {"type": "AND", "values": [{"type": "AND", "values": [_EXACT]}]}, "volumeResolution": 10, "personId": ID, "properties": [_EXACT],
    "assignee": None, "filterTestAccounts": False, "withAggregations": True, "withFirstEvent": True, "breakdownProperties": ["$os"], "maxValuesPerProperty": 3,
}  # fmt: skip
_KINDS = (
    "EventsQuery", "HogQLQuery", "ActorsQuery", "PersonsNode", "GroupsQuery", "ErrorTrackingQuery", "ErrorTrackingBreakdownsQuery",
    "ErrorTrackingIssueCorrelationQuery", "ErrorTrackingSimilarIssuesQuery", "TrendsQuery",
)  # fmt: skip
_FLAG = {
    "name": "x", "active": True, "ensure_experience_continuity": False, "tags": ["a"], "version": 1, "rollout_percentage": 10,
    "filters": {
        "groups": [{"properties": [_EXACT, {"key": "1", "value": 1, "operator": "in", "type": "cohort"}], "rollout_percentage": 50, "variant": "a"}],
        "multivariate": {"variants": [{"key": "a", "rollout_percentage": 100}]}, "payloads": {"a": "1"}, "aggregation_group_type_index": 0,
    },
}  # fmt: skip
_BEHAVIOUR = {
    "type": "behavioral", "key": "$pageview", "value": "performed_event", "event_type": "events", "time_value": 30, "time_interval": "day",
}  # fmt: skip
_COHORT = {
    "name": "x", "is_static": False, "_create_static_person_ids": [ID],
    "filters": {"properties": {"type": "OR", "values": [{"type": "OR", "values": [{**_EXACT, "negation": False}, _BEHAVIOUR]}]}},
}  # fmt: skip
_ALERT = {
    "name": "x", "type": "webhook", "channel": "webhook", "trigger": "issue_created", "url": "https://alerts.example/x", "enabled": True,
    "filters": {"properties": []},
}  # fmt: skip
_PROJECT_SETTINGS = {
    "name": "x", "timezone": "Europe/Berlin", "app_urls": ["http://a.example"], "anonymize_ips": True, "person_display_name_properties": ["email"],
    "test_account_filters": [_EXACT],
}  # fmt: skip

READ_PATHS = (
    *(f"{_PROJECT}/{path}" for path in (
        "persons/", "persons/{}", "persons/values", "groups", "groups/find", "groups/property_definitions", "groups/property_values", "groups_types",
        "sessions/{}", "cohorts/", "cohorts/{}", "cohorts/{}/persons", "feature_flags/", "feature_flags/{}", "feature_flags/{}/activity",
        "feature_flags/{}/status", "feature_flags/{}/remote_config", "feature_flags/local_evaluation", "event_definitions", "property_definitions",
    )),
    *(f"{_ERRORS}/{path}" for path in (
        "issues", "issues/{}", "issues/values", "issues/{}/activity", "fingerprints", "grouping_rules", "alerts", "alerts/{}", "alerts/deliveries",
        "symbol_sets", "releases", "releases/hash/{}",
    )),
    "/api/projects/{}", "/api/organizations/{}", "/people", "/person/{}", "/groups", "/cohorts", "/cohorts/{}", "/flags", "/flags/{}", "/issues", "/issues/{}",
    "/alerts", "/alerts/{}", "/projects", "/projects/{}", "/definitions",
)  # fmt: skip
PARAMETERS = (
    "search", "limit", "offset", "cursor", "before", "after", "date_from", "date_to", "properties", "distinct_id", "cohort", "key", "group_type_index",
    "group_key", "value", "order_by", "status", "library", "release", "fingerprint", "issue_id", "type", "active", "page", "session", "person", "range",
)  # fmt: skip

WRITES: tuple[tuple[str, str, Callable[[random.Random], Any]], ...] = (
    ("POST", f"{_PROJECT}/query", lambda pick: {"query": {**_QUERY, "kind": pick.choice(_KINDS)}, "refresh": "blocking"}),
    ("POST", f"{_ERRORS}/query/issues_list", lambda _: _QUERY),
    ("POST", f"{_PROJECT}/persons/{ID}/update_property", lambda _: {"key": "a", "value": 1}),
    ("POST", f"{_PROJECT}/persons/{ID}/delete_property", lambda _: {"$unset": "a"}),
    ("POST", f"{_PROJECT}/persons/{ID}/split", lambda _: {"main_distinct_id": "a"}),
    ("POST", f"{_PROJECT}/persons/bulk_delete", lambda _: {"ids": [ID], "distinct_ids": ["a"], "delete_events": False}),
    ("PATCH", f"{_PROJECT}/persons/{ID}", lambda _: {"properties": {"a": 1}}),
    ("POST", f"{_PROJECT}/groups", lambda _: {"group_type_index": 0, "group_key": "acme", "group_properties": {"a": 1}}),
    ("POST", f"{_PROJECT}/groups/update_property?group_type_index=0&group_key=acme", lambda _: {"key": "a", "value": 1}),
    ("PATCH", f"{_PROJECT}/groups_types/update_metadata", lambda _: [{"group_type_index": 0, "name_singular": "x", "name_plural": "y"}]),
    ("POST", f"{_ERRORS}/issues/bulk", lambda _: {"ids": [ID], "action": "set_status", "status": "resolved", "assignee": {"id": 1, "type": "user"}}),
    ("PATCH", f"{_ERRORS}/issues/{ID}", lambda _: {"status": "resolved", "name": "x", "description": "y", "severity": "high"}),
    ("POST", f"{_ERRORS}/issues/{ID}/merge", lambda _: {"ids": [ID]}),
    ("POST", f"{_ERRORS}/issues/{ID}/split", lambda _: {"fingerprints": [{"fingerprint": "a"}]}),
    ("PATCH", f"{_ERRORS}/issues/{ID}/assign", lambda _: {"assignee": {"id": 1, "type": "user"}}),
    ("POST", f"{_ERRORS}/issues/{ID}/comments", lambda _: {"content": "x"}),
    ("POST", f"{_ERRORS}/stack_frames/batch_get", lambda _: {"raw_ids": ["a/0"], "symbol_set": ID}),
    *(("POST", f"{_ERRORS}/{kind}_rules", lambda _: _RULE) for kind in ("grouping", "suppression", "assignment", "severity", "bypass")),
    *(("PATCH", f"{_ERRORS}/{kind}_rules/reorder", lambda _: {"orders": {ID: 1}}) for kind in ("grouping", "suppression")),
    ("PATCH", f"{_ERRORS}/rate_limit_config", lambda _: {"project_rate_limit_value": 5, "project_rate_limit_bucket_size_minutes": 5}),
    ("PATCH", f"{_ERRORS}/spike_detection_config", lambda _: {"snooze_duration_minutes": 5, "multiplier": 2, "threshold": 10}),
    ("PATCH", f"{_ERRORS}/source_map_config", lambda _: {"hosts": ["a.example"]}),
    ("POST", f"{_ERRORS}/alerts", lambda _: _ALERT),
    ("POST", "/api/projects", lambda _: _PROJECT_SETTINGS),
    ("PATCH", _PROJECT, lambda _: _PROJECT_SETTINGS),
    ("POST", f"{_ERRORS}/symbol_sets/bulk_start_upload", lambda _: {"symbol_sets": [{"chunk_id": "a", "release_id": ID, "content_hash": "h"}], "force": False}),
    ("POST", f"{_ERRORS}/symbol_sets/bulk_finish_upload", lambda _: {"content_hashes": {ID: "h"}}),
    ("POST", f"{_ERRORS}/releases", lambda _: {"hash_id": "a", "version": "1", "project": "p", "metadata": {"git": {"commit_id": "x"}}}),
    ("POST", f"{_PROJECT}/feature_flags/", lambda pick: {**_FLAG, "key": f"k{pick.randrange(10**9)}"}),
    ("PATCH", f"{_PROJECT}/feature_flags/1", lambda _: _FLAG),
    ("POST", f"{_PROJECT}/feature_flags/user_blast_radius", lambda _: {"condition": {"properties": [_EXACT]}, "group_type_index": None}),
    ("POST", f"{_PROJECT}/cohorts/", lambda _: _COHORT),
    ("PATCH", f"{_PROJECT}/cohorts/1", lambda _: _COHORT),
    ("PATCH", f"{_PROJECT}/cohorts/1/add_persons_to_static_cohort", lambda _: {"person_ids": [ID]}),
    ("PATCH", f"{_PROJECT}/event_definitions/x", lambda _: {"description": "a", "verified": True, "hidden": False, "tags": ["a"]}),
)  # fmt: skip
