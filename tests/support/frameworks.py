"""The table of frameworks: which app file shows each, on which real servers, and what it cannot show.

Tests, and the documentation's table, read it. To add a framework: its interceptor file, its app file, a row here, a page.
"""

from dataclasses import dataclass, field
from importlib.metadata import version
from importlib.util import find_spec
from typing import Literal

Protocol = Literal["asgi", "wsgi"]


@dataclass(frozen=True)
class Framework:
    """One row: a framework, or a way of serving one."""

    name: str
    requires: tuple[str, ...]
    """Distributions whose absence skips the row."""
    app: str
    """The module below tests.interceptors.apps."""
    protocol: Protocol
    servers: tuple[str, ...]
    route: str | None
    """How the framework spells the template of /items/{item_id}; None: it has none."""
    source: str
    """What `$exception_source` starts with."""
    lacks: dict[str, str] = field(default_factory=dict)
    """Features that cannot be shown, each with its reason. A feature is named after its route, or stands in tests' `needs`."""

    def missing(self) -> str | None:
        """Return why this row cannot run here."""
        absent = [name for name in self.requires if find_spec(name.replace("-", "_")) is None]
        return f"{', '.join(absent)} not installed" if absent else None

    def versions(self) -> dict[str, str]:
        return {name: version(name) for name in self.requires}


ASGI_SERVERS = ("uvicorn", "uvicorn-uvloop", "hypercorn", "gunicorn-uvicorn")
WSGI_SERVERS = ("gunicorn-sync", "gunicorn-gthread", "waitress")

_NO_LOOP = {
    "task": "there is no event loop to make a task in",
    "awaited": "callbacks are asked synchronously",
    "ws": "WSGI has no WebSockets",
    "stream-sync": "every stream is synchronous: /stream",
    "stream-long-sync": "every stream is synchronous: /stream-long",
    "sync": "every handler is synchronous: /capture",
    "error-sync": "every handler is synchronous: /error",
}
_BARE = {
    "handled": "there are no registered handlers",
    "http": "there are no HTTP exceptions",
    "noise": "there is no exception that means a client left",
    "validate": "nothing is validated",
}

FRAMEWORKS = (
    Framework(
        name="fastapi",
        requires=("fastapi",),
        app="fastapi",
        protocol="asgi",
        servers=ASGI_SERVERS,
        route="/items/{item_id}",
        source="fastapi",
    ),
)
