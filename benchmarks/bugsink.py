"""Exceptions per second that become visible, beside Bugsink, and the time until one is.

Both get the same mistake over and over, one exception in each request, on the same two cores as the
sender. Bugsink comes from PyPI into an environment of its own, with its server, its worker and its
SQLite as its documentation sets them up; only its quotas are raised. Its clock stops when its
database has the event, ours when the store has it with its issue.
"""

import asyncio
import json
import os
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.figures import Figure, print_figures
from benchmarks.issue import ask, frame
from tests.support.instances import Instance, start_instance

VERSION = "2.6.2"
OURS, THEIRS = 15_000, 1_000
CONNECTIONS = 16
SINGLE = 10
WAIT_S = 300.0
QUOTAS = """
BUGSINK.update({name: 10**9 for name in (
    "MAX_EVENTS_PER_PROJECT_PER_5_MINUTES", "MAX_EVENTS_PER_PROJECT_PER_HOUR", "MAX_EVENTS_PER_PROJECT_PER_MONTH",
    "MAX_EVENTS_PER_5_MINUTES", "MAX_EVENTS_PER_HOUR", "MAX_EVENTS_PER_MONTH", "MAX_RETENTION_PER_PROJECT_EVENT_COUNT",
    "MAX_RETENTION_EVENT_COUNT")})
BUGSINK["DIGEST_IMMEDIATELY"] = False
"""
PROJECT = (
    "from projects.models import Project; p = Project.objects.create(name='bench', retention_max_event_count=10**9);"
    " print('made', p.id, p.sentry_key)"
)


class NotInstalledError(Exception):
    """Bugsink cannot be installed here; the text says why."""


def exception_of_ours(token: str) -> bytes:
    """Return a request with one exception for the instance."""
    chain = [
        {
            "type": "Declined",
            "value": "order 17 was declined",
            "mechanism": {"type": "generic", "handled": False},
            "stacktrace": {"type": "raw", "frames": [frame(number) for number in range(12)]},
        }
    ]
    event = {
        "event": "$exception", "distinct_id": f"user-{uuid.uuid4().int % 500}", "uuid": str(uuid.uuid4()),
        "properties": {"$lib": "posthog-python", "$lib_version": "7.91.1", "$release": "2.4.0", "$exception_list": chain},
    }  # fmt: skip
    return request("/batch/", json.dumps({"api_key": token, "batch": [event]}).encode())


def exception_of_theirs(project: str, key: str) -> bytes:
    """Return a request with the same exception, as an SDK of Sentry sends it."""
    frames = [{name: value for name, value in frame(number).items() if name != "platform"} for number in range(12)]
    event_id, now = uuid.uuid4().hex, datetime.now(UTC).isoformat()
    exception = {"type": "Declined", "value": "order 17 was declined", "stacktrace": {"frames": frames}}
    event = {
        "event_id": event_id, "timestamp": now, "platform": "python", "level": "error", "release": "2.4.0",
        "user": {"id": f"user-{uuid.uuid4().int % 500}"}, "exception": {"values": [exception]},
    }  # fmt: skip
    body = json.dumps(event)
    lines = [
        json.dumps({"event_id": event_id, "sent_at": now}),
        json.dumps({"type": "event", "length": len(body)}),
        body,
    ]
    return request(
        f"/api/{project}/envelope/",
        "\n".join(lines).encode(),
        f"X-Sentry-Auth: Sentry sentry_key={key}, sentry_version=7\r\n",
    )


def request(path: str, body: bytes, headers: str = "") -> bytes:
    """Return an HTTP request over a kept connection."""
    head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n{headers}\r\n"
    return head.encode() + body


async def send(port: int, requests: list[bytes], connections: int) -> None:
    """Send the requests over *connections*, one at a time on each."""

    async def one() -> None:
        reader = writer = None
        while requests:
            if writer is None or writer.is_closing():
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(requests.pop())
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            assert head.startswith(b"http/1.1 200"), head
            await reader.readexactly(int(head.split(b"content-length: ")[1].split(b"\r\n")[0]))
            if b"connection: close" in head:
                writer.close()
        if writer is not None:
            writer.close()

    await asyncio.gather(*(one() for _ in range(connections)))


def rate(port: int, make: Callable[[], bytes], stored: Callable[[], int], count: int) -> float:
    """Return the exceptions per second until all *count* of them are stored."""
    requests, before = [make() for _ in range(count)], stored()
    begun = time.perf_counter()
    asyncio.run(send(port, requests, CONNECTIONS))
    wait(lambda: stored() >= before + count)
    return count / (time.perf_counter() - begun)


def visible_ms(port: int, make: Callable[[], bytes], stored: Callable[[], int]) -> float:
    """Return the median time from a request until its exception is stored."""
    times = []
    for _ in range(SINGLE):
        before, single = stored(), make()
        begun = time.perf_counter()
        asyncio.run(send(port, [single], 1))
        wait(lambda: stored() > before)  # noqa: B023 - called before the next round
        times.append((time.perf_counter() - begun) * 1_000)
    return sorted(times)[SINGLE // 2]


def wait(check: Callable[[], bool]) -> None:
    """Wait until *check* returns True."""
    deadline = time.monotonic() + WAIT_S
    while not check():
        if time.monotonic() > deadline:
            raise TimeoutError("the exceptions were not stored in time")
        time.sleep(0.005)


def stored_by_us(served: Instance) -> int:
    """Return how many events the store has."""
    return int(ask(served, "/_ready")["stored_events"])


def install(folder: Path) -> Path:
    """Install Bugsink into an environment below *folder*, and return the folder of its programs."""
    environment = folder / "bugsink"
    commands = (
        ["uv", "venv", "--quiet", "--python", sys.executable, str(environment)],
        ["uv", "pip", "install", "--quiet", "--python", str(environment / "bin" / "python"), f"bugsink=={VERSION}"],
    )
    for command in commands:
        try:
            run = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise NotInstalledError(str(error)) from error
        if run.returncode:
            raise NotInstalledError(run.stderr.strip()[-300:])
    return environment / "bin"


@contextmanager
def bugsink(programs: Path, folder: Path) -> Iterator[tuple[int, str, str, Callable[[], int]]]:
    """Run Bugsink; yield its port, its project, the project's key, and its count of events."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    environ = {**os.environ, "PYTHONPATH": str(folder), "DJANGO_SETTINGS_MODULE": "bugsink_conf"}
    environ = {name: value for name, value in environ.items() if name != "VIRTUAL_ENV"}

    def run(*command: str) -> str:
        made = subprocess.run([str(programs / command[0]), *command[1:]], cwd=folder, env=environ, capture_output=True, text=True, timeout=300, check=False)  # fmt: skip
        if made.returncode:
            raise NotInstalledError(f"{command[0]} failed: {made.stderr.strip()[-500:]}")
        return made.stdout

    run("bugsink-create-conf", "--template=singleserver", "--host=127.0.0.1", f"--port={port}", f"--base-dir={folder}")
    conf = folder / "bugsink_conf.py"
    conf.write_text(conf.read_text() + QUOTAS)
    run("bugsink-manage", "migrate")
    run("bugsink-manage", "migrate", "snappea", "--database=snappea")
    project, key = run("bugsink-manage", "shell", "-c", PROJECT).split("made ")[1].split()[:2]
    quiet: dict[str, Any] = {"cwd": folder, "env": environ, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    server = [str(programs / "gunicorn"), f"--bind=127.0.0.1:{port}", "--workers=2", "--timeout=60", "bugsink.wsgi"]
    processes = [subprocess.Popen(server, **quiet), subprocess.Popen([str(programs / "bugsink-runsnappea")], **quiet)]
    database = sqlite3.connect(f"file:{folder}/db.sqlite3?mode=ro", uri=True)
    try:
        wait(lambda: _answers(port))
        yield (
            port,
            project,
            key.replace("-", ""),
            lambda: int(database.execute("SELECT count(*) FROM events_event").fetchone()[0]),
        )
    finally:
        database.close()
        for process in processes:
            process.terminate()
            process.wait(30)


def _answers(port: int) -> bool:
    try:
        urllib.request.urlopen(f"http://127.0.0.1:{port}/health/ready", timeout=10).close()
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False
    return True


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        served = start_instance(folder / "data")
        try:
            port = int(served.url.rpartition(":")[2])
            make, stored = lambda: exception_of_ours(served.token), lambda: stored_by_us(served)
            rate(port, make, stored, 500)  # the first inserts make the engine compile its queries
            ours = rate(port, make, stored, OURS), visible_ms(port, make, stored)
        finally:
            served.stop()
        try:
            programs = install(folder)
            (folder / "theirs").mkdir()
            with bugsink(programs, folder / "theirs") as (port, project, key, stored):
                make = lambda: exception_of_theirs(project, key)  # noqa: E731
                rate(port, make, stored, 50)
                theirs = rate(port, make, stored, THEIRS), visible_ms(port, make, stored)
            peers, note = [((f"Bugsink {VERSION}", value),) for value in theirs], ""
        except NotInstalledError as error:
            peers, note = [(), ()], f"Bugsink could not be installed: {error}"
    print_figures(
        [
            Figure("exceptions with issues, one a request", ours[0], "events/s", peers=peers[0], more_is_better=True, note=note),
            Figure("an exception is visible after", ours[1], "ms", peers=peers[1], note=note),
        ]
    )  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
