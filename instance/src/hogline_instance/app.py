"""The whole instance as one ASGI app: SDKs' paths go to ingest directly, people's to FastAPI behind the Host check."""

import asyncio
import ipaddress
from typing import Any

from fastapi import FastAPI
from fastapi.responses import JSONResponse, PlainTextResponse

from hogline.version import __version__
from hogline_instance import api, ui
from hogline_instance.exceptions import StoreError
from hogline_instance.ingest import IngestApp
from hogline_instance.ingest.http import Receive, Scope, Send
from hogline_instance.services import Services
from hogline_instance.settings import Settings

__all__ = ["create_app"]

_DESCRIPTION = (
    "Events, sessions and live events of a Hogline instance, in the shapes of PostHog's own API. "
    "Authenticate with a personal key: `Authorization: Bearer phx_...`."
)


def create_app(services: Services) -> Any:
    """Return the ASGI app for *services*."""
    ingest = IngestApp(services.settings, services.projects, services.journal, services.pipeline)
    people = _Guard(_people_app(services, ingest), services.settings)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            if ingest.owns(scope["path"]):
                await ingest(scope, receive, send)
            else:
                await people(scope, receive, send)
        elif scope["type"] == "lifespan":
            await _lifespan(receive, send)
        elif scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 1000})

    return app


def _people_app(services: Services, ingest: IngestApp) -> FastAPI:
    # No interactive documentation: FastAPI's loads its scripts from elsewhere, and pages here make no external request.
    app = FastAPI(
        title="Hogline instance", version=__version__, description=_DESCRIPTION, docs_url=None, redoc_url=None
    )

    @app.get("/_health", tags=["health"])
    async def health() -> dict[str, Any]:
        """Say that the process answers."""
        return {"status": "ok", "version": __version__}

    @app.get("/_ready", tags=["health"])
    async def ready() -> JSONResponse:
        """Say whether the store answers and the journal can be written, and what waits; 503 when they do not."""
        pipeline, journal = services.pipeline, services.journal
        state = {
            "journal_bytes": journal.size_bytes,
            "journal_damaged_bytes": journal.damaged_bytes,
            "waiting_bytes": pipeline.waiting_bytes,
            "stored_events": pipeline.stored_rows,
            "rejected_events": pipeline.rejected_rows,
            "not_kept": dict(ingest.capture.refused),
        }
        try:
            await asyncio.to_thread(services.store.query, "SELECT 1 AS one")
            await asyncio.to_thread(journal.probe)
        except StoreError as error:
            return JSONResponse({"status": "the store does not answer", "error": str(error), **state}, 503)
        except OSError as error:
            return JSONResponse({"status": "the journal cannot be written", "error": str(error), **state}, 503)
        if pipeline.last_error is not None:
            return JSONResponse(
                {"status": "the store does not take events", "error": pipeline.last_error, **state}, 503
            )
        return JSONResponse({"status": "ok", **state})

    app.include_router(api.build_router(services))
    app.include_router(ui.build_router(services))
    return app


class _Guard:
    """Answers only requests that were meant for this host: a stranger's page must not read from it (DNS rebinding)."""

    def __init__(self, app: Any, settings: Settings) -> None:
        self._app = app
        self._any_host = bool(
            settings.admin_password
        )  # reached by names that only its owner knows; the password guards

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = dict(scope["headers"])
        host = headers.get(b"host", b"").decode("latin-1")
        origin = headers.get(b"origin", b"").decode("latin-1")
        if not self._any_host and not _is_local(host):
            reason = (
                f"Host {host[:100]!r} is not this machine; the instance answers http://127.0.0.1 and http://localhost"
            )
            await PlainTextResponse(reason, 421)(scope, receive, send)
            return
        if (
            origin
            and origin != "null"
            and origin.partition("://")[2] != host
            and scope["method"] not in ("GET", "HEAD")
        ):
            await PlainTextResponse(f"a page of {origin[:100]!r} may not do this", 403)(scope, receive, send)
            return
        await self._app(scope, receive, send)


def _is_local(host: str) -> bool:
    name = host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


async def _lifespan(receive: Receive, send: Send) -> None:
    # The services are opened before the server and closed after it: by then every request has its answer.
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return
