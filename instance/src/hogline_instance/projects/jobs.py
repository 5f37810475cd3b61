"""The jobs that keep the projects in memory up to date, and delete the events of deleted ones."""

from hogline_instance.jobs import Job
from hogline_instance.projects.changes import purge_deleted
from hogline_instance.services import Services

__all__ = ["build_jobs"]

_PURGE_EVERY_S = 15.0


def build_jobs(services: Services) -> tuple[Job, ...]:
    """Return the jobs."""
    return (
        Job("projects", services.settings.project_lookup_max_age_s, services.projects.refresh),
        Job("deleted-projects", _PURGE_EVERY_S, lambda: purge_deleted(services.database, services.store)),
    )
