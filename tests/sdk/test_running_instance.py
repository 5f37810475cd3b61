"""The fixture `hogline_instance`: an end-to-end test sets flags and reads people and events back."""

from hogline import PostHog


def test_a_test_sets_flags_and_reads_events_back(hogline_instance):
    """Through the real instance, with no mock."""
    hogline_instance.set_flag("sale", payload={"percent": 20})
    hogline_instance.set_flag("theme", "dark")
    client = PostHog(hogline_instance.project_token, host=hogline_instance.url)
    assert client.evaluate_flags("jane").get_flag("sale") is True
    assert client.evaluate_flags("jane").get_flag("theme") == "dark"
    hogline_instance.set_flag("theme", False)
    assert client.evaluate_flags("jane").get_flag("theme") is False
    client.capture("bought", distinct_id="jane", properties={"total": 42})
    client.shutdown()
    [event] = hogline_instance.events(1, event="bought", distinct_id="jane")
    assert event["properties"]["total"] == 42
