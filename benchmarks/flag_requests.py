"""Requests of SDKs for flags, to an instance with people: how many a second, and how long they take.

`POST /flags/` evaluates 20 flags whose conditions read stored properties of 20,000 people; each
request is of another one of them. `/flags/definitions` serves 500 flags. The load comes from another
process on the same two cores, over keep-alive connections. The peer of the same run is an endpoint
of the same server that reads nothing: `GET /_health`.
"""

import asyncio
import json
import multiprocessing
import statistics
import sys
import tempfile
import time
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.figures import Figure, print_figures
from tests.support.instances import Instance, start_instance

PEOPLE = 20_000
CONNECTIONS = 32
ROUNDS = 3
PLANS, COUNTRIES = ("free", "pro", "team"), ("DE", "FR", "US", "JP")


def flag(number: int) -> dict[str, Any]:
    """Return a flag with two conditions on properties of the person; every third has variants."""
    conditions = [
        {
            "properties": [
                {"key": "plan", "type": "person", "operator": "exact", "value": [PLANS[number % 3]]},
                {"key": "email", "type": "person", "operator": "icontains", "value": f"@team{number % 7}.test"},
            ],
            "rollout_percentage": 100,
        },
        {
            "properties": [
                {"key": "country", "type": "person", "operator": "is_not", "value": [COUNTRIES[number % 4]]}
            ],
            "rollout_percentage": 50,
        },
    ]
    filters: dict[str, Any] = {"groups": conditions}
    if number % 3 == 0:
        names = ("control", "test")
        filters["multivariate"] = {"variants": [{"key": each, "rollout_percentage": 50} for each in names]}
    return {"key": f"flag-{number}", "name": f"Flag {number}", "active": True, "filters": filters}


def call(served: Instance, method: str, path: str, body: object = None) -> Any:
    """Return the JSON of an answer."""
    headers = {"Authorization": f"Bearer {served.key}", "Content-Type": "application/json"}
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(served.url + path, data, headers, method=method)
    with urllib.request.urlopen(request, timeout=120) as answer:
        return json.load(answer)


def make_people(served: Instance) -> None:
    """Send one event of each person, and wait until all are stored."""
    for start in range(0, PEOPLE, 1_000):
        batch = [
            {
                "event": "$set", "distinct_id": f"user-{number}",
                "properties": {"$set": {
                    "email": f"user{number}@team{number % 7}.test", "plan": PLANS[number % 3], "country": COUNTRIES[number % 4],
                }},
            }
            for number in range(start, start + 1_000)
        ]  # fmt: skip
        call(served, "POST", "/batch/", {"api_key": served.token, "batch": batch})
    while call(served, "GET", "/_ready")["stored_events"] < PEOPLE:
        time.sleep(0.05)


def make_flags(served: Instance, start: int, end: int) -> None:
    """Create the flags with these numbers."""
    for number in range(start, end):
        call(served, "POST", "/api/projects/@current/feature_flags/", flag(number))


def flags_requests(token: str, count: int) -> list[bytes]:
    """Return prepared requests, each of another person."""
    made = []
    for number in range(count):
        body = json.dumps({"token": token, "distinct_id": f"user-{number * 7 % PEOPLE}"}).encode()
        head = f"POST /flags/?v=2 HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        made.append(head.encode() + body)
    return made


def get_requests(path: str, headers: str, count: int) -> list[bytes]:
    """Return the same GET request, *count* times."""
    return [f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{headers}\r\n".encode()] * count


def send(port: int, requests: Sequence[bytes], rate: float | None, results: Any) -> None:
    """Send the requests, at *rate* a second or as fast as they are answered; put seconds, and times."""

    async def one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes) -> float:
        begun = time.perf_counter()
        writer.write(request)
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        assert head.startswith((b"http/1.1 200", b"http/1.1 304")), head
        if b"content-length: " in head:
            await reader.readexactly(int(head.split(b"content-length: ")[1].split(b"\r\n")[0]))
        return time.perf_counter() - begun

    async def everything() -> tuple[float, list[float]]:
        free: asyncio.Queue[Any] = asyncio.Queue()
        for _ in range(CONNECTIONS):
            free.put_nowait(await asyncio.open_connection("127.0.0.1", port))
        times: list[float] = []

        async def on_free_connection(request: bytes, due: float) -> None:
            connection = await free.get()
            await one(*connection, request)
            times.append(time.perf_counter() - due)
            free.put_nowait(connection)

        begun = time.perf_counter()
        if rate is None:
            waiting = list(requests)

            async def drain() -> None:
                connection = await free.get()
                while waiting:
                    times.append(await one(*connection, waiting.pop()))

            await asyncio.gather(*(drain() for _ in range(CONNECTIONS)))
        else:
            tasks = []
            for number, request in enumerate(requests):  # a late answer delays no later request
                due = begun + number / rate
                await asyncio.sleep(max(0.0, due - time.perf_counter()))
                tasks.append(asyncio.create_task(on_free_connection(request, due)))
            await asyncio.gather(*tasks)
        return time.perf_counter() - begun, times

    results.put(asyncio.run(everything()))


def measured(served: Instance, requests: Sequence[bytes], rate: float | None = None) -> tuple[float, list[float]]:
    """Return requests per second, and the seconds that each took."""
    context = multiprocessing.get_context("spawn")
    results = context.Queue()
    port = int(served.url.rpartition(":")[2])
    sender = context.Process(target=send, args=(port, requests, rate, results))
    sender.start()
    seconds, times = results.get(timeout=300)
    sender.join()
    return len(requests) / seconds, times


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        served = start_instance(Path(folder) / "data")
        try:
            make_people(served)
            make_flags(served, 0, 20)
            asked = flags_requests(served.token, 4_000)
            idle = get_requests("/_health", "", 4_000)
            measured(served, asked[:500])
            rates = {"flags": 0.0, "health": 0.0, "full": 0.0, "same": 0.0}
            for _ in range(ROUNDS):
                rates["flags"] = max(rates["flags"], measured(served, asked)[0])
                rates["health"] = max(rates["health"], measured(served, idle)[0])
            late = min(
                statistics.quantiles(measured(served, asked[:3_000], rate=500)[1], n=100)[98] for _ in range(ROUNDS)
            )
            make_flags(served, 20, 500)
            path, key = (
                f"/flags/definitions?token={served.token}&send_cohorts",
                f"Authorization: Bearer {served.key}\r\n",
            )
            request = urllib.request.Request(served.url + path, headers={"Authorization": f"Bearer {served.key}"})
            with urllib.request.urlopen(request) as answer:
                etag, size = answer.headers["ETag"], len(answer.read())
            for _ in range(ROUNDS):
                rates["full"] = max(rates["full"], measured(served, get_requests(path, key, 1_000))[0])
                same = get_requests(path, f"{key}If-None-Match: {etag}\r\n", 4_000)
                rates["same"] = max(rates["same"], measured(served, same)[0])
        finally:
            served.stop()
    peers = (("an answer that reads nothing", rates["health"]),)
    print_figures(
        [
            Figure("POST /flags/, 20 flags over stored people", rates["flags"], "requests/s", 3_000, peers, more_is_better=True),
            Figure("the same at 500 requests/s, 99 of 100 take at most", late * 1_000, "ms", 20),
            Figure(f"definitions of 500 flags ({size // 1_024} KiB)", rates["full"], "requests/s", None, peers, more_is_better=True),
            Figure("the same while they are unchanged (304)", rates["same"], "requests/s", None, peers, more_is_better=True),
        ]
    )  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
