"""Damaged state: a checkpoint that does not fit its journal, a full disk, a missing database."""

import json
import shutil
import subprocess
import sys
import time
from itertools import product

import pytest

from hogline_instance.journal.checkpoint import read_checkpoint
from tests.instance.reader import Reader, event
from tests.support.instances import start_instance

NEVER = {"HOGLINE_FLUSH_INTERVAL_S": "3600", "HOGLINE_FLUSH_ROWS": "10000000"}
WRONG = {
    "an offset past the end": lambda segment: {"done": [segment, 100_000_000], "doing": None},
    "a segment past the end": lambda segment: {"done": [999_999, 0], "doing": None},
    "a negative offset": lambda segment: {"done": [segment, -5], "doing": None},
    "texts": lambda segment: {"done": ["1", "0"], "doing": None},
    "three numbers": lambda segment: {"done": [1, 2, 3], "doing": None},
    "a range past the end": lambda segment: {"done": [segment, 0], "doing": [segment, 10**9]},
    "a list": lambda segment: [1, 2],
    "nothing": lambda segment: {},
    "booleans": lambda segment: {"done": [True, False], "doing": None},
}


@pytest.mark.parametrize("wrong", WRONG, ids=str)
def test_a_position_outside_the_journal_is_not_believed(tmp_path, caplog, wrong):
    """All records are processed again and deduplicated by id, and the log says so."""
    (tmp_path / "checkpoint.json").write_text(json.dumps(WRONG[wrong](3)))
    assert read_checkpoint(tmp_path, {2: 500, 3: 1000}) is None
    assert "processed again" in caplog.text


def test_a_position_inside_the_journal_is_believed(tmp_path):
    """Positions at either end of a segment are valid, and any position when no segment is left."""
    for place in (0, 1000):
        (tmp_path / "checkpoint.json").write_text(json.dumps({"done": [3, place], "doing": [3, 1000], "name": "n"}))
        assert read_checkpoint(tmp_path, {2: 500, 3: 1000}) is not None
    assert read_checkpoint(tmp_path, {}) is not None


def test_accepted_events_survive_a_checkpoint_from_another_copy(serve, tmp_path):
    """Fifty accepted events are all stored after kill -9 and with a checkpoint past their end."""
    served = serve(environ=NEVER)
    reader = Reader(served.url, served.token, served.key)
    for number in range(50):
        reader.send(event(f"kept{number}"))
    served.kill()
    [segment] = sorted((tmp_path / "data" / "journal").glob("*.journal"))
    checkpoint = {"done": [int(segment.name.partition(".")[0]), 100_000_000], "doing": None}
    (tmp_path / "data" / "journal" / "checkpoint.json").write_text(json.dumps(checkpoint))
    again = serve()
    reader = Reader(again.url, again.token, again.key)
    assert len({one["event"] for one in reader.wait_for(50)}) == 50
    assert any("processed again" in line for line in again.log)


def test_replay_takes_time_in_proportion(serve):
    """Six thousand records of one event each are stored within seconds of a restart."""
    served = serve(environ=NEVER)
    pool = Reader(served.url, served.token, served.key)
    body = json.dumps({"api_key": pool.token, "batch": [event("many")]}).encode()
    for _ in range(6000):
        pool.send(body=body)
    served.kill()
    again = serve(environ={"HOGLINE_FLUSH_ROWS": "1000000"})
    reader = Reader(again.url, again.token, again.key)
    deadline = time.monotonic() + 30
    while reader.get("/_ready", key=None).json()["stored_events"] < 6000:
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_a_lost_database_beside_a_full_store_is_refused(tmp_path, subtests):
    """With new keys, every SDK would get 200 and lose its events.

    The message says what to do, and the key file stays. With the database back, the instance
    starts with its old keys.
    """
    folder = tmp_path / "data"
    served = start_instance(folder)
    served.stop()
    database = folder / "projects.sqlite3"
    copy = shutil.copy(database, tmp_path)
    for command, how in product(("serve", "keys"), ("removed", "emptied")):
        _remove(database)
        if how == "emptied":
            database.touch()
        with subtests.test(command=command, how=how):
            _assert_refused(command, folder, served.key)
    _remove(database)
    shutil.copy(copy, database)
    again = start_instance(folder)
    assert (again.token, again.key) == (served.token, served.key)
    again.stop()


def _remove(database):
    for file in database.parent.glob(f"{database.name}*"):
        file.unlink()


def _assert_refused(command, folder, key):
    arguments = [sys.executable, "-m", "hogline.cli", command, "--data", str(folder)]
    port = ["--port", "0"] if command == "serve" else []
    run = subprocess.run([*arguments, *port], capture_output=True, text=True, timeout=60, check=False)
    assert run.returncode == 1
    assert "restore the database" in run.stderr
    assert "Traceback" not in run.stderr
    assert (folder / "personal-key").read_text().strip() == key


def test_keys_are_letters_and_digits(instance):
    """A double click selects the whole key."""
    assert instance.token.removeprefix("phc_").isalnum()
    assert instance.key.removeprefix("phx_").isalnum()
