"""Tasks that outlive the request which started them, and serve the requests that follow.

As a stateful session of an MCP server (mcp 1.x) does, and a queue's worker that is started lazily.
"""

import asyncio
import logging

import pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from hogline import context_from_headers, new_context
from hogline.exchange import exchange as exchange_module
from hogline.interceptors.starlette import PostHogInterceptor
from tests.support.behaviours import shows
from tests.support.serving import serving_asgi
from tests.support.sink import person_of


def headers_of(name):
    return {"X-POSTHOG-DISTINCT-ID": name, "X-POSTHOG-SESSION-ID": f"session-{name}"}


@pytest.fixture
def session(posthog):
    """Return an app whose first request starts the task that serves all messages, as *serve* has
    it.
    """

    def build(serve):
        queue = asyncio.Queue()
        tasks = []

        async def message(request):
            if not tasks:
                tasks.append(asyncio.create_task(serve(queue)))
            done = asyncio.get_running_loop().create_future()
            await queue.put((dict(request.headers), done))
            await done
            return PlainTextResponse("ok")

        app = Starlette(routes=[Route("/", message)])
        app.add_middleware(PostHogInterceptor, client=posthog)
        return app

    return build


@shows("outliving-tasks")
def test_with_the_recipe_each_message_has_its_own_visitor(posthog, sink, session):
    """A fresh context for the worker, and one from the headers for each message."""

    async def serve(queue):
        with new_context(fresh=True):
            while True:
                headers, done = await queue.get()
                with context_from_headers(headers):
                    posthog.capture("served")
                done.set_result(None)

    with serving_asgi(session(serve), posthog, sink) as site:
        for name in ("alice", "bob", "carol"):
            assert site.get("/", headers_of(name)).body == b"ok"
        events = site.events
    assert [person_of(event) for event in events] == ["alice", "bob", "carol"]
    assert [event.properties["$session_id"] for event in events] == ["session-alice", "session-bob", "session-carol"]


@shows("outliving-tasks")
def test_without_it_the_log_says_once_what_to_do(posthog, sink, session, monkeypatch, caplog):
    """The task keeps the visitor of the request that started it, as context variables do."""
    monkeypatch.setattr(exchange_module, "_LATE_S", 0.0)

    async def serve(queue):
        while True:
            _, done = await queue.get()
            posthog.capture("served")
            done.set_result(None)

    with caplog.at_level(logging.WARNING, "hogline"), serving_asgi(session(serve), posthog, sink) as site:
        for name in ("alice", "bob", "carol", "dora"):
            site.get("/", headers_of(name))
        events = site.events
    assert {person_of(event) for event in events} == {"alice"}
    assert caplog.text.count("context_from_headers") == 1


def test_a_task_that_only_finishes_the_requests_work_is_not_reported(posthog, sink, session, caplog):
    """Soon after the end, a task is as right to keep its visitor as the request was."""

    async def serve(queue):
        _, done = await queue.get()
        done.set_result(None)
        for _ in range(3):
            await asyncio.sleep(0.02)
            posthog.capture("later")

    with caplog.at_level(logging.WARNING, "hogline"), serving_asgi(session(serve), posthog, sink) as site:
        site.get("/", headers_of("alice"))
        assert {person_of(event) for event in site.wait_for(3)} == {"alice"}
    assert "context_from_headers" not in caplog.text
