"""The jobs of people: copy moves to the store, write them into events, forget what is old."""

from datetime import timedelta

from sqlalchemy import delete, func, select

from hogline_instance.db import Database, utc_now
from hogline_instance.jobs import Job
from hogline_instance.people.deletion import finish_deletions
from hogline_instance.people.earlier_events import give_people_to_earlier_events
from hogline_instance.people.overrides import publish_overrides, squash_overrides
from hogline_instance.people.tables import PersonlessIdRow, WarningRow
from hogline_instance.people.warnings import KEPT_PER_PROJECT
from hogline_instance.services import Services

__all__ = ["build_jobs", "forget_old"]

# A browser keeps an anonymous id for a year, so a later merge can name no older one.
_PERSONLESS_DAYS = 400


def build_jobs(services: Services) -> tuple[Job, ...]:
    """Return the jobs."""
    database, store = services.database, services.store
    return (
        # The step copies moves itself; the job does so after a crash, or when the store was away.
        Job("publish-overrides", 5.0, lambda: _ignore(publish_overrides(database, store))),
        Job(
            "people-of-earlier-events",
            5.0,
            lambda: _ignore(give_people_to_earlier_events(database, store, services.projects.all())),
        ),
        Job("squash-overrides", 3600.0, lambda: _ignore(squash_overrides(database, store))),
        Job("finish-person-deletions", 20.0, lambda: _ignore(finish_deletions(database, store))),
        Job("forget-old-people-notes", 3600.0, lambda: forget_old(database)),
    )


def forget_old(database: Database) -> None:
    """Delete the warnings beyond the newest of each project, and personless ids not used for long."""
    with database.transaction() as session:
        session.execute(
            delete(PersonlessIdRow).where(PersonlessIdRow.last_used_at < utc_now() - timedelta(days=_PERSONLESS_DAYS))
        )
        crowded = select(WarningRow.team_id).group_by(WarningRow.team_id).having(func.count() > KEPT_PER_PROJECT)
        for team_id in session.scalars(crowded).all():
            oldest_kept = session.scalar(
                select(WarningRow.id)
                .where(WarningRow.team_id == team_id)
                .order_by(WarningRow.id.desc())
                .offset(KEPT_PER_PROJECT - 1)
                .limit(1)
            )
            session.execute(delete(WarningRow).where(WarningRow.team_id == team_id, WarningRow.id < oldest_kept))


def _ignore(_count: int) -> None:
    """Accept a job's count, which nobody reads."""
