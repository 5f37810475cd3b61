"""Hostile requests: bounded cost, a response with a reason, and no effect on other requests."""

import gzip
import json
import socket
import threading
import time
import uuid
from datetime import UTC, datetime

import brotli
import pytest
import urllib3

from tests.instance.reader import WAIT_S, event
from tests.support.fuzzing import run

POOL = urllib3.PoolManager(retries=False, timeout=WAIT_S)
DIGITS = "9" * 5000
NESTED: list = []
for _ in range(300):
    NESTED = [NESTED]


def post(reader, path, body, headers=None):
    data = body.encode("utf-8", "surrogatepass") if isinstance(body, str) else body
    return POOL.request("POST", reader.url + path, body=data, headers=headers or {}, redirect=False)


def ready(reader):
    return reader.get("/_ready", key=None).json()


def v1(reader, *events, **headers):
    """Post *events*, given as JSON texts, as posthog-node does in its v1 mode."""
    now = datetime.now(UTC).isoformat().replace("+00:00", "Z")
    sent = {
        "Authorization": f"Bearer {reader.token}", "PostHog-Sdk-Info": "posthog-node/5", "PostHog-Attempt": "1",
        "PostHog-Request-Id": str(uuid.uuid4()), "PostHog-Request-Timestamp": now, "User-Agent": "test", **headers,
    }  # fmt: skip
    return post(reader, "/i/v1/analytics/events", f'{{"created_at":"{now}","batch":[{",".join(events)}]}}', sent)


def v1_event(name, properties="{}"):
    now = datetime.now(UTC).isoformat()
    return (
        f'{{"event":"{name}","uuid":"{uuid.uuid4()}","distinct_id":"d","timestamp":"{now}","properties":{properties}}}'
    )


def test_any_input_is_answered_below_500_and_every_page_shows_what_was_stored(serve):
    """A short run of the fuzzer; `./dev fuzz` makes long ones.

    On an instance of its own: the fuzzer changes settings and makes rules that drop events.
    """
    served = serve()
    report = run(served.url, served.token, served.key, inputs=100_000, seed=int(time.time()), longest_s=20)
    assert report.faults == []
    assert report.statuses[200] > 100
    assert served.stop() == 0
    assert not served.errors()


OUT_OF_RANGE = ["9" * 20, "-" + "9" * 20, "1" * 400]
NUMBERED = ["/api/projects/@current/cohorts/{}", "/api/projects/@current/cohorts/{}/persons", "/api/projects/@current/feature_flags/{}",
            "/api/projects/@current/feature_flags/{}/activity", "/api/projects/@current/error_tracking/alerts/{}", "/cohorts/{}", "/flags/{}",
            "/alerts/{}", "/projects/{}"]  # fmt: skip


@pytest.mark.parametrize("path", NUMBERED)
def test_an_id_that_no_column_holds_is_not_found(reader, path):
    """No database has an integer of that size."""
    for number in OUT_OF_RANGE:
        assert reader.get(path.format(number)).status in (400, 404)


NAMED = [
    ("POST", "/projects", {"name": "x", "timezone": {"a": 1}}),
    ("POST", "/projects/@current/error_tracking/assignment_rules", {"filters": {"type": "AND", "values": []}, "assignee": {"id": [[]], "type": "user"}}),
    ("POST", "/projects/@current/error_tracking/severity_rules", {"filters": {"type": "AND", "values": []}, "severity": ["high"]}),
    ("POST", "/projects/@current/error_tracking/issues/bulk", {"ids": [], "action": {"a": 1}, "status": ["resolved"]}),
    ("POST", "/projects/@current/query", {"query": {"kind": ["EventsQuery"]}}),
    ("POST", "/projects/@current/cohorts", {"name": "x", "filters": {"properties": {"type": ["OR"], "values": []}}}),
    ("POST", "/projects/@current/feature_flags", {"key": "x", "filters": {"groups": [{"properties": [{"key": "a", "operator": ["exact"]}]}]}}),
]  # fmt: skip


@pytest.mark.parametrize(("method", "path", "body"), NAMED, ids=[path for _, path, _ in NAMED])
def test_a_list_where_a_name_belongs_is_a_clear_400(reader, method, path, body):
    """A name is looked up in a table, where a list cannot be."""
    answer = POOL.request(
        method, f"{reader.url}/api{path}", json=body, headers={"Authorization": f"Bearer {reader.key}"}
    )
    assert answer.status == 400
    assert answer.json()["detail"]


def test_a_value_that_is_nested_too_deeply_is_a_clear_400(reader):
    """No event can hold what the change would write."""
    name = f"met-{uuid.uuid4()}"
    reader.send(event(name, distinct_id=name))
    reader.wait_for(1, event=name)
    [person] = reader.get("/api/projects/@current/persons/", distinct_id=name).json()["results"]
    path = f"{reader.url}/api/projects/@current/persons/{person['id']}/update_property"
    answer = POOL.request(
        "POST", path, json={"key": "a", "value": NESTED}, headers={"Authorization": f"Bearer {reader.key}"}
    )
    assert (answer.status, answer.json()["detail"]) == (400, "the request is nested too deeply")


@pytest.mark.parametrize("half", [r"\ud83d", r"\udc00"])
def test_half_an_emoji_in_an_id_costs_no_event(reader, half):
    """The event is stored under an id with a replacement in its place."""
    name = f"half-{uuid.uuid4()}"
    body = f'{{"api_key":"{reader.token}","event":"{name}","distinct_id":"x{half}y","properties":{{"$session_id":"s{half}"}}}}'
    assert post(reader, "/e/", body).status == 200
    [found] = reader.wait_for(1, event=name)
    assert found["distinct_id"].startswith("x")


ODD_VALUES = {
    "a cut emoji": r'"x\ud83d"',
    "half an emoji at the end": r'"\udc00"',
    "NaN": "NaN",
    "Infinity": "-Infinity",
    "an integer of 5,000 digits": DIGITS,
    "an integer of 70 bits": "1180591620717411303424",
    "a float beyond the largest": "1e400",
}


@pytest.mark.parametrize("value", ODD_VALUES, ids=str)
@pytest.mark.parametrize("how", ["legacy", "v1"])
def test_an_odd_value_costs_nobody_an_event(reader, how, value):
    """The event with the odd value is stored too, and every JSON parser can read it."""
    good, odd = f"good-{uuid.uuid4()}", f"odd-{uuid.uuid4()}"
    properties = f'{{"a":{ODD_VALUES[value]},"b":[{{"c":{ODD_VALUES[value]}}}]}}'
    if how == "v1":
        answer = v1(reader, v1_event(good), v1_event(odd, properties))
        assert [result["result"] for result in answer.json()["results"].values()] == ["ok", "ok"]
    else:
        one = f'{{"event":"{good}","distinct_id":"d"}},{{"event":"{odd}","distinct_id":"d","properties":{properties}}}'
        answer = post(reader, "/batch/", f'{{"api_key":"{reader.token}","batch":[{one}]}}')
    assert answer.status == 200, answer.data
    [found] = reader.wait_for(1, event=odd)
    reader.wait_for(1, event=good)
    json.dumps(found, allow_nan=False)
    if value == "an integer of 5,000 digits":
        assert found["properties"]["a"] == DIGITS
        assert found["properties"]["b"] == [{"c": DIGITS}]
    assert reader.get(f"/event/{found['id']}", key=None).status == 200


ODD_MEMBERS = {
    "an offset that no float holds": f'"offset":1{"0" * 400}',
    "$set twice, with a long number": f'"properties":{{"$set":{{"a":{DIGITS}}}}},"$set":{{"b":1}}',
    "$set that is a number": '"properties":{"$set":1},"$set":2',
    "properties that are a list": '"properties":[1]',
    "a uuid of another script's digits": '"uuid":"' + "\u0661" * 32 + '"',
    "a uuid with a hole": '"uuid":"0ea7d81e-342-7da3-8000-000000000000"',
    "a time that is no time": '"timestamp":"yesterday"',
    "a time before time": '"timestamp":"0001-01-01T00:00:00+14:00"',
    "nested as deep as JSON may be": '"properties":{"a":' + "[" * 120 + "]" * 120 + "}",
}


@pytest.mark.parametrize("member", ODD_MEMBERS, ids=str)
def test_an_event_that_cannot_be_kept_costs_only_itself(reader, member):
    """The valid event of the batch is stored; the refused or changed one is counted with its
    reason.
    """
    name = f"good-{uuid.uuid4()}"
    before = ready(reader)
    body = f'{{"api_key":"{reader.token}","batch":[{{"event":"{name}","distinct_id":"d"}},{{"event":"odd","distinct_id":"d",{ODD_MEMBERS[member]}}}]}}'
    answer = post(reader, "/batch/", body)
    assert answer.status == 200, answer.data
    reader.wait_for(1, event=name)
    after = ready(reader)
    if "uuid" in member or "list" in member:
        assert sum(after["not_kept"].values()) == sum(before["not_kept"].values()) + 1
    if "no time" in member:
        assert sum(after["mended"].values()) == sum(before["mended"].values()) + 1


def test_v1_answers_for_each_event_and_counts_what_has_no_id(reader):
    """An event without a valid uuid is missing in the response; the others are kept."""
    name = f"good-{uuid.uuid4()}"
    nameless = v1_event("x").replace('"uuid":"', '"uuid":"nope')
    twin = v1_event(name)
    before = sum(ready(reader)["not_kept"].values())
    answer = v1(reader, twin, nameless, twin)
    assert answer.status == 200
    assert [result["result"] for result in answer.json()["results"].values()] == ["ok"]
    assert sum(ready(reader)["not_kept"].values()) == before + 2
    assert v1(reader, nameless).status == 400


@pytest.mark.parametrize("attempt", [DIGITS, "\xb2", "0", "-1", "1.0", ""])
def test_a_v1_header_that_is_no_number_is_a_clear_400(reader, attempt):
    """The response is never a 500."""
    answer = v1(reader, v1_event("x"), **{"PostHog-Attempt": attempt})
    assert answer.status == 400
    assert answer.json()["error"] in ("invalid_header_value", "missing_required_headers")


@pytest.mark.parametrize(
    "body",
    [b'{"token":"x","distinct_id":"d\xff"}', b"[" * 100_000, b'{"a":' * 50_000, b"\xff", b"1"],
)
@pytest.mark.parametrize("path", ["/flags/?v=2", "/decide/?v=3", "/batch/", "/e/", "/i/v1/analytics/events"])
def test_broken_json_is_refused_with_a_reason_on_every_endpoint(reader, path, body):
    """The bodies are invalid UTF-8, a very deep document, and a bare number."""
    answer = post(reader, path, body)
    # Broken UTF-8 inside a string is replaced; every other body is refused.
    assert answer.status in ((200, 400, 401) if b"d\xff" in body else (400, 401)), answer.data


def test_an_event_over_the_bound_is_refused_alone(reader):
    """92 KB of gzip can hold an event of 90 MB; the limit is one megabyte."""
    name = f"good-{uuid.uuid4()}"
    huge = event("huge", x="a" * (3 << 20))
    answer = post(
        reader, "/batch/", gzip.compress(json.dumps({"api_key": reader.token, "batch": [event(name), huge]}).encode())
    )
    assert answer.status == 200
    reader.wait_for(1, event=name)
    alone = post(reader, "/batch/", gzip.compress(json.dumps({"api_key": reader.token, "batch": [huge]}).encode()))
    assert alone.status == 413
    assert b"too large" in alone.data
    result = v1(reader, v1_event("huge", json.dumps({"x": "a" * (3 << 20)}))).json()["results"]
    assert [one["result"] for one in result.values()] == ["drop"]


def test_a_request_has_a_number_of_events(reader):
    """A list of two million tiny events gets 413, which SDKs do not retry."""
    body = gzip.compress(
        b'{"api_key":"%b","batch":[%b{}]}' % (reader.token.encode(), b'{"event":"x","distinct_id":"d"},' * 200_000)
    )
    answer = post(reader, "/batch/", body)
    assert answer.status == 413
    assert b"10000" in answer.data


def test_a_bomb_holds_nobody_up(reader):
    """809 bytes that decompress to a gigabyte are refused, and `/_health` responds meanwhile."""
    maker = brotli.Compressor(quality=5, lgwin=24)
    body = b"".join(maker.process(bytes(1 << 20)) for _ in range(1024)) + maker.finish()
    answers = []
    poster = threading.Thread(
        target=lambda: answers.append(post(reader, "/batch/", body, {"Content-Encoding": "br"}).status)
    )
    poster.start()
    slowest_s = 0.0
    while poster.is_alive():
        began_s = time.monotonic()
        assert reader.get("/_health", key=None).status == 200
        slowest_s = max(slowest_s, time.monotonic() - began_s)
    assert answers == [413]
    assert slowest_s < 2.0


def test_large_requests_together_are_bounded(serve):
    """Open uploads take no more memory than the option allows; the next one gets a 503 and is
    retried.
    """
    served = serve(environ={"HOGLINE_MAX_INFLIGHT_BYTES": str(4 << 20)})
    held = []
    port = urllib3.util.parse_url(served.url).port
    statuses = set()
    for _ in range(6):
        one = socket.create_connection(("127.0.0.1", port))
        one.settimeout(WAIT_S)
        one.sendall(b"POST /batch/ HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 2000000\r\n\r\n" + b"x" * 1_000_000)
        held.append(one)
    time.sleep(0.5)
    for one in held:
        one.setblocking(False)
        try:
            statuses.add(one.recv(100).split(b" ")[1])
        except BlockingIOError:
            statuses.add(b"held")
        one.close()
    assert statuses == {b"held", b"503"}


def test_strangers_write_no_line_of_the_log_and_crowd_out_no_reason(serve):
    """Tokens are escaped, and their number is limited separately from the other reasons."""
    served = serve()
    pool = urllib3.PoolManager(retries=False, timeout=WAIT_S)
    for number in range(600):
        body = json.dumps({"api_key": f"t{number}\nERROR \x1b[31m", "event": "e", "distinct_id": "d"})
        assert pool.request("POST", f"{served.url}/e/", body=body).status == 200
    pool.request(
        "POST", f"{served.url}/e/", body=json.dumps({"api_key": served.token, "event": "e", "distinct_id": ""})
    )
    counted = pool.request("GET", f"{served.url}/_ready").json()["not_kept"]
    assert counted["an event has no distinct_id"] == 1
    assert sum(counted.values()) == 601
    assert len(counted) < 100
    assert any("t599" in reason for reason in counted), "the latest are shown"
    assert all(reason.isprintable() for reason in counted)
    served.stop()
    assert not any("\x1b" in line or line.startswith("ERROR") for line in served.log)


@pytest.mark.parametrize(
    ("forwarded", "stored"),
    [
        ("203.0.113.9", "203.0.113.9"), ("203.0.113.9:5555", "203.0.113.9"), ("[2001:db8::1]:443", "2001:db8::1"), ("2001:db8::1, 10.0.0.1", "2001:db8::1"),
        ("...", "127.0.0.1"), ("unknown", "127.0.0.1"), ("999.1.1.1", "127.0.0.1"), ("1.2.3.4.5", "127.0.0.1"), ("fe80::1%25eth0", "127.0.0.1"), ("", "127.0.0.1"),
    ],
)  # fmt: skip
def test_a_visitors_address_is_an_address(reader, forwarded, stored):
    """A forwarded address counts only if it is valid; otherwise the peer's is used."""
    name = f"ip-{uuid.uuid4()}"
    answer = post(
        reader,
        "/e/",
        json.dumps({"api_key": reader.token, "event": name, "distinct_id": "d"}),
        {"X-Forwarded-For": forwarded},
    )
    assert answer.status == 200
    [found] = reader.wait_for(1, event=name)
    assert found["properties"]["$ip"] == stored


@pytest.mark.parametrize("version", ["", "?v=1", "?v=2", "?v=3"])
def test_old_browser_sdks_are_told_to_capture_clicks(reader, version):
    """posthog-js up to 1.96 starts autocapture only when `/decide` enables it."""
    answer = post(reader, f"/decide/{version}", json.dumps({"token": reader.token, "distinct_id": "d"}))
    assert answer.json()["config"] == {"enable_collect_everything": True}
