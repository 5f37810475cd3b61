"""The same few tasks, once for each queue: the contract that `test_tasks.py` asks real senders and
workers about.

A queue's file makes its broker in the folder `WORK` or at `REDIS_URL`, installs propagation where
`ON` says so, and holds

- `send(task, label)`: queue that task, from wherever it is called;
- `WORKER`: the command that starts a worker, `STOP`: the signal that ends it in good order;
- `FEATURES`: which of the tasks below it has beside the first five, and whether a broken task has
  `retries`.

| task | what it does |
|---|---|
| note | captures "note <label>" |
| child | captures "note <label>", then sends note "<label>-child" |
| broken | raises Mistake(label); where the queue retries, in two attempts |
| caught | captures its Mistake by hand, and raises it again |
| reused | raises the one instance REUSED |
| later | note, sent to run in a moment |
| chain | two notes, "<label>-1" and then "<label>-2", as the queue strings tasks together |
| group | two notes, "<label>-1" and "<label>-2", as the queue sends many |
| eager | note, run on the spot, in the sender's own process |
| control | whatever the queue's tasks raise to say something that is no mistake |
| expected | raises Mistake(label), which the queue was told to expect |
| late | takes longer than it may |
"""

import os
import time
from pathlib import Path

from hogline import PostHog

WORK = Path(os.environ["WORK"])
REDIS_URL = os.environ.get("REDIS_URL", "")
ON = os.environ.get("PROPAGATION", "on") == "on"
# By default nothing is sent before the process ends: a worker's shutdown flushed all that arrives.
FLUSH_INTERVAL_S = float(os.environ.get("FLUSH_INTERVAL_S", "3600"))
posthog = PostHog("phc_queue", host=os.environ["SINK"], flush_interval=FLUSH_INTERVAL_S, flush_at=100_000)
OPTIONS = {"client": posthog, "tags": ["plan"], "every_attempt": os.environ.get("EVERY_ATTEMPT") == "1"}


class Mistake(Exception):  # noqa: N818 - it is one
    """The exception that broken tasks raise."""


REUSED = Mistake("reused")


def done(label):
    """Tell the test that an attempt at *label* has run."""
    (WORK / "done" / f"{label} {time.time_ns()}").touch()


def note(label):
    posthog.capture(f"note {label}", properties={"pid": os.getpid()})
    if not ON:
        posthog.flush()  # nobody does it for us
    done(label)


def broken(label):
    done(label)
    raise Mistake(label)


def caught(label):
    done(label)
    try:
        raise Mistake(label)
    except Mistake as error:
        posthog.capture_exception(error)
        raise


def reused(label):
    done(label)
    raise REUSED
