"""Count accepted, received and duplicated events for every process model and way to end it.

`python -m tests.support.matrix [MODEL ...]` prints the table; tests/sdk/delivery/test_matrix.py
asserts it.
"""

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.request import ProxyHandler, build_opener

from hogline import PostHog
from tests.support.servers import is_idle, uwsgi_workers
from tests.support.sink import Sink

ROOT = Path(__file__).resolve().parents[2]
REQUESTS = 10
RECYCLED_AFTER = 3
_WAIT_S = 90.0
_PATIENCE_S = 20.0
_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}")
_WSGI, _ASGI = "tests.support.models.wsgi:app", "tests.support.models.asgi:app"
_open = build_opener(ProxyHandler({})).open

STOP, TERM, RECYCLE, KILL = "stop (SIGINT)", "SIGTERM", "max-requests", "kill -9, spool"
# If the server kills its workers before their exit handlers ran, only a spool keeps the queued
# events.
STOP_SPOOL, TERM_SPOOL = "stop (SIGINT), spool", "SIGTERM, spool"
# Those servers kill a worker while it may be sending: the spool then holds events whose request was
# not answered yet, and the next process sends these again, with the same ids and times.
_KILLED_WHILE_SENDING = {STOP_SPOOL, TERM_SPOOL}
_SIGNALS = {
    STOP: signal.SIGINT, STOP_SPOOL: signal.SIGINT, TERM: signal.SIGTERM, TERM_SPOOL: signal.SIGTERM, RECYCLE: signal.SIGTERM,
}  # fmt: skip


@dataclass(frozen=True)
class Cell:
    """One process model, with one way to start and one way to end it."""

    model: str
    preload: bool | None
    ending: str

    def __str__(self) -> str:
        made = {True: ", preload", False: ", no preload", None: ""}[self.preload]
        return f"{self.model}{made}: {self.ending}"


@dataclass(frozen=True)
class Outcome:
    """The counts of one cell's events."""

    cell: Cell
    accepted: int
    received: int
    duplicated: int
    resent: int
    """Events that came twice, the same in each field, since their process was killed while it sent."""
    log: str

    @property
    def lost(self) -> int:
        return self.accepted - self.received

    def __str__(self) -> str:
        return f"{self.cell!s:<52}{self.accepted:>9}{self.received:>10}{self.duplicated:>12}{self.resent:>8}"


def _gunicorn(kind: str, target: str) -> Callable[[Cell, int], list[str]]:
    def command(cell: Cell, port: int) -> list[str]:
        return [
            *("-m", "gunicorn", "--bind", f"127.0.0.1:{port}", "--workers", "2", "--worker-class", kind),
            *("--worker-tmp-dir", "/dev/shm", "--no-control-socket", "--graceful-timeout", "5"),
            *(["--threads", "4"] if kind == "gthread" else []),
            *(["--preload"] if cell.preload else []),
            *(["--max-requests", str(RECYCLED_AFTER)] if cell.ending == RECYCLE else []),
            target,
        ]

    return command


def _uvicorn(cell: Cell, port: int) -> list[str]:
    recycle = ["--limit-max-requests", str(RECYCLED_AFTER)] if cell.ending == RECYCLE else []
    return ["-m", "uvicorn", "--host", "127.0.0.1", "--port", str(port), "--workers", "2", *recycle, _ASGI]


def _hypercorn(cell: Cell, port: int) -> list[str]:
    recycle = ["--max-requests", str(RECYCLED_AFTER)] if cell.ending == RECYCLE else []
    # When the first of several workers has ended, it sends SIGTERM to the others, which do not
    # handle it.
    count = "2" if "spool" in cell.ending else "1"
    return ["-m", "hypercorn", "--bind", f"127.0.0.1:{port}", "--workers", count, *recycle, _ASGI]


def _granian(interface: str, target: str) -> Callable[[Cell, int], list[str]]:
    def command(cell: Cell, port: int) -> list[str]:
        where = ["--host", "127.0.0.1", "--port", str(port), "--workers", "2", "--no-ws"]
        return ["-m", "granian", "--interface", interface, *where, target]

    return command


def _uwsgi(cell: Cell, port: int) -> list[str]:
    recycle = ["--max-requests", str(RECYCLED_AFTER), "--min-worker-lifetime", "0"] if cell.ending == RECYCLE else []
    return [
        *("-c", "import pyuwsgi; pyuwsgi.run()", "--http-socket", f"127.0.0.1:{port}", "--master", "--processes", "2"),
        *("--enable-threads", "--die-on-term", "--disable-logging", "--need-app", "--add-header", "Connection: close"),
        *([] if cell.preload else ["--lazy-apps"]),
        *recycle,
        *("--stats", f"127.0.0.1:{port + 1}", "--module", _WSGI),
    ]


SERVERS: dict[str, tuple[Callable[[Cell, int], list[str]], tuple[bool | None, ...], tuple[str, ...]]] = {
    "gunicorn sync": (_gunicorn("sync", _WSGI), (True, False), (STOP, TERM, RECYCLE, KILL)),
    "gunicorn gthread": (_gunicorn("gthread", _WSGI), (True, False), (STOP, TERM, RECYCLE, KILL)),
    "gunicorn gevent": (_gunicorn("gevent", _WSGI), (True, False), (STOP, TERM, RECYCLE, KILL)),
    # gunicorn's quick stop sends SIGQUIT to the workers; uvicorn's worker resets its handler to the
    # default, which kills.
    "gunicorn uvicorn": (
        _gunicorn("uvicorn_worker.UvicornWorker", _ASGI),
        (True, False),
        (STOP_SPOOL, TERM, RECYCLE, KILL),
    ),
    "uvicorn --workers": (_uvicorn, (None,), (STOP, TERM, RECYCLE, KILL)),
    "hypercorn": (_hypercorn, (None,), (STOP, TERM, TERM_SPOOL, RECYCLE, KILL)),
    "granian asgi": (
        _granian("asgi", _ASGI),
        (None,),
        (STOP, TERM, KILL),
    ),  # it recycles workers by time only, after a minute
    "granian wsgi": (_granian("wsgi", _WSGI), (None,), (STOP, TERM, KILL)),
    # SIGINT stops it without waiting for workers.
    "uwsgi": (_uwsgi, (True, False), (STOP_SPOOL, TERM, RECYCLE, KILL)),
}
_SCRIPTS = ("plain script", "os.fork", "multiprocessing fork", "multiprocessing spawn")
SCRIPT_END = "just ends"
MODELS = ["celery prefork", *SERVERS, *_SCRIPTS, "freeze and thaw"]  # the slowest first


def cells(model: str) -> list[Cell]:
    """Return the cells of *model*."""
    if model in SERVERS:
        _, preloads, endings = SERVERS[model]
        return [Cell(model, preload, ending) for preload in preloads for ending in endings]
    if model == "celery prefork":
        return [Cell(model, preload, ending) for preload in (True, False) for ending in (STOP, TERM, RECYCLE, KILL)]
    if model == "freeze and thaw":
        return [Cell(model, None, SCRIPT_END), Cell(model, None, KILL)]
    recycled = [Cell(model, None, RECYCLE)] if model.startswith("multiprocessing") else []
    return [Cell(model, None, SCRIPT_END), Cell(model, None, TERM_SPOOL), *recycled, Cell(model, None, KILL)]


def covering(model: str) -> list[Cell]:
    """Return a part of the cells of *model*: each ending once, and each way to start at least once.

    `./dev nightly` runs all cells.
    """
    every = cells(model)
    endings = list(dict.fromkeys(cell.ending for cell in every))
    return [
        cell
        for cell in every
        # The ways to start take turns; each model begins with another one, so that the models
        # together have every pair.
        if cell.preload is None or cell.preload == bool((endings.index(cell.ending) + MODELS.index(model)) % 2)
    ]


def run_cell(cell: Cell, sink: Sink, folder: Path) -> Outcome:
    """Let the processes of *cell* capture, end them, drain their spool if any, and count."""
    folder.mkdir(parents=True, exist_ok=True)
    environ = {**os.environ, "SINK": sink.url, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
    environ.pop("LATE", None)
    spool = folder / "spool" if "spool" in cell.ending else None
    if spool is not None:
        environ["HOGLINE_SPOOL_DIR"] = str(spool)
    log = folder / "log"
    if cell.model in SERVERS:
        ids = _serve(cell, environ, log)
    elif cell.model == "celery prefork":
        ids = _queue(cell, environ, folder, log, sink)
    elif cell.model == "freeze and thaw":
        ids = _freeze(cell, environ, log)
    else:
        ids = _script(cell, environ, log)
    if spool is not None:
        _drain(spool, sink)
    copies: dict[str, list[dict[str, Any]]] = {identity: [] for identity in ids}
    for event in sink.events:
        if event.uuid in copies:
            copies[event.uuid].append(event.raw)
    received = sum(map(bool, copies.values()))
    may_resend = cell.ending in _KILLED_WHILE_SENDING
    resent = sum(may_resend and len(same) == 2 and same[0] == same[1] for same in copies.values())
    duplicated = sum(len(same) - 1 for same in copies.values() if same) - resent
    return Outcome(cell, len(ids), received, duplicated, resent, log.read_text(errors="replace"))


def _drain(spool: Path, sink: Sink) -> None:
    """Start the next process on the folder; the killed ones take a moment to disappear."""
    drainer = PostHog("phc_test", host=sink.url, spool_dir=spool)
    deadline_s = time.monotonic() + 20
    while not drainer.flush(20) or (any(spool.rglob("*.spool")) and time.monotonic() < deadline_s):
        time.sleep(0.05)
    drainer.shutdown(20)


@contextlib.contextmanager
def _started(arguments: list[str], environ: dict[str, str], log: Path, **pipes: int) -> Iterator[subprocess.Popen]:
    """Run Python with *arguments* in a new session, and kill all of its processes at the end."""
    with log.open("ab") as file:
        process = subprocess.Popen(
            [sys.executable, "-W", "ignore::DeprecationWarning", *arguments],
            **{"stdin": subprocess.DEVNULL, "stdout": file, **pipes}, stderr=file, env=environ, cwd=ROOT, start_new_session=True,
        )  # fmt: skip
    try:
        yield process
    finally:
        _kill(process)
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()


def _kill(process: subprocess.Popen) -> None:
    """Kill the process and all that it started, as a power cut does."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait(_WAIT_S)


def _end(process: subprocess.Popen, ending: str, *, forgets_workers: bool = False) -> None:
    if "kill" in ending:
        _kill(process)
        return
    process.send_signal(_SIGNALS[ending])
    if forgets_workers:
        try:
            process.wait(_PATIENCE_S)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, _SIGNALS[ending])  # as systemd signals all processes of a service
    process.wait(_WAIT_S)


def _serve(cell: Cell, environ: dict[str, str], log: Path) -> list[str]:
    port = _free_ports()
    with _started(SERVERS[cell.model][0](cell, port), environ, log) as process:
        ids = [_ask(port, process, log)]
        ids += [_ask(port, process, log) for _ in range(REQUESTS - 1)]
        if cell.model.startswith("granian"):
            _await_lines(log, "Started worker-", 2)
        if cell.model == "uwsgi" and cell.ending != KILL:
            _await_idle(cell, port + 1, process, log)
        # Granian never ends if a worker starts after the stop signal.
        _end(process, cell.ending, forgets_workers=cell.model.startswith("granian"))
    return ids


def _free_ports() -> int:
    """Return a free port of this machine whose successor is free too."""
    while True:
        with socket.create_server(("127.0.0.1", 0)) as first:
            port = first.getsockname()[1]
            with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port + 1)):
                return port


def _await_idle(cell: Cell, stats_port: int, process: subprocess.Popen, log: Path) -> None:
    """Wait until no worker of uWSGI handles a request: a worker that is stopped during one runs no
    exit handlers.

    A worker that is stopped while it loads its app does not end, so wait for workers that are being
    replaced. Their `apps` are still those of the worker before them; the log says when an app is
    loaded. Not with `preload`: their exit handlers may still be running.
    """

    recycled = cell.ending == RECYCLE

    def idle() -> bool:
        lines = log.read_text(errors="replace").splitlines()
        loaded = {int(line.split("pid: ")[1].split()[0]) for line in lines if line.startswith("WSGI app 0")}
        return all(
            is_idle(worker)
            and (
                cell.preload
                or (worker["pid"] in loaded and not (recycled and worker["delta_requests"] >= RECYCLED_AFTER))
            )
            for worker in uwsgi_workers(stats_port)
        )

    _wait_until(idle, process, log)


def _await_lines(log: Path, text: str, count: int) -> None:
    deadline_s = time.monotonic() + _WAIT_S
    while log.read_text(errors="replace").count(text) < count and time.monotonic() < deadline_s:
        time.sleep(0.05)


def _ask(port: int, process: subprocess.Popen, log: Path) -> str:
    """Return the id in the response to one request; retry while the worker is recycled."""
    deadline_s = time.monotonic() + _WAIT_S
    while True:
        try:
            with _open(f"http://127.0.0.1:{port}/e", timeout=20) as answer:
                return answer.read().decode()
        except OSError:
            if process.poll() is not None or time.monotonic() > deadline_s:
                raise AssertionError(f"no server at {port}:\n{log.read_text(errors='replace')[-3000:]}") from None
            time.sleep(0.05)


def _queue(cell: Cell, environ: dict[str, str], folder: Path, log: Path, sink: Sink) -> list[str]:
    # Recycle the children one after the other, and wait for each: Celery's parent does not wait for
    # a new child, and the kernel kills the children of a dead parent there.
    recycle = cell.ending == RECYCLE
    count = 3 * RECYCLED_AFTER if recycle else REQUESTS
    (folder / "queue").mkdir()
    (folder / "control").mkdir()
    environ = environ | {"QUEUE": str(folder)} | ({} if cell.preload else {"LATE": "1"})
    send = f"from tests.support.models.celery_tasks import note; [note.delay(f'e{{n}}') for n in range({count})]"
    arguments = [
        "-m",
        "celery",
        "-A",
        "tests.support.models.celery_tasks",
        "worker",
        "--concurrency",
        "1" if recycle else "2",
        "--loglevel",
        "INFO",
    ]
    arguments += ["--without-gossip", "--without-mingle", "--without-heartbeat"]
    arguments += ["--max-tasks-per-child", str(RECYCLED_AFTER)] if recycle else []
    accepted = folder / "accepted"
    subprocess.run([sys.executable, "-c", send], env=environ | {"LATE": "1"}, cwd=ROOT, check=True, timeout=_WAIT_S)
    with _started(arguments, environ, log) as process:
        _wait_until(lambda: accepted.exists() and accepted.read_text().count("\n") == count, process, log)
        if recycle:
            ids = set(accepted.read_text().split())
            _wait_until(lambda: ids <= {event.uuid for event in sink.events}, process, log)
        _end(process, cell.ending)
    return accepted.read_text().split()


def _script(cell: Cell, environ: dict[str, str], log: Path) -> list[str]:
    kind = {"plain script": "plain", "os.fork": "os.fork"}.get(cell.model) or cell.model.split()[1]
    kind = f"pool-{kind}" if cell.ending == RECYCLE else kind
    stay = cell.ending in (TERM_SPOOL, KILL)
    environ = environ | ({"STAY": "1"} if stay else {})
    waiting = {"plain": 1, "os.fork": 1}.get(kind, 2)
    with _started(["-m", "tests.support.models.script", kind], environ, log) as process:
        if stay:
            _wait_until(lambda: log.read_text().count("ready") == waiting, process, log)
            if cell.ending == KILL:
                _kill(process)
            else:
                os.killpg(process.pid, signal.SIGTERM)
        assert process.wait(_WAIT_S) in (0, -signal.SIGTERM, -signal.SIGKILL), log.read_text()
    return _ID.findall(log.read_text())


def _freeze(cell: Cell, environ: dict[str, str], log: Path) -> list[str]:
    """Invoke a function with frozen pauses in between, as a cloud platform does; one call does not
    flush.
    """
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    ids: list[str] = []
    with _started(["-m", "tests.support.models.script", "lambda"], environ, log, **pipes) as process:
        ids += _ID.findall(process.stdout.readline().decode())
        for line in ("first", "lazy", "last", "lazy"):
            process.stdin.write(f"{line}\n".encode())
            process.stdin.flush()
            ids += _ID.findall(process.stdout.readline().decode())
            os.kill(process.pid, signal.SIGSTOP)
            time.sleep(0.2)
            if cell.ending == KILL and line == "lazy" and len(ids) == 25:
                break  # the platform kills the frozen process
            os.kill(process.pid, signal.SIGCONT)
        if cell.ending == KILL:
            _kill(process)
        else:
            process.stdin.close()
            assert process.wait(_WAIT_S) == 0
    return ids


def _wait_until(condition: Callable[[], bool], process: subprocess.Popen, log: Path) -> None:
    deadline_s = time.monotonic() + _WAIT_S
    while not condition():
        if process.poll() is not None or time.monotonic() > deadline_s:
            raise AssertionError(f"waited in vain:\n{log.read_text(errors='replace')[-3000:]}")
        time.sleep(0.05)


def run_models(models: list[str], folder: Path, together: int = 4) -> list[Outcome]:
    """Run all cells of *models*, a few at a time, against one sink."""
    sink = Sink()
    try:
        with ThreadPoolExecutor(together) as pool:
            wanted = [cell for model in models for cell in cells(model)]
            return list(pool.map(lambda one: run_cell(one[1], sink, folder / str(one[0])), enumerate(wanted)))
    finally:
        sink.stop()


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        outcomes = run_models(sys.argv[1:] or MODELS, Path(folder))
    print(f"{'':<52}{'accepted':>9}{'received':>10}{'duplicated':>12}{'resent':>8}")
    for outcome in outcomes:
        print(outcome)
    bad = [outcome for outcome in outcomes if outcome.lost or outcome.duplicated]
    for outcome in bad:
        print(f"\n{outcome.cell}\n{outcome.log[-3000:]}")
    return len(bad)


if __name__ == "__main__":
    threading.excepthook = lambda args: None
    sys.exit(main())
