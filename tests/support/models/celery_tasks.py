"""Celery: each task captures one event. With LATE the client is created in the worker's child,
otherwise before the fork.
"""

import os
from pathlib import Path

from celery import Celery

folder = Path(os.environ["QUEUE"])
app = Celery("matrix")
app.conf.update(
    broker_url="filesystem://",
    broker_transport_options={
        "data_folder_in": str(folder / "queue"), "data_folder_out": str(folder / "queue"), "control_folder": str(folder / "control"),
    },
    worker_hijack_root_logger=False,
    broker_connection_retry_on_startup=True,
    worker_send_task_events=False,
    task_ignore_result=True,
)  # fmt: skip
if "LATE" not in os.environ:
    from tests.support.models import client  # noqa: F401 - made now


@app.task(name="note")
def note(name):
    from tests.support.models.client import capture

    with (folder / "accepted").open("a") as file:
        file.write(capture(name) + "\n")
