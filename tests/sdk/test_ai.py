"""AI events go to an endpoint and through a queue of their own, up to 8 MiB each."""

import pytest

from hogline import PostHog
from hogline.testing import RecordingPostHog, recording

AI_PATH = "/i/v0/ai/batch/"


@pytest.fixture
def connect(sink):
    made = []

    def connected(**options):
        made.append(PostHog("phc_test", host=sink.url, **{"flush_interval": 0.05} | options))
        return made[-1]

    yield connected
    for client in made:
        client.shutdown(5)


@pytest.mark.parametrize("mode", ["v0", "v1"])
def test_an_ai_event_goes_to_the_endpoint_for_these(connect, sink, mode):
    """The request has the legacy body whatever the capture mode is.

    The event's name decides nothing.
    """
    client = connect(capture_mode=mode)
    identity = client.capture_ai("$ai_generation", distinct_id="u1", properties={"$ai_model": "m"}, groups={"org": "a"})
    other = client.capture("$ai_generation", distinct_id="u1")
    assert client.flush(20)
    assert len(sink.asked(AI_PATH)) == 1
    events = {event.uuid: event for event in sink.events}
    assert set(events) == {identity, other}
    assert (events[identity].event, events[identity].distinct_id) == ("$ai_generation", "u1")
    assert events[identity].properties["$ai_model"] == "m"
    assert events[identity].properties["$groups"] == {"org": "a"}


def test_a_large_ai_event_is_sent_and_a_larger_one_is_counted(connect, sink):
    """8 MiB there, `max_event_bytes` elsewhere."""
    client = connect()
    assert client.capture_ai("$ai_generation", distinct_id="u1", properties={"text": "x" * 7_000_000}) is not None
    assert client.capture("$ai_generation", distinct_id="u1", properties={"text": "x" * 7_000_000}) is None
    assert client.capture_ai("$ai_generation", distinct_id="u1", properties={"text": "x" * 9_000_000}) is None
    assert client.flush(30)
    assert len(sink.asked(AI_PATH)) == 1
    stats = client.stats()
    assert (stats.accepted, stats.sent, dict(stats.dropped)) == (3, 1, {"too_large": 2})


def test_an_ai_endpoint_that_fails_holds_nothing_else_up(connect, sink):
    """Its own queue and thread; the event is sent when the endpoint is there again."""
    sink.answer(500, path=AI_PATH, times=2)
    client = connect()
    client.capture_ai("$ai_span", distinct_id="u1")
    client.capture("click", distinct_id="u1")
    assert client._delivery.flush(5)
    assert [event.event for event in sink.events] == ["click"]
    assert client.flush(30)
    assert len(sink.named("$ai_span")) == 1
    assert client.stats().retried >= 2


def test_before_send_disabling_and_shutdown_hold_for_ai_events_too(connect, sink):
    """They hold as for all other events."""
    client = connect(before_send=lambda event: None if event["event"] == "$ai_noise" else event)
    assert client.capture_ai("$ai_noise", distinct_id="u1") is None
    assert client.capture_ai("$ai_trace", distinct_id="u1") is not None
    assert client.shutdown(20)
    assert [event.event for event in sink.events] == ["$ai_trace"]
    assert client.capture_ai("$ai_trace", distinct_id="u1") is None
    client.disable()
    assert client.capture_ai("$ai_trace", distinct_id="u1") is None
    assert dict(client.stats().dropped) == {"before_send": 1, "shutdown": 1, "disabled": 1}


def test_ai_events_wait_on_disk_and_are_recorded_in_tests(connect, sink, tmp_path):
    """They wait in a folder beside that of other events, and the test kit sees them."""
    client = connect(spool_dir=tmp_path)
    client.capture_ai("$ai_trace", distinct_id="u1")
    assert (tmp_path / "ai").is_dir()
    assert client.flush(20)
    with recording() as posthog:
        client.capture_ai("$ai_span", distinct_id="u1")
        posthog.capture_ai("$ai_metric", distinct_id="u1")
        assert {event.event for event in posthog.events} == {"$ai_span", "$ai_metric"}
    assert [event.event for event in sink.events] == ["$ai_trace"]
    own = RecordingPostHog()
    own.capture_ai("$ai_trace", distinct_id="u1")
    assert len(own.events) == 1
    own.shutdown()
