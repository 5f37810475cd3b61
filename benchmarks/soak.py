"""A soak test of every framework: 2,000 interleaved visitors, then 50,000 requests.

It counts what must be zero: events with another visitor's ids, contexts that stay alive, and memory
that the second half of the requests adds to the worker beyond the noise of the first half.
`HOGLINE_FRAMEWORKS="flask django"` chooses frameworks.

`--record` writes the results to docs/reference/soak.json, from which the documentation makes its
table. Rows are replaced one by one, so that frameworks in other environments can add theirs (`./dev
frameworks soak`).
"""

import asyncio
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import psutil

from benchmarks.figures import Figure, print_figures
from tests.support.frameworks import Framework, selected
from tests.support.promises import pinned
from tests.support.site import Site, request_bytes, visitor
from tests.support.soaking import Soaked, soak

VISITORS, REQUESTS, AT_ONCE = 2_000, 50_000, 20
SETTLE_S = 240.0  # a few hundred streams without readers take long on a busy machine
GROWTH_BUDGET_MIB = 4.0
RECORDED = Path(__file__).parents[1] / "docs" / "reference" / "soak.json"


def main() -> int:
    failed = 0
    for row in selected():
        if missing := row.missing():
            print(f"  {row.name}: {missing}")
            continue
        with tempfile.TemporaryDirectory() as folder:
            # Events are sent only on request, because the sink stores what it receives in this
            # process.
            site = Site.start(row, row.servers[0], Path(folder) / "server.log")
            try:
                result = soak(site, VISITORS, settle_s=SETTLE_S)
                grown_mib = growth_mib(site)
            finally:
                site.stop()
        failed += bool(result.mixed or result.missing or result.alive or grown_mib > GROWTH_BUDGET_MIB)
        report(site, result, grown_mib)
        if "--record" in sys.argv[1:]:
            keep(row, site.server.name, result, grown_mib)
    return int(failed > 0)


def report(site: Site, result: Soaked, grown_mib: float) -> None:
    print(f"  {site!r}: {result.requests} visitors, {result.left} of them left early, {result.events} events")
    for text in (*result.mixed, *result.missing):
        print(f"      {text}")
    print_figures(
        [
            Figure("    events with another visitor's ids", len(result.mixed), "", 0),
            Figure("    requests whose events are missing", len(result.missing), "", 0),
            Figure("    contexts alive afterwards", result.alive, "", 0),
            Figure(f"    memory that {REQUESTS // 2:,} requests add", grown_mib, "MiB", GROWTH_BUDGET_MIB),
        ]
    )
    sys.stdout.flush()


def keep(row: Framework, server: str, result: Soaked, grown_mib: float) -> None:
    """Replace the recorded results of *row*."""
    known: dict[str, Any] = json.loads(RECORDED.read_text()) if RECORDED.exists() else {}
    known[row.name] = {
        "version": pinned(row), "python": ".".join(map(str, sys.version_info[:2])), "server": server,
        "visitors": result.requests, "left": result.left, "events": result.events,
        "mixed": len(result.mixed), "missing": len(result.missing), "alive": result.alive,
        "requests": REQUESTS, "grown_mib": round(grown_mib, 2),
    }  # fmt: skip
    RECORDED.write_text(json.dumps(known, indent=1, sort_keys=True) + "\n")


def growth_mib(site: Site) -> float:
    """Return the memory that the second half of the requests adds to the worker."""
    worker = psutil.Process(int(site.ask("/-/pid?of=absent", options="absent").body))
    sizes = []
    for _ in range(2):
        asyncio.run(_ask_many(site.server.port, REQUESTS // 2))
        site.flush()
        site.alive()  # collects garbage
        sizes.append(worker.memory_info().rss)
        site.sink.requests.clear()
    return max(0.0, (sizes[1] - sizes[0]) / 2**20)


async def _ask_many(port: int, count: int) -> None:
    """Send *count* requests on a few connections, which stay open if the server keeps them open."""
    numbers = iter(range(count))

    async def one() -> None:
        for number in numbers:
            path = "/nothing" if number % 10 else "/capture"  # each tenth request captures
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(request_bytes(path, f"m{number}.", headers=visitor(f"v{number % 500}")))
            try:
                await asyncio.wait_for(reader.read(), 30)
            finally:
                writer.transport.abort()

    await asyncio.gather(*(one() for _ in range(AT_ONCE)))


if __name__ == "__main__":
    sys.exit(main())
