"""The interceptor's callbacks: called only when something is captured, and harmless when they
raise.
"""

import itertools
import os

import pytest

from tests.support.behaviours import shows
from tests.support.sink import exception_of, person_of
from tests.support.site import needs, visitor

_calls = itertools.count(1)


def each(site):
    """Return the option sets with callbacks: synchronous, and asynchronous where the framework
    takes them.
    """
    return ["callbacks"] if "awaited" in site.framework.lacks else ["callbacks", "awaited"]


@pytest.fixture
def call():
    return f"call-{os.getpid()}-{next(_calls)}"


def test_callbacks_say_who_acts_and_more(site):
    """Callbacks get the framework's own request.

    They may be asynchronous where the framework is.
    """
    headers = [*visitor("alice"), ("X-User", "user-7"), ("X-Plan", "gold")]
    for options in each(site):
        event = site.event(site.ask("/capture", options=options, headers=headers))
        assert (event.distinct_id, event.properties["plan"]) == ("user-7", "gold")
        assert event.properties["$session_id"] == "session-alice"


def test_callbacks_serve_exceptions_too(site):
    """The exception event has the person of `distinct_id` and the properties of `properties`."""
    for options in each(site):
        event = site.event(site.ask("/error", options=options, headers=[("X-User", "user-7"), ("X-Plan", "gold")]))
        assert (event.distinct_id, event.properties["plan"]) == ("user-7", "gold")
        assert exception_of(event) == ("ValueError", False, 500)


def test_callbacks_serve_streams_too(site):
    """Callbacks still get the request when an event is captured inside a streamed body."""
    for options in each(site):
        answer = site.ask("/stream", options=options, headers=[("X-User", "user-7")])
        assert {event.distinct_id for event in site.events(answer, 3)} == {"user-7"}


def test_a_filtered_request_is_left_alone(site):
    """When `request_filter` returns False, there is no context and no exception event.

    The next request is as usual.
    """
    out = [*visitor("alice"), ("X-Filter", "out")]
    for options in each(site):
        event = site.event(site.ask("/capture", options=options, headers=out))
        assert person_of(event) is None
        assert {"$current_url", "$session_id", "$request_id"} & set(event.properties) == set()
        assert site.ask("/who", options=options, headers=out).body == b"-"
        answer = site.ask("/error", options=options, headers=out)
        assert answer.status == 500
        site.events(answer, 0)
        assert person_of(site.event(site.ask("/capture", options=options, headers=visitor("bob")))) == "bob"


def test_callbacks_are_not_asked_before_something_is_captured(site, call):
    """A request that captures nothing calls only `request_filter`."""
    asked = [("X-Call", call), ("X-User", "user-7"), ("X-Plan", "gold")]
    assert site.ask("/nothing", options="callbacks", headers=asked).body == b"nothing"
    assert site.asked(call) == 0
    site.event(site.ask("/capture", options="callbacks", headers=asked))
    assert site.asked(call) == 2  # distinct_id once, properties once


def test_callbacks_are_asked_once_for_each_request(site, call):
    """A request with three events calls each callback once."""
    site.events(site.ask("/stream", options="callbacks", headers=[("X-Call", call), ("X-User", "user-7")]), 3)
    assert site.asked(call) == 2


@shows("callback-errors")
def test_callbacks_that_raise_are_logged_once_and_skipped(site):
    """The request is served, and its events are sent with the ids of its headers."""
    _fail(site, "raising", "plain")


@shows("callback-errors")
@needs("awaited")
def test_awaited_callbacks_that_raise_are_logged_once_and_skipped(site):
    """The same holds for asynchronous callbacks."""
    _fail(site, "awaited-raising", "awaited")


def _fail(site, options, word):
    for _ in range(3):
        answer = site.ask("/capture", options=options, headers=visitor("alice"))
        event = site.event(answer)
        assert (answer.status, event.properties["$session_id"]) == (200, "session-alice")
        assert person_of(event) == "alice"
    answer = site.ask("/error", options=options)
    assert exception_of(site.event(answer)) == ("ValueError", False, 500)
    log = site.server.log
    for name in ("distinct_id", "properties", "request_filter"):
        assert log.count(f"CallbackError('{word} {name}')") == 1, log[-2000:]
