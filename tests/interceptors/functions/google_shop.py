"""Google functions of every kind, as the Functions Framework finds them in a file."""

import asyncio
import os
from dataclasses import dataclass

import flask
import functions_framework
import functions_framework.aio
from starlette.background import BackgroundTask
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, StreamingResponse

import hogline
from hogline import PostHog
from hogline.interceptors.google_functions import PostHogInterceptor

client = PostHog("phc_test", host=os.environ["SINK"], flush_interval=3600)  # nothing leaves by itself within a test
intercepted = PostHogInterceptor(client=client, capture_exceptions=True)


def say(event="captured"):
    client.capture(event, properties={"who": hogline.get_context_distinct_id()})


def letters():
    hogline.tag("colour", "red")
    for letter in "ab":
        say(f"streamed {letter}")
        yield letter
    if flask.has_request_context() and flask.request.path == "/break":
        raise ValueError("broken")


@functions_framework.http
@intercepted
def http(request):
    match request.path:
        case "/plain":
            raise ValueError("plain")
        case "/abort":
            flask.abort(503)
        case "/missing":
            flask.abort(404)
        case "/foreign":
            raise HTTPException(404)
        case "/iterator" | "/break":
            return flask.stream_with_context(letters())
        case "/stream":
            return flask.Response(letters(), 202)
        case "/who":
            return f"{hogline.get_context_distinct_id()} {hogline.get_tags()}"
    say()
    return "ok", "201 CREATED"


@functions_framework.cloud_event
@intercepted
def happened(event):
    say(event["type"])
    if event.data.get("fail"):
        raise ValueError("happened")


@intercepted
def background(data, context):
    say(context.event_type)
    if data.get("fail"):
        raise ValueError("background")


@dataclass
class Order:
    number: int

    @staticmethod
    def from_dict(given):
        return Order(given["number"])

    def to_dict(self):
        return {"number": self.number}


@functions_framework.typed(Order)
@intercepted
def typed(order: Order):
    say()
    if order.number < 0:
        flask.abort(404)
    return order


async def letters_async():
    hogline.tag("colour", "red")
    for letter in "ab":
        say(f"streamed {letter}")
        yield letter
        await asyncio.sleep(0)


@functions_framework.aio.http
@intercepted
async def http_async(request):
    await asyncio.sleep(0)
    match request.url.path:
        case "/plain":
            raise ValueError("plain")
        case "/abort":
            raise HTTPException(503)
        case "/missing":
            raise HTTPException(404)
        case "/foreign":
            flask.abort(404)
        case "/stream":
            return StreamingResponse(letters_async(), 202, background=BackgroundTask(say, "background"))
        case "/task":
            return JSONResponse({}, background=BackgroundTask(say, "background"))
        case "/who":
            return f"{hogline.get_context_distinct_id()} {hogline.get_tags()}"
    say()
    return "ok", 201


@functions_framework.aio.http
@intercepted
def http_threaded(request):
    if request.url.path == "/plain":
        raise ValueError("plain")
    say()
    return {"who": hogline.get_context_distinct_id()}


@functions_framework.aio.cloud_event
@intercepted
async def happened_async(event):
    say(event["type"])
    if event.data.get("fail"):
        raise ValueError("happened")
