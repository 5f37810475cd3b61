"""Local evaluation: when definitions are asked for, what happens without them, and what the server
is still asked.
"""

import asyncio
import json
import logging
import os
import stat
import subprocess
import sys
import tempfile
import threading

import pytest

from hogline import PostHog, SettingsError
from hogline.flags.remote.disk_cache import DiskCache, State, default_folder
from hogline.flags.remote.poller import next_wait_s
from tests.sdk.flags.conftest import called
from tests.support.faults import Faults, hang

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")
DEFINITIONS = "/flags/definitions"


def flag(key, *properties, rollout=100, **more):
    filters = {"groups": [{"properties": list(properties), "rollout_percentage": rollout}], **more.pop("filters", {})}
    return {"id": 3, "key": key, "active": True, "version": 5, "filters": filters, **more}


PRO = {"key": "plan", "value": "pro", "operator": "exact", "type": "person"}


def test_definitions_are_asked_for_with_the_secret_key_when_flags_are_first_used(sink, local):
    """They are requested neither when the client is made nor by `capture()`."""
    sink.definitions = {"flags": [flag("f", filters={"payloads": {"true": '{"a": 1}'}}, has_experiment=True)]}
    local.capture("before", distinct_id="u1")
    local.flush(20)
    assert sink.asked(DEFINITIONS) == []
    result = local.get_feature_flag_result("f", "u1")
    assert (result.get_value(), result.payload) == (True, {"a": 1})
    [request] = sink.asked(DEFINITIONS)
    assert request.path == "/flags/definitions?token=phc_test&send_cohorts"
    assert request.headers["authorization"] == "Bearer phs_secret"
    assert sink.asked("/flags/") == []
    [event] = called(sink, local)
    said = {name: value for name, value in event.properties.items() if "feature" in name or name == "locally_evaluated"}
    assert said == {
        "$feature_flag": "f", "$feature_flag_response": True, "$feature/f": True, "locally_evaluated": True, "$feature_flag_payload": {"a": 1},
        "$feature_flag_id": 3, "$feature_flag_version": 5, "$feature_flag_reason": "Evaluated locally", "$feature_flag_has_experiment": True,
    }  # fmt: skip


def test_what_is_unchanged_is_not_sent_again(sink, local):
    """The etag of the definitions at hand."""
    sink.definitions = {"flags": [flag("f")]}
    assert local.load_feature_flags()
    assert local.load_feature_flags()
    first, second = sink.asked(DEFINITIONS)[-2:]
    assert (first.status, second.status) == (200, 304)
    assert second.headers["if-none-match"]
    assert local.get_feature_flag("f", "u1") is True


def test_new_definitions_arrive_by_themselves(sink, connect):
    """The poller's next look."""
    sink.definitions = {"flags": [flag("f", rollout=0)]}
    client = connect(secret_key="phs_secret", poll_interval=0.1)
    assert client.get_feature_flag("f", "u1") is False
    sink.definitions = {"flags": [flag("f")]}
    sink.wait_until(lambda: client.get_feature_flag("f", "u1") is True)


def test_a_server_out_of_reach_holds_nobody_up_for_longer_than_the_cold_start(sink, connect):
    """Then the server is asked for the flag itself: never a silent False."""
    proxy = Faults(sink.url, hang, hang, hang)
    client = connect(host=proxy.url, secret_key="phs_secret", flag_cold_start_seconds=0.2, feature_flags_request_timeout_seconds=0.2,
                     feature_flags_request_max_retries=0)  # fmt: skip
    sink.flags = {"f": True}
    assert client.get_feature_flag("f", "u1") is None  # the proxy hangs here too: unknown, and not False
    sink.definitions = {"flags": []}
    assert client.evaluate_flags("u1").error == "timeout"
    assert client.get_feature_flag("f", "u1") is True
    proxy.stop()


def test_without_definitions_and_only_locally_the_answer_is_unknown(sink, local, caplog):
    """None and a warning."""
    with caplog.at_level(logging.WARNING, "hogline"):
        assert local.get_feature_flag("f", "u1", only_evaluate_locally=True) is None
        assert local.evaluate_flags("u2", only_evaluate_locally=True).get_flag("f") is None
    assert "no definitions are loaded" in caplog.text
    assert "check secret_key" in caplog.text
    assert sink.asked("/flags/") == []
    errors = [event.properties["$feature_flag_error"] for event in called(sink, local)]
    assert errors == ["local_evaluation_inconclusive"] * 2  # it may well exist


def test_what_cannot_be_known_here_is_asked_of_the_server(sink, local):
    """One request asks for all of them.

    The rules win in a snapshot, the server in `get_all_flags`.
    """
    sink.definitions = {"flags": [flag("here"), flag("there", PRO), flag("inactive", active=False)]}
    sink.flags = {"here": "from the server", "there": "pro variant", "new": True}
    flags = local.evaluate_flags("u1")
    assert {key: flags.get_flag(key) for key in flags.keys} == {
        "here": True,
        "inactive": False,
        "there": "pro variant",
        "new": True,
    }
    assert dict(flags.unresolved_flags) == {}
    assert len(sink.asked("/flags/")) == 1
    assert local.get_all_flags("u1") == {"here": "from the server", "there": "pro variant", "new": True}
    assert local.get_all_flags("u1", person_properties={"plan": "free"}) == {
        "here": True,
        "there": False,
        "inactive": False,
    }
    assert len(sink.asked("/flags/")) == 2
    alone = local.evaluate_flags("u1", only_evaluate_locally=True)
    assert dict(alone.unresolved_flags) == {"there": "missing_context"}
    assert alone.get_flag("there") is None
    errors = {event.properties["$feature_flag"]: event.properties.get("$feature_flag_error") for event in called(sink, local)
              if event.properties["$feature_flag_response"] is None}  # fmt: skip
    assert errors == {"there": "local_evaluation_inconclusive"}


def test_a_flag_that_is_asked_for_and_not_defined_here_may_be_new(sink, local):
    """The server is asked once."""
    sink.definitions = {"flags": [flag("old")]}
    sink.flags = {"old": True, "new": True}
    assert local.evaluate_flags("u1", flag_keys=["old", "new"]).get_flag("new") is True
    assert local.evaluate_flags("u1", flag_keys=["old"]).get_flag("old") is True
    assert len(sink.asked("/flags/")) == 1


def test_groups_get_their_key_as_a_property(sink, local):
    """A group's flag without any group properties is decided here."""
    by_key = {"key": "$group_key", "value": "acme", "operator": "exact", "type": "group", "group_type_index": 0}
    sink.definitions = {
        "flags": [flag("team", by_key, filters={"aggregation_group_type_index": 0})],
        "group_type_mapping": {"0": "company"},
    }
    assert local.get_feature_flag("team", "u1", groups={"company": "acme"}) is True
    assert local.get_feature_flag("team", "u1", groups={"company": "other"}) is False
    assert local.get_feature_flag("team", "u1") is False
    assert sink.asked("/flags/") == []


@pytest.mark.parametrize(
    ("status", "is_kept"), [(401, False), (402, False), (403, True), (429, True), (500, True), (503, True), (200, True)]
)
def test_what_an_error_does_to_the_rules_at_hand(sink, local, status, is_kept, caplog):
    """A void key and a used up quota clear them.

    Anything else, also an answer that is no definitions, leaves them.
    """
    sink.definitions = {"flags": [flag("f")]}
    assert local.load_feature_flags()
    sink.answer(status, path=DEFINITIONS, body=b'{"detail": "no"}')
    with caplog.at_level(logging.ERROR, "hogline"):
        assert local.load_feature_flags() is is_kept
    assert "no flag definitions from" in caplog.text
    assert (local.feature_flag_definitions() != []) is is_kept
    assert local.load_feature_flags()


@pytest.mark.parametrize(
    ("failures", "told", "least"),
    [
        (0, None, 30),
        (1, None, 30),
        (2, None, 60),
        (3, None, 120),
        (9, None, 300),
        (40, None, 300),
        (1, 90, 90),
        (0, 9e9, 300),
    ],
)
def test_the_poller_backs_off_with_jitter(failures, told, least):
    """The interval doubles with each failure, up to five minutes; `Retry-After` is the least."""
    waits = [next_wait_s(30.0, failures, told, chance) for chance in (0.0, 0.5, 0.999)]
    assert waits[0] == least
    assert waits == sorted(set(waits))
    assert waits[-1] < least * 1.2


def test_definitions_can_be_looked_at(sink, local):
    """They are shown as posthog-python shows them, and so are runtimes."""
    sink.definitions = {
        "flags": [
            flag("c", evaluation_runtime="client"),
            flag("s", evaluation_runtime="server"),
            flag("x", evaluation_runtime=" odd "),
        ]
    }
    assert local.feature_flag_definitions() == []
    assert local.load_feature_flags()
    assert [one["key"] for one in local.feature_flag_definitions()] == ["c", "s", "x"]
    assert local.get_feature_flag_evaluation_runtime("c") == "client"
    assert local.get_feature_flag_evaluation_runtime("x") == "all"
    assert local.get_feature_flag_evaluation_runtime("nope") is None
    assert local.get_feature_flag_keys_by_evaluation_runtime("client") == ["c", "x"]
    assert local.get_feature_flag_keys_by_evaluation_runtime("all") == ["c", "s", "x"]
    with pytest.raises(ValueError, match="nowhere"):
        local.get_feature_flag_keys_by_evaluation_runtime("nowhere")


def test_local_evaluation_can_be_switched_off(sink, connect):
    """The key then serves remote config alone."""
    client = connect(secret_key="phs_secret", enable_local_evaluation=False)
    sink.flags = {"f": True}
    assert client.get_feature_flag("f", "u1") is True
    assert client.load_feature_flags() is False
    assert sink.asked(DEFINITIONS) == []


def test_a_project_token_is_no_secret_key():
    """It could never read definitions, and would be a riddle in the log."""
    with pytest.raises(SettingsError, match="phs_"):
        PostHog("phc_x", secret_key="phc_x")
    assert PostHog("phc_x", personal_api_key="phx_y", send=False).settings.secret_key == "phx_y"


def test_what_lies_in_the_cache_may_be_anything(sink, connect, tmp_path):
    """Half written, of another version, or no file at all: the server is asked."""
    sink.definitions = {"flags": [flag("f")]}
    connect(secret_key="phs_secret").load_feature_flags()
    cache = tmp_path / "cache"
    assert stat.S_IMODE(cache.stat().st_mode) == 0o700
    for path in cache.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        path.write_bytes(b'{"version": 3, "etag')
    client = connect(secret_key="phs_secret")
    assert client.get_feature_flag("f", "u1", only_evaluate_locally=True) is True


def test_clients_of_one_process_share_one_request_too(sink, connect):
    """A file lock does not keep out who holds it already."""
    body = json.dumps({"flags": [flag("f")]}).encode()
    sink.answer(200, body=body, delay_s=0.5, path=DEFINITIONS)
    clients = [connect(secret_key="phs_secret", flag_cold_start_seconds=20) for _ in range(4)]
    found = []
    threads = [
        threading.Thread(
            target=lambda one=one: found.append(one.get_feature_flag("f", "u1", only_evaluate_locally=True))
        )
        for one in clients
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [True] * 4
    assert len(sink.asked(DEFINITIONS)) == 1


def test_who_gets_the_lock_looks_first_whether_another_has_asked_meanwhile(sink, connect):
    """Another process may have asked between the first look at the cache and the lock."""
    sink.definitions = {"flags": [flag("f")]}
    one, two = connect(secret_key="phs_secret"), connect(secret_key="phs_secret")
    source = two.flags._poller
    lock = source._disk_cache.lock

    def late_lock():
        assert one.load_feature_flags()
        return lock()

    source._disk_cache.lock = late_lock
    assert two.get_feature_flag("f", "u1", only_evaluate_locally=True) is True
    assert len(sink.asked(DEFINITIONS)) == 1


@pytest.mark.skipif(not hasattr(os, "getuid"), reason="needs POSIX permissions")
def test_a_folder_where_others_write_is_not_used(sink, connect, tmp_path, caplog):
    """The files there decide which flags people get."""
    sink.definitions = {"flags": [flag("f")]}
    folder = tmp_path / "open"
    folder.mkdir()
    folder.chmod(0o777)
    with caplog.at_level(logging.WARNING, "hogline"):
        client = connect(secret_key="phs_secret", flag_cache_dir=str(folder))
        assert client.get_feature_flag("f", "u1", only_evaluate_locally=True) is True
    assert "set flag_cache_dir" in caplog.text
    assert list(folder.iterdir()) == []


@pytest.mark.skipif(not hasattr(os, "getuid"), reason="needs POSIX permissions")
def test_somebody_elses_link_in_the_shared_temporary_folder_is_not_followed(tmp_path, monkeypatch):
    """The default folder lies where everybody may write."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    target = tmp_path / "elsewhere"
    target.mkdir(mode=0o700)
    assert DiskCache(default_folder(), host="h", token="t", secret_key="s").is_shared
    (tmp_path / f"hogline-{os.getuid()}").rmdir()
    (tmp_path / f"hogline-{os.getuid()}").symlink_to(target)
    assert not DiskCache(default_folder(), host="h", token="t", secret_key="s").is_shared


def test_state_and_definitions_that_do_not_belong_together_are_not_mixed(tmp_path):
    """A reader between the two writes of another process."""
    cache = DiskCache(str(tmp_path / "cache"), host="h", token="t", secret_key="s")
    cache.put(State(version="1"), {"flags": []})
    assert cache.definitions("1") == {"flags": []}
    assert cache.definitions("2") is None
    state_file = next(path for path in (tmp_path / "cache").iterdir() if path.suffix == ".state")
    state_file.write_text(json.dumps({"unknown": 1}))
    assert cache.state() is None


@pytest.mark.parametrize("what", ["gone", "half", "empty", "unreadable"])
def test_rules_outlive_a_state_that_cannot_be_read(sink, local, tmp_path, what):
    """Nobody said that they are void; the server cannot be asked either."""
    sink.definitions = {"flags": [flag("f")]}
    assert local.load_feature_flags()
    [state] = (tmp_path / "cache").glob("*.state")
    kept = state.read_bytes()
    state.unlink()
    if what == "half":
        state.write_bytes(kept[: len(kept) // 2])
    elif what == "empty":
        state.write_bytes(b"")
    elif what == "unreadable":
        state.mkdir()
    sink.answer(500, path=DEFINITIONS)
    local.flags._poller._refresh()
    assert local.get_feature_flag("f", "u1", only_evaluate_locally=True) is True


@pytest.mark.parametrize(
    ("error", "is_kept"),
    [
        ("api_error_401 401", False),
        ("api_error_402 402", False),
        ("timeout", True),
        ("api_error_500 500", True),
        ("", True),
    ],
)
def test_only_a_state_that_says_why_takes_rules_away(sink, local, tmp_path, error, is_kept):
    """Another process, which never had definitions, failed to get any."""
    sink.definitions = {"flags": [flag("f")]}
    assert local.load_feature_flags()
    source = local.flags._poller
    now_s = source._state.asked_at_s
    source._disk_cache.put(State(asked_at_s=now_s + 1, ask_again_at_s=now_s + 30, failures=1, error=error))
    source._refresh()
    assert (local.feature_flag_definitions() != []) is is_kept


@pytest.fixture
def no_temporary_folder(monkeypatch):
    """A system without a place for temporary files: a read-only container, say."""
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setattr(tempfile, "_candidate_tempdir_list", lambda: ["/proc/nowhere"])


@pytest.mark.usefixtures("no_temporary_folder")
@pytest.mark.parametrize("is_given", [False, True])
def test_local_evaluation_needs_no_temporary_folder(sink, connect, tmp_path, is_given):
    """Without a temporary folder nothing is shared, unless `flag_cache_dir` names a folder."""
    sink.definitions = {"flags": [flag("f")]}
    folder = str(tmp_path / "given") if is_given else None
    client = connect(secret_key="phs_secret", flag_cache_dir=folder, flag_cold_start_seconds=20)
    assert client.get_feature_flag("f", "u1", only_evaluate_locally=True) is True
    assert client.flags._poller._disk_cache.is_shared is is_given


def test_no_flag_method_raises_where_flags_cannot_be_made(sink, local, monkeypatch):
    """They are made when they are first asked for, with what the system has then."""

    def fails(*_):
        raise OSError("too many open files")

    monkeypatch.setattr("hogline.flags.Flags", fails)
    assert local.evaluate_flags("u1").keys == []
    assert local.get_feature_flag("f", "u1") is None
    assert local.get_all_flags("u1") == {}
    assert asyncio.run(local.aevaluate_flags("u1")).keys == []
    assert asyncio.run(local.aget_feature_flag_result("f", "u1")) is None
    assert asyncio.run(local.aget_all_flags_and_payloads("u1")) == {"featureFlags": {}, "featureFlagPayloads": {}}
    assert local.get_flags_decision("u1") == {"flags": {}, "requestId": None}
    assert local.get_feature_variants("u1") == local.get_feature_payloads("u1") == {}
    assert local.get_feature_flags_and_payloads("u1") == {"featureFlags": {}, "featureFlagPayloads": {}}
    assert local.load_feature_flags() is asyncio.run(local.aload_feature_flags()) is False
    assert local.feature_flag_definitions() == local.get_feature_flag_keys_by_evaluation_runtime("server") == []
    assert local.get_feature_flag_evaluation_runtime("f") is None
    assert local.get_remote_config_payload("f") is asyncio.run(local.aget_remote_config_payload("f")) is None
    assert local.capture("e", distinct_id="u1", send_feature_flags=True)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs POSIX signals")
@pytest.mark.parametrize("where", ["wait", "_start", "close"])
def test_a_signal_handler_may_shut_down_in_the_middle_of_anything(sink, tmp_path, where):
    """SIGTERM arrives while the flag method that it interrupts holds the lock, wherever it does."""
    script = """
import os, signal, sys, threading
from hogline import PostHog
client = PostHog("phc_test", host=os.environ["SINK"], secret_key="phs_secret", flag_cache_dir="", send=False)
signal.signal(signal.SIGTERM, lambda *_: client.shutdown(0.1))
source, sent = client.flags._poller, []
class Interrupted(type(source._changed)):
    def __enter__(self):
        entered = super().__enter__()
        if sys._getframe(1).f_code.co_name == os.environ["WHERE"] and not sent:
            sent.append(1)
            os.kill(os.getpid(), signal.SIGTERM)
        return entered
source._changed.__class__ = Interrupted
client.get_feature_flag_result("f", "u1", only_evaluate_locally=True)
client.shutdown(0.1)
assert sent
"""
    process = subprocess.run(
        [sys.executable, "-c", script],
        env=os.environ | {"SINK": sink.url, "WHERE": where},
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert process.returncode == 0, process.stderr


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs POSIX signals")
@pytest.mark.parametrize("method", ["load_feature_flags()", "evaluate_flags('u1')"])
def test_a_signal_handler_may_ask_while_its_thread_is_asking(sink, method):
    """SIGHUP reads the definitions anew, in the middle of reading them: inside the request,
    wherever that is.
    """
    sink.definitions = {"flags": [flag("f")]}
    script = f"""
import os, queue, signal, sys
from hogline import PostHog
client = PostHog("phc_test", host=os.environ["SINK"], secret_key="phs_secret", flag_cache_dir="", send=False)
signal.signal(signal.SIGHUP, lambda *_: client.{method})
sent, inner = [], (queue.LifoQueue._get.__code__, queue.LifoQueue._put.__code__)
def interrupt(frame, *_):
    if frame.f_code in inner:  # which run with the queue's own lock held
        sent.append(1)
        if len(sent) < 20: os.kill(os.getpid(), signal.SIGHUP)
sys.setprofile(interrupt)
assert client.load_feature_flags()
client.evaluate_flags("u1")
client.get_flags_decision("u1")
sys.setprofile(None)
client.shutdown(0.1)
assert sent
"""
    process = subprocess.run(
        [sys.executable, "-c", script],
        env=os.environ | {"SINK": sink.url},
        capture_output=True, text=True, timeout=20, check=False,
    )  # fmt: skip
    assert process.returncode == 0, process.stderr
