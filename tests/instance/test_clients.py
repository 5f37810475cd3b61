"""posthog-python and our own SDK as clients: every event arrives with its properties unchanged."""

import os
import subprocess
import sys
import uuid

import pytest

EVENTS = 250
CLIENT = """
import sys
from datetime import UTC, datetime
from posthog import Posthog

host, token, key, name, compress = sys.argv[1:]
errors = []
client = Posthog(token, host=host, gzip=compress == "gzip", personal_api_key=key, on_error=lambda error, batch: errors.append(error), flush_at=40)
for number in range(int("EVENTS")):
    client.capture(
        name, distinct_id=f"user-{number % 7}", timestamp=datetime.now(UTC),
        properties={"number": number, "text": "é \\u2028 </script> 😀", "nested": {"list": [1, 2.5, None, True]}, "$session_id": "s-1"},
    )
client.set(distinct_id="user-1", properties={"plan": "pro"})
client.capture_exception(ValueError("broken"), distinct_id="user-1", properties={"name": name})
assert client.get_all_flags("user-1") is not None
assert client.feature_enabled("no-such-flag", "user-1") in (None, False)
client.load_feature_flags()
client.flush()
client.shutdown()
assert not errors, errors
""".replace("EVENTS", str(EVENTS))


@pytest.mark.parametrize("mode", ["v0", "v1"])
@pytest.mark.parametrize("compress", ["plain", "gzip"])
def test_posthog_pythons_events_arrive_with_their_properties_unchanged(reader, tmp_path, compress, mode):
    """It sends plain and gzip batches to the legacy endpoint and capture v1, and reads flags
    without an error."""
    name = f"py-{uuid.uuid4()}"
    run = subprocess.run(
        [sys.executable, "-c", CLIENT, reader.url, reader.token, reader.key, name, compress],
        env={**os.environ, "POSTHOG_CAPTURE_MODE": mode}, capture_output=True, text=True, timeout=90, check=False, cwd=tmp_path,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    assert "ERROR" not in run.stderr, run.stderr
    found = sorted(reader.wait_for(EVENTS, event=name), key=lambda one: one["properties"]["number"])
    assert [one["properties"]["number"] for one in found] == list(range(EVENTS))
    for one in found:
        assert one["distinct_id"] == f"user-{one['properties']['number'] % 7}"
        assert one["properties"]["text"] == "é \u2028 </script> 😀"
        assert one["properties"]["nested"] == {"list": [1, 2.5, None, True]}
        assert one["properties"]["$lib"] == "posthog-python"
        assert one["properties"]["$session_id"] == "s-1"
    [raised] = [one for one in reader.wait_for(1, event="$exception") if one["properties"].get("name") == name]
    assert raised["properties"]["$exception_list"][0]["value"] == "broken"


@pytest.mark.parametrize("compression", ["none", "gzip", "deflate", "zstd"])
def test_our_own_events_arrive_by_capture_v1(reader, compression):
    """In each encoding the properties are unchanged, including those that v1 sends as options."""
    from hogline import PostHog, new_context, set_context_session

    name = f"own-{uuid.uuid4()}"
    client = PostHog(reader.token, host=reader.url, capture_mode="v1", capture_compression=compression)
    with new_context():
        set_context_session("s-own")
        ids = [
            client.capture(name, distinct_id=f"user-{n}", properties={"number": n, "text": "é 😀"}) for n in range(30)
        ]
    nobody = client.capture(name, properties={"number": 30})
    assert client.flush(60)
    assert client.stats().sent == 31
    client.shutdown()
    found = sorted(reader.wait_for(31, event=name), key=lambda one: one["properties"]["number"])
    assert [one["uuid"] if "uuid" in one else one["id"] for one in found] == [*ids, nobody]
    assert {one["properties"]["$lib"] for one in found} == {"hogline"}
    assert {one["properties"].get("$session_id") for one in found[:30]} == {"s-own"}
    assert found[0]["properties"]["text"] == "é 😀"
    assert found[30]["properties"]["$process_person_profile"] is False
