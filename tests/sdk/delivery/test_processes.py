"""Captured events arrive once, however a process begins and ends.

Real processes are forked, spawned, ended and killed.
"""

import os
import signal
import subprocess
import sys
import textwrap

import pytest

from tests.support.scripts import PRELUDE, output_of, run_script

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")


def names(sink):
    return sorted(event.event for event in sink.events)


def test_a_script_that_just_ends_loses_nothing(sink):
    """The flush at exit has `shutdown_timeout` seconds; posthog-python's has one."""
    output_of(sink, "for n in range(250): client.capture(f'e{n:03}', distinct_id='u')")
    assert names(sink) == [f"e{n:03}" for n in range(250)]


def test_a_script_that_dies_of_an_exception_loses_nothing(sink):
    """atexit runs after the traceback."""
    process = run_script(sink, "client.capture('before', distinct_id='u')\nraise SystemExit(3)")
    assert process.returncode == 3
    assert names(sink) == ["before"]


def test_a_server_that_hangs_does_not_keep_a_script_from_ending(sink):
    """`shutdown_timeout` holds."""
    sink.answer(200, delay_s=30)
    out = output_of(
        sink,
        """
        import atexit
        begun = time.monotonic()
        client = PostHog("phc_test", host=os.environ["SINK"], shutdown_timeout=0.5)
        client.capture("stuck", distinct_id="u")
        client.flush(0.1)
        """,
    )
    assert out == ""


def test_a_forked_child_starts_empty_and_both_sides_lose_nothing(sink):
    """The parent's waiting events are the parent's.

    The child has a thread, a queue and a ledger of its own.
    """
    output_of(
        sink,
        """
        for n in range(3): client.capture(f"parent {n}", distinct_id="u")
        pid = os.fork()
        if pid == 0:
            assert client.stats().accepted == 0
            client.capture("child", distinct_id="u")
            grandchild = os.fork()
            if grandchild == 0:
                client.capture("grandchild", distinct_id="u")
                client.flush()
                os._exit(0)
            os.waitpid(grandchild, 0)
            assert client.flush()
            assert client.stats().sent == 1
            os._exit(0)
        assert os.waitpid(pid, 0)[1] == 0
        client.capture("parent after", distinct_id="u")
        """,
    )
    assert names(sink) == ["child", "grandchild", "parent 0", "parent 1", "parent 2", "parent after"]


def test_a_child_never_inherits_its_parents_request(sink):
    """A worker that is forked in the middle of a request serves others.

    The parent goes on with its own.
    """
    output_of(
        sink,
        """
        from hogline import identify_context, new_context, set_context_session, tag
        with new_context():
            identify_context("alice"); set_context_session("s"); tag("plan", "pro")
            pid = os.fork()
            client.capture("parent" if pid else "child")
            if pid == 0: os._exit(0 if client.flush(20) else 1)
            assert os.waitpid(pid, 0)[1] == 0
        """,
    )
    parent, child = sink.named("parent")[0], sink.named("child")[0]
    assert (parent.distinct_id, parent.properties["$session_id"], parent.properties["plan"]) == ("alice", "s", "pro")
    assert child.properties["$process_person_profile"] is False
    assert not {"$session_id", "plan"} & child.properties.keys()


def test_a_fork_that_no_hook_sees_is_noticed_by_its_pid(sink):
    """uWSGI forks without Python's hooks: the thread looks alive and is not (rule
    `own-the-pid`).
    """
    output_of(
        sink,
        """
        import ctypes
        client.capture("parent", distinct_id="u")
        client.flush()  # no hook sees this fork, so nothing could keep it from landing in the middle of an import
        libc = ctypes.PyDLL(None)
        pid = libc.fork()
        if pid == 0:
            client.capture("child", distinct_id="u")
            assert client.flush()
            os._exit(0)
        assert os.waitpid(pid, 0)[1] == 0
        """,
    )
    assert names(sink) == ["child", "parent"]


def test_processes_forked_unseen_in_one_second_give_no_two_events_one_id(sink):
    """Each process draws its own random part, and counts its numbers from there."""
    output_of(
        sink,
        """
        import ctypes
        from hogline.event import new_request_id
        def work():
            for _ in range(200): client.capture("event", distinct_id="u", properties={"request": new_request_id()})
        work()
        client.flush()
        pids = [ctypes.PyDLL(None).fork() for _ in range(3)]  # seven children
        work()
        assert client.flush()
        own = pids[max((at for at, pid in enumerate(pids) if pid == 0), default=-1) + 1 :]  # forked by this very process
        for pid in own: assert os.waitpid(pid, 0)[1] == 0
        if 0 in pids: os._exit(0)
        """,
    )
    events = sink.events
    assert len(events) == 9 * 200
    # Without the time at its beginning: that two of them are of one millisecond is rare, and so
    # would be seen rarely.
    assert len({event.uuid[14:] for event in events}) == 9 * 200
    assert len({event.properties["request"] for event in events}) == 9 * 200


def test_a_fork_in_the_middle_of_captures_never_deadlocks_the_child(sink):
    """Locks that another thread of the parent holds at that moment stay the parent's."""
    output_of(
        sink,
        """
        import threading
        stop = threading.Event()
        def busy():
            while not stop.is_set(): client.capture("busy", distinct_id="u")
        threads = [threading.Thread(target=busy) for _ in range(3)]
        for thread in threads: thread.start()
        for n in range(20):
            pid = os.fork()
            if pid == 0:
                client.capture(f"child {n}", distinct_id="u")
                os._exit(0 if client.flush(20) else 1)
            assert os.waitpid(pid, 0)[1] == 0
        stop.set()
        for thread in threads: thread.join()
        client.shutdown(0)
        """,
    )
    assert [name for name in names(sink) if name != "busy"] == sorted(f"child {n}" for n in range(20))


def test_a_child_that_cannot_begin_anew_tries_again_with_its_next_capture(sink):
    """One failure, here of the system that has no lock to give, costs that one event and never the
    child (rule `own-the-pid`).
    """
    out = output_of(
        sink,
        """
        import ctypes, faulthandler, threading
        client.capture("parent", distinct_id="u")
        client.flush()
        pid = ctypes.PyDLL(None).fork()
        if pid == 0:
            faulthandler.dump_traceback_later(20, exit=True)
            real = threading.RLock
            def refuse(): raise RuntimeError("can't allocate lock")
            threading.RLock = refuse
            print(client.capture("refused", distinct_id="u"), client.flush(1), client.shutdown(1), flush=True)
            threading.RLock = real
            client.capture("child", distinct_id="u")
            os._exit(0 if client.flush(20) else 1)
        assert os.waitpid(pid, 0)[1] == 0
        """,
    )
    assert out.split() == ["None", "False", "False"]
    assert names(sink) == ["child", "parent"]


def test_a_handler_in_the_middle_of_a_childs_beginning_does_not_wait_for_itself(sink):
    """Its own thread is the one that begins: it is refused after some seconds, and the thread goes
    on.
    """
    output_of(
        sink,
        """
        import ctypes, faulthandler, threading
        client.capture("parent", distinct_id="u")
        client.flush()
        pid = ctypes.PyDLL(None).fork()
        if pid == 0:
            faulthandler.dump_traceback_later(40, exit=True)
            real = threading.RLock
            def interrupted():
                threading.RLock = real
                assert client.capture("handler", distinct_id="u") is None
                return real()
            threading.RLock = interrupted
            client.capture("child", distinct_id="u")
            os._exit(0 if client.flush(20) else 1)
        assert os.waitpid(pid, 0)[1] == 0
        """,
    )
    assert names(sink) == ["child", "parent"]


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_children_of_multiprocessing_flush_before_they_leave(sink, tmp_path, method):
    """They end through `os._exit`, where no atexit runs."""
    script = tmp_path / "script.py"
    script.write_text(
        textwrap.dedent(
            """
            import multiprocessing, os, sys
            from hogline import PostHog
            client = PostHog("phc_test", host=os.environ["SINK"], flush_interval=60)
            def work(n):
                client.capture(f"child {n}", distinct_id="u")
            if __name__ == "__main__":
                client.capture("parent", distinct_id="u")
                context = multiprocessing.get_context(sys.argv[1])
                children = [context.Process(target=work, args=(n,)) for n in range(2)]
                for child in children: child.start()
                for child in children: child.join()
            """
        )
    )
    subprocess.run(
        [sys.executable, "-W", "ignore", str(script), method],
        env=os.environ | {"SINK": sink.url},
        timeout=60,
        check=True,
    )
    assert names(sink) == ["child 0", "child 1", "parent"]


def test_a_signals_default_action_runs_no_handler_and_loses_what_waits(sink):
    """Documented: a process that dies of SIGTERM's default action has no moment to flush in."""
    process = subprocess.Popen(
        [
            sys.executable,
            "-c",
            PRELUDE + "client.capture('lost', distinct_id='u'); print('ready', flush=True); time.sleep(60)",
        ],
        env=os.environ | {"SINK": sink.url},
        stdout=subprocess.PIPE,
    )
    assert process.stdout.readline() == b"ready\n"
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == -signal.SIGTERM
    process.stdout.close()
    assert sink.events == []
