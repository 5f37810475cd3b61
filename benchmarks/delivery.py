"""CPU time of the whole process for each delivered event: capture, serialise, batch, compress,
send, read the response.
"""

import json
import logging
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import posthog as official

import hogline
from benchmarks.figures import Figure, print_figures
from benchmarks.sinks import sink_process

COUNT, ROUNDS = 10_000, 3
PROPERTIES = {f"property_{n}": f"value of property {n}" for n in range(8)} | {"total": 42, "currency": "EUR"}

_NODE = """
const { PostHog } = require('posthog-node');
const client = new PostHog('phc_x', { host: process.argv[1], flushAt: 100, maxQueueSize: 1e9 });
const properties = JSON.parse(process.argv[2]);
(async () => {
  for (let n = 0; n < 2000; n++) client.capture({ distinctId: 'u1', event: 'warm', properties });
  await client.flush();
  const begun = process.cpuUsage();
  const count = +process.argv[3];
  for (let n = 0; n < count; n += 100) {
    for (let k = 0; k < 100; k++) client.capture({ distinctId: 'u1', event: 'checkout', properties });
    await client.flush();
  }
  const used = process.cpuUsage(begun);
  console.log((used.user + used.system) / count);
  process.exit(0);
})();
"""


def cpu_us(make: Callable[[str], Any], url: str) -> float:
    """Return the CPU microseconds for each delivered event, in the best round."""
    best = float("inf")
    for _ in range(ROUNDS):
        client = make(url)
        client.capture("warm", distinct_id="u1")
        client.flush()
        begun = time.process_time()
        for _ in range(COUNT):
            client.capture("checkout", distinct_id="u1", properties=PROPERTIES)
        client.flush()
        best = min(best, time.process_time() - begun)
        client.shutdown()
    return best / COUNT * 1e6


def node_us(url: str) -> float | None:
    """Return posthog-node's figure, or None where Node.js or the package is not installed."""
    from tests.support.tools import NPM_VERSIONS, ROOT

    package = ROOT / ".cache" / "npm" / f"posthog-node-{NPM_VERSIONS['posthog-node']}"
    node = shutil.which("node")
    if node is None or not (package / "installed").exists():
        return None
    command = [node, "-e", _NODE, url, json.dumps(PROPERTIES), str(COUNT)]
    run = subprocess.run(command, cwd=package, capture_output=True, text=True, timeout=120, check=False)
    return float(run.stdout) if run.returncode == 0 else None


def main() -> None:
    logging.disable()
    with sink_process() as url:
        ours = cpu_us(lambda host: hogline.PostHog("phc_x", host=host, max_queue_size=10**6), url)
        with tempfile.TemporaryDirectory(dir=Path(__file__).parents[1]) as folder:
            spooled = cpu_us(lambda host: hogline.PostHog("phc_x", host=host, spool_dir=folder), url)
        v1 = cpu_us(lambda host: hogline.PostHog("phc_x", host=host, max_queue_size=10**6, capture_mode="v1"), url)
        peers = [
            (
                "posthog-python, gzip off",
                cpu_us(lambda host: official.Posthog("phc_x", host=host, max_queue_size=10**6), url),
            )
        ]
        peers.append(
            (
                "posthog-python, gzip on",
                cpu_us(lambda host: official.Posthog("phc_x", host=host, gzip=True, max_queue_size=10**6), url),
            )
        )
        node = node_us(url)
        if node is not None:
            peers.append(("posthog-node, gzip on", node))
    print_figures(
        [
            Figure("all CPU for each delivered event, gzip on", ours, "us/event", 20.0, tuple(peers)),
            Figure("the same, with a spool", spooled, "us/event", None, tuple(peers)),
            Figure("the same, by capture v1", v1, "us/event", None, tuple(peers)),
        ]
    )
    if node is None:
        print(
            "      posthog-node: not measured (no Node.js, or ./dev test has not installed the package)",
            file=sys.stderr,
        )


if __name__ == "__main__":
    main()
    os._exit(0)
