"""Gradio's queue: its handlers run in a worker, which belongs to no request."""

import pytest
import urllib3

from hogline import context_from_headers
from hogline.interceptors.starlette import PostHogInterceptor
from tests.support.behaviours import shows
from tests.support.serving import serving_asgi
from tests.support.sink import person_of

gradio = pytest.importorskip("gradio", reason="in an environment of its own: ./dev frameworks gradio")
fastapi = pytest.importorskip("fastapi")


@shows("outliving-tasks")
@pytest.mark.parametrize("kind", ["synchronous", "asynchronous"])
def test_a_queued_handler_has_the_visitor_of_the_message_with_the_recipe(posthog, sink, kind):
    """Without it nobody is known there, whoever asked first."""

    def said(words, request):
        posthog.capture("without the recipe")
        with context_from_headers(request.headers):
            posthog.capture("searched", properties={"words": words})
        return words.upper()

    def search(words: str, request: gradio.Request) -> str:
        return said(words, request)

    async def search_asynchronously(words: str, request: gradio.Request) -> str:
        return said(words, request)

    with gradio.Blocks() as blocks:
        words, found = gradio.Textbox(), gradio.Textbox()
        handler = search if kind == "synchronous" else search_asynchronously
        gradio.Button().click(handler, words, found, api_name="search")
    app = fastapi.FastAPI()
    app.add_middleware(PostHogInterceptor, client=posthog)
    app = gradio.mount_gradio_app(app, blocks.queue(), path="/ui")
    with serving_asgi(app, posthog, sink, lifespan="on") as site:
        for person in ("alice", "bob", "carol"):
            options = {"headers": {"X-POSTHOG-DISTINCT-ID": person}, "timeout": 30, "retries": False}
            url = f"http://127.0.0.1:{site.port}/ui/gradio_api/call/search"
            queued = urllib3.request("POST", url, json={"data": [person]}, **options).json()
            answer = urllib3.request("GET", f"{url}/{queued['event_id']}", **options)
            assert person.upper() in answer.data.decode()
        events = site.events
    assert [person_of(event) for event in events if event.event == "searched"] == ["alice", "bob", "carol"]
    assert {person_of(event) for event in events if event.event != "searched"} == {None}
