"""What an interceptor adds to an empty request of each framework, beside Sentry's and OpenTelemetry's own instrumentation.

In process, no server and no socket: a framework's app is called as its server would. Sentry and OpenTelemetry patch classes, so
the app without anything, and with each of the three, are processes of their own; they are asked in turns, the best turn counts, in time of the processor.
`HOGLINE_FRAMEWORKS="flask django"` names some of them.
Exception capture is on, as Sentry's always is; nothing is raised.
"""

import asyncio
import json
import logging
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from benchmarks.figures import Figure, print_figures
from benchmarks.sinks import NOWHERE

COUNT, TURNS = 1000, 9
VARIANTS = ("bare", "ours", "sentry", "otel")
HEADERS = {
    "host": "shop.example", "user-agent": "Mozilla/5.0 (X11; Linux x86_64)", "accept": "*/*", "accept-encoding": "gzip, br",
    "x-forwarded-for": "198.51.100.1", "x-posthog-session-id": "0192f0c0-0000-7000-8000-000000000000", "x-posthog-distinct-id": "alice",
    "x-posthog-window-id": "0192f0c0-0000-7000-8000-000000000001", "cookie": "a=b",
}  # fmt: skip


def options() -> dict[str, Any]:
    import hogline

    client = hogline.PostHog("phc_x", host=NOWHERE, flush_at=10**8, flush_interval=10_000.0)
    return {"client": client, "capture_exceptions": True}


def sentry(*names: str) -> None:
    """Initialise Sentry as its users do, with the integrations *names*, "module.Class" of `sentry_sdk.integrations`."""
    from importlib import import_module

    import sentry_sdk
    from sentry_sdk.transport import Transport

    class Nowhere(Transport):
        def capture_envelope(self, envelope: Any) -> None:
            """Keep nothing."""

    found = [name.rpartition(".") for name in names]
    integrations = [getattr(import_module(f"sentry_sdk.integrations.{module}"), kind)() for module, _, kind in found]
    sentry_sdk.init(
        "http://x@127.0.0.1/1", transport=Nowhere, traces_sample_rate=0.0, default_integrations=False,
        auto_enabling_integrations=False, integrations=integrations,
    )  # fmt: skip


def tracer() -> Any:
    from opentelemetry.sdk.trace import TracerProvider

    return TracerProvider()


# -- the apps: each with one empty handler, at / ------------------------------------------------------------------------


def starlette(variant: str) -> Any:
    from starlette.applications import Starlette
    from starlette.responses import Response
    from starlette.routing import Route

    if variant == "sentry":
        sentry("starlette.StarletteIntegration")

    async def empty(request: Any) -> Response:
        return Response()

    app = Starlette(routes=[Route("/", empty)])
    if variant == "ours":
        from hogline.interceptors.starlette import PostHogInterceptor

        app.add_middleware(PostHogInterceptor, **options())
    if variant == "otel":
        from opentelemetry.instrumentation.starlette import StarletteInstrumentor

        StarletteInstrumentor.instrument_app(app, tracer_provider=tracer())
    return app


def fastapi(variant: str) -> Any:
    from fastapi import FastAPI
    from starlette.responses import Response

    if variant == "sentry":
        sentry("starlette.StarletteIntegration", "fastapi.FastApiIntegration")
    app = FastAPI()

    @app.get("/")
    async def empty() -> Response:
        return Response()

    if variant == "ours":
        from hogline.interceptors.fastapi import PostHogInterceptor

        app.add_middleware(PostHogInterceptor, **options())
    if variant == "otel":
        from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor

        FastAPIInstrumentor.instrument_app(app, tracer_provider=tracer())
    return app


def flask(variant: str) -> Any:
    from flask import Flask

    if variant == "sentry":
        sentry("flask.FlaskIntegration")
    app = Flask("shop")
    app.add_url_rule("/", view_func=lambda: "", endpoint="empty")
    if variant == "ours":
        from hogline.interceptors.flask import PostHogInterceptor

        PostHogInterceptor(app, **options())
    if variant == "otel":
        from opentelemetry.instrumentation.flask import FlaskInstrumentor

        FlaskInstrumentor().instrument_app(app, tracer_provider=tracer())
    return app


def django(variant: str) -> Any:
    import django as package
    from django.conf import settings
    from django.http import HttpResponse
    from django.urls import path

    class Urls:
        urlpatterns = [path("", lambda request: HttpResponse())]

    middleware = ["django.middleware.common.CommonMiddleware"]
    settings.configure(
        ALLOWED_HOSTS=["*"], ROOT_URLCONF=Urls, SECRET_KEY="x", LOGGING_CONFIG=None, MIDDLEWARE=middleware
    )
    if variant == "ours":
        settings.HOGLINE = options()
        settings.MIDDLEWARE = ["hogline.interceptors.django.PostHogInterceptor", *middleware]
    if variant == "sentry":
        sentry("django.DjangoIntegration")
    if variant == "otel":
        from opentelemetry.instrumentation.django import DjangoInstrumentor

        DjangoInstrumentor().instrument(tracer_provider=tracer())
    package.setup()
    from django.core.handlers.wsgi import WSGIHandler

    return WSGIHandler()


def falcon(variant: str) -> Any:
    import falcon as package

    if variant == "sentry":
        sentry("falcon.FalconIntegration")
    if variant == "otel":
        from opentelemetry.instrumentation.falcon import FalconInstrumentor

        FalconInstrumentor().instrument(tracer_provider=tracer())

    class Empty:
        def on_get(self, req: Any, resp: Any) -> None:
            resp.status = package.HTTP_200  # OpenTelemetry reads it as a text

    app = package.App()
    if variant == "ours":
        from hogline.interceptors.falcon import PostHogInterceptor

        PostHogInterceptor(app, **options())
    app.add_route("/", Empty())
    return app


def pyramid(variant: str) -> Any:
    from pyramid.config import Configurator
    from pyramid.response import Response

    if variant == "sentry":
        sentry("pyramid.PyramidIntegration")
    if variant == "otel":
        from opentelemetry.instrumentation.pyramid import PyramidInstrumentor

        PyramidInstrumentor().instrument(tracer_provider=tracer())
    from pyramid.config import Configurator  # noqa: F811 - OpenTelemetry puts its own in the place of it

    with Configurator() as config:
        if variant == "ours":
            from hogline.interceptors.pyramid import PostHogInterceptor

            PostHogInterceptor(config, **options())
        config.add_route("empty", "/")
        config.add_view(lambda request: Response(), route_name="empty")
        return config.make_wsgi_app()


def bottle(variant: str) -> Any:
    from bottle import Bottle

    if variant == "sentry":
        sentry("bottle.BottleIntegration")
    app = Bottle()
    app.route("/", callback=lambda: "")
    if variant == "ours":
        from hogline.interceptors.bottle import PostHogInterceptor

        app.install(PostHogInterceptor(**options()))
    return app


def quart(variant: str) -> Any:
    from quart import Quart

    if variant == "sentry":
        sentry("quart.QuartIntegration")
    app = Quart("shop")

    @app.get("/")
    async def empty() -> str:
        return ""

    if variant == "ours":
        from hogline.interceptors.quart import PostHogInterceptor

        PostHogInterceptor(app, **options())
    return app


def litestar(variant: str) -> Any:
    from litestar import Litestar, get

    if variant == "sentry":
        sentry("litestar.LitestarIntegration")

    @get("/")
    async def empty() -> None:
        return None

    plugins = []
    if variant == "ours":
        from hogline.interceptors.litestar import PostHogInterceptor

        plugins.append(PostHogInterceptor(**options()))
    return Litestar([empty], plugins=plugins)


# name: its app, how it is called, whether OpenTelemetry has an instrumentation of it
APPS: dict[str, tuple[Callable[[str], Any], str, bool]] = {
    "starlette": (starlette, "asgi", True),
    "fastapi": (fastapi, "asgi", True),
    "litestar": (litestar, "asgi", False),
    "quart": (quart, "asgi", False),
    "flask": (flask, "wsgi", True),
    "django": (django, "wsgi", True),
    "falcon": (falcon, "wsgi", True),
    "bottle": (bottle, "wsgi", False),
    "pyramid": (pyramid, "wsgi", True),
}


# -- calling them --------------------------------------------------------------------------------------------------------


async def _ask_asgi(app: Any, count: int) -> float:
    headers = [(name.encode(), value.encode()) for name, value in HEADERS.items()]

    never = asyncio.Event()
    bodies: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        if not bodies:
            await never.wait()  # the client stays
        return bodies.pop()

    async def send(message: dict[str, Any]) -> None:
        assert message.get("status", 200) < 300

    begun = time.process_time()
    for _ in range(count):
        scope = {
            "type": "http", "asgi": {"version": "3.0", "spec_version": "2.3"}, "http_version": "1.1", "method": "GET", "path": "/",
            "raw_path": b"/", "root_path": "", "query_string": b"", "client": ("127.0.0.1", 5), "server": ("127.0.0.1", 80),
            "scheme": "http", "headers": headers, "state": {},
        }  # fmt: skip
        bodies[:] = [{"type": "http.request", "body": b"", "more_body": False}]
        await app(scope, receive, send)
    return time.process_time() - begun


async def _start_up(app: Any) -> None:
    """Run the app's lifespan as far as its start, as servers do; some interceptors wait for it."""
    started, never = asyncio.Event(), asyncio.Event()
    messages = [{"type": "lifespan.startup"}]

    async def receive() -> dict[str, Any]:
        if not messages:
            await never.wait()
        return messages.pop()

    async def send(message: dict[str, Any]) -> None:
        assert message["type"] == "lifespan.startup.complete", message
        started.set()

    _running.append(
        asyncio.ensure_future(app({"type": "lifespan", "asgi": {"version": "3.0"}, "state": {}}, receive, send))
    )
    await asyncio.wait_for(started.wait(), 30)


_running: list[Any] = []


def _ask_wsgi(app: Any, count: int) -> float:
    import io

    given = {f"HTTP_{name.upper().replace('-', '_')}": value for name, value in HEADERS.items()}

    def start_response(status: str, headers: Any, exc_info: Any = None) -> Callable[[bytes], None]:
        assert status.startswith("2")
        return lambda _: None

    begun = time.process_time()
    for _ in range(count):
        environ = {
            "REQUEST_METHOD": "GET", "SCRIPT_NAME": "", "PATH_INFO": "/", "QUERY_STRING": "", "SERVER_NAME": "127.0.0.1", "SERVER_PORT": "80",
            "SERVER_PROTOCOL": "HTTP/1.1", "REMOTE_ADDR": "127.0.0.1", "wsgi.version": (1, 0), "wsgi.url_scheme": "http",
            "wsgi.input": io.BytesIO(), "wsgi.errors": sys.stderr, "wsgi.multithread": True, "wsgi.multiprocess": False,
            "wsgi.run_once": False, **given,
        }  # fmt: skip
        result = app(environ, start_response)
        for _chunk in result:
            pass
        if hasattr(result, "close"):
            result.close()
    return time.process_time() - begun


def child(name: str, variant: str) -> None:
    """Be one app: for each line of standard input, serve `COUNT` requests and say how many microseconds one took."""
    logging.disable()
    make, protocol, _ = APPS[name]
    app = make(variant)
    loop = asyncio.new_event_loop()
    turn = (
        (lambda: loop.run_until_complete(_ask_asgi(app, COUNT)))
        if protocol == "asgi"
        else (lambda: _ask_wsgi(app, COUNT))
    )
    turn()
    print("ready", flush=True)
    for _ in sys.stdin:
        print(json.dumps(turn() / COUNT * 1e6), flush=True)


def measure(name: str, variants: list[str]) -> dict[str, float]:
    """Return the microseconds of a request by variant, each in its best turn; a peer that cannot serve is left out, and said."""
    started = {variant: _start(name, variant) for variant in variants}
    children = {variant: process for variant, process in started.items() if process is not None}
    best = dict.fromkeys(children, float("inf"))
    try:
        for _ in range(TURNS):
            for variant, process in children.items():
                process.stdin.write("\n")
                process.stdin.flush()
                best[variant] = min(best[variant], json.loads(process.stdout.readline()))
    finally:
        for process in children.values():
            process.kill()
            process.communicate()
    return best


def _start(name: str, variant: str) -> Any:
    process = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-m", "benchmarks.frameworks", name, variant],
        cwd=Path(__file__).parents[1], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    if process.stdout.readline() != "ready\n":
        process.kill()
        process.communicate()
        if variant not in ("sentry", "otel"):
            raise SystemExit(f"{name} with {variant} does not start")
        print(f"      {name} with {variant}: not measured, it does not serve an empty request", file=sys.stderr)
        return None
    return process


def figures() -> Iterator[Figure]:
    peers = {"sentry": "Sentry's integration", "otel": "OpenTelemetry's instrumentation"}
    chosen = os.environ.get("HOGLINE_FRAMEWORKS", "").split()
    for name, (_, _, has_otel) in APPS.items():
        if chosen and name not in chosen:
            continue
        if find_spec(f"hogline.interceptors.{name}") is None:
            continue
        variants = [variant for variant in VARIANTS if variant != "otel" or has_otel]
        best = measure(name, variants)
        added = {variant: best[variant] - best["bare"] for variant in best if variant != "bare"}
        beside = tuple((peers[variant], value) for variant, value in added.items() if variant in peers)
        label = f"{name}: added to {best['bare']:.0f} us of an empty request"
        yield Figure(label, added["ours"], "us/request", None, beside)


def main() -> None:
    if len(sys.argv) == 3:
        child(*sys.argv[1:])
        return
    for figure in figures():
        print_figures([figure])
        sys.stdout.flush()


if __name__ == "__main__":
    main()
