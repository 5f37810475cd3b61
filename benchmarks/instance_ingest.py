"""Events per second that the instance takes, from the first request until the last row is in the
store, with people, definitions and issues worked out.

The peers of the same run are an instance whose pipeline has no steps, and the engine's own insert of
the rows that the steps made. Each event is acknowledged when it is on disk, and the clock stops when
the store counts the last one. The load comes from another process on the same two cores, over
keep-alive connections. Each event is of another one of 20,000 people.
"""

import asyncio
import json
import multiprocessing
import sys
import tempfile
import time
import urllib.request
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.figures import Figure, print_figures
from benchmarks.instance_rows import prepared_rows
from hogline_instance.store import Store
from tests.support.instances import Instance, start_instance

PEOPLE = 20_000
ROUNDS = 3
PROPERTIES = {f"property_{n}": f"value of property {n}" for n in range(12)} | {
    "$session_id": "0192f0c0-0000-7000-8000-000000000000", "$current_url": "https://shop.example/checkout", "$lib": "hogline",
    "$browser": "Chrome", "$os": "Linux", "total": 42.5, "items": 3,
}  # fmt: skip
_FRAMES = [
    {
        "platform": "python", "filename": f"shop/part_{n}.py", "abs_path": f"/srv/shop/part_{n}.py", "function": f"step_{n}",
        "module": f"shop.part_{n}", "lineno": 10 + n, "in_app": True,
    }
    for n in range(10)
]  # fmt: skip


def plain(number: int) -> dict[str, object]:
    """Return the event *number*, of about 700 bytes."""
    return {"event": "checkout", "properties": PROPERTIES}


def exception(number: int) -> dict[str, object]:
    """Return the exception *number*, of about 2,500 bytes: one of 50 mistakes, ten frames deep."""
    entry = {
        "type": f"Error{number % 50}", "value": f"no stock for order {number}", "mechanism": {"type": "generic", "handled": False},
        "stacktrace": {"type": "raw", "frames": _FRAMES},
    }  # fmt: skip
    return {"event": "$exception", "properties": {**PROPERTIES, "$exception_list": [entry]}}


@dataclass(frozen=True)
class Load:
    """*count* requests with *batch* events each, over so many connections."""

    make: Callable[[int], dict[str, object]]
    count: int
    batch: int
    connections: int


BATCHES = Load(plain, 1_000, 100, 16)
SINGLES = Load(plain, 12_000, 1, 64)
EXCEPTIONS = Load(exception, 500, 100, 16)


def requests(load: Load, token: str) -> list[bytes]:
    """Return the prepared requests of *load*."""
    made = []
    for number in range(load.count):
        events = [
            {
                "distinct_id": f"user-{each % PEOPLE}", "uuid": str(uuid.uuid4()),
                "timestamp": "2026-11-24T12:00:00.000000+00:00", **load.make(each),
            }
            for each in range(number * load.batch, (number + 1) * load.batch)
        ]  # fmt: skip
        body = json.dumps({"api_key": token, "batch": events}, separators=(",", ":")).encode()
        head = f"POST /batch/ HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        made.append(head.encode() + body)
    return made[::-1]


def send(port: int, token: str, load: Load, ready: object, go: object) -> None:
    """Prepare the requests, wait for the signal, and send them, one at a time on each connection."""
    queue = requests(load, token)

    async def one() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        while queue:
            writer.write(queue.pop())
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200"), head
            length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
            await reader.readexactly(length)
        writer.close()

    async def everybody() -> None:
        await asyncio.gather(*(one() for _ in range(load.connections)))

    ready.set()
    go.wait()
    asyncio.run(everybody())


def measure(served: Instance, load: Load) -> float:
    """Return the events per second until all of them are in the store."""
    port = int(served.url.rpartition(":")[2])
    context = multiprocessing.get_context("spawn")
    ready, go = context.Event(), context.Event()
    sender = context.Process(target=send, args=(port, served.token, load, ready, go))
    sender.start()
    ready.wait(120)
    before = stored(served)
    begun = time.perf_counter()
    go.set()
    sender.join()
    assert sender.exitcode == 0
    while stored(served) < before + load.count * load.batch:
        time.sleep(0.02)
    return load.count * load.batch / (time.perf_counter() - begun)


def stored(served: Instance) -> int:
    with urllib.request.urlopen(f"{served.url}/_ready") as answer:
        return int(json.load(answer)["stored_events"])


def engine_rate(folder: Path) -> float:
    """Return the rows per second of the engine's own insert."""
    batches = prepared_rows(folder, [{"distinct_id": f"user-{n}", **plain(n)} for n in range(PEOPLE)], 3)
    store = Store(f"chdb:///{folder}/store", query_max_s=60, query_max_bytes=2**31)
    store.migrate()
    rates = []
    for number, rows in enumerate(batches):
        text = b"\n".join(rows)
        begun = time.perf_counter()
        store.insert_events(text, f"batch-{number}")
        rates.append(len(rows) / (time.perf_counter() - begun))
    store.close()
    return max(rates)


def main() -> None:
    best: dict[tuple[str, Load], float] = {}
    with tempfile.TemporaryDirectory() as folder:
        whole = start_instance(Path(folder) / "whole")
        bare = start_instance(Path(folder) / "bare", command=(sys.executable, "-m", "benchmarks.bare_instance"))
        try:
            # The first inserts make the engine compile its queries, and the people.
            for served in (whole, bare):
                measure(served, Load(plain, PEOPLE // 100, 100, 8))
            turns = [(whole, BATCHES), (bare, BATCHES), (whole, SINGLES), (bare, SINGLES), (whole, EXCEPTIONS)]
            for _ in range(ROUNDS):
                for served, load in turns:
                    key = ("whole" if served is whole else "bare", load)
                    best[key] = max(best.get(key, 0.0), measure(served, load))
        finally:
            whole.stop()
            bare.stop()
        engine = engine_rate(Path(folder))
    print_figures(figures(best, engine))


def figures(best: dict[tuple[str, Load], float], engine: float) -> list[Figure]:
    """Return the rows of the table."""
    found = []
    for name, load, least in (("batches of 100", BATCHES, 35_000), ("single-event requests", SINGLES, 5_000)):
        whole, bare = best["whole", load], best["bare", load]
        peers = (("without people, definitions and issues", bare),)
        if load is BATCHES:
            peers += (("the engine's own insert of the same rows", engine),)
        found.append(Figure(f"durable and drained, {name}", whole, "events/s", least, peers, more_is_better=True))
        share = Figure(
            f"the same as a share of the rate without people, {name}", whole / bare, "x", 0.7, more_is_better=True
        )
        found.append(share)
    plain_rate = best["whole", BATCHES]
    found.append(
        Figure(
            "100 % exceptions, batches of 100", best["whole", EXCEPTIONS], "events/s", plain_rate / 2,
            (("plain events", plain_rate),), more_is_better=True,
        )
    )  # fmt: skip
    return found


if __name__ == "__main__":
    sys.exit(main())
