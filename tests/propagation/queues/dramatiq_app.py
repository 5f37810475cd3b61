import signal
import sys
import time

import dramatiq
from dramatiq.brokers.redis import RedisBroker

from hogline.propagation.dramatiq import PostHogPropagation
from tests.propagation.queues import contract

WORKER = [
    sys.executable, "-m", "dramatiq", "tests.propagation.queues.dramatiq_app", "--processes", "1", "--threads", "1",
    "--worker-shutdown-timeout", "10000",
]  # fmt: skip
STOP = signal.SIGTERM
FEATURES = {"retries", "later", "chain", "group", "control", "expected", "late"}

broker = RedisBroker(url=contract.REDIS_URL)
dramatiq.set_broker(broker)
if contract.ON:
    PostHogPropagation(broker, **contract.OPTIONS)


@dramatiq.actor
def note(label):
    contract.note(label)


@dramatiq.actor
def child(label):
    contract.note(label)
    note.send(f"{label}-child")


@dramatiq.actor(max_retries=1, min_backoff=10, max_backoff=20)
def broken(label):
    contract.broken(label)


@dramatiq.actor(max_retries=0)
def caught(label):
    contract.caught(label)


@dramatiq.actor(max_retries=0)
def reused(label):
    contract.reused(label)


@dramatiq.actor(max_retries=0)
def control(label):
    contract.done(label)
    raise dramatiq.Retry(label, delay=10)


@dramatiq.actor(throws=contract.Mistake)
def expected(label):
    contract.broken(label)


@dramatiq.actor(time_limit=500, max_retries=0)
def late(label):
    contract.done(label)
    for _ in range(600):  # it is interrupted between two steps of the interpreter
        time.sleep(0.1)


def send(task, label):
    if task == "later":
        note.send_with_options(args=(label,), delay=200)
    elif task == "chain":
        (note.message(f"{label}-1") | note.message_with_options(args=(f"{label}-2",), pipe_ignore=True)).run()
    elif task == "group":
        dramatiq.group([note.message(f"{label}-1"), note.message(f"{label}-2")]).run()
    else:
        globals()[task].send(label)
