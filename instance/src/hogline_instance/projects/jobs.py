"""The job that keeps the projects in memory up to date."""

from hogline_instance.jobs import Job
from hogline_instance.services import Services

__all__ = ["build_jobs"]


def build_jobs(services: Services) -> tuple[Job, ...]:
    """Return the job."""
    return (Job("projects", services.settings.project_lookup_max_age_s, services.projects.refresh),)
