import signal
import sys
from importlib import import_module
from importlib.util import find_spec

import django
from django.conf import settings

from tests.propagation.queues import contract

NAME = "django.tasks" if find_spec("django.tasks") else "django_tasks"  # Django 6's own, or its backport
settings.configure(
    DATABASES={
        "default": {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": contract.WORK / "tasks.db",
            "OPTIONS": {"timeout": 20},
        }
    },
    INSTALLED_APPS=["django_tasks_db", *([NAME] if NAME == "django_tasks" else [])],
    TASKS={
        "default": {"BACKEND": "django_tasks_db.DatabaseBackend"},
        "at once": {"BACKEND": f"{NAME}.backends.immediate.ImmediateBackend"},
    },
    USE_TZ=True,
)
django.setup()

from django.core.management import call_command  # noqa: E402 - after the set-up

from hogline.propagation.django import PostHogPropagation  # noqa: E402

django_task = import_module(NAME).task

WORKER = [sys.executable, "-c", "from tests.propagation.queues import django_app; django_app.work()"]
STOP = signal.SIGTERM
FEATURES = {"eager"}

if contract.ON:
    PostHogPropagation(**contract.OPTIONS)


@django_task
def note(label):
    contract.note(label)


@django_task(backend="at once")
def note_at_once(label):
    contract.note(label)


@django_task
async def child(label):
    contract.note(label)
    await note.aenqueue(f"{label}-child")


@django_task
def broken(label):
    contract.broken(label)


@django_task
def caught(label):
    contract.caught(label)


@django_task
def reused(label):
    contract.reused(label)


def prepare():
    call_command("migrate", verbosity=0)


def send(task, label):
    if task == "eager":
        note_at_once.enqueue(label)
    else:
        globals()[task].enqueue(label)


def work():
    call_command("db_worker", interval=0.05, startup_delay=False, verbosity=0)
