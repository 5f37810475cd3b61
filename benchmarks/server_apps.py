"""A server for `benchmarks.server`: one framework, library and mode in its own process.

Modes: "nothing" (the handler captures nothing), "captured" (one event per request, which is not
sent), "delivered" (one event per request, sent to the sink), and for Hogline the steps between the
two: "finished" (queued, and made by the sending thread) and "compressed", both with a transport that
sends nothing. `/flush` sends the queued events, so that a turn includes all of its work.
"""

import asyncio
import logging
import os
import sys
from collections.abc import Callable
from typing import Any

from benchmarks.empty_apps import instrument, interceptor, tracer

__all__ = ["FRAMEWORKS", "VARIANTS"]

VARIANTS = ("bare", "null", "ours", "posthog", "sentry", "otel")
PROPERTIES = {"total": 42, "currency": "EUR"}
_KEEP_ALIVE_S = 3600
THREADS = 8


def _nothing() -> None:
    """Capture nothing, flush nothing."""


class Library:
    """The functions that the app calls: `capture` in each request, `flush` at the end of a turn."""

    def __init__(self, variant: str, mode: str, url: str, integrations: tuple[str, ...]) -> None:
        self.client: Any = None
        self.capture: Callable[[], object] = _nothing
        self.flush: Callable[[], object] = _nothing
        sends = mode not in ("nothing", "captured")
        if variant == "ours":
            import hogline

            transport = None if mode in ("nothing", "captured", "delivered") else _SendsNothing()
            self.client = hogline.PostHog("phc_x", host=url, send=sends, transport=transport, gzip=mode != "finished")
        elif variant == "posthog":
            import posthog

            self.client = posthog.Posthog("phc_x", host=url, send=sends)
        elif variant == "sentry":
            self.client = _sentry(url, integrations, sends=sends)
        if self.client is not None and sends:
            self.flush = self.client.flush
        if mode != "nothing" and variant in ("ours", "posthog"):
            capture = self.client.capture
            self.capture = lambda: capture("checkout", properties=PROPERTIES)
        elif mode != "nothing" and variant == "sentry":
            import sentry_sdk

            self.capture = lambda: sentry_sdk.capture_message("checkout")


class _SendsNothing:
    """A transport that says at once that each batch arrived."""

    def send(self, request: Any) -> Any:
        from hogline import UploadResponse

        return UploadResponse(200)

    def close(self) -> None:
        """Do nothing."""


def _sentry(url: str, integrations: tuple[str, ...], *, sends: bool) -> Any:
    from importlib import import_module

    import sentry_sdk
    from sentry_sdk.transport import Transport

    class Nowhere(Transport):
        def capture_envelope(self, envelope: Any) -> None:
            """Discard the envelope."""

    found = [name.rpartition(".") for name in integrations]
    sentry_sdk.init(
        url.replace("http://", "http://x@") + "/1", transport=None if sends else Nowhere, default_integrations=False,
        auto_enabling_integrations=False,
        integrations=[getattr(import_module(f"sentry_sdk.integrations.{module}"), kind)() for module, _, kind in found],
    )  # fmt: skip
    return sentry_sdk.get_client()


class NullAsgi:
    """The least that ASGI middleware can do."""

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self.app(scope, receive, send)


def null_django(get_response: Any) -> Any:
    """The least that Django's middleware can do."""

    def middleware(request: Any) -> Any:
        return get_response(request)

    return middleware


def fastapi(variant: str, mode: str, url: str) -> Any:
    from fastapi import FastAPI
    from starlette.responses import PlainTextResponse

    library = Library(variant, mode, url, ("starlette.StarletteIntegration", "fastapi.FastApiIntegration"))
    capture = library.capture
    app = FastAPI()

    @app.get("/products/{number}")
    async def product(number: int) -> PlainTextResponse:
        capture()
        return PlainTextResponse("ok")

    @app.get("/pid")
    async def pid() -> PlainTextResponse:
        return PlainTextResponse(str(os.getpid()))

    @app.get("/flush")
    async def flush() -> PlainTextResponse:
        await asyncio.to_thread(library.flush)
        return PlainTextResponse("ok")

    if variant == "null":
        app.add_middleware(NullAsgi)
    elif variant == "ours":
        app.add_middleware(interceptor("fastapi"), client=library.client, capture_exceptions=True)
    elif variant == "posthog":
        from posthog.integrations.asgi import PosthogASGIMiddleware

        app.add_middleware(PosthogASGIMiddleware, client=library.client)
    elif variant == "otel":
        from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor

        FastAPIInstrumentor.instrument_app(app, tracer_provider=tracer())
    return app


def flask(variant: str, mode: str, url: str) -> Any:
    from flask import Flask

    library = Library(variant, mode, url, ("flask.FlaskIntegration",))
    capture = library.capture
    app = Flask("shop")

    @app.get("/products/<int:number>")
    def product(number: int) -> str:
        capture()
        return "ok"

    @app.get("/pid")
    def pid() -> str:
        return str(os.getpid())

    @app.get("/flush")
    def flush() -> str:
        library.flush()
        return "ok"

    if variant == "null":
        inner = app.wsgi_app

        def middleware(environ: Any, start_response: Any) -> Any:
            return inner(environ, start_response)

        app.wsgi_app = middleware  # type: ignore[method-assign]
    elif variant == "ours":
        interceptor("flask")(app, client=library.client, capture_exceptions=True)
    elif variant == "posthog":
        from posthog.integrations.flask import PosthogFlaskIntegration

        PosthogFlaskIntegration(app, client=library.client)
    elif variant == "otel":
        from opentelemetry.instrumentation.flask import FlaskInstrumentor

        FlaskInstrumentor().instrument_app(app, tracer_provider=tracer())
    return app


class _Urls:
    urlpatterns: list[Any] = []


def django(variant: str, mode: str, url: str) -> Any:
    import django as package
    from django.conf import settings

    middleware = {
        "null": ["benchmarks.server_apps.null_django"],
        "ours": ["hogline.interceptors.django.PostHogInterceptor"],
        "posthog": ["posthog.integrations.django.PosthogContextMiddleware"],
    }
    settings.configure(
        ALLOWED_HOSTS=["*"], ROOT_URLCONF=_Urls, SECRET_KEY="x", LOGGING_CONFIG=None, USE_TZ=True,
        MIDDLEWARE=[*middleware.get(variant, []), "django.middleware.common.CommonMiddleware"],
    )  # fmt: skip
    if variant == "otel":
        instrument("django", "DjangoInstrumentor")
    library = Library(variant, mode, url, ("django.DjangoIntegration",))
    if variant == "ours":
        settings.HOGLINE = {"client": library.client, "capture_exceptions": True}
    elif variant == "posthog":
        settings.POSTHOG_MW_CLIENT = library.client
    package.setup()
    capture = library.capture

    from django.core.handlers.wsgi import WSGIHandler
    from django.http import HttpResponse
    from django.urls import path

    def product(request: Any, number: int) -> HttpResponse:
        capture()
        return HttpResponse("ok")

    def flush(request: Any) -> HttpResponse:
        library.flush()
        return HttpResponse("ok")

    _Urls.urlpatterns = [
        path("products/<int:number>", product),
        path("pid", lambda _request: HttpResponse(str(os.getpid()))),
        path("flush", flush),
    ]
    return WSGIHandler()


FRAMEWORKS: dict[str, tuple[str, Callable[[str, str, str], Any]]] = {
    "fastapi": ("FastAPI on uvicorn", fastapi),
    "django": ("Django on gunicorn's threads", django),
    "flask": ("Flask on gunicorn's threads", flask),
}


def _serve_asgi(app: Any, port: int) -> None:
    import uvicorn

    uvicorn.run(app, port=port, log_level="warning", access_log=False, timeout_keep_alive=_KEEP_ALIVE_S)


def _serve_wsgi(make: Callable[[], Any], port: int) -> None:
    from gunicorn.app.base import BaseApplication

    class Application(BaseApplication):  # type: ignore[misc]
        def load_config(self) -> None:
            options = {
                "bind": f"127.0.0.1:{port}", "workers": 1, "worker_class": "gthread", "threads": THREADS,
                "keepalive": _KEEP_ALIVE_S, "loglevel": "warning", "worker_tmp_dir": "/dev/shm",
            }  # fmt: skip
            for name, value in options.items():
                self.cfg.set(name, value)

        def load(self) -> Any:
            return make()

    Application().run()


def main() -> None:
    framework, variant, mode, port, url = sys.argv[1:]
    logging.disable()
    make = FRAMEWORKS[framework][1]
    if framework == "fastapi":
        _serve_asgi(make(variant, mode, url), int(port))
    else:
        _serve_wsgi(lambda: make(variant, mode, url), int(port))


if __name__ == "__main__":
    main()
