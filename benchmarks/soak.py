"""A soak of every framework: 2,000 visitors at once, then 50,000 requests; `HOGLINE_FRAMEWORKS="flask django"` names some.

Not a speed: what may be there afterwards is nothing. Events with another visitor's ids, contexts alive, and memory that the
second half of the requests adds to the worker, which has to stay within what the first half showed to be noise.
"""

import asyncio
import sys
import tempfile
from pathlib import Path

import psutil

from benchmarks.figures import Figure, print_figures
from tests.support.frameworks import selected
from tests.support.site import Site, request_bytes, visitor
from tests.support.soaking import soak

VISITORS, REQUESTS, AT_ONCE = 2_000, 50_000, 20
GROWTH_BUDGET_MIB = 4.0


def main() -> int:
    failed = 0
    for row in selected():
        with tempfile.TemporaryDirectory() as folder:
            # Events may leave only while they are asked for: the sink keeps what it gets, and is in this process.
            site = Site.start(row, row.servers[0], Path(folder) / "server.log")
            try:
                result = soak(site, VISITORS)
                grown_mib = growth_mib(site)
            finally:
                site.stop()
        failed += bool(result.mixed or result.missing or result.alive or grown_mib > GROWTH_BUDGET_MIB)
        print(f"  {site!r}: {result.requests} visitors, {result.left} of them left early, {result.events} events")
        print_figures(
            [
                Figure("    events with another visitor's ids", len(result.mixed), "", 0),
                Figure("    requests whose events are missing", len(result.missing), "", 0),
                Figure("    contexts alive afterwards", result.alive, "", 0),
                Figure(f"    memory that {REQUESTS // 2:,} requests add", grown_mib, "MiB", GROWTH_BUDGET_MIB),
            ]
        )
        sys.stdout.flush()
    return int(failed > 0)


def growth_mib(site: Site) -> float:
    """Return what the second half of the requests adds to the worker's memory."""
    worker = psutil.Process(int(site.ask("/-/pid", options="absent").body))
    sizes = []
    for _ in range(2):
        asyncio.run(_ask_many(site.server.port, REQUESTS // 2))
        site.flush()
        site.alive()  # collects garbage
        sizes.append(worker.memory_info().rss)
        site.sink.requests.clear()
    return max(0.0, (sizes[1] - sizes[0]) / 2**20)


async def _ask_many(port: int, count: int) -> None:
    """Ask *count* times on a few connections, kept open where the server keeps them."""
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
