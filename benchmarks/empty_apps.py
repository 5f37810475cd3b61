"""An app with one empty handler for each framework: bare, with our interceptor, with Sentry, with
OpenTelemetry.

Each variant runs in its own process, because Sentry and OpenTelemetry patch classes. Where they
have no integration for a framework, their middleware for its protocol is measured; where that
cannot be used either, the row says so.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Literal

from benchmarks.sinks import NOWHERE

__all__ = ["APPS", "VARIANTS", "EmptyApp"]

VARIANTS = ("bare", "ours", "sentry", "otel")
_SENTRY, _OTEL = "Sentry's integration", "OpenTelemetry's instrumentation"
_SENTRY_ASGI = "Sentry's ASGI middleware"
_OTEL_ASGI, _OTEL_WSGI = "OpenTelemetry's ASGI middleware", "OpenTelemetry's WSGI middleware"


@dataclass(frozen=True)
class EmptyApp:
    """A row of the table: how to make the app and how to call it. A peer is None where it has
    nothing for the framework.
    """

    make: Callable[[str], Any]
    protocol: Literal["asgi", "wsgi", "own", "grpc"]
    """"own" and "grpc": `make` returns a function that serves on the port that it is given."""
    sentry: str | None = _SENTRY
    otel: str | None = _OTEL
    query: str = ""
    requires: str | None = None
    """The package that must be installed. None means the package with the row's name."""

    def peers(self) -> dict[str, str]:
        """Return the names of the peers, by variant."""
        return {variant: name for variant, name in (("sentry", self.sentry), ("otel", self.otel)) if name}


# -- shared by the apps ----------------------------------------


def options() -> dict[str, Any]:
    import hogline

    client = hogline.PostHog("phc_x", host=NOWHERE, flush_at=10**8, flush_interval=10_000.0)
    return {"client": client, "capture_exceptions": True}


def sentry(*names: str, more: Sequence[Any] = ()) -> None:
    """Initialise Sentry for errors only, with the integrations *names*, "module.Class" of
    `sentry_sdk.integrations`.
    """
    import sentry_sdk
    from sentry_sdk.transport import Transport

    class Nowhere(Transport):
        def capture_envelope(self, envelope: Any) -> None:
            """Discard the envelope."""

    found = [name.rpartition(".") for name in names]
    integrations = [getattr(import_module(f"sentry_sdk.integrations.{module}"), kind)() for module, _, kind in found]
    sentry_sdk.init(
        "http://x@127.0.0.1/1", transport=Nowhere, default_integrations=False, auto_enabling_integrations=False,
        integrations=[*integrations, *more],
    )  # fmt: skip
    _first_scope[0] = _isolation_scope()


def tracer() -> Any:
    from opentelemetry import trace
    from opentelemetry.sdk.trace import TracerProvider

    provider = TracerProvider()
    trace.set_tracer_provider(provider)  # some instrumentation uses only the global provider
    return provider


def instrument(module: str, kind: str) -> None:
    getattr(import_module(f"opentelemetry.instrumentation.{module}"), kind)().instrument(tracer_provider=tracer())


def interceptor(framework: str) -> Any:
    return import_module(f"hogline.interceptors.{framework}").PostHogInterceptor


def around(app: Any, variant: str, framework: str = "asgi") -> Any:
    """Wrap an ASGI *app* in the middleware that *variant* has for every ASGI app."""
    if variant == "ours":
        return interceptor(framework)(app, **options())
    if variant == "sentry":
        from sentry_sdk.integrations.asgi import SentryAsgiMiddleware

        sentry()
        return SentryAsgiMiddleware(app)
    return otel_asgi(app) if variant == "otel" else app


def otel_asgi(app: Any) -> Any:
    from opentelemetry.instrumentation.asgi import OpenTelemetryMiddleware

    return OpenTelemetryMiddleware(app, tracer_provider=tracer())


def otel_wsgi(app: Any) -> Any:
    from opentelemetry.instrumentation.wsgi import OpenTelemetryMiddleware

    return OpenTelemetryMiddleware(app, tracer_provider=tracer())


_active: list[bool] = []


def handled() -> None:
    """Record in the first request whether the installed variant is active. Later calls cost
    every variant the same.
    """
    if not _active:
        _active.append(_is_active())


def _is_active() -> bool:
    variant = _variant[0]
    if variant == "ours":
        import hogline

        return hogline.get_context_distinct_id() == "alice"
    if variant == "sentry":
        return _isolation_scope() not in (None, _first_scope[0])  # each request has its own
    if variant == "otel":
        from opentelemetry import trace

        return trace.get_current_span().get_span_context().is_valid
    return True


def _isolation_scope() -> Any:
    """Return Sentry's scope of this context. Sentry's public function would create one."""
    from sentry_sdk import scope

    return scope._isolation_scope.get(None)


_variant = ["bare"]
_first_scope: list[Any] = [None]


def make(name: str, variant: str) -> Any:
    """Return the app *name* with *variant* installed."""
    _variant[0] = variant
    return APPS[name].make(variant)


def active() -> bool:
    """Return whether the first request found the installed variant active."""
    return _active == [True]


# -- ASGI ----------------------------------------


def asgi(variant: str) -> Any:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] == "http"  # raising is how an app says that it has no lifespan
        handled()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    return around(app, variant)


def starlette(variant: str) -> Any:
    from starlette.applications import Starlette
    from starlette.responses import Response
    from starlette.routing import Route

    if variant == "sentry":
        sentry("starlette.StarletteIntegration")

    async def empty(request: Any) -> Response:
        handled()
        return Response()

    app = Starlette(routes=[Route("/", empty)])
    if variant == "ours":
        app.add_middleware(interceptor("starlette"), **options())
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
        handled()
        return Response()

    if variant == "ours":
        app.add_middleware(interceptor("fastapi"), **options())
    if variant == "otel":
        from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor

        FastAPIInstrumentor.instrument_app(app, tracer_provider=tracer())
    return app


def litestar(variant: str) -> Any:
    from litestar import Litestar, get

    if variant == "sentry":
        sentry("litestar.LitestarIntegration")

    @get("/")
    async def empty() -> None:
        handled()

    plugins: list[Any] = []
    if variant == "ours":
        plugins.append(interceptor("litestar")(**options()))
    if variant == "otel":
        from litestar.plugins.opentelemetry import OpenTelemetryConfig, OpenTelemetryPlugin

        plugins.append(OpenTelemetryPlugin(OpenTelemetryConfig(tracer_provider=tracer())))
    return Litestar([empty], plugins=plugins)


def quart(variant: str) -> Any:
    from quart import Quart

    if variant == "sentry":
        sentry("quart.QuartIntegration")
    app = Quart("shop")

    @app.get("/")
    async def empty() -> str:
        handled()
        return ""

    if variant == "ours":
        interceptor("quart")(app, **options())
    if variant == "otel":
        app.asgi_app = otel_asgi(app.asgi_app)  # type: ignore[method-assign]
    return app


def blacksheep(variant: str) -> Any:
    from blacksheep import Application, Response, Router

    app = Application(router=Router())

    async def empty() -> Response:
        handled()
        return Response(200)

    app.router.add_get("/", empty)
    return around(app, variant, "blacksheep")


def connexion(variant: str) -> Any:
    from connexion import AsyncApp
    from connexion.middleware import MiddlewarePosition
    from connexion.resolver import Resolver

    async def empty() -> tuple[str, int]:
        handled()
        return "", 200

    app = AsyncApp("shop")
    if variant == "ours":
        app.add_middleware(interceptor("connexion"), MiddlewarePosition.BEFORE_EXCEPTION, **options())
    answer = {"200": {"description": "nothing", "content": {"text/plain": {"schema": {"type": "string"}}}}}
    paths = {"/": {"get": {"operationId": "empty", "responses": answer}}}
    specification = {"openapi": "3.0.0", "info": {"title": "shop", "version": "1"}, "paths": paths}
    app.add_api(specification, resolver=Resolver({"empty": empty}.__getitem__))
    return app if variant == "ours" else around(app, variant)


def channels(variant: str) -> Any:
    _django(variant if variant == "bare" else "channels")
    from channels.generic.http import AsyncHttpConsumer
    from channels.routing import ProtocolTypeRouter, URLRouter
    from django.urls import path

    class Empty(AsyncHttpConsumer):
        async def handle(self, body: bytes) -> None:
            handled()
            await self.send_response(200, b"")

    return around(ProtocolTypeRouter({"http": URLRouter([path("", Empty.as_asgi())])}), variant, "channels")


def falcon_asgi(variant: str) -> Any:
    from falcon.asgi import App

    class Empty:
        async def on_get(self, req: Any, resp: Any) -> None:
            handled()

    app = App()
    if variant == "ours":
        interceptor("falcon")(app, **options())
    app.add_route("/", Empty())
    return app if variant == "ours" else around(app, variant)


# -- WSGI ----------------------------------------


def wsgi(variant: str) -> Any:
    def app(environ: Any, start_response: Any) -> list[bytes]:
        handled()
        start_response("200 OK", [])
        return [b""]

    if variant == "ours":
        return interceptor("wsgi")(app, **options())
    if variant == "sentry":
        from sentry_sdk.integrations.wsgi import SentryWsgiMiddleware

        sentry()
        return SentryWsgiMiddleware(app)
    return otel_wsgi(app) if variant == "otel" else app


def flask(variant: str) -> Any:
    from flask import Flask

    if variant == "sentry":
        sentry("flask.FlaskIntegration")
    app = Flask("shop")

    def empty() -> str:
        handled()
        return ""

    app.add_url_rule("/", view_func=empty)
    if variant == "ours":
        interceptor("flask")(app, **options())
    if variant == "otel":
        from opentelemetry.instrumentation.flask import FlaskInstrumentor

        FlaskInstrumentor().instrument_app(app, tracer_provider=tracer())
    return app


def falcon(variant: str) -> Any:
    import falcon as package

    if variant == "sentry":
        sentry("falcon.FalconIntegration")
    if variant == "otel":
        instrument("falcon", "FalconInstrumentor")

    class Empty:
        def on_get(self, req: Any, resp: Any) -> None:
            handled()
            resp.status = package.HTTP_200  # OpenTelemetry reads it as a string

    app = package.App()
    if variant == "ours":
        interceptor("falcon")(app, **options())
    app.add_route("/", Empty())
    return app


def pyramid(variant: str) -> Any:
    if variant == "sentry":
        sentry("pyramid.PyramidIntegration")
    if variant == "otel":
        instrument("pyramid", "PyramidInstrumentor")
    from pyramid.config import Configurator  # OpenTelemetry replaces it with its own
    from pyramid.response import Response

    def empty(request: Any) -> Response:
        handled()
        return Response()

    with Configurator() as config:
        if variant == "ours":
            interceptor("pyramid")(config, **options())
        config.add_route("empty", "/")
        config.add_view(empty, route_name="empty")
        return config.make_wsgi_app()


def bottle(variant: str) -> Any:
    from bottle import Bottle

    if variant == "sentry":
        sentry("bottle.BottleIntegration")
    app = Bottle()

    def empty() -> str:
        handled()
        return ""

    app.route("/", callback=empty)
    if variant == "ours":
        app.install(interceptor("bottle")(**options()))
    return otel_wsgi(app) if variant == "otel" else app


# -- Django ----------------------------------------


class _Urls:
    urlpatterns: list[Any] = []


def _django(variant: str, middleware: Sequence[str] = ("django.middleware.common.CommonMiddleware",)) -> None:
    """Configure Django in this process."""
    import django as package
    from django.conf import settings

    plain = {"DEFAULT_AUTHENTICATION_CLASSES": [], "UNAUTHENTICATED_USER": None}
    settings.configure(
        ALLOWED_HOSTS=["*"], ROOT_URLCONF=_Urls, SECRET_KEY="x", LOGGING_CONFIG=None, MIDDLEWARE=[*middleware], USE_TZ=True,
        REST_FRAMEWORK=plain,
    )  # fmt: skip
    if variant == "ours":
        settings.HOGLINE = options()
        settings.MIDDLEWARE = ["hogline.interceptors.django.PostHogInterceptor", *middleware]
    if variant == "sentry":
        sentry("django.DjangoIntegration")
    if variant == "otel":
        instrument("django", "DjangoInstrumentor")
    package.setup()


def _empty_view() -> Any:
    from django.http import HttpResponse

    def empty(request: Any) -> HttpResponse:
        handled()
        return HttpResponse()

    return empty


def _route(view: Any) -> None:
    from django.urls import path

    _Urls.urlpatterns = [path("", view)]


def django(variant: str) -> Any:
    _django(variant)
    _route(_empty_view())
    from django.core.handlers.wsgi import WSGIHandler

    return WSGIHandler()


def django_asgi(variant: str) -> Any:
    _django(variant, ())  # other middleware would run each request in a thread
    from django.core.handlers.asgi import ASGIHandler
    from django.http import HttpResponse

    async def empty(request: Any) -> HttpResponse:
        handled()
        return HttpResponse()

    _route(empty)
    return ASGIHandler()


def django_rest(variant: str) -> Any:
    _django(variant)
    from django.core.handlers.wsgi import WSGIHandler
    from rest_framework.decorators import api_view

    _route(api_view(["GET"])(_empty_view()))
    return WSGIHandler()


def django_ninja(variant: str) -> Any:
    _django(variant)
    from django.core.handlers.wsgi import WSGIHandler
    from ninja import NinjaAPI

    api = NinjaAPI(docs_url=None, openapi_url=None)
    api.get("")(_empty_view())
    _route(api.urls)
    return WSGIHandler()


# -- frameworks with their own server ----------------------------------------


def aiohttp(variant: str) -> Any:
    if variant == "sentry":
        sentry("aiohttp.AioHttpIntegration")
    if variant == "otel":
        instrument("aiohttp_server", "AioHttpServerInstrumentor")
    from aiohttp import web

    async def empty(request: web.Request) -> web.Response:
        handled()
        return web.Response()

    app = web.Application(middlewares=[interceptor("aiohttp")(**options())] if variant == "ours" else [])
    app.router.add_get("/", empty)
    return lambda port: web.run_app(app, host="127.0.0.1", port=port, print=None, access_log=None)


def sanic(variant: str) -> Any:
    from sanic import HTTPResponse, Request, Sanic

    if variant == "sentry":
        sentry("sanic.SanicIntegration")
    app = Sanic("shop", log_config={"version": 1})

    @app.get("/")
    async def empty(request: Request) -> HTTPResponse:
        handled()
        return HTTPResponse()

    if variant == "ours":
        interceptor("sanic")(app, **options())
    return lambda port: app.run("127.0.0.1", port, single_process=True, motd=False, access_log=False)


def tornado(variant: str) -> Any:
    import asyncio

    from tornado.web import Application, RequestHandler

    if variant == "sentry":
        sentry("tornado.TornadoIntegration")
    if variant == "otel":
        instrument("tornado", "TornadoInstrumentor")

    class Empty(RequestHandler):
        async def get(self) -> None:
            handled()

    app = Application([("/", Empty)])
    if variant == "ours":
        interceptor("tornado")(app, **options())

    async def serve(port: int) -> None:
        app.listen(port, "127.0.0.1")
        await asyncio.Event().wait()

    return lambda port: asyncio.run(serve(port))


def robyn(variant: str) -> Any:
    from robyn import Robyn

    app = Robyn(__file__)
    app.config.disable_openapi = True
    if variant == "ours":
        interceptor("robyn")(app, **options())

    @app.get("/")
    async def empty() -> str:
        handled()
        return ""

    return lambda port: app.start("127.0.0.1", port)


def grpc(variant: str) -> Any:
    from concurrent.futures import ThreadPoolExecutor

    import grpc as package

    if variant == "sentry":
        sentry("grpc.GRPCIntegration")
    if variant == "otel":
        instrument("grpc", "GrpcInstrumentorServer")

    def empty(request: bytes, context: Any) -> bytes:
        handled()
        return b""

    interceptors = [interceptor("grpc")(**options())] if variant == "ours" else []
    server = package.server(ThreadPoolExecutor(1), interceptors=interceptors)
    methods = {"Empty": package.unary_unary_rpc_method_handler(empty)}
    server.add_generic_rpc_handlers([package.method_handlers_generic_handler("shop.Shop", methods)])

    def serve(port: int) -> None:
        server.add_insecure_port(f"127.0.0.1:{port}")
        server.start()
        server.wait_for_termination()

    return serve


# -- GraphQL, behind a framework's interceptor ----------------------------------------


def strawberry(variant: str) -> Any:
    import strawberry as package
    from starlette.applications import Starlette
    from strawberry.asgi import GraphQL

    extensions: list[Any] = []
    if variant == "ours":
        extensions.append(interceptor("strawberry")(**options()))
    if variant == "sentry":
        from sentry_sdk.integrations.strawberry import StrawberryIntegration

        sentry("starlette.StarletteIntegration", more=[StrawberryIntegration(async_execution=True)])
    app = Starlette()
    if variant == "ours":
        app.add_middleware(interceptor("starlette"), **options())
    if variant == "otel":
        from opentelemetry.instrumentation.starlette import StarletteInstrumentor
        from strawberry.extensions.tracing import OpenTelemetryExtension

        StarletteInstrumentor.instrument_app(app, tracer_provider=tracer())
        extensions.append(OpenTelemetryExtension)

    def empty() -> str:
        handled()
        return ""

    query = package.type(type("Query", (), {"empty": package.field(resolver=empty)}))
    app.add_route("/", GraphQL(package.Schema(query, extensions=extensions)))
    return app


def graphene(variant: str) -> Any:
    from flask import Flask

    if variant == "sentry":
        sentry("flask.FlaskIntegration", "graphene.GrapheneIntegration")
    import graphene as package

    def empty(*_: Any) -> str:
        handled()
        return ""

    query = type("Query", (package.ObjectType,), {"empty": package.String(), "resolve_empty": empty})
    schema = package.Schema(query)
    app = Flask("shop")
    middleware: list[Any] = []
    if variant == "ours":
        interceptor("flask")(app, **options())
        middleware.append(interceptor("graphql")(**options()))
    if variant == "otel":
        from opentelemetry.instrumentation.flask import FlaskInstrumentor

        FlaskInstrumentor().instrument_app(app, tracer_provider=tracer())

    def answer() -> dict[str, Any]:
        found = schema.execute("{ empty }", middleware=middleware)
        assert not found.errors
        return {"data": found.data}

    app.add_url_rule("/", view_func=answer)
    return app


APPS: dict[str, EmptyApp] = {
    "asgi": EmptyApp(asgi, "asgi", _SENTRY_ASGI, _OTEL_ASGI, requires="hogline"),
    "starlette": EmptyApp(starlette, "asgi"),
    "fastapi": EmptyApp(fastapi, "asgi"),
    "litestar": EmptyApp(litestar, "asgi", otel="its OpenTelemetry plugin"),
    "quart": EmptyApp(quart, "asgi", otel=_OTEL_ASGI),
    "blacksheep": EmptyApp(blacksheep, "asgi", _SENTRY_ASGI, _OTEL_ASGI),
    "connexion": EmptyApp(connexion, "asgi", _SENTRY_ASGI, _OTEL_ASGI),
    "channels": EmptyApp(channels, "asgi", _SENTRY_ASGI, _OTEL_ASGI),
    "wsgi": EmptyApp(wsgi, "wsgi", "Sentry's WSGI middleware", _OTEL_WSGI, requires="hogline"),
    "flask": EmptyApp(flask, "wsgi"),
    "django": EmptyApp(django, "wsgi"),
    "django-asgi": EmptyApp(django_asgi, "asgi", requires="django"),
    "django-rest": EmptyApp(django_rest, "wsgi", requires="rest_framework"),
    "django-ninja": EmptyApp(django_ninja, "wsgi", requires="ninja"),
    "falcon": EmptyApp(falcon, "wsgi"),
    "falcon-asgi": EmptyApp(falcon_asgi, "asgi", _SENTRY_ASGI, _OTEL_ASGI, requires="falcon"),
    "bottle": EmptyApp(bottle, "wsgi", otel=_OTEL_WSGI),
    "pyramid": EmptyApp(pyramid, "wsgi"),
    "aiohttp": EmptyApp(aiohttp, "own"),
    "tornado": EmptyApp(tornado, "own"),
    "sanic": EmptyApp(sanic, "own", otel=None),
    "robyn": EmptyApp(robyn, "own", None, None),
    "grpc": EmptyApp(grpc, "grpc"),
    "strawberry": EmptyApp(
        strawberry, "asgi", otel="OpenTelemetry's instrumentation and Strawberry's extension", query="query=%7Bempty%7D"
    ),
    "graphene": EmptyApp(graphene, "wsgi", otel="OpenTelemetry's instrumentation of Flask"),
}
