"""A spool whose files somebody removes, moves or replaces under the process.

It says so, and keeps its promise from then on.
"""

import os
import shutil
import signal
import subprocess
import sys
import textwrap

import pytest

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="the spool needs flock")

PRELUDE = """
import logging, os, shutil, signal, sys, threading, time
logging.basicConfig(format="%(message)s")
from pathlib import Path
from hogline import PostHog
spool = Path(os.environ["HOGLINE_SPOOL_DIR"])
client = PostHog("phc_test", host=os.environ["SINK"], flush_interval=60, flush_at=1000, max_retries=0)
def segments(): return sorted(spool.glob("*/*.spool"))
def kill(): os.kill(os.getpid(), signal.SIGKILL)
"""

CALAMITIES = {
    "the spool is removed": "shutil.rmtree(spool)",
    "the project's folder is removed": "shutil.rmtree(segments()[0].parent)",
    "the spool is renamed": "spool.rename(spool.with_name('old'))",
    "the project's folder is renamed": "segments()[0].parent.rename(spool / 'old')",
    "another folder is put in its place": "spool.rename(spool.with_name('old')); segments_folder().mkdir(parents=True, exist_ok=True)",
    "the file is unlinked": "segments()[0].unlink()",
    "the file is renamed": "segments()[0].rename(spool / 'old.txt')",
    "another file is put in its place": "path = segments()[0]; path.unlink(); path.write_bytes(b'')",
    "the file is replaced by its copy": "path = segments()[0]; shutil.copy(path, spool / 'c'); os.replace(spool / 'c', path)",
    "a file is put in the folder's place": "folder = segments()[0].parent; shutil.rmtree(folder); folder.write_text('')",
}


@pytest.fixture
def spool(tmp_path):
    return tmp_path / "spool"


@pytest.fixture
def run(sink, spool):
    """Run a script after the prelude in a process of its own, with the spool.

    Return its output and its log.
    """

    def start(script):
        script = "def segments_folder(): return folder\n" + textwrap.dedent(script)
        process = subprocess.run(
            [sys.executable, "-c", PRELUDE + script],
            env=os.environ | {"SINK": sink.url, "HOGLINE_SPOOL_DIR": str(spool)},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert "Traceback" not in process.stderr, process.stderr
        assert process.returncode in (0, -signal.SIGKILL), process.stderr
        return process.stdout.split(), process.stderr

    return start


@pytest.mark.parametrize("calamity", [name for name in CALAMITIES if "a file is put" not in name])
def test_events_captured_after_a_calamity_survive_the_process_and_so_do_those_before(run, make, sink, spool, calamity):
    """The files are written anew, the log says so, and `spooled` counts what the next process
    finds.
    """
    out, log = run(
        f"""
        client.capture("before", distinct_id="u")
        folder = segments()[0].parent
        {CALAMITIES[calamity]}
        print(client.stats().spooled)
        for n in range(3): client.capture(f"after{{n}}", distinct_id="u")
        print(client.stats().spooled, flush=True)
        kill()
        """
    )
    assert out == ["0", "4"]
    assert log.count("removed, moved or replaced") == 1
    client = make(spool_dir=spool)
    assert client.flush(20)
    names = [event.event for event in sink.events]
    if calamity == "the file is replaced by its copy":  # the copy holds the same event, with the same id
        assert {event.uuid: event.event for event in sink.events} and sorted(set(names)) == [
            "after0",
            "after1",
            "after2",
            "before",
        ]
    else:
        assert names == ["before", "after0", "after1", "after2"]
    assert client.stats().recovered == len(names)


@pytest.mark.parametrize("calamity", CALAMITIES)
def test_a_process_that_lives_sends_all_of_it_once(run, sink, spool, calamity):
    """Those that were on disk before, and those after.

    The ledger agrees, and nothing is left in the spool.
    """
    out, _ = run(
        f"""
        client.capture("before", distinct_id="u")
        folder = segments()[0].parent
        {CALAMITIES[calamity]}
        client.capture("after", distinct_id="u")
        flushed = client.flush(20)
        client.shutdown(20)
        stats = client.stats()
        assert stats.accepted == stats.sent + stats.waiting + sum(stats.dropped.values()), stats
        print(flushed, stats.waiting, stats.spooled, dict(stats.dropped) == {{}})
        """
    )
    if calamity == "the file is replaced by its copy":
        assert {event.event for event in sink.events} == {"before", "after"}
    else:
        assert sorted(event.event for event in sink.events) == ["after", "before"]
    assert out == ["True", "0", "0", "True"]


def test_events_in_flight_are_kept_too(run, make, sink, spool):
    """The server refused them for now, the folder goes, and the process is killed before
    the retry.
    """
    sink.answer(503, times=1)
    out, _ = run(
        """
        client.capture("in flight", distinct_id="u")
        assert client.flush(20) is False
        shutil.rmtree(spool)
        client.capture("later", distinct_id="u")
        print(client.stats().spooled, flush=True)
        kill()
        """
    )
    assert out == ["2"]
    sink.clear()
    client = make(spool_dir=spool)
    assert client.flush(20)
    assert [event.event for event in sink.events] == ["in flight", "later"]


def test_events_that_nobody_adds_to_are_written_anew_within_seconds(run, make, sink, spool):
    """The worker verifies the files while events wait; no capture has to come."""
    out, _ = run(
        """
        import hogline.delivery.spool.spool as module
        module._VERIFY_EVERY_S = 0.2
        client = PostHog("phc_test", host=os.environ["SINK"], flush_interval=60)
        logged = []
        logging.getLogger("hogline").addFilter(lambda record: logged.append(record.getMessage()) or True)
        client.capture("waits", distinct_id="u")
        shutil.rmtree(spool)
        until_s = time.monotonic() + 20
        while not (segments() and logged) and time.monotonic() < until_s: time.sleep(0.02)
        print(len(segments()), *logged, flush=True)
        kill()
        """
    )
    assert out[0] == "1"
    assert "removed, moved or replaced" in " ".join(out)
    client = make(spool_dir=spool)
    assert client.flush(20)
    assert [event.event for event in sink.events] == ["waits"]


def test_many_files_and_a_dead_processs_files_are_written_anew(run, make, sink, spool):
    """Every segment of this process, and those that it took over."""
    run("for n in range(30): client.capture(f'dead{n}', distinct_id='u')\nkill()")
    sink.answer(503, times=1)
    out, _ = run(
        """
        client = PostHog("phc_test", host=os.environ["SINK"], flush_interval=60, flush_at=1000, max_retries=0, spool_max_bytes=1024 * 1024)
        for n in range(40): client.capture(f"own{n}", distinct_id="u", properties={"x": "y" * 10_000})
        assert client.flush(20) is False  # the dead process's events are in flight, and wait for another round
        shutil.rmtree(spool)
        client.capture("last", distinct_id="u")
        print(client.stats().spooled, flush=True)
        kill()
        """
    )
    assert out == ["71"]
    sink.clear()
    client = make(spool_dir=spool)
    assert client.flush(30)
    assert {event.event for event in sink.events} == {
        *(f"dead{n}" for n in range(30)),
        *(f"own{n}" for n in range(40)),
        "last",
    }
    assert len(sink.events) == 71


def test_where_the_folder_cannot_be_made_again_events_wait_in_memory_and_are_counted_so(run, sink, spool):
    """A file stands in its way: `spooled` is 0, the log names the folder.

    Once the way is free, all of it is on disk.
    """
    out, log = run(
        """
        client.capture("before", distinct_id="u")
        folder = segments()[0].parent
        shutil.rmtree(folder); folder.write_text("in the way")
        for n in range(3): client.capture(f"after{n}", distinct_id="u")
        print(client.stats().spooled, client.stats().waiting)
        folder.unlink()
        time.sleep(1.2)
        client.capture("last", distinct_id="u")
        print(client.stats().spooled, client.stats().waiting)
        assert client.flush(20)
        """
    )
    assert out == ["0", "4", "5", "5"]
    assert "cannot be written" in log
    assert sorted(event.event for event in sink.events) == ["after0", "after1", "after2", "before", "last"]


def test_the_record_of_what_was_sent_survives_too(run, make, sink, spool):
    """Somebody removes the file beside the segment.

    What was sent is not sent again by the next process.
    """
    run(
        """
        client = PostHog("phc_test", host=os.environ["SINK"], flush_interval=60, flush_at=1000)
        ids = [client.capture(f"a{n}", distinct_id="u") for n in range(150)]
        sent = client.flush(20)
        ids = [client.capture(f"b{n}", distinct_id="u") for n in range(150)]
        assert client.flush(20)
        [path.unlink() for path in spool.glob("*/*.settled")]
        client.capture("c", distinct_id="u")
        assert client.flush(20)
        client.capture("d", distinct_id="u")
        kill()
        """
    )
    sink.clear()
    client = make(spool_dir=spool)
    assert client.flush(20)
    assert [event.event for event in sink.events] == ["d"]


def test_a_moved_spool_that_another_process_uses_sends_nothing_twice(run, make, sink, spool, tmp_path):
    """The events move to the new files: the old ones, under their new name, are empty."""
    run(
        """
        client.capture("before", distinct_id="u")
        spool.rename(spool.with_name("old"))
        client.capture("after", distinct_id="u")
        kill()
        """
    )
    old, new = make(spool_dir=tmp_path / "old"), make(spool_dir=spool)
    assert old.flush(20)
    assert new.flush(20)
    assert [event.event for event in sink.events] == ["before", "after"]


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs setitimer")
def test_a_handler_may_capture_while_the_files_are_written_anew(run, sink, spool):
    """Nothing is lost or counted twice, whenever it comes."""
    out, _ = run(
        """
        captured = 0
        until_s = time.monotonic() + 1.5
        def handle(*_):
            global captured
            captured += client.capture("handler", distinct_id="u") is not None
            if time.monotonic() < until_s: signal.setitimer(signal.ITIMER_REAL, 0.0005)
        signal.signal(signal.SIGALRM, handle)
        handle()
        own = 0
        while time.monotonic() < until_s:
            own += client.capture("main", distinct_id="u") is not None
            if own % 20 == 0: shutil.rmtree(spool, ignore_errors=True)
        signal.setitimer(signal.ITIMER_REAL, 0)
        assert client.flush(30)
        stats = client.stats()
        assert stats.waiting == 0 and stats.accepted == stats.sent + sum(stats.dropped.values()), stats
        print(own + captured, stats.sent)
        """
    )
    assert out[0] == out[1]
    assert len({event.uuid for event in sink.events}) == len(sink.events) == int(out[0]) > 0


def test_the_test_removes_what_it_means_to(spool):
    """`shutil.rmtree` of a folder that is not there would make the tests above say nothing."""
    with pytest.raises(FileNotFoundError):
        shutil.rmtree(spool)
