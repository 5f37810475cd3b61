"""Give people to the events that were stored before the instance had any.

The events are read in the order of their arrival and processed as the step would have, in pages of
one transaction each, so the work can be stopped at any moment and goes on with the next call. Their
rows stay as they are, apart from the moves of ids that a merge makes.
"""

import logging

from sqlalchemy import select
from sqlalchemy.orm import Session

from hogline_instance.db import Database, utc_now
from hogline_instance.people.intake import Intake
from hogline_instance.people.overrides import publish_overrides
from hogline_instance.people.queries import events_without_people
from hogline_instance.people.tables import HistoryCursorRow
from hogline_instance.pipeline.history import Place, place_of, work_through
from hogline_instance.project import Project
from hogline_instance.store import Store

__all__ = ["PAGE_EVENTS", "give_people_to_earlier_events"]

_log = logging.getLogger("hogline.instance")
PAGE_EVENTS = 2_000


def give_people_to_earlier_events(
    database: Database, store: Store, projects: tuple[Project, ...], *, page_events: int = PAGE_EVENTS
) -> int:
    """Process some pages of each project that has such events, and return the number of events."""
    done = work_through(
        database,
        "earlier-events",
        projects,
        lambda project_id: _process_page(database, store, project_id, page_events),
    )
    if done:
        publish_overrides(database, store)
        _log.info("people: %d earlier events got their people", done)
    return done


def _process_page(database: Database, store: Store, project_id: int, page_events: int) -> int | None:
    """Process the next page in one transaction; None when the project has no more."""
    with database.session() as session:
        place = place_of(session, HistoryCursorRow, project_id)
    if place is None:
        return None
    events = events_without_people(store, project_id, until=place.until, after=place.after, limit=page_events)
    with database.transaction() as session:
        row = _locked(session, project_id, place)
        if row.cursor != place.cursor:  # another process was here first
            return 0
        if not events:
            row.finished_at = utc_now()
            return None
        row.cursor = place.cursor_behind(events)
        intake = Intake(session, events, is_history=True)
        intake.run()
        intake.save()
    return len(events)


def _locked(session: Session, project_id: int, place: Place) -> HistoryCursorRow:
    """Return the row of a project, locked; a new one says *place*."""
    row = session.scalar(select(HistoryCursorRow).where(HistoryCursorRow.team_id == project_id).with_for_update())
    if row is None:
        row = HistoryCursorRow(team_id=project_id, until=place.until, cursor=place.cursor)
        session.add(row)
        session.flush()
    return row
