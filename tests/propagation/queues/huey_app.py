import signal
import sys

from huey import CancelExecution, RetryTask, SqliteHuey
from huey.serializer import SignedSerializer

from hogline.propagation.huey import PostHogPropagation
from tests.propagation.queues import contract

WORKER = [
    sys.executable, "-m", "huey.bin.huey_consumer", "tests.propagation.queues.huey_app.huey", "-w", "1", "-k", "process", "-q",
    "-d", "0.05", "-m", "0.1", "-s", "1",
]  # fmt: skip
STOP = signal.SIGINT
FEATURES = {"retries", "later", "chain", "group", "eager", "control"}

huey = SqliteHuey(
    "contract", filename=str(contract.WORK / "huey.db"), serializer=SignedSerializer(secret="of the test")
)
at_once = SqliteHuey("at once", filename=str(contract.WORK / "at_once.db"), immediate=True)
if contract.ON:
    PostHogPropagation(huey, **contract.OPTIONS)
    PostHogPropagation(at_once, **contract.OPTIONS)


@huey.task()
def note(label):
    contract.note(label)


@at_once.task()
def note_at_once(label):
    contract.note(label)


@huey.task()
def second(label, _result):
    contract.note(label)


@huey.task()
def first(label):
    contract.note(label)
    return True


@huey.task()
def child(label):
    contract.note(label)
    note(f"{label}-child")


@huey.task(retries=1)
def broken(label):
    contract.broken(label)


@huey.task()
def caught(label):
    contract.caught(label)


@huey.task()
def reused(label):
    contract.reused(label)


_asked = contract.WORK / "asked"


@huey.task()
def control(label):
    contract.done(label)
    if label.endswith("cancel"):
        raise CancelExecution(label)
    if not _asked.exists():
        _asked.touch()
        raise RetryTask(label)


def send(task, label):
    if task == "later":
        note.schedule((label,), delay=1)
    elif task == "chain":
        huey.enqueue(first.s(f"{label}-1").then(second, f"{label}-2"))
    elif task == "group":
        note.map([f"{label}-1", f"{label}-2"])
    elif task == "eager":
        note_at_once(label)
    elif task == "control":
        control(label)
        control(f"{label}-cancel")
    else:
        globals()[task](label)
