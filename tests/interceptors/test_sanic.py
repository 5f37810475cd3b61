"""These tests show the promises that are special to Sanic.

They cover one context for a connection, reported cancellations, a router's 404, and workers.
"""

import asyncio
import http.client
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import asynccontextmanager

import pytest
from sanic import Sanic
from sanic.exceptions import ServiceUnavailable
from sanic.response import text

import hogline
from hogline.interceptors.sanic import PostHogInterceptor
from tests.support.behaviours import shows
from tests.support.servers import ROOT
from tests.support.serving import VISITOR, now, serving_own
from tests.support.sink import exception_of, person_of

ASK = "GET {} HTTP/1.1\r\nHost: shop.example\r\n{}\r\n"


class DomainError(Exception):
    """A domain error that a registered handler answers with 507."""


@pytest.fixture
def app(request):
    Sanic._app_registry.clear()
    application = Sanic("shop", log_config={"version": 1, "disable_existing_loggers": False})
    application.config.TOUCHUP = False  # it rewrites Sanic's own classes, which can be done once in a process
    application.config.ACCESS_LOG = False
    return application


@pytest.fixture
def serve(app, posthog, sink):
    """Return a context manager that serves *app* behind an interceptor with the options given."""

    def serve(**options):
        PostHogInterceptor(app, client=posthog, **(options or {"capture_exceptions": True}))

        @asynccontextmanager
        async def start():
            listening = socket.create_server(("127.0.0.1", 0))
            server = await app.create_server(sock=listening, return_asyncio_server=True, access_log=False)
            await server.startup()
            await server.before_start()
            await server.start_serving()
            try:
                yield listening.getsockname()[1]
            finally:
                server.close()
                await server.before_stop()
                await server.after_stop()
                listening.close()

        return serving_own(start, posthog, sink)

    return serve


class TestConnections:
    @shows("no-leak-on-connection")
    def test_nothing_of_the_last_request_is_left_for_what_cannot_be_read(self, app, serve, posthog):
        """The second request of a connection has no readable head.

        Events of its error handler are nobody's.
        """
        seen = []

        @app.get("/")
        async def view(request):
            return text("ok")

        @app.exception(Exception)
        async def sorry(request, error):
            seen.append(now())
            posthog.capture("sorry")
            return text("sorry", 400)

        visitor = "".join(f"{name}: {value}\r\n" for name, value in VISITOR.items())
        with serve() as site, socket.create_connection(("127.0.0.1", site.port), timeout=20) as connection:
            connection.sendall(ASK.format("/", visitor).encode())
            assert b"200 OK" in connection.recv(65536)
            connection.sendall(b"NONSENSE\r\n\r\n")
            connection.recv(65536)
            events = site.wait_for(1)
        assert seen == [None]
        assert [(event.event, person_of(event)) for event in events] == [("sorry", None)]

    def test_a_request_is_over_when_its_response_is(self, app, serve, posthog):
        """Rule `no-token-reset`: between two requests, and after the last, the connection's context
        is empty.
        """
        seen = []

        @app.get("/")
        async def view(request):
            hogline.tag("colour", "red")
            return text("ok")

        @app.signal("http.lifecycle.complete")
        async def complete(**_):
            seen.append(now())

        with serve() as site:
            assert site.get("/", VISITOR).status == 200
            site._sink.wait_until(lambda: seen)
        assert seen == [None]

    def test_the_apps_own_receivers_run_within_the_request(self, app, serve, posthog):
        """This holds for the app's own signals, registered before ours and after, first and last
        ones.
        """

        def register(word):
            for event in ("http.lifecycle.request", "http.routing.after", "http.lifecycle.response"):

                @app.signal(event)
                async def receive(event=event, **_):
                    posthog.capture(f"{word} {event}")

        @app.get("/")
        async def view(request):
            return text("ok")

        register("before")
        with serve() as site:
            assert site.get("/", VISITOR).status == 200
            events = site.wait_for(3)
        assert {person_of(event) for event in events} == {"alice"}

    @shows("context-everywhere")
    def test_middleware_and_handlers_belong_to_the_visitor(self, app, serve, posthog):
        """Request and response middleware, and synchronous handlers.

        The template has no concrete id.
        """

        @app.on_request
        async def first(request):
            posthog.capture("first")

        @app.on_response
        async def last(request, response):
            posthog.capture("last")

        @app.get("/things/<number:int>")
        def view(request, number):
            posthog.capture("view")
            return text("ok")

        with serve() as site:
            assert site.get("/things/7", VISITOR).status == 200
            events = site.wait_for(3)
        assert [event.event for event in events] == ["first", "view", "last"]
        assert {(person_of(event), event.properties["$request_route"]) for event in events} == {
            ("alice", "/things/<number:int>")
        }


class TestExceptions:
    @shows("http-error-below-threshold", "route-template")
    def test_a_routers_404_has_the_visitor_and_no_template(self, app, serve, posthog):
        """On a 404 the request middleware runs after the exception.

        Context does not depend on it.
        """

        @app.exception(Exception)
        async def nowhere(request, error):
            posthog.capture("nowhere")
            return text("nowhere", 404)

        @app.get("/")
        async def view(request):
            return text("ok")

        with serve() as site:
            assert site.get("/nowhere", VISITOR).status == 404
            [event] = site.wait_for(1)
        assert (event.event, person_of(event), "$request_route" in event.properties) == ("nowhere", "alice", False)

    @shows("registered-handlers")
    def test_a_registered_handler_counts_and_a_page_for_everything_does_not(self, app, serve):
        """The exception is judged by the class that the handler is registered for, also once Sanic
        has cached it.
        """

        @app.exception(DomainError)
        async def handled(request, error):
            return text("handled", 507)

        @app.exception(Exception)
        async def sorry(request, error):
            return text("sorry", 503)

        @app.get("/<name>")
        async def view(request, name):
            raise {"domain": DomainError(), "plain": ValueError(), "busy": ServiceUnavailable("no")}[name]

        with serve() as site:
            for _ in range(2):
                assert [site.get(f"/{name}").status for name in ("domain", "plain", "busy")] == [507, 503, 503]
            events = site.wait_for(6)
        assert [exception_of(event) for event in events] == [
            ("DomainError", True, 507), ("ValueError", False, 503), ("ServiceUnavailable", True, 503),
        ] * 2  # fmt: skip

    @shows("django-uncaught")
    def test_request_middleware_that_fails_is_an_event(self, app, serve):
        """Exceptions of request middleware are events.

        Sanic only logs those of response middleware, and sends the answer unchanged.
        """

        @app.on_request
        async def fail(request):
            raise ValueError("first")

        @app.get("/<name>")
        async def view(request, name):
            return text("ok")

        with serve() as site:
            assert site.get("/x").status == 500
            assert [exception_of(event) for event in site.wait_for(1)] == [("ValueError", False, 500)]

    @shows("sanic-streams", "cancellation")
    def test_a_client_that_left_is_no_mistake(self, app, serve, sink):
        """Sanic reports RequestCancelled, and builds a 500 of it."""
        over = []

        @app.get("/")
        async def view(request):
            try:
                await asyncio.sleep(30)
            finally:
                over.append(now())

        with serve() as site:
            with site.connect("/", VISITOR):
                time.sleep(0.3)
            sink.wait_until(lambda: over)
            assert site.get("/nowhere").status == 404
            assert site.events == []
        assert over == ["alice"]


@shows("stacked-interceptors")
def test_a_second_interceptor_is_ignored_and_says_so(app, posthog, caplog):
    """init_app twice."""
    PostHogInterceptor(app, client=posthog)
    PostHogInterceptor(client=posthog).init_app(app)
    assert "has an interceptor already" in caplog.text


@shows("sigterm-others")
def test_a_worker_process_sends_what_waits(sink, tmp_path):
    """Sanic's own processes, with its rewritten classes.

    They end without Python's exit handlers.
    """
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    (tmp_path / "shop.py").write_text(_SHOP.format(url=sink.url, port=port))
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen([sys.executable, "shop.py"], cwd=tmp_path, env=_environ(), stdout=log, stderr=log)
    try:
        sink.wait_until(lambda: (tmp_path / "ready").exists() or process.poll() is not None, 60)
        assert _ask(port, "/capture").startswith(b"HTTP/1.1 200")
        assert _ask(port, "/error").startswith(b"HTTP/1.1 500")
        assert sink.events == []
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0
    finally:
        process.kill()
        process.wait(20)
    assert sorted(event.event for event in sink.events) == ["$exception", "captured"], (tmp_path / "log").read_text()


# A worker may answer before Sanic's manager has seen that it does; one that is asked to end within
# that tenth of a second takes its own notice of the end for a worker's message, sends it to itself,
# and so on for ever (`WorkerManager.wait_for_ack`).
_SHOP = """
from pathlib import Path
from sanic import Sanic
from sanic.response import text
from hogline import PostHog
from hogline.interceptors.sanic import PostHogInterceptor

posthog = PostHog("phc_test", host="{url}", flush_interval=3600.0)
app = Sanic("shop")
PostHogInterceptor(app, client=posthog, capture_exceptions=True)

@app.get("/capture")
async def capture(request):
    posthog.capture("captured")
    return text("ok")

@app.get("/error")
async def error(request):
    raise ValueError("x")

@app.main_process_ready
async def ready(app, _):
    wait = app.manager.wait_for_ack

    def waited():
        wait()
        Path("ready").touch()

    app.manager.wait_for_ack = waited

if __name__ == "__main__":
    app.run("127.0.0.1", {port}, workers=1, access_log=False, motd=False)
"""


def _environ():
    # Sanic says in the environment what it is to be, and the other tests' apps said it of this
    # process.
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("SANIC_")}
    return {**inherited, "PYTHONPATH": str(ROOT)}


def _ask(port, path):
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        connection.sendall(ASK.format(path, "Connection: close\r\n").encode())
        return connection.recv(65536)


def test_a_preflight_that_does_not_allow_tracing_headers_is_told_about(app, serve, caplog):
    """Once, with Sanic's own setting."""

    @app.options("/cart")
    async def cart(request):
        return text("", headers={"Access-Control-Allow-Headers": "content-type"})

    with serve() as site:
        for _ in range(2):
            connection = http.client.HTTPConnection("127.0.0.1", site.port, timeout=20)
            connection.request("OPTIONS", "/cart", headers={"Access-Control-Request-Headers": "x-posthog-session-id"})
            connection.getresponse().read()
            connection.close()
    [line] = [record.getMessage() for record in caplog.records if record.name == "hogline"]
    assert "does not allow x-posthog-session-id" in line
    assert "app.config.CORS_ALLOW_HEADERS" in line
