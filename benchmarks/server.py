"""CPU time that a library adds to a request of a real server, measured by the kernel's accounting.

Each library and mode has its own server process, a new one in each of three rounds. The processes
take turns to serve the same requests over 32 keep-alive connections; the median difference from the
bare app counts. Events are delivered to a sink in another process, and a turn ends with a flush, so
that it includes all of its work. `HOGLINE_FRAMEWORKS="fastapi flask"` and `HOGLINE_VARIANTS="ours"`
choose some; `HOGLINE_TURNS` sets their number, in all rounds. `HOGLINE_OTHER_SOURCE=/path/to/sdk/src`
adds another copy of the SDK, such as an older commit, to the same turns.
"""

import contextlib
import os
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.figures import Figure, print_figures
from benchmarks.server_apps import FRAMEWORKS
from benchmarks.server_load import Connections, cpu_s
from benchmarks.sinks import sink_process

COUNT, WARM_UP = 1_000, 600
ROUNDS = 3  # each with new processes: where one's code and data happen to lie is worth microseconds
TURNS = int(os.environ.get("HOGLINE_TURNS", "18"))
_START_S = 60.0
# OpenTelemetry records a span for each request; exporting it would need another package.
SERVERS = [
    ("bare", "nothing"), ("null", "nothing"),
    *((variant, mode) for mode in ("nothing", "captured", "delivered") for variant in ("ours", "posthog", "sentry")),
    ("ours", "finished"), ("ours", "compressed"), ("otel", "nothing"),
]  # fmt: skip
PEERS = {"posthog": "posthog-python", "sentry": "Sentry", "otel": "OpenTelemetry", "other": "the other copy"}
OTHER_SOURCE = os.environ.get("HOGLINE_OTHER_SOURCE")
MODES = {
    "nothing": ("nothing captured", 5.0),
    "captured": ("one capture(), nothing sent", 20.0),
    "finished": ("one capture(), queued, and finished by the sending thread", None),
    "compressed": ("one capture(), the same, compressed", None),
    "delivered": ("one capture(), delivered", None),
}
_SHARE = 6  # of posthog-python's, delivered


@dataclass
class Server:
    """One server process."""

    variant: str
    mode: str
    process: "subprocess.Popen[bytes]"
    connections: Connections
    pid: int

    def turn(self, count: int) -> float:
        """Serve *count* requests and return the CPU microseconds that one took."""
        begun_s = cpu_s(self.pid)
        self.connections.run(count)
        self.connections.get("/flush")
        return (cpu_s(self.pid) - begun_s) / count * 1e6


@contextlib.contextmanager
def serving(framework: str, variant: str, mode: str, sink: str) -> Iterator[Server]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    environment = {**os.environ, "PYTHONHASHSEED": "0"}
    library = variant
    if variant == "other" and OTHER_SOURCE is not None:
        environment["PYTHONPATH"], library = OTHER_SOURCE, "ours"
    process = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-m", "benchmarks.server_apps", framework, library, mode, str(port), sink],
        cwd=Path(__file__).parents[1],
        env=environment,
    )
    connections = None
    try:
        _wait_for(port, process)
        connections = Connections(port)
        yield Server(variant, mode, process, connections, int(connections.get("/pid")))
    finally:
        if connections is not None:
            connections.close()
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_for(port: int, process: "subprocess.Popen[bytes]") -> None:
    until_s = time.monotonic() + _START_S
    while time.monotonic() < until_s and process.poll() is None:
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", port)).close()
            return
        time.sleep(0.05)
    raise SystemExit("a server does not start")


def measure(framework: str, wanted: list[tuple[str, str]]) -> dict[tuple[str, str], float]:
    """Return the CPU microseconds of a request of the bare app, and what each other server adds."""
    requests_us: dict[tuple[str, str], list[float]] = {server: [] for server in wanted}
    for _ in range(ROUNDS):
        with sink_process() as sink, contextlib.ExitStack() as stack:
            servers = [stack.enter_context(serving(framework, variant, mode, sink)) for variant, mode in wanted]
            for server in servers:
                server.turn(WARM_UP)
            for _ in range(TURNS // ROUNDS):
                for server in servers:
                    requests_us[server.variant, server.mode].append(server.turn(COUNT))
    bare = requests_us.pop(("bare", "nothing"))
    found = {("bare", "nothing"): statistics.median(bare)}
    for name, times in requests_us.items():
        found[name] = statistics.median(ours - base for ours, base in zip(times, bare, strict=True))
    return found


def figures(framework: str, found: dict[tuple[str, str], float]) -> list[Figure]:
    name = FRAMEWORKS[framework][0]
    rows = []
    for mode, (label, budget) in MODES.items():
        if ("ours", mode) not in found:
            continue
        peers = tuple((peer, found[variant, mode]) for variant, peer in PEERS.items() if (variant, mode) in found)
        limit = found["posthog", mode] / _SHARE if budget is None and ("posthog", mode) in found else budget
        note = ""
        if mode == "nothing":
            null = found.get(("null", "nothing"), 0.0)
            note = f"added to {found['bare', 'nothing']:.0f} us of the bare app; middleware that does nothing adds {null:.1f} us"
        rows.append(Figure(f"{name}: {label}", found["ours", mode], "us/request", limit, peers, note=note))
    return rows


def main() -> None:
    chosen = os.environ.get("HOGLINE_FRAMEWORKS", "").split()
    variants = os.environ.get("HOGLINE_VARIANTS", "").split()
    wanted = [(variant, mode) for variant, mode in SERVERS if not variants or variant in ("bare", *variants)]
    if OTHER_SOURCE is not None:
        wanted += [("other", mode) for variant, mode in wanted if variant == "ours"]
    for framework in FRAMEWORKS:
        if not chosen or framework in chosen:
            print_figures(figures(framework, measure(framework, wanted)))
            sys.stdout.flush()


if __name__ == "__main__":
    main()
