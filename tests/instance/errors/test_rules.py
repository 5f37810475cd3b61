"""Rules and limits decide about exceptions as they come in."""

import json
import uuid
from contextlib import contextmanager

import pytest

from hogline_instance.errors.browser_rules import browser_rule
from hogline_instance.errors.rules import FilterError, Rule, RuleSet, check_filters, sampled_out
from tests.instance.errors.api import call, until
from tests.instance.errors.bodies import entry, exception, python_frame, stored, unique


def filters(key, value, operator="exact"):
    return {"type": "AND", "values": [{"key": key, "value": value, "operator": operator, "type": "event"}]}


@contextmanager
def rule(reader, kind, **body):
    """Make a rule for the time of a test."""
    made = call(reader, "POST", f"{kind}_rules/", body, status=201)
    yield made
    call(reader, "DELETE", f"{kind}_rules/{made['id']}/", status=204)


def dropped(reader, reason):
    return reader.get("/_ready", key=None).json()["not_kept"].get(reason, 0)


def test_a_grouping_rule_makes_one_issue_of_many_mistakes(reader):
    """Its fingerprint names the rule; a client's own fingerprint beats it."""
    kind = unique()
    with rule(reader, "grouping", filters=filters("$exception_types", kind)) as made:
        sent = [exception(entry(kind, "v", [python_frame(name)])) for name in ("a", "b")]
        own = exception(entry(kind, "v"), exception_fingerprint=f"own-{kind}")
        found = stored(reader, *sent, own)
    assert found[0]["$exception_fingerprint"] == f"custom-rule:{made['id']}" == found[1]["$exception_fingerprint"]
    assert found[0]["$exception_fingerprint_record"] == [{"type": "custom", "rule_id": made["id"]}]
    assert found[2]["$exception_fingerprint"] == f"own-{kind}"
    assert found[2]["$exception_proposed_fingerprint"] == f"custom-rule:{made['id']}"


def test_a_grouping_rule_assigns_the_issue_that_it_makes(reader):
    """Before any assignment rule; a rule without an assignee leaves that to them."""
    kind, wanted = unique(), {"type": "role", "id": "checkout"}
    with (
        rule(reader, "grouping", filters=filters("$exception_types", kind), assignee=wanted),
        rule(reader, "grouping", filters=filters("$exception_types", f"{kind}2")),
        rule(reader, "assignment", filters=filters("$exception_types", kind, "icontains"), assignee={"type": "user", "id": 9}),
    ):  # fmt: skip
        found = stored(reader, exception(entry(kind, "v")), exception(entry(f"{kind}2", "v")))
    issues = [call(reader, "GET", f"issues/{each['$exception_issue_id']}") for each in found]
    assert [each["assignee"] for each in issues] == [wanted, {"type": "user", "id": 9}]


def test_suppressed_exceptions_are_dropped_counted_and_told_to_posthog_js(reader):
    """A rule with a share drops only that share, and is not told to browsers."""
    kind, reason = unique(), "exceptions suppressed by a rule are dropped"
    with rule(reader, "suppression", filters=filters("$exception_values", f"bad {kind}", "icontains")) as made:
        before = dropped(reader, reason)
        muted, kept = exception(entry(kind, f"very BAD {kind}!")), exception(entry(kind, "good"))
        reader.send(muted, kept)
        assert reader.wait_for(1, distinct_id=kept["distinct_id"])
        until(lambda: dropped(reader, reason) == before + 1)
        assert reader.events(distinct_id=muted["distinct_id"]) == []
        config = until(lambda: (told := browser_config(reader)["errorTracking"])["suppressionRules"] and told)
        assert config["suppressionRules"] == [made["filters"]]
        for path in ("/flags/?v=2&config=true", "/decide/?v=3"):
            assert post(reader, path)["errorTracking"]["suppressionRules"] == [made["filters"]]
        assert "errorTracking" not in post(reader, "/flags/?v=2")
    with rule(reader, "suppression", filters=filters("$exception_types", kind), sampling_rate=0.5):
        sent = [exception(entry(kind, "v")) for _ in range(40)]
        expected = [each for each in sent if not sampled_out(each["uuid"], 0.5)]
        reader.send(*sent)
        until(lambda: dropped(reader, reason) == before + 1 + 40 - len(expected))
        assert 0 < len(expected) < 40
        for each in expected:
            reader.wait_for(1, distinct_id=each["distinct_id"])
    until(lambda: browser_config(reader)["errorTracking"]["suppressionRules"] == [])


def post(reader, path):
    """Return what the flags endpoints answer to a browser."""
    body = json.dumps({"token": reader.token, "distinct_id": "d"}).encode()
    return reader.pool.request("POST", reader.url + path, body=body).json()


def browser_config(reader):
    return reader.get(f"/array/{reader.token}/config", key=None).json()


def test_assignment_and_severity_rules_apply_to_new_issues(reader):
    """The first rule in order wins."""
    kind = unique()
    wanted = filters("$exception_functions", f"fn_{kind}")
    with (
        rule(reader, "assignment", filters=wanted, assignee={"type": "user", "id": 3}, order_key=1),
        rule(reader, "assignment", filters=wanted, assignee={"type": "role", "id": "r"}, order_key=2),
        rule(reader, "severity", filters=wanted, severity="high"),
    ):
        [found] = stored(reader, exception(entry(kind, "v", [python_frame(f"fn_{kind}")])))
    issue = call(reader, "GET", f"issues/{found['$exception_issue_id']}/")
    assert (issue["assignee"], issue["severity"]) == ({"type": "user", "id": 3}, "high")


def test_a_rate_limit_drops_what_exceeds_it(serve, tmp_path):
    """Two of five exceptions of an issue are kept; a bypass rule lets others through."""
    from tests.instance.reader import Reader

    served = serve(tmp_path / "data")
    reader = Reader(served.url, served.token, served.key)
    limits = {"per_issue_rate_limit_value": 2, "per_issue_rate_limit_bucket_size_minutes": 10_000}
    assert call(reader, "PATCH", "rate_limit_config/", limits)["per_issue_rate_limit_value"] == 2
    call(reader, "POST", "bypass_rules", {"filters": filters("$vip", "yes")}, status=201)
    kind = unique()
    for _ in range(5):
        reader.send(exception(entry(kind, "v", [python_frame()])))
    until(lambda: dropped(reader, "exceptions beyond a rate limit are dropped") == 3)
    reader.send(exception(entry(kind, "v", [python_frame()]), vip="yes"))
    assert len(reader.wait_for(3, event="$exception")) == 3
    # The limit of the project counts all issues; another size of the buckets begins a new one.
    limits = {
        "per_issue_rate_limit_value": None,
        "project_rate_limit_value": 1,
        "project_rate_limit_bucket_size_minutes": 9_999,
    }
    assert call(reader, "PATCH", "settings/", limits)["project_rate_limit_value"] == 1
    for _ in range(2):
        reader.send(exception(entry(unique(), "v", [python_frame()])))
    until(lambda: dropped(reader, "exceptions beyond a rate limit are dropped") == 4)
    call(reader, "PATCH", "rate_limit_config/", {"project_rate_limit_bucket_size_minutes": 1})
    reader.send(exception(entry(unique(), "v", [python_frame()])))
    assert len(reader.wait_for(5, event="$exception")) == 5


@pytest.mark.parametrize("kind", ["grouping", "suppression", "assignment", "severity", "bypass"])
def test_rules_are_made_changed_ordered_and_deleted(reader, kind):
    """The answers have PostHog's statuses."""
    more = {"assignment": {"assignee": {"type": "user", "id": 1}}, "severity": {"severity": "low"}}.get(kind, {})
    wanted = filters("$exception_types", f"Nothing{uuid.uuid4()}")
    one, two = (call(reader, "POST", f"{kind}_rules/", {"filters": wanted, **more}, status=201) for _ in range(2))
    assert one["order_key"] < two["order_key"]
    orders = {one["id"]: 9, two["id"]: 5}
    call(reader, "PATCH", f"{kind}_rules/reorder/", {"orders": orders}, status=204)
    listed = [each["id"] for each in call(reader, "GET", f"{kind}_rules/")["results"]]
    assert listed.index(two["id"]) < listed.index(one["id"])
    call(reader, "PATCH", f"{kind}_rules/{one['id']}/", {"filters": filters("x", "y")}, status=204)
    assert call(reader, "GET", f"{kind}_rules/{one['id']}")["filters"] == filters("x", "y")
    for each in (one, two):
        call(reader, "DELETE", f"{kind}_rules/{each['id']}/", status=204)
    call(reader, "GET", f"{kind}_rules/{one['id']}/", status=404)


@pytest.mark.parametrize(
    "broken",
    [
        7, {"type": "XOR", "values": []}, {"values": "x"}, {"values": [{"key": "a", "operator": "like", "value": "x"}]},
        {"values": [1]}, {"values": [{"key": "email", "type": "person", "value": "a@b.test"}]},
        {"type": "OR", "values": [{"type": "AND", "values": [{"key": "id", "type": "cohort", "value": 1}]}]},
    ],
)  # fmt: skip
def test_a_rule_that_can_never_work_is_refused(reader, broken):
    """The reason is in the answer."""
    with pytest.raises(FilterError):
        check_filters(broken)
    assert call(reader, "POST", "grouping_rules/", {"filters": broken}, status=400)["attr"] == "filters"


def test_negative_operators_ask_every_element():
    """A list without the value passes `is_not`; one with it does not. No filter matches nothing."""
    properties = {"$exception_types": ["A", "B"]}
    assert not Rule("1", "x", filters("$exception_types", "B", "is_not")).matches(properties)
    assert Rule("1", "x", filters("$exception_types", "C", "is_not")).matches(properties)
    assert Rule("1", "x", filters("$exception_types", "b", "icontains")).matches(properties)
    assert not Rule("1", "x", {"type": "AND", "values": []}).matches(properties)
    broken = RuleSet([Rule("1", "x", {"type": "?"}), Rule("2", "x", filters("$exception_types", "A"))])
    assert broken.first("x", properties).id == "2"
    assert set(broken.broken) == {"1"}


@pytest.mark.parametrize(
    ("operator", "value", "expected"),
    [
        ("icontains", ["x", "LOOP"], True), ("not_icontains", ["x", "LOOP"], False), ("not_icontains", ["x", "y"], True),
        ("regex", ["^x", "lo+p"], True), ("not_regex", ["^x", "lo+p"], False), ("starts_with", ["Resize"], True),
        ("not_icontains_multi", ["x", "loop"], False), ("icontains", [], False), ("not_icontains", [], True),
    ],
)  # fmt: skip
def test_a_list_of_values_passes_when_one_of_them_does(operator, value, expected):
    """With a negative operator, when none of them does."""
    rule = Rule("1", "x", filters("$exception_values", value, operator))
    assert rule.matches({"$exception_values": ["ResizeObserver loop", "other"]}) is expected


MESSAGE = {"key": "$exception_values", "value": "loop", "operator": "icontains"}
NAMED = {"key": "$exception_types", "value": ["A"]}
OTHER = {"key": "$browser", "value": "Chrome", "operator": "exact"}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"type": "AND", "values": [MESSAGE, NAMED]}, {"type": "AND", "values": [MESSAGE, NAMED | {"operator": "exact"}]}),
        ({"type": "AND", "values": []}, None), ({"type": "AND", "values": [MESSAGE, OTHER]}, None),
        ({"type": "OR", "values": [MESSAGE, OTHER]}, {"type": "OR", "values": [MESSAGE]}), ({"type": "OR", "values": [OTHER]}, None),
        ({"type": "AND", "values": [{"type": "OR", "values": [MESSAGE]}]}, None),
        ({"type": "AND", "values": [MESSAGE | {"operator": "is_not"}]}, None),
    ],
)  # fmt: skip
def test_a_browser_gets_only_rules_that_it_applies_as_the_instance_does(given, expected):
    """posthog-js knows types and messages alone, and takes an empty rule for one that matches all."""
    assert browser_rule(given) == expected


def test_spike_detection_has_the_documented_defaults_and_bounds(reader):
    """Threshold 500, multiplier 10, snooze 10 minutes; nonsense is refused."""
    assert call(reader, "GET", "spike_detection_config/") == {
        "threshold": 500, "multiplier": 10, "snooze_duration_minutes": 10,
    }  # fmt: skip
    assert call(reader, "PATCH", "spike_detection_config/", {"threshold": 0}, status=400)["attr"] == "threshold"
    call(reader, "PATCH", "spike_detection_config/", {"multiplier": 2.5})
    assert call(reader, "PATCH", "spike_detection_config/", {"multiplier": 10})["multiplier"] == 10
