"""The job that sends the messages of alerts."""

from hogline_instance.alerts.delivery import Deliverer
from hogline_instance.jobs import Job
from hogline_instance.services import Services

__all__ = ["build_jobs"]

_EVERY_S = 0.5


def build_jobs(services: Services) -> tuple[Job, ...]:
    """Return the job."""
    return (Job("alerts", _EVERY_S, Deliverer(services).send_due),)
