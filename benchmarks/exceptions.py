"""`capture_exception()` of a deep chain, with and without variables: microseconds on the caller's
thread, while nothing is sent.

posthog-python sends the variables of 4 of the chain's 39 frames
(docs/internals/capture-protocol.md#code-variables), a tenth of the work. For a single exception,
all libraries send equally many.
"""

import logging
import os
import sys
from collections.abc import Callable
from typing import Any

import posthog as official
import sentry_sdk
import sentry_sdk.transport

import hogline
from benchmarks.figures import Figure, best_us, print_figures
from benchmarks.sinks import NOWHERE

COUNT = 1
ROUNDS = 100
DEPTH = 30
CHAIN = 3


def work_of(customer: str, depth: int) -> int:
    order = {"id": depth, "customer": customer, "lines": [{"sku": f"tea-{n}", "price": 4.5} for n in range(5)]}
    if depth:
        return work_of(customer, depth - 1) + len(order)
    raise ValueError(f"no stock for {order['id']}")


def failing(level: int) -> None:
    if not level:
        work_of("ada", DEPTH)  # raises
    try:
        failing(level - 1)
    except Exception as error:
        raise RuntimeError(f"level {level}") from error


def new_error(chain: int) -> Exception:
    try:
        failing(chain)
    except Exception as error:
        return error
    raise AssertionError


def ours(*, variables: bool) -> Callable[[Exception], object]:
    client = hogline.PostHog(
        "phc_x", host=NOWHERE, max_queue_size=10**9, max_queue_bytes=10**12, flush_at=10**8, flush_interval=10_000.0,
        capture_exception_code_variables=variables,
    )  # fmt: skip
    return lambda error: client.capture_exception(error, distinct_id="u1")


def theirs(*, variables: bool) -> Callable[[Exception], object]:
    client = official.Posthog(
        "phc_x", host=NOWHERE, max_queue_size=10**9, flush_at=10**8, flush_interval=10_000.0,
        capture_exception_code_variables=variables,
    )  # fmt: skip
    return lambda error: client.capture_exception(error, distinct_id="u1")


def sentry(*, variables: bool) -> Callable[[Exception], object]:
    class Nowhere(sentry_sdk.transport.Transport):
        def capture_envelope(self, envelope: Any) -> None:
            envelope.serialize()  # ours is serialised by then too

    sentry_sdk.init(
        dsn="http://key@127.0.0.1:9/1", transport=Nowhere, include_local_variables=variables, default_integrations=False
    )
    return sentry_sdk.capture_exception


def best_of_each(captures: dict[str, Callable[[Exception], object]], chain: int) -> dict[str, float]:
    """Return the best round of each library. The rounds alternate, so that other load on the
    machine affects all of them.

    Each capture gets a new exception, because every library sends the same object only once. Making
    it is not measured.
    """
    best = dict.fromkeys(captures, float("inf"))
    for _ in range(ROUNDS):
        for name, capture in captures.items():
            errors = [new_error(chain) for _ in range(COUNT)]
            best[name] = min(best[name], best_us(lambda _, e=errors, c=capture: list(map(c, e)), count=COUNT, rounds=1))
    return best


def main() -> None:
    logging.disable()
    figures = []
    for variables, chain in ((False, CHAIN), (True, CHAIN), (True, 0)):
        raised = f"{chain + 1} exceptions" if chain else "one exception"
        name = f"capture_exception(), {raised}, {DEPTH} calls deep, {'with' if variables else 'without'} variables"
        makers = {"hogline": ours, "posthog-python": theirs, "Sentry": sentry}
        best = best_of_each({peer: make(variables=variables) for peer, make in makers.items()}, chain)
        value = best.pop("hogline")
        figures.append(Figure(name, value, "us", None, tuple(best.items())))
    print_figures(figures)


if __name__ == "__main__":
    main()
    sys.stdout.flush()
    os._exit(0)  # skips the flush at exit: these events need not be sent
