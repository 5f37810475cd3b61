"""Load for `benchmarks.server`: 32 keep-alive connections to one server, from one thread, and the
server's CPU time by the kernel's accounting.
"""

import itertools
import select
import socket
import time

__all__ = ["Connections", "cpu_s"]

CONNECTIONS, VISITORS, PAGES = 32, 200, 50
_TIMEOUT_S = 60.0


def _request(visitor: int, page: int) -> bytes:
    return (
        f"GET /products/{page}?step={page} HTTP/1.1\r\nHost: shop.example\r\n"
        f"User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) "
        f"Chrome/{100 + visitor % 40}.0.0.0 Safari/537.36\r\n"
        "Accept: */*\r\nAccept-Language: en\r\nAccept-Encoding: gzip, br\r\n"
        f"X-Forwarded-For: 198.51.100.{visitor}\r\n"
        f"X-PostHog-Session-Id: 0192f0c0-0000-7000-8000-{visitor:012x}\r\n"
        f"X-PostHog-Window-Id: 0192f0c0-0000-7001-8000-{visitor:012x}\r\n"
        f"X-PostHog-Distinct-Id: visitor-{visitor}\r\n"
        "Cookie: a=b\r\nReferer: https://shop.example/\r\n\r\n"
    ).encode()


_REQUESTS = [_request(number % VISITORS, number % PAGES) for number in range(VISITORS)]


def cpu_s(pid: int) -> float:
    """Return the CPU seconds that process *pid* has used, by its CPU clock."""
    return time.clock_gettime((~pid << 3) | 2)  # CPUCLOCK_SCHED of that process, see clock_getcpuclockid(3)


class Connections:
    """Kept connections to the server on *port*."""

    def __init__(self, port: int) -> None:
        self._poll = select.epoll()
        self._sockets: dict[int, socket.socket] = {}
        for _ in range(CONNECTIONS):
            connection = socket.create_connection(("127.0.0.1", port), timeout=_TIMEOUT_S)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._sockets[connection.fileno()] = connection
            self._poll.register(connection.fileno(), select.EPOLLIN)
        self._requests = itertools.cycle(_REQUESTS)

    def run(self, count: int) -> None:
        """Send *count* requests, at most one at a time on each connection, and read their
        responses.
        """
        sent = answered = 0
        for connection in self._sockets.values():
            if sent < count:
                connection.sendall(next(self._requests))
                sent += 1
        partial: dict[int, bytes] = {}
        while answered < count:
            ready = self._poll.poll(_TIMEOUT_S)
            if not ready:
                raise TimeoutError("the server does not answer")
            for handle, _ in ready:
                connection = self._sockets[handle]
                data = connection.recv(65536)
                if not data:
                    raise ConnectionError("the server closed a connection")
                data = partial.pop(handle, b"") + data
                if not _is_whole(data):
                    partial[handle] = data
                    continue
                if not data.startswith(b"HTTP/1.1 200"):
                    raise ValueError(f"the server answered {data[:200]!r}")
                answered += 1
                if sent < count:
                    connection.sendall(next(self._requests))
                    sent += 1

    def get(self, path: str) -> bytes:
        """Return the body of one more page."""
        handle, connection = next(iter(self._sockets.items()))
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: shop.example\r\n\r\n".encode())
        data = b""
        while not _is_whole(data):
            received = connection.recv(65536)
            if not received:
                raise ConnectionError(f"the server closed connection {handle}")
            data += received
        return data.partition(b"\r\n\r\n")[2]

    def close(self) -> None:
        for connection in self._sockets.values():
            connection.close()
        self._poll.close()


def _is_whole(data: bytes) -> bool:
    head, end, body = data.partition(b"\r\n\r\n")
    if not end:
        return False
    lengths = [line.partition(b":")[2] for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    return len(body) >= int(lengths[0])
