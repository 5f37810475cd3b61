"""Options: declared once, checked where the client is made, with an error that says what to do."""

import dataclasses
import ipaddress
import logging
import math
import threading
import types
import typing

import pytest

from hogline import ExceptionCapture, PostHog, SettingsError
from hogline.settings import LONGEST_WAIT_S, ClientSettings, InterceptorSettings, TaskSettings
from hogline.settings.options import Kind, Path, Seconds
from hogline.settings.typed import ClientOptions, InterceptorOptions, TaskOptions


def load(environ: dict[str, str] | None = None, **options: object) -> ClientSettings:
    return ClientSettings.load(options, environ or {})


@pytest.mark.parametrize(
    ("host", "base"),
    [
        ("https://us.i.posthog.com/", "https://us.i.posthog.com"), ("", "https://us.i.posthog.com"), ("  ", "https://us.i.posthog.com"),
        ("https://app.posthog.com", "https://us.i.posthog.com"), ("https://eu.posthog.com/", "https://eu.i.posthog.com"),
        ("http://localhost:8010", "http://localhost:8010"), ("https://own.example/ingest/", "https://own.example/ingest"),
    ],
)  # fmt: skip
def test_the_apps_address_becomes_the_ingestion_address(host, base):
    """docs/internals/capture-protocol.md#hosts-and-urls."""
    assert load(host=host).host == base


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"host": "app.example.com"}, "did you mean 'https://app.example.com'?"),
        ({"host": "ftp://x"}, "must start with http:// or https://"),
        ({"flush_at": 0}, "flush_at must be a whole number of at least 1, got 0"),
        ({"flush_at": "10"}, "flush_at must be a whole number"),
        ({"host": "http://h:99999"}, "host must be a URL such as"),
        ({"host": "http://[::1"}, "host must be a URL such as"),
        ({"host": "http://h:0"}, "host must have a port from 1 to 65535"),
        ({"flush_interval": math.nan}, "flush_interval must be a number of at least 0, and at most 2147483 seconds"),
        ({"timeout": -1}, "timeout must be a number of at least 0.001"),
        ({"gzip": "yes"}, "gzip must be True or False, got 'yes'"),
        ({"before_send": 3}, "before_send must be a function, got 3"),
        ({"super_properties": [1]}, "super_properties must be a mapping"),
        ({"project_token": 5}, "project_token must be a string"),
    ],
)
def test_a_value_that_cannot_work_says_so_at_once(options, says):
    """The error is raised where the client is made, not when the first event is lost."""
    with pytest.raises(SettingsError) as error:
        load(**options)
    assert says in str(error.value)


SECONDS = [
    declared.name for declared in dataclasses.fields(ClientSettings) if isinstance(declared.metadata["kind"], Seconds)
]


@pytest.mark.parametrize("name", SECONDS)
@pytest.mark.parametrize("value", [math.inf, math.nan, 1e10, threading.TIMEOUT_MAX])
def test_seconds_that_nothing_can_wait_for_are_refused(name, value):
    """Every wait would raise, and nothing be sent."""
    assert len(SECONDS) > 5
    with pytest.raises(SettingsError, match=f"{name} must be a number of at least .* at most 2147483 seconds"):
        load(**{name: value})
    assert getattr(load(**{name: LONGEST_WAIT_S}), name) == LONGEST_WAIT_S


def test_an_option_that_does_not_exist_is_a_type_error_with_the_known_ones():
    """A misspelt option must not be ignored."""
    with pytest.raises(TypeError, match=r"no option 'flushat'; did you mean 'flush_at'\? it knows .*flush_at"):
        PostHog("phc_x", flushat=3)


def test_the_environment_fills_what_the_code_leaves_open():
    """`HOGLINE_*` first, then PostHog's own names; the code wins over both."""
    environ = {
        "HOGLINE_FLUSH_AT": "7", "HOGLINE_GZIP": "off", "HOGLINE_FLUSH_INTERVAL": "0.5", "POSTHOG_API_KEY": "phc_env",
        "POSTHOG_HOST": "https://env.example", "HOGLINE_IN_APP_INCLUDE": "shop, shop_core",
    }  # fmt: skip
    settings = load(environ, flush_interval=2.0)
    assert (settings.flush_at, settings.gzip, settings.flush_interval) == (7, False, 2.0)
    assert (settings.project_token, settings.host) == ("phc_env", "https://env.example")
    assert settings.in_app_include == ("shop", "shop_core")
    assert load(environ | {"HOGLINE_HOST": "https://ours.example"}).host == "https://ours.example"


def test_a_bad_environment_value_names_its_variable():
    """Otherwise nobody finds it."""
    with pytest.raises(SettingsError, match=r"flush_at must be a whole number, got 'many' \(from HOGLINE_FLUSH_AT\)"):
        load({"HOGLINE_FLUSH_AT": "many"})


def test_without_a_token_the_client_is_disabled_and_says_it_once(caplog):
    """posthog-python does the same: one ERROR, no exception, and every capture returns None."""
    with caplog.at_level(logging.ERROR, logger="hogline"):
        client = PostHog("  ")
        assert client.capture("x", distinct_id="a") is None
        assert client.capture("y", distinct_id="a") is None
    assert [record.message for record in caplog.records if "no project token" in record.message] == [
        caplog.records[0].message
    ]
    client.shutdown()


@pytest.mark.parametrize("name", ["project_api_key", "api_key"])
def test_posthog_pythons_names_for_the_token_are_understood(name):
    """An app moves over by changing an import."""
    client = PostHog(**{name: "phc_moved"})
    assert client.project_token == "phc_moved"
    client.shutdown()


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"capture_exceptions": "yes"}, "capture_exceptions must be True, False or an ExceptionCapture"),
        ({"url_query": "hide"}, "url_query must be one of redact, keep, drop, got 'hide'"),
        ({"trusted_proxies": "10.0.0.300"}, "trusted_proxies must be None, a number of hops, or networks"),
        ({"trusted_proxies": -1}, "trusted_proxies must be"),
        ({"request_filter": True}, "request_filter must be a function"),
    ],
)
def test_interceptor_options_are_checked_where_the_app_is_built(options, says):
    """The same options and errors for every framework."""
    with pytest.raises(SettingsError) as error:
        InterceptorSettings(**options)
    assert says in str(error.value)


def test_interceptor_options_are_brought_into_one_form():
    """True becomes the default policy, texts become networks."""
    assert InterceptorSettings().exceptions is None
    assert InterceptorSettings(capture_exceptions=True).exceptions == ExceptionCapture()
    assert InterceptorSettings(trusted_proxies="10.0.0.0/8").trusted_proxies == (ipaddress.ip_network("10.0.0.0/8"),)
    assert InterceptorSettings(trusted_proxies=2).trusted_proxies == 2


@pytest.mark.parametrize(
    "options",
    [{"handled": "some"}, {"ignore": (3,)}, {"min_status_to_capture": "500"}, {"min_status_to_capture": True}],
)
def test_exception_policies_are_checked_too(options):
    """`ExceptionCapture(...)` raises where it is written."""
    with pytest.raises(SettingsError):
        ExceptionCapture(**options)


def test_one_ignored_class_needs_no_tuple():
    """`ignore=KeyError` reads well."""
    assert ExceptionCapture(ignore=KeyError).ignore == (KeyError,)


@pytest.mark.parametrize("settings", [ClientSettings, InterceptorSettings, TaskSettings, ExceptionCapture])
def test_every_option_declares_its_kind_and_says_what_it_means(settings):
    """The kind checks and parses; nothing else knows an option by name."""
    for declared in dataclasses.fields(settings):
        assert isinstance(declared.metadata["kind"], Kind), declared.name
        assert declared.metadata["text"].endswith((".", ")")), declared.name


PATHS = [
    declared.name for declared in dataclasses.fields(ClientSettings) if isinstance(declared.metadata["kind"], Path)
]


@pytest.mark.parametrize("name", PATHS)
def test_a_path_begins_at_the_users_home_where_it_says_so(name, tmp_path, monkeypatch):
    """In code and in the environment.

    A folder named `~` in the working directory is never meant.
    """
    assert {"spool_dir", "flag_cache_dir", "project_root", "flag_overrides_file"} <= set(PATHS)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert getattr(load(**{name: "~/hogline"}), name) == str(tmp_path / "hogline")
    assert getattr(load({f"HOGLINE_{name.upper()}": "~/hogline"}), name) == str(tmp_path / "hogline")


@pytest.mark.parametrize("name", PATHS)
def test_a_path_is_made_absolute_when_the_client_is_made(name, tmp_path, monkeypatch):
    """A later `chdir` moves no folder."""
    monkeypatch.chdir(tmp_path)
    assert getattr(load(**{name: "folder"}), name) == str(tmp_path / "folder")
    with pytest.raises(SettingsError, match=f"{name} must be a "):
        load(**{name: 5})
    with pytest.raises(SettingsError, match="no home folder"):
        load(**{name: "~nobody-of-that-name/folder"})


def test_a_value_of_the_environment_that_cannot_work_names_its_variable():
    """A value that parses and does not suit is as hard to find as one that does not parse."""
    with pytest.raises(
        SettingsError, match=r"got 'app\.example' \(from HOGLINE_HOST\); did you mean 'https://app\.example'"
    ):
        load({"HOGLINE_HOST": "app.example"})
    with pytest.raises(
        SettingsError, match=r"flush_at must be a whole number of at least 1, got 0 \(from HOGLINE_FLUSH_AT\)"
    ):
        load({"HOGLINE_FLUSH_AT": "0"})


def test_an_unset_name_of_posthog_python_hides_no_option():
    """Programs pass `personal_api_key=os.environ.get(...)` beside `secret_key`."""
    assert load(secret_key="phs_x", personal_api_key=None).secret_key == "phs_x"
    assert load(personal_api_key=None, secret_key="phs_x").secret_key == "phs_x"
    assert load(secret_key=None, personal_api_key="phx_y").secret_key == "phx_y"
    assert load(secret_key="phs_x", personal_api_key="phx_y").secret_key == "phs_x"


def test_a_misspelt_option_of_any_front_door_names_the_nearest_one():
    """Clients, interceptors and queues alike."""
    with pytest.raises(
        TypeError, match=r"PostHogInterceptor has no option 'read_cookies'; did you mean 'read_cookie'\?"
    ):
        InterceptorSettings.load({"read_cookies": True})
    with pytest.raises(TypeError, match=r"PostHogPropagation has no option 'tag'; did you mean 'tags'\?"):
        TaskSettings.load({"tag": ()})


@pytest.mark.parametrize(
    ("options", "settings", "others"),
    [
        (ClientOptions, ClientSettings, {"project_token", "host"}),
        (InterceptorOptions, InterceptorSettings, set()),
        (TaskOptions, TaskSettings, set()),
    ],
)
def test_the_typed_options_are_the_declared_ones(options, settings, others):
    """Type checkers and editors know each option.

    The types take at least what the declaration says.
    """
    typed, declared = typing.get_type_hints(options), typing.get_type_hints(settings)
    aliases = {"project_api_key", "api_key", "personal_api_key", "enable_exception_autocapture", "in_app_modules"}
    assert set(typed) - (aliases if options is ClientOptions else set()) == set(declared) - others
    for name in set(typed) & set(declared) - {"client", "capture_exceptions"}:
        assert members(typed[name]) >= members(declared[name]) - {type(None)}, name


def members(hint):
    """Return the members of a union or the words of a literal, or the type alone."""
    origin = typing.get_origin(hint)
    if origin in (types.UnionType, typing.Union):
        return set().union(*map(members, typing.get_args(hint)))
    return set(typing.get_args(hint)) if origin is typing.Literal else {hint}


def test_the_typed_options_are_understood_in_all_their_forms(tmp_path):
    """Every value that a type checker accepts works."""
    made = load(capture_mode="analytics_v1", spool_dir=tmp_path, secret_key=None, in_app_modules=None)
    assert (made.capture_mode, made.spool_dir, made.secret_key, made.in_app_include) == ("v1", str(tmp_path), "", ())
    assert InterceptorSettings(trusted_proxies="10.0.0.0/8").proxies is not None
    assert TaskSettings(ignore=KeyError).ignore == (KeyError,)
