"""Seconds from `capture()` until the event is on an instance's live stream, through journal and
store.

The SDK flushes at once; its usual wait for a full batch is not included.
"""

import json
import tempfile
import threading
import time
import uuid
from pathlib import Path

import urllib3

import hogline
from benchmarks.figures import Figure, print_figures
from tests.support.instances import start_instance

TRIES = 15


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        served = start_instance(Path(folder) / "data")
        client = hogline.PostHog(served.token, host=served.url)
        seen: dict[str, float] = {}
        listening = threading.Event()

        def listen() -> None:
            stream = urllib3.PoolManager().request(
                "GET", f"{served.url}/api/projects/@current/live",
                headers={"Authorization": f"Bearer {served.key}"}, preload_content=False,
            )  # fmt: skip
            listening.set()
            for line in stream:
                if line.startswith(b"data: ["):
                    for event in json.loads(line[6:]):
                        seen[event["event"]] = time.perf_counter()

        threading.Thread(target=listen, daemon=True).start()
        listening.wait(30)
        waits = []
        for _ in range(TRIES):
            name = f"e-{uuid.uuid4()}"
            begun = time.perf_counter()
            client.capture(name, distinct_id="u")
            client.flush()
            while name not in seen and time.perf_counter() - begun < 10:
                time.sleep(0.002)
            waits.append(seen[name] - begun)
        client.shutdown()
        served.stop()
    waits.sort()
    print_figures(
        [
            Figure("first event visible after capture(), median", waits[len(waits) // 2], "s", 1.0),
            Figure("the same, slowest", waits[-1], "s", 1.0),
        ]
    )


if __name__ == "__main__":
    main()
