"""CPU time that an interceptor adds to an empty request of each framework, beside Sentry and
OpenTelemetry.

The bare app and each of the three variants run in their own processes, which take short turns; the
best turn of each counts. An app is called in process, as its server would call it. A framework with
its own server serves on loopback. `HOGLINE_FRAMEWORKS="flask django"` chooses frameworks. Exception
capture is on, because Sentry's is always on; no handler raises.
"""

import json
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from benchmarks.empty_apps import APPS, EmptyApp, active, make
from benchmarks.figures import Figure, print_figures
from benchmarks.requesters import AsgiRequester, ServerRequester, WsgiRequester, serve_and

COUNT, TURNS = 75, 20  # short turns: on a busy machine, some of them run undisturbed
WARM_UP = 200
_TWICE = ("bare", "ours")  # two processes each: the memory layout of a process makes a difference of a few microseconds
_LEAST = 0.01  # of an empty request; a smaller difference is within the noise


def child(name: str, variant: str) -> None:
    """Run one app. For each line of standard input, serve `COUNT` requests and print the
    microseconds that one took.
    """
    logging.disable()
    app = make(name, variant)
    row = APPS[name]
    if row.protocol in ("own", "grpc"):
        serve_and(row.protocol, app, _take_turns)
    else:
        _take_turns(AsgiRequester(app, row.query) if row.protocol == "asgi" else WsgiRequester(app))


def _take_turns(requester: AsgiRequester | WsgiRequester | ServerRequester) -> None:
    requester.run(1)
    print("ready" if active() else "not active", flush=True)
    requester.run(WARM_UP)
    for _ in sys.stdin:
        print(json.dumps(requester.run(COUNT) / COUNT * 1e6), flush=True)
    os._exit(0)  # the server on the main thread would go on


def measure(name: str, variants: list[str]) -> dict[str, float]:
    """Return the microseconds of a request by variant, in its best turn. A peer that cannot
    serve is reported and left out.
    """
    started = [(variant, _start(name, variant)) for variant in (*variants, *_TWICE)]
    try:
        children = [(variant, process) for variant, process in started if _serves(process, name, variant)]
        best = {variant: float("inf") for variant, _ in children}
        for _ in range(TURNS):
            for variant, process in children:
                process.stdin.write("\n")
                process.stdin.flush()
                best[variant] = min(best[variant], json.loads(process.stdout.readline()))
    finally:
        for _, process in started:
            process.kill()
            process.communicate()
    return best


def _start(name: str, variant: str) -> Any:
    return subprocess.Popen(
        [sys.executable, "-W", "ignore", "-m", "benchmarks.frameworks", name, variant],
        cwd=Path(__file__).parents[1], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONHASHSEED": "0"},
    )  # fmt: skip


def _serves(process: Any, name: str, variant: str) -> bool:
    said = process.stdout.readline().strip()
    if said == "ready":
        return True
    if variant not in ("sentry", "otel"):
        raise SystemExit(f"{name} with {variant}: {said or 'does not start'}")
    print(f"      {name} with {variant}: not measured: {said or 'it does not serve an empty request'}", file=sys.stderr)
    return False


def figure(name: str, app: EmptyApp) -> Figure:
    peers = app.peers()
    best = measure(name, ["bare", "ours", *peers])
    added = {variant: value - best["bare"] for variant, value in best.items()}
    beside = tuple((label, added[variant]) for variant, label in peers.items() if variant in added)
    absent = [vendor for vendor, label in (("Sentry", app.sentry), ("OpenTelemetry", app.otel)) if label is None]
    label = f"{name}: added to {best['bare']:.0f} us of an empty request"
    notes = [f"{' and '.join(absent)}: nothing for it"] if absent else []
    least = best["bare"] * _LEAST
    if added["ours"] < least:
        notes.append("an upper limit: the difference is within the noise")
    return Figure(label, max(added["ours"], least), "us/request", None, beside, note="; ".join(notes))


def figures() -> Iterator[Figure]:
    chosen = os.environ.get("HOGLINE_FRAMEWORKS", "").split()
    for name, app in APPS.items():
        if (not chosen or name in chosen) and find_spec(app.requires or name) is not None:
            yield figure(name, app)


def main() -> None:
    if len(sys.argv) == 3:
        child(*sys.argv[1:])
        return
    for found in figures():
        print_figures([found])
        sys.stdout.flush()


if __name__ == "__main__":
    main()
