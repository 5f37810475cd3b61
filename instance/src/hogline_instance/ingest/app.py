"""The ASGI app of every path that SDKs call.

An event is acknowledged when it is on disk, and not before.
"""

import asyncio
import logging
from collections.abc import Sequence

from hogline_instance.ingest import capture_v1
from hogline_instance.ingest.capture import PATHS, Capture
from hogline_instance.ingest.capture_v1 import CaptureV1
from hogline_instance.ingest.endpoints import Endpoint, find_endpoint, is_owned
from hogline_instance.ingest.http import (
    ClientGoneError,
    HttpError,
    Receive,
    Request,
    Response,
    Scope,
    Send,
    read_request,
    respond,
)
from hogline_instance.ingest.writer import JournalWriter
from hogline_instance.project import ProjectLookup
from hogline_instance.settings import Settings

__all__ = ["IngestApp"]

_log = logging.getLogger("hogline.instance")
# Decoding a larger body on the event loop would delay every other response.
_LARGE_BODY_BYTES = 256 * 1024


class IngestApp:
    """Answers capture itself, and other paths through the features' *endpoints*."""

    def __init__(
        self, settings: Settings, projects: ProjectLookup, writer: JournalWriter, endpoints: Sequence[Endpoint]
    ) -> None:
        self._max_body_bytes = settings.max_body_bytes
        self._writer = writer
        self._endpoints = tuple(endpoints)
        self.capture = Capture(settings, projects)
        self._capture_v1 = CaptureV1(settings, projects, self.capture)

    def owns(self, path: str) -> bool:
        """Return whether SDKs call *path*, with or without its last slash."""
        path = path.rstrip("/")
        return path in PATHS or path == capture_v1.PATH or is_owned(self._endpoints, path)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        try:
            if scope["method"] == "OPTIONS":
                response = Response(b"", 204)
            else:
                response = await self._handle(await read_request(scope, receive, self._max_body_bytes))
        except ClientGoneError:
            return
        except HttpError as error:
            response = Response(error.text.encode(), error.status, b"text/plain; charset=utf-8", error.headers)
        except Exception:
            _log.exception("ingest: a request failed")
            response = Response(b"the instance failed; its log says why", 500, b"text/plain; charset=utf-8")
        await respond(scope, send, response)

    async def _handle(self, request: Request) -> Response:
        path = request.path.rstrip("/")
        if path in PATHS:
            admit = self.capture.admit
        elif path == capture_v1.PATH:
            admit = self._capture_v1.admit
        elif found := find_endpoint(self._endpoints, path):
            endpoint, match = found
            return await endpoint.answer(request, match)
        else:
            raise HttpError(404, f"nothing is served at {path[:200]}")
        if request.method not in ("POST", "GET"):
            raise HttpError(
                405, f"{request.method} is not allowed; POST events here", ((b"allow", b"GET, POST, OPTIONS"),)
            )
        if len(request.body) > _LARGE_BODY_BYTES:
            response, rows = await asyncio.to_thread(admit, request)
        else:
            response, rows = admit(request)
        if rows:
            await self._writer.write(b"\n".join(rows))
        return response
