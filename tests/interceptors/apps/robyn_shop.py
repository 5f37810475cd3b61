"""A shop on Robyn, for Robyn's own tests.

It has the parts that the contract has no place for, such as sub-routers and the app's own shutdown.
"""

import asyncio
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any

from robyn import Request, Response, Robyn, StreamingResponse, SubRouter

import hogline
from hogline.interceptors.robyn import PostHogInterceptor
from tests.interceptors.apps.contract import boom, chunks, make_client, say

client = make_client()
app = Robyn(__file__)
app.config.disable_openapi = True
_options: dict[str, Any] = {
    "capture_exceptions": True,
    "distinct_id": lambda request: request.headers.get("x-user"),
    "properties": lambda request: {"asked": request.method},
    "request_filter": lambda request: request.headers.get("x-filter") != "out",
}
interceptor = PostHogInterceptor(app, client=client, **_options)
waiting: set[asyncio.Task[None]] = set()


def _rid(request: Request) -> str:
    return request.query_params.get("rid", "")


@app.get("/-/pid")
async def ready() -> str:
    return "ready"


@app.get("/-/flush")
def flush() -> str:
    return "flushed" if client.flush(20) else "not flushed"


@app.get("/items/:item_id")
async def item(request: Request) -> str:
    say(client, "captured", _rid(request))
    return "item"


@app.get("/sync")
def sync(request: Request) -> str:
    assert threading.current_thread() is not threading.main_thread()
    say(client, "captured", _rid(request))
    return "ok"


@app.get("/who")
async def who() -> str:
    return hogline.get_context_distinct_id() or "-"


@app.get("/slow")
async def slow(request: Request) -> str:
    await asyncio.sleep(int(request.query_params.get("delay_ms", "1")) / 1000)
    say(client, "captured", _rid(request))
    return _rid(request)


@app.get("/task")
async def task(request: Request) -> str:
    rid = _rid(request)

    async def later() -> None:
        await asyncio.sleep(0.2)
        say(client, "later", rid)

    started = asyncio.create_task(later())
    waiting.add(started)
    started.add_done_callback(waiting.discard)
    return "ok"


@app.get("/stream")
def stream(request: Request) -> StreamingResponse:
    def body() -> Iterator[str]:
        for chunk in chunks(client, _rid(request)):
            yield chunk.decode()

    return StreamingResponse(body(), media_type="text/plain")


@app.get("/stream-async")
async def stream_async(request: Request) -> StreamingResponse:
    async def body() -> AsyncIterator[str]:
        for chunk in chunks(client, _rid(request)):
            yield chunk.decode()

    return StreamingResponse(body(), media_type="text/plain")


@app.get("/stream-error")
def stream_error(request: Request) -> StreamingResponse:
    def body() -> Iterator[str]:
        yield "a"
        raise ValueError(boom(_rid(request)))

    return StreamingResponse(body(), media_type="text/plain")


@app.get("/error")
async def error(request: Request) -> str:
    raise ValueError(boom(_rid(request)))


@app.get("/error-sync")
def error_sync(request: Request) -> str:
    raise ValueError(boom(_rid(request)))


@app.get("/unwatched")
async def unavailable() -> Response:
    return Response(503, {}, "no")


shop = SubRouter(file_object=__file__, prefix="/shop")  # which old versions want, and new ones ignore
interceptor.watch(shop)


@shop.get("/broken/:name")
async def broken(name: str) -> str:
    raise ValueError(name)


app.include_router(shop)


@app.exception
def handle(error: Exception) -> Response:
    return Response(507, {}, "handled")


@app.get("/handled")
async def handled() -> str:
    raise KeyError("what the app's own handler answers")


@app.shutdown_handler
async def end() -> None:
    """Set after the interceptor's, and run beside it."""
    client.capture("ended", distinct_id="shop", properties={"rid": "end"})


if __name__ == "__main__":
    app.start(host="127.0.0.1", port=int(sys.argv[1]))
