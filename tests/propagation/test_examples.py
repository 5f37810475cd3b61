"""The examples that the pages of propagation show, run as their first lines say."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time

import pytest
import urllib3

from tests.support.tools import ROOT

HEADERS = {"X-POSTHOG-SESSION-ID": "s1", "X-POSTHOG-DISTINCT-ID": "alice", "X-POSTHOG-WINDOW-ID": "w1"}


@pytest.fixture
def run(sink):
    """Start a command, with a port of its own in place of PORT; returns its URL once it answers."""
    processes = []

    def start(*command, **environ):
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        told = {"HOGLINE_PROJECT_TOKEN": "phc_example", "HOGLINE_HOST": sink.url, "HOGLINE_FLUSH_INTERVAL": "0.1"}
        processes.append(
            subprocess.Popen(
                [sys.executable, "-W", "ignore", *[part.replace("PORT", str(port)) for part in command]],
                cwd=ROOT, env=os.environ | told | {"PYTHONPATH": str(ROOT)} | environ, start_new_session=True,
                stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            )
        )  # fmt: skip
        deadline_s = time.monotonic() + 60
        while "PORT" in command and time.monotonic() < deadline_s:
            assert processes[-1].poll() is None, "the example ended"
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            time.sleep(0.05)
        return f"http://127.0.0.1:{port}"

    yield start
    for process in processes:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(30)


def post(url):
    assert urllib3.PoolManager(retries=False, timeout=30).request("POST", url, headers=HEADERS).status == 200


def assert_the_line(events):
    for event in events:
        told = event.properties
        assert (event.distinct_id, told["$session_id"], told["$window_id"]) == ("alice", "s1", "w1")


def test_the_task_of_a_request(run, sink, tmp_path):
    """Celery, with a file as its broker in place of Redis."""
    environ = {"BROKER_URL": f"sqla+sqlite:///{tmp_path}/broker.db"}
    worker = ("-m", "celery", "--app", "examples.celery_tasks:celery", "worker", "--pool", "solo", "--without-mingle")
    run(*worker, **environ)
    url = run("-m", "flask", "--app", "examples.celery_tasks", "run", "--port", "PORT", **environ)
    post(f"{url}/checkout")
    events = sink.wait_for(2, 60)
    assert {event.event for event in events} == {"checkout", "receipt written"}
    assert_the_line(events)
    receipt = next(event for event in events if event.event == "receipt written")
    assert receipt.properties["$request_path"] == "/checkout"
    assert receipt.properties["$task_name"] == "examples.celery_tasks.receipt"


def test_the_threads_of_a_request(run, sink):
    """An executor, a thread, and a callable that somebody else calls."""
    url = run("-m", "uvicorn", "examples.threads:app", "--port", "PORT")
    post(f"{url}/checkout")
    urllib3.PoolManager(retries=False, timeout=30).request("POST", f"{url}/later")
    events = sink.wait_for(3)
    assert {event.properties["where"] for event in events} == {"executor", "thread", "queue"}
    assert_the_line(events)
    assert {event.properties["$request_path"] for event in events} == {"/checkout"}


def test_the_call_of_a_request_to_another_service(run, sink):
    """Two processes, one session."""
    stock = run("-m", "uvicorn", "examples.two_services:stock", "--port", "PORT")
    shop = run("-m", "uvicorn", "examples.two_services:shop", "--port", "PORT", STOCK_URL=stock)
    post(f"{shop}/checkout")
    events = sink.wait_for(2)
    assert {event.event for event in events} == {"checkout", "reserved"}
    assert_the_line(events)
