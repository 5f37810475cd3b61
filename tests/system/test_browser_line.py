"""Browser and server events carry the same ids, and stand in one timeline.

The tests run a real Chromium, the official posthog-js, an app with the interceptor, and an
instance.
"""

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.instance.reader import Reader
from tests.support.browser import open_browser
from tests.support.instances import start_instance
from tests.support.tools import NPM_VERSIONS, npm_package, require

pytestmark = [pytest.mark.needs_browser, pytest.mark.needs_node, pytest.mark.timeout(240)]
ROOT = Path(__file__).parents[2]

CALLS = {
    "fetch": "url => fetch(url, {method: 'POST'}).then(answer => answer.status)",
    "xhr": """url => new Promise(done => {
        const request = new XMLHttpRequest();
        request.open('POST', url); request.onload = () => done(request.status); request.send(); })""",
}
IDENTITY = """() => ({session: posthog.get_session_id(), person: posthog.get_distinct_id(),
    window: posthog.sessionManager.checkAndGetSessionAndWindowId(true).windowId})"""


@pytest.fixture(scope="module")
def instance(tmp_path_factory):
    require("browser")
    scripts = npm_package("posthog-js") / "dist"
    served = start_instance(tmp_path_factory.mktemp("line") / "data", "--posthog-js", str(scripts))
    yield served
    assert served.stop() == 0


@pytest.fixture(scope="module")
def origins(instance):
    """The same app at two origins: its own, and another one."""
    processes, urls = [], []
    for _ in range(2):
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        environ = os.environ | {"TOKEN": instance.token, "INSTANCE": instance.url, "PYTHONPATH": str(ROOT)}
        command = [
            sys.executable,
            "-m",
            "uvicorn",
            "tests.system.browser_app:app",
            "--port",
            str(port),
            "--log-level",
            "critical",
        ]
        processes.append(subprocess.Popen(command, cwd=ROOT, env=environ))
        urls.append(f"http://127.0.0.1:{port}")
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                time.sleep(0.05)
    yield urls
    for process in processes:
        process.terminate()
        process.wait(30)


@pytest.fixture
def context():
    """A fresh browser profile that notes every complaint and every bad answer."""
    with open_browser() as made:
        yield made


def open_page(context, url, option="tracing_headers"):
    page = context.new_page()
    page.goto(f"{url}/page?option={option}")
    page.wait_for_function("window.ready === true")
    return page


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("origin", ["same", "cross"])
@pytest.mark.parametrize("option", ["tracing_headers", "__add_tracing_headers"])
def test_a_servers_event_carries_the_browsers_session_window_and_person(
    instance, origins, context, option, origin, call
):
    """fetch and XMLHttpRequest, same and cross origin, under both names of the option."""
    page = open_page(context, origins[0], option)
    identity = page.evaluate(IDENTITY)
    target = origins[0 if origin == "same" else 1]
    assert page.evaluate(CALLS[call], f"{target}/buy?how={call}") == 200
    reader = Reader(instance.url, instance.token, instance.key)
    [bought] = reader.wait_for(1, event="bought", session_id=identity["session"])
    assert bought["distinct_id"] == identity["person"]
    assert bought["properties"]["$window_id"] == identity["window"]
    assert bought["properties"]["$current_url"] == f"{target}/buy?how={call}"
    assert bought["properties"]["$request_route"] == "/buy"
    [pageview] = reader.wait_for(1, event="$pageview", session_id=identity["session"])
    assert (pageview["distinct_id"], pageview["properties"]["$window_id"]) == (identity["person"], identity["window"])
    assert context.trouble == []


def test_both_sides_of_a_session_stand_in_its_timeline(instance, origins, context):
    """Two windows told apart, a click, the requests they caused, an identity, an exception."""
    first, second = open_page(context, origins[0]), open_page(context, origins[0])
    identity, other = first.evaluate(IDENTITY), second.evaluate(IDENTITY)
    assert identity["session"] == other["session"]
    assert identity["window"] != other["window"]
    first.click("#buy")
    first.evaluate(CALLS["fetch"], f"{origins[0]}/buy?how=first")
    second.evaluate(CALLS["fetch"], f"{origins[1]}/buy?how=second")
    first.evaluate("() => posthog.identify('jane', {email: 'jane@example.com'})")
    assert first.evaluate(CALLS["fetch"], f"{origins[0]}/broken") == 500
    reader = Reader(instance.url, instance.token, instance.key)
    reader.wait_for(2, event="bought", session_id=identity["session"])
    [failure] = reader.wait_for(1, event="$exception", session_id=identity["session"])
    assert failure["distinct_id"] == "jane"
    assert failure["properties"]["$response_status_code"] == 500
    reader.wait_for(1, event="$autocapture", session_id=identity["session"])
    page = context.new_page()
    page.goto(f"{instance.url}/session/{identity['session']}")
    text = page.inner_text("main")
    for expected in (
        "jane@example.com",
        "Window 1",
        "Window 2",
        "bought",
        "POST",
        "/buy",
        "ValueError",
        "the shop is on fire",
        "Clicked",
    ):
        assert expected in text, expected
    assert [trouble for trouble in context.trouble if "/broken" not in trouble and "500" not in trouble] == []


def test_events_still_arrive_when_the_bootstrap_documents_fail(instance, origins, context):
    """With `/array/*` and `/flags/` answering 500, the SDK falls back to plain JSON after a
    preflight.
    """
    for path in ("**/array/**", "**/flags/**"):
        context.route(path, lambda route: route.fulfill(status=500, body="broken"))
    page = open_page(context, origins[0])
    identity = page.evaluate(IDENTITY)
    page.evaluate("() => posthog.capture('still here')")
    reader = Reader(instance.url, instance.token, instance.key)
    [found] = reader.wait_for(1, event="still here", session_id=identity["session"])
    assert found["distinct_id"] == identity["person"]


def test_a_healthy_page_asks_for_nothing_but_its_configuration_flags_and_capture(instance, origins, context):
    """No console error, no 4xx or 5xx, no extension script that is off."""
    asked = []
    context.on("request", lambda request: asked.append(request.url) if request.url.startswith(instance.url) else None)
    page = open_page(context, origins[0])
    page.evaluate("() => posthog.capture('one')")
    reader = Reader(instance.url, instance.token, instance.key)
    reader.wait_for(1, event="one", session_id=page.evaluate(IDENTITY)["session"])
    paths = {url.removeprefix(instance.url).partition("?")[0] for url in asked}
    allowed = {"/static/array.js", f"/array/{instance.token}/config.js", "/flags/", "/e/", "/i/v0/e/"}
    # The two extensions that are switched on: exceptions, by the instance, and tracing headers, by
    # the page.
    extensions = {
        f"/static/{NPM_VERSIONS['posthog-js']}/{name}.js" for name in ("exception-autocapture", "tracing-headers")
    }
    assert paths <= allowed | extensions
    assert context.trouble == []
