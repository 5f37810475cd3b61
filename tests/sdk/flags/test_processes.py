"""The processes of a host share one poller: real processes, forked, killed, and counted at the
server.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import textwrap

import pytest

from tests.sdk.flags.test_local import DEFINITIONS, flag
from tests.support.faults import Faults, hang

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
PRELUDE = """
import json, os, sys, time
from hogline import PostHog
client = PostHog("phc_test", host=os.environ["SINK"], secret_key="phs_secret", flag_cache_dir=os.environ["CACHE"],
                 poll_interval=float(os.environ.get("POLL", 30)))
def ask(key="f"):
    result = client.get_feature_flag_result(key, "u1", only_evaluate_locally=True, send_feature_flag_events=False)
    return None if result is None else result.get_value()
"""


@pytest.fixture
def start(sink, tmp_path):
    """Start a script, which talks in lines."""
    processes = []

    def started(script, url=None, **environ):
        processes.append(
            subprocess.Popen(
                [sys.executable, "-W", "ignore::DeprecationWarning", "-c", PRELUDE + textwrap.dedent(script)],
                env=os.environ | {"SINK": url or sink.url, "CACHE": str(tmp_path / "cache"), **environ},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                start_new_session=True,
            )
        )
        return processes[-1]

    yield started
    for process in processes:
        if process.poll() != 0:  # with its children, which hold the pipe as well
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def line(process):
    said = process.stdout.readline()
    assert said, "the process ended"
    return json.loads(said)


def end(process, status=0):
    process.communicate(timeout=60)
    assert process.returncode == status


def test_many_workers_poll_once(sink, start):
    """Six processes: at each interval one of them asks, and all see what it got."""
    sink.definitions = {"flags": [flag("f", rollout=0)]}
    workers = [
        start(
            """
            print(json.dumps(ask()), flush=True)
            while ask() is not True: time.sleep(0.02)
            print(json.dumps(client.flags._poller._state.asked_at_s), flush=True)
            sys.stdin.readline()
            """,
            POLL="1.5",
        )
        for _ in range(6)
    ]
    assert [line(worker) for worker in workers] == [False] * 6
    assert len(sink.asked(DEFINITIONS)) <= 2  # those who came after the first interval may have seen the second request
    sink.definitions = {"flags": [flag("f")]}
    seen = {line(worker) for worker in workers}
    requests = sink.asked(DEFINITIONS)
    assert len(seen) <= 2  # all took over the same answer, or the one after it
    lasted_s = requests[-1].at_s - requests[0].at_s
    assert len(requests) <= lasted_s / 1.5 + 2
    for worker in workers:
        end(worker)


def test_a_new_process_answers_from_what_the_last_one_left(sink, start):
    """Also while the server is down.

    How old that is does not matter until the server says otherwise.
    """
    sink.definitions = {"flags": [flag("f")]}
    end(start("assert ask() is True"))
    sink.stop()
    process = start("print(json.dumps(ask()), flush=True)", POLL="0.1")
    assert line(process) is True
    end(process)


def test_who_dies_while_asking_keeps_nobody_from_asking(sink, start):
    """kill -9 in the middle of a request: the lock goes with the process."""
    sink.definitions = {"flags": [flag("f")]}
    proxy = Faults(sink.url, hang)
    first = start("print(json.dumps(0), flush=True); ask(); time.sleep(60)", url=proxy.url)
    assert line(first) == 0
    sink.wait_until(lambda: proxy.connections == 1)
    second = start("print(json.dumps(client.load_feature_flags()), flush=True)", url=proxy.url)
    first.send_signal(signal.SIGKILL)
    assert line(second) is True
    end(second)
    proxy.stop()


def test_a_forked_child_keeps_the_rules_and_polls_for_itself(sink, start):
    """gunicorn --preload: the parent's thread is not the child's."""
    sink.definitions = {"flags": [flag("f", rollout=0)]}
    process = start(
        """
        assert ask() is False
        pid = os.fork()
        if pid == 0:
            assert client.flags.ruleset is not None
            assert ask() is False
            print(json.dumps("child"), flush=True)
            while ask() is not True: time.sleep(0.02)
            os._exit(0)
        print(json.dumps(os.waitpid(pid, 0)[1]), flush=True)
        """,
        POLL="0.3",
    )
    assert line(process) == "child"
    sink.definitions = {"flags": [flag("f")]}
    assert line(process) == 0
    end(process)


def test_a_child_forked_in_the_middle_of_a_request_does_not_hold_its_lock(sink, start):
    """A lock that the child inherited would keep every process of the host from asking for as long
    as it lives.
    """
    sink.definitions = {"flags": [flag("f")]}
    proxy = Faults(sink.url, hang)
    parent = start(
        """
        import threading
        threading.Thread(target=ask, daemon=True).start()
        sys.stdin.readline()
        pid = os.fork()
        if pid == 0: time.sleep(60)
        print(json.dumps(pid), flush=True)
        os.kill(os.getpid(), 9)
        """,
        url=proxy.url,
    )
    sink.wait_until(lambda: proxy.connections == 1)
    parent.stdin.write("\n")
    parent.stdin.flush()
    child = line(parent)
    other = start("print(json.dumps(client.load_feature_flags()), flush=True)", url=proxy.url)
    assert line(other) is True
    os.kill(child, signal.SIGKILL)
    proxy.stop()
