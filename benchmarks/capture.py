"""`capture()` outside a request: microseconds on the caller's thread, nothing leaving meanwhile."""

import logging
import os

import posthog as official

import hogline
from benchmarks.figures import Figure, best_us, print_figures
from benchmarks.sinks import NOWHERE

COUNT = 5000
PROPERTIES = {"total": 42, "currency": "EUR"}


def ours() -> float:
    client = hogline.PostHog(
        "phc_x", host=NOWHERE, max_queue_size=10**9, max_queue_bytes=10**12, flush_at=10**8, flush_interval=10_000.0
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
    value = ours()
    print_figures([Figure("capture() outside a request", value, "us", 6.0, (("posthog-python", theirs()),))])


if __name__ == "__main__":
    main()
    os._exit(0)  # nothing of this is worth sending
