"""The official posthog-node as a client of the instance: every event arrives, with its properties
unchanged.
"""

import json
import os
import subprocess
import uuid

import pytest

from tests.instance.reader import Reader
from tests.support.instances import start_instance
from tests.support.tools import npm_package, require

pytestmark = [pytest.mark.needs_node, pytest.mark.timeout(400)]
EVENTS = 250
CLIENT = """
const { PostHog } = require('posthog-node')
const [host, token, key, name, count] = process.argv.slice(2)
const errors = []

async function main() {
  const client = new PostHog(token, { host, personalApiKey: key, flushAt: 20, flushInterval: 200 })
  client.on('error', (error) => errors.push(String(error)))
  for (let number = 0; number < Number(count); number++) {
    client.capture({
      event: name, distinctId: `user-${number % 7}`,
      properties: { number, text: 'é \\u2028 </script> 😀', nested: { list: [1, 2.5, null, true] }, $session_id: 's-1' },
    })
  }
  client.identify({ distinctId: 'user-1', properties: { plan: 'pro' } })
  client.captureException(new Error('broken'), 'user-1', { name })
  const flags = await client.getAllFlags('user-1')
  const enabled = await client.isFeatureEnabled('no-such-flag', 'user-1')
  await client.shutdown()
  console.log(JSON.stringify({ flags, enabled: enabled === undefined ? null : enabled, errors }))
}
main()
"""


@pytest.fixture(scope="module")
def reader(tmp_path_factory):
    served = start_instance(tmp_path_factory.mktemp("node") / "data")
    yield Reader(served.url, served.token, served.key)
    assert served.stop() == 0, "\n".join(served.log)


@pytest.mark.parametrize("mode", ["v0", "v1"])
def test_posthog_nodes_events_arrive_with_their_properties_unchanged(reader, tmp_path, mode):
    """By the usual endpoint and by capture v1; flags and definitions answered without an error."""
    name = f"node-{uuid.uuid4()}"
    script = tmp_path / "client.js"
    script.write_text(CLIENT)
    modules = npm_package("posthog-node").parent
    run = subprocess.run(
        [require("node"), str(script), reader.url, reader.token, reader.key, name, str(EVENTS)],
        env={**os.environ, "NODE_PATH": str(modules), "POSTHOG_CAPTURE_MODE": mode},
        capture_output=True, text=True, timeout=90, check=False,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    said = json.loads(run.stdout.splitlines()[-1])
    assert said["errors"] == []
    assert said["flags"] == {}
    assert said["enabled"] in (None, False)
    found = sorted(reader.wait_for(EVENTS, event=name), key=lambda one: one["properties"]["number"])
    assert [one["properties"]["number"] for one in found] == list(range(EVENTS))
    for one in found:
        assert one["distinct_id"] == f"user-{one['properties']['number'] % 7}"
        assert one["properties"]["text"] == "é \u2028 </script> 😀"
        assert one["properties"]["nested"] == {"list": [1, 2.5, None, True]}
        assert one["properties"]["$lib"] == "posthog-node"
        assert one["properties"]["$session_id"] == "s-1"
    [raised] = [one for one in reader.wait_for(1, event="$exception") if one["properties"].get("name") == name]
    assert raised["properties"]["$exception_list"][0]["value"] == "broken"
