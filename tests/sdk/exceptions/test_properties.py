"""An exception event has more properties than its list: level, grouping, release and trace.

Callers cannot set those that are not theirs.
"""

import subprocess
import sys

import pytest

from hogline import new_context, tag
from hogline.interceptors.wsgi import PostHogInterceptor
from hogline.testing import RecordingPostHog
from hogline.tracebacks.event import RESERVED


def only(client):
    [event] = client.events
    return event


LEVELS = {
    "fatal": "fatal", "critical": "fatal", "alert": "fatal", "emergency": "fatal", "error": "error", "warning": "warning",
    "warn": "warning", "log": "log", "info": "info", "notice": "info", "debug": "debug", "trace": "debug",
    " CRITICAL ": "fatal", "Warn": "warning", "loud": "error", "": "error", 40: "error", None: "error",
}  # fmt: skip


@pytest.mark.parametrize("word", LEVELS)
def test_the_level_is_the_callers_in_posthogs_words(posthog, word):
    """A value that is no level is left out
    (docs/internals/capture-protocol.md#exception-properties).
    """
    posthog.capture_exception(ValueError("x"), properties={"$exception_level": word})
    assert only(posthog).properties["$exception_level"] == LEVELS[word]


def test_a_context_may_say_the_level_and_the_caller_wins(posthog):
    """A worker whose failures are warnings."""
    with new_context():
        tag("$exception_level", "notice")
        posthog.capture_exception(ValueError("x"))
        posthog.capture_exception(ValueError("x"), properties={"$exception_level": "alert"})
    assert [event.properties["$exception_level"] for event in posthog.events] == ["info", "fatal"]


@pytest.mark.parametrize(("forced", "sent"), [("checkout", "checkout"), (42, "42")])
def test_the_fingerprint_is_the_callers(posthog, forced, sent):
    """A text, as the server expects it."""
    posthog.capture_exception(ValueError("x"), properties={"$exception_fingerprint": forced})
    assert only(posthog).properties["$exception_fingerprint"] == sent


@pytest.mark.parametrize("name", sorted(RESERVED))
def test_reserved_properties_are_ignored(posthog, name):
    """From the caller, the context and the client's own.

    In posthog-python they overwrite what the SDK knows.
    """
    posthog.register({name: "super"})
    with new_context():
        tag(name, "context")
        posthog.capture_exception(ValueError("x"), properties={name: "caller", "mine": 1})
    properties = only(posthog).properties
    assert properties.get(name) not in ("super", "context", "caller")
    assert properties["mine"] == 1
    assert properties["$exception_list"][0]["type"] == "ValueError"


def test_a_triple_of_exc_info_is_an_exception(posthog):
    """posthog-python accepts it too.

    The traceback of the triple counts.
    """
    try:
        raise ValueError("x")
    except ValueError:
        triple = sys.exc_info()
    triple[1].__traceback__ = None
    assert posthog.capture_exception(triple) is not None
    assert posthog.capture_exception((None, None, None)) is None
    entry = only(posthog).properties["$exception_list"][0]
    assert entry["stacktrace"]["frames"][-1]["context_line"].strip() == 'raise ValueError("x")'
    assert entry["mechanism"]["synthetic"] is False


@pytest.mark.parametrize(
    ("environ", "options", "release"),
    [
        ({"HOGLINE_RELEASE_ID": " r1 ", "POSTHOG_RELEASE_ID": "r2"}, {}, "r1"),
        ({"POSTHOG_RELEASE_ID": "r2"}, {}, "r2"),
        ({"POSTHOG_RELEASE_ID": "  "}, {}, None),
        ({"POSTHOG_RELEASE_ID": "r2"}, {"release_id": "r3"}, "r3"),
        ({"POSTHOG_RELEASE_ID": "r2"}, {"super_properties": {"$release_id": "own"}}, "own"),
        ({}, {}, None),
    ],
)
def test_the_release_is_on_every_event(monkeypatch, environ, options, release):
    """Read once; super properties and the caller win.

    Source: docs/internals/capture-protocol.md#default-properties.
    """
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    client = RecordingPostHog(**options)
    client.capture_exception(ValueError("x"))
    client.capture("x", distinct_id="u")
    client.set(distinct_id="u", properties={"a": 1})
    client.capture("x", distinct_id="u", properties={"$release_id": "caller"})
    *events, own = client.events
    assert [event.properties.get("$release_id") for event in events] == [release] * 3
    assert own.properties["$release_id"] == "caller"


@pytest.fixture
def span():
    trace = pytest.importorskip("opentelemetry.sdk.trace")
    with trace.TracerProvider().get_tracer("test").start_as_current_span("checkout") as active:
        context = active.get_span_context()
        yield {"$trace_id": f"{context.trace_id:032x}", "$span_id": f"{context.span_id:016x}"}


def ids(event):
    return {name: event.properties[name] for name in ("$trace_id", "$span_id") if name in event.properties}


def test_an_exception_has_the_ids_of_the_active_span(posthog, span):
    """The exception is captured by hand, or seen by an interceptor while the span was active.

    Other events have the ids only when an option says so.
    """

    def app(environ, start):
        raise ValueError("x")

    posthog.capture_exception(ValueError("x"))
    with pytest.raises(ValueError, match="x"):
        PostHogInterceptor(app, client=posthog, capture_exceptions=True)({"REQUEST_METHOD": "GET"}, None)
    posthog.capture_exception(ValueError("x"), properties={"$trace_id": "own"})
    posthog.capture("x", distinct_id="u")
    by_hand, seen, own, plain = posthog.events
    assert ids(by_hand) == ids(seen) == span
    assert ids(own) == {**span, "$trace_id": "own"}
    assert ids(plain) == {}


def test_all_events_have_the_ids_when_asked_for(span):
    """`capture_trace_context=True`; the caller wins."""
    client = RecordingPostHog(capture_trace_context=True)
    client.capture("x", distinct_id="u")
    client.identify("u", {"a": 1})
    client.capture("x", distinct_id="u", properties={"$span_id": "own"})
    plain, identified, own = client.events
    assert ids(plain) == ids(identified) == span
    assert ids(own) == {**span, "$span_id": "own"}


def test_without_a_span_there_are_no_ids(posthog):
    """OpenTelemetry may be loaded all the same."""
    pytest.importorskip("opentelemetry.trace")
    posthog.capture_exception(ValueError("x"))
    assert ids(only(posthog)) == {}


def test_opentelemetry_is_never_loaded_for_it():
    """It takes a tenth of a second."""
    script = """if True:
        import sys
        from hogline.testing import RecordingPostHog
        client = RecordingPostHog(capture_trace_context=True)
        client.capture_exception(ValueError("x"))
        assert len(client.events) == 1
        assert not [name for name in sys.modules if name.startswith("opentelemetry")]
    """
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)


@pytest.mark.parametrize("calls_left", [3, 10])
def test_a_recursion_error_is_captured_where_few_calls_are_left(posthog, caplog, calls_left):
    """Nothing of the capture shows in it."""
    unwound = 0

    def down(n):
        nonlocal unwound
        try:
            down(n + 1)
        except RecursionError as error:
            unwound += 1
            if unwound == calls_left:
                posthog.capture_exception(error, properties={"depth": n})
                return
            raise

    down(1)
    [event] = posthog.events
    [entry] = event.properties["$exception_list"]
    assert entry["type"] == "RecursionError"
    assert event.properties["depth"] > 100
    assert {frame["function"] for frame in entry["stacktrace"]["frames"][-40:]} == {"down"}
    assert caplog.records == []


def test_a_capture_on_the_last_call_raises_nothing(posthog, caplog):
    """There is no event where not one more call is possible.

    The app goes on.
    """

    def down(n):
        try:
            down(n + 1)
        except RecursionError as error:
            posthog.capture_exception(error)
            return

    down(1)
    assert caplog.records == []


def test_a_scope_captures_as_its_client_was_told():
    """`new_context(capture_exceptions=None)`, as in posthog-python."""
    eager, quiet = RecordingPostHog(capture_exceptions=True), RecordingPostHog()
    for client, asked, count in ((eager, None, 1), (quiet, None, 0), (quiet, True, 1), (eager, False, 0)):
        client.clear()
        with pytest.raises(ValueError, match="x"), new_context(capture_exceptions=asked, client=client):
            raise ValueError("x")
        assert len(client.events) == count
    eager.shutdown()
    quiet.shutdown()
