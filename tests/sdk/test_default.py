"""The making of the default client, which may log, and with which the app's log handlers and forks
must get along.
"""

import os
import subprocess
import sys
import textwrap

import pytest

PRELUDE = """
import logging, os, signal, threading, time
import hogline
from hogline import default

class Errors(logging.Handler):
    said = []
    def emit(self, record):
        self.said.append(hogline.capture("log error", properties={"message": record.getMessage()}))

errors = Errors()
logging.getLogger().addHandler(errors)

def making():
    thread = threading.Thread(target=hogline.capture, args=("first",), daemon=True)
    errors.acquire()  # the client's making waits for it: there is no token, which is said in the log
    thread.start()
    while not default._is_making: time.sleep(0.01)
    return thread
"""


def run(script):
    """Run *script* after the prelude, without a project token, in a process of its own."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("HOGLINE_", "POSTHOG_"))}
    process = subprocess.run(
        [sys.executable, "-c", PRELUDE + textwrap.dedent(script)],
        env=environ,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert process.returncode == 0, process.stderr


def test_a_log_handler_may_capture_while_the_default_client_is_made():
    """An event that it captures then is dropped.

    There is no client yet, and none is made while one is being made.
    """
    run(
        """
        assert hogline.capture("first") is None
        assert errors.said == [None]
        client = hogline.default_client()
        assert client is hogline.default_client() and hogline.PostHog.first() is client
        assert client.stats().dropped == {"disabled": 1}, client.stats()
        """
    )


def test_who_holds_what_the_making_waits_for_does_not_wait_for_ever():
    """A handler that captures while it holds its own lock, and the making that wants to log."""
    run(
        """
        default._MAKING_S = 0.1
        thread = making()
        assert hogline.capture("from the handler") is None
        errors.release()
        thread.join(20)
        assert not thread.is_alive()
        assert hogline.default_client()
        """
    )


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_child_forked_while_the_default_client_is_made_makes_its_own():
    """The thread that made the parent's is not there."""
    run(
        """
        thread = making()
        child = os.fork()
        if child == 0:
            signal.alarm(20)
            default._MAKING_S = 60
            hogline.capture("child")
            assert hogline.default_client()
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        errors.release()
        thread.join(20)
        """
    )
