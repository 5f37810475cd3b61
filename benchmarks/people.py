"""Events per second that the pipeline's thread prepares for the store: with the step of people over
20,000 known people, and, as the peer of the same run, without it.

Both decode and encode each row and commit one transaction a batch to SQLite. The insert into the
store, which both would share, is not part of it.
"""

import itertools
import sys
import tempfile
import time
import uuid
from pathlib import Path

import msgspec

from benchmarks.figures import Figure, print_figures
from benchmarks.instance_ingest import PROPERTIES
from hogline_instance.db import Database
from hogline_instance.events.person_ids import person_uuid
from hogline_instance.events.row import EventRow, encode_row
from hogline_instance.memory import collect_rarely
from hogline_instance.people.step import PeopleStep
from hogline_instance.pipeline import StepRunner
from hogline_instance.projects.tables import ProjectRow

PEOPLE = 20_000
BATCH = 10_000
BATCHES = 4


def lines(start: int, count: int) -> list[bytes]:
    """Return *count* rows, of the people from number *start* on, one event each."""
    properties = msgspec.Raw(msgspec.json.encode(PROPERTIES))
    made = []
    for number in range(start, start + count):
        distinct_id = f"user-{number % PEOPLE}"
        made.append(
            encode_row(
                EventRow(
                    team_id=1, uuid=str(uuid.uuid4()), event="checkout", distinct_id=distinct_id,
                    timestamp_text="2026-11-24 12:00:00.000000", person_id=person_uuid(1, distinct_id),
                    raw_properties=properties,
                )
            )
        )  # fmt: skip
    return made


def rate(runner: StepRunner, names: "itertools.count[int]") -> float:
    """Return the events per second of the best batch."""
    best = 0.0
    for number in range(BATCHES):
        batch = lines(number * BATCH, BATCH)
        begun = time.perf_counter()
        assert not runner.run(f"batch-{next(names)}", batch).rejected
        best = max(best, BATCH / (time.perf_counter() - begun))
    return best


def main() -> None:
    names = itertools.count()
    collect_rarely()
    with tempfile.TemporaryDirectory() as folder:
        database = Database(f"sqlite:///{folder}/people.sqlite3")
        database.migrate()
        with database.transaction() as session:
            session.add(ProjectRow(id=1, name="bench", token="phc_bench"))
        with_people = StepRunner([PeopleStep()], database, journal_id="with", folder=Path(folder))
        without = StepRunner([], database, journal_id="without", folder=Path(folder))
        rate(with_people, names)  # makes the people
        values = rate(with_people, names), rate(without, names)
        database.close()
    print_figures(
        [Figure("prepared with people, 20,000 people", values[0], "events/s", peers=(("without people", values[1]),), more_is_better=True)]
    )  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
