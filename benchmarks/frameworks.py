"""What an interceptor adds to an empty request of each framework, beside Sentry's and OpenTelemetry's own instrumentation.

The app without anything, and with each of the three, are processes of their own, which are asked in short turns; the best turn of
each counts, in time of the processor. An app is called in process, as its server would; one that speaks to no server but its own
serves on loopback. `HOGLINE_FRAMEWORKS="flask django"` names some of them.
Exception capture is on, as Sentry's always is; nothing is raised.
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

from benchmarks.asking import AsgiAsker, OwnAsker, WsgiAsker, serve_and
from benchmarks.empty_apps import APPS, EmptyApp, active, make
from benchmarks.figures import Figure, print_figures

COUNT, TURNS = 75, 20  # short: on a busy machine some turns are quiet
WARM_UP = 200
_TWICE = ("bare", "ours")  # in two processes each: where things lie in a process's memory makes a few microseconds
_LEAST = 0.01  # of an empty request: less than this cannot be told from nothing


def child(name: str, variant: str) -> None:
    """Be one app: for each line of standard input, serve `COUNT` requests and say how many microseconds one took."""
    logging.disable()
    app = make(name, variant)
    row = APPS[name]
    if row.protocol in ("own", "grpc"):
        serve_and(row.protocol, app, _take_turns)
    else:
        _take_turns(AsgiAsker(app, row.query) if row.protocol == "asgi" else WsgiAsker(app))


def _take_turns(asker: AsgiAsker | WsgiAsker | OwnAsker) -> None:
    asker.ask(1)
    print("ready" if active() else "not at work", flush=True)
    asker.ask(WARM_UP)
    for _ in sys.stdin:
        print(json.dumps(asker.ask(COUNT) / COUNT * 1e6), flush=True)
    os._exit(0)  # a server's main thread would go on


def measure(name: str, variants: list[str]) -> dict[str, float]:
    """Return the microseconds of a request by variant, each in its best turn; a peer that cannot serve is left out, and said."""
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
        notes.append("ours at most, it is less than can be told from nothing")
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
