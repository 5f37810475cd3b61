"""The feature_flags suite of PostHog's compliance harness, over an adapter as its other SDKs have
one.

The harness's server answers in the oldest form, `featureFlags`, and speaks of geoip only where it
is asked to.
"""

import json
from urllib.parse import parse_qs, urlsplit

import pytest

from hogline import PostHog

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


class Adapter:
    """The SDK calls behind the harness's `/init`, `/capture`, `/get_feature_flag` and `/flush`."""

    def __init__(self, sink):
        self.sink = sink
        self.client = PostHog("phc_harness", host=sink.url, flush_at=1, flush_interval=0.05, disable_geoip=False)

    def get_feature_flag(self, key, distinct_id, *, disable_geoip=None, force_remote=True, **about):
        assert force_remote
        return self.client.get_feature_flag(key, distinct_id, disable_geoip=disable_geoip, **about)

    def answer(self, value, times=1):
        body = json.dumps({"featureFlags": {"test-flag": value}, "featureFlagPayloads": {}}).encode()
        self.sink.answer(200, body=body, times=times, path="/flags")

    @property
    def flag_requests(self):
        return [request for request in self.sink.requests if request.path.startswith(("/flags", "/decide"))]


@pytest.fixture
def adapter(sink):
    made = Adapter(sink)
    yield made
    made.client.shutdown(5)


@pytest.fixture
def request_(adapter):
    """The one request that reading a flag makes."""
    adapter.answer(True)
    adapter.get_feature_flag("test-flag", "user-1")
    [request] = adapter.flag_requests
    return request


def test_request_is_a_post_to_flags(request_):
    assert (request_.method, urlsplit(request_.path).path.rstrip("/")) == ("POST", "/flags")


def test_request_names_version_4(request_):
    assert parse_qs(urlsplit(request_.path).query)["v"] == ["4"]


def test_request_has_no_authorization(request_):
    assert "authorization" not in request_.headers


def test_request_holds_the_token(request_):
    assert request_.body.get("token") == request_.body.get("api_key") == "phc_harness"


def test_request_holds_the_distinct_id(request_):
    assert request_.body["distinct_id"] == "user-1"


def test_groups_are_empty_by_default(request_):
    assert request_.body["groups"] == {}


def test_geoip_is_not_disabled_unless_asked(request_):
    assert request_.body["geoip_disable"] is False


def test_only_the_flag_is_asked_for(request_):
    assert request_.body["flag_keys_to_evaluate"] == ["test-flag"]


def test_geoip_is_disabled_when_asked(adapter):
    adapter.answer(True)
    adapter.get_feature_flag("test-flag", "user-1", disable_geoip=True)
    assert adapter.flag_requests[0].body["geoip_disable"] is True


def test_person_and_group_properties_are_sent(adapter):
    adapter.answer(True)
    adapter.get_feature_flag(
        "test-flag",
        "user-1",
        person_properties={"plan": "pro"},
        groups={"company": "acme"},
        group_properties={"company": {"size": 3}},
    )
    body = adapter.flag_requests[0].body
    assert body["person_properties"]["plan"] == "pro"
    assert body["groups"] == {"company": "acme"}
    assert body["group_properties"]["company"]["size"] == 3


def test_nothing_is_asked_at_init(adapter):
    assert adapter.flag_requests == []


def test_nothing_is_asked_at_capture(adapter):
    adapter.client.capture("event", distinct_id="user-1")
    adapter.client.flush(20)
    assert adapter.flag_requests == []


def test_two_calls_are_two_requests(adapter):
    adapter.answer(True, times=2)
    adapter.get_feature_flag("test-flag", "user-1")
    adapter.get_feature_flag("test-flag", "user-1")
    assert len(adapter.flag_requests) == 2


@pytest.mark.parametrize("value", [True, False, "variant-a"])
def test_the_value_is_returned(adapter, value):
    adapter.answer(value)
    assert adapter.get_feature_flag("test-flag", "user-1") == value


@pytest.mark.parametrize("status", [502, 504])
def test_a_gateways_error_is_asked_again(adapter, status):
    adapter.sink.answer(status, path="/flags")
    adapter.answer("after")
    assert adapter.get_feature_flag("test-flag", "user-1") == "after"
    assert len(adapter.flag_requests) == 2


def test_exactly_one_called_event(adapter):
    adapter.answer("variant-a", times=2)
    adapter.get_feature_flag("test-flag", "user-1")
    adapter.get_feature_flag("test-flag", "user-1")
    adapter.client.flush(20)
    [event] = adapter.sink.named("$feature_flag_called")
    assert event.properties["$feature_flag"] == "test-flag"
    assert event.properties["$feature_flag_response"] == "variant-a"
