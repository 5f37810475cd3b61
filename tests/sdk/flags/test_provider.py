"""A provider shares flag definitions among all hosts, through an app's own cache.

It has posthog-python's protocol.
"""

import json

import pytest
from posthog.flag_definition_cache import FlagDefinitionCacheProvider as OfficialProvider

from hogline import SettingsError
from hogline.flags import FlagDefinitionCacheProvider

DEFINITIONS = "/flags/definitions"


class Folder:
    """Definitions in a folder that all processes share; the one that makes the lock first fetches
    them.
    """

    def __init__(self, path):
        self.path = path
        self.is_closed = False
        self.received = 0

    def should_fetch_flag_definitions(self):
        try:
            (self.path / "lock").mkdir()
        except FileExistsError:
            return False
        return True

    def get_flag_definitions(self):
        kept = self.path / "definitions.json"
        return json.loads(kept.read_text()) if kept.exists() else None

    def on_flag_definitions_received(self, data):
        self.received += 1
        (self.path / "definitions.json").write_text(json.dumps(data))

    def shutdown(self):
        self.is_closed = True


class AsyncFolder(Folder):
    """The same, as a cache with an asynchronous client has it."""

    async def should_fetch_flag_definitions(self):
        return super().should_fetch_flag_definitions()

    async def get_flag_definitions(self):
        return super().get_flag_definitions()

    async def on_flag_definitions_received(self, data):
        return super().on_flag_definitions_received(data)

    async def shutdown(self):
        return super().shutdown()


class Broken(Folder):
    def should_fetch_flag_definitions(self):
        raise ConnectionError("the cache is gone")

    get_flag_definitions = on_flag_definitions_received = shutdown = should_fetch_flag_definitions


@pytest.fixture
def provided(connect, tmp_path, sink):
    """Make a client with a provider of *kind*; returns both."""
    sink.definitions = {
        "flags": [{"key": "f", "active": True, "filters": {"groups": [{}]}}],
        "property_matching_version": 2, "cohorts": None, "other": 1,
    }  # fmt: skip

    def build(kind=Folder, **options):
        provider = kind(tmp_path)
        client = connect(
            secret_key="phs_secret", flag_definition_cache_provider=provider, flag_cold_start_seconds=20, **options
        )
        return client, provider

    return build


def is_on(client):
    return client.get_feature_flag_result("f", "u", only_evaluate_locally=True, send_feature_flag_events=False)


@pytest.mark.parametrize("kind", [Folder, AsyncFolder])
def test_of_all_hosts_one_asks_the_server(provided, sink, kind):
    """The others read what it was sent; each lets the provider go at its end."""
    (one, first), (two, second) = provided(kind), provided(kind)
    assert is_on(one).enabled
    assert is_on(two).enabled
    assert len(sink.asked(DEFINITIONS)) == 1
    assert (first.received, second.received) == (1, 0)
    kept = json.loads((first.path / "definitions.json").read_text())
    assert kept.keys() == {"flags", "property_matching_version", "cohorts", "group_type_mapping"}
    one.shutdown(5)
    two.shutdown(5)
    one.shutdown(5)
    assert first.is_closed
    assert second.is_closed


def test_nothing_of_the_provider_reaches_the_flags(provided, sink, caplog):
    """The server is asked, whatever the provider raises."""
    client, _ = provided(Broken)
    assert is_on(client).enabled
    client.shutdown(5)
    assert len(sink.asked(DEFINITIONS)) == 1
    assert caplog.text.count("flag_definition_cache_provider") == 3


def test_who_has_nothing_asks_though_another_is_at_it(provided, sink):
    """The cache is empty, and the holder of the lock died.

    A client that has rules keeps them.
    """
    client, provider = provided()
    (provider.path / "lock").mkdir()
    assert client.load_feature_flags()
    assert client.load_feature_flags()
    assert len(sink.asked(DEFINITIONS)) == 1
    (provider.path / "definitions.json").unlink()
    assert client.load_feature_flags()
    assert len(sink.asked(DEFINITIONS)) == 1
    assert is_on(client).enabled


def test_a_cache_that_forgets_is_filled_again(provided, sink):
    """Its entries may have an end, so definitions are handed over at each turn, changed or not."""
    client, provider = provided()
    for turn in (1, 2):
        assert client.load_feature_flags()
        assert provider.received == turn
        (provider.path / "definitions.json").unlink()
        (provider.path / "lock").rmdir()
    assert "if-none-match" not in sink.asked(DEFINITIONS)[-1].headers


def test_a_provider_is_the_official_clients_too(connect, tmp_path):
    """The protocol is posthog-python's.

    A provider that lacks a method is reported at once.
    """
    assert isinstance(Folder(tmp_path), OfficialProvider)
    assert isinstance(Folder(tmp_path), FlagDefinitionCacheProvider)
    with pytest.raises(SettingsError, match="lacks on_flag_definitions_received"):
        connect(
            flag_definition_cache_provider=type("Half", (Folder,), {"on_flag_definitions_received": None})(tmp_path)
        )


@pytest.mark.parametrize("options", [{"secret_key": "phs_secret"}, {}, {"secret_key": "phs_secret", "disabled": True}])
def test_the_provider_is_shut_down_with_a_client_that_asked_for_no_flag(connect, options):
    """It may hold a lock or a connection of its own, from its making."""
    told = []

    class Provider:
        def should_fetch_flag_definitions(self):
            return True

        def get_flag_definitions(self):
            return None

        def on_flag_definitions_received(self, data):
            pass

        def shutdown(self):
            told.append("shutdown")

    client = connect(flag_definition_cache_provider=Provider(), **options)
    client.shutdown(5)
    client.shutdown(5)
    assert told == ["shutdown"]
