"""An interceptor changes no response: the client gets the same bytes with and without it."""

import pytest

from tests.interceptors.apps.contract import HEADERS
from tests.support.behaviours import shows
from tests.support.site import needs, on_every_server, visitor

ROUTES = (
    "/nothing", "/capture", "/items/7", "/tag", "/override", "/context", "/scope", "/slow?delay_ms=1", "/headers", "/stream",
    "/stream-error", "/background", "/error", "/caught", "/lookalike", "/ignored", "/reused", "/frozen", "/refusing", "/nowhere",
    "/stream-sync", "/sync", "/error-sync", "/background-error", "/handled/418", "/handled/500", "/http/404", "/http/499",
    "/http/503", "/group", "/group-noise", "/group-http", "/validate?number=x", "/validate?number=3",
)  # fmt: skip


@shows("keep-content-length", "same-response")
def test_answers_are_the_same_with_and_without_us(site, subtests):
    """Status, headers, their order, Content-Length and body are equal, whatever is raised or
    captured.
    """
    for path in ROUTES:
        with subtests.test(path=path):
            without = site.ask(path, options="absent", rid="same", headers=visitor("alice"))
            for options in ("off", "default", "twice"):
                assert site.ask(path, options=options, rid="same", headers=visitor("alice")).shape == without.shape


@shows("same-response")
@pytest.mark.parametrize("method", ["HEAD", "OPTIONS", "DELETE"])
def test_other_methods_are_answered_the_same(site, method):
    """The interceptor adds nothing to the answer of HEAD, of OPTIONS, or of a method that the route
    does not have.
    """
    without = site.ask("/nothing", options="absent", method=method, rid="same")
    assert site.ask("/nothing", method=method, rid="same").shape == without.shape


@on_every_server
@shows("same-response")
@needs("header-order")
def test_headers_keep_their_order_and_their_duplicates(site):
    """The headers arrive as the app sent them."""
    said = [(name.lower(), value) for name, value in HEADERS]
    answer = site.ask("/headers")
    assert [(name.lower(), value) for name, value in answer.headers if (name.lower(), value) in said] == said


@on_every_server
@pytest.mark.parametrize("size", [0, 1, 300_000])
def test_bodies_are_the_apps_alone(site, size):
    """The interceptor never reads the request body; the app gets all of it."""
    body = b"x" * size
    answer = site.ask("/checkout", method="POST", body=body, headers=visitor("alice"))
    assert (answer.status, answer.body) == (200, body)
    assert site.event(answer).event == "checkout"


@on_every_server
@shows("same-response")
@needs("ws")
def test_a_handshake_is_answered_the_same(site):
    """This holds for a handshake that is accepted, one that the app refuses, and one to an unknown
    path.
    """
    headers = [
        ("Connection", "Upgrade"),
        ("Upgrade", "websocket"),
        ("Sec-WebSocket-Version", "13"),
        ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ]
    for path in ("/ws", "/ws-error", "/ws-refused", "/ws-nowhere"):
        with_us, without = (site.end_of(path, headers=headers, close=False, options=o) for o in ("default", "absent"))
        assert with_us == without
        assert with_us.startswith(b"HTTP/1.1 ")
