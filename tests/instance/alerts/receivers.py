"""The other side of alerts: an HTTP server and a mail server, both real, on loopback."""

import json
import threading
import time
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

WAIT_S = 20.0


@dataclass
class Received:
    """A request as it arrived."""

    path: str
    headers: dict
    body: bytes
    at: float = field(default_factory=time.monotonic)

    @property
    def json(self):
        return json.loads(self.body)


class Hooks:
    """Answers each path as the test says, else with 200, and keeps the requests."""

    def __init__(self):
        self._arrived = threading.Condition()
        self.received: list[Received] = []
        self.answers: dict[str, list] = {}
        """For each path, its next answers: a status with headers, or a function that replaces it."""
        hooks = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                hooks.take(Received(self.path, self.headers, body))
                queued = hooks.answers.get(self.path)
                status, headers = queued.pop(0) if queued else (200, {})
                if callable(status):
                    status()
                    return
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(b"<b>no such channel</b>" if status >= 400 else b"")

            def log_message(self, *_arguments):
                """Say nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server.server_port}"

    def take(self, request):
        with self._arrived:
            self.received.append(request)
            self._arrived.notify_all()

    def at(self, path):
        return [each for each in self.received if each.path == path]

    def wait(self, path, count=1):
        """Return the requests to *path* once there are *count*."""
        with self._arrived:
            assert self._arrived.wait_for(lambda: len(self.at(path)) >= count, WAIT_S), self.at(path)
        return self.at(path)

    def close(self):
        self.server.shutdown()
        self.server.server_close()


class Mailbox:
    """The handler of a mail server; it refuses recipients at `refused.test`."""

    def __init__(self):
        self._arrived = threading.Condition()
        self.mails = []

    async def handle_RCPT(self, _server, _session, envelope, address, _options):
        if address.endswith("@refused.test"):
            return "550 no such <user>"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, _server, session, envelope):
        mail = message_from_bytes(envelope.content, policy=policy.default)
        with self._arrived:
            self.mails.append((session.authenticated, session.ssl is not None, envelope.rcpt_tos, mail))
            self._arrived.notify_all()
        return "250 accepted"

    def to(self, address):
        return [each for each in self.mails if address in each[2]]

    def wait(self, address, count=1):
        """Return the mails to *address* once there are *count*."""
        with self._arrived:
            assert self._arrived.wait_for(lambda: len(self.to(address)) >= count, WAIT_S), self.mails
        return self.to(address)
