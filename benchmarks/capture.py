"""`capture()` outside a request: microseconds on the caller's thread, while nothing is sent.

With a spool, the event is written (but not synced) to disk when the call returns. The folder is on
the machine's disk, not in a memory file system.
"""

import logging
import os
import tempfile
from pathlib import Path

import posthog as official

import hogline
from benchmarks.figures import Figure, best_us, print_figures
from benchmarks.sinks import NOWHERE

ROOT = Path(__file__).parents[1]
COUNT = 5000
PROPERTIES = {"total": 42, "currency": "EUR"}


def ours(**options: object) -> float:
    client = hogline.PostHog(
        "phc_x",
        host=NOWHERE,
        max_queue_size=10**9,
        max_queue_bytes=10**12,
        flush_at=10**8,
        flush_interval=10_000.0,
        **options,
    )

    def work(count: int) -> None:
        for _ in range(count):
            client.capture("checkout", distinct_id="u1", properties=PROPERTIES)

    return best_us(work, count=COUNT)


def theirs() -> float:
    client = official.Posthog("phc_x", host=NOWHERE, max_queue_size=10**9, flush_at=10**8, flush_interval=10_000.0)

    def work(count: int) -> None:
        for _ in range(count):
            client.capture("checkout", distinct_id="u1", properties=PROPERTIES)

    return best_us(work, count=COUNT)


def main() -> None:
    logging.disable()
    peers = (("posthog-python", theirs()),)
    with tempfile.TemporaryDirectory(dir=ROOT) as folder:
        figures = [
            Figure("capture() outside a request", ours(), "us", 6.0, peers),
            Figure("the same, with a spool", ours(spool_dir=folder, spool_max_bytes=2**32), "us", None, peers),
        ]
    print_figures(figures)


if __name__ == "__main__":
    main()
    os._exit(0)  # skips the flush at exit: these events need not be sent
