"""AWS Lambda's runtime API, for a function's process that uses Amazon's own runtime client.

The process may be frozen as soon as it has responded, and may be killed while it is frozen. This
module replaces the platform's part, the API and SIGSTOP; the handler's context, errors and
responses are the runtime client's. Source: AWS Lambda runtime API, version 2018-06-01.
"""

import itertools
import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
_WAIT_S = 60.0
_API = "/2018-06-01/runtime"


class _Api:
    """The runtime API of one process: it hands out one event and receives the response."""

    def __init__(self) -> None:
        events: queue.Queue[tuple[dict[str, str], bytes] | None] = queue.Queue()
        answers: queue.Queue[dict[str, Any]] = queue.Queue()

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                told = events.get()
                if told is None:
                    self.close_connection = True
                    return
                headers, body = told
                self._send(200, headers, body)

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                said = json.loads(body)
                if self.path.endswith("/response"):
                    answers.put({"result": said})
                else:
                    answers.put({"error": f"{said['errorType']}: {said['errorMessage']}"})
                self._send(202, {}, b"{}")

            def _send(self, status: int, headers: dict[str, str], body: bytes) -> None:
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args: object) -> None:
                """Log nothing."""

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, request: object, address: object) -> None:
                """Log nothing: processes are killed in the middle of requests."""

        self._events, self._answers = events, answers
        self._numbers = itertools.count(1)
        self._server = Server(("127.0.0.1", 0), Handler)
        self.address = f"127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def ask(self, event: Any, left_s: float) -> dict[str, Any]:
        headers = {
            "Content-Type": "application/json",
            "Lambda-Runtime-Aws-Request-Id": f"request-{next(self._numbers)}",
            "Lambda-Runtime-Deadline-Ms": str(int((time.time() + left_s) * 1000)),
            "Lambda-Runtime-Invoked-Function-Arn": "arn:aws:lambda:eu-west-1:1:function:shop",
        }
        self._events.put((headers, json.dumps(event).encode()))
        return self._answers.get(timeout=_WAIT_S)

    def stop(self) -> None:
        self._events.put(None)
        self._server.shutdown()
        self._server.server_close()


class Platform:
    """A function's process, as Lambda runs it. *target* is the handler's name in Lambda's form,
    `module.function`.
    """

    def __init__(self, target: str, **environ: str) -> None:
        self._api = _Api()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "awslambdaric", target],
            cwd=ROOT,
            stdout=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": str(ROOT), "AWS_LAMBDA_RUNTIME_API": self._api.address, **environ},
        )

    def invoke(self, event: Any, *, left_s: float = 60.0) -> dict[str, Any]:
        """Invoke the function with *event*, and freeze the process after its response."""
        self.process.send_signal(signal.SIGCONT)
        try:
            answer = self._api.ask(event, left_s)
        except queue.Empty:
            raise AssertionError(f"no answer in {_WAIT_S} s; the process ended with {self.process.poll()}") from None
        self.process.send_signal(signal.SIGSTOP)
        return answer

    def stop(self) -> None:
        """Kill it while it is frozen, as a platform does."""
        self.process.kill()
        self.process.wait(_WAIT_S)
        self._api.stop()
