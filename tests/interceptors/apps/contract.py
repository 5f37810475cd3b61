"""The parts that the apps of all frameworks share.

They are the exceptions, the option sets, and the front socket that picks an app by a header.
"""

import asyncio
import gc
import os
import re
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs

from hogline import ExceptionCapture, PostHog
from hogline.context import Context
from hogline.exchange import Exchange

CHUNK_BYTES = 65_536
LONG_CHUNKS = 400
PAUSE_S = 0.02
HEADERS = [("X-One", "1"), ("Set-Cookie", "a=1"), ("X-Two", "2"), ("Set-Cookie", "b=2"), ("X-One", "3")]
CLIENT_DEFAULTS = {"$request_method": "CLIENT", "region": "client", "plan": "client"}

calls: Counter[str] = Counter()
"""How often the callbacks were asked, by the request's X-Call header."""


class DomainError(Exception):
    """A domain error, which a registered handler answers with `status`."""

    def __init__(self, status: int) -> None:
        super().__init__(f"a domain error for {status}")
        self.status = status


class IgnoredError(Exception):
    """An exception that the option set "ignoring" ignores."""


class UpstreamError(Exception):
    """An error as an upstream's client raises it.

    Its own `status` is the upstream's, not ours (rule `identify-by-class`).
    """

    status = status_code = code = 404


@dataclass(frozen=True)
class FrozenError(Exception):
    """Refuses `__traceback__` and marks alike, as frozen dataclasses do."""

    text: str


class RefusingError(Exception):
    """Refuses every attribute."""

    def __setattr__(self, name: str, value: object) -> None:
        raise TypeError(f"{name} cannot be set")


class HostileError(Exception):
    """An exception that raises whenever code asks it anything."""

    __hash__ = None

    def _refuse(self, *_: object) -> Any:
        raise RuntimeError("hostile")

    __eq__ = __bool__ = __str__ = __repr__ = __len__ = __iter__ = _refuse


REUSED = ValueError("one instance, raised again and again")


class CallbackError(Exception):
    """The exception that the callbacks of the option set "raising" raise."""


def boom(rid: str) -> str:
    return f"boom {rid}"


def group(noise: Exception) -> ExceptionGroup[Exception]:
    return ExceptionGroup("a mistake among noise", [noise, ValueError("the mistake")])


def noise_group(noise: Exception) -> ExceptionGroup[Exception]:
    return ExceptionGroup("noise", [noise, ExceptionGroup("more", [noise])])


def make_client() -> PostHog:
    """Return the client of a served app; `CLIENT_DEFAULTS` show that the context wins over them."""
    patience_s = float(os.environ.get("FLUSH_INTERVAL_S", "0.2"))
    return PostHog("phc_test", host=os.environ["SINK"], flush_interval=patience_s, super_properties=CLIENT_DEFAULTS)


def say(client: PostHog, event: str, rid: str, **properties: Any) -> None:
    """Capture *event* as a user's code does, with the test's id of the request."""
    client.capture(event, properties={"rid": rid, **properties})


def chunks(client: PostHog, rid: str) -> Iterator[bytes]:
    """The body of /stream, for synchronous frameworks."""
    for letter in "abc":
        say(client, "streamed", rid, letter=letter)
        yield letter.encode()


# -- option sets -----------------------------------------------------------------------------------

OPTION_SETS = (
    "absent", "off", "default", "twice", "from-400", "from-503", "handled-too", "unhandled-only", "ignoring", "no-identity",
    "one-hop", "networks", "query-keep", "query-drop", "callbacks", "awaited", "raising", "awaited-raising",
)  # fmt: skip
"""Their names, for frameworks whose apps must all be there before the server begins."""

Header = Callable[[Any, str], str | None]
"""How an app's framework reads a header of the request that callbacks are given."""


def option_set(name: str, header: Header) -> dict[str, Any] | None:
    """Return the interceptor's options of the set *name* (apart from the client).

    Return None for no interceptor at all.
    """
    if name == "absent":
        return None
    plain: dict[str, dict[str, Any]] = {
        "off": {},
        "default": {"capture_exceptions": True},
        "twice": {"capture_exceptions": True, "twice": True},
        "from-400": {"capture_exceptions": ExceptionCapture(min_status_to_capture=400)},
        "from-503": {"capture_exceptions": ExceptionCapture(min_status_to_capture=503)},
        "handled-too": {"capture_exceptions": ExceptionCapture(handled="capture")},
        "unhandled-only": {"capture_exceptions": ExceptionCapture(handled="ignore")},
        "ignoring": {"capture_exceptions": ExceptionCapture(ignore=(IgnoredError,))},
        "no-identity": {"identity_headers": False},
        "one-hop": {"trusted_proxies": 1},
        "networks": {"trusted_proxies": ["127.0.0.0/8", "10.0.0.0/8"]},
        "query-keep": {"url_query": "keep"},
        "query-drop": {"url_query": "drop"},
    }
    if name in plain:
        return plain[name]
    callbacks: dict[str, Callable[[Header], dict[str, Any]]] = {
        "callbacks": _callbacks,
        "awaited": _awaited,
        "raising": _raising,
        "awaited-raising": _awaited_raising,
    }
    return {"capture_exceptions": True, **callbacks[name](header)}


def _callbacks(header: Header) -> dict[str, Any]:
    """Callbacks that say what the request's headers ask them to say, and count how often they were
    asked.
    """

    def ask(request: Any, name: str) -> str | None:
        calls[f"{header(request, 'x-call')} {name}"] += 1
        return header(request, name)

    def properties(request: Any) -> dict[str, Any] | None:
        plan = ask(request, "x-plan")
        return {"plan": plan} if plan is not None else None

    return {
        "distinct_id": lambda request: ask(request, "x-user"),
        "properties": properties,
        "request_filter": lambda request: header(request, "x-filter") != "out",
    }


def _awaited(header: Header) -> dict[str, Any]:
    def awaited(callback: Callable[[Any], Any]) -> Callable[[Any], Any]:
        async def ask(request: Any) -> Any:
            await asyncio.sleep(0)
            return callback(request)

        return ask

    return {name: awaited(callback) for name, callback in _callbacks(header).items()}


def _raising(_: Header) -> dict[str, Any]:
    def raising(name: str) -> Callable[[Any], Any]:
        def fail(request: Any) -> Any:
            raise CallbackError(f"plain {name}")

        return fail

    return {name: raising(name) for name in ("distinct_id", "properties", "request_filter")}


def _awaited_raising(_: Header) -> dict[str, Any]:
    def raising(name: str) -> Callable[[Any], Any]:
        async def fail(request: Any) -> Any:
            raise CallbackError(f"awaited {name}")

        return fail

    return {name: raising(name) for name in ("distinct_id", "properties", "request_filter")}


def installs(options: Mapping[str, Any] | None) -> list[dict[str, Any]]:
    """Return the keyword options of each interceptor to install: none, one, or two that are the
    same.
    """
    if options is None:
        return []
    once = {name: value for name, value in options.items() if name != "twice"}
    return [once, once] if options.get("twice") else [once]


# -- the front socket ------------------------------------------------------------------------------

Build = Callable[[PostHog, dict[str, Any] | None], Any]


class Apps:
    """The apps of one process: one for each option set, built when first asked for, over one
    client.
    """

    def __init__(self, build: Build, header: Header) -> None:
        self.client = make_client()
        self._build = build
        self._header = header
        self._built: dict[str, Any] = {}

    def named(self, name: str) -> Any:
        if name not in self._built:
            self._built[name] = self._build(self.client, option_set(name, self._header))
        return self._built[name]

    def answer(self, path: str, query: str) -> bytes | None:
        """Answer what tests ask of the process itself: paths below /-/."""
        if path == "/-/flush":
            return b"flushed" if self.client.flush(20) else b"not flushed"
        if path == "/-/calls":
            call = parse_qs(query)["call"][0]
            return b"%d" % sum(count for name, count in calls.items() if name.split()[0] == call)
        if path == "/-/pid":
            return b"%d" % os.getpid()
        if path == "/-/alive":
            REUSED.__traceback__ = (
                None  # an exception that lives for ever holds the frames it passed, whoever they belong to
            )
            gc.collect()
            # By type: an object of somebody else's may answer `isinstance` with anything.
            return b"%d" % sum(issubclass(type(thing), Context | Exchange) for thing in gc.get_objects())
        return None


def serve_asgi(build: Build, header: Header) -> Any:
    """Return an ASGI app that hands each request on to the app of its option set."""
    apps = Apps(build, header)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] not in ("http", "websocket"):
            await apps.named("default")(scope, receive, send)
            return
        if scope["path"].startswith("/-/"):
            # In a thread of its own: the loop goes on finishing what the flush is asked about.
            body = await asyncio.to_thread(apps.answer, scope["path"], scope["query_string"].decode())
            headers = [(b"content-length", b"%d" % len(body or b""))]
            await send({"type": "http.response.start", "status": 200 if body else 404, "headers": headers})
            await send({"type": "http.response.body", "body": body or b""})
            return
        name = dict(scope["headers"]).get(b"x-options", b"default").decode()
        await apps.named(name)(scope, receive, send)

    return app


def serve_wsgi(build: Build, header: Header) -> Any:
    """Return a WSGI app that hands each request on to the app of its option set."""
    apps = Apps(build, header)

    def app(environ: Any, start_response: Any) -> Any:
        path = environ["PATH_INFO"]
        if path.startswith("/-/"):
            body = apps.answer(path, environ.get("QUERY_STRING", ""))
            start_response("200 OK" if body else "404 Not Found", [("Content-Length", str(len(body or b"")))])
            return [body or b""]
        return apps.named(environ.get("HTTP_X_OPTIONS", "default"))(environ, start_response)

    return app


class SharedSocket:
    """A socket before the servers of one process: each connection goes, unread, to the server of
    its first request's option set.

    It is for frameworks that serve one app only, for as long as they run. It answers requests of
    the tests about the process itself.
    """

    def __init__(self, apps: Apps, accept: Callable[[str, socket.socket], object]) -> None:
        self._apps = apps
        self._accept = accept
        self._socket = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port: int = self._socket.getsockname()[1]
        threading.Thread(target=self._open, daemon=True).start()

    def _open(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            threading.Thread(target=self._look, args=(connection,), daemon=True).start()

    def _look(self, connection: socket.socket) -> None:
        head = b""
        while b"\r\n\r\n" not in head:
            seen = len(head)
            head = connection.recv(65536, socket.MSG_PEEK)
            if not head:
                connection.close()
                return
            if len(head) == seen:
                time.sleep(0.005)
        line, _, rest = head.decode("latin-1").partition("\r\n")
        target = line.split(" ")[1]
        if target.startswith("/-/"):
            path, _, query = target.partition("?")
            body = self._apps.answer(path, query) or b""
            status = b"200 OK" if body else b"404 Not Found"
            connection.recv(len(head))
            connection.sendall(
                b"HTTP/1.1 %s\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s" % (status, len(body), body)
            )
            connection.close()
            return
        found = re.search(r"^x-options: *(\S+)", rest, re.IGNORECASE | re.MULTILINE)
        self._accept(found[1] if found else "default", connection)


def of_environ(environ: Any, name: str) -> str | None:
    """Read a header where callbacks are given a WSGI environ."""
    return environ.get("HTTP_" + name.upper().replace("-", "_"))


def of_scope(scope: Any, name: str) -> str | None:
    """Read a header where callbacks are given an ASGI scope."""
    value = dict(scope["headers"]).get(name.encode())
    return value.decode("latin-1") if value is not None else None


def of_request(request: Any, name: str) -> str | None:
    """Read a header where callbacks are given a request with `.headers`."""
    return request.headers.get(name)
