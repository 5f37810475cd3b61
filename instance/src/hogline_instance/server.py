"""The HTTP server around the app: uvicorn on a socket that is open already."""

import contextlib
import signal
import socket
from collections.abc import Iterator
from typing import Any

import uvicorn

__all__ = ["run"]

_DRAIN_CONNECTIONS_S = 10


def run(app: Any, listener: socket.socket) -> None:
    """Serve *app* until SIGINT or SIGTERM, then let open requests end."""
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
    _Server(config).run(sockets=[listener])


class _Server(uvicorn.Server):
    """uvicorn raises the signal that ended it once more, and dies of it; here the services are still to be closed."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        numbers = (signal.SIGINT, signal.SIGTERM)
        previous = {number: signal.signal(number, self.handle_exit) for number in numbers}
        try:
            yield
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)
