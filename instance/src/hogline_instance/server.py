"""The HTTP server around the app: uvicorn on a socket that the caller opened."""

import asyncio
import contextlib
import resource
import signal
import socket
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

__all__ = ["run"]

_DRAIN_CONNECTIONS_S = 10
# File descriptors left for the store, the database and the journal.
_OTHER_FILES = 256
_MOST_FILES = 65_536
_LINGER_S = 2.0  # longest time that a refused client's data is read and discarded


def run(
    app: Any,
    listener: socket.socket,
    *,
    max_header_bytes: int,
    max_connections: int,
    head_timeout_s: float,
    body_timeout_s: float,
    on_started: Callable[[], None],
    on_stopping: Callable[[], None],
) -> None:
    """Serve *app* until SIGINT or SIGTERM, then finish open requests.

    *on_started* is called once requests are served and signals are handled; *on_stopping* ends
    responses that would never end by themselves, such as live streams.
    """
    config = uvicorn.Config(
        app,
        log_config=None,
        log_level="warning",
        access_log=False,
        http=type(
            "_Protocol",
            (_LimitedProtocol,),
            {
                "max_header_bytes": max_header_bytes,
                "max_connections": min(max_connections, raise_file_limit() - _OTHER_FILES),
                "head_timeout_s": head_timeout_s,
                "body_timeout_s": body_timeout_s,
            },
        ),
        ws="none",
        lifespan="on",
        server_header=False,
        timeout_graceful_shutdown=_DRAIN_CONNECTIONS_S,
        proxy_headers=False,
    )
    _Server(config, on_started, on_stopping).run(sockets=[listener])


def raise_file_limit() -> int:
    """Raise this process's soft limit of open files to its hard one, and return it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, _MOST_FILES)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return _MOST_FILES if soft == resource.RLIM_INFINITY else soft
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        return wanted
    return soft


class _LimitedProtocol(HttpToolsProtocol):
    """HTTP/1.1 with limits on a request's head, its duration, and the number of connections.

    uvicorn has none of these: it would buffer a head without a limit, and wait forever for its end.
    """

    max_header_bytes: int
    max_connections: int
    head_timeout_s: float
    body_timeout_s: float

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._deadline: asyncio.TimerHandle | None = None
        self._refused = False
        self._head_is_open = False
        self._head_bytes = 0
        """An upper bound of the bytes in the incomplete head.

        Bytes that arrived together with the end of an earlier body count too."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > self.max_connections:
            self._refuse(503, "Service Unavailable", f"over {self.max_connections} connections are open; try again")
            return
        self._expect_within(self.head_timeout_s)

    def connection_lost(self, exc: Exception | None) -> None:
        self._expect_within(None)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._refused:
            return
        was_open = self._head_is_open
        self._head_bytes = len(data) + (self._head_bytes if was_open else 0)
        super().data_received(data)
        if was_open and self._head_is_open and self._head_bytes > self.max_header_bytes:
            self.send_400_response("")

    def on_message_begin(self) -> None:
        self._head_is_open = True
        self._expect_within(self.head_timeout_s)
        super().on_message_begin()

    def on_message_complete(self) -> None:
        self._expect_within(None)
        super().on_message_complete()

    def on_headers_complete(self) -> None:
        if self._head_bytes > self.max_header_bytes:
            size = len(self.url) + sum(len(name) + len(value) for name, value in self.headers)
            if size > self.max_header_bytes:
                raise _HeadTooLargeError
        self._head_is_open = False
        self._expect_within(self.body_timeout_s)
        super().on_headers_complete()

    def _expect_within(self, limit_s: float | None) -> None:
        """Close the connection unless the next part of a request is complete within *limit_s*."""
        if self._deadline is not None:
            self._deadline.cancel()
        self._deadline = None if limit_s is None else self.loop.call_later(limit_s, self._too_slow)

    def _too_slow(self) -> None:
        if not self._refused:
            self._refuse(408, "Request Timeout", "the request did not arrive in time")

    def send_400_response(self, msg: str) -> None:
        if not self._head_is_open or self._head_bytes <= self.max_header_bytes:
            super().send_400_response(msg)
            return
        self._refuse(
            431, "Request Header Fields Too Large", f"the URL and headers are over {self.max_header_bytes} bytes"
        )

    def _refuse(self, status: int, phrase: str, reason: str) -> None:
        is_answering = self.cycle is not None and self.cycle.response_started and not self.cycle.response_complete
        if not is_answering:
            text = reason.encode()
            self.transport.write(
                b"HTTP/1.1 %d %b\r\ncontent-type: text/plain; charset=utf-8\r\n"
                b"access-control-allow-origin: *\r\nconnection: close\r\ncontent-length: %d\r\n\r\n%b"
                % (status, phrase.encode(), len(text), text)
            )
        self._linger()

    def _linger(self) -> None:
        """Shut down our side of the connection, and discard the data that the client still sends.

        Closing a socket that has unread bytes resets the connection, and the client loses the
        answer (RFC 9112, 9.6).
        """
        self._refused = True
        if self.cycle is not None and not self.cycle.response_complete:
            # An earlier request of the connection may still want to write; drop its output.
            self.cycle.disconnected = True
        self.transport.write_eof()
        self.loop.call_later(_LINGER_S, self.transport.close)


class _HeadTooLargeError(Exception):
    """Raised to stop the parser in the middle of a request."""


class _Server(uvicorn.Server):
    """uvicorn, without raising the signal again at the end: the services are closed after it."""

    def __init__(self, config: uvicorn.Config, on_started: Callable[[], None], on_stopping: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_started = on_started
        self._on_stopping = on_stopping

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._on_started()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        super().handle_exit(sig, frame)
        self._on_stopping()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        numbers = (signal.SIGINT, signal.SIGTERM)
        previous = {number: signal.signal(number, self.handle_exit) for number in numbers}
        try:
            yield
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)
