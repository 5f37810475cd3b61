"""The pages of issues at a million occurrences: the time to the first byte, and the queries' answers.

A few hundred exceptions and page views come in by the API; the store then multiplies them, spread
over 30 days, 100,000 people and 150,000 sessions. Each figure is the median of 20 requests.
"""

import json
import statistics
import sys
import tempfile
import time
import urllib.request
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.figures import Figure, print_figures
from tests.support.instances import Instance, start_instance

OCCURRENCES = 1_000_000
OTHERS = 200_000
TEMPLATES = 200
REQUESTS = 20
BUDGET_MS = 300
# The columns that are not computed from properties; each copy is another event of another person.
COPY = """INSERT INTO analytics.events (team_id, uuid, event, distinct_id, timestamp, person_id, person_properties, session_id,
    properties, elements_chain, person_mode, issue_id, received_at)
SELECT team_id, generateUUIDv4(number), event, concat('user-', toString(cityHash64(number, uuid) % 100000)),
    now64(6, 'UTC') - toIntervalMillisecond(cityHash64(uuid, number, 1) % 2592000000),
    reinterpretAsUUID(sipHash128(cityHash64(number, uuid) % 100000)), person_properties,
    toString(reinterpretAsUUID(sipHash128(cityHash64(number, uuid) % 150000))), properties, elements_chain, person_mode, issue_id,
    received_at
FROM analytics.events CROSS JOIN (SELECT number FROM numbers({copies})) AS copies WHERE event = '{event}'"""


def frame(number: int) -> dict[str, Any]:
    """Return a frame as posthog-python sends it, with source lines."""
    lines = [f"    value_{line} = compute(value_{line - 1}, total={line})" for line in range(1, 12)]
    return {
        "platform": "python", "filename": f"shop/module_{number}.py", "abs_path": f"/srv/shop/module_{number}.py",
        "function": f"function_{number}", "module": f"shop.module_{number}", "lineno": 40 + number, "in_app": number > 5,
        "pre_context": lines[:5], "context_line": lines[5], "post_context": lines[6:],
    }  # fmt: skip


def event(number: int, name: str) -> dict[str, Any]:
    """Return one of the events that the store multiplies."""
    properties: dict[str, Any] = {
        "$lib": "posthog-python", "$lib_version": "7.91.1", "$browser": ("Chrome", "Firefox", "Safari")[number % 3],
        "$os": ("Windows", "Mac OS X", "Linux")[number % 3], "$release": f"2.{number % 7}.0", "$environment": "production",
        "$request_route": f"/orders/{number % 9}", "$geoip_country_code": "DE", "plan": ("free", "pro")[number % 2],
        "$feature/new-checkout": "test" if name == "$exception" and number % 10 else "control", "$session_id": str(uuid.uuid4()),
    }  # fmt: skip
    if name == "$exception":
        properties["$exception_list"] = [
            {
                "type": "Declined",
                "value": f"order {number} was declined",
                "mechanism": {"type": "generic", "handled": False},
                "stacktrace": {"type": "raw", "frames": [frame(each) for each in range(12)]},
            }
        ]
    return {"event": name, "distinct_id": f"template-{number}", "uuid": str(uuid.uuid4()), "properties": properties}


def fill(folder: Path) -> None:
    """Write the occurrences and the other events into a data folder."""
    served = start_instance(folder)
    try:
        for name in ("$exception", "order_placed"):
            batch = [event(number, name) for number in range(TEMPLATES)]
            ask(served, "/batch/", {"api_key": served.token, "batch": batch})
        until(lambda: ask(served, "/_ready")["stored_events"] >= 2 * TEMPLATES)
    finally:
        served.stop()
    import clickhouse_connect

    client = clickhouse_connect.get_client(dsn=f"chdb://{folder.resolve()}/store")
    try:
        for name, many in (("$exception", OCCURRENCES), ("order_placed", OTHERS)):
            client.command(COPY.format(event=name, copies=many // TEMPLATES - 1))
    finally:
        client.close()


def ask(served: Instance, path: str, body: object = None) -> Any:
    """Return the JSON of an answer."""
    headers = {"Authorization": f"Bearer {served.key}", "Content-Type": "application/json"}
    data = None if body is None else json.dumps(body).encode()
    with urllib.request.urlopen(urllib.request.Request(served.url + path, data, headers), timeout=600) as answer:
        return json.load(answer)


def until(check: Callable[[], bool], timeout_s: float = 120) -> None:
    """Wait until *check* returns True."""
    deadline = time.monotonic() + timeout_s
    while not check():
        if time.monotonic() > deadline:
            raise TimeoutError("the events were not stored in time")
        time.sleep(0.05)


def first_byte_ms(served: Instance, path: str) -> float:
    """Return the median time until the first byte of a page."""
    times = []
    for number in range(REQUESTS + 2):
        begun = time.perf_counter()
        with urllib.request.urlopen(served.url + path, timeout=600) as answer:
            answer.read(1)
            took = time.perf_counter() - begun
            answer.read()
        if number >= 2:  # the first requests compile queries and fill caches
            times.append(took * 1_000)
    return statistics.median(times)


def query_ms(served: Instance, **fields: object) -> float:
    """Return the median time of an answer to ErrorTrackingQuery."""
    body = {
        "query": {"kind": "ErrorTrackingQuery", "volumeResolution": 20, "dateRange": {"date_from": "-30d"}, **fields}
    }
    times = []
    for number in range(REQUESTS + 2):
        begun = time.perf_counter()
        found = ask(served, "/api/environments/@current/query/", body)
        if number >= 2:
            times.append((time.perf_counter() - begun) * 1_000)
        assert found["results"][0]["aggregations"]["occurrences"] > OCCURRENCES * 0.9
    return statistics.median(times)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "data"
        fill(data)
        served = start_instance(data)
        try:
            [issue] = ask(served, "/api/projects/@current/error_tracking/issues/")["results"]
            figures = [
                Figure("page of an issue with 1 M occurrences", first_byte_ms(served, f"/issue/{issue['id']}"), "ms", BUDGET_MS),
                Figure("list of issues, 30 days", first_byte_ms(served, "/issues?period=-30d"), "ms", BUDGET_MS),
                Figure("list of issues, a search", first_byte_ms(served, "/issues?period=-30d&search=declined"), "ms", BUDGET_MS),
                Figure("ErrorTrackingQuery, 30 days", query_ms(served, orderBy="users"), "ms"),
            ]  # fmt: skip
        finally:
            served.stop()
    print_figures(figures)


if __name__ == "__main__":
    sys.exit(main())
