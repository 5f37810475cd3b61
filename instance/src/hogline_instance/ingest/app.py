"""The ASGI app of every path that SDKs call.

An event is acknowledged only when it is on disk.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from hogline_instance.ingest import capture_v1
from hogline_instance.ingest.capture import PATHS, Capture, LargeBodyError
from hogline_instance.ingest.capture_v1 import CaptureV1
from hogline_instance.ingest.endpoints import Endpoint, find_endpoint, is_owned
from hogline_instance.ingest.http import (
    ClientGoneError,
    HttpError,
    InFlight,
    Receive,
    Request,
    Response,
    Scope,
    Send,
    read_request,
    respond,
)
from hogline_instance.ingest.refusals import Refusals
from hogline_instance.ingest.writer import JournalWriter
from hogline_instance.project import ProjectLookup
from hogline_instance.settings import Settings

__all__ = ["IngestApp"]

_log = logging.getLogger("hogline.instance")
# Larger bodies are decoded in a thread: on the event loop they would delay every other response.
_INLINE_BYTES = 256 * 1024
_DECODER_THREADS = 2  # each thread may hold one decoded body and its events


class IngestApp:
    """Serves capture itself, and other paths through the features' *endpoints*."""

    def __init__(
        self, settings: Settings, projects: ProjectLookup, writer: JournalWriter, endpoints: Sequence[Endpoint]
    ) -> None:
        self._max_body_bytes = settings.max_body_bytes
        self._writer = writer
        self._endpoints = tuple(endpoints)
        self._in_flight = InFlight(settings.max_inflight_bytes)
        self._decoders = ThreadPoolExecutor(_DECODER_THREADS, thread_name_prefix="hogline-decode")
        self.refusals = Refusals()
        self._capture = Capture(settings, projects, self.refusals)
        self._capture_v1 = CaptureV1(settings, projects, self.refusals)

    def owns(self, path: str) -> bool:
        """Return whether SDKs call *path*, with or without a trailing slash."""
        path = path.rstrip("/")
        return path in PATHS or path == capture_v1.PATH or is_owned(self._endpoints, path)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        try:
            if scope["method"] == "OPTIONS":
                response = Response(b"", 204)
            else:
                with self._in_flight.request() as take:
                    request = await read_request(scope, receive, self._max_body_bytes, take)
                    response = await self._handle(request, take)
        except ClientGoneError:
            return
        except HttpError as error:
            response = Response(error.text.encode(), error.status, b"text/plain; charset=utf-8", error.headers)
        except Exception:
            _log.exception("ingest: a request failed")
            response = Response(b"the instance failed; its log says why", 500, b"text/plain; charset=utf-8")
        await respond(scope, send, response)

    async def _handle(self, request: Request, take: Callable[[int], None]) -> Response:
        path = request.path.rstrip("/")
        admit: Callable[[Request, int | None], tuple[Response, list[bytes]]]
        if path in PATHS:
            admit = self._capture.admit
        elif path == capture_v1.PATH:
            admit = self._capture_v1.admit
        elif found := find_endpoint(self._endpoints, path):
            endpoint, match = found
            if request.method == "HEAD":
                request.method = "GET"  # `respond` leaves the body out
            return await endpoint.answer(request, match)
        else:
            raise HttpError(404, f"nothing is served at {path[:200]}")
        if request.method == "HEAD":
            return Response()
        if request.method not in ("POST", "GET"):
            raise HttpError(
                405, f"{request.method} is not allowed; POST events here", ((b"allow", b"GET, HEAD, POST, OPTIONS"),)
            )
        try:
            response, rows = admit(request, _INLINE_BYTES)
        except LargeBodyError:
            loop = asyncio.get_running_loop()
            response, rows = await loop.run_in_executor(self._decoders, admit, request, None)
        if rows:
            payload = b"\n".join(rows)
            take(len(payload))
            await self._writer.write(payload)
        return response
