"""kill -9 while a message is being sent, and the job that finds spikes, on one data folder."""

import json
import os
import signal
import subprocess
import sys
import uuid

from tests.instance.alerts.calls import call, entry, exception, fail, log, make, python_frame, unique
from tests.instance.alerts.servers import OPTIONS
from tests.instance.reader import Reader

FIND_SPIKES = """
import json, sys
from pathlib import Path
from hogline_instance.features import FEATURES
from hogline_instance.settings import Settings
from hogline_instance.startup import open_services
quiet = [feature for feature in FEATURES if feature.jobs is None]
[errors] = [feature for feature in FEATURES if feature.name == "errors"]
services = open_services(Settings(data_dir=Path(sys.argv[1]), port=0), quiet)
[job] = [job for job in errors.jobs(services) if job.name == "error-spikes"]
job.run()
job.run()
from sqlalchemy import select
from hogline_instance.alerts.tables import DeliveryRow
with services.database.session() as session:
    rows = session.scalars(select(DeliveryRow).where(DeliveryRow.kind == "spiking")).all()
    print(json.dumps([[row.alert_id, row.detail] for row in rows]))
services.close()
"""


def test_a_message_in_flight_at_kill_9_is_sent_after_the_restart_under_its_id(serve, tmp_path, hooks):
    """At least once, with one row. Then a spike becomes an occasion of the alerts that match it."""
    kind, path = unique(), f"/{uuid.uuid4()}"
    dying = serve(tmp_path / "data", environ=OPTIONS)
    hooks.answers[path] = [(lambda: os.kill(dying.pid, signal.SIGKILL), {})]
    client = Reader(dying.url, dying.token, dying.key)
    alert = make(client, url=hooks.url + path, triggers=["created", "spiking"])
    other = make(
        client,
        url=hooks.url + path,
        triggers=["spiking"],
        filters={"type": "AND", "values": [{"key": "$lib", "value": "web", "operator": "exact"}]},
    )
    call(client, "PATCH", "spike_detection_config/", {"threshold": 3, "multiplier": 1})
    client.send(exception(entry(kind, "v", [python_frame(f"fn_{kind}")])))
    hooks.wait(path)
    assert dying.process.wait(30) == -signal.SIGKILL
    dying.kill()  # only closes its pipe
    served = serve(tmp_path / "data", environ=OPTIONS)
    client = Reader(served.url, served.token, served.key)
    first, second = hooks.wait(path, 2)
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    [row] = log(client, alert, status="sent")
    assert row["message_id"] == first.headers["webhook-id"]
    issues = {fail(client, kind) for _ in range(4)}
    assert issues == {row["issue_id"]}
    assert len(call(client, "GET", "alerts/deliveries/")["results"]) == 1
    assert served.stop() == 0
    assert len(hooks.at(path)) == 2
    command = [sys.executable, "-W", "ignore", "-c", FIND_SPIKES, str(tmp_path / "data")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=True)
    [[alert_id, detail]] = json.loads(done.stdout.splitlines()[-1])
    assert alert_id == alert["id"] != other["id"]
    assert detail["count"] == 5
    assert detail["library"] == "posthog-python"
