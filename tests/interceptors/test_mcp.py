"""A stateful session of an MCP server: each message belongs to the visitor who sent it."""

import json

import urllib3
from mcp.server.fastmcp import Context, FastMCP

from hogline import context_from_headers
from hogline.interceptors.starlette import PostHogInterceptor
from tests.support.behaviours import shows
from tests.support.serving import serving_asgi
from tests.support.sink import person_of


@shows("outliving-tasks")
def test_each_message_of_a_stateful_session_has_its_own_visitor(posthog, sink):
    """The recipe of the context page, with the `mcp` package; the session's task is alice's."""
    server = FastMCP("shop", host="shop.example", json_response=True)

    @server.tool()
    async def search(words: str, ctx: Context) -> str:
        posthog.capture("without the recipe")
        with context_from_headers(ctx.request_context.request.headers):
            posthog.capture("searched", properties={"words": words})
        return words

    app = server.streamable_http_app()
    app.add_middleware(PostHogInterceptor, client=posthog)
    with serving_asgi(app, posthog, sink, lifespan="on") as site:
        session = {}

        def post(person, method, params=None, number=None):
            message = {"jsonrpc": "2.0", "method": method, "params": params or {}}
            answer = urllib3.request(
                "POST",
                f"http://127.0.0.1:{site.port}/mcp",
                body=json.dumps(message if number is None else {**message, "id": number}),
                headers={
                    "Accept": "application/json, text/event-stream",
                    "Content-Type": "application/json",
                    "X-POSTHOG-DISTINCT-ID": person,
                    **session,
                },
                timeout=30,
                retries=False,
            )
            assert answer.status < 300, answer.data
            return answer

        client = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}}
        opened = post("alice", "initialize", client, 1)
        session["Mcp-Session-Id"] = opened.headers["mcp-session-id"]
        post("alice", "notifications/initialized")
        for number, person in enumerate(("alice", "bob"), 2):
            told = post(person, "tools/call", {"name": "search", "arguments": {"words": "red"}}, number)
            assert told.json()["result"]["content"][0]["text"] == "red"
        events = site.events
    assert [person_of(event) for event in events if event.event == "searched"] == ["alice", "bob"]
    assert [person_of(event) for event in events if event.event != "searched"] == ["alice", "alice"]
