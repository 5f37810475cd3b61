"""The background jobs of all features."""

import subprocess
import sys

CALL_JOBS = """
import sys
from pathlib import Path
from sqlalchemy import delete
from hogline_instance.features import FEATURES
from hogline_instance.projects.tables import ProjectRow
from hogline_instance.settings import Settings
from hogline_instance.startup import open_services

services = open_services(Settings(data_dir=Path(sys.argv[1]), port=0))
with services.database.transaction() as session:
    session.add(ProjectRow(id=77, name="short-lived", token="phc_short_lived"))
services.projects.refresh()
assert services.projects.by_id(77) is not None
with services.database.transaction() as session:
    session.execute(delete(ProjectRow).where(ProjectRow.id == 77))
jobs = [job for feature in FEATURES if feature.jobs is not None for job in feature.jobs(services)]
jobs.sort(key=lambda job: job.name == "projects")  # which looks for deleted projects
for job in jobs:
    try:
        job.run()
    except Exception as error:
        print(job.name, repr(error))
print(len(jobs), "jobs")
services.close()
"""


def test_no_job_fails_when_another_process_deletes_a_project(tmp_path):
    """The lookup still lists it for some seconds, and a job may hold an older list."""
    command = [sys.executable, "-W", "ignore", "-c", CALL_JOBS, str(tmp_path / "data")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=True)
    *failed, count = done.stdout.splitlines()
    assert failed == []
    assert int(count.split()[0]) >= 15
    assert "Traceback" not in done.stderr
