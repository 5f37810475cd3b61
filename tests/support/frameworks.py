"""The table of frameworks: the app file of each, its real servers, and the features that it lacks.

Tests, `noxfile.py` and the documentation's table read it. To add a framework, add its interceptor
file, its app file, a row here, and a page.

`HOGLINE_FRAMEWORKS` selects rows by name, separated by spaces; their requirements must then be
installed. Without it, a run uses all rows except those that need a separate environment.
`HOGLINE_ONE_SERVER=1` runs every test on the first server of each row, `HOGLINE_EVERY_SERVER=1` on
all; else those on all that are marked `on_every_server`.
"""

import os
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from importlib.util import find_spec
from typing import Literal

Protocol = Literal["asgi", "wsgi", "own"]
"""The interface to the server; "own" means that the framework has its own server."""


@dataclass(frozen=True)
class Framework:
    """One row: a framework, or one way of serving it."""

    name: str
    requires: tuple[str, ...]
    """Required distributions; the row is skipped when one is missing."""
    app: str
    """The app's module in tests.interceptors.apps."""
    protocol: Protocol
    servers: tuple[str, ...]
    """The servers. Promises that depend only on the framework run on the first; rows begin with
    different servers, so that each server runs some."""
    source: str
    """The prefix of `$exception_source`."""
    route: str | None
    """The framework's form of the route template /items/{item_id}, or None without templates."""
    lacks: dict[str, str] = field(default_factory=dict)
    """Missing features and the reasons: names of routes, or of features in a test's `needs`;
    "server:feature" limits one to a server."""
    environ: dict[str, str] = field(default_factory=dict)
    unordered: bool = False
    """The order of its response headers varies, so it is not compared."""
    oldest: tuple[str, ...] = ()
    """The oldest supported versions as pip requirements ("flask==2.2.5"), the framework's first,
    then its dependencies'. `nox -s frameworks -- <name>` tests them. `requirements/` pins the
    newest."""
    oldest_environment: str = "oldest"
    """The environment `requirements/<oldest_environment>.txt`, in which its oldest versions are
    installed together with others'.
    """
    environment: str | None = None
    """The separate environment `requirements/<environment>.txt` of a framework that pins old
    versions of other packages.
    """

    def missing(self) -> str | None:
        """Return the reason why this row cannot run here, or None."""
        absent = [name for name in self.requires if find_spec(name.replace("-", "_")) is None]
        return f"{', '.join(absent)} not installed" if absent else None

    def versions(self) -> dict[str, str]:
        return {name: version(name) for name in self.requires}

    def servers_for(self, needed: Iterable[str], *, every: bool = True) -> tuple[str, ...]:
        """Return the servers for a test that needs these features; without *every*, only the first
        of them.
        """
        features = tuple(needed)
        if any(name in self.lacks for name in features):
            return ()
        able = tuple(s for s in self.servers if not any(f"{s}:{name}" in self.lacks for name in features))
        return able if every or os.environ.get("HOGLINE_EVERY_SERVER") else able[:1]


_ASGI_SERVERS = ("uvicorn", "uvicorn-uvloop", "hypercorn", "gunicorn-uvicorn", "gunicorn-asgi")
_WSGI_SERVERS = ("gunicorn-sync", "gunicorn-gthread", "waitress")

_NO_LOOP = {
    "task": "there is no event loop to make a task in",
    "thread": "there is no event loop to wait for a thread in",
    "pipelined": "not every server keeps a connection open",
    "awaited": "callbacks are asked synchronously",
    "ws": "WSGI has no WebSockets",
    "stream-sync": "every stream is synchronous: /stream",
    "stream-long-sync": "every stream is synchronous: /stream-long",
    "sync": "every handler is synchronous: /capture",
    "error-sync": "every handler is synchronous: /error",
    "werkzeug:sigterm": "a server for development: it leaves SIGTERM to its default, which no Python code survives",
    "cheroot:duplicates": "cheroot hands on the last of several headers of a name",
    "waitress:header-order": "waitress sorts headers by their names",
}
_UWSGI_SIGTERM = "uWSGI runs no exit handlers in a worker that it finds in the middle of a request"
_BARE = {
    "handled": "there are no registered handlers",
    "http": "there are no HTTP exceptions",
    "methods": "nothing is routed",
    "noise": "there is no exception that means a client left",
    "validate": "nothing is validated",
    "ws-refused": "there is no exception that refuses a handshake",
}
_DJANGO = {
    "methods": "a view answers every method",
    "background": "nothing runs after a response",
    "background-error": "nothing runs after a response",
    "header-order": "Django keeps one header of a name, and puts cookies last",
}
_DJANGO_ASGI = {
    "ws": "Django serves no WebSockets",
    "ws-refused": "Django serves no WebSockets",
    "stream-long-sync": "Django reads synchronous streams whole before it sends them",
    "hostile": "asgiref asks an exception whether it is true, and goes on with what that raises",
    "uvicorn:sigterm": "alone, Django has no lifespan in which to flush, and uvicorn dies of the signal",
    "gunicorn-uvicorn:sigterm": "alone, Django has no lifespan in which to flush, and the worker dies of the signal",
}
_AIOHTTP = {
    "sync": "every handler is asynchronous: /capture",
    "error-sync": "every handler is asynchronous: /error",
    "stream-sync": "a handler writes its chunks itself: /stream",
    "stream-long-sync": "a handler writes its chunks itself: /stream-long",
    "background": "nothing runs after a response but tasks: /task",
    "background-error": "nothing runs after a response but tasks",
    "noise": "that a client left is said by the connection, not by a class of exception",
    "validate": "nothing is validated",
    "ws-refused": "there is no exception that refuses a handshake",
}
_SANIC = {
    "sync": "synchronous handlers run on the loop: /capture",
    "error-sync": "synchronous handlers run on the loop: /error",
    "stream-sync": "a handler sends its chunks itself: /stream",
    "stream-long-sync": "a handler sends its chunks itself: /stream-long",
    "background-error": "a task of the app's belongs to no request",
    "cut": "Sanic ends a stream that failed as if it were complete",
    "noise": "that a client left is a cancellation, which no group can hold",
    "validate": "nothing is validated",
    "ws-refused": "a handler runs after the handshake",
}
_TORNADO = {
    "sync": "synchronous handlers run on the loop: /capture",
    "error-sync": "synchronous handlers run on the loop: /error",
    "stream-sync": "a handler writes its chunks itself: /stream",
    "stream-long-sync": "a handler writes its chunks itself: /stream-long",
    "header-order": "Tornado keeps the values of one header together",
    "hostile": "Tornado lets go of what its logging raises, and the loop ends",
    "cut": "Tornado ends a stream that failed as if it were complete",
    "handled": "there are no registered handlers: `write_error` is a page for whatever nobody handled",
    "validate": "nothing is validated",
}
_BLACKSHEEP = {
    "sync": "synchronous handlers run on the loop: /capture",
    "error-sync": "synchronous handlers run on the loop: /error",
    "stream-sync": "every stream is asynchronous: /stream",
    "stream-long-sync": "every stream is asynchronous: /stream-long",
    "background": "nothing runs after a response but tasks: /task",
    "background-error": "nothing runs after a response but tasks",
    "ws-refused": "there is no exception that refuses a handshake",
    "methods": "a method that a path does not have is its 404",
    "header-order": "BlackSheep keeps the values of one header together",
}
_ROBYN = {
    "cut": "Robyn ends a stream that failed as if it were complete",
    "exit": "an exit ends Robyn's event loop, and whether it is answered before is chance",
    "sigterm": "after a SIGTERM Robyn does not end at all: Ctrl-C is its ending",
    "query-order": "Robyn keeps the query in no order",
    "header-bytes": "Robyn leaves out values that are not UTF-8",
    "header-order": "Robyn keeps headers in no order",
    "http": "there are no HTTP exceptions",
    "methods": "a method that a path does not have is its 404",
    "noise": "there is no exception that means a client left",
    "validate": "nothing is validated",
    "background": "nothing runs after a response but tasks: /task",
    "background-error": "nothing runs after a response but tasks",
    "ws": "its sockets run no hooks",
    "ws-refused": "its sockets run no hooks",
}
_CHANNELS = {
    "sync": "a consumer answers asynchronously: /capture",
    "error-sync": "a consumer fails asynchronously: /error",
    "stream-sync": "a consumer sends its chunks itself: /stream",
    "stream-long-sync": "a consumer sends its chunks itself: /stream-long",
    "background": "nothing runs after a response but tasks: /task",
    "background-error": "nothing runs after a response but tasks",
    "handled": "there are no registered handlers",
    "http": "there are no HTTP exceptions",
    "methods": "consumers answer every method",
    "unrouted": "a path without a route is an exception of the router's, which the server answers",
    "validate": "nothing is validated",
}

FRAMEWORKS = (
    Framework(
        name="asgi",
        source="asgi.",
        requires=(),
        app="asgi",
        protocol="asgi",
        servers=("gunicorn-asgi", "uvicorn", "hypercorn"),
        route=None,
        lacks={
            **_BARE,
            "sync": "a bare app has no threadpool",
            "error-sync": "a bare app has no threadpool",
            "stream-sync": "a bare app sends its chunks itself",
            "stream-long-sync": "a bare app sends its chunks itself",
        },
    ),
    Framework(
        name="starlette",
        source="starlette.",
        requires=("starlette",),
        app="starlette",
        protocol="asgi",
        servers=("uvicorn-uvloop", "uvicorn", "hypercorn"),
        route="/items/{item_id}",
        lacks={"validate": "nothing is validated"},
        oldest=("starlette==0.46.2",),
    ),
    Framework(
        name="fastapi",
        source="fastapi.",
        requires=("fastapi",),
        app="fastapi",
        protocol="asgi",
        servers=_ASGI_SERVERS,
        route="/items/{item_id}",
        oldest=("fastapi==0.115.12", "starlette==0.46.2"),
    ),
    Framework(
        name="litestar",
        source="litestar.",
        requires=("litestar",),
        app="litestar",
        protocol="asgi",
        servers=("uvicorn",),
        route="/items/{item_id}",
        oldest=("litestar==2.13.0", "sniffio"),  # in older versions, routes without parameters have no template
    ),
    Framework(
        name="blacksheep",
        source="blacksheep.",
        requires=("blacksheep",),
        app="blacksheep",
        protocol="asgi",
        servers=("granian",),
        route="/items/:item_id",
        lacks=_BLACKSHEEP,
        oldest=("blacksheep==2.0.8", "granian"),
    ),
    Framework(
        name="channels",
        source="channels.",
        requires=("channels",),
        app="channels",
        protocol="asgi",
        servers=("uvicorn",),  # Daphne does not end a response that failed after its start: clients wait forever
        route="/items/<str:item_id>",
        lacks=_CHANNELS,
        # In older versions, a consumer's own `finally` discards its exception.
        oldest=("channels==4.1.0", "django==4.2"),
    ),
    Framework(
        name="wsgi",
        source="wsgi.",
        requires=(),
        app="bare_wsgi",
        protocol="wsgi",
        servers=_WSGI_SERVERS,
        route=None,
        lacks={**_NO_LOOP, **_BARE},
    ),
    Framework(
        name="flask",
        source="flask.",
        requires=("flask",),
        app="flask",
        protocol="wsgi",
        servers=("werkzeug", *_WSGI_SERVERS),
        route="/items/<item_id>",
        lacks={
            **_NO_LOOP,
            "validate": "nothing is validated",
            "background-error": "a response's close is the server's",
        },
        oldest=("flask==2.3.0", "werkzeug==2.3.0"),
    ),
    Framework(
        name="falcon",
        source="falcon.",
        requires=("falcon",),
        app="falcon",
        protocol="wsgi",
        servers=("uwsgi", "cheroot"),
        route="/items/{item_id}",
        oldest=("falcon==3.1.3", "cheroot", "pyuwsgi"),
        lacks={
            **_NO_LOOP,
            "header-order": "Falcon keeps one header of a name, and puts cookies last",
            "uwsgi:sigterm": _UWSGI_SIGTERM,
            "hostile": "Falcon prints an exception before it answers, and goes on with what that raises",
        },
    ),
    Framework(
        name="falcon-asgi",
        source="falcon.",
        requires=("falcon",),
        app="falcon_asgi",
        protocol="asgi",
        servers=("uvicorn",),
        route="/items/{item_id}",
        oldest=("falcon==3.1.3",),
        lacks={
            "header-order": "Falcon keeps one header of a name, and puts cookies last",
            "sync": "every responder is asynchronous",
            "error-sync": "every responder is asynchronous",
            "stream-sync": "every stream is asynchronous",
            "stream-long-sync": "every stream is asynchronous",
            "background-error": "what is scheduled runs in a task of its own, whose errors asyncio logs",
        },
    ),
    Framework(
        name="pyramid",
        source="pyramid.",
        requires=("pyramid",),
        app="pyramid",
        protocol="wsgi",
        servers=("gevent",),
        route="/items/{item_id}",
        oldest=("pyramid==2.0.2", "gevent", "setuptools<81"),
        lacks={
            **_NO_LOOP,
            "methods": "a method that no view of the route takes is a 404",
            "validate": "nothing is validated",
        },
    ),
    Framework(
        name="bottle",
        source="bottle.",
        requires=("bottle",),
        app="bottle",
        protocol="wsgi",
        servers=("gunicorn-gevent",),
        route="/items/<item_id>",
        oldest=("bottle==0.12.25", "gevent"),
        lacks={
            **_NO_LOOP,
            "handled": "handlers are for statuses, not for exceptions",
            "header-order": "Bottle puts the headers of one name together",
            "hostile": "Bottle prints an exception before it answers, and goes on with what that raises",
            "noise": "there is no exception that means a client left",
            "validate": "nothing is validated",
        },
    ),
    Framework(
        name="connexion",
        source="connexion.",
        requires=("connexion",),
        app="connexion",
        protocol="asgi",
        servers=("uvicorn",),
        route="/items/{item_id}",
        lacks={
            "ws": "OpenAPI describes no WebSockets",
            "ws-refused": "OpenAPI describes no WebSockets",
        },
        oldest=("connexion[flask,uvicorn]==3.0.6",),
    ),
    Framework(
        name="connexion-flask",
        source="connexion.",
        requires=("connexion", "flask"),
        app="connexion_flask",
        protocol="asgi",
        servers=("uvicorn",),
        route="/items/{item_id}",
        lacks={
            **{name: reason for name, reason in _NO_LOOP.items() if name.startswith(("stream", "sync", "error"))},
            "task": _NO_LOOP["task"],
            "thread": _NO_LOOP["thread"],
            "background-error": "a response's close is the server's",
            "ws": "OpenAPI describes no WebSockets",
            "ws-refused": "OpenAPI describes no WebSockets",
        },
        oldest=("connexion[flask,uvicorn]==3.0.6", "flask==2.3.0", "werkzeug==2.3.0"),
    ),
    Framework(
        name="django",
        source="django.",
        requires=("django",),
        app="django_wsgi",
        protocol="wsgi",
        servers=("waitress", "gunicorn-sync", "gunicorn-gthread", "runserver"),
        route="/items/<item_id>",
        lacks={
            **_NO_LOOP,
            **_DJANGO,
            "http": "no exception takes a status: Http404, PermissionDenied and their like each have one",
            "validate": "nothing is validated",
            "runserver:sigterm": "a server for development: it leaves SIGTERM to its default, which no Python code survives",
        },
        oldest=("django==4.2",),
    ),
    Framework(
        name="django-asgi",
        source="django.",
        requires=("django",),
        app="django_asgi",
        protocol="asgi",
        servers=("gunicorn-uvicorn", "uvicorn", "hypercorn"),
        route="/items/<item_id>",
        lacks={
            **_DJANGO,
            **_DJANGO_ASGI,
            "http": "no exception takes a status: Http404, PermissionDenied and their like each have one",
            "validate": "nothing is validated",
        },
        oldest=("django==4.2",),
    ),
    Framework(
        name="django-rest",
        source="django.",
        requires=("django", "rest_framework"),
        app="django_rest",
        protocol="wsgi",
        servers=("gunicorn-gthread",),
        route="/items/<item_id>",
        lacks={**_NO_LOOP, **_DJANGO},
        oldest=("djangorestframework==3.15.0", "django==4.2"),
    ),
    Framework(
        name="django-ninja",
        source="django.",
        requires=("django", "ninja"),
        app="django_ninja",
        protocol="asgi",
        servers=("uvicorn",),
        route="/items/<item_id>",
        lacks={**_DJANGO, **_DJANGO_ASGI},
        oldest=("django-ninja==1.3.0", "django==4.2"),
    ),
    Framework(
        name="aiohttp",
        source="aiohttp.",
        requires=("aiohttp",),
        app="aiohttp",
        protocol="own",
        servers=("aiohttp",),
        route="/items/{item_id}",
        lacks=_AIOHTTP,
        oldest=("aiohttp==3.9.5",),
    ),
    Framework(
        name="sanic",
        source="sanic.",
        requires=("sanic",),
        app="sanic",
        protocol="own",
        servers=("sanic",),
        route="/items/<item_id:str>",
        lacks=_SANIC,
        oldest=("sanic==23.12.1", "websockets<14"),
    ),
    Framework(
        name="tornado",
        source="tornado.",
        requires=("tornado",),
        app="tornado",
        protocol="own",
        servers=("tornado",),
        route="/items/([^/]+)",
        lacks=_TORNADO,
        oldest=("tornado==6.4",),
    ),
    Framework(
        name="robyn",
        source="robyn.",
        requires=("robyn",),
        app="robyn",
        protocol="own",
        servers=("robyn",),
        route="/items/:item_id",
        lacks=_ROBYN,
        unordered=True,
        oldest=("robyn==0.84.0",),  # in older versions, a request's hooks and its handler run in separate contexts
    ),
    Framework(
        name="ellar",
        source="ellar.",
        requires=("ellar",),
        app="ellar",
        protocol="asgi",
        servers=("uvicorn", "hypercorn"),
        route="/items/{item_id}",
        environment="ellar",
    ),
    Framework(
        name="nestipy",
        source="nestipy.",
        requires=("nestipy",),
        app="nestipy",
        protocol="asgi",
        servers=("uvicorn",),
        route="/items/{item_id}",
        lacks={
            "sync": "handlers run in the event loop",
            "error-sync": "handlers run in the event loop",
            "stream-sync": "every stream is asynchronous: /stream",
            "stream-long-sync": "every stream is asynchronous: /stream-long",
            "background": "a worker of the process runs background tasks, in a context of its own",
            "background-error": "a worker of the process runs background tasks, in a context of its own",
            "methods": "what matches no route is a route of its own, which answers every method with 404",
            "header-order": "headers are kept in a set",
            "hostile": "Nestipy asks an exception for its text, and goes on with what that raises",
            "ws": "its sockets are gateways for Socket.IO",
            "ws-refused": "its sockets are gateways for Socket.IO",
        },
        environment="nestipy",
    ),
    Framework(
        name="pynest",
        source="pynest.",
        requires=("nest",),
        app="pynest",
        protocol="asgi",
        servers=("uvicorn",),
        route="/items/{item_id}",
        environment="pynest",
    ),
    Framework(
        name="quart",
        source="quart.",
        requires=("quart",),
        app="quart",
        protocol="asgi",
        servers=("hypercorn",),
        route="/items/<item_id>",
        lacks={"validate": "nothing is validated"},
        oldest=("quart==0.19.4", "flask==3.0.0", "werkzeug==3.0.0"),
        oldest_environment="oldest-flask3",
    ),
)


def selected() -> tuple[Framework, ...]:
    """Return the rows that this run tests.

    Raises LookupError: `HOGLINE_FRAMEWORKS` names a row that does not exist, or one that cannot run
    here.
    """
    names = os.environ.get("HOGLINE_FRAMEWORKS", "").split()
    if not names:
        return tuple(row for row in FRAMEWORKS if row.environment is None)
    rows = {row.name: row for row in FRAMEWORKS}
    for name in names:
        if name not in rows:
            raise LookupError(f"HOGLINE_FRAMEWORKS names {name!r}; the table has {', '.join(rows)}")
        if missing := rows[name].missing():
            raise LookupError(f"HOGLINE_FRAMEWORKS names {name!r}, but {missing}")
    if os.environ.get("HOGLINE_ONE_SERVER"):
        return tuple(replace(rows[name], servers=rows[name].servers[:1]) for name in names)
    return tuple(rows[name] for name in names)
