import signal
import sys
import time

from celery import Celery, chain, group
from celery.exceptions import Ignore, Reject

from hogline.propagation.celery import PostHogPropagation
from tests.propagation.queues import contract

WORKER = [
    sys.executable, "-m", "celery", "-A", "tests.propagation.queues.celery_app", "worker", "--pool=prefork", "-c", "1", "-l", "warning",
    "--without-gossip", "--without-mingle", "--without-heartbeat",
]  # fmt: skip
STOP = signal.SIGTERM
FEATURES = {"retries", "later", "chain", "group", "eager", "control", "expected", "late", "killed"}

# Celery's broker of files: its Redis transport wants a newer client than arq allows.
folder = str(contract.WORK / "broker")
app = Celery("contract", broker="filesystem://", backend=f"file://{contract.WORK}/results")
app.conf.update(
    broker_transport_options={
        "data_folder_in": folder, "data_folder_out": folder, "control_folder": f"{folder}-control", "polling_interval": 0.05
    },
    worker_hijack_root_logger=False, worker_prefetch_multiplier=1,
)  # fmt: skip
if contract.ON:
    PostHogPropagation(**contract.OPTIONS)


@app.task
def note(label):
    contract.note(label)


@app.task
def child(label):
    contract.note(label)
    note.delay(f"{label}-child")


@app.task(bind=True, max_retries=1)
def broken(self, label):
    try:
        contract.broken(label)
    except contract.Mistake as error:
        raise self.retry(exc=error, countdown=0) from error


@app.task
def caught(label):
    contract.caught(label)


@app.task
def reused(label):
    contract.reused(label)


@app.task(acks_late=True)
def control(label):
    contract.done(label)
    raise Reject(label, requeue=False) if label.endswith("reject") else Ignore(label)


@app.task(throws=(contract.Mistake,))
def expected(label):
    contract.broken(label)


@app.task(soft_time_limit=1)
def late(label):
    contract.done(label)
    time.sleep(60)


@app.task(time_limit=1)
def killed(label):
    contract.done(label)
    time.sleep(60)


def prepare():
    for name in ("broker", "broker-control", "results"):
        (contract.WORK / name).mkdir()


def send(task, label):
    if task == "later":
        note.apply_async((label,), countdown=0.2)
    elif task == "chain":
        chain(note.si(f"{label}-1"), note.si(f"{label}-2"))()
    elif task == "group":
        group(note.si(f"{label}-1"), note.si(f"{label}-2"))()
    elif task == "eager":
        note.apply((label,))
    elif task == "control":
        control.delay(label)
        control.delay(f"{label}-reject")
    else:
        globals()[task].delay(label)
