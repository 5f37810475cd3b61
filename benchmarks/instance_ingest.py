"""Events per second that the instance takes, from the first request until the last row is in the
store.

Each event is acknowledged when it is on disk, and the clock stops when the store counts the last
one. The load comes from another process on the same two cores, over keep-alive connections.
"""

import asyncio
import json
import multiprocessing
import sys
import tempfile
import time
import urllib.request
import uuid
from pathlib import Path

from benchmarks.figures import Figure, print_figures
from tests.support.instances import start_instance

PROPERTIES = {f"property_{n}": f"value of property {n}" for n in range(12)} | {
    "$session_id": "0192f0c0-0000-7000-8000-000000000000", "$current_url": "https://shop.example/checkout", "$lib": "hogline",
    "$browser": "Chrome", "$os": "Linux", "total": 42.5, "items": 3,
}  # fmt: skip


def bodies(token: str, count: int, batch: int) -> list[bytes]:
    """Return *count* prepared requests, each with *batch* events of about 700 bytes."""
    made = []
    for number in range(count):
        events = [
            {
                "event": "checkout", "distinct_id": f"user-{number % 500}", "uuid": str(uuid.uuid4()),
                "timestamp": "2026-11-24T12:00:00.000000+00:00", "properties": PROPERTIES,
            }
            for _ in range(batch)
        ]  # fmt: skip
        body = json.dumps({"api_key": token, "batch": events}, separators=(",", ":")).encode()
        head = f"POST /batch/ HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        made.append(head.encode() + body)
    return made


def send(port: int, token: str, count: int, batch: int, connections: int, ready: object, go: object) -> None:
    """Prepare the requests, wait for the signal, and send them over *connections*, one at a time
    on each.
    """
    requests = bodies(token, count, batch)

    async def one(queue: list[bytes]) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        while queue:
            writer.write(queue.pop())
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200"), head
            length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
            await reader.readexactly(length)
        writer.close()

    async def everybody() -> None:
        await asyncio.gather(*(one(requests) for _ in range(connections)))

    ready.set()
    go.wait()
    asyncio.run(everybody())


def measure(served: object, count: int, batch: int, connections: int) -> float:
    """Return the events per second until all of them are in the store."""
    port = int(served.url.rpartition(":")[2])
    context = multiprocessing.get_context("spawn")
    ready, go = context.Event(), context.Event()
    sender = context.Process(target=send, args=(port, served.token, count, batch, connections, ready, go))
    sender.start()
    ready.wait(120)
    before = stored(served)
    begun = time.perf_counter()
    go.set()
    sender.join()
    assert sender.exitcode == 0
    while stored(served) < before + count * batch:
        time.sleep(0.02)
    return count * batch / (time.perf_counter() - begun)


def stored(served: object) -> int:
    with urllib.request.urlopen(f"{served.url}/_ready") as answer:
        return int(json.load(answer)["stored_events"])


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        served = start_instance(Path(folder) / "data")
        try:
            measure(served, 200, 100, 8)  # the first inserts make the engine compile its queries
            batches = max(measure(served, 1500, 100, 16) for _ in range(2))
            singles = max(measure(served, 15_000, 1, 64) for _ in range(2))
        finally:
            served.stop()
    print_figures(
        [
            Figure("durable and drained, batches of 100", batches, "events/s", 50_000, more_is_better=True),
            Figure("durable and drained, single-event requests", singles, "events/s", 5_000, more_is_better=True),
        ]
    )


if __name__ == "__main__":
    sys.exit(main())
