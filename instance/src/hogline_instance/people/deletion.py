"""Delete people, so that none of their properties is left in SQL or in the store.

SQL forgets a person at once, and the store's rows are changed before the request is answered. Events
that were on their way at that moment are stored later with the properties of before, so a job
changes the store again a little later. Rows that came after the deletion are left alone: they may
be of a new person with the same distinct id.
Source: docs/internals/management-api.md#persons.
"""

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from hogline_instance.db import Database, aware, utc_now
from hogline_instance.people.queries import forget_people
from hogline_instance.people.tables import DistinctIdRow, PersonDeletionRow, PersonMergeRow, PersonRow
from hogline_instance.store import Store

__all__ = ["OnDeletion", "delete_people", "finish_deletions"]

OnDeletion = Callable[[Session, int, Sequence[str]], None]
"""A function of a session, a project and the uuids of persons, called before the commit."""
_MAX_AT_ONCE = 1_000
# An event is stored within a second of its arrival, unless the store is away: then the job waits.
_SETTLED_AFTER = timedelta(minutes=2)


def delete_people(
    database: Database,
    store: Store,
    project_id: int,
    uuids: Sequence[str],
    *,
    with_events: bool,
    keep_person: bool = False,
    on_deletion: Sequence[OnDeletion] = (),
) -> int:
    """Delete the persons called *uuids* and return their number.

    With *with_events* their events go too; with *keep_person* only the events go. *on_deletion* deletes
    what other features keep of them.
    """
    now = utc_now()
    with database.transaction() as session:
        found = list(
            session.scalars(
                select(PersonRow.uuid)
                .where(PersonRow.team_id == project_id, PersonRow.uuid.in_(uuids[:_MAX_AT_ONCE]))
                .order_by(PersonRow.uuid)
                .with_for_update()
            )
        )
        if not found:
            return 0
        ids = _forget(session, project_id, found, keep_person=keep_person)
        for forget in () if keep_person else on_deletion:
            forget(session, project_id, found)
        if with_events or not keep_person:
            session.add(
                PersonDeletionRow(
                    team_id=project_id, uuids=found, distinct_ids=ids, with_events=with_events, deleted_at=now
                )
            )
    if with_events or not keep_person:
        forget_people(store, project_id, found, ids, until=now, with_events=with_events)
    return len(found)


def finish_deletions(database: Database, store: Store, *, settled_after: timedelta = _SETTLED_AFTER) -> int:
    """Change the store a second time for each deletion that is old enough, and forget the deletion."""
    finished = 0
    for _ in range(_MAX_AT_ONCE):
        with database.session() as session:
            row = session.scalar(
                select(PersonDeletionRow)
                .where(PersonDeletionRow.deleted_at <= utc_now() - settled_after)
                .order_by(PersonDeletionRow.id)
                .limit(1)
            )
            if row is None:
                break
            session.expunge(row)
        forget_people(
            store, row.team_id, row.uuids, row.distinct_ids, until=aware(row.deleted_at), with_events=row.with_events
        )
        with database.transaction() as session:
            session.execute(delete(PersonDeletionRow).where(PersonDeletionRow.id == row.id))
        finished += 1
    return finished


def _forget(session: Session, project_id: int, uuids: Sequence[str], *, keep_person: bool) -> list[str]:
    mine: Any = (DistinctIdRow.team_id == project_id, DistinctIdRow.person_uuid.in_(uuids))
    ids = list(session.scalars(select(DistinctIdRow.distinct_id).where(*mine)))
    if not keep_person:
        # The rows of the ids stay, without a person: their versions keep counting when one returns.
        session.execute(update(DistinctIdRow).where(*mine).values(person_uuid=None))
        session.execute(delete(PersonRow).where(PersonRow.team_id == project_id, PersonRow.uuid.in_(uuids)))
        session.execute(
            delete(PersonMergeRow).where(PersonMergeRow.team_id == project_id, PersonMergeRow.survivor_uuid.in_(uuids))
        )
    return ids
