"""Requests and responses of raw ASGI: limits on bodies, CORS on every response, errors as text."""

import ipaddress
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeAlias
from urllib.parse import parse_qsl

import msgspec

__all__ = [
    "RETRY_AFTER",
    "ClientGoneError",
    "HttpError",
    "InFlight",
    "Receive",
    "Request",
    "Response",
    "Scope",
    "Send",
    "error_response",
    "json_response",
    "read_request",
    "respond",
]

Scope: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send: TypeAlias = Callable[[MutableMapping[str, Any]], Awaitable[None]]

_MAX_LENGTH_DIGITS = 18
RETRY_AFTER = ((b"retry-after", b"5"),)
_MAX_QUERY_FIELDS = 100
_PREFLIGHT_MAX_AGE_S = b"86400"


class ClientGoneError(Exception):
    """The client disconnected before its body was complete; no response can be sent."""


class HttpError(Exception):
    """An error response: a status, and a sentence that says what to do."""

    def __init__(self, status: int, text: str, headers: tuple[tuple[bytes, bytes], ...] = ()) -> None:
        super().__init__(text)
        self.status = status
        self.text = text
        self.headers = headers


@dataclass(frozen=True, slots=True)
class Response:
    """A complete response; the default is the 200 with JSON that SDKs take for success."""

    body: bytes = b'{"status":1}'
    status: int = 200
    content_type: bytes = b"application/json"
    headers: tuple[tuple[bytes, bytes], ...] = ()


class Request:
    """One request: headers by name, query by name, the body."""

    __slots__ = ("_query", "body", "headers", "method", "path", "peer", "scope")

    def __init__(self, scope: Scope, body: bytes) -> None:
        self.scope = scope
        self.method: str = scope["method"]
        self.path: str = scope["path"]
        self.headers: dict[bytes, bytes] = dict(scope["headers"])
        self.body = body
        client = scope.get("client")
        self.peer = str(client[0]) if client else ""
        self._query: dict[str, str] | None = None

    def header(self, name: bytes) -> str:
        """Return header *name* (lower case), or ''."""
        return self.headers.get(name, b"").decode("latin-1")

    @property
    def query(self) -> dict[str, str]:
        """The query's parameters; the last duplicate wins. Raises HttpError: there are too many."""
        if self._query is None:
            raw = self.scope.get("query_string") or b""
            try:
                self._query = (
                    dict(parse_qsl(raw.decode("latin-1"), keep_blank_values=True, max_num_fields=_MAX_QUERY_FIELDS))
                    if raw
                    else {}
                )
            except ValueError:
                raise HttpError(400, f"the query has more than {_MAX_QUERY_FIELDS} parameters") from None
        return self._query

    @property
    def ip(self) -> str:
        """The client's address: the first in X-Forwarded-For, else X-Real-IP, else the peer's.

        Source: docs/internals/instance-protocol.md#validation-and-answers.
        """
        forwarded = self.header(b"x-forwarded-for").partition(",")[0]
        return _address(forwarded) or _address(self.header(b"x-real-ip")) or self.peer


def _address(text: str) -> str:
    """Return the IP address in *text* without port and brackets, or "" if there is none."""
    text = text.strip()[:64]
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    if not text or "%" in text:
        return ""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return ""
    return text


class InFlight:
    """Limits the bytes of request bodies that all requests together hold in memory."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._bytes = 0

    @contextmanager
    def request(self) -> "Iterator[Callable[[int], None]]":
        """Yield a function that reserves bytes for one request; the block's end releases them.

        That function raises HttpError when all requests together hold too much.
        """
        taken = 0

        def take(count: int) -> None:
            nonlocal taken
            if self._bytes + count > self._max_bytes:
                raise HttpError(503, "too many large requests at once; try again", RETRY_AFTER)
            taken += count
            self._bytes += count

        try:
            yield take
        finally:
            self._bytes -= taken


async def read_request(scope: Scope, receive: Receive, max_body_bytes: int, take: Callable[[int], None]) -> Request:
    """Return the request with its whole body; call *take* with the size of each part as it arrives.

    The server limits the time that a body may take.
    Raises HttpError: the body is too large.  Raises ClientGoneError: the client disconnected.
    """
    length = next((value for name, value in scope["headers"] if name == b"content-length"), b"0")
    too_large = HttpError(413, f"the body is over {max_body_bytes} bytes; send smaller batches")
    if len(length) > _MAX_LENGTH_DIGITS or (length.isdigit() and int(length) > max_body_bytes):
        raise too_large
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGoneError
        part = message.get("body", b"")
        size += len(part)
        if size > max_body_bytes:
            raise too_large
        take(len(part))
        if not message.get("more_body"):
            return Request(scope, b"".join((*parts, part)) if parts else part)
        parts.append(part)


async def respond(scope: Scope, send: Send, response: Response) -> None:
    """Send *response* with the CORS headers that browsers need, for success and failure alike."""
    origin = requested = b""
    for name, value in scope["headers"]:
        if name == b"origin":
            origin = value
        elif name == b"access-control-request-headers":
            requested = value
    headers = [
        (b"content-type", response.content_type),
        (b"content-length", str(len(response.body)).encode()),
        (b"x-content-type-options", b"nosniff"),
        *response.headers,
    ]
    if origin:
        headers += [
            (b"access-control-allow-origin", origin),
            (b"access-control-allow-credentials", b"true"),
            (b"vary", b"Origin"),
        ]
        if scope["method"] == "OPTIONS":
            headers += [
                (b"access-control-allow-methods", b"GET, POST, OPTIONS"),
                (b"access-control-allow-headers", requested or b"content-type"),
                (b"access-control-max-age", _PREFLIGHT_MAX_AGE_S),
            ]
            if any(name == b"access-control-request-private-network" for name, _ in scope["headers"]):
                headers.append((b"access-control-allow-private-network", b"true"))
    await send({"type": "http.response.start", "status": response.status, "headers": headers})
    await send({"type": "http.response.body", "body": response.body if scope["method"] != "HEAD" else b""})


def json_response(value: object, status: int = 200, headers: tuple[tuple[bytes, bytes], ...] = ()) -> Response:
    """Return *value* as JSON."""
    return Response(msgspec.json.encode(value), status, headers=headers)


def error_response(status: int, code: str, detail: str) -> Response:
    """Return an error in PostHog's form, `{type, code, detail, attr}`, for SDKs that read it."""
    kind = {401: "authentication_error", 404: "invalid_request"}.get(status, "validation_error")
    return json_response({"type": kind, "code": code, "detail": detail, "attr": None}, status)
