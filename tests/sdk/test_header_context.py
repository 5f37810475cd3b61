"""`context_from_headers`: a context for code that serves a request outside the request's own
context.
"""

import pytest

from hogline import context_from_headers, get_tags, identify_context, new_context, tag
from hogline.context import current

HEADERS = {
    "X-POSTHOG-SESSION-ID": "session-a",
    "X-POSTHOG-DISTINCT-ID": "alice",
    "X-POSTHOG-WINDOW-ID": "window-a",
    "Content-Type": "text/plain",
}


def seen():
    context = current.get()
    return context.acting_distinct_id(), context.session(), dict(context.properties())


@pytest.mark.parametrize(
    "headers",
    [HEADERS, {name.lower(): value for name, value in HEADERS.items()}, list(HEADERS.items()), iter(HEADERS.items())],
    ids=["mapping", "lower case", "pairs", "iterator"],
)
def test_the_ids_of_the_headers_are_the_contexts(headers):
    """The person, the session and the window, whatever the kind of headers."""
    with context_from_headers(headers):
        assert seen() == ("alice", "session-a", {"$session_id": "session-a", "$window_id": "window-a"})
    assert current.get() is None


def test_it_inherits_nothing_and_gives_nothing_back():
    """The outer context is restored, and values set inside stay there."""
    with new_context():
        identify_context("bob")
        tag("plan", "pro")
        with context_from_headers({}):
            assert seen() == (None, None, {})
            identify_context("carol")
            assert seen()[0] == "carol"
        assert (current.get().acting_distinct_id(), get_tags()) == ("bob", {"plan": "pro"})


def test_strangers_need_not_be_believed():
    """With `identity_headers` off, the person is not read, but the session is."""
    with context_from_headers(HEADERS, identity_headers=False):
        assert seen()[:2] == (None, "session-a")


@pytest.mark.parametrize("value", ["", " ", "\x00", "\n"])
def test_unusable_values_are_none(value):
    """They are cleaned as the interceptors clean them."""
    with context_from_headers([("x-posthog-distinct-id", value), ("X-POSTHOG-DISTINCT-ID", " alice\x07 ")]):
        assert seen()[0] == "alice"
    with context_from_headers({"x-posthog-distinct-id": value}):
        assert seen() == (None, None, {})


def test_headers_of_another_kind_are_passed_over():
    """Bytes and numbers are no headers that this function knows."""
    with context_from_headers([(b"x-posthog-distinct-id", b"alice"), ("x-posthog-session-id", 7)]):
        assert seen() == (None, None, {})
