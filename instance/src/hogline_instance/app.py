"""The instance as one ASGI app: paths that SDKs call go to ingest, all others to FastAPI."""

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.responses import JSONResponse

from hogline.version import __version__
from hogline_instance.exceptions import StoreError
from hogline_instance.features import FEATURES, Feature
from hogline_instance.ingest import IngestApp
from hogline_instance.ingest.http import Receive, Scope, Send
from hogline_instance.services import Services
from hogline_instance.web import login, static_files
from hogline_instance.web.auth import Access
from hogline_instance.web.errors import ERROR_SCHEMA, ErrorBody, unknown_endpoint
from hogline_instance.web.head import answer_head
from hogline_instance.web.login import LoginGuard
from hogline_instance.web.query_endpoint import build_query_router
from hogline_instance.web.routes import api_router, join_routers
from hogline_instance.web.security import HostGuard
from hogline_instance.web.site import Site
from hogline_instance.web.templating import Templates

__all__ = ["create_app"]

_DESCRIPTION = (
    "Events, sessions and live events of a Hogline instance, in the shapes of PostHog's own API. "
    "Authenticate with a personal key: `Authorization: Bearer phx_...`."
)
_WEB_PACKAGE = "hogline_instance.web"
_METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE"]


def create_app(services: Services, features: Sequence[Feature] = FEATURES) -> Any:
    """Return the ASGI app for *services*."""
    endpoints = [
        endpoint for feature in features if feature.endpoints is not None for endpoint in feature.endpoints(services)
    ]
    ingest = IngestApp(services.settings, services.projects, services.writer, endpoints)
    web = HostGuard(
        _web_app(services, ingest, features),
        has_password=bool(services.settings.admin_password),
        allowed_hosts=services.settings.host_names,
    )

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            if ingest.owns(scope["path"]):
                await ingest(scope, receive, send)
            elif scope["method"] == "HEAD":
                await answer_head(web, scope, receive, send)
            else:
                await web(scope, receive, send)
        elif scope["type"] == "lifespan":
            await _lifespan(receive, send)
        elif scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 1000})

    return app


class _App(FastAPI):
    def openapi(self) -> dict[str, Any]:
        """Return the description of the API, with the schema of errors, which no route declares."""
        description = super().openapi()
        description["components"]["schemas"].setdefault(ERROR_SCHEMA, ErrorBody.model_json_schema())
        return description


def _web_app(services: Services, ingest: IngestApp, features: Sequence[Feature]) -> FastAPI:
    # FastAPI's interactive documentation stays off: it loads scripts from other hosts, and pages
    # here make no external request.
    app = _App(title="Hogline instance", version=__version__, description=_DESCRIPTION, docs_url=None, redoc_url=None)
    guard = LoginGuard(services.settings)
    packages = [_WEB_PACKAGE, *(feature.package for feature in features)]
    templates = Templates(
        menu=sorted((entry for feature in features for entry in feature.menu), key=lambda entry: entry.place),
        packages=packages,
        can_sign_out=guard.sessions is not None,
        current_project=services.projects.current,
    )
    site = Site(templates, guard)
    routers = (
        _health_router(services, ingest),
        _api_router(services, Access(services.projects, guard.sessions), features),
        static_files.build_router(packages),
        login.build_router(guard, templates),
        *(feature.pages(services, site) for feature in features if feature.pages is not None),
    )
    app.router.routes.extend(join_routers(*routers).routes)
    return app


def _api_router(services: Services, access: Access, features: Sequence[Feature]) -> APIRouter:
    kinds = {
        name: run
        for feature in features
        if feature.queries is not None
        for name, run in feature.queries(services).items()
    }
    known = join_routers(
        *(feature.api(services, access) for feature in features if feature.api is not None),
        build_query_router(access, kinds),
    )
    # This JSON 404 comes last: it matches every other path under /api/.
    other = api_router("unknown", include_in_schema=False)
    other.add_api_route("/{path:path}", unknown_endpoint(known.routes), methods=_METHODS)
    return join_routers(known, other)


def _health_router(services: Services, ingest: IngestApp) -> APIRouter:
    router = APIRouter(tags=["health"])
    # Separate threads: monitors must get a response while queries use all others.
    threads = ThreadPoolExecutor(2, thread_name_prefix="hogline-health")

    @router.get("/_health")
    async def health() -> dict[str, Any]:
        """Respond that the process is running."""
        return {"status": "ok", "version": __version__}

    @router.get("/_ready")
    async def ready() -> JSONResponse:
        """Report whether store and journal work and how much is queued; respond 503 if not."""
        pipeline, journal = services.pipeline, services.journal
        state = {
            "journal_bytes": journal.size_bytes,
            "journal_damaged_bytes": journal.damaged_bytes,
            "waiting_bytes": pipeline.waiting_bytes,
            "stored_events": pipeline.stored_rows,
            "rejected_events": pipeline.rejected_rows,
            "not_kept": {**ingest.refusals.refused, **pipeline.dropped_rows},
            "mended": ingest.refusals.mended,
        }
        try:
            loop = asyncio.get_running_loop()
            await loop.run_in_executor(threads, services.store.ping)
            await loop.run_in_executor(threads, journal.probe)
        except StoreError as error:
            return JSONResponse({"status": "the store does not respond", "error": str(error), **state}, 503)
        except OSError as error:
            return JSONResponse({"status": "the journal cannot be written", "error": str(error), **state}, 503)
        if pipeline.last_error is not None:
            return JSONResponse(
                {"status": "the store does not take events", "error": pipeline.last_error, **state}, 503
            )
        return JSONResponse({"status": "ok", **state})

    return router


async def _lifespan(receive: Receive, send: Send) -> None:
    # The services are opened before the server and closed after it, when every request has its
    # response.
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return
