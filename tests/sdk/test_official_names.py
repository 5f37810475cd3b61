"""Names that code imports from `posthog`, reads of a client, or sets on the module, work here too.

The others are listed.
"""

import asyncio
import importlib
import inspect
import logging
import subprocess
import sys
import types

import posthog as official
import pytest
from posthog.client import Client as OfficialClient

import hogline
from hogline import AsyncPosthog, PostHog, SettingsError
from hogline.async_client import AsyncClient
from tests.sdk.test_official_signatures import METHODS, OPTIONS, listed

NAMES = listed("Names and attributes")
MODULES = {
    "args", "async_client", "capture_compression", "capture_mode", "client", "contexts", "feature_flag_evaluations", "feature_flags",
    "flag_definition_cache", "integrations.asgi", "integrations.celery", "integrations.django", "integrations.flask", "integrations.otel",
    "release_id", "request", "types", "version",
}  # fmt: skip
CONFIGURATION = {
    name
    for name, value in vars(official).items()
    if not name.startswith("_") and not callable(value) and not inspect.ismodule(value) and name.islower()
} | {"before_send", "on_error"}


def is_its_own(name, value):
    """Return whether the official package means *name* for its users: not what it has imported, or
    made for itself.
    """
    module = getattr(value, "__module__", "")
    return not (
        name.startswith(("_", "inner_"))
        or inspect.ismodule(value)
        or module in ("typing", "typing_extensions", "datetime")
    )


OF_PACKAGE = sorted(name for name, value in vars(official).items() if is_its_own(name, value))


@pytest.mark.parametrize("name", OF_PACKAGE)
def test_a_name_of_the_package_can_be_imported(name):
    """It can be imported from the package itself, or the page says why not."""
    is_there = hasattr(hogline, name)
    assert is_there or name in NAMES | METHODS | OPTIONS, (
        f"hogline.{name} is missing, and the migration page does not say so"
    )
    assert not (is_there and name in NAMES), f"the migration page says that {name} is missing, and it is there"


@pytest.mark.parametrize("module", sorted(MODULES))
def test_the_public_names_of_a_module_can_be_imported(module):
    """They can be imported from the module of that name: classes, functions and types that are for
    users.
    """
    if module == "integrations.otel":
        pytest.importorskip("opentelemetry")
    theirs, ours = importlib.import_module(f"posthog.{module}"), importlib.import_module(f"hogline.{module}")
    own = getattr(theirs, "__all__", None) or [
        name
        for name, value in vars(theirs).items()
        if getattr(value, "__module__", "") == theirs.__name__
        and name[0].isupper()
        and len(name) > 1
        and not inspect.ismodule(value)
    ]
    missing = [name for name in own if not hasattr(ours, name) and not name.startswith("_")]
    assert set(missing) <= NAMES | METHODS | OPTIONS, missing


@pytest.fixture(scope="module")
def officials():
    return OfficialClient("phc_x", send=False, sync_mode=True, host="http://127.0.0.1:9")


def test_the_attributes_of_a_client_can_be_read(officials):
    """They have the same names and the same meaning, or the page lists them."""
    client = PostHog("phc_x", host="http://127.0.0.1:9", super_properties={"a": 1}, secret_key="phs_x")
    missing = {name for name in dir(officials) if not name.startswith("_") and not hasattr(client, name)}
    assert missing <= NAMES | METHODS | OPTIONS, missing - NAMES - METHODS - OPTIONS
    assert (client.api_key, client.host, client.raw_host, client.debug) == (
        "phc_x",
        "http://127.0.0.1:9",
        "http://127.0.0.1:9",
        False,
    )
    assert (client.super_properties, client.personal_api_key, client.timeout) == ({"a": 1}, "phs_x", 15.0)
    with pytest.raises(AttributeError, match="'PostHog' has no attribute 'flush_att'"):
        _ = client.flush_att
    client.shutdown()


def test_an_option_that_is_set_on_a_client_takes_effect_or_raises(sink, caplog):
    """Never neither."""
    client = PostHog("phc_x", host=sink.url)
    client.super_properties = {"team": "a"}
    client.before_send = lambda event: None if event["event"] == "noise" else event
    client.disable_geoip = False
    client.host = sink.url
    assert client.capture("noise", distinct_id="u") is None
    client.capture("kept", distinct_id="u")
    assert client.flush(20)
    [event] = sink.events
    assert event.properties["team"] == "a"
    assert "$geoip_disable" not in event.properties
    client.debug = True
    with pytest.raises(ZeroDivisionError):
        client.capture("x", distinct_id="u", properties=Broken())
    with pytest.raises(SettingsError, match=r"host of a client cannot change .* pass it to PostHog\(host=\.\.\.\)"):
        client.host = "https://eu.i.posthog.com"
    with pytest.raises(SettingsError, match="before_send must be a function"):
        client.before_send = 3
    client.disabled = True
    assert client.capture("x", distinct_id="u") is None
    client.shutdown()


def test_an_absent_option_that_asks_for_nothing_is_accepted():
    """Code that writes posthog-python's defaults out runs; what cannot work says what to do instead."""
    PostHog(
        "phc_x",
        host="http://127.0.0.1:9",
        sync_mode=False,
        thread=1,
        privacy_mode=False,
        metrics=None,
        traces=None,
        app_host=None,
    ).shutdown()
    for name, value in {"sync_mode": True, "thread": 4, "privacy_mode": True, "metrics": {"a": 1}}.items():
        with pytest.raises(TypeError, match=f"PostHog\\(\\) has no option '{name}': "):
            PostHog("phc_x", host="http://127.0.0.1:9", **{name: value})


class Broken(dict):
    def keys(self):
        raise ZeroDivisionError

    def __iter__(self):
        raise ZeroDivisionError

    def __bool__(self):
        return True


def program(script, **environ):
    run = subprocess.run(
        [sys.executable, "-W", "error::RuntimeWarning", "-c", script], capture_output=True, text=True, timeout=60, check=False, env=environ
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    return run.stdout.split()


def test_the_module_is_configured_by_its_attributes(sink):
    """The attributes are set before the first call, as posthog-python's own introduction shows."""
    out = program(f"""
import hogline as posthog
posthog.api_key = "phc_module"
posthog.host = "{sink.url}"
posthog.super_properties = {{"team": "a"}}
posthog.disable_geoip = False
posthog.sync_mode = False
posthog.personal_api_key = None
posthog.capture("first", distinct_id="u")
posthog.super_properties = {{"team": "b"}}
posthog.capture("second", distinct_id="u")
posthog.disabled = True
print(posthog.capture("third", distinct_id="u"), posthog.api_key, posthog.project_api_key, posthog.debug)
try: posthog.host = "https://eu.i.posthog.com"
except posthog.SettingsError as error: print("refused")
for name in ("sync_mode", "privacy_mode", "metrics", "traces", "enable_full_ai_capture"):
    try: setattr(posthog, name, True)
    except posthog.SettingsError as error: print(name)
posthog.flush()
""")  # fmt: skip
    assert out == [
        "None", "phc_module", "phc_module", "False", "refused", "sync_mode", "privacy_mode", "metrics", "traces", "enable_full_ai_capture",
    ]  # fmt: skip
    events = [(event.event, event.properties["team"], "$geoip_disable" in event.properties) for event in sink.events]
    assert events == [("first", "a", False), ("second", "b", False)]


@pytest.mark.parametrize("name", sorted(CONFIGURATION))
def test_every_setting_of_the_official_module_can_be_set_or_says_why_not(name):
    """Each setting is set to the official module's default, which changes nothing.

    None is lost in silence.
    """
    value = getattr(official, name)
    if name == "default_client":  # a function here
        return
    script = f"""
import hogline
try:
    hogline.{name} = {value!r}
    print("set", hogline.{name} == {value!r})
except hogline.SettingsError as error:
    print("refused", str(error).count("hogline.{name}") > 0)
"""
    assert program(script) in (["set", "True"], ["refused", "True"], ["set", "False"])


def test_a_monkeypatched_function_and_a_submodule_stay_what_they_are(monkeypatch):
    """Only options configure; tests replace functions, and imports set modules."""
    monkeypatch.setattr(hogline, "capture", lambda *args, **kwargs: "patched")
    assert hogline.capture("x") == "patched"
    monkeypatch.undo()
    assert isinstance(importlib.import_module("hogline.settings"), types.ModuleType)
    with pytest.raises(AttributeError, match="no attribute 'captur'"):
        _ = hogline.captur


def test_the_asynchronous_client_captures_and_awaits(sink):
    """posthog-python's class over the one client."""
    sink.flags = {"f": "b"}

    async def run():
        async with AsyncPosthog("phc_async", host=sink.url, flush_at=5) as posthog:
            assert isinstance(posthog, AsyncClient)
            with posthog.new_context():
                posthog.identify_context("u1")
                assert posthog.capture("event") is not None
            assert posthog.set(distinct_id="u1", properties={"a": 1}) is not None
            flags = await posthog.evaluate_flags("u1")
            assert flags.get_flag("f") == "b"
            assert (await posthog.get_feature_flag_result("f", "u1")).variant == "b"
            assert await posthog.capture_immediate("now", distinct_id="u1", flags=flags) is not None
            assert await posthog.flush()
            assert (posthog.api_key, posthog.disabled, posthog.host) == ("phc_async", False, sink.url)

    asyncio.run(run())
    assert {event.event for event in sink.events} == {"event", "$set", "$feature_flag_called", "now"}


def test_the_asynchronous_client_has_the_official_ones_methods():
    """Coroutines where that has coroutines."""
    from posthog.async_client import AsyncClient as Official

    for name, method in vars(Official).items():
        if name.startswith("_") or not callable(method) or name in METHODS:
            continue
        assert inspect.iscoroutinefunction(method) == inspect.iscoroutinefunction(getattr(AsyncPosthog, name)), name


def test_errors_handed_to_on_error_are_the_official_ones_by_name(sink):
    """`isinstance(error, APIError)` and `error.status`."""
    from hogline.request import APIError, QuotaLimitError

    made = APIError(503, "down", 2.5)  # as a test of an app's own `on_error` does
    assert (made.status, made.message, made.retry_after, str(QuotaLimitError(402, "quota"))) == (
        503,
        "down",
        2.5,
        "quota",
    )
    seen = []
    sink.answer(400, times=9)
    client = PostHog("phc_x", host=sink.url, on_error=lambda error, batch: seen.append(error))
    client.capture("x", distinct_id="u")
    client.flush(20)
    client.shutdown()
    assert isinstance(seen[0], APIError)
    assert seen[0].status == 400
    assert seen[0].message == str(seen[0])
    assert logging.getLogger("hogline") is not None
