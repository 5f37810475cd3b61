"""Accepted events are on disk in the spool, and are sent once.

This holds whatever becomes of process, server and disk.
"""

import os
import resource
import signal
import subprocess
import sys
import threading
from pathlib import Path

import orjson
import pytest

from hogline.wire.records import HEADER_BYTES, frame, scan
from tests.support.scripts import PRELUDE, run_script

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="the spool needs flock")


@pytest.fixture
def spool(tmp_path):
    return tmp_path / "spool"


@pytest.fixture
def run(sink, spool):
    """Run a script after the prelude in a process of its own, with the spool.

    Return its output, and how it ended.
    """

    def start(script, **how):
        process = run_script(sink, script, environ={"HOGLINE_SPOOL_DIR": str(spool)}, **how)
        assert "Traceback" not in process.stderr, process.stderr
        return process.stdout, process.returncode

    return start


def fill(client, count, name="e"):
    return [client.capture(f"{name}{n}", distinct_id="u") for n in range(count)]


def balanced(client):
    stats = client.stats()
    assert stats.accepted == stats.sent + stats.waiting + sum(stats.dropped.values())
    return stats


def on_disk(spool):
    """Return the names of the events in the spool's segments, oldest first."""
    found = []
    for path in sorted(spool.glob("*/*.spool")):
        data = path.read_bytes()
        found += [orjson.loads(data[begin + HEADER_BYTES : end])["event"] for begin, end, whole in scan(data) if whole]
    return found


def left(spool):
    """Return the names of all files in the spool but the lock's."""
    return sorted(path.name for path in spool.rglob("*") if path.is_file() and path.name != "drain.lock")


def arrived(sink):
    return [event.event for event in sink.events]


KILL = "print(*ids, flush=True); os.kill(os.getpid(), signal.SIGKILL)"


def test_an_event_is_on_disk_before_capture_returns_and_gone_when_it_was_sent(make, sink, spool):
    """Nobody but the owner may read it."""
    client = make(spool_dir=spool)
    assert client.capture("a", distinct_id="u")
    assert on_disk(spool) == ["a"]
    assert balanced(client).spooled == 1
    assert {path.stat().st_mode & 0o077 for path in spool.rglob("*.spool")} == {0}
    assert client.flush()
    client.shutdown()
    assert arrived(sink) == ["a"]
    assert left(spool) == []


def test_what_a_killed_process_accepted_is_sent_by_the_next_one_once_and_in_order(make, run, sink, spool):
    """kill -9 runs no handler; a new client drains the folder on its first flush."""
    out, status = run(f"ids = [client.capture(f'e{{n}}', distinct_id='u') for n in range(250)]; {KILL}")
    assert status == -signal.SIGKILL
    assert sink.requests == []
    client = make(spool_dir=spool)
    assert client.flush(30)
    assert [event.uuid for event in sink.events] == out.split()
    stats = balanced(client)
    assert (stats.sent, stats.recovered, stats.spooled, stats.waiting) == (250, 250, 0, 0)
    assert client.flush()
    assert len(sink.events) == 250
    assert left(spool) == []


def test_the_first_capture_drains_the_folder_too_and_the_old_events_come_first(make, run, sink, spool):
    """The app itself does not flush."""
    run(f"ids = [client.capture(f'old {{n}}', distinct_id='u') for n in range(3)]; {KILL}")
    client = make(spool_dir=spool, flush_interval=0.1)
    client.capture("new", distinct_id="u")
    sink.wait_for(4)
    assert arrived(sink) == ["old 0", "old 1", "old 2", "new"]


def test_what_the_server_acknowledged_is_not_sent_again(make, run, sink, spool):
    """It is on record before the next batch leaves: killed between two batches, only the rest is
    sent.
    """
    sink.answer(200, times=2)
    sink.answer(503, headers={"Retry-After": "30"})
    _, status = run(
        """
        for n in range(2050): client.capture(f"e{n}", distinct_id="u")
        client.flush(0)
        while client.stats().retried == 0: time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGKILL)
        """
    )
    assert status == -signal.SIGKILL
    sent = len(sink.events)
    assert 0 < sent < 2050
    client = make(spool_dir=spool)
    assert client.flush(30)
    assert arrived(sink) == [f"e{n}" for n in range(2050)]
    assert balanced(client).recovered == 2050 - sent


def test_an_outage_that_outlasts_all_retries_loses_nothing(make, sink, spool):
    """The batch waits on disk; flush() says at once that the retries were in vain, and a later one
    sends it.
    """
    sink.answer(503, times=2)
    client = make(spool_dir=spool, max_retries=1)
    ids = fill(client, 5)
    assert client.flush(60) is False
    stats = balanced(client)
    assert (stats.waiting, stats.spooled, dict(stats.dropped)) == (5, 5, {})
    assert client.flush(60)
    assert [event.uuid for event in sink.events] == ids
    assert balanced(client).spooled == 0


def test_a_full_memory_queue_refuses_nothing(make, sink, spool):
    """Memory holds only what is on its way; everything arrives in order."""
    sink.answer(200, delay_s=1.0)
    client = make(spool_dir=spool, max_queue_size=5, max_queue_bytes=5000, timeout=20)
    client.capture("first", distinct_id="u")
    client.flush(0)
    sink.wait_until(lambda: sink.requests)
    assert None not in fill(client, 300)
    assert client.flush(30)
    assert arrived(sink) == ["first", *(f"e{n}" for n in range(300))]


def test_what_cannot_be_sent_in_time_stays_for_the_next_process(make, sink, spool):
    """`shutdown()` keeps its deadline, and drops nothing."""
    sink.answer(503, times=9, headers={"Retry-After": "30"})
    client = make(spool_dir=spool)
    fill(client, 3)
    assert client.shutdown(0.3) is False
    stats = balanced(client)
    assert (stats.waiting, stats.spooled, dict(stats.dropped)) == (3, 3, {})
    assert client.capture("late", distinct_id="u") is None
    sink.clear()
    assert make(spool_dir=spool).flush(30)
    assert arrived(sink) == ["e0", "e1", "e2"]


@pytest.mark.parametrize("late", [200, 503])
@pytest.mark.parametrize("left_by", ["this process", "a dead one"])
def test_a_request_that_outlives_shutdown_is_sent_again_only_if_it_failed(make, run, sink, spool, late, left_by):
    """Its answer is recorded when it comes; until then no other client takes its events."""
    if left_by == "a dead one":
        run(f"ids = [client.capture(f'e{{n}}', distinct_id='u') for n in range(3)]; {KILL}")
    sink.answer(late, delay_s=1.5)
    client = make(spool_dir=spool)
    if left_by == "this process":
        fill(client, 3)
    assert client.flush(0.3) is False
    assert client.shutdown(0.2) is False
    assert client.shutdown(0.1) is False  # again: releases nothing
    assert len(sink.requests) == 1
    other = make(spool_dir=spool)
    assert other.flush(0.5) is True
    assert len(sink.requests) == 1
    if late == 200:
        sink.wait_until(lambda: balanced(client).sent == 3)
    else:
        sink.wait_until(lambda: other.flush(5) and len(sink.requests) == 2)
    assert other.flush(30)
    assert arrived(sink) == ["e0", "e1", "e2"]
    assert (len(sink.requests), left(spool)) == (1 if late == 200 else 2, [])


def test_a_request_that_was_killed_before_its_answer_is_sent_again_with_the_same_ids_and_times(make, sink, spool):
    """Nobody knows whether the server took it; the server stores an id once."""
    sink.answer(200, body=None, delay_s=5)
    script = PRELUDE + "client.capture('a', distinct_id='u'); client.flush()"
    environ = os.environ | {"SINK": sink.url, "HOGLINE_SPOOL_DIR": str(spool)}
    with subprocess.Popen([sys.executable, "-c", script], env=environ) as process:
        sink.wait_for(1)
        process.kill()
    assert make(spool_dir=spool).flush(30)
    assert arrived(sink) == ["a", "a"]
    assert sink.events[0].raw == sink.events[1].raw


def test_workers_share_the_folder_and_a_survivor_sends_what_a_killed_one_left(run, sink, spool):
    """Each writes its own files; a process that lives is left alone."""
    out, status = run(
        """
        client.capture("parent", distinct_id="u")
        ready, go = os.pipe(), os.pipe()
        children = []
        for n in range(3):
            pid = os.fork()
            if pid == 0:
                for k in range(10): client.capture(f"child {n} {k}", distinct_id="u")
                os.write(ready[1], b".")
                os.read(go[0], 1)
                os._exit(0 if client.flush(20) else 1)
            children.append(pid)
        for _ in children: os.read(ready[0], 1)
        os.kill(children[0], signal.SIGKILL); os.waitpid(children[0], 0)
        assert client.flush(20)  # its own, and the dead child's
        print(client.stats().recovered)
        os.write(go[1], b"..")
        for pid in children[1:]: assert os.waitpid(pid, 0)[1] == 0
        """
    )
    assert (out.split(), status) == (["10"], 0)
    assert sorted(arrived(sink)) == sorted(["parent", *(f"child {n} {k}" for n in range(3) for k in range(10))])
    assert left(spool) == []


def test_a_child_that_never_looks_keeps_nothing_locked(run, sink, spool):
    """uWSGI forks without Python's hooks: the child has copies of its parent's handles, and does
    not know it.
    """
    _, status = run(
        """
        import ctypes
        client.capture("parent", distinct_id="u")
        pid = ctypes.PyDLL(None).fork()
        if pid == 0: time.sleep(60); os._exit(0)
        client.shutdown(0)  # what waits stays for others, who can have it at once
        again = PostHog("phc_test", host=os.environ["SINK"])
        flushed = again.flush(20) and again.stats().recovered == 1
        os.kill(pid, signal.SIGKILL); os.waitpid(pid, 0)
        os._exit(0 if flushed else 1)
        """
    )
    assert status == 0
    assert {event.uuid for event in sink.events} == {sink.events[0].uuid}  # it may have been on its way already


def test_a_relative_folder_stays_where_it_was(run, sink, tmp_path):
    """Neither `chdir` moves it, nor a fork after it, nor the end of the folder that the process was
    started in.
    """
    start = tmp_path / "release"
    start.mkdir()
    _, status = run(
        """
        import faulthandler, shutil
        client = PostHog("phc_test", host=os.environ["SINK"], spool_dir="spool", flush_interval=60)
        os.mkdir("elsewhere"); os.chdir("elsewhere")
        for gone in (False, True):
            if gone: shutil.rmtree(os.getcwd())
            pid = os.fork()
            if pid == 0:
                faulthandler.dump_traceback_later(20, exit=True)
                kept = client.capture(f"child {gone}", distinct_id="u") and client.stats().spooled
                os._exit(0 if kept else 1)
            assert os.waitpid(pid, 0)[1] == 0
        """,
        cwd=start,
    )
    assert status == 0
    assert on_disk(start / "spool") == ["child False", "child True"]


def test_a_child_that_closed_what_it_inherited_goes_on(run, sink, spool):
    """Daemons close inherited files, in the middle of draining too, where no hook saw the fork."""
    run(f"ids = [client.capture('old', distinct_id='u')]; {KILL}")
    sink.answer(503, headers={"Retry-After": "30"})
    _, status = run(
        """
        import ctypes, faulthandler
        client.capture("parent", distinct_id="u")
        client.flush(0)
        while client.stats().retried == 0: time.sleep(0.01)
        pid = ctypes.PyDLL(None).fork()
        if pid == 0:
            faulthandler.dump_traceback_later(20, exit=True)
            os.closerange(3, 256)
            os._exit(0 if client.capture("child", distinct_id="u") else 1)
        assert os.waitpid(pid, 0)[1] == 0
        client.shutdown(0)
        """
    )
    assert status == 0
    assert sorted(on_disk(spool)) == ["child", "old", "parent"]


def test_many_clients_on_one_folder_send_each_event_once(make, run, sink, spool):
    """One drains, the others leave it alone."""
    for _ in range(3):
        run(f"ids = [client.capture(f'e{{n}}', distinct_id='u') for n in range(400)]; {KILL}")
    clients = [make(spool_dir=spool, project_root=str(n)) for n in range(4)]
    threads = [threading.Thread(target=client.flush, args=(30,)) for client in clients]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(balanced(client).recovered for client in clients) == 1200
    assert len(sink.events) == 1200
    assert len({event.uuid for event in sink.events}) == 1200


def test_clients_of_other_projects_never_mix(make, run, sink, spool):
    """They may share `HOGLINE_SPOOL_DIR`; each event goes out under its own token."""
    run(f"ids = [client.capture('mine', distinct_id='u')]; {KILL}")
    other = make("phc_other", spool_dir=spool)
    other.capture("theirs", distinct_id="u")
    assert other.flush(20)
    assert make(spool_dir=spool).flush(20)
    assert [(request.body["api_key"], [event.event for event in request.events]) for request in sink.requests] == [
        ("phc_other", ["theirs"]),
        ("phc_test", ["mine"]),
    ]


@pytest.mark.parametrize(
    "harm",
    [
        lambda data: data[:-7],
        lambda data: b"\x00" * 40 + data[40:],
        lambda data: data[: len(data) // 2] + bytes([data[len(data) // 2] ^ 1]) + data[len(data) // 2 + 1 :],
        lambda data: data + b"HJ" + b"\xff" * 30,
    ],
    ids=["torn tail", "zeroed head", "flipped bit", "rubbish behind"],
)
def test_damage_costs_only_what_it_touched(make, run, sink, spool, caplog, harm):
    """It is counted and kept aside, and never fatal."""
    run(f"ids = [client.capture(f'e{{n}}', distinct_id='u') for n in range(9)]; {KILL}")
    [segment] = spool.glob("*/*.spool")
    segment.write_bytes(harm(segment.read_bytes()))
    whole = on_disk(spool)
    assert len(whole) >= 8
    client = make(spool_dir=spool)
    assert client.flush(20)
    assert arrived(sink) == whole
    [kept] = left(spool)
    assert kept.startswith("damaged-")
    assert balanced(client).damaged_bytes == next(spool.glob("*/damaged-*")).stat().st_size > 0
    assert "hold no event" in caplog.text


def test_a_folder_that_cannot_be_written_degrades_to_memory_loudly(make, sink, tmp_path, caplog):
    """Events are taken and sent as if there were no spool."""
    (tmp_path / "file").write_text("")
    client = make(spool_dir=tmp_path / "file" / "spool")
    fill(client, 3)
    assert client.flush(20)
    assert arrived(sink) == ["e0", "e1", "e2"]
    [line] = [record for record in caplog.records if "memory only" in record.message]
    assert line.levelname == "ERROR"
    assert "Not a directory" in line.message


@pytest.mark.parametrize("thread", ["a thread", "no thread"])
def test_a_file_that_cannot_be_opened_keeps_nobody_from_those_behind_it(run, sink, spool, thread):
    """Another user's, or what is no file: it stays, the log names it, and all others are
    drained.
    """
    for n in range(2):
        run(f"ids = [client.capture('e{n}', distinct_id='u')]; {KILL}")
    [folder] = spool.iterdir()
    (folder / "00000000000000000001-1.spool").mkdir()
    script = f"""
        import logging
        def refuse(thread): raise RuntimeError("can't start new thread")
        if {thread == "no thread"}: threading.Thread.start = refuse
        heard = threading.Event()
        class Listen(logging.Handler):
            def emit(self, record):
                print(record.getMessage(), flush=True)
                heard.set()
        logging.getLogger("hogline").addHandler(Listen(logging.ERROR))
        assert client.flush(20) is False  # not all of it was settled
        print(client.stats().recovered, heard.wait(5))
        """
    log, counts = run(script)[0].splitlines()
    assert "00000000000000000001-1.spool cannot be opened" in log
    assert counts == "2 True"
    assert arrived(sink) == ["e0", "e1"]
    log, counts = run(script)[0].splitlines()  # and where it is alone, and no batch comes to speak for it
    assert "00000000000000000001-1.spool cannot be opened" in log
    assert counts == "0 True"


def test_a_file_system_without_locks_costs_neither_files_nor_handles(run, sink, spool):
    """This holds however often the lock is tried again."""
    run(f"ids = [client.capture('old', distinct_id='u')]; {KILL}")
    out, _ = run(
        """
        import errno, fcntl
        import hogline.delivery.spool.spool as module
        module._RETRY_S = 0.0
        def flock(*_): raise OSError(errno.ENOLCK, "No locks available")
        fcntl.flock = flock
        client.capture("e", distinct_id="u"); client.flush(20)
        def handles(): return len(os.listdir("/dev/fd"))
        before = handles()
        for _ in range(20): client.capture("e", distinct_id="u"); client.flush(20)
        print(handles() - before, client.stats().sent)
        """
    )
    assert out.split() == ["0", "21"]
    assert on_disk(spool) == ["old"]
    assert len(left(spool)) == 1


@pytest.mark.parametrize("thread", ["a thread", "no thread"])
def test_an_error_of_ours_deletes_nothing_until_it_has_come_five_times(
    make, run, sink, spool, monkeypatch, caplog, thread
):
    """Then the batch holds up those behind it no more, and is counted. flush() never raises."""
    if thread == "no thread":
        start = threading.Thread.start

        def refuse(one):
            if one.name == "hogline-worker":
                raise RuntimeError("can't start new thread")
            start(one)

        monkeypatch.setattr(threading.Thread, "start", refuse)
    run(f"ids = [client.capture('old', distinct_id='u')]; {KILL}")
    [segment] = spool.glob("*/*.spool")
    segment.write_bytes(frame(b"whole, and no event"))  # capture v1 has to read what it sends
    client = make(spool_dir=spool, capture_mode="v1")
    # A capture would start the thread, which sends what dead processes left before any flush asks
    # for it.
    for _ in range(4):
        assert client.flush(20) is False
        stats = balanced(client)
        assert (stats.spooled, dict(stats.dropped)) == (1, {})
    client.capture("new", distinct_id="u")
    assert balanced(client).spooled == 2
    assert client.flush(20)
    assert dict(balanced(client).dropped) == {"sender_error": 1}
    assert arrived(sink) == ["new"]
    assert caplog.text.count("the sender failed") == 1


def no_file_over_8_kb():
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (8192, resource.RLIM_INFINITY))


def test_a_write_that_is_cut_short_leaves_nothing_torn(make, run, sink, spool):
    """The next reader finds whole records only."""
    out, _ = run(
        f"ids = [client.capture(f'e{{n}}', distinct_id='u') for n in range(60)]; {KILL}", preexec_fn=no_file_over_8_kb
    )
    client = make(spool_dir=spool)
    assert client.flush(20)
    assert 5 < len(sink.events) < 60
    assert [event.uuid for event in sink.events] == out.split()[: len(sink.events)]
    assert balanced(client).damaged_bytes == 0


def test_a_disk_that_refuses_degrades_to_memory_and_is_used_again_when_it_takes_more(run, sink, spool):
    """The kernel cuts a write short in the middle of a record: nothing is lost or sent twice."""
    out, status = run(
        """
        import resource
        for n in range(60): client.capture(f"e{n:02}", distinct_id="u")
        few = client.stats().spooled
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        time.sleep(1.1)
        client.capture("e60", distinct_id="u")
        print(few, client.stats().spooled, len(client.stats().dropped))
        assert client.flush(20)
        assert client.stats().damaged_bytes == 0
        """,
        preexec_fn=no_file_over_8_kb,
    )
    few, all_of_them, dropped = map(int, out.split())
    assert 5 < few < 60
    assert (all_of_them, dropped, status) == (61, 0, 0)
    assert arrived(sink) == [f"e{n:02}" for n in range(61)]
    assert left(spool) == []


def test_the_folder_is_bounded_and_what_exceeds_disk_and_memory_is_counted(make, sink, spool, caplog):
    """The bounds are `spool_max_bytes`, then `max_queue_size`; beyond them the reason is
    `spool_full`.

    Accepted events arrive in order.
    """
    sink.answer(503, headers={"Retry-After": "2"})
    client = make(spool_dir=spool, spool_max_bytes=64 * 1024, max_queue_size=10)
    client.capture("first", distinct_id="u")
    client.flush(0)
    sink.wait_until(lambda: sink.requests)
    taken = ["first", *(f"e{n}" for n, identity in enumerate(fill(client, 300)) if identity)]
    assert sum(path.stat().st_size for path in spool.rglob("*") if path.is_file()) <= 64 * 1024
    stats = balanced(client)
    assert (stats.waiting, stats.spooled) == (len(taken), len(taken) - 10)
    assert dict(stats.dropped) == {"spool_full": 301 - len(taken)}
    assert 50 < len(taken) < 250
    assert "is full (spool_max_bytes=65536)" in caplog.text
    assert client.flush(30)
    assert arrived(sink) == taken


@pytest.mark.parametrize("left_by", ["itself", "a dead process"])
def test_drop_oldest_makes_room_on_a_full_disk(make, run, sink, spool, left_by):
    """The oldest events are dropped, a file at a time, wherever they wait, and the newest are kept.

    A file with events that are being sent stays.
    """
    if left_by == "a dead process":
        run(
            f"""
            client = PostHog("phc_test", host=os.environ["SINK"], spool_max_bytes=64 * 1024)
            ids = [client.capture(f'old{{n}}', distinct_id='u') for n in range(100)]; {KILL}
            """
        )
    sink.answer(503, headers={"Retry-After": "2"})
    told = []
    client = make(
        spool_dir=spool, spool_max_bytes=64 * 1024, max_queue_size=10, when_full="drop_oldest",
        on_drop=lambda reason, event: told.append((reason, event["event"])),
    )  # fmt: skip
    ids = fill(client, 1, "first")
    client.flush(0)
    sink.wait_until(lambda: sink.requests)
    ids += fill(client, 400)
    assert None not in ids
    assert sum(path.stat().st_size for path in spool.rglob("*") if path.is_file()) <= 64 * 1024
    stats = balanced(client)
    assert dict(stats.dropped) == {"spool_full": len(told)}
    assert client.flush(30)
    every = [f"old{n}" for n in range(100)] if left_by == "a dead process" else []
    every += ["first0", *(f"e{n}" for n in range(400))]
    gone = [name for _, name in told]
    begin = every.index(gone[0])
    assert begin < 40  # those before it share a file with what was on its way
    assert gone == every[begin : begin + len(gone)]
    assert arrived(sink) == [name for name in every if name not in set(gone)]
    assert balanced(client).waiting == 0


def test_a_client_that_is_never_used_touches_neither_disk_nor_network(run, sink, spool):
    """Events of other processes stay for a client that works."""
    run(f"ids = [client.capture('e', distinct_id='u')]; {KILL}")
    before = left(spool)
    run("")
    assert left(spool) == before
    assert sink.requests == []


def test_a_handler_may_capture_at_any_moment_with_a_spool_too(run, sink, spool):
    """The handler runs in the middle of a write of the thread that it interrupts."""
    out, status = run(
        """
        handled = captured = 0
        def handler(number, frame):
            global handled
            handled += 1
            client.capture("handler", distinct_id="u")
        signal.signal(signal.SIGALRM, handler)
        signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)
        until_s = time.monotonic() + 1
        while time.monotonic() < until_s:
            captured += client.capture("main", distinct_id="u") is not None
            if captured % 500 == 0: client.flush()
        signal.setitimer(signal.ITIMER_REAL, 0)
        assert client.flush(30)
        stats = client.stats()
        assert stats.accepted == stats.sent == captured + handled, (stats, captured, handled)
        assert (stats.spooled, stats.damaged_bytes) == (0, 0), stats
        print(handled + captured)
        """
    )
    assert status == 0
    assert len({event.uuid for event in sink.events}) == len(sink.events) == int(out)
    assert left(spool) == []


@pytest.mark.parametrize("size", [3_000, 70_000, 400_000])
def test_events_of_any_size_come_back_as_they_were(make, run, sink, spool, size):
    """This holds wherever the window that is read at once cuts them."""
    out, _ = run(
        f"ids = [client.capture(f'e{{n}}', distinct_id='u', properties={{'x': 'y' * ({size} + n)}}) for n in range(40)]; {KILL}"
    )
    client = make(spool_dir=spool)
    assert client.flush(30)
    assert [event.uuid for event in sink.events] == out.split()
    assert [len(event.properties["x"]) for event in sink.events] == [size + n for n in range(40)]
    assert balanced(client).damaged_bytes == 0


def test_a_segment_is_removed_once_it_is_sent_while_the_process_goes_on(make, sink, spool):
    """A long life fills no disk."""
    client = make(spool_dir=spool, flush_at=1000)
    for _ in range(4):
        for _n in range(200):
            client.capture("e", distinct_id="u", properties={"x": "y" * 3000})
        assert client.flush(30)
    assert len(sink.events) == 800
    assert sum(Path(path).stat().st_size for path in spool.rglob("*.spool")) < 2 * 1024 * 1024


def test_a_frame_is_the_instances_too():
    """One design serves both: the journal's records are these."""
    from hogline_instance.journal.records import frame as journals

    assert journals is frame
