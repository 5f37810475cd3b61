"""The job that calculates cohorts which were changed, or whose people are old."""

from hogline_instance.cohorts.calculation import calculate_due
from hogline_instance.jobs import Job
from hogline_instance.services import Services

__all__ = ["build_jobs"]


def build_jobs(services: Services) -> tuple[Job, ...]:
    """Return the job."""
    return (Job("cohorts", 1.0, lambda: calculate_due(services.database, services.store)),)
