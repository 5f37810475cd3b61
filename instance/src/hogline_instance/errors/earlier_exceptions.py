"""Make issues of the exceptions that were stored before the instance had any.

The exceptions are read in the order of their arrival, in pages, so the work can be stopped at any
moment and goes on with the next call. Each is written once more, with its issue, a millisecond
later than it was received: the store keeps the later of two rows of one event. A page that is
repeated after a crash finds the issues that it made, and writes the same rows.
"""

import logging
from datetime import datetime, timedelta

from sqlalchemy.orm import Session

from hogline_instance.db import Database, utc_now
from hogline_instance.errors.intake import Intake
from hogline_instance.errors.prepared import Prepared, prepare
from hogline_instance.errors.queries import events_without_issues
from hogline_instance.errors.releases import named_releases
from hogline_instance.errors.rule_sets import rule_sets
from hogline_instance.errors.source_maps.resolver import SymbolResolver
from hogline_instance.errors.tables import EarlierExceptionsRow
from hogline_instance.events.event import StoredEvent
from hogline_instance.events.row import encode_row, time_text
from hogline_instance.pipeline.history import place_of, work_through
from hogline_instance.project import Project
from hogline_instance.store import Store

__all__ = ["PAGE_EVENTS", "make_issues_of_earlier_exceptions"]

_log = logging.getLogger("hogline.instance")
PAGE_EVENTS = 500


def make_issues_of_earlier_exceptions(
    database: Database,
    store: Store,
    projects: tuple[Project, ...],
    symbols: SymbolResolver,
    *,
    page_events: int = PAGE_EVENTS,
) -> int:
    """Process some pages of each project that has such exceptions, and return how many there were."""
    done = work_through(
        database,
        "earlier-exceptions",
        projects,
        lambda project_id: _process_page(database, store, project_id, symbols, page_events),
    )
    if done:
        _log.info("errors: %d earlier exceptions got their issues", done)
    return done


def _process_page(
    database: Database, store: Store, project_id: int, symbols: SymbolResolver, page_events: int
) -> int | None:
    """Process the next page; None when the project has no more."""
    with database.session() as session:
        place = place_of(session, EarlierExceptionsRow, project_id)
    if place is None:
        return None
    events = events_without_issues(store, project_id, until=place.until, after=place.after, limit=page_events)
    cursor = place.cursor_behind(events)  # read before the rows get their new time
    if events:
        with database.transaction() as session:
            prepared = _with_issues(session, project_id, events, symbols)
        if prepared:
            rows = b"\n".join(encode_row(each.event) for each in prepared)
            store.insert_events(rows, f"earlier-exceptions/{project_id}/{cursor}")
    with database.transaction() as session:
        row = session.get(EarlierExceptionsRow, project_id) or EarlierExceptionsRow(
            team_id=project_id, until=place.until
        )
        row.cursor, row.finished_at = cursor, None if events else utc_now()
        session.add(row)
    return len(events) if events else None


def _with_issues(
    session: Session, project_id: int, events: list[StoredEvent], symbols: SymbolResolver
) -> list[Prepared]:
    rules = rule_sets(session, {project_id})
    resolve = symbols.for_events(session, events)
    # With a list that cannot be read, an exception has no issue for good.
    unread = [event for event in events if "$cymbal_errors" not in event.properties]
    release_of = named_releases(session, unread)
    prepared = [prepare(event, resolve(event), release_of(event)) for event in unread]
    grouped = [each for each in prepared if not each.errors]
    for each in grouped:
        each.choose(rules[project_id])
    intake = Intake(session, grouped, rules, is_history=True)
    intake.run()
    for each in prepared:
        each.write(intake.issue_of(each) if not each.errors else "")
        moment = datetime.fromisoformat(each.event.received_at) + timedelta(milliseconds=1)
        each.event.received_at = time_text(moment)[:-3]
    return prepared
