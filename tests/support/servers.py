"""Real servers: each in its own process on a free loopback port, with its log."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
_START_S = 60.0
_STOP_S = 15.0
_ADDRESS = re.compile(r"(?:https?://|TCP address )127\.0\.0\.1:([1-9][0-9]*)")
_PACKAGE = "tests.interceptors.apps"
_WERKZEUG = (
    "from werkzeug.serving import run_simple; from {} import app; run_simple('127.0.0.1', 0, app, threaded=True)"
)
# These two do not print their port.
_CHEROOT = """
import signal, sys
from cheroot.wsgi import Server
from {} import app
server = Server(("127.0.0.1", 0), app, numthreads=4)
server.prepare()
print("http://127.0.0.1:%d" % server.bind_addr[1], flush=True)
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
try:
    server.serve()
finally:
    server.stop()
"""
_GEVENT = """
from gevent import monkey; monkey.patch_all()
import signal, gevent
from gevent.pywsgi import WSGIServer
from {} import app
server = WSGIServer(("127.0.0.1", 0), app, log=None)
server.start()
print("http://127.0.0.1:%d" % server.server_port, flush=True)
gevent.signal_handler(signal.SIGTERM, server.stop)
server.serve_forever()
"""

_UVICORN = ("-m", "uvicorn", "--host", "127.0.0.1", "--port", "0", "--no-access-log")
_GUNICORN = (
    "-m",
    "gunicorn",
    "--bind",
    "127.0.0.1:0",
    "--workers",
    "1",
    "--worker-tmp-dir",
    "/dev/shm",
    "--no-control-socket",
)

# Without lazy-apps it forks after the import; die-on-term makes it end at SIGTERM.
_UWSGI = (
    "-c",
    "import pyuwsgi; pyuwsgi.run()",
    "--http-socket",
    "127.0.0.1:0",
    "--master",
    "--processes",
    "1",
    "--enable-threads",  # otherwise no thread of the app runs, so the client's worker does not either
    "--die-on-term",
    "--add-header",
    "Connection: close",  # it closes each connection, and announces that only with this option
    "--disable-logging",
    "--need-app",
    "--stats",
    "127.0.0.1:{stats}",
    "--module",
)

# Arguments of the interpreter; "{app}" is the app's module, "{target}" the app in the servers'
# notation.
_COMMANDS: dict[str, tuple[str, ...]] = {
    "uvicorn": (*_UVICORN, "--loop", "asyncio", "--http", "h11", "{target}"),
    "uvicorn-uvloop": (*_UVICORN, "--loop", "uvloop", "--http", "httptools", "{target}"),
    "uvicorn-two": (*_UVICORN, "--workers", "2", "{target}"),
    "hypercorn": ("-m", "hypercorn", "--bind", "127.0.0.1:0", "{target}"),
    "gunicorn-sync": (*_GUNICORN, "--worker-class", "sync", "{target}"),
    "gunicorn-gthread": (*_GUNICORN, "--worker-class", "gthread", "--threads", "4", "{target}"),
    "gunicorn-preload": (*_GUNICORN, "--preload", "--worker-class", "sync", "{target}"),
    "gunicorn-uvicorn": (*_GUNICORN, "--worker-class", "uvicorn_worker.UvicornWorker", "{target}"),
    "gunicorn-asgi": (*_GUNICORN, "--worker-class", "asgi", "{target}"),
    # By default, waitress removes proxies' headers before an app can see them.
    "waitress": ("-m", "waitress", "--listen=127.0.0.1:0", "--no-clear-untrusted-proxy-headers", "{target}"),
    "gunicorn-gevent": (*_GUNICORN, "--worker-class", "gevent", "{target}"),
    "gevent": ("-c", _GEVENT.format("{app}")),
    "cheroot": ("-c", _CHEROOT.format("{app}")),
    "uwsgi": (*_UWSGI, "{target}"),
    "werkzeug": ("-c", _WERKZEUG.format("{app}")),
    # It does not print its port, so "{port}" is a free one.
    "granian": ("-m", "granian", "--interface", "asgi", "--host", "127.0.0.1", "--port", "{port}", "{target}"),
    # Frameworks with their own server: the app's module starts it and prints its address.
    "aiohttp": ("-m", "{app}"),
    "robyn": ("-m", "{app}"),
    "robyn-alone": ("-m", "{app}", "{port}"),  # without the page that offers other sets of options
    "sanic": ("-m", "{app}"),
    "tornado": ("-m", "{app}"),
    "runserver": ("-m", "{app}", "runserver", "--noreload", "127.0.0.1:0"),
}

# Lines that a server must never log because of us, whatever the app does.
_FORBIDDEN = (
    "Task exception was never retrieved",
    "Exception ignored in",
    "was never awaited",
    "different Context",
    "ERROR:hogline",
    "Fatal Python error",
    "ASGI callable returned without",
)

# Lines of that kind that a framework also logs without us.
_THEIR_OWN = ("coroutine 'ServerErrorMiddleware.error_response'",)  # Connexion logs this when a stream fails


@dataclass
class Server:
    """A running server."""

    name: str
    process: subprocess.Popen[bytes]
    port: int
    log_path: Path
    stats_port: int = 0
    """The address of uWSGI's stats server."""

    @property
    def log(self) -> str:
        return self.log_path.read_text(errors="replace")

    def ends(self) -> bool:
        """Return whether it ends by itself within a moment."""
        try:
            self.process.wait(0.5)
        except subprocess.TimeoutExpired:
            return False
        return True

    def stop(self, number: int = signal.SIGTERM) -> None:
        """Ask it to end, and kill it if it does not."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        try:
            self.process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(_STOP_S)
            raise AssertionError(f"{self.name} did not end in {_STOP_S} s:\n{self.log[-3000:]}") from None

    def complaints(self) -> list[str]:
        """Return the log's lines that are our fault: forbidden lines, and tracebacks that end in
        our code.
        """
        found = [line for line in self.log.splitlines() if any(text in line for text in _FORBIDDEN)]
        found = [line for line in found if not any(text in line for text in _THEIR_OWN)]
        last = ""
        for line in self.log.splitlines():
            if 'File "' in line:
                last = line
            elif last and not line.startswith((" ", "\t", "|", "+")):
                if "/src/hogline/" in last:
                    found.append(f"{last.strip()}: {line}")
                last = ""
        return found


def start_server(name: str, app: str, log_path: Path, environ: Mapping[str, str]) -> Server:
    """Start server *name* with the app of the module *app* in tests.interceptors.apps; wait until
    it responds.
    """
    module = f"{_PACKAGE}.{app}"
    port = _free_port() if "{port}" in _COMMANDS[name] else 0
    stats_port = _free_port() if name == "uwsgi" else 0
    values = {"app": module, "target": f"{module}:app", "port": port, "stats": stats_port}
    command = [part.format(**values) for part in _COMMANDS[name]]
    with log_path.open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, *command],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env={**os.environ, "PYTHONUNBUFFERED": "1", "PYTHONPATH": str(ROOT), **environ},
        )
    server = Server(name, process, port, log_path, stats_port)
    deadline_s = time.monotonic() + _START_S
    while not (server.port and _answers(server.port)):
        if process.poll() is not None or time.monotonic() > deadline_s:
            process.kill()
            process.wait(_STOP_S)
            raise AssertionError(f"{name} did not serve {app}:\n{server.log[-3000:]}")
        time.sleep(0.02)
        if not port:
            found = _ADDRESS.search(server.log)
            server.port = int(found[1]) if found else 0
    return server


def uwsgi_workers(stats_port: int) -> list[dict[str, Any]]:
    """Return the state of uWSGI's workers, from its stats server."""
    with socket.create_connection(("127.0.0.1", stats_port), timeout=20) as connection:
        workers: list[dict[str, Any]] = json.loads(b"".join(iter(lambda: connection.recv(65536), b"")))["workers"]
    return workers


def is_idle(worker: dict[str, Any]) -> bool:
    """Return whether a worker of uWSGI has finished its last request, which is after the client has
    the response.
    """
    return worker["status"] == "idle" and not any(core["in_request"] for core in worker["cores"])


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
        return port


def _answers(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
            connection.sendall(b"GET /-/pid HTTP/1.1\r\nHost: shop.example\r\nConnection: close\r\n\r\n")
            return connection.recv(12).startswith(b"HTTP/1.1 200"[:12])
    except OSError:
        return False
