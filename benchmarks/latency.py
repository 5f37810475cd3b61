"""Latency of single `capture()` calls, median and 99th percentile, on one thread and on eight,
while events are sent.
"""

import json
import logging
import os
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable
from typing import Any

import posthog as official
import sentry_sdk
from posthog import AsyncPosthog
from sentry_sdk.transport import Transport

import hogline
from benchmarks.figures import Figure, print_figures
from benchmarks.sinks import sink_process

COUNT = 8_000
PROPERTIES = {"total": 42, "currency": "EUR"}
ROOM = {"max_queue_size": 10**6}

_NODE = """
const { PostHog } = require('posthog-node');
const client = new PostHog('phc_x', { host: process.argv[1], maxQueueSize: 1e9 });
const properties = JSON.parse(process.argv[2]), count = +process.argv[3], took = [];
(async () => {
  for (let n = 0; n < 2 * count; n++) {
    const begun = process.hrtime.bigint();
    client.capture({ distinctId: 'u1', event: 'checkout', properties });
    took.push(Number(process.hrtime.bigint() - begun));
    if (n % 100 == 99) await new Promise(setImmediate);
  }
  const last = took.slice(count).sort((a, b) => a - b);
  console.log(JSON.stringify([last[count >> 1] / 1e3, last[Math.floor(count * 0.99)] / 1e3]));
  process.exit(0);
})();
"""


class Nowhere(Transport):
    def capture_envelope(self, envelope: Any) -> None:
        """Discard the envelope."""


def percentiles_us(call: Callable[[], object], threads: int) -> tuple[float, float]:
    """Return the median and the 99th percentile of single calls by *threads* that run at the
    same time.
    """
    took: list[list[int]] = [[] for _ in range(threads)]
    gate = threading.Barrier(threads)

    def work(own: list[int]) -> None:
        gate.wait()
        clock = time.perf_counter_ns
        for _ in range(COUNT // threads):
            begun = clock()
            call()
            own.append(clock() - begun)

    workers = [threading.Thread(target=work, args=(own,)) for own in took]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    ordered = sorted(value for own in took for value in own)
    return ordered[len(ordered) // 2] / 1e3, ordered[int(len(ordered) * 0.99)] / 1e3


def node_us(url: str) -> tuple[float, float] | None:
    """Return posthog-node's figures on its one thread, or None where Node.js or the package is
    not installed.
    """
    from tests.support.tools import NPM_VERSIONS, ROOT

    package = ROOT / ".cache" / "npm" / f"posthog-node-{NPM_VERSIONS['posthog-node']}"
    node = shutil.which("node")
    if node is None or not (package / "installed").exists():
        return None
    command = [node, "-e", _NODE, url, json.dumps(PROPERTIES), str(COUNT)]
    run = subprocess.run(command, cwd=package, capture_output=True, text=True, timeout=120, check=False)
    return tuple(json.loads(run.stdout)) if run.returncode == 0 else None


def main() -> None:
    logging.disable()
    sentry_sdk.init(dsn="http://x@127.0.0.1/1", transport=Nowhere, traces_sample_rate=0.0, default_integrations=False)
    with sink_process() as url, tempfile.TemporaryDirectory() as folder:
        spooling = hogline.PostHog("phc_x", host=url, spool_dir=folder, **ROOM)
        ours = hogline.PostHog("phc_x", host=url, **ROOM)
        sync = official.Posthog("phc_x", host=url, **ROOM)
        awaitable = AsyncPosthog("phc_x", host=url, **ROOM)
        calls: dict[str, Callable[[], object]] = {
            "hogline": lambda: ours.capture("checkout", distinct_id="u1", properties=PROPERTIES),
            "hogline, with a spool": lambda: spooling.capture("checkout", distinct_id="u1", properties=PROPERTIES),
            "posthog-python": lambda: sync.capture("checkout", distinct_id="u1", properties=PROPERTIES),
            "posthog-python, AsyncPosthog": lambda: awaitable.capture(
                "checkout", distinct_id="u1", properties=PROPERTIES
            ),
            "Sentry, capture_message()": lambda: sentry_sdk.capture_message("checkout"),
        }
        figures = []
        for threads in (1, 8):
            found = {name: percentiles_us(call, threads) for name, call in calls.items()}
            node = node_us(url) if threads == 1 else None
            if node is not None:
                found["posthog-node"] = node
            on = "one thread" if threads == 1 else f"{threads} threads"
            for place, which in enumerate(("half of the calls", "99 of 100 calls")):
                peers = tuple((name, value[place]) for name, value in found.items() if not name.startswith("hogline"))
                for name, kind in (("hogline", "capture()"), ("hogline, with a spool", "the same with spool_dir")):
                    figures.append(Figure(f"{kind}, {on}: {which} take at most", found[name][place], "us", None, peers))
    print_figures(figures)


if __name__ == "__main__":
    main()
    os._exit(0)
