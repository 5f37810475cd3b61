"""One flag gives one answer everywhere: the instance, Hogline and the official SDKs, evaluating
locally and remotely, agree on value and payload for every definition and person.
"""

import json
import os
import random
import subprocess

import posthog as official
import pytest
import urllib3

from hogline import PostHog
from tests.support.instances import start_instance
from tests.support.tools import npm_package, require

pytestmark = pytest.mark.timeout(900)
PEOPLE = int(os.environ.get("FLAG_PEOPLE", "1000"))
DEFINITIONS = 200
POOL = urllib3.PoolManager(maxsize=4, retries=False)
FILTERS = [
    ("plan", "exact", "pro"), ("plan", "exact", ["free", "team"]), ("plan", "is_not", "pro"), ("email", "icontains", "@EXAMPLE"),
    ("email", "not_icontains", "test"), ("email", "regex", "^user-[0-9]*[05]@"), ("email", "not_regex", "7@"), ("age", "gt", "30"),
    ("age", "gte", "50"), ("age", "lt", "21"), ("age", "lte", "64"), ("staff", "exact", "true"), ("staff", "exact", ["false"]),
    ("plan", "is_set", "is_set"), ("joined", "is_date_before", "2025-06-01"), ("joined", "is_date_after", "2024-03-01T12:00:00Z"),
    ("app", "semver_gte", "1.5.0"), ("app", "semver_caret", "2.1.0"), ("app", "semver_tilde", "1.2.0"), ("app", "semver_lt", "2.0.0"),
    ("email", "starts_with", "user-1"), ("email", "ends_with", ".org"), ("email", "not_ends_with", ".com"),
]  # fmt: skip
NODE = """
const { PostHog } = require('posthog-node')
const fs = require('fs')
const [host, token, key, input, output] = process.argv.slice(2)
async function main() {
  const people = JSON.parse(fs.readFileSync(input))
  const local = new PostHog(token, { host, personalApiKey: key })
  const remote = new PostHog(token, { host })
  await local.reloadFeatureFlags()
  const found = { local: [], remote: [] }
  for (const [id, personProperties] of people) {
    found.local.push(await local.getAllFlagsAndPayloads(id, { personProperties, onlyEvaluateLocally: true }))
    found.remote.push(await remote.getAllFlagsAndPayloads(id, { personProperties }))
  }
  fs.writeFileSync(output, JSON.stringify(found))
  await local.shutdown(); await remote.shutdown()
}
main()
"""


def definitions():
    """Return bodies of flags that use every operator, percentages, variants, payloads and sets."""
    chance = random.Random(4)
    for number in range(DEFINITIONS):
        groups = []
        for _ in range(chance.choice([1, 1, 2, 3])):
            wanted = [FILTERS[(number + offset) % len(FILTERS)] for offset in range(chance.choice([0, 1, 1, 2]))]
            groups.append(
                {
                    "properties": [
                        {"key": key, "operator": operator, "value": value, "type": "person"}
                        for key, operator, value in wanted
                    ],
                    "rollout_percentage": chance.choice([100, 100, 50, 33.3, 5, 0, None]),
                }
            )
        filters = {"groups": groups, "payloads": {"true": json.dumps({"flag": number})}}
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
    """Return distinct ids with properties, of every kind that a filter reads."""
    chance = random.Random(8)
    return [
        (
            f"user-{number}",
            {
                "plan": chance.choice(["free", "team", "pro", "Pro"]),
                "email": f"user-{number}@{chance.choice(['example.com', 'Example.org', 'test.org'])}",
                "age": str(chance.randrange(10, 90)),
                "staff": chance.choice(["true", "false"]),
                "joined": f"202{chance.randrange(3, 7)}-0{chance.randrange(1, 10)}-15",
                "app": f"{chance.randrange(1, 3)}.{chance.randrange(0, 8)}.{chance.randrange(0, 4)}",
            },
        )
        for number in range(PEOPLE)
    ]


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """An instance with the definitions, and its own answers for everybody."""
    instance = start_instance(tmp_path_factory.mktemp("flags") / "data")
    headers = {"Authorization": f"Bearer {instance.key}", "Content-Type": "application/json"}
    needed = None
    for body in definitions():
        if needed is not None and body["key"].endswith("9"):
            depends = {"type": "flag", "key": str(needed), "operator": "flag_evaluates_to", "value": True}
            body["filters"]["groups"][0]["properties"].append(depends)
        answer = POOL.request(
            "POST",
            f"{instance.url}/api/projects/@current/feature_flags/",
            body=json.dumps(body).encode(),
            headers=headers,
        )
        assert answer.status == 201, answer.data
        needed = needed or answer.json()["id"]
    yield instance, [asked(instance, *person) for person in people()]
    assert instance.stop() == 0, "\n".join(instance.log)


def asked(instance, distinct_id, properties):
    """Return {key: (value, payload)} of the instance's own `/flags/`."""
    body = {
        "token": instance.token,
        "distinct_id": distinct_id,
        "person_properties": properties,
        "evaluation_runtime": "server",
    }
    answer = POOL.request("POST", f"{instance.url}/flags/?v=2", body=json.dumps(body).encode()).json()
    assert answer["errorsWhileComputingFlags"] is False
    return {
        key: (found["variant"] or found["enabled"], json.loads(found["metadata"]["payload"] or "null"))
        for key, found in answer["flags"].items()
    }


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


@pytest.mark.parametrize("is_local", [True, False], ids=["local", "remote"])
@pytest.mark.parametrize("make", [PostHog, official.Posthog], ids=["hogline", "posthog-python"])
def test_python_sdks_give_the_instances_answers(served, make, is_local):
    """Hogline and posthog-python."""
    instance, expected = served
    key = {"secret_key" if make is official.Posthog else "personal_api_key": instance.key}
    client = make(instance.token, host=instance.url, **(key if is_local else {}))
    try:
        if is_local:
            client.load_feature_flags()
        found = [
            merged(
                client.get_all_flags_and_payloads(
                    distinct_id, person_properties=properties, only_evaluate_locally=is_local
                )
            )
            for distinct_id, properties in people()
        ]
    finally:
        client.shutdown()
    assert differences(expected, found) == []


@pytest.mark.needs_node
def test_posthog_node_gives_the_instances_answers(served, tmp_path):
    """Locally and remotely."""
    instance, expected = served
    script, given, output = tmp_path / "client.js", tmp_path / "people.json", tmp_path / "found.json"
    script.write_text(NODE)
    given.write_text(json.dumps(people()))
    subprocess.run(
        [require("node"), str(script), instance.url, instance.token, instance.key, str(given), str(output)],
        env={**os.environ, "NODE_PATH": str(npm_package("posthog-node").parent)}, check=True, timeout=600,
    )  # fmt: skip
    found = json.loads(output.read_text())
    for how in ("local", "remote"):
        assert (how, differences(expected, [merged(each) for each in found[how]])) == (how, [])
