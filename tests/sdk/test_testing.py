"""The test kit records every client of the process, and nothing leaves it."""

import subprocess
import sys

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

import hogline
from hogline import PostHog
from hogline.interceptors.fastapi import PostHogInterceptor
from hogline.testing import RecordingPostHog, recording


@pytest.fixture
def shops(sink):
    """Clients as apps make them: sent to a real server unless something records them."""
    made = []

    def make(token="phc_live", **options):
        made.append(PostHog(token, host=sink.url, **options))
        return made[-1]

    yield make
    for client in made:
        client.shutdown(5)


def test_a_client_made_before_is_recorded_under_its_name(shops, sink):
    """Apps make a client at the top of a module."""
    shop, other = shops("phc_shop"), shops("phc_other")
    with recording() as posthog:
        shop.capture("checkout", distinct_id="u1", properties={"total": 42})
        other.set(distinct_id="u1", properties={"plan": "gold"})
        hogline.capture("by function", distinct_id="u1")
        posthog.capture("own", distinct_id="u1")
        recorded = [(event.event, event.project_token) for event in posthog.events]
    assert recorded == [
        ("checkout", "phc_shop"), ("$set", "phc_other"), ("by function", "phc_testing"), ("own", "phc_testing"),
    ]  # fmt: skip
    assert shop.stats().sent == 1
    assert shop.flush(5)
    assert sink.events == []


def test_a_client_made_later_is_recorded_too(shops, sink):
    """App factories make one later."""
    with recording() as posthog:
        shops("phc_late").capture("late", distinct_id="u1")
        assert [event.project_token for event in posthog.named("late")] == ["phc_late"]
    assert sink.events == []


def test_a_client_sends_again_afterwards(shops, sink):
    """The recording is for the time of the test."""
    shop = shops()
    with recording():
        shop.capture("recorded", distinct_id="u1")
    shop.capture("sent", distinct_id="u1")
    assert shop.flush(10)
    assert [event.event for event in sink.events] == ["sent"]


def test_a_client_that_was_shut_down_or_has_no_token_is_recorded(shops, sink, caplog):
    """An app's lifespan ends with each test client, and CI has no token."""
    ended, bare, off = shops(), shops(""), shops(disabled=True)
    ended.shutdown(5)
    with recording() as posthog:
        for client in (ended, bare, off):
            client.capture("event", distinct_id="u1")
        assert [event.project_token for event in posthog.events] == ["phc_live", ""]
    for client in (ended, bare, off):
        assert client.capture("event", distinct_id="u1") is None
    assert sink.events == []


def test_what_an_interceptor_sees_is_recorded(shops, sink):
    """Context and exceptions of the app's own client."""
    shop = shops()
    app = FastAPI()
    app.add_middleware(PostHogInterceptor, client=shop, capture_exceptions=True)

    @app.post("/checkout")
    async def checkout():
        shop.capture("checkout")
        raise ValueError("no money")

    with recording() as posthog:
        TestClient(app, raise_server_exceptions=False).post("/checkout", headers={"X-PostHog-Session-Id": "s1"})
        assert [(event.event, event.properties["$session_id"]) for event in posthog.events] == [
            ("checkout", "s1"),
            ("$exception", "s1"),
        ]
    assert sink.events == []


def test_flags_are_forced_for_every_client_and_nobody_is_asked(shops, sink):
    """Made before or after, with a key for local evaluation or without."""
    sink.flags = {"new-shop": False, "other": True}
    before, local = shops(), shops(secret_key="phx_key", flag_cache_dir="")
    assert before.evaluate_flags("u1").get_flag("other") is True
    asked = len(sink.requests)
    with recording() as posthog:
        after = shops()
        with posthog.flags.override({"new-shop": True}):
            for client in (before, local, after, posthog):
                flags = client.evaluate_flags("u1")
                assert (flags.get_flag("new-shop"), flags.get_flag("other")) == (True, None)
                assert client.get_feature_flag_result("new-shop", "u1").enabled is True
                assert client.load_feature_flags() is False
        assert before.evaluate_flags("u1").get_flag("new-shop") is None
    assert len(sink.requests) == asked
    assert before.evaluate_flags("u1").get_flag("new-shop") is False


def test_recordings_end_with_the_default_client_that_was_there(shops):
    """A choice of the app's survives a test."""
    shop = shops()
    hogline.set_default_client(shop)
    with recording() as posthog:
        assert hogline.default_client() is posthog
    assert hogline.default_client() is shop


def test_a_recording_client_of_ones_own_records_itself():
    """It works wherever a client is expected.

    It also works with capture v1, whose server answers for each event.
    """
    own = RecordingPostHog("phc_own", capture_mode="v1")
    with recording() as posthog:
        own.capture("mine", distinct_id="u1")
        assert posthog.events == []
    assert [event.project_token for event in own.events] == ["phc_own"]
    assert own.stats().dropped == {}
    own.clear()
    assert own.events == []
    own.shutdown()


APP = """
from fastapi import FastAPI
from hogline import PostHog
from hogline.interceptors.fastapi import PostHogInterceptor

posthog = PostHog("phc_live", host={url!r})
app = FastAPI()
app.add_middleware(PostHogInterceptor, client=posthog, capture_exceptions=True)

@app.post("/checkout")
async def checkout():
    posthog.capture("checkout", properties={{"total": 42}})
    return {{"theme": posthog.evaluate_flags("u1").get_flag("theme")}}
"""
TESTS = """
import pytest
from fastapi.testclient import TestClient
from shop import app

@pytest.mark.parametrize("again", [1, 2])
def test_checkout_is_counted(posthog, posthog_flags, again):
    posthog_flags({"theme": "dark"})
    assert TestClient(app).post("/checkout").json() == {"theme": "dark"}
    [event] = posthog.events
    assert event.event == "checkout"
    assert event.properties["total"] == 42
    assert event.project_token == "phc_live"
"""


def test_the_documented_test_passes_for_the_documented_app(tmp_path, sink):
    """It runs in a pytest of its own, with the plugin that Hogline brings."""
    (tmp_path / "shop.py").write_text(APP.format(url=sink.url))
    (tmp_path / "test_shop.py").write_text(TESTS)
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", str(tmp_path), "test_shop.py"],
        cwd=tmp_path, capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip
    assert run.returncode == 0, run.stdout + run.stderr
    assert sink.requests == []
