import signal
import sys
import time

from redis import Redis
from rq import Queue, Retry, get_current_job
from rq import Worker as PlainWorker

from hogline.propagation.rq import PostHogQueue, PostHogWorker
from tests.propagation.queues import contract

WORKER = [
    sys.executable, "-m", "rq.cli", "worker", "--url", contract.REDIS_URL, "--with-scheduler", "--quiet",
    "--worker-class", "tests.propagation.queues.rq_app.Worker",
]  # fmt: skip
STOP = signal.SIGTERM
FEATURES = {"retries", "later", "chain", "eager", "control", "late"}

broker = Redis.from_url(contract.REDIS_URL)


class Worker(PostHogWorker if contract.ON else PlainWorker):
    propagation = contract.OPTIONS


class Carrying(PostHogQueue if contract.ON else Queue):
    propagation = contract.OPTIONS


def queue(**options):
    return Carrying(connection=broker, **options)


note, broken, caught, reused = contract.note, contract.broken, contract.caught, contract.reused


def child(label):
    contract.note(label)
    queue().enqueue(note, f"{label}-child")


def control(label):
    contract.done(label)
    return None if get_current_job().number_of_retries else Retry(max=1)


def late(label):
    contract.done(label)
    time.sleep(60)


def send(task, label):
    if task == "later":
        from datetime import timedelta

        queue().enqueue_in(timedelta(seconds=0.2), note, label)
    elif task == "chain":
        first = queue().enqueue(note, f"{label}-1")
        queue().enqueue(note, f"{label}-2", depends_on=first)
    elif task == "eager":
        queue(is_async=False).enqueue(note, label)
    elif task == "broken":
        queue().enqueue(broken, label, retry=Retry(max=1))
    else:
        queue().enqueue(globals()[task], label, job_timeout=1 if task == "late" else None)
