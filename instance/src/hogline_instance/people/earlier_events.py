"""Give people to the events that were stored before the instance had any.

The events are read in the order of their arrival and processed as the step would have, in pages of
one transaction each, so the work can be stopped at any moment and goes on with the next call. Their
rows stay as they are, apart from the moves of ids that a merge makes.
"""

import logging

from sqlalchemy import select
from sqlalchemy.orm import Session

from hogline_instance.db import Database, utc_now
from hogline_instance.events.row import time_text
from hogline_instance.people.intake import Intake
from hogline_instance.people.overrides import publish_overrides
from hogline_instance.people.queries import events_without_people
from hogline_instance.people.tables import HistoryCursorRow
from hogline_instance.project import Project
from hogline_instance.store import Store

__all__ = ["PAGE_EVENTS", "give_people_to_earlier_events"]

_log = logging.getLogger("hogline.instance")
PAGE_EVENTS = 2_000
# A call ends after this many pages, so that a process that stops need not wait for it.
_PAGES_PER_CALL = 20
_START = "1970-01-01 00:00:00.000|00000000-0000-0000-0000-000000000000"


def give_people_to_earlier_events(
    database: Database, store: Store, projects: tuple[Project, ...], *, page_events: int = PAGE_EVENTS
) -> int:
    """Process some pages of each project that has such events, and return the number of events."""
    done = 0
    with database.exclusive("earlier-events"):
        for project in projects:
            for _ in range(_PAGES_PER_CALL):
                count = _process_page(database, store, project.id, page_events)
                if count is None:
                    break
                done += count
    if done:
        publish_overrides(database, store)
        _log.info("people: %d earlier events got their people", done)
    return done


def _process_page(database: Database, store: Store, project_id: int, page_events: int) -> int | None:
    """Process the next page in one transaction; None when the project has no more."""
    with database.session() as session:
        known = session.get(HistoryCursorRow, project_id)
        if known is not None and known.finished_at is not None:
            return None
        until = known.until if known is not None else time_text(utc_now())[:-3]
        cursor = known.cursor if known is not None else _START
    received_at, uuid = cursor.split("|")
    events = events_without_people(store, project_id, until=until, after=(received_at, uuid), limit=page_events)
    with database.transaction() as session:
        row = _locked(session, project_id, until)
        if row.cursor != cursor:  # another process was here first
            return 0
        if not events:
            row.finished_at = utc_now()
            return None
        row.cursor = f"{events[-1].received_at}|{events[-1].uuid}"
        intake = Intake(session, events, is_history=True)
        intake.run()
        intake.save()
    return len(events)


def _locked(session: Session, project_id: int, until: str) -> HistoryCursorRow:
    row = session.scalar(select(HistoryCursorRow).where(HistoryCursorRow.team_id == project_id).with_for_update())
    if row is None:
        row = HistoryCursorRow(team_id=project_id, until=until, cursor=_START)
        session.add(row)
        session.flush()
    return row
