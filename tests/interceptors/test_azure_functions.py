"""Function apps are called as Azure's worker calls them.

The library builds the app; the requests and responses are Azure's own.
"""

import asyncio
import runpy
from inspect import iscoroutinefunction, signature

import pytest
from fastapi import FastAPI
from fastapi import Request as FastApiRequest
from flask import Flask
from starlette.background import BackgroundTask
from starlette.exceptions import HTTPException
from starlette.responses import StreamingResponse

import hogline
from hogline import PostHog
from hogline.interceptors import azure_functions, fastapi
from hogline.interceptors import flask as flask_interceptor
from tests.support.servers import ROOT
from tests.support.serving import VISITOR
from tests.support.sink import exception_of, names, person_of

func = pytest.importorskip("azure.functions")

URL = "https://shop.example/api/items/caf%C3%A9?token=s3cret"
FORWARDED = {**VISITOR, "X-Forwarded-For": "203.0.113.9:443"}


@pytest.fixture
def posthog(sink):
    client = PostHog("phc_test", host=sink.url, flush_interval=3600)
    yield client
    client.shutdown(5)


@pytest.fixture
def intercepted(posthog):
    return azure_functions.PostHogInterceptor(client=posthog, capture_exceptions=True)


class Context(func.Context):
    """The context that the worker hands to a function that requests it.

    The library defines only its interface.
    """

    invocation_id = "invocation-1"
    function_name = "main"
    function_directory = "/home/site/wwwroot"
    thread_local_storage = trace_context = retry_context = None


def request(url=URL, headers=None):
    return func.HttpRequest("GET", url, headers=FORWARDED if headers is None else headers, body=b"")


def called(app, **given):
    """Call the one function of *app* as a worker does.

    The arguments are named by the bindings, in the order in which the host sent them.
    """
    app.functions_bindings = {}  # where it remembers that it was asked before
    [found] = app.get_functions()
    function = found.get_user_function()
    wanted = signature(function).parameters
    bound = {**given, "context": Context()}
    answer = function(**{name: value for name, value in bound.items() if name in wanted})
    return asyncio.run(answer) if iscoroutinefunction(function) else answer


async def iter_nothing():
    for nothing in ():
        yield nothing


class TestRequests:
    @pytest.mark.parametrize("asynchronous", [False, True])
    @pytest.mark.parametrize("before", [False, True])
    def test_an_http_trigger_is_a_request(self, posthog, intercepted, sink, asynchronous, before):
        """A `def` stays a `def`, and an `async def` stays an `async def`.

        The host may send other bindings before the request or after it.
        """
        app = func.FunctionApp()

        def answer(req):
            posthog.capture("captured")
            posthog.capture_exception(LookupError("by hand"))
            return func.HttpResponse("sorry", status_code=503)

        if asynchronous:

            @intercepted
            async def main(req: func.HttpRequest, blob: func.InputStream, context: func.Context):
                await asyncio.sleep(0)
                return answer(req)

        else:

            @intercepted
            def main(req: func.HttpRequest, blob: func.InputStream, context: func.Context):
                return answer(req)

        bound = app.blob_input("blob", path="carts/1", connection="storage")(main)
        app.route("items/{name}")(bound)
        given = {"req": request(), "blob": func.blob.InputStream(data=b"x", name="carts/1")}
        response = called(app, **(dict(reversed(given.items())) if before else given))
        assert (response.status_code, response.get_body()) == (503, b"sorry")
        captured, failure = sink.events
        expected = {
            "$session_id": "session-a",
            "$window_id": "window-a",
            "$current_url": "https://shop.example/api/items/caf%C3%A9?token=redacted",
            "$request_method": "GET",
            "$request_path": "/api/items/caf\u00e9",
            "$ip": "203.0.113.9",
        }
        assert {name: captured.properties.get(name) for name in expected} == expected
        assert {person_of(event) for event in sink.events} == {"alice"}
        assert failure.properties["$exception_list"][0]["mechanism"]["handled"] is True
        assert hogline.get_context_distinct_id() is None

    @pytest.mark.parametrize("error", [ValueError("x"), HTTPException(404)])
    def test_what_leaves_the_function_is_a_500(self, intercepted, sink, error):
        """Azure answers no framework's HTTP exceptions."""
        app = func.FunctionApp()

        @app.route("items")
        @intercepted
        def main(req: func.HttpRequest) -> func.HttpResponse:
            raise error

        with pytest.raises(type(error)) as caught:
            called(app, req=request())
        assert caught.value is error
        assert [exception_of(event)[1:] for event in sink.events] == [(False, 500)]
        assert person_of(sink.events[0]) == "alice"

    def test_callbacks_get_the_request(self, posthog, sink):
        """Callbacks may be asynchronous where the function is."""
        app = func.FunctionApp()

        async def user(req):
            await asyncio.sleep(0)
            return req.headers["x-ms-client-principal-id"]

        @app.route("items")
        @azure_functions.PostHogInterceptor(
            client=posthog, distinct_id=user, properties=lambda req: {"name": req.route_params["name"]}
        )
        async def main(req: func.HttpRequest):
            posthog.capture("captured")

        req = func.HttpRequest(
            "GET", URL, headers={"X-MS-CLIENT-PRINCIPAL-ID": "user-7"}, route_params={"name": "cafe"}, body=b""
        )
        called(app, req=req)
        assert [(event.distinct_id, event.properties["name"]) for event in sink.events] == [("user-7", "cafe")]

    def test_a_streamed_answer_belongs_to_the_visitor(self, posthog, intercepted, sink):
        """Azure's extension for streams hands over Starlette's requests, and takes its
        responses.
        """
        sent = []

        async def letters():
            for letter in "ab":
                posthog.capture(f"streamed {letter}")
                yield letter

        @intercepted
        async def main(req: FastApiRequest):
            return StreamingResponse(letters(), background=BackgroundTask(posthog.capture, "background"))

        async def send(message):
            sent.append(message)

        async def serve():
            headers = [(name.lower().encode(), value.encode()) for name, value in FORWARDED.items()]
            server = {"scheme": "https", "server": ("shop.example", 443), "path": "/api/x", "query_string": b""}
            scope = {"type": "http", "method": "GET", "headers": headers, "asgi": {"spec_version": "2.4"}, **server}
            response = await main(req=FastApiRequest(scope))
            assert hogline.get_context_distinct_id() is None
            await response(scope, None, send)

        asyncio.run(serve())
        assert b"".join(message.get("body", b"") for message in sent) == b"ab"
        assert names(sink.events) == ["streamed a", "streamed b", "background"]
        assert {person_of(event) for event in sink.events} == {"alice"}
        assert {event.properties["$current_url"] for event in sink.events} == {"https://shop.example/api/x"}

    @pytest.mark.parametrize("made", [None, iter_nothing()])
    def test_an_answer_that_cannot_be_held_goes_out_as_it_is(self, posthog, intercepted, sink, made):
        """An object that looks like a stream, but cannot be wrapped, is returned unchanged.

        The captured events are sent all the same.
        """

        class Sealed:
            status_code, background = 200, None
            body_iterator = property(lambda self: made)

        @intercepted
        def main(req):
            posthog.capture("captured")
            return sealed

        sealed = Sealed()
        assert main(req=request()) is sealed
        assert names(sink.events) == ["captured"]
        assert hogline.get_context_distinct_id() is None


@pytest.mark.parametrize("kind", ["timer", "queue"])
def test_what_is_no_request_has_nothing_of_one(posthog, intercepted, sink, kind):
    """Timers and messages: nobody acts; an error is one event."""
    app = func.FunctionApp()

    @intercepted
    def main(given, context: func.Context):
        posthog.capture("captured")
        raise ValueError

    if kind == "timer":
        app.timer_trigger(schedule="0 * * * * *", arg_name="given")(main)
        given = func.timer.TimerRequest(past_due=False)
    else:
        app.queue_trigger(arg_name="given", queue_name="orders", connection="storage")(main)
        given = func.queue.QueueMessage(body=b"{}")
    with pytest.raises(ValueError):
        called(app, given=given)
    assert names(sink.events) == ["captured", "$exception"]
    assert exception_of(sink.events[1]) == ("ValueError", False, 500)
    for event in sink.events:
        assert person_of(event) is None
        assert not {"$request_path", "$request_method", "$current_url", "$ip"} & event.properties.keys()


class TestApps:
    """A framework's app on Azure: its own interceptor inside, ours around the handler to send
    before it returns.
    """

    @pytest.mark.parametrize("whole", [False, True])
    def test_an_asgi_app(self, posthog, sink, whole):
        """This holds for `AsgiMiddleware` in a function of the app's own, and for an
        `AsgiFunctionApp`.

        The latter has no place for a decorator.
        """
        inner = FastAPI()
        inner.add_middleware(fastapi.PostHogInterceptor, client=posthog, capture_exceptions=True)

        @inner.get("/api/items/{name}")
        async def view(name: str):
            posthog.capture("captured")
            raise ValueError(name)

        if whole:
            app = func.AsgiFunctionApp(inner)
        else:
            app, middleware = func.FunctionApp(), func.AsgiMiddleware(inner)

            @app.route("{*route}")
            @azure_functions.PostHogInterceptor(client=posthog)
            async def main(req: func.HttpRequest, context: func.Context):
                return await middleware.handle_async(req, context)

        with pytest.raises(ValueError):
            called(app, req=request())
        if whole:
            app.startup_task_done = False  # or it asks its app to end when it is collected, on a loop of its own
            posthog.flush()
        captured, failure = sink.events
        assert captured.properties["$request_route"] == failure.properties["$request_route"] == "/api/items/{name}"
        assert captured.properties["$current_url"] == "https://shop.example/api/items/caf%C3%A9?token=redacted"
        assert exception_of(failure) == ("ValueError", False, 500)
        assert {(person_of(event), event.properties["$ip"]) for event in sink.events} == {("alice", "203.0.113.9")}

    def test_a_wsgi_app(self, posthog, sink):
        """`WsgiMiddleware` raises an exception of its own for a 5xx, which is no second mistake."""
        inner = Flask("shop")
        inner.logger.disabled = True
        flask_interceptor.PostHogInterceptor(inner, client=posthog, capture_exceptions=True)

        @inner.get("/api/items/<name>")
        def view(name):
            posthog.capture("captured")
            raise ValueError(name)

        app, middleware = func.FunctionApp(), func.WsgiMiddleware(inner.wsgi_app)

        @app.route("{*route}")
        @azure_functions.PostHogInterceptor(client=posthog)
        def main(req: func.HttpRequest, context: func.Context):
            return middleware.handle(req, context)

        with pytest.raises(Exception, match="Internal Server Error"):
            called(app, req=request())
        captured, failure = sink.events
        assert captured.properties["$request_route"] == failure.properties["$request_route"] == "/api/items/<name>"
        assert exception_of(failure) == ("ValueError", False, 500)
        assert {(person_of(event), event.properties["$ip"]) for event in sink.events} == {("alice", "203.0.113.9")}


def test_the_example_sends_what_its_page_promises(sink, monkeypatch):
    """One event with the browser's session, one exception."""
    monkeypatch.setenv("HOGLINE_PROJECT_TOKEN", "phc_example")
    monkeypatch.setenv("HOGLINE_HOST", sink.url)
    example = runpy.run_path(str(ROOT / "examples/azure_function.py"))
    assert called(example["app"], req=request()).get_body() == b"ok"
    with pytest.raises(RuntimeError):
        called(example["app"], req=func.HttpRequest("GET", URL, headers=VISITOR, params={"broken": "1"}, body=b""))
    example["posthog"].shutdown(5)
    first, failure = sink.events
    assert (first.event, exception_of(failure)) == ("checkout", ("RuntimeError", False, 500))
    assert {event.properties["$session_id"] for event in sink.events} == {"session-a"}
