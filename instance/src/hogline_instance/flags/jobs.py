"""The jobs of flags: see changes of other processes, and make scheduled changes."""

from hogline_instance.flags.flag_set import flag_sets
from hogline_instance.flags.schedules import make_due_changes
from hogline_instance.jobs import Job
from hogline_instance.services import Services

__all__ = ["build_jobs"]

_SCHEDULE_S = 5.0


def build_jobs(services: Services) -> tuple[Job, ...]:
    """Return the jobs."""
    return (
        Job("flags", services.settings.project_lookup_max_age_s, flag_sets(services.database).refresh),
        Job("scheduled changes", _SCHEDULE_S, lambda: make_due_changes(services)),
    )
