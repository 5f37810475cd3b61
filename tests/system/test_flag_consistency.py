"""One flag gives one answer everywhere: the instance, Hogline and the official SDKs, evaluating
locally and remotely, agree on value and payload for every definition and person.

The suite compares a few definitions and people; the nightly run compares 200 with 1,000. Source:
docs/internals/flags-protocol.md#one-answer-everywhere.
"""

import json
import os
import random
import subprocess
from pathlib import Path

import posthog as official
import pytest

from hogline import PostHog
from tests.instance.flags.api import call, evaluate
from tests.instance.reader import Reader, event
from tests.support.browser import ASKS_LOOPBACK, open_browser
from tests.support.instances import start_instance
from tests.support.tools import npm_package, require

pytestmark = pytest.mark.timeout(3_600)
AT_ONCE = 25
PEOPLE = int(os.environ.get("HOGLINE_FLAG_PEOPLE", "25"))
DEFINITIONS = int(os.environ.get("HOGLINE_FLAG_DEFINITIONS", "50"))
FILTERS = [
    ("plan", "exact", "pro"), ("plan", "exact", ["free", "team"]), ("plan", "is_not", "pro"), ("email", "icontains", "@EXAMPLE"),
    ("email", "not_icontains", "test"), ("email", "regex", "^user-[0-9]*[05]@"), ("email", "not_regex", "7@"), ("age", "gt", "30"),
    ("age", "gte", "50"), ("age", "lt", "21"), ("age", "lte", "64"), ("staff", "exact", "true"), ("staff", "exact", ["false"]),
    ("plan", "is_set", "is_set"), ("joined", "is_date_before", "2025-06-01"), ("joined", "is_date_after", "2024-03-01T12:00:00Z"),
    ("app", "semver_gte", "1.5.0"), ("app", "semver_caret", "2.1.0"), ("app", "semver_tilde", "1.2.0"), ("app", "semver_lt", "2.0.0"),
    ("email", "starts_with", "user-1"), ("email", "ends_with", ".org"), ("email", "not_ends_with", ".com"),
]  # fmt: skip
GROUP_FILTERS = [("seats", "gte", "10"), ("region", "exact", ["eu", "us"]), ("$group_key", "icontains", "1")]
COHORT = {
    "type": "OR",
    "values": [
        {"type": "AND", "values": [{"type": "person", "key": "plan", "operator": "exact", "value": ["pro"]}]},
        {
            "type": "AND",
            "values": [{"type": "person", "key": "age", "operator": "lt", "value": "30", "negation": True}],
        },
    ],
}
# A flag's condition or fields, a person's properties, and the answers: of the instance and of every SDK
# that asks it, then of Hogline, posthog-python and posthog-node by themselves. None: undecided, so the
# SDK asks the instance.
EDGES = {
    "a property that is not sent": (("plan", "exact", "pro"), {}, (False, None, None, None)),
    "is_not_set, not sent": (("plan", "is_not_set", "is_not_set"), {}, (True, None, None, None)),
    "is_not_set, sent": (("plan", "is_not_set", "is_not_set"), {"plan": "pro"}, (False, False, False, False)),
    "null, is_set": (("plan", "is_set", "is_set"), {"plan": None}, (True, True, True, True)),
    "null, exact": (("plan", "exact", "pro"), {"plan": None}, (False, False, False, False)),
    "null, is_not": (("plan", "is_not", "pro"), {"plan": None}, (True, True, True, True)),
    "an integer, exact": (("age", "exact", "42"), {"age": 42}, (True, True, True, None)),
    "a float, exact": (("age", "exact", "1"), {"age": 1.0}, (False, False, False, None)),
    "a boolean, exact": (("staff", "exact", "true"), {"staff": True}, (True, True, True, True)),
    "neither true nor false, exact false": (("staff", "exact", "false"), {"staff": "yes"}, (True, True, True, True)),
    "a text, gt": (("age", "gt", "30"), {"age": "old"}, (False, False, False, True)),
    "a number, gt": (("age", "gt", "30"), {"age": 31}, (True, True, True, True)),
    "a boolean, gt": (("age", "gt", "0"), {"age": True}, (False, False, False, True)),
    "text beyond ASCII, regex": (("plan", "regex", "^pr."), {"plan": "prö"}, (True, True, True, None)),
    "case beyond ASCII, icontains": (("plan", "icontains", "É"), {"plan": "café"}, (False, False, False, False)),
    "seconds since 1970, is_date_after": (("joined", "is_date_after", "2020-01-01"), {"joined": 1_700_000_000}, (True, None, None, False)),
    "no date, is_date_before": (("joined", "is_date_before", "2020-01-01"), {"joined": "soon"}, (False, None, None, None)),
    "no version, semver_gt": (("app", "semver_gt", "1.0.0"), {"app": "latest"}, (False, None, None, None)),
    "a pre-release, semver_eq": (("app", "semver_eq", "1.2.0"), {"app": "v1.2.0-beta"}, (True, True, True, True)),
    "a list, icontains": (("plan", "icontains", "pro"), {"plan": ["pro"]}, (True, True, True, True)),
    "a static cohort": ({"cohort": "in"}, {}, (False, None, None, None)),
    "not in a static cohort": ({"cohort": "not_in"}, {}, (True, None, None, None)),
    "kept across the login": ({"ensure_experience_continuity": True}, {}, (True, None, None, None)),
    "bucketed by device, no device": ({"bucketing_identifier": "device_id"}, {}, (False, None, None, None)),
    "an early access feature": ({"filters": {"groups": [], "feature_enrollment": True}}, {}, (False, None, None, False)),
    "no group sent": ({"filters": {"aggregation_group_type_index": 0, "groups": [{"properties": [], "rollout_percentage": 100}]}}, {}, (False, False, False, False)),
    "a flag about groups that depends on one about people": ({"needs": True}, {"plan": "pro"}, (True, True, None, True)),
}  # fmt: skip
NODE = """
const { PostHog } = require('posthog-node')
const fs = require('fs')
const [host, token, key, input, output] = process.argv.slice(2)
async function main() {
  const { people, edges } = JSON.parse(fs.readFileSync(input))
  const local = new PostHog(token, { host, personalApiKey: key })
  const remote = new PostHog(token, { host })
  await local.reloadFeatureFlags()
  const found = { local: [], remote: [], edges: {} }
  for (const { id, person: personProperties, groups, group: groupProperties } of people) {
    const options = { personProperties, groups, groupProperties }
    found.local.push(await local.getAllFlagsAndPayloads(id, { ...options, onlyEvaluateLocally: true }))
    found.remote.push(await remote.getAllFlagsAndPayloads(id, options))
  }
  for (const [key, personProperties, groups] of edges) {
    const options = { personProperties, groups, onlyEvaluateLocally: true, sendFeatureFlagEvents: false }
    found.edges[key] = (await local.getFeatureFlag(key, 'ada', options)) ?? null
  }
  fs.writeFileSync(output, JSON.stringify(found))
  await local.shutdown(); await remote.shutdown()
}
main()
"""
PAGE = '<!doctype html><title>Shop</title><link rel="icon" href="data:,"><script src="/shop/array.js"></script>'
BROWSER = """
({ token, host, people }) => Promise.all(people.map((one) => new Promise((done) => {
  const client = posthog.init(token, {
    api_host: host, bootstrap: { distinctID: one.id, isIdentifiedID: true }, persistence: 'memory', persistence_name: one.id,
    advanced_disable_feature_flags_on_first_load: true, autocapture: false, capture_pageview: false,
    capture_exceptions: false, before_send: () => null, opt_out_useragent_filter: true,
  }, `person ${one.id}`)
  client.group('company', one.groups.company)
  client.setPersonPropertiesForFlags(one.person, false)
  client.setGroupPropertiesForFlags(one.group, false)
  client.onFeatureFlags((names, values, context) => {
    const payloads = Object.fromEntries(
      Object.keys(client.featureFlags.getFlagVariants()).map((key) => [key, client.getFeatureFlagPayload(key) ?? null]))
    done({ featureFlags: client.featureFlags.getFlagVariants(), featureFlagPayloads: payloads })
  })
  client.reloadFeatureFlags()
})))
"""


def definitions(cohort_id):
    """Return bodies of flags that use every operator, percentages, variants, payloads, cohorts,
    groups and sets.
    """
    chance = random.Random(4)
    for number in range(DEFINITIONS):
        is_group = number % 13 == 5
        pool, kind = (GROUP_FILTERS, "group") if is_group else (FILTERS, "person")
        groups = []
        for _ in range(chance.choice([1, 1, 2, 3])):
            wanted = [pool[(number + offset) % len(pool)] for offset in range(chance.choice([0, 1, 1, 2]))]
            groups.append(
                {
                    "properties": [
                        {"key": key, "operator": operator, "value": value, "type": kind}
                        | ({"group_type_index": 0} if is_group else {})
                        for key, operator, value in wanted
                    ],
                    "rollout_percentage": chance.choice([100, 100, 50, 33.3, 5, 0, None]),
                }
            )
        if number % 17 == 3 and not is_group:
            operator = "in" if number % 2 else "not_in"
            groups[0]["properties"].append({"type": "cohort", "key": "id", "operator": operator, "value": cohort_id})
        filters = {"groups": groups, "payloads": {"true": json.dumps({"flag": number})}}
        if is_group:
            filters["aggregation_group_type_index"] = 0
        if number % 3 == 0:
            variants = [("control", 34), ("test", 33), ("other", 33)]
            filters["multivariate"] = {
                "variants": [{"key": key, "rollout_percentage": share} for key, share in variants]
            }
            filters["payloads"] = {"test": json.dumps([number]), "other": '"x"'}
            if number % 2:
                groups[0]["variant"] = "test"
        if number % 7 == 0:
            filters["holdout"] = {"id": 3, "exclusion_percentage": 10}
        if number % 11 == 0:
            filters["early_exit"] = True
        yield {"key": f"consistent-{number}", "filters": filters}


def people():
    """Return distinct ids with properties of every kind that a filter reads, and a group each."""
    chance = random.Random(8)
    found = []
    for number in range(PEOPLE):
        person = {
            "plan": chance.choice(["free", "team", "pro", "Pro"]),
            "email": f"user-{number}@{chance.choice(['example.com', 'Example.org', 'test.org'])}",
            "age": str(chance.randrange(10, 90)),
            "staff": chance.choice(["true", "false"]),
            "joined": f"202{chance.randrange(3, 7)}-0{chance.randrange(1, 10)}-15",
            "app": f"{chance.randrange(1, 3)}.{chance.randrange(0, 8)}.{chance.randrange(0, 4)}",
        }
        company = {"seats": str(chance.randrange(1, 20)), "region": chance.choice(["eu", "us", "asia"])}
        found.append(
            {
                "id": chance.choice([f"user-{number}", f"Zoë {number}", f"{number}"]),
                "person": person,
                "groups": {"company": f"acme-{number % 7}"},
                "group": {"company": company},
            }
        )
    return found


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """An instance with the definitions, and its own answers for everybody."""
    instance = start_instance(tmp_path_factory.mktemp("flags") / "data")
    reader = Reader(instance.url, instance.token, instance.key)
    # A project's group types are made by events.
    reader.send(event(**{"$groups": {"company": "acme-0"}}))
    reader.wait_for(1)
    cohort = created(reader, "cohorts", {"name": "busy", "filters": {"properties": COHORT}})
    needed = None
    for body in definitions(cohort["id"]):
        if needed is not None and body["key"].endswith("9") and "aggregation_group_type_index" not in body["filters"]:
            depends = {"type": "flag", "key": str(needed), "operator": "flag_evaluates_to", "value": True}
            body["filters"]["groups"][0]["properties"].append(depends)
        made = created(reader, "feature_flags", body)["id"]
        needed = needed or made
    listed = created(reader, "cohorts", {"name": "listed", "is_static": True})
    for body in edge_definitions(listed["id"], needed):
        created(reader, "feature_flags", body)
    answers = [answer_of_the_instance(reader, one) for one in people()]
    # An agreement means something only if most flags split the people.
    split = [key for key in answers[0] if len({str(each[key]) for each in answers}) > 1]
    assert len(answers[0]) == DEFINITIONS < 2 * len(split)
    yield reader, answers
    assert instance.stop() == 0, "\n".join(instance.log)


def edge_definitions(cohort_id, flag_id):
    """Return the bodies of the flags of EDGES, in their order."""
    for number, (about, _, _) in enumerate(EDGES.values()):
        fields = dict(about) if isinstance(about, dict) else {}
        filters = []
        if operator := fields.pop("cohort", None):
            filters = [{"type": "cohort", "key": "id", "operator": operator, "value": cohort_id}]
        elif fields.pop("needs", False):
            filters = [{"type": "flag", "key": str(flag_id), "operator": "flag_evaluates_to", "value": True}]
            groups = [{"properties": filters, "rollout_percentage": 100}]
            fields = {"filters": {"groups": groups, "aggregation_group_type_index": 0}}
        elif isinstance(about, tuple):
            filters = [{"type": "person", **dict(zip(("key", "operator", "value"), about, strict=True))}]
        groups = [{"properties": filters, "rollout_percentage": 100}]
        yield {"key": f"edge-{number}", "filters": {"groups": groups}, **fields}


def created(reader, kind, body):
    """Create a flag or a cohort, and return its record."""
    status, record = call(reader, "POST", f"/api/projects/@current/{kind}/", body)
    assert status == 201, record
    return record


def answer_of_the_instance(reader, one):
    """Return {key: (value, payload)} of the instance's own `/flags/`."""
    answer = evaluate(
        reader, one["id"], person_properties=one["person"], groups=one["groups"], group_properties=one["group"],
        evaluation_runtime="server",
    )  # fmt: skip
    assert answer["errorsWhileComputingFlags"] is False
    return {
        key: (found["variant"] or found["enabled"], json.loads(found["metadata"]["payload"] or "null"))
        for key, found in answer["flags"].items()
        if key.startswith("consistent-")
    }


def people_at_the_edges():
    """Return the key of each flag of EDGES with the properties and groups of its person."""
    return [
        (f"edge-{number}", person, {"company": "acme-1"} if "needs" in about else {})
        for number, (about, person, _) in enumerate(EDGES.values())
    ]


def expected_at_the_edges(column):
    """Return {key: value} of one column of EDGES."""
    return {f"edge-{number}": answers[column] for number, (_, _, answers) in enumerate(EDGES.values())}


def differences(expected, found):
    """Return where two lists of answers differ, by person and flag."""
    return [
        (number, key, wanted[key], got.get(key))
        for number, (wanted, got) in enumerate(zip(expected, found, strict=True))
        for key in wanted
        if wanted[key] != got.get(key)
    ][:20]


def merged(answer):
    """Return {key: (value, payload)} of an SDK's flags and payloads."""
    flags, payloads = answer["featureFlags"], answer["featureFlagPayloads"]
    return {key: (value, decoded(payloads.get(key))) for key, value in flags.items()}


def decoded(payload):
    """Return a payload that an SDK may have decoded already, or not."""
    try:
        return json.loads(payload) if isinstance(payload, str) else payload
    except ValueError:
        return payload


def test_the_differences_are_documented():
    """The table of the documentation has these rows and no others."""
    words = {None: "asks", True: "on", False: "off"}
    page = (Path(__file__).parents[2] / "docs/internals/flags-protocol.md").read_text()
    table = page.partition("## One answer everywhere")[2].partition("\n## ")[0]
    rows = [
        [cell.strip(" `") for cell in line.strip("|").split("|")]
        for line in table.splitlines()
        if line.startswith("| ")
    ]
    expected = [[name, *(words[each] for each in answers)] for name, (_, _, answers) in EDGES.items()]
    assert [row[:5] for row in rows[1:]] == expected


def test_python_sdks_give_the_instances_answers(served):
    """Hogline and posthog-python; by themselves they differ only where the table says so."""
    reader, expected = served
    keys = {PostHog: {"personal_api_key": reader.key}, official.Posthog: {"secret_key": reader.key}}
    for column, make, is_local in (
        (1, PostHog, True),
        (0, PostHog, False),
        (2, official.Posthog, True),
        (0, official.Posthog, False),
    ):
        client = make(reader.token, host=reader.url, **(keys[make] if is_local else {}))
        try:
            if is_local:
                client.load_feature_flags()
            found = [
                merged(
                    client.get_all_flags_and_payloads(
                        one["id"], person_properties=one["person"], groups=one["groups"], group_properties=one["group"],
                        only_evaluate_locally=is_local,
                    )
                )
                for one in people()
            ]  # fmt: skip
            edges = {
                key: client.get_all_flags(
                    "ada", person_properties=person, groups=groups, only_evaluate_locally=is_local
                ).get(key)
                for key, person, groups in people_at_the_edges()
            }
        finally:
            client.shutdown()
        assert (make, is_local, differences(expected, found)) == (make, is_local, [])
        assert (make, is_local, edges) == (make, is_local, expected_at_the_edges(column))


@pytest.mark.needs_node
def test_posthog_node_gives_the_instances_answers(served, tmp_path):
    """Locally and remotely."""
    reader, expected = served
    script, given, output = tmp_path / "client.js", tmp_path / "people.json", tmp_path / "found.json"
    script.write_text(NODE)
    given.write_text(json.dumps({"people": people(), "edges": people_at_the_edges()}))
    subprocess.run(
        [require("node"), str(script), reader.url, reader.token, reader.key, str(given), str(output)],
        env={**os.environ, "NODE_PATH": str(npm_package("posthog-node").parent)}, check=True, timeout=1_800,
    )  # fmt: skip
    found = json.loads(output.read_text())
    for how in ("local", "remote"):
        assert (how, differences(expected, [merged(each) for each in found[how]])) == (how, [])
    assert found["edges"] == expected_at_the_edges(3)


@pytest.mark.needs_browser
@pytest.mark.needs_node
def test_posthog_js_gives_the_instances_answers(served):
    """In a real Chromium, with a client for each person."""
    reader, expected = served
    found = []
    with open_browser(ASKS_LOOPBACK) as context:
        page = context.new_page()
        page.route(f"{reader.url}/shop", lambda route: route.fulfill(content_type="text/html", body=PAGE))
        script = npm_package("posthog-js") / "dist" / "array.js"
        page.route(f"{reader.url}/shop/array.js", lambda route: route.fulfill(path=script))
        for start in range(0, PEOPLE, AT_ONCE):
            page.goto(f"{reader.url}/shop")
            chosen = people()[start : start + AT_ONCE]
            found += page.evaluate(BROWSER, {"token": reader.token, "host": reader.url, "people": chosen})
    assert differences(expected, [merged(each) for each in found]) == []
