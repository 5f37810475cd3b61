"""gRPC servers keep the promises of HTTP frameworks.

Real servers, synchronous and asyncio, are called over sockets.
"""

import asyncio
import gc
import logging
import os
import random
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import grpc.aio
import pytest

import hogline
from hogline import ExceptionCapture
from hogline.interceptors.grpc import STATUS, PostHogInterceptor
from tests.support.behaviours import shows
from tests.support.sink import exception_of, names, person_of

KINDS = ("sync", "aio", "aio-sync")
VISITOR = (
    ("x-posthog-session-id", "session-a"),
    ("x-posthog-distinct-id", "alice"),
    ("x-posthog-window-id", "window-a"),
)


NAMED = {"hang_collect": "hang", "hang_chat": "hang_stream"}  # methods of which it does not matter what comes in
HANGING = {
    "hang": "unary_unary", "hang_stream": "unary_stream", "hang_collect": "stream_unary", "hang_chat": "stream_stream"
}  # fmt: skip


class _Status(grpc.Status):
    code, details, trailing_metadata = grpc.StatusCode.UNAVAILABLE, "sorry", ()


SORRY = _Status()


class Shop:
    """The methods of one service, over one client; messages are bytes."""

    def __init__(self, client):
        self.client = client

    def say(self, event="captured", **properties):
        self.client.capture(event, properties=properties)

    def capture(self, request, context):
        self.say(rid=request.decode())
        return request

    def who(self, request, context):
        return (hogline.get_context_distinct_id() or "-").encode()

    def tag(self, request, context):
        hogline.tag("colour", "red")
        self.say()
        return b""

    def slow(self, request, context):
        time.sleep(random.random() / 30)
        self.say(rid=request.decode())
        return request

    def fail(self, request, context):
        raise ValueError(request.decode())

    def lookalike(self, request, context):
        raise type("UpstreamError", (grpc.RpcError,), {"code": lambda self: grpc.StatusCode.NOT_FOUND})

    def abort(self, request, context):
        context.abort(grpc.StatusCode[request.decode()], "sorry")

    def set_code(self, request, context):
        context.set_code(grpc.StatusCode.INTERNAL)
        return b""

    def stream(self, request, context):
        for letter in "abc":
            self.say("streamed", letter=letter)
            yield letter.encode()

    def stream_fail(self, request, context):
        yield b"a"
        raise ValueError

    def long(self, request, context):
        try:
            for _ in range(2000):
                yield b"x" * 10000
                time.sleep(0.005)
        finally:
            self.say("closed")

    def collect(self, requests, context):
        said = b"".join(requests)
        self.say("collected")
        return said

    def chat(self, requests, context):
        for request in requests:
            self.say("said")
            yield request

    def nothing(self, request, context):
        return None

    def whole(self, request, context):
        return [b"a", b"b"]

    def abort_with_status(self, request, context):
        context.abort_with_status(SORRY)

    def hang(self, request, context):
        over = threading.Event()
        context.add_callback(lambda *_: over.set())
        self.say("begun")
        over.wait(20)
        return b""

    def hang_stream(self, request, context):
        yield self.hang(request, context)

    def fail_stream(self, requests, context):
        next(requests)
        raise ValueError("boom")

    def fail_chat(self, requests, context):
        for request in requests:
            yield request
            raise ValueError("boom")


class AsyncShop(Shop):
    async def nothing(self, request, context):
        return None

    async def whole(self, request, context):
        for letter in b"a", b"b":
            await context.write(letter)

    async def abort_with_status(self, request, context):
        await context.abort_with_status(SORRY)

    async def hang(self, request, context):
        self.say("begun")
        await asyncio.sleep(30)
        return b""

    async def hang_stream(self, request, context):
        yield await self.hang(request, context)

    async def fail_stream(self, requests, context):
        async for _ in requests:
            raise ValueError("boom")

    async def fail_chat(self, requests, context):
        async for request in requests:
            yield request
            raise ValueError("boom")

    async def capture(self, request, context):
        return super().capture(request, context)

    async def who(self, request, context):
        return super().who(request, context)

    async def tag(self, request, context):
        return super().tag(request, context)

    async def slow(self, request, context):
        await asyncio.sleep(random.random() / 30)
        self.say(rid=request.decode())
        return request

    async def fail(self, request, context):
        raise ValueError(request.decode())

    async def lookalike(self, request, context):
        return super().lookalike(request, context)

    async def abort(self, request, context):
        await context.abort(grpc.StatusCode[request.decode()], "sorry")

    async def set_code(self, request, context):
        return super().set_code(request, context)

    async def stream(self, request, context):
        for item in super().stream(request, context):
            yield item
            await asyncio.sleep(0)

    async def stream_fail(self, request, context):
        yield b"a"
        raise ValueError

    async def long(self, request, context):
        try:
            for _ in range(2000):
                yield b"x" * 10000
                await asyncio.sleep(0.005)
        finally:
            self.say("closed")

    async def collect(self, requests, context):
        said = b"".join([request async for request in requests])
        self.say("collected")
        return said

    async def chat(self, requests, context):
        async for request in requests:
            self.say("said")
            yield request


def handlers(shop):
    make = {
        **dict.fromkeys(
            ("capture", "who", "tag", "slow", "fail", "lookalike", "abort", "set_code", "abort_with_status", "hang"),
            grpc.unary_unary_rpc_method_handler,
        ),
        **dict.fromkeys(
            ("stream", "stream_fail", "long", "nothing", "whole", "hang_stream"), grpc.unary_stream_rpc_method_handler
        ),
        **dict.fromkeys(("collect", "fail_stream"), grpc.stream_unary_rpc_method_handler),
        **dict.fromkeys(("chat", "fail_chat"), grpc.stream_stream_rpc_method_handler),
    }
    make["hang_collect"], make["hang_chat"] = (
        grpc.stream_unary_rpc_method_handler,
        grpc.stream_stream_rpc_method_handler,
    )
    return grpc.method_handlers_generic_handler(
        "shop.Shop", {name: kind(getattr(shop, NAMED.get(name, name))) for name, kind in make.items()}
    )


class Called:
    """A server that is being called, and the events of its calls."""

    def __init__(self, channel, client, sink):
        self.channel, self.client, self.sink = channel, client, sink

    def call(self, name, request=b"", metadata=VISITOR, shape="unary_unary"):
        return getattr(self.channel, shape)(f"/shop.Shop/{name}")(request, metadata=metadata, timeout=30)

    def code(self, name, request=b"", metadata=VISITOR):
        """Return the code and details with which a call fails."""
        with pytest.raises(grpc.RpcError) as caught:
            self.call(name, request, metadata)
        return caught.value.code(), caught.value.details()

    def wait(self, count):
        self.sink.wait_until(lambda: self.client.flush(20) and len(self.sink.events) >= count)
        self.client.flush(20)
        events = self.sink.events
        assert len(events) == count, names(events)
        return events

    @property
    def event(self):
        return self.wait(1)[0]


class _Loop:
    """An asyncio server on a thread of its own."""

    def __init__(self, shop, interceptors):
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self.port = self._run(self._start(shop, interceptors))

    def _run(self, coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(30)

    async def _start(self, shop, interceptors):
        self._server = grpc.aio.server(ThreadPoolExecutor(4), interceptors=interceptors)
        self._server.add_generic_rpc_handlers((handlers(shop),))
        port = self._server.add_insecure_port("127.0.0.1:0")
        await self._server.start()
        return port

    def stop(self):
        self._run(self._server.stop(1))
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(20)
        self._loop.close()


class _Pool:
    """A synchronous server; one thread, so that a call finds what another one left."""

    def __init__(self, shop, interceptors, threads=1):
        self._server = grpc.server(ThreadPoolExecutor(threads), interceptors=interceptors)
        self._server.add_generic_rpc_handlers((handlers(shop),))
        self.port = self._server.add_insecure_port("127.0.0.1:0")
        self._server.start()

    def stop(self):
        self._server.stop(1).wait(20)


@pytest.fixture(params=KINDS)
def kind(request):
    return request.param


@pytest.fixture
def serve(kind, posthog, sink):
    """Return a function that starts a server with the options given, and returns what calls it."""
    running = []
    for name in ("grpc._server", "grpc._cython.cygrpc", "grpc"):
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)

    def serve(*, twice=False, absent=False, threads=1, **options):
        interceptors = [] if absent else [PostHogInterceptor(client=posthog, **options) for _ in range(1 + twice)]
        shop = AsyncShop(posthog) if kind == "aio" else Shop(posthog)
        server = _Pool(shop, interceptors, threads) if kind == "sync" else _Loop(shop, interceptors)
        channel = grpc.insecure_channel(f"127.0.0.1:{server.port}")
        running.append((channel, server))
        return Called(channel, posthog, sink)

    yield serve
    for channel, server in running:
        channel.close()
        server.stop()


class TestContext:
    def test_what_a_call_has_of_a_request_is_on_a_plain_capture(self, serve):
        """Ids from metadata, the method as path and route, the peer's address; there is no URL."""
        called = serve()
        assert called.call("capture", b"r1") == b"r1"
        event = called.event
        assert (event.event, event.distinct_id) == ("captured", "alice")
        expected = {
            "$session_id": "session-a",
            "$window_id": "window-a",
            "$request_path": "/shop.Shop/capture",
            "$request_route": "/shop.Shop/capture",
            "$ip": "127.0.0.1",
        }
        assert {name: event.properties.get(name) for name in expected} == expected
        assert "grpc" in event.properties["$user_agent"]
        assert "$current_url" not in event.properties

    @shows("clean-thread")
    def test_a_thread_that_serves_again_begins_empty(self, serve):
        """Visitors share a thread one after the other, and none has the tags of another."""
        called = serve()
        for _ in range(4):
            called.call("tag")
            assert called.call("who", metadata=()) == b"-"
        called.call("capture", metadata=())
        tagged, plain = called.wait(5)[0], called.wait(5)[4]
        assert (tagged.properties["colour"], person_of(tagged)) == ("red", "alice")
        assert (person_of(plain), "colour" in plain.properties) == (None, False)

    @shows("context-everywhere", "streamed-body-context")
    def test_streams_belong_to_the_visitor(self, serve):
        """Responses, requests, both."""
        called = serve()
        assert list(called.call("stream", shape="unary_stream")) == [b"a", b"b", b"c"]
        assert called.call("collect", iter([b"a", b"b"]), shape="stream_unary") == b"ab"
        assert list(called.call("chat", iter([b"a", b"b"]), shape="stream_stream")) == [b"a", b"b"]
        events = called.wait(6)
        assert names(events) == ["streamed"] * 3 + ["collected"] + ["said"] * 2
        assert {(person_of(event), event.properties["$session_id"]) for event in events} == {("alice", "session-a")}
        assert called.call("who", metadata=()) == b"-"

    @shows("concurrent-requests")
    def test_calls_at_once_are_never_mixed(self, serve):
        """Random waits; every event is its own call's."""
        called = serve(threads=8)

        def ask(number):
            return called.call("slow", f"{number}".encode(), (("x-posthog-distinct-id", f"visitor-{number}"),))

        with ThreadPoolExecutor(16) as pool:
            list(pool.map(ask, range(40)))
        for event in called.wait(40):
            assert event.distinct_id == f"visitor-{event.properties['rid']}"

    # An asyncio server never drops the generator of a synchronous method: its thread waits for ever
    # to hand on an item.
    @shows("late-stream-end", "client-leaves-body", "client-went-away", "cancellation")
    @pytest.mark.parametrize("kind", ["sync", "aio"], indirect=True)
    def test_a_client_that_leaves_is_no_mistake_and_leaves_nothing(self, serve):
        """The call is cancelled in the middle.

        Events from the generator's end belong to its own visitor or to nobody.
        """
        called = serve(capture_exceptions=True)
        stream = called.call("long", shape="unary_stream")
        next(stream)
        stream.cancel()
        for _ in range(3):
            assert called.call("who", metadata=(("x-posthog-distinct-id", "bob"),)) == b"bob"
        called.sink.wait_until(lambda: gc.collect() >= 0 and called.client.flush(20) and called.sink.events)
        assert [(event.event, person_of(event)) for event in called.wait(1)] == [("closed", "alice")]

    @shows("header-bytes")
    def test_ids_are_cleaned_and_the_first_usable_counts(self, serve):
        """Metadata may come several times, and may be blank or long."""
        called = serve()
        sent = [("x-posthog-session-id", value) for value in (" ", "first", "second")]
        called.call("capture", metadata=(*sent, ("x-posthog-distinct-id", "x" * 2000)))
        assert (called.event.properties["$session_id"], called.event.distinct_id) == ("first", "x" * 1000)


class TestEnds:
    """However a call of any kind ends, nothing is left behind.

    A client that leaves is no mistake.
    """

    @shows("late-stream-end", "client-went-away")
    @pytest.mark.parametrize(
        ("name", "how"), [*((name, "cancelled") for name in HANGING), ("hang", "deadline"), ("hang_chat", "deadline")]
    )
    def test_a_client_that_waits_no_longer(self, serve, name, how):
        """This holds for unary calls and streams, cancelled or with their deadline exceeded."""
        called = serve(capture_exceptions=True)
        method = getattr(called.channel, HANGING[name])(f"/shop.Shop/{name}")
        given = iter([b""]) if name in ("hang_collect", "hang_chat") else b""
        options = {"metadata": VISITOR, "timeout": 30 if how == "cancelled" else 0.5}
        call = method(given, **options) if HANGING[name].endswith("_stream") else method.future(given, **options)
        called.sink.wait_until(lambda: called.client.flush(20) and called.sink.events)
        if how == "cancelled":
            call.cancel()
        called.sink.wait_until(call.done)
        expected = grpc.StatusCode.CANCELLED if how == "cancelled" else grpc.StatusCode.DEADLINE_EXCEEDED
        assert call.code() is expected
        for _ in range(4):
            assert called.call("who", metadata=()) == b"-"
        assert [(event.event, person_of(event)) for event in called.wait(1)] == [("begun", "alice")]

    @shows("grpc-codes", "captured-once")
    @pytest.mark.parametrize("twice", [False, True])
    @pytest.mark.parametrize(
        ("name", "shape"), [("fail", "unary_unary"), ("stream_fail", "unary_stream"), ("fail_stream", "stream_unary"), ("fail_chat", "stream_stream")]
    )  # fmt: skip
    def test_an_error_in_any_kind_of_call_is_one_event(self, serve, name, shape, twice):
        """The next call begins empty."""
        called = serve(capture_exceptions=True, twice=twice)
        given = iter([b"x", b"y"]) if shape.startswith("stream") else b""
        with pytest.raises(grpc.RpcError) as caught:
            answer = called.call(name, given, shape=shape)
            list(answer)
        assert caught.value.code() is grpc.StatusCode.UNKNOWN
        for _ in range(4):
            assert called.call("who", metadata=()) == b"-"
        assert (exception_of(called.event), person_of(called.event)) == (("ValueError", False, 500), "alice")

    @pytest.mark.parametrize("name", ["nothing", "whole"])
    def test_a_stream_that_is_none_ends_as_it_would_without_us(self, serve, name):
        """A method that returns no responses, or a list, is an error of the app's at most.

        Nothing is left behind.
        """
        found = []
        for absent in (True, False):
            called = serve(absent=absent, capture_exceptions=True) if not absent else serve(absent=True)
            try:
                found.append(list(called.call(name, shape="unary_stream")))
            except grpc.RpcError as error:
                found.append((error.code(), error.details()))
        assert found[0] == found[1]
        for _ in range(4):
            assert called.call("who", metadata=()) == b"-"
        failed = isinstance(found[1], tuple)
        assert [(exception_of(event), person_of(event)) for event in called.wait(failed)] == [(("TypeError", False, 500), "alice")] * failed  # fmt: skip

    @pytest.mark.parametrize("kind", ["sync"], indirect=True)
    def test_a_method_that_calls_back_does_so_still(self, serve, posthog, sink):
        """gRPC's health service and similar services hold no thread of the pool while they are
        idle.

        They choose their own pool.
        """
        apart = ThreadPoolExecutor(1, thread_name_prefix="apart")

        def watch(request, context, respond):
            posthog.capture("watched", properties={"thread": threading.current_thread().name})
            respond(b"a")
            respond(None)

        watch.experimental_non_blocking, watch.experimental_thread_pool = True, apart
        interceptor = PostHogInterceptor(client=posthog, capture_exceptions=True)
        server = grpc.server(ThreadPoolExecutor(1), interceptors=[interceptor])
        method = {"Watch": grpc.unary_stream_rpc_method_handler(watch)}
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("shop.Health", method),))
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        try:
            with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
                assert list(channel.unary_stream("/shop.Health/Watch")(b"", metadata=VISITOR, timeout=30)) == [b"a"]
        finally:
            server.stop(1).wait(20)
            apart.shutdown()
        posthog.flush()
        [event] = sink.events
        assert (person_of(event), event.properties["thread"][:5]) == ("alice", "apart")


# A stream that a client cancels, many times at once; each captures in its end.
CANCELLED_STREAMS = """
import asyncio
import grpc, grpc.aio
from hogline import PostHog
from hogline.interceptors.grpc import PostHogInterceptor

client = PostHog("phc_test", send=False)
seen = []

async def stream(request, context):
    try:
        while True:
            yield bytes(10_000)
            await asyncio.sleep(0.001)
    finally:
        seen.append(client.capture("ended"))

def cancel(port, count):
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        for _ in range(count):
            call = channel.unary_stream("/shop.Shop/stream")(b"", metadata=(("x-posthog-distinct-id", "alice"),))
            next(call)
            call.cancel()

async def main():
    server = grpc.aio.server(interceptors=[PostHogInterceptor(client=client)])
    method = {"stream": grpc.unary_stream_rpc_method_handler(stream)}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("shop.Shop", method),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    await asyncio.gather(*(asyncio.to_thread(cancel, port, 100) for _ in range(4)))
    for _ in range(1_000):
        if len(seen) >= 400:
            break
        await asyncio.sleep(0.01)
    await server.stop(0)
    print(len(seen))

asyncio.run(main())
"""


def test_an_event_at_the_end_of_a_cancelled_call_does_not_touch_the_call():
    """gRPC frees a cancelled call of an asyncio server, and asking it for its peer ends the process."""
    command = [sys.executable, "-c", CANCELLED_STREAMS]
    process = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert (process.returncode, process.stdout) == (0, "400\n"), process.stderr[-2000:]


class TestOptions:
    def test_callbacks_get_the_servicers_context(self, serve):
        """distinct_id wins over metadata; properties are on every event, exceptions too."""

        def user(context):
            return dict(context.invocation_metadata())["user"]

        called = serve(capture_exceptions=True, distinct_id=user, properties=lambda context: {"peer": context.peer()})
        called.call("capture", metadata=(*VISITOR, ("user", "user-7")))
        called.code("fail", metadata=(*VISITOR, ("user", "user-7")))
        for event in called.wait(2):
            assert event.distinct_id == "user-7"
            assert event.properties["peer"].startswith("ipv4:127.0.0.1:")

    def test_a_filtered_call_is_left_alone(self, serve):
        """No context, no exception."""
        called = serve(capture_exceptions=True, request_filter=lambda context: False)
        called.call("capture")
        called.code("fail")
        list(called.call("stream", shape="unary_stream"))
        assert {person_of(event) for event in called.wait(4)} == {None}

    def test_strangers_choose_no_person_where_identity_headers_are_off(self, serve):
        """The session is still read."""
        called = serve(identity_headers=False, trusted_proxies=1)
        called.call("capture", metadata=(*VISITOR, ("x-forwarded-for", "203.0.113.9")))
        assert (person_of(called.event), called.event.properties["$session_id"]) == (None, "session-a")
        assert called.event.properties["$ip"] == "203.0.113.9"

    @shows("callback-errors")
    def test_callbacks_that_raise_are_logged_once_and_skipped(self, serve, caplog):
        """."""

        def fail(context):
            raise RuntimeError("mine")

        called = serve(capture_exceptions=True, distinct_id=fail, properties=fail, request_filter=fail)
        for _ in range(2):
            called.call("capture")
        assert {person_of(event) for event in called.wait(2)} == {"alice"}
        assert len([record for record in caplog.records if "mine" in record.message]) == 3

    @pytest.mark.parametrize("kind", ["aio"], indirect=True)
    def test_awaited_callbacks(self, serve):
        """Callbacks are awaited where the server and the method are asynchronous."""

        async def user(context):
            await asyncio.sleep(0)
            return "user-7"

        called = serve(distinct_id=user)
        called.call("capture")
        list(called.call("stream", shape="unary_stream"))
        assert {event.distinct_id for event in called.wait(4)} == {"user-7"}


class TestExceptions:
    @shows("grpc-codes", "crash-frame-last")
    def test_a_plain_error_is_one_unhandled_event(self, serve):
        """The event has the visitor, the method and the user's own raise line.

        The answer is the same as without us.
        """
        without = serve(absent=True).code("fail", b"boom")
        for twice in (False, True):
            called = serve(capture_exceptions=True, twice=twice)
            assert called.code("fail", b"boom") == without
        for event in called.wait(2):
            assert exception_of(event) == ("ValueError", False, 500)
            assert event.properties["$exception_list"][0]["value"] == "boom"
            assert (event.distinct_id, event.properties["$request_route"]) == ("alice", "/shop.Shop/fail")
            assert event.properties["$exception_source"] == "grpc.interceptor"
            last = event.properties["$exception_list"][0]["stacktrace"]["frames"][-1]
            assert "raise ValueError(request.decode())" in last["context_line"]

    @shows("grpc-codes")
    @pytest.mark.parametrize("code", ["UNAVAILABLE", "INTERNAL", "RESOURCE_EXHAUSTED", "UNIMPLEMENTED", "DATA_LOSS"])
    def test_aborts_that_are_the_servers_are_events(self, serve, kind, code):
        """The status code decides.

        These events are handled, and have the text of the abort.
        """
        called = serve(capture_exceptions=True)
        assert called.code("abort", code.encode()) == (grpc.StatusCode[code], "sorry")
        assert exception_of(called.event)[1:] == (True, STATUS[code])
        value = called.event.properties["$exception_list"][0]["value"]
        assert value == (code if kind == "aio-sync" else f"{code}: sorry")

    @pytest.mark.parametrize(
        "kind", ["sync", "aio"], indirect=True
    )  # a synchronous method's context on asyncio has none
    def test_an_abort_with_a_status_is_one_too(self, serve):
        """gRPC's richer way to say the same."""
        without = serve(absent=True).code("abort_with_status")
        called = serve(capture_exceptions=True)
        assert called.code("abort_with_status") == without
        assert exception_of(called.event)[1:] == (True, 503)

    @shows("grpc-codes")
    @pytest.mark.parametrize("code", ["NOT_FOUND", "INVALID_ARGUMENT", "UNAUTHENTICATED", "ABORTED", "CANCELLED"])
    def test_aborts_that_are_the_clients_are_none(self, serve, code):
        """Below the threshold; with a lower one they are events."""
        called = serve(capture_exceptions=True)
        assert called.code("abort", code.encode()) == (grpc.StatusCode[code], "sorry")
        called.wait(0)
        lower = serve(capture_exceptions=ExceptionCapture(min_status_to_capture=400))
        lower.code("abort", code.encode())
        assert exception_of(lower.event)[1:] == (True, STATUS[code])

    def test_a_code_without_an_exception_is_none(self, serve):
        """`set_code(INTERNAL)` raises nothing."""
        called = serve(capture_exceptions=True)
        assert called.code("set_code")[0] is grpc.StatusCode.INTERNAL
        called.wait(0)

    @shows("upstream-status")
    def test_an_upstreams_code_is_not_ours(self, serve):
        """A client's error says NOT_FOUND; it is this server's UNKNOWN."""
        called = serve(capture_exceptions=True)
        assert called.code("lookalike")[0] is grpc.StatusCode.UNKNOWN
        assert exception_of(called.event) == ("UpstreamError", False, 500)

    @shows("grpc-codes", "error-after-start")
    @pytest.mark.parametrize("twice", [False, True])
    def test_an_error_in_a_stream_is_one_event(self, serve, twice):
        """The error comes after the first message."""
        called = serve(capture_exceptions=True, twice=twice)
        stream = called.call("stream_fail", shape="unary_stream")
        assert next(stream) == b"a"
        with pytest.raises(grpc.RpcError):
            next(stream)
        assert (exception_of(called.event), person_of(called.event)) == (("ValueError", False, 500), "alice")

    @pytest.mark.parametrize(
        ("rules", "expected"),
        [
            ({"handled": "ignore"}, ["ValueError"]),
            ({"handled": "by_status"}, ["ValueError", "abort"]),
            ({"ignore": (ValueError,)}, ["abort"]),
        ],
    )
    def test_rules_hold(self, serve, rules, expected):
        """handled, ignore."""
        called = serve(capture_exceptions=ExceptionCapture(**rules))
        called.code("fail")
        called.code("abort", b"UNAVAILABLE")
        found = [exception_of(event)[0] for event in called.wait(len(expected))]
        assert ["ValueError" if name == "ValueError" else "abort" for name in found] == expected

    def test_nothing_is_captured_unless_asked_for(self, serve):
        """Off by default; a method that does not exist is answered as ever."""
        called = serve()
        called.code("fail")
        assert called.code("nowhere")[0] is grpc.StatusCode.UNIMPLEMENTED
        called.wait(0)


def test_the_example_sends_what_its_page_promises(sink):
    """A program of its own sends one event with the caller's session, and one exception with the
    code's status.
    """
    root = Path(__file__).parents[2]
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    environ = {
        "HOGLINE_PROJECT_TOKEN": "phc_example", "HOGLINE_HOST": sink.url, "HOGLINE_FLUSH_INTERVAL": "0.1", "PYTHONPATH": str(root)
    }  # fmt: skip
    process = subprocess.Popen(
        [sys.executable, str(root / "examples/grpc_app.py"), str(port)], env=os.environ | environ
    )
    try:
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            grpc.channel_ready_future(channel).result(60)
            assert channel.unary_unary("/shop.Shop/Checkout")(b"", metadata=VISITOR) == b"ok"
            with pytest.raises(grpc.RpcError):
                channel.unary_unary("/shop.Shop/Broken")(b"", metadata=VISITOR)
        first, failure = sink.wait_for(2)[:2]
    finally:
        process.terminate()
        process.wait(30)
    assert (first.event, exception_of(failure)[1:]) == ("checkout", (True, 503))
    assert {event.properties["$session_id"] for event in (first, failure)} == {"session-a"}
