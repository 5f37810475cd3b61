"""The pages of people over a million events of 100,000 people: the time to the first byte; and the
memory of the instance, before anything came and after the events.

The events come in by the API, so that the steps make the people. Each figure of a page is the median
of 20 requests.
"""

import sys
import tempfile
import time
import uuid
from pathlib import Path

from benchmarks.figures import Figure, print_figures
from benchmarks.issue import BUDGET_MS, ask, first_byte_ms
from tests.support.instances import Instance, start_instance

PEOPLE = 100_000
EVENTS = 1_000_000
BATCH = 2_000
PLANS = ("free", "pro", "team")


def event(number: int) -> dict[str, object]:
    """Return one of the events; a person's first one sets their properties."""
    person = number % PEOPLE
    properties: dict[str, object] = {
        "$session_id": f"0192f0c0-0000-7000-8000-{number // 20:012x}", "$lib": "web", "$current_url": f"https://shop.test/{number % 50}",
        "$groups": {"company": f"company-{person % 5_000}"}, "total": number % 100,
    }  # fmt: skip
    if number < PEOPLE:
        properties["$set"] = {
            "email": f"user{person}@shop.test",
            "name": f"Visitor {person}",
            "plan": PLANS[person % 3],
        }
    return {"event": "order", "distinct_id": f"user-{person}", "uuid": str(uuid.uuid4()), "properties": properties}


def memory_mb(served: Instance) -> float:
    """Return the memory of the process that is its own, in MB."""
    lines = Path(f"/proc/{served.pid}/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("Private_")) / 1_000


def fill(served: Instance) -> None:
    """Send all events, and wait until they are stored."""
    for start in range(0, EVENTS, BATCH):
        batch = [event(number) for number in range(start, start + BATCH)]
        ask(served, "/batch/", {"api_key": served.token, "batch": batch})
    while ask(served, "/_ready")["stored_events"] < EVENTS:
        time.sleep(0.1)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        served = start_instance(Path(folder) / "data")
        try:
            time.sleep(5)
            idle = memory_mb(served)
            fill(served)
            pages = [
                ("people", "/people"), ("people, searched", "/people?search=visitor+777"),
                ("people by a property", "/people?key=plan&operator=exact&value=pro"), ("groups", "/groups"),
            ]  # fmt: skip
            [person] = ask(served, "/api/projects/@current/persons/?distinct_id=user-77")["results"]
            pages.append(("a person with ten events", f"/person/{person['uuid']}"))
            figures = [Figure(f"page of {name}", first_byte_ms(served, path), "ms", BUDGET_MS) for name, path in pages]
            full = memory_mb(served)
        finally:
            served.stop()
    figures += [
        Figure("memory of an idle instance", idle, "MB", 450),
        Figure("the same after a million events, and these pages", full, "MB", 900),
    ]
    print_figures(figures)


if __name__ == "__main__":
    sys.exit(main())
