"""Work through the events that were stored before a feature looked at them.

They are read in the order of their arrival, in pages, and a row of SQL for each project says how far.
So the work can be stopped at any moment, and goes on with the next call.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sqlalchemy import column, select, table
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from hogline_instance.db import Database, utc_now
from hogline_instance.events.event import StoredEvent
from hogline_instance.events.row import time_text
from hogline_instance.project import Project

__all__ = ["Place", "place_of", "work_through"]

# A call ends after this many pages, so that a process that stops need not wait for it.
_PAGES_PER_CALL = 20
_projects = table("projects", column("id"))
_START = "1970-01-01 00:00:00.000|00000000-0000-0000-0000-000000000000"


@dataclass(frozen=True, slots=True)
class Place:
    """Where the next page begins, and the time of arrival before which events are read."""

    until: str
    cursor: str

    @property
    def after(self) -> tuple[str, str]:
        """Return the time of arrival and the uuid of the last event that was read."""
        received_at, uuid = self.cursor.split("|")
        return received_at, uuid

    def cursor_behind(self, events: Sequence[StoredEvent]) -> str:
        """Return the cursor of the page that follows *events*."""
        return f"{events[-1].received_at}|{events[-1].uuid}" if events else self.cursor


def place_of(session: Session, kind: type, project_id: int) -> Place | None:
    """Return how far the rows of *kind* say that a project was read; None when it is finished."""
    known = session.get(kind, project_id)
    if known is None:
        return Place(time_text(utc_now())[:-3], _START)
    return Place(known.until, known.cursor) if known.finished_at is None else None


def work_through(
    database: Database, name: str, projects: Sequence[Project], process_page: Callable[[int], int | None]
) -> int:
    """Process some pages of each project, and return the number of their events.

    *process_page* takes a project's id, and returns the number of events of its next page, or None
    when it has no more. One process of all that share the database does the work called *name*.
    """
    done = 0
    with database.exclusive(name):
        for project in projects:
            for _ in range(_PAGES_PER_CALL):
                try:
                    count = process_page(project.id)
                except IntegrityError:
                    if _is_known(database, project.id):
                        raise
                    break  # the project was deleted meanwhile
                if count is None:
                    break
                done += count
    return done


def _is_known(database: Database, project_id: int) -> bool:
    with database.session() as session:
        return session.scalar(select(_projects.c.id).where(_projects.c.id == project_id)) is not None
