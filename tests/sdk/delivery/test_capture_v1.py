"""Capture v1 works over real sockets.

The tests show which events are sent again, which are dropped, and what the hooks are told.
"""

import re
import uuid

import pytest

from hogline import PostHog, SettingsError
from hogline.settings import ClientSettings


@pytest.fixture
def v1(make):
    return lambda **options: make(capture_mode="v1", **options)


def fill(client, count, **options):
    return [client.capture(f"e{n}", distinct_id="u", **options) for n in range(count)]


def sent(request):
    return [event["event"] for event in request.body["batch"]]


def by_name(**verdicts):
    return lambda event: verdicts.get(event["event"], "ok")


def balanced(client):
    stats = client.stats()
    assert stats.accepted == stats.sent + stats.waiting + sum(stats.dropped.values())
    return stats


def test_only_what_the_server_wants_again_is_sent_again(v1, sink):
    """The same request: its id and its time of creation stay, the attempt counts, the time in the
    header moves.
    """
    sink.answer(200, headers={"Retry-After": "1"}, verdict=by_name(e1="retry", e3="retry"))
    sink.answer(200, verdict=by_name(e3="retry"))
    client = v1()
    ids = fill(client, 5)
    assert client.flush(30)
    assert [sent(request) for request in sink.requests] == [["e0", "e1", "e2", "e3", "e4"], ["e1", "e3"], ["e3"]]
    headers = [request.headers for request in sink.requests]
    assert [one["posthog-attempt"] for one in headers] == ["1", "2", "3"]
    assert len({one["posthog-request-id"] for one in headers}) == 1
    assert len({one["posthog-request-timestamp"] for one in headers}) == 3
    assert len({request.body["created_at"] for request in sink.requests}) == 1
    assert sink.requests[1].at_s - sink.requests[0].at_s >= 0.9
    assert sorted(event.uuid for event in sink.events) == sorted(ids)
    assert (balanced(client).sent, balanced(client).dropped) == (5, {})


def test_what_the_server_will_never_take_is_dropped_alone_and_reported(v1, sink):
    """The report has the reason, the request's id, and the events.

    The others are delivered.
    """
    dropped, errors = [], []
    sink.answer(200, body=None, verdict=by_name(e1="drop"))
    client = v1(
        on_drop=lambda reason, event: dropped.append((reason, event["event"])),
        on_error=lambda *all_: errors.append(all_),
    )
    fill(client, 3)
    assert client.flush(20)
    assert len(sink.requests) == 1
    assert dropped == [("rejected", "e1")]
    [(error, events)] = errors
    assert (error.status, error.reason, error.events) == (200, "rejected", 1)
    assert error.request_id == sink.requests[0].headers["posthog-request-id"]
    assert "$lib" in events[0]["properties"]  # the event as it was captured, not its v1 form
    assert (balanced(client).sent, balanced(client).dropped) == (2, {"rejected": 1})


def test_retries_of_single_events_are_bounded_too(v1, sink):
    """`max_retries`, then only those events are lost."""
    sink.answer(200, times=9, verdict=by_name(e1="retry"))
    client = v1(max_retries=1)
    fill(client, 2)
    assert client.flush(30)
    assert len(sink.requests) == 2
    assert (balanced(client).sent, balanced(client).dropped) == (1, {"retries_exhausted": 1})


def test_with_a_spool_what_the_server_did_not_take_waits_alone(v1, sink, tmp_path):
    """Events that the server took are recorded in the spool as sent."""
    sink.answer(200, verdict=by_name(e1="retry"))
    client = v1(max_retries=0, spool_dir=tmp_path)
    fill(client, 3)
    assert client.flush(30) is False
    assert (balanced(client).sent, balanced(client).spooled) == (2, 1)
    assert client.shutdown(0) is False or client.stats().spooled == 0
    other = v1(spool_dir=tmp_path)
    assert other.flush(30)
    assert [event.event for event in sink.events] == ["e0", "e2", "e1"]


def test_success_without_results_is_final_and_counted(v1, sink):
    """A captive portal's page: asking again could go on for ever."""
    sink.answer(200, body=b"<html>welcome to our hotel</html>")
    client = v1()
    fill(client, 2)
    assert client.flush(20)
    assert len(sink.requests) == 1
    assert balanced(client).dropped == {"unreadable_answer": 2}


def test_an_id_twice_in_one_batch_does_not_cost_the_batch(v1, sink):
    """The server refuses such a request as a whole."""
    client = v1()
    same = str(uuid.uuid4())
    for name in ("a", "b", "c"):
        client.capture(name, distinct_id="u", uuid=same if name != "b" else None)
    assert client.flush(20)
    assert [sent(request) for request in sink.requests] == [["a", "b"], ["c"]]
    assert len({request.headers["posthog-request-id"] for request in sink.requests}) == 2


def test_a_batch_that_is_too_large_is_halved_into_new_requests(v1, sink):
    """Each half has an id of its own and begins with attempt 1."""
    sink.answer(413)
    client = v1()
    fill(client, 4)
    assert client.flush(20)
    assert [sent(request) for request in sink.requests] == [["e0", "e1", "e2", "e3"], ["e0", "e1"], ["e2", "e3"]]
    assert len({request.headers["posthog-request-id"] for request in sink.requests}) == 3
    assert {request.headers["posthog-attempt"] for request in sink.requests} == {"1"}


@pytest.mark.parametrize(
    ("options", "encoding"),
    [
        ({}, "gzip"), ({"gzip": False}, None), ({"capture_compression": "none"}, None), ({"capture_compression": "identity"}, None),
        ({"capture_compression": "deflate"}, "deflate"), ({"capture_compression": "zstd", "gzip": False}, "zstd"),
        ({"capture_compression": "gzip", "gzip": False}, "gzip"),
    ],
)  # fmt: skip
def test_bodies_are_compressed_as_told(v1, sink, options, encoding):
    """The sink reads what the header names."""
    client = v1(**options)
    fill(client, 3)
    assert client.flush(20)
    [request] = sink.requests
    assert request.headers.get("content-encoding") == encoding
    assert sent(request) == ["e0", "e1", "e2"]


def test_the_old_form_keeps_its_own_compression(make, sink):
    """`capture_compression` is v1's."""
    client = make(capture_compression="zstd")
    fill(client, 1)
    assert client.flush(20)
    assert (sink.requests[0].path, sink.requests[0].headers["content-encoding"]) == ("/batch/", "gzip")


def test_sets_groups_and_the_context_arrive_in_the_v1_form(v1, sink):
    """The client's own methods, not only capture()."""
    from hogline import new_context, set_context_session

    client = v1()
    client.set(distinct_id="u", properties={"plan": "pro"})
    client.group_identify("company", "acme", {"size": 3})
    with new_context():
        set_context_session("s-1")
        client.capture("in", distinct_id="u", groups={"company": "acme"})
    client.capture("nobody")
    assert client.flush(20)
    assert {event["event"]: event for event in sink.requests[0].body["batch"]}.keys() == {
        "$set",
        "$groupidentify",
        "in",
        "nobody",
    }
    person, group, inside, nobody = (event.raw for event in sink.events)
    assert person["properties"]["$set"] == {"plan": "pro"}
    assert group["properties"]["$group_set"] == {"size": 3}
    assert (inside["session_id"], inside["properties"]["$groups"]) == ("s-1", {"company": "acme"})
    assert nobody["options"] == {"process_person_profile": False}


@pytest.mark.parametrize("word", ["v1", "analytics_v1", " V1 "])
def test_the_modes_have_posthog_pythons_names(word):
    """The names work as an option and in the environment."""
    assert ClientSettings.load({"capture_mode": word}, {}).capture_mode == "v1"
    assert ClientSettings.load({}, {"POSTHOG_CAPTURE_MODE": word}).capture_mode == "v1"
    assert ClientSettings.load({"capture_mode": "legacy"}, {"HOGLINE_CAPTURE_MODE": "v1"}).capture_mode == "v0"


def test_posthog_pythons_enums_are_understood():
    """An app moves over by changing an import."""
    from posthog.capture_compression import CaptureCompression
    from posthog.capture_mode import CaptureMode

    for mode in CaptureMode:
        assert ClientSettings.load({"capture_mode": mode}, {}).capture_mode == mode.name.lower().removeprefix(
            "analytics_"
        )
    for compression in CaptureCompression:
        assert ClientSettings.load({"capture_compression": compression}, {}).capture_compression


def test_a_wrong_word_raises_in_code_and_is_a_warning_from_the_environment(caplog):
    """The environment is not the place to end a process."""
    with pytest.raises(SettingsError, match="capture_mode must be one of v0, v1, got 'v2'"):
        PostHog("phc_x", capture_mode="v2")
    with pytest.raises(SettingsError, match=r"capture_compression must be one of none, gzip, deflate, zstd, got 'br'"):
        PostHog("phc_x", capture_compression="br")
    settings = ClientSettings.load({}, {"POSTHOG_CAPTURE_MODE": "v2", "POSTHOG_CAPTURE_COMPRESSION": "br"})
    assert (settings.capture_mode, settings.capture_compression) == ("v0", None)
    assert len(re.findall(r"\(from POSTHOG_CAPTURE_(?:MODE|COMPRESSION)\)", caplog.text)) == 2


def test_without_a_compressor_zstd_is_refused_where_it_is_asked_for(monkeypatch):
    """The error names the package to install."""
    monkeypatch.setattr("hogline.zstd.import_module", lambda name: (_ for _ in ()).throw(ImportError(name)))
    with pytest.raises(SettingsError, match=r"pip install backports\.zstd"):
        PostHog("phc_x", capture_compression="zstd")
