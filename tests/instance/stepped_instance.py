"""`hogline serve` with an extra step that is not idempotent and can kill the process at a chosen
point.

STEP_KILL_AT: `before_commit`, `after_commit` (before the checkpoint), `before_insert` or
`after_insert` (while the prepared batch is still on disk). STEP_STORE_AWAY: every insert fails.
"""

import functools
import os
import signal
import sys

import msgspec
from sqlalchemy import text

from hogline_instance import features, startup
from hogline_instance.exceptions import StoreError
from hogline_instance.journal import Journal
from hogline_instance.store import Store

KILL_AT = os.environ.get("STEP_KILL_AT", "")


def kill():
    os.kill(os.getpid(), signal.SIGKILL)


class NumberingStep:
    """Numbers the events of a project from 1; a second run would give other numbers."""

    def apply(self, batch, session):
        session.execute(text("CREATE TABLE IF NOT EXISTS numbers (last INTEGER NOT NULL)"))
        last = session.scalar(text("SELECT max(last) FROM numbers")) or 0
        batch.drop(lambda row: row.event == "unwanted", "unwanted events are dropped")
        for number, row in enumerate(batch.rows, start=last + 1):
            if row.text("poison"):
                raise ValueError("this event cannot be processed")
            row.raw_properties = msgspec.Raw(msgspec.json.encode({**row.properties, "number": number}))
            session.execute(text("INSERT INTO numbers (last) VALUES (:number)"), {"number": number})
        if KILL_AT == "before_commit":
            kill()


def finish(journal, finish=Journal.finish):
    if KILL_AT == "after_commit":
        kill()
    finish(journal)


def insert_events(store, rows, token, insert=Store.insert_events):
    if os.environ.get("STEP_STORE_AWAY"):
        raise StoreError("the store is away")
    if KILL_AT == "before_insert":
        kill()
    insert(store, rows, token)
    if KILL_AT == "after_insert":
        kill()


if __name__ == "__main__":
    Store.insert_events, Journal.finish = insert_events, finish
    numbering = features.Feature(name="projects", step=lambda parts: NumberingStep())
    others = [feature for feature in features.FEATURES if feature.name != "projects"]
    startup.open_services = functools.partial(startup.open_services, features=(*others, numbering))
    from hogline_instance.cli import serve

    sys.exit(serve(sys.argv[2:]))
