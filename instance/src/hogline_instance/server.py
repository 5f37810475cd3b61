"""The HTTP server around the app: uvicorn on a socket that is open already."""

import contextlib
import signal
import socket
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

import uvicorn

__all__ = ["run"]

_DRAIN_CONNECTIONS_S = 10


def run(app: Any, listener: socket.socket, *, on_started: Callable[[], None], on_stopping: Callable[[], None]) -> None:
    """Serve *app* until SIGINT or SIGTERM, then let open requests end.

    *on_started* is called when requests are answered and signals are heeded; *on_stopping* ends what would never end by
    itself, as live streams.
    """
    config = uvicorn.Config(
        app,
        log_config=None,
        log_level="warning",
        access_log=False,
        http="httptools",
        ws="none",
        lifespan="on",
        server_header=False,
        timeout_graceful_shutdown=_DRAIN_CONNECTIONS_S,
        proxy_headers=False,
    )
    _Server(config, on_started, on_stopping).run(sockets=[listener])


class _Server(uvicorn.Server):
    """uvicorn raises the signal that ended it once more, and dies of it; here the services are still to be closed."""

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
