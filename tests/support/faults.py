"""Faults: a real server that misbehaves, connection by connection, and then passes everything on to
a healthy one.
"""

import socket
import ssl
import struct
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

_LISTEN_S = 0.05


@dataclass
class Visit:
    """One connection of a client, which a fault handles."""

    connection: socket.socket
    target: tuple[str, int]
    stopped: threading.Event

    def request(self) -> bytes:
        """Return the next whole request, or b"" when the client has disconnected."""
        return _message(self.connection)

    def forward(self, request: bytes) -> bytes:
        """Return the healthy server's response to *request*."""
        with socket.create_connection(self.target, timeout=20) as upstream:
            upstream.sendall(request)
            return _message(upstream)

    def reset(self) -> None:
        """Close the connection with a RST, as a crashed server or a firewall does."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()


Fault = Callable[[Visit], None]


def relay(visit: Visit) -> None:
    """No fault: the healthy server gets every request, and the client every response."""
    while request := visit.request():
        visit.connection.sendall(visit.forward(request))


def reset_at_once(visit: Visit) -> None:
    """The connection is reset before a byte is read."""
    visit.reset()


def reset_in_body(visit: Visit) -> None:
    """The connection is reset after the beginning of the request was read."""
    visit.connection.recv(16)
    visit.reset()


def close_before_answer(visit: Visit) -> None:
    """The whole request is read, and the connection is closed cleanly, without a response."""
    visit.request()


def hang(visit: Visit) -> None:
    """The request is read and gets no response."""
    visit.request()
    visit.stopped.wait(60)


def garbage(visit: Visit) -> None:
    """The response is not HTTP."""
    visit.request()
    visit.connection.sendall(b"\x00\xffSMTP ready? 250 OK\r\n\r\n" * 20)


def cut_status(visit: Visit) -> None:
    """The response ends in the middle of its status line."""
    visit.request()
    visit.connection.sendall(b"HTTP/1.1 20")


def cut_body(visit: Visit) -> None:
    """The request is accepted; the response ends before its Content-Length."""
    answer = visit.forward(visit.request())
    head = answer.partition(b"\r\n")[0]
    visit.connection.sendall(head + b'\r\nContent-Length: 4000\r\n\r\n{"sta')


def flood(visit: Visit) -> None:
    """The request is accepted; the response has a megabyte and announces keep-alive."""
    answer = visit.forward(visit.request())
    head = answer.partition(b"\r\n")[0]
    visit.connection.sendall(head + b"\r\nContent-Length: 1048576\r\n\r\n" + b"x" * 1048576)
    visit.stopped.wait(1)


def drip(visit: Visit) -> None:
    """The first response of the connection arrives one byte at a time, later ones normally."""
    for byte in visit.forward(visit.request()):
        visit.connection.sendall(bytes([byte]))
        visit.stopped.wait(0.01)
    relay(visit)


def endless_drip(visit: Visit) -> None:
    """The header of the response never ends, and sends more bytes every moment."""
    visit.request()
    visit.connection.sendall(b"HTTP/1.1 200 OK\r\nX-Filler: ")
    while not visit.stopped.wait(0.05):
        visit.connection.sendall(b"x")


class Faults:
    """A server in front of *target*; each connection gets the next scripted fault, and later ones
    `relay`.
    """

    def __init__(self, target: str, *script: Fault, tls: ssl.SSLContext | None = None, port: int = 0) -> None:
        parts = urlsplit(target)
        self._target = (parts.hostname or "", parts.port or 80)
        self._script = deque(script)
        self._tls = tls
        self._stopped = threading.Event()
        self._visits: list[threading.Thread] = []
        self.connections = 0
        self._server = socket.create_server(("127.0.0.1", port))
        self._server.settimeout(_LISTEN_S)
        self.url = f"{'https' if tls else 'http'}://localhost:{self._server.getsockname()[1]}"
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def _accept(self) -> None:
        while not self._stopped.is_set():
            try:
                connection, _ = self._server.accept()
            except TimeoutError:
                continue
            self.connections += 1
            fault = self._script.popleft() if self._script else relay
            visit = threading.Thread(target=self._serve, args=(connection, fault), daemon=True)
            self._visits.append(visit)
            visit.start()

    def _serve(self, connection: socket.socket, fault: Fault) -> None:
        try:
            connection.settimeout(30)
            if self._tls is not None:
                connection = self._tls.wrap_socket(connection, server_side=True)
            fault(Visit(connection, self._target, self._stopped))
        except OSError:
            pass  # the client may disconnect at any time
        finally:
            connection.close()

    def stop(self) -> None:
        """End every connection and close the socket."""
        self._stopped.set()
        self._thread.join(10)
        self._server.close()


def _message(connection: socket.socket) -> bytes:
    """Read one HTTP message; the length of a body must be in its header."""
    message = b""
    while b"\r\n\r\n" not in message:
        part = connection.recv(65536)
        if not part:
            return b""
        message += part
    head, _, body = message.partition(b"\r\n\r\n")
    lengths = [line.split(b":")[1] for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    missing = int(lengths[0]) - len(body) if lengths else 0
    while missing > 0 and (part := connection.recv(65536)):
        message += part
        missing -= len(part)
    return message
