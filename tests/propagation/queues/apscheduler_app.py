"""APScheduler's jobs run where they are added.

That this survives a restart has a test of its own.
"""

from apscheduler.schedulers.background import BackgroundScheduler

from hogline.propagation.apscheduler import PostHogPropagation
from tests.propagation.queues import contract

WORKER = None
FEATURES = {"later"}

scheduler = BackgroundScheduler(job_defaults={"misfire_grace_time": None})  # a busy machine is late
if contract.ON:
    PostHogPropagation(scheduler, **contract.OPTIONS)
scheduler.start()

note, broken, caught, reused = contract.note, contract.broken, contract.caught, contract.reused


def child(label):
    contract.note(label)
    scheduler.add_job(note, args=[f"{label}-child"])


def send(task, label):
    if task == "later":
        from datetime import UTC, datetime, timedelta

        scheduler.add_job(note, "date", run_date=datetime.now(UTC) + timedelta(seconds=0.2), args=[label])
    else:
        scheduler.add_job(globals()[task], args=[label])


def close():
    scheduler.shutdown()
