"""The examples that the documentation shows run: on a real server, with their events at the
sink.
"""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import urllib3

from tests.support.frameworks import selected

ROOT = Path(__file__).parents[2]
HEADERS = {"X-POSTHOG-SESSION-ID": "s1", "X-POSTHOG-DISTINCT-ID": "alice", "X-POSTHOG-WINDOW-ID": "w1"}

_WAITRESS = (sys.executable, "-m", "waitress", "--listen=127.0.0.1:PORT")
_UVICORN = (sys.executable, "-m", "uvicorn", "--log-level", "warning", "--port", "PORT")
COMMANDS = {
    "fastapi_app": [
        sys.executable,
        "-m",
        "uvicorn",
        "examples.fastapi_app:app",
        "--log-level",
        "warning",
        "--port",
        "PORT",
    ],
    "blacksheep_app": [*_UVICORN, "examples.blacksheep_app:app"],
    "channels_app": [
        sys.executable,
        "-m",
        "daphne",
        "-b",
        "127.0.0.1",
        "-p",
        "PORT",
        "examples.channels_app:application",
    ],
    "litestar_app": [*_UVICORN, "examples.litestar_app:app"],
    "flask_app": [sys.executable, "-m", "flask", "--app", "examples/flask_app.py", "run", "--port", "PORT"],
    "django_app": [sys.executable, "examples/django_app/manage.py", "runserver", "--noreload", "127.0.0.1:PORT"],
    "robyn_app": [sys.executable, "examples/robyn_app.py", "PORT"],
    "tornado_app": [sys.executable, "examples/tornado_app.py", "PORT"],
    "sanic_app": [sys.executable, "examples/sanic_app.py", "PORT"],
    "aiohttp_app": [sys.executable, "examples/aiohttp_app.py", "PORT"],
    "ellar_app": [*_UVICORN, "examples.ellar_app:app"],
    "nestipy_app": [*_UVICORN, "examples.nestipy_app:app"],
    "pynest_app": [*_UVICORN, "examples.pynest_app:http_server"],
    "falcon_app": [*_WAITRESS, "examples.falcon_app:app"],
    "pyramid_app": [*_WAITRESS, "examples.pyramid_app:app"],
    "bottle_app": [*_WAITRESS, "examples.bottle_app:app"],
    "connexion_app": [*_UVICORN, "examples.connexion_app:app"],
    "wsgi_app": [*_WAITRESS, "examples.wsgi_app:app"],
    "quart_app": [sys.executable, "-m", "quart", "--app", "examples/quart_app.py", "run", "--port", "PORT"],
    "wsgi_app": [sys.executable, "-m", "waitress", "--listen=127.0.0.1:PORT", "examples.wsgi_app:app"],
}

# Examples that need an environment of their own, by its name.
OWN = {"ellar_app": "ellar", "nestipy_app": "nestipy", "pynest_app": "pynest"}
HERE = {row.environment for row in selected()}


@pytest.fixture
def run(sink):
    """Start an example, and return its URL once it answers."""
    processes = []

    def start(name):
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        environ = os.environ | {
            "HOGLINE_PROJECT_TOKEN": "phc_example", "HOGLINE_HOST": sink.url, "HOGLINE_FLUSH_INTERVAL": "0.1", "PYTHONPATH": str(ROOT)
        }  # fmt: skip
        command = [part.replace("PORT", str(port)) for part in COMMANDS[name]]
        processes.append(
            subprocess.Popen(command, cwd=ROOT, env=environ, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        )
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            assert processes[-1].poll() is None, "the example ended"
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
            except OSError:
                time.sleep(0.05)
            else:
                return f"http://127.0.0.1:{port}"
        raise AssertionError("the example does not answer")

    yield start
    for process in processes:
        # Robyn does not end of SIGTERM.
        process.send_signal(signal.SIGINT if "examples/robyn_app.py" in process.args else signal.SIGTERM)
        process.wait(30)


@pytest.mark.parametrize("name", [name for name in COMMANDS if OWN.get(name) in HERE])
def test_an_example_sends_what_its_page_promises(run, sink, name):
    """One event with the browser's session, one exception with status 500."""
    url = run(name)
    pool = urllib3.PoolManager(retries=False, timeout=30)
    assert pool.request("POST", f"{url}/checkout", headers=HEADERS).status == 200
    assert pool.request("GET", f"{url}/broken", headers=HEADERS).status == 500
    sink.wait_until(lambda: len(sink.events) >= 2)
    first, failure = sorted(sink.events, key=lambda event: event.timestamp)[:2]
    assert first.event in ("checkout", "visit")
    assert failure.event == "$exception"
    assert failure.properties["$response_status_code"] == 500
    for event in (first, failure):
        assert event.distinct_id == "alice"
        assert (event.properties["$session_id"], event.properties["$window_id"]) == ("s1", "w1")
        assert event.properties["$current_url"].startswith(url)
