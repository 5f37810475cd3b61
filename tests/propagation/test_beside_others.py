"""Beside OpenTelemetry and the official package: spans and posthog-python's contexts know whose
request it is.
"""

import subprocess
import sys

import posthog as official
import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

import hogline
from hogline.interceptors.wsgi import PostHogInterceptor
from hogline.propagation.opentelemetry import PostHogSpanProcessor
from hogline.propagation.posthog import mirror, unmirror
from tests.propagation.test_outgoing import acting
from tests.support.serving import VISITOR, serving


@pytest.fixture
def spans():
    """A tracer, and the finished spans' attributes by name."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(PostHogSpanProcessor())
    provider.add_span_processor(SimpleSpanProcessor(exporter))

    class Spans:
        tracer = provider.get_tracer("test")

        @property
        def attributes(self):
            return {span.name: dict(span.attributes or {}) for span in exporter.get_finished_spans()}

    yield Spans()
    provider.shutdown()


MARKED = {"sessionId": "session-a", "posthogDistinctId": "alice"}


def test_spans_know_the_session_and_the_person(spans):
    """Spans get the attributes as they start.

    So does the span around the context, which began before it.
    """
    with spans.tracer.start_as_current_span("server"), acting(), spans.tracer.start_as_current_span("query"):
        pass
    assert spans.attributes == {"query": MARKED, "server": MARKED}


def test_who_signs_in_on_the_way_is_on_later_spans_and_on_the_one_around_them(spans):
    """A span's attributes can be completed as long as it runs."""
    with acting(None, "session-a"), spans.tracer.start_as_current_span("request"):
        hogline.identify_context("bob")
        with spans.tracer.start_as_current_span("query"):
            pass
    bob = {"sessionId": "session-a", "posthogDistinctId": "bob"}
    assert spans.attributes == {"request": bob, "query": bob}


def test_what_a_span_says_already_stays(spans):
    """An attribute of the app's own."""
    with acting(), spans.tracer.start_as_current_span("own", attributes={"posthogDistinctId": "own"}):
        pass
    assert spans.attributes == {"own": MARKED | {"posthogDistinctId": "own"}}


def test_spans_outside_a_context_stay_as_they_are(spans):
    """The processor never fails a span."""
    with spans.tracer.start_as_current_span("alone"):
        pass
    with acting(None, None), spans.tracer.start_as_current_span("nobody"):
        pass
    assert spans.attributes == {"alone": {}, "nobody": {}}


def test_events_inside_a_span_know_the_trace(spans, posthog):
    """The other direction, and both at once."""
    with acting(), spans.tracer.start_as_current_span("query") as span:
        try:
            raise ValueError
        except ValueError as error:
            posthog.capture_exception(error)
    [event] = posthog.events
    assert event.properties["$trace_id"] == f"{span.get_span_context().trace_id:032x}"


def test_only_who_asks_for_it_imports_the_other_library():
    """`import hogline` and the other propagation files load neither."""
    script = (
        "import sys, hogline, hogline.propagation.tasks, hogline.propagation.threads, hogline.propagation.outgoing\n"
        "print([m for m in ('opentelemetry', 'posthog', 'celery', 'httpx', 'requests', 'aiohttp') if m in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    assert run.stdout == "[]\n"


@pytest.fixture
def theirs():
    """An official client whose events stay here, with its contexts mirrored."""
    sent = []

    def keep(event):
        sent.append(event)

    client = official.Posthog("phc_official", host="http://127.0.0.1:9", before_send=keep, sync_mode=True)
    client.sent = sent
    mirror()
    mirror()
    yield client
    unmirror()
    client.shutdown()


def test_the_official_packages_calls_inherit_the_request(theirs, posthog, sink):
    """Inside a real request they have session, person, window, facts and tags; outside they have
    none.
    """

    def app(environ, start_response):
        hogline.tag("plan", "pro")
        theirs.capture("theirs", properties={"own": 1})
        posthog.capture("ours")
        start_response("200 OK", [])
        return [b"ok"]

    with serving(PostHogInterceptor(app, client=posthog), posthog, sink) as site:
        assert site.get("/page", VISITOR).status == 200
    theirs.capture("outside", distinct_id="x")
    inside, outside = theirs.sent
    told = inside["properties"]
    assert (inside["distinct_id"], told["$session_id"], told["$window_id"]) == ("alice", "session-a", "window-a")
    assert (told["plan"], told["own"], told["$request_path"]) == ("pro", 1, "/page")
    assert {"$session_id", "$window_id", "plan"} & outside["properties"].keys() == set()
    [ours] = posthog.events
    assert ours.properties["$request_id"] == told["$request_id"]


def test_their_own_contexts_stand_inside_ours(theirs):
    """Theirs win, inherit ours, and leave it as it was; a fresh one inherits nothing."""
    with acting():
        with official.new_context():
            official.identify_context("theirs")
            official.tag("where", "theirs")
            theirs.capture("inner")
        theirs.capture("after")
        with official.new_context(fresh=True):
            theirs.capture("fresh")
    inner, after, fresh = theirs.sent
    assert (inner["distinct_id"], inner["properties"]["where"], inner["properties"]["$session_id"]) == (
        "theirs",
        "theirs",
        "session-a",
    )
    assert (after["distinct_id"], after["properties"]["$session_id"]) == ("alice", "session-a")
    assert "where" not in after["properties"]
    assert "$session_id" not in fresh["properties"]


def test_what_is_said_to_them_in_our_context_is_said_to_us(theirs):
    """`posthog.tag()` and its kin, where they have no context of their own."""
    with hogline.new_context():
        official.identify_context("alice")
        official.tag("plan", "pro")
        official.set_context_session("s1")
        assert hogline.get_context_distinct_id() == "alice"
        assert hogline.get_tags() == {"plan": "pro"}
        assert hogline.get_context_session_id() == "s1"
    assert official.get_tags() == {}


def test_without_the_mirror_they_know_nothing_of_ours():
    """The patch can be taken away."""
    mirror()
    unmirror()
    unmirror()
    with acting():
        assert official.get_tags() == {}
