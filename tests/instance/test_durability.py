"""Every acknowledged event is stored once, after kill -9, torn writes or a full disk."""

import json
import os
import random
import resource
import signal
import subprocess
import sys
import threading
import time
import uuid
from pathlib import Path

import pytest
import urllib3

from hogline_instance.journal.records import frame, read_segment
from tests.instance.reader import Reader, event
from tests.support.instances import printed_keys, start_instance


def reader_of(served):
    return Reader(served.url, served.token, served.key)


class Load:
    """Threads that send numbered events until the server stops, recording acknowledged ones."""

    def __init__(self, served, name, *, threads=4, batch=5):
        self.acknowledged: list[str] = []
        self.offered: set[str] = set()
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._served, self._name, self._batch = served, name, batch
        self._threads = [threading.Thread(target=self._send) for _ in range(threads)]
        for thread in self._threads:
            thread.start()

    def _send(self):
        pool = urllib3.PoolManager(retries=False, timeout=20)
        while not self._stop.is_set():
            batch = [event(self._name) for _ in range(self._batch)]
            ids = [one["uuid"] for one in batch]
            with self._lock:
                self.offered.update(ids)
            body = json.dumps({"api_key": self._served.token, "batch": batch})
            try:
                answer = pool.request("POST", f"{self._served.url}/batch/", body=body)
            except urllib3.exceptions.HTTPError:
                return
            if answer.status == 200:
                with self._lock:
                    self.acknowledged += ids

    def wait_until_acknowledged(self):
        """Wait for the first response, which takes long on a busy machine."""
        deadline = time.monotonic() + 60
        while not self.acknowledged:
            assert time.monotonic() < deadline, "no batch was acknowledged"
            time.sleep(0.01)

    def stop(self):
        self._stop.set()
        for thread in self._threads:
            thread.join()
        assert self.acknowledged


def stored_ids(reader, name):
    """Return the ids of every stored row of that name, through the API's pages."""
    ids, answer = [], reader.get("/api/projects/@current/events/", event=name, limit=1000).json()
    while True:
        ids += [found["uuid"] for found in answer["results"]]
        if answer["next"] is None:
            return ids
        answer = reader.get(answer["next"]).json()


def wait_stored(reader, acknowledged, name):
    deadline = time.monotonic() + 60
    while set(acknowledged) - set(ids := stored_ids(reader, name)):
        assert time.monotonic() < deadline, f"{len(set(acknowledged) - set(ids))} acknowledged events are missing"
        time.sleep(0.2)
    return ids


def rows(served, name):
    """Count rows in the table itself, including duplicates, after the instance has stopped."""
    script = (
        "import sys; from hogline_instance.store import Store\n"
        "store = Store(f'chdb:///{sys.argv[1]}', query_max_s=60, query_max_bytes=10**9)\n"
        "print(store.query('SELECT count() AS n FROM analytics.events WHERE event = {name:String}', {'name': sys.argv[2]})[0]['n'])"
    )
    command = [sys.executable, "-W", "ignore", "-c", script, str((served.data_dir / "store").resolve()), name]
    return int(subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout)


@pytest.mark.timeout(300)
def test_killed_at_random_moments_every_acknowledged_event_is_stored_once(serve, tmp_path):
    """Four rounds of load, kill -9 and restart on one folder."""
    name = f"kill-{uuid.uuid4()}"
    acknowledged: list[str] = []
    offered: set[str] = set()
    for _ in range(4):
        served = serve(tmp_path / "data")
        load = Load(served, name)
        load.wait_until_acknowledged()
        time.sleep(random.uniform(0.0, 1.2))
        served.kill()
        load.stop()
        acknowledged += load.acknowledged
        offered |= load.offered
    served = serve(tmp_path / "data")
    ids = wait_stored(reader_of(served), acknowledged, name)
    assert len(ids) == len(set(ids))
    assert set(acknowledged) <= set(ids) <= offered
    assert served.stop() == 0
    assert rows(served, name) == len(ids)


def test_asked_to_end_it_stores_what_it_accepted_and_ends_cleanly(serve):
    """SIGTERM and Ctrl-C both end with status 0, an empty journal and every event in the store."""
    for number in (signal.SIGTERM, signal.SIGINT):
        served = serve()
        name = f"drain-{uuid.uuid4()}"
        reader_of(served).send(*[event(name) for _ in range(500)])
        assert served.stop(number) == 0, "\n".join(served.log)
        assert rows(served, name) == 500
        assert json.loads((served.data_dir / "journal" / "checkpoint.json").read_text())["doing"] is None


def test_a_torn_tail_is_set_aside_and_what_stands_before_and_behind_it_is_stored(serve, tmp_path):
    """A truncated record and corrupt bytes in the middle are counted and kept in a file, and never
    fatal.
    """
    served = serve(tmp_path / "data", environ={"HOGLINE_FLUSH_INTERVAL_S": "30"})
    name = f"torn-{uuid.uuid4()}"
    reader = reader_of(served)
    for _ in range(3):
        reader.send(event(name))
    served.kill()
    [segment] = sorted((tmp_path / "data" / "journal").glob("*.journal"))
    raw = segment.read_bytes()
    third = raw.index(b"HJ", raw.index(b"HJ", 2) + 2)
    second = raw.index(b"HJ", 2)
    segment.write_bytes(raw[: second + 40] + b"\x00\x00" + raw[second + 42 :] + raw[third : third + 50])
    served = serve(tmp_path / "data")
    assert len(reader_of(served).wait_for(2, event=name)) == 2
    assert len(list((tmp_path / "data" / "journal").glob("damaged-*"))) == 2
    ready = reader_of(served).get("/_ready").json()
    assert ready["journal_damaged_bytes"] > 50


def test_a_second_process_on_the_folder_is_told_who_holds_it(instance):
    """The message names the process; the store's own message would not."""
    with pytest.raises(AssertionError) as refused:
        start_instance(instance.data_dir)
    assert f"is held by process {instance.pid}" in str(refused.value)
    reader_of(instance).send(event("still served"))


def test_a_full_disk_is_answered_with_503_and_a_reason_and_loses_nothing(serve, tmp_path):
    """A limit of 300 kB per file stops the journal; every acknowledged event is there after a
    restart.
    """

    def small_files():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, resource.RLIM_INFINITY))

    prepared = serve(tmp_path / "data")
    assert prepared.stop() == 0
    served = serve(tmp_path / "data", preexec=small_files, environ={"HOGLINE_FLUSH_INTERVAL_S": "60"})
    name = f"full-{uuid.uuid4()}"
    acknowledged, refused = [], None
    pool = urllib3.PoolManager(retries=False, timeout=20)
    for _ in range(40):
        batch = [event(name, pad="x" * 2000) for _ in range(10)]
        answer = pool.request(
            "POST", f"{served.url}/batch/", body=json.dumps({"api_key": served.token, "batch": batch})
        )
        if answer.status == 200:
            acknowledged += [one["uuid"] for one in batch]
        else:
            refused = answer
            break
    assert refused is not None
    assert (refused.status, refused.headers["retry-after"]) == (503, "5")
    assert b"disk" in refused.data
    served.kill()
    again = serve(tmp_path / "data")
    wait_stored(reader_of(again), acknowledged, name)


def test_a_disk_that_fills_before_the_store_has_the_events_is_waited_for(serve):
    """Acknowledged events wait in the journal, `/_ready` fails, and work resumes when there is
    space.
    """
    served = serve(environ={"HOGLINE_FLUSH_INTERVAL_S": "2"})
    name = f"room-{uuid.uuid4()}"
    reader = reader_of(served)
    reader.send(*[event(name) for _ in range(50)])
    resource.prlimit(served.pid, resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
    deadline = time.monotonic() + 30
    while not any("pipeline: try" in line for line in served.log):
        assert time.monotonic() < deadline, "\n".join(served.log)
        time.sleep(0.05)
    ready = reader.get("/_ready")
    assert (ready.status, ready.json()["status"]) == (503, "the journal cannot be written")
    resource.prlimit(served.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    assert len(reader.wait_for(50, event=name)) == 50
    while reader.get("/_ready").status != 200:
        assert time.monotonic() < deadline, reader.get("/_ready").data
        time.sleep(0.05)


def test_a_row_that_the_store_cannot_read_is_set_aside_and_holds_up_no_other(serve):
    """The other rows are stored; this one, of a later version, is kept, counted and logged."""
    served = serve(environ={"HOGLINE_FLUSH_INTERVAL_S": "60"})
    name = f"row-{uuid.uuid4()}"
    reader_of(served).send(*[event(name) for _ in range(7)])
    served.kill()
    [segment] = (served.data_dir / "journal").glob("*.journal")
    [record] = read_segment(segment, 1, 0)
    lines = record.payload.split(b"\n")
    lines[3] = b'{"team_id": "no number"}'
    segment.write_bytes(frame(b"\n".join(lines)))
    again = serve(served.data_dir)
    reader = reader_of(again)
    assert len(reader.wait_for(6, event=name)) == 6
    assert (served.data_dir / "rejected.jsonl").read_bytes() == lines[3] + b"\n"
    assert reader.get("/_ready").json()["rejected_events"] == 1
    assert not again.stop()


def test_a_store_that_lags_behind_is_answered_with_503(serve):
    """The journal is bounded, and a full one refuses events rather than losing them."""
    served = serve(environ={"HOGLINE_JOURNAL_MAX_BYTES": str(1024 * 1024), "HOGLINE_FLUSH_INTERVAL_S": "60"})
    pool = urllib3.PoolManager(retries=False, timeout=20)
    body = json.dumps({"api_key": served.token, "batch": [event("x", pad="y" * 200_000)]})
    statuses = [pool.request("POST", f"{served.url}/batch/", body=body) for _ in range(8)]
    assert [answer.status for answer in statuses][:3] == [200, 200, 200]
    assert statuses[-1].status == 503
    assert b"journal_max_bytes=1048576" in statuses[-1].data


def test_keys_are_printed_again_without_a_server_and_survive_a_restart(serve):
    """`hogline keys --data DIR --json` prints the same keys."""
    served = serve()
    expected = {"url": served.url, "project_token": served.token, "personal_key": served.key}
    assert printed_keys(served.data_dir) == expected
    assert served.stop() == 0
    assert printed_keys(served.data_dir) == expected
    again = serve(served.data_dir)
    assert (again.token, again.key) == (served.token, served.key)
    assert oct((Path(served.data_dir) / "personal-key").stat().st_mode)[-3:] == "600"


@pytest.mark.parametrize(
    ("options", "environ", "says"),
    [
        (["--host", "0.0.0.0"], {}, "HOGLINE_ADMIN_PASSWORD"),
        (["--posthog-js", "/nowhere"], {}, "has no array.js"),
        ([], {"HOGLINE_FLUSH_ROWS": "many"}, "(from HOGLINE_FLUSH_ROWS)"),
        ([], {"HOGLINE_FLUSH_ROWS": "0"}, "at least 1, got 0 (from HOGLINE_FLUSH_ROWS)"),
        ([], {"HOGLINE_DATABASE_URL": "nonsense"}, "database_url cannot be opened"),
        ([], {"HOGLINE_STORE_URL": "http://user:secret@127.0.0.1:1"}, "the store http://***@127.0.0.1:1 cannot be opened"),
        (["--port", "1"], {}, "choose another port") if os.getuid() else (["--host", "203.0.113.1"], {"HOGLINE_ADMIN_PASSWORD": "x"}, "cannot listen on"),
    ],
)  # fmt: skip
def test_what_cannot_work_ends_the_start_with_what_to_do(tmp_path, options, environ, says):
    """It exits at once, with one line that says what to do."""
    run = subprocess.run(
        [sys.executable, "-m", "hogline.cli", "serve", "--data", str(tmp_path / "data"), "--port", "0", *options],
        env={**os.environ, **environ}, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert run.returncode == 1
    assert says in run.stderr
    assert "Traceback" not in run.stderr


def test_it_ends_at_once_with_a_live_stream_open(serve):
    """An open live stream must not keep the instance from stopping."""
    served = serve()
    pool = urllib3.PoolManager(retries=False, timeout=30)
    stream = pool.request(
        "GET", f"{served.url}/api/projects/@current/live",
        headers={"Authorization": f"Bearer {served.key}"}, preload_content=False,
    )  # fmt: skip
    assert stream.status == 200
    assert stream.read(8)
    begun = time.monotonic()
    assert served.stop() == 0, "\n".join(served.log)
    assert time.monotonic() - begun < 8
    assert not [line for line in served.log if "Traceback" in line], "\n".join(served.log)
    stream.release_conn()
