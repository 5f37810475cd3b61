"""Memory and idle CPU that a client costs a worker. Each client is measured in its own process."""

import json
import os
import subprocess
import sys

from benchmarks.figures import Figure, print_figures
from benchmarks.sinks import sink_process

IDLE_S = 5.0
EVENTS = 20_000

# Each process prints the memory that the client added, the CPU time of an idle second, and the
# memory of a queued event.
_PROGRAM = """
import gc, json, logging, os, sys, time
import psutil
logging.disable()
kind, url, idle_s, events = sys.argv[1], sys.argv[2], float(sys.argv[3]), int(sys.argv[4])
def memory(): gc.collect(); return psutil.Process().memory_full_info().uss
before = memory()
properties = {f"property_{n}": f"value of property {n}" for n in range(8)}
def make(host, **more):
    if kind == "hogline":
        import hogline
        return hogline.PostHog("phc_x", host=host, max_queue_size=10**6, **more)
    import posthog
    return posthog.Posthog("phc_x", host=host, max_queue_size=10**6, **more)
client = make(url)
for n in range(1000): client.capture("checkout", distinct_id=f"u{n}", properties=properties)
client.flush()
working = memory() - before
begun = time.process_time(); time.sleep(idle_s); idle = (time.process_time() - begun) / idle_s
waiting = make("http://127.0.0.1:9", flush_at=10**8, flush_interval=10_000.0)
base = memory()
for n in range(events): waiting.capture("checkout", distinct_id=f"u{n}", properties=properties)
print(json.dumps([working / 2**20, idle * 1e6, (memory() - base) / events]), flush=True)
os._exit(0)
"""


def measure(kind: str, url: str) -> list[float]:
    command = [sys.executable, "-c", _PROGRAM, kind, url, str(IDLE_S), str(EVENTS)]
    run = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, timeout=120)
    found: list[float] = json.loads(run.stdout)
    return found


def main() -> None:
    with sink_process() as url:
        ours, theirs = measure("hogline", url), measure("posthog", url)
    names = (
        ("memory of a worker with a client that has sent 1000 events", "MiB"),
        ("CPU of a client that has nothing to do, each second", "us"),
        ("memory of an event that waits", "bytes"),
    )
    print_figures(
        [
            Figure(name, own, unit, None, (("posthog-python", other),))
            for (name, unit), own, other in zip(names, ours, theirs, strict=True)
        ]
    )


if __name__ == "__main__":
    main()
    os._exit(0)
