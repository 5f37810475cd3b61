"""The fallback returns the server's last answer while the server is silent.

It is kept in memory, and in a real Redis.
"""

import socket
import subprocess
import time

import pytest

from hogline import SettingsError
from tests.sdk.flags.conftest import called
from tests.support.tools import require

SILENT = {"send_feature_flag_events": False}


@pytest.fixture(scope="module")
def redis(tmp_path_factory):
    """The URL of a Redis of our own."""
    server = require("redis")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    folder = tmp_path_factory.mktemp("redis")
    command = [server, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(folder)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    until_s = time.monotonic() + 20
    while time.monotonic() < until_s:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            break
        except OSError:
            time.sleep(0.05)
    yield f"redis://127.0.0.1:{port}/0"
    process.kill()
    process.wait()


@pytest.fixture(params=["memory", "redis"])
def url(request):
    """A cache of each kind."""
    return "memory://" if request.param == "memory" else request.getfixturevalue("redis")


def out_of_reach(sink):
    sink.answer(500, path="/flags/", times=99)


def test_what_the_server_said_last_is_the_answer_while_it_gives_none(sink, connect, url):
    """One flag, all flags and snapshots, with payloads; the event says why it is an old one."""
    client = connect(flag_fallback_cache_url=url)
    sink.flags = {"f": {"enabled": True, "variant": "b", "metadata": {"payload": "[1]", "id": 7}}, "off": False}
    assert client.get_feature_flag_result("f", "u1", **SILENT).get_value() == "b"
    assert client.evaluate_flags("u1").keys == ["f", "off"]
    out_of_reach(sink)
    result = client.get_feature_flag_result("f", "u1")
    assert (result.get_value(), result.payload) == ("b", [1])
    snapshot = client.evaluate_flags("u1")
    assert (snapshot.get_flag("f", **SILENT), snapshot.is_enabled("off", **SILENT), snapshot.error) == (
        "b",
        False,
        "api_error_500",
    )
    assert client.get_all_flags("u1") == {"f": "b", "off": False}
    assert client.evaluate_flags("u1", flag_keys=["off"]).keys == ["off"]
    assert client.get_flags_decision("u1")["flags"] == {}  # the server's answer, and nothing else
    [event] = called(sink, client)
    assert event.properties["$feature_flag_response"] == "b"
    assert event.properties["$feature_flag_error"] == "api_error_500"


def test_an_answer_is_its_persons_and_groups_and_devices(sink, connect, url):
    """Nobody gets another's."""
    client = connect(flag_fallback_cache_url=url)
    sink.flags = {"f": True}
    assert client.evaluate_flags("u2", groups={"company": "acme"}).keys == ["f"]
    out_of_reach(sink)
    assert client.evaluate_flags("u2").keys == []
    assert client.evaluate_flags("u3", groups={"company": "acme"}).keys == []
    assert client.evaluate_flags("u2", groups={"company": "acme"}, device_id="d").keys == []
    assert client.evaluate_flags("u2", groups={"company": "acme"}).keys == ["f"]


def test_an_answer_has_an_end(sink, connect, url):
    """`ttl`, in seconds; and what the server could not say does not replace what it said."""
    client = connect(flag_fallback_cache_url=f"{url}?ttl=1")
    sink.flags = {"f": True}
    client.evaluate_flags("u4")
    sink.flags = {"f": {"enabled": False, "failed": True}}
    client.evaluate_flags("u4")
    out_of_reach(sink)
    assert client.get_feature_flag_result("f", "u4", **SILENT).enabled
    time.sleep(1.1)
    assert client.get_feature_flag_result("f", "u4", **SILENT) is None


def test_other_hosts_find_it_in_redis(sink, connect, redis):
    """A process that has just started, say."""
    sink.flags = {"f": "b"}
    connect(flag_fallback_cache_url=redis).evaluate_flags("u5")
    out_of_reach(sink)
    assert connect(flag_fallback_cache_url=redis).get_feature_flag_result("f", "u5", **SILENT).variant == "b"
    other = connect(token="phc_other", flag_fallback_cache_url=redis)
    assert other.get_feature_flag_result("f", "u5", **SILENT) is None


def test_memory_is_bounded(sink, connect):
    """The bound is a number of persons, and the one last heard of longest ago goes first."""
    client = connect(flag_fallback_cache_url="memory://local/?ttl=300&size=2")
    sink.flags = {"f": True}
    for person in ("a", "b", "a", "c"):
        client.evaluate_flags(person)
    out_of_reach(sink)
    assert [client.evaluate_flags(person).keys for person in "abc"] == [["f"], [], ["f"]]


def test_a_redis_that_is_away_costs_nothing_but_its_use(sink, connect, caplog):
    """The server answers; the log says once that there is no fallback."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    client = connect(flag_fallback_cache_url=f"redis://127.0.0.1:{port}/0")
    sink.flags = {"f": True}
    assert client.evaluate_flags("u1").keys == ["f"]
    out_of_reach(sink)
    assert client.evaluate_flags("u1").keys == []
    assert caplog.text.count("flag fallback cache unavailable") == 1


@pytest.mark.parametrize("wrong", ["memcached://:hunter2@host", "memory://?ttl=soon", "redis"])
def test_a_url_that_names_no_cache_is_told_without_its_password(connect, wrong):
    """At the constructor."""
    with pytest.raises(SettingsError, match="flag_fallback_cache_url must be") as raised:
        connect(flag_fallback_cache_url=wrong)
    assert "hunter2" not in str(raised.value)
