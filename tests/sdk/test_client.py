"""The client sends the right events to the wire, in the right order of precedence.

No error reaches the host.
"""

import asyncio
import dataclasses
import inspect
import logging
import math
import sys
import threading
import uuid
from datetime import UTC, datetime

import posthog as official
import pytest

import hogline
from hogline import EventTooLarge, PostHog, Posthog, new_context, tag
from hogline.integrations.logging import PostHogHandler
from hogline.interceptors.wsgi import PostHogInterceptor
from hogline.propagation.tasks import TaskPolicy
from hogline.testing import RecordingPostHog


@pytest.fixture
def client():
    made = RecordingPostHog()
    yield made
    made.shutdown()


def only(client):
    [event] = client.events
    return event


def test_an_event_carries_what_it_was_told_and_what_the_process_is(client):
    """The id that `capture()` returns is the one on the wire."""
    identity = client.capture("signed up", distinct_id="u1", properties={"plan": "pro"})
    event = only(client)
    assert (event.event, event.distinct_id, event.uuid) == ("signed up", "u1", identity)
    assert event.properties["plan"] == "pro"
    assert event.properties["$lib"] == "hogline"
    assert event.properties["$lib_version"] == hogline.__version__
    assert event.properties["$is_server"] is True
    assert event.properties["$geoip_disable"] is True
    assert {"$os", "$os_version", "$python_runtime", "$python_version"} <= event.properties.keys()
    assert "$process_person_profile" not in event.properties


def test_the_caller_wins_over_the_context_and_the_context_over_the_defaults():
    """In posthog-python super properties and system facts win over the caller."""
    client = RecordingPostHog(super_properties={"a": "default", "b": "default", "c": "default", "$lib": "default"})
    with new_context():
        tag("b", "context")
        tag("c", "context")
        client.capture("x", distinct_id="u", properties={"c": "caller", "$os": "caller"})
    properties = only(client).properties
    assert (properties["a"], properties["b"], properties["c"]) == ("default", "context", "caller")
    assert (properties["$os"], properties["$lib"]) == ("caller", "default")


def test_without_a_person_an_event_belongs_to_nobody(client):
    """The caller's own value is kept; posthog-node overwrites it."""
    for nobody in (None, "", "  ", float("nan"), True):
        client.capture("x", distinct_id=nobody)
    client.capture("x", properties={"$process_person_profile": True})
    *nobodies, own = client.events
    assert all(event.properties["$process_person_profile"] is False for event in nobodies)
    assert len({event.distinct_id for event in client.events}) == 6
    assert own.properties["$process_person_profile"] is True


def test_groups_time_id_and_geoip_are_the_callers(client):
    """Keyword arguments are posthog-python's."""
    wanted = uuid.uuid4()
    client.capture(
        "x", distinct_id=7, groups={"company": "acme"}, timestamp=datetime(2026, 1, 2, 3, 4, tzinfo=UTC),
        uuid=wanted, disable_geoip=False,
    )  # fmt: skip
    event = only(client)
    assert (event.distinct_id, event.uuid, event.timestamp) == ("7", str(wanted), "2026-01-02T03:04:00+00:00")
    assert event.properties["$groups"] == {"company": "acme"}
    assert event.properties["$geoip_disable"] is False


def test_bad_ids_and_times_are_replaced_and_said(client, caplog):
    """The event is not lost."""
    identity = client.capture("x", distinct_id="u", uuid="nope", timestamp="yesterday")
    event = only(client)
    assert event.uuid == identity != "nope"
    assert abs((datetime.fromisoformat(event.timestamp) - datetime.now(UTC)).total_seconds()) < 60
    assert [record.levelname for record in caplog.records] == ["ERROR", "WARNING"]


def test_person_events_carry_no_tags_and_leave_the_callers_dict_alone(client):
    """In posthog-python a tag becomes a property of the person, and the caller's dict grows."""
    properties = {"plan": "pro"}
    with new_context():
        tag("secret", "of the request")
        hogline.set_context_session("s1")
        client.set(distinct_id="u", properties=properties)
        client.set_once(distinct_id="u", properties=properties)
        client.identify("u", properties, anonymous_id="anon")
        client.group_identify("company", "acme", properties)
        client.alias("old", "new")
    assert properties == {"plan": "pro"}
    changed, once, identified, group, alias = client.events
    assert (changed.event, changed.properties["$set"]) == ("$set", {"plan": "pro"})
    assert (once.event, once.properties["$set_once"]) == ("$set_once", {"plan": "pro"})
    assert (identified.event, identified.distinct_id) == ("$identify", "u")
    assert identified.properties["$anon_distinct_id"] == "anon"
    assert (group.event, group.distinct_id) == ("$groupidentify", "$company_acme")
    assert group.properties["$group_set"] == {"plan": "pro"}
    assert (alias.event, alias.distinct_id) == ("$create_alias", "old")
    assert (alias.properties["distinct_id"], alias.properties["alias"]) == ("old", "new")
    for event in client.events:
        assert "secret" not in event.properties
        assert event.properties["$session_id"] == "s1"


def test_person_events_without_a_person_or_properties_are_not_sent(client, caplog):
    """They would set nothing on nobody; the log says so."""
    assert client.set(properties={"a": 1}) is None
    assert client.set(distinct_id="u", properties={}) is None
    assert client.alias("", "new") is None
    assert client.group_identify("", "acme") is None
    assert client.events == []
    assert len(caplog.records) == 4
    with new_context():
        hogline.identify_context("ctx")
        assert client.set(properties={"a": 1}) is not None
    assert only(client).distinct_id == "ctx"


def test_before_send_sees_the_assembled_event_and_may_change_or_drop_it():
    """posthog-node's hook sees it half made."""
    seen = []

    def hook(event):
        seen.append(dict(event["properties"]))
        if event["event"] == "drop":
            return None
        event["properties"]["added"] = object
        event["uuid"] = "broken"
        return event

    dropped = []
    client = RecordingPostHog(before_send=hook, on_drop=lambda reason, event: dropped.append((reason, event["event"])))
    assert client.capture("drop", distinct_id="u") is None
    identity = client.capture("keep", distinct_id="u", groups={"a": "b"})
    assert all({"$lib", "$is_server", "$geoip_disable"} <= properties.keys() for properties in seen)
    assert seen[1]["$groups"] == {"a": "b"}
    event = only(client)
    assert event.uuid == identity
    assert event.properties["added"] == "builtins.object"
    assert dropped == [("before_send", "drop")]


@pytest.mark.parametrize("result", ["raise", 3, "text"])
def test_a_broken_before_send_drops_the_event_and_says_so(result, caplog):
    """Fail closed: a hook that masks secrets must not let them through."""

    def hook(event):
        if result == "raise":
            raise RuntimeError("hook")
        return result

    client = RecordingPostHog(before_send=hook)
    assert client.capture("x", distinct_id="u") is None
    assert client.events == []
    assert client.stats().dropped == {"before_send": 1}
    assert "before_send failed" in caplog.text


def test_an_event_that_is_too_large_is_dropped_with_its_size():
    """Counted; with debug it is raised, with name, size and limit."""
    dropped = []
    client = RecordingPostHog(max_event_bytes=2000, on_drop=lambda reason, event: dropped.append(reason))
    assert client.capture("big", distinct_id="u", properties={"x": "y" * 3000}) is None
    assert dropped == ["too_large"]
    loud = RecordingPostHog(max_event_bytes=2000, debug=True)
    with pytest.raises(EventTooLarge, match=r"event 'big' is \d+ bytes as JSON, over max_event_bytes=2000"):
        loud.capture("big", distinct_id="u", properties={"x": "y" * 3000})


def test_disabled_and_send_false(caplog):
    """Disabled: None. `send=False`: the id, and nothing leaves. Both are counted."""
    disabled = PostHog("phc_x", disabled=True)
    assert disabled.capture("x", distinct_id="u") is None
    assert disabled.stats().dropped == {"disabled": 1}
    silent = PostHog("phc_x", send=False)
    assert silent.capture("x", distinct_id="u") is not None
    assert silent.stats().dropped == {"send_is_false": 1}
    assert caplog.records == []
    for client in (disabled, silent):
        client.shutdown()


def test_opting_out_and_in_takes_effect_at_once():
    """Both the method and the attribute work, and refused events are counted."""
    client = RecordingPostHog()
    client.disable()
    assert client.capture("out", distinct_id="u") is None
    assert client.capture_exception(ValueError()) is None
    client.disabled = False
    assert client.capture("in", distinct_id="u")
    client.disabled = True
    assert client.identify("u") is None
    client.enable()
    assert client.capture("in", distinct_id="u")
    assert [event.event for event in client.events] == ["in", "in"]
    assert client.stats().dropped == {"disabled": 3}


def test_a_client_without_a_token_cannot_be_enabled(caplog):
    """It says why instead of sending what every server refuses."""
    client = PostHog("", disabled=True)
    assert caplog.records == []
    client.enable()
    assert client.disabled
    assert "no project token" in caplog.text
    client.shutdown()


def test_registered_properties_are_on_every_event_and_win_over_nobody():
    """Neither over the context nor over the caller.

    In posthog-python super properties win over both.
    """
    client = RecordingPostHog(super_properties={"built": 1})
    mine = {"plan": "pro", "a": "registered", "b": "registered"}
    client.register(mine)
    mine["plan"] = "changed later"
    with new_context():
        tag("a", "context")
        client.capture("x", distinct_id="u", properties={"b": "caller"})
    client.identify("u")
    client.unregister("plan", "built", "never there")
    client.capture("y", distinct_id="u")
    first, identified, last = (event.properties for event in client.events)
    assert (first["plan"], first["a"], first["b"], first["built"]) == ("pro", "context", "caller", 1)
    assert identified["plan"] == "pro"
    assert not {"plan", "built"} & last.keys()
    assert last["a"] == "registered"


def test_properties_that_are_no_mapping_change_nothing(caplog):
    """Bad data never raises."""
    client = RecordingPostHog()
    client.register(["x"])
    assert "register failed" in caplog.text
    assert client.capture("x", distinct_id="u")


class Explosive(dict):
    def keys(self):
        raise RuntimeError("keys")

    def __iter__(self):
        raise RuntimeError("iter")


@pytest.mark.parametrize("properties", ["text", 3, [("a", 1)], Explosive(a=1)])
def test_bad_data_never_raises(client, properties, caplog):
    """This holds for any value that is handed over.

    The app goes on.
    """
    client.capture("x", distinct_id="u", properties=properties)
    client.set(distinct_id="u", properties=properties)
    client.capture_exception(ValueError("x"), properties=properties)
    client.capture("fine", distinct_id="u")
    assert client.events[-1].event == "fine"


class Bottomless(dict):
    def keys(self):
        raise RecursionError

    __iter__ = keys


LOSING = {
    "no stack left": lambda client: client.capture_exception(ValueError("x"), properties=Bottomless(a=1)),
    "capture": lambda client: client.capture("x", properties=Explosive(a=1)),
    "groups": lambda client: client.capture("x", groups=7),
    "capture_exception": lambda client: client.capture_exception(ValueError("x"), properties=3),
    "set": lambda client: client.set(distinct_id="u", properties=Explosive(a=1)),
    "set_once": lambda client: client.set_once(distinct_id="u", properties=Explosive(a=1)),
    "identify": lambda client: client.identify("u", Explosive(a=1)),
    "group_identify": lambda client: client.group_identify("company", "1", properties=7),
}


@pytest.mark.parametrize("way", LOSING)
def test_an_event_that_cannot_be_made_is_counted(way):
    """It is counted as every loss is, and reported to `on_drop`.

    A disabled client would not have sent it anyway.
    """
    told = []
    client = RecordingPostHog(on_drop=lambda reason, event: told.append((reason, event)))
    assert LOSING[way](client) is None
    stats = client.stats()
    assert (stats.accepted, stats.dropped, told) == (1, {"capture_error": 1}, [("capture_error", None)])
    client.disable()
    LOSING[way](client)
    assert client.stats().dropped["capture_error"] == 1


ENVIRON = {
    "REQUEST_METHOD": "GET", "PATH_INFO": "/", "SERVER_NAME": "shop", "SERVER_PORT": "80", "wsgi.url_scheme": "http",
}  # fmt: skip


class Frozen(dict):
    """A value that a `before_send` may return, and that cannot take the event's id."""

    def __setitem__(self, *_):
        raise TypeError("it cannot be changed")


def logged(client):
    handler, logger = PostHogHandler(client), logging.getLogger("tests.shop")
    logger.addHandler(handler)
    try:
        logger.error("it failed", exc_info=ValueError("x"))
    finally:
        logger.removeHandler(handler)


def task_failed(client):
    with TaskPolicy("queue", {"client": client}).begin(None, name="note") as run:
        run.failed(ValueError("x"))


def request_failed(client):
    def app(environ, start_response):
        raise ValueError("x")

    with pytest.raises(ValueError, match="x"):
        b"".join(PostHogInterceptor(app, client=client, capture_exceptions=True)(dict(ENVIRON), lambda *_: None))


def uncaught(client):
    sys.excepthook(ValueError, ValueError("x"), None)


def flag_read(client):
    assert client.get_feature_flag_result("f", "u").enabled


def snapshot_read(client):
    assert client.evaluate_flags("u").is_enabled("f")


CAPTURES = [logged, task_failed, request_failed, uncaught, flag_read, snapshot_read]


@pytest.mark.parametrize("capture", CAPTURES)
def test_an_event_that_fails_in_any_capture_is_counted_and_nothing_else_fails(sink, capture, tmp_path):
    """This holds for every caller that noticed the exception, or read the flag.

    The flag has its answer, and the app goes on.
    """
    sink.definitions = {"flags": [{"key": "f", "active": True, "filters": {"groups": [{}]}}]}
    told = []
    client = PostHog(
        "phc_test", host=sink.url, before_send=Frozen, capture_exceptions=capture is uncaught, secret_key="phs_x",
        flag_cache_dir=str(tmp_path / "flags"), flag_cold_start_seconds=20, on_drop=lambda *what: told.append(what),
    )  # fmt: skip
    try:
        capture(client)
        stats = client.stats()
        assert (stats.accepted, stats.dropped, told) == (1, {"capture_error": 1}, [("capture_error", None)])
    finally:
        client.shutdown(0)


@pytest.mark.parametrize("capture", CAPTURES[:4])
def test_an_exception_that_a_disabled_client_refuses_is_counted(capture):
    """This holds whichever part noticed the exception."""
    client = PostHog("phc_test", disabled=True, capture_exceptions=capture is uncaught)
    try:
        capture(client)
        assert client.stats().dropped == {"disabled": 1}
    finally:
        client.shutdown(0)


SAYS_TOO_LITTLE = {
    "set without a person": lambda client: client.set(properties={"a": 1}),
    "set_once without properties": lambda client: client.set_once(distinct_id="u"),
    "identify without a person": lambda client: client.identify(None, {"a": 1}),
    "alias without ids": lambda client: client.alias("", ""),
    "a group without a key": lambda client: client.group_identify("company", None),
    "no exception": lambda client: client.capture_exception(),
}


@pytest.mark.parametrize("way", SAYS_TOO_LITTLE)
def test_what_says_too_little_for_an_event_is_counted(way):
    """A warning alone is easily missed."""
    client = RecordingPostHog()
    assert SAYS_TOO_LITTLE[way](client) is None
    assert (client.events, client.stats().dropped) == ([], {"incomplete": 1})
    client.disable()
    SAYS_TOO_LITTLE[way](client)
    assert sum(client.stats().dropped.values()) == 2


def test_what_sends_no_event_loses_none():
    """A failed `register()` is logged."""
    client = RecordingPostHog()
    client.register(["x"])
    assert client.stats().accepted == 0


def test_failures_that_take_turns_are_logged_once_a_minute_each(caplog):
    """They are not logged for each event."""
    client = RecordingPostHog(before_send=lambda event: 1 / 0)
    for _ in range(20):
        client.capture("x")
        client.capture("x", properties=Explosive(a=1))
    failures = [record.getMessage() for record in caplog.records if "the app goes on" in record.getMessage()]
    assert sorted(text.split()[1] for text in failures) == ["before_send", "capture"]


def test_a_working_directory_that_is_gone_stops_nobody(tmp_path, monkeypatch):
    """A deployment removes the folder under a running process."""
    (gone := tmp_path / "gone").mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    client = RecordingPostHog()
    client.capture_exception(ValueError("x"))
    assert only(client).event == "$exception"


@pytest.mark.parametrize("seconds", [math.inf, math.nan, threading.TIMEOUT_MAX * 2])
def test_waiting_for_ever_is_waiting_as_long_as_it_takes(sink, seconds):
    """It raised, and nothing was sent."""
    client = PostHog("phc_x", host=sink.url)
    client.capture("first", distinct_id="u")
    assert client.flush(seconds)
    client.capture("second", distinct_id="u")
    assert client.shutdown(seconds)
    assert client.stats().sent == 2


def test_a_recording_client_asks_nobody(sink):
    """This holds whatever the options are, so a test touches no network."""
    client = RecordingPostHog(host=sink.url, secret_key="phx_secret", flag_cache_dir="")
    client.load_feature_flags()
    client.evaluate_flags("u")
    client.get_feature_flag_result("new-shop", "u")
    client.get_remote_config_payload("conf")
    client.shutdown()
    assert sink.requests == []


def test_wrong_use_raises_a_type_error_at_the_call(client):
    """A programming error should not wait for a log line."""
    with pytest.raises(TypeError):
        client.capture()
    with pytest.raises(TypeError):
        client.capture("x", "u")
    with pytest.raises(TypeError):
        client.capture("x", nonsense=1)
    with pytest.raises(TypeError):
        client.group_identify()


def test_capture_exception_sends_what_is_being_handled_once(client):
    """The same object again returns None; outside an except block there is nothing to send."""
    assert client.capture_exception() is None
    try:
        raise KeyError("k") from ValueError("v")
    except KeyError as error:
        identity = client.capture_exception(properties={"note": 1}, distinct_id="u")
        assert client.capture_exception(error) is None
    event = only(client)
    assert (event.event, event.uuid, event.distinct_id) == ("$exception", identity, "u")
    assert event.properties["note"] == 1
    assert event.properties["$exception_level"] == "error"
    outer, inner = event.properties["$exception_list"]
    assert (outer["type"], inner["type"]) == ("KeyError", "ValueError")
    assert outer["mechanism"]["handled"] is True
    assert outer["stacktrace"]["frames"][-1]["context_line"].strip() == 'raise KeyError("k") from ValueError("v")'


def test_an_exception_that_refuses_everything_is_captured(client):
    """Frozen, slotted, lying about itself."""

    @dataclasses.dataclass(frozen=True)
    class Frozen(Exception):  # noqa: N818
        code: int

    class Hostile(Exception):  # noqa: N818
        def __getattribute__(self, name):
            raise RuntimeError(name)

        def __str__(self):
            raise RuntimeError("str")

        __repr__ = __str__

        def __eq__(self, other):
            raise RuntimeError("eq")

        __hash__ = None

    assert client.capture_exception(Frozen(1)) is not None
    assert client.capture_exception(Hostile()) is not None
    assert [event.properties["$exception_list"][0]["type"].rpartition(".")[2] for event in client.events] == [
        "Frozen",
        "Hostile",
    ]


def test_what_waits_has_an_awaitable_form(sink):
    """`aflush` and `ashutdown` let the loop run meanwhile."""
    client = PostHog("phc_x", host=sink.url, flush_interval=60)
    ticks = []

    async def main():
        sink.answer(200, delay_s=0.3)
        client.capture("x", distinct_id="u")
        ticking = asyncio.create_task(tick())
        assert await client.aflush()
        ticking.cancel()
        assert await client.ashutdown()

    async def tick():
        while True:
            ticks.append(1)
            await asyncio.sleep(0.01)

    asyncio.run(main())
    assert len(ticks) > 5
    assert [event.event for event in sink.events] == ["x"]


def test_the_module_uses_the_first_client_or_the_chosen_one(posthog, sink, monkeypatch):
    """`hogline.capture` is the default client's."""
    hogline.capture("module", distinct_id="u")
    hogline.capture_exception(ValueError("x"))
    assert [event.event for event in posthog.events] == ["module", "$exception"]
    hogline.set_default_client(None)
    monkeypatch.setenv("HOGLINE_PROJECT_TOKEN", "phc_env")
    monkeypatch.setenv("HOGLINE_HOST", sink.url)
    first = PostHog("phc_first", host=sink.url)
    assert hogline.default_client() is first or hogline.default_client() is posthog
    first.shutdown()


def test_posthog_pythons_spelling_of_the_class_works():
    """An app moves over by changing an import."""
    assert Posthog is PostHog


METHODS = ["capture", "set", "set_once", "alias", "group_identify", "capture_exception", "flush", "shutdown"]
# Flags come with their own change; the rest has no meaning here.
NOT_YET = {"flags", "send_feature_flags"}


@pytest.mark.parametrize("method", METHODS)
def test_keyword_arguments_are_posthog_pythons(method):
    """Compared with the installed official package."""
    theirs = inspect.signature(getattr(official.Posthog, method)).parameters
    ours = inspect.signature(getattr(PostHog, method)).parameters
    names = {
        name
        for name, parameter in theirs.items()
        if parameter.kind not in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL)
    }
    missing = names - ours.keys() - NOT_YET
    assert any(p.kind is p.VAR_KEYWORD for p in ours.values()) or not missing, missing


def test_a_logger_is_all_that_speaks(client, capsys):
    """No print, no warning."""
    client.capture("x", distinct_id="u", uuid="nope")
    logging.getLogger("hogline").handlers.clear()
    assert capsys.readouterr().out == ""


def test_captured_exceptions_are_logged_for_who_asks(caplog):
    """They are logged with their traceback, once.

    A handler of ours makes no second event of that.
    """
    quiet, loud = RecordingPostHog(), RecordingPostHog(log_captured_exceptions=True)
    handler = PostHogHandler(loud)
    logging.getLogger().addHandler(handler)
    try:
        error = ValueError("boom")
        assert quiet.capture_exception(error)
        assert caplog.records == []
        error = ValueError("boom")
        assert loud.capture_exception(error)
    finally:
        logging.getLogger().removeHandler(handler)
    [record] = caplog.records
    assert (record.name, record.exc_info[1]) == ("hogline", error)
    assert len(loud.events) == 1


def test_a_group_without_properties_is_identified_all_the_same(posthog):
    """Its type and key are what the event says."""
    posthog.group_identify("company", "acme")
    [event] = posthog.events
    assert event.properties["$group_set"] == {}
    assert (event.properties["$group_type"], event.properties["$group_key"]) == ("company", "acme")
