"""A browser sends a preflight before it sends tracing headers to another origin.

An app that does not allow them is told which line is missing.
"""

import http.client
import logging
from contextlib import asynccontextmanager

import pytest
from aiohttp import web
from fastapi import FastAPI
from flask import Flask
from starlette.middleware.cors import CORSMiddleware
from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.web import Application, RequestHandler

from hogline.interceptors import aiohttp, asgi, fastapi, flask, tornado, wsgi
from tests.interceptors.test_asgi import call
from tests.support.serving import serving, serving_asgi, serving_own

NAMES = ["x-posthog-session-id", "x-posthog-window-id", "x-posthog-distinct-id"]
ORIGIN = "https://shop.example"


def on_fastapi(posthog, allowed):
    app = FastAPI()
    app.add_middleware(CORSMiddleware, allow_origins=[ORIGIN], allow_headers=allowed)
    app.add_middleware(fastapi.PostHogInterceptor, client=posthog)
    return app, serving_asgi


def on_asgi(posthog, allowed):
    async def app(scope, receive, send):
        headers = [(b"access-control-allow-headers", ", ".join(allowed).encode())] if allowed is not None else []
        await send({"type": "http.response.start", "status": 204, "headers": headers})
        await send({"type": "http.response.body", "body": b""})

    return asgi.PostHogInterceptor(app, client=posthog), serving_asgi


def on_flask(posthog, allowed):
    app = Flask("shop")

    @app.after_request
    def allow(response):
        if allowed is not None:
            response.headers["Access-Control-Allow-Origin"] = ORIGIN
            response.headers["Access-Control-Allow-Headers"] = ", ".join(allowed)
        return response

    app.add_url_rule("/cart", view_func=lambda: "cart")
    flask.PostHogInterceptor(app, client=posthog, capture_exceptions=True)
    return app, serving


def on_wsgi(posthog, allowed):
    def app(environ, start_response):
        headers = [("Access-Control-Allow-Headers", ", ".join(allowed))] if allowed is not None else []
        start_response("204 No Content", headers)
        return [b""]

    return wsgi.PostHogInterceptor(app, client=posthog), serving


def on_aiohttp(posthog, allowed):
    async def cart(request):
        return web.Response(headers={"Access-Control-Allow-Headers": ", ".join(allowed)} if allowed is not None else {})

    @asynccontextmanager
    async def start():
        app = web.Application(middlewares=[aiohttp.PostHogInterceptor(client=posthog)])
        app.router.add_options("/cart", cart)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            yield runner.addresses[0][1]
        finally:
            await runner.cleanup()

    return start, serving_own


def on_tornado(posthog, allowed):
    class Cart(RequestHandler):
        def options(self):
            if allowed is not None:
                self.set_header("Access-Control-Allow-Headers", ", ".join(allowed))

    @asynccontextmanager
    async def start():
        application = Application([("/cart", Cart)], log_function=lambda handler: None)
        tornado.PostHogInterceptor(application, client=posthog)
        server, sockets = HTTPServer(application), bind_sockets(0, "127.0.0.1")
        server.add_sockets(sockets)
        try:
            yield sockets[0].getsockname()[1]
        finally:
            server.stop()
            await server.close_all_connections()

    return start, serving_own


HINTS = {
    on_fastapi: 'app.add_middleware(CORSMiddleware, ..., allow_headers=[..., "x-posthog-session-id"',
    on_asgi: "Access-Control-Allow-Headers: x-posthog-session-id",
    on_flask: 'CORS(app, allow_headers=[..., "x-posthog-session-id"',
    on_aiohttp: 'aiohttp_cors.ResourceOptions(allow_headers=[..., "x-posthog-session-id"',
    on_tornado: "Access-Control-Allow-Headers: x-posthog-session-id",
    on_wsgi: "Access-Control-Allow-Headers: x-posthog-session-id",
}


@pytest.fixture
def lines(caplog):
    caplog.set_level(logging.WARNING, "hogline")
    return lambda: [record.getMessage() for record in caplog.records if record.name == "hogline"]


def preflight(site, asked):
    connection = http.client.HTTPConnection("127.0.0.1", site.port, timeout=20)
    headers = {"Origin": ORIGIN, "Access-Control-Request-Method": "GET", "Access-Control-Request-Headers": asked}
    connection.request("OPTIONS", "/cart", headers=headers)
    answer = connection.getresponse()
    answer.read()
    connection.close()
    return answer.status


@pytest.mark.parametrize("build", HINTS, ids=lambda build: build.__name__)
def test_headers_that_cors_does_not_allow_are_named_once_with_the_line_to_add(build, posthog, sink, lines):
    """The log names the refused headers, the origin, and the framework's own way to allow them."""
    app, serve = build(posthog, ["content-type", NAMES[1]])
    with serve(app, posthog, sink) as site:
        for _ in range(3):
            preflight(site, f"content-type, {', '.join(NAMES)}")
    [line] = lines()
    assert f"from {ORIGIN} does not allow {NAMES[0]}, {NAMES[2]}," in line
    assert HINTS[build] in line


@pytest.mark.parametrize("build", HINTS, ids=lambda build: build.__name__)
def test_nothing_is_said_where_nothing_is_wrong(build, posthog, sink, lines):
    """All allowed, however they are spelled; others asked for; all allowed by a star."""
    app, serve = build(posthog, [name.upper() for name in NAMES])
    with serve(app, posthog, sink) as site:
        preflight(site, ", ".join(NAMES))
        preflight(site, "authorization")
    app, serve = build(posthog, ["*"])
    with serve(app, posthog, sink) as site:
        preflight(site, ", ".join(NAMES))
    assert lines() == []


@pytest.mark.parametrize(
    "build", [on_asgi, on_flask, on_wsgi, on_aiohttp, on_tornado], ids=lambda build: build.__name__
)
def test_an_app_without_cors_is_left_alone(build, posthog, sink, lines):
    """It answers no other origin, whatever a browser would like to send."""
    app, serve = build(posthog, None)
    with serve(app, posthog, sink) as site:
        preflight(site, ", ".join(NAMES))
    assert lines() == []


@pytest.mark.parametrize("kind", [list, tuple, iter], ids=["list", "tuple", "generator"])
def test_the_answer_keeps_its_headers_however_they_are_given(kind, posthog, sink, lines):
    """ASGI allows any iterable; one that can be read once is read by the server too."""
    given = [(b"access-control-allow-headers", b"content-type"), (b"x-own", b"kept")]

    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 204, "headers": kind(given)})
        await send({"type": "http.response.body", "body": b""})

    asked = [(b"access-control-request-headers", NAMES[0].encode()), (b"origin", ORIGIN.encode())]
    scope = {"type": "http", "method": "OPTIONS", "path": "/cart", "headers": asked}
    start, _ = call(asgi.PostHogInterceptor(app, client=posthog), scope)
    assert list(start["headers"]) == given
    assert len(lines()) == 1
