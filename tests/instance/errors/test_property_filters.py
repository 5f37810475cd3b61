"""Issues by the properties of their exceptions: every operator, and groups within groups."""

import uuid

import pytest

from hogline_instance.errors.property_filters.tree import OPERATORS
from tests.instance.errors.api import call, query, until
from tests.instance.errors.bodies import entry, exception, python_frame
from tests.instance.reader import Reader, dollars, event

# Three mistakes: A and B have the properties, C has none of them.
PROPERTIES = {
    "A": {"plan": "Pro", "seats": 5, "paid": True, "tags": ["red", "Blue"], "version": "1.2.3", "due": "2026-03-01T10:00:00Z",
          "score": "7.5", "empty": "", "nothing": None, "nested": {"deep": 1}},
    "B": {"plan": "free plan", "seats": 12, "paid": False, "tags": ["green"], "version": "v2.0.0-rc1", "due": "2026-03-02"},
    "C": {},
}  # fmt: skip


@pytest.fixture(scope="module")
def mark(instance):
    """Three issues whose names end with the mark."""
    reader, mark = Reader(instance.url, instance.token, instance.key), uuid.uuid4().hex[:8]
    for name, properties in PROPERTIES.items():
        sent = exception(
            entry(f"{name}{mark}", f"message of {name}", [python_frame(name)]),
            distinct_id=f"{name}-{mark}",
            release="9",
        )
        sent["properties"] |= properties
        if name == "B":
            reader.send(event("$set", distinct_id=f"B-{mark}", **{"$set": {"email": "b@shop.test"}}))
        reader.send(sent)
    until(lambda: len(query(reader, searchQuery=mark)["results"]) == 3)
    return mark


def names(reader, mark, group):
    rows = query(reader, searchQuery=mark, filterGroup=group, volumeResolution=0)["results"]
    return "".join(sorted(row["name"].removesuffix(mark) for row in rows))


def test_every_operator_selects_what_it_says(reader, mark):
    """What is not set passes the negative operators alone; a list passes when an element does."""
    table = [
        ("plan", "exact", "Pro", "A"), ("plan", "exact", ["Pro", "free plan"], "AB"), ("plan", "is_not", "Pro", "BC"),
        ("plan", "in", ["Pro"], "A"), ("plan", "not_in", ["Pro"], "BC"), ("seats", "exact", 5, "A"), ("paid", "exact", ["true"], "A"),
        ("paid", "exact", False, "B"), ("plan", "icontains", "PRO", "A"), ("plan", "not_icontains", "PRO", "BC"),
        ("plan", "icontains_multi", ["pro", "FREE"], "AB"), ("plan", "not_icontains_multi", ["pro", "FREE"], "C"),
        ("plan", "starts_with", "free", "B"), ("plan", "not_starts_with", "free", "AC"), ("plan", "ends_with", "PLAN", "B"),
        ("plan", "not_ends_with", "PLAN", "AC"), ("plan", "regex", "^P.o$", "A"), ("plan", "regex", ["x", "plan$"], "B"),
        ("plan", "not_regex", "^P", "BC"), ("plan", "is_set", None, "AB"), ("plan", "is_not_set", None, "C"),
        ("empty", "is_set", None, "A"), ("nothing", "is_set", None, ""), ("nested", "is_set", None, "A"),
        ("seats", "gt", 5, "B"), ("seats", "gte", "5", "AB"), ("seats", "lt", 12, "A"), ("seats", "lte", 12, "AB"),
        ("score", "min", 7.5, "A"), ("score", "max", 7, ""), ("plan", "gt", 1, ""), ("seats", "between", [5, 11], "A"),
        ("seats", "not_between", [5, 11], "BC"), ("due", "is_date_before", "2026-03-02", "A"), ("due", "is_date_after", "2026-03-01", "B"),
        ("due", "is_date_exact", "2026-03-01", "A"), ("due", "is_date_after", "-3000d", "AB"), ("plan", "is_date_before", "-1d", ""),
        ("version", "semver_eq", "1.2.3", "A"), ("version", "semver_neq", "1.2.3", "BC"), ("version", "semver_gt", "1.10", "B"),
        ("version", "semver_gte", "1.2.3", "AB"), ("version", "semver_lt", "2", "A"), ("version", "semver_lte", "2.0.0", "AB"),
        ("version", "semver_tilde", "1.2.0", "A"), ("version", "semver_caret", "1.0.0", "A"), ("version", "semver_wildcard", "2.*", "B"),
        ("tags", "exact", "Blue", "A"), ("tags", "icontains", "blue", "A"), ("tags", "is_not", "green", "AC"),
        ("$exception_types", "icontains", "a" + mark, "A"), ("$exception_values", "exact", "message of B", "B"),
        ("$exception_functions", "exact", ["C"], "C"), ("plan", None, "Pro", "A"),
    ]  # fmt: skip
    found = [
        names(reader, mark, [{"key": key, "operator": operator, "value": value}]) for key, operator, value, _ in table
    ]
    wrong = [(*row, got) for row, got in zip(table, found, strict=True) if got != row[3]]
    assert not wrong
    assert {row[1] for row in table} >= set(OPERATORS)


def test_groups_of_and_and_or_nest(reader, mark):
    """OR needs one of its parts, AND all of them; an empty group asks for nothing."""
    pro, free = {"key": "plan", "value": "Pro"}, {"key": "plan", "value": "free plan"}
    unset, paid = {"key": "plan", "operator": "is_not_set"}, {"key": "paid", "value": "true"}
    either = {"type": "OR", "values": [pro, free]}
    assert names(reader, mark, either) == "AB"
    assert names(reader, mark, {"type": "AND", "values": [either, paid]}) == "A"
    assert names(reader, mark, {"type": "OR", "values": [{"type": "AND", "values": [free, paid]}, unset]}) == "C"
    assert names(reader, mark, {"type": "AND", "values": [{"type": "AND", "values": []}]}) == "ABC"
    deep = {"type": "AND", "values": [{"type": "OR", "values": [{"type": "AND", "values": [either, paid]}, unset]}]}
    assert names(reader, mark, deep) == "AC"
    listed = call(reader, "POST", "query/issues_list/", {"searchQuery": mark, "filterGroup": deep})["results"]
    assert len(listed) == 2


def test_people_and_columns_of_the_event_are_filtered_too(reader, mark):
    """Types person and event_metadata; a person's properties are those of the moment of the event."""

    def of(kind, key, value, operator="exact"):
        return names(reader, mark, [{"type": kind, "key": key, "value": value, "operator": operator}])

    assert of("person", "email", "b@shop.test") == "B"
    assert of("person", "email", "b@shop.test", "is_not") == "AC"
    assert of("event_metadata", "distinct_id", f"c-{mark}", "icontains") == "C"
    assert of("event_metadata", "event", "$exception") == "ABC"
    assert of("event_metadata", "timestamp", "-1h", "is_date_after") == "ABC"
    [row] = reader.events(distinct_id=f"A-{mark}")
    assert of("event_metadata", "person_id", row["person_id"]) == "A"


def test_the_issue_of_an_exception_is_filtered_by_what_the_api_says_of_it(reader, mark):
    """Type error_tracking_issue: name, description, status, severity, assignee, first time."""

    def of(key, value, operator="exact"):
        return names(reader, mark, [{"type": "error_tracking_issue", "key": key, "value": value, "operator": operator}])

    rows = {row["name"][0]: row["id"] for row in query(reader, searchQuery=mark)["results"]}
    call(reader, "PATCH", f"issues/{rows['A']}/", {"severity": "high", "assignee": {"type": "user", "id": 7}})
    assert of("name", f"b{mark}", "icontains") == "B"
    assert of("name", f"B{mark}", "is_not") == "AC"
    assert of("issue_description", ["message of C", "message of A"]) == "AC"
    assert (of("status", "active"), of("status", "resolved")) == ("ABC", "")
    assert (of("severity", None, "is_set"), of("severity", "high")) == ("A", "A")
    assert [of("assignee", each) for each in (7, "7", {"type": "user", "id": 7}, 8)] == ["A", "A", "A", ""]
    assert of("assignee", None, "is_not_set") == "BC"
    assert (of("first_seen", "-1h", "is_date_after"), of("first_seen", "-1h", "is_date_before")) == ("ABC", "")
    call(reader, "PATCH", f"issues/{rows['A']}/", {"severity": None, "assignee": None})


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"type": "XOR", "values": []}, "AND or OR"), ([{"key": "a", "operator": "like"}], "operator must be one of"),
        ([{"key": ""}], "needs a key"), ([{"key": "1 = 1", "type": "hogql"}], "type 'hogql'"),
        ([{"key": "tag_name", "type": "element", "value": "a"}], "type 'element'"),
        ([{"key": "elements", "type": "event_metadata", "value": 1}], "key 'elements'"),
        ([{"key": "$channel_type", "type": "session", "value": "Direct"}], "the keys of type session are $session_duration"),
        ([{"key": "id", "type": "cohort", "value": 1_000_000}], "no cohort 1000000"),
        ([{"key": "id", "type": "cohort", "value": "x"}], "must be its id"), ([{"key": "id", "type": "cohort"}], "must be its id"),
        ([{"key": "id", "type": "cohort", "value": 2**31}], "must be its id"), ([{"key": "name", "type": "cohort", "value": 1}], "key 'name'"),
        ([{"key": "id", "type": "cohort", "value": 1, "operator": "gt"}], "in or not_in"),
        ([{"key": "volume", "type": "error_tracking_issue", "value": 1}], "the keys of type error_tracking_issue are name"),
        ([{"key": "plan", "type": "group", "value": "Pro"}], "from 0 to 4"),
        ([{"key": "plan", "type": "group", "value": "Pro", "group_type_index": 5}], "from 0 to 4"),
        ([{"key": "plan", "type": "group", "operator": "regex", "value": "(", "group_type_index": 0}], "cannot read a regular expression"),
        ([{"key": "a", "operator": "between", "value": [2, 1]}], "the smaller one first"),
        ([{"key": "a", "operator": "gt", "value": "many"}], "needs a number"),
        ([{"key": "a", "operator": "is_date_after", "value": "soon"}], "needs a date"),
        ([{"key": "a", "operator": "semver_gt", "value": "x"}], "needs a version"),
        ([{"key": "a", "operator": "regex", "value": "("}], "cannot read a regular expression"),
        ([{"key": str(n), "value": 1} for n in range(51)], "50 property filters"),
        ([{"key": "a", "value": list(range(101))}], "100 values"), ("text", "must hold groups"),
    ],
)  # fmt: skip
def test_a_filter_that_cannot_be_used_says_why(reader, given, reason):
    """The answer is 400, whatever the store would say."""
    body = {"query": {"kind": "ErrorTrackingQuery", "filterGroup": given}}
    refused = call(reader, "POST", "query", body, status=400, base="/api/projects/@current")
    assert refused["detail"].startswith("filterGroup: ")
    assert reason in refused["detail"]


@pytest.fixture(scope="module")
def neighbours(instance):
    """Two issues, of people in a cohort, a group and a session, and of somebody in none of them."""
    reader, mark = Reader(instance.url, instance.token, instance.key), uuid.uuid4().hex[:8]
    kind, key, session = "company", f"acme-{mark}", str(uuid.uuid4())
    base = "/api/projects/@current"
    page = dollars(session_id=session, current_url=f"https://shop.test/start?m={mark}", referring_domain="news.test")
    inside = exception(entry(f"In{mark}", frames=[python_frame("inside")]), distinct_id=f"in-{mark}")
    inside["properties"] |= {"$groups": {kind: key}, "$session_id": session}
    reader.send(
        event("$groupidentify", distinct_id=f"in-{mark}", **dollars(group_type=kind, group_key=key, group_set={"seats": 40, "plan": "Pro"})),
        event("$pageview", distinct_id=f"in-{mark}", after_s=-90, **page, utm_source="letter"),
        event("$pageview", distinct_id=f"in-{mark}", after_s=-30, **page | {"$current_url": "https://shop.test/cart"}),
        inside,
        exception(entry(f"Out{mark}", frames=[python_frame("outside")]), distinct_id=f"out-{mark}"),
    )  # fmt: skip
    until(lambda: len(query(reader, searchQuery=mark)["results"]) == 2)
    [index] = [
        each["group_type_index"]
        for each in call(reader, "GET", "groups_types/", base=base)
        if each["group_type"] == kind
    ]
    [person] = {each["person_id"] for each in reader.events(distinct_id=f"in-{mark}")}
    made = {"name": mark, "is_static": True, "_create_static_person_ids": [person]}
    cohort = call(reader, "POST", "cohorts/", made, status=201, base=base)["id"]
    return {"mark": mark, "index": index, "key": key, "cohort": cohort}


def test_cohorts_groups_and_sessions_select_exceptions(reader, neighbours):
    """What is in none of them passes the negative operators alone."""
    mark, index = neighbours["mark"], neighbours["index"]

    def of(kind, key, operator, value, **more):
        filters = [{"type": kind, "key": key, "operator": operator, "value": value, **more}]
        return names(reader, mark, filters)

    cohort, of_group = neighbours["cohort"], {"group_type_index": index}
    table = [
        ("cohort", "id", None, cohort, "In"), ("cohort", "id", "in", [str(cohort)], "In"), ("cohort", "id", "not_in", cohort, "Out"),
        ("group", "plan", "exact", "Pro", "In"), ("group", "plan", "is_not", "Pro", "Out"), ("group", "seats", "gt", 39, "In"),
        ("group", "seats", "gt", 40, ""), ("group", "plan", "is_set", None, "In"), ("group", "plan", "is_not_set", None, "Out"),
        ("group", "other", "is_not_set", None, "InOut"), ("group", "$group_key", "exact", neighbours["key"], "In"),
        ("session", "$session_duration", "gte", 90, "In"), ("session", "$session_duration", "gt", 9_000, ""),
        ("session", "$entry_pathname", "exact", "/start", "In"), ("session", "$end_pathname", "exact", "/cart", "In"),
        ("session", "$entry_current_url", "icontains", mark, "In"), ("session", "$entry_hostname", "exact", "shop.test", "In"),
        ("session", "$pageview_count", "exact", 2, "In"), ("session", "$autocapture_count", "exact", 0, "In"),
        ("session", "$entry_utm_source", "exact", "letter", "In"), ("session", "$entry_utm_term", "is_set", None, ""),
        ("session", "$entry_referring_domain", "is_not", "news.test", "Out"), ("session", "$start_timestamp", "is_date_after", "-1h", "In"),
    ]  # fmt: skip
    found = [of(*row[:4], **(of_group if row[0] == "group" else {})) for row in table]
    assert [(*row, got) for row, got in zip(table, found, strict=True) if got != row[4]] == []
    either = [
        {"type": "cohort", "key": "id", "value": cohort},
        {"type": "event_metadata", "key": "distinct_id", "value": f"out-{mark}"},
    ]
    assert names(reader, mark, {"type": "OR", "values": either}) == "InOut"


def test_a_query_names_a_group_as_the_page_of_a_group_does(reader, neighbours):
    """By groupKey and groupTypeIndex."""
    asked = {"searchQuery": neighbours["mark"], "groupTypeIndex": neighbours["index"]}
    assert [row["name"][:2] for row in query(reader, **asked, groupKey=neighbours["key"])["results"]] == ["In"]
    assert query(reader, **asked, groupKey="another")["results"] == []
    assert len(query(reader, **asked, groupKey="")["results"]) == 2


def test_test_accounts_are_left_out_when_the_query_asks_for_it(reader, neighbours):
    """By the project's own filters; both queries keep them."""
    mark, base, project = neighbours["mark"], "/api/projects/@current", "/api/projects"
    wanted = [{"type": "cohort", "key": "id", "operator": "not_in", "value": neighbours["cohort"]}]
    try:
        call(reader, "PATCH", "@current/", {"test_account_filters": wanted}, base=project)
        asked = {"searchQuery": mark, "filterTestAccounts": True}
        assert [row["name"] for row in query(reader, **asked)["results"]] == [f"Out{mark}"]
        listed = call(reader, "POST", "query/issues_list/", asked)["results"]
        assert [row["name"] for row in listed] == [f"Out{mark}"]
        assert len(query(reader, searchQuery=mark)["results"]) == 2
        both = query(reader, **asked, filterGroup=[{"key": "$lib", "value": "posthog-python"}])
        assert len(both["results"]) == 1
        call(reader, "PATCH", "@current/", {"test_account_filters": [{"type": "hogql", "key": "1 = 1"}]}, base=project)
        body = {"query": {"kind": "ErrorTrackingQuery", **asked}}
        assert "test_account_filters" in call(reader, "POST", "query/", body, status=400, base=base)["detail"]
    finally:
        call(reader, "PATCH", "@current/", {"test_account_filters": []}, base=project)


def test_hostile_keys_and_values_are_only_values(reader, mark):
    """Quotes, placeholders and control characters are bound."""
    for text in ("' OR 1=1 --", "{filter0:String}", "\\'; DROP TABLE events", "a\u0000b", "%s", "🐗" * 100):
        for operator in ("exact", "icontains", "starts_with"):
            assert names(reader, mark, [{"key": text, "operator": operator, "value": text}]) == ""
