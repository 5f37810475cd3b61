"""The ASGI app of everything that SDKs call. An event is acknowledged when it is on disk, and not before."""

import asyncio
import errno
import logging
from collections.abc import Sequence
from typing import Any

from hogline_instance.exceptions import JournalFullError
from hogline_instance.ingest import capture_v1
from hogline_instance.ingest.bootstrap import Bootstrap
from hogline_instance.ingest.capture import PATHS, Capture
from hogline_instance.ingest.capture_v1 import CaptureV1
from hogline_instance.ingest.http import (
    Answer,
    ClientGoneError,
    Receive,
    Refusal,
    Request,
    Scope,
    Send,
    read_request,
    respond,
)
from hogline_instance.journal import Journal
from hogline_instance.pipeline import Pipeline
from hogline_instance.projects import Projects
from hogline_instance.settings import Settings

__all__ = ["IngestApp", "acknowledge"]

_log = logging.getLogger("hogline.instance")
_RETRY_AFTER = ((b"retry-after", b"5"),)
_LARGE_BODY_BYTES = 256 * 1024  # decoding more than this would hold up everybody else's answer
_OWN_PREFIXES = (
    "/array/",
    "/static/",
    "/flags/",
    "/api/feature_flag/",
    "/api/surveys",
    "/api/early_access",
    "/api/web_exp",
    "/api/product_tours",
)


class IngestApp:
    """Handles a path or says that it is not its own."""

    def __init__(self, settings: Settings, projects: Projects, journal: Journal, pipeline: Pipeline) -> None:
        self._max_body_bytes = settings.max_body_bytes
        self._max_waiting_bytes = settings.pipeline_max_waiting_bytes
        self._journal = journal
        self._pipeline = pipeline
        self.capture = Capture(settings, projects)
        self._capture_v1 = CaptureV1(settings, projects, self.capture)
        self._bootstrap = Bootstrap(settings, projects)

    def owns(self, path: str) -> bool:
        """Tell whether SDKs call *path*; both forms, with and without the last slash, are answered directly."""
        path = path.rstrip("/")
        return (
            path in PATHS
            or path in (capture_v1.PATH, "/flags", "/decide", "/s")
            or path.startswith(_OWN_PREFIXES)
            or path.endswith("/remote_config")
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        try:
            if scope["method"] == "OPTIONS":
                answer = Answer(b"", 204)
            else:
                answer = await self._handle(await read_request(scope, receive, self._max_body_bytes))
        except ClientGoneError:
            return
        except Refusal as refusal:
            answer = Answer(refusal.text.encode(), refusal.status, b"text/plain; charset=utf-8", refusal.headers)
        except Exception:
            _log.exception("ingest: a request failed")
            answer = Answer(b"the instance failed; its log says why", 500, b"text/plain; charset=utf-8")
        await respond(scope, send, answer)

    async def _handle(self, request: Request) -> Answer:
        path = request.path.rstrip("/")
        if path in PATHS:
            admit = self.capture.admit
        elif path == capture_v1.PATH:
            admit = self._capture_v1.admit
        else:
            return self._other(path, request)
        if request.method not in ("POST", "GET"):
            raise Refusal(
                405, f"{request.method} is not allowed; POST events here", ((b"allow", b"GET, POST, OPTIONS"),)
            )
        if len(request.body) > _LARGE_BODY_BYTES:
            answer, rows = await asyncio.to_thread(admit, request)
        else:
            answer, rows = admit(request)
        if rows:
            await self._keep(b"\n".join(rows))
        return answer

    def _other(self, path: str, request: Request) -> Answer:
        answer = self._bootstrap.answer(path, request)
        if answer is None:
            raise Refusal(404, f"nothing is served at {path[:200]}")
        return answer

    async def _keep(self, payload: bytes) -> None:
        """Return when *payload* is on disk.  Raises Refusal: it cannot be kept now."""
        if self._pipeline.waiting_bytes > self._max_waiting_bytes:
            reason = self._pipeline.last_error or "it takes events slower than they come"
            raise Refusal(503, f"the store lags behind: {reason[:300]}", _RETRY_AFTER)
        written: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        try:
            self._journal.append(payload, written)
        except JournalFullError as error:
            raise Refusal(503, str(error), _RETRY_AFTER) from error
        try:
            await written
        except OSError as error:
            reason = "the disk is full" if error.errno in (errno.ENOSPC, errno.EDQUOT) else f"the disk failed: {error}"
            raise Refusal(503, f"events cannot be kept: {reason}", _RETRY_AFTER) from error


def acknowledge(waiters: Sequence[Any], error: OSError | None) -> None:
    """Let the requests behind *waiters* go on; called by the journal's thread, once for a whole group."""
    if waiters:
        try:
            waiters[0].get_loop().call_soon_threadsafe(_settle, waiters, error)
        except RuntimeError:  # the loop is closed: nobody waits any more
            return


def _settle(waiters: Sequence["asyncio.Future[None]"], error: OSError | None) -> None:
    for waiter in waiters:
        if waiter.done():
            continue
        if error is None:
            waiter.set_result(None)
        else:
            waiter.set_exception(error)
