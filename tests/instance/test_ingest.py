"""Ingest over real sockets: every path, shape, encoding and response.

Source: docs/internals/instance-protocol.md#ingestion."""

import base64
import gzip
import json
import socket
import uuid
import zlib
from datetime import UTC, datetime, timedelta
from urllib.parse import quote

import brotli
import lzstring
import pytest
import urllib3
import zstandard

from tests.instance.reader import WAIT_S, Reader, event

POOL = urllib3.PoolManager(retries=False, timeout=WAIT_S)
PATHS = ["/batch", "/e", "/i/v0/e", "/capture", "/track", "/engage"]


def post(reader, path, body, headers=None, method="POST"):
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return POOL.request(method, reader.url + path, body=data, headers=headers or {}, redirect=False)


def fresh():
    return f"e-{uuid.uuid4()}"


@pytest.mark.parametrize("slash", ["", "/"])
@pytest.mark.parametrize("path", PATHS)
def test_every_path_takes_every_shape_without_a_redirect(reader, path, slash):
    """A batch object, a list and a single event all get exactly 200 and `{"status":1}`."""
    name = fresh()
    one = event(name)
    shapes = [
        {"api_key": reader.token, "batch": [one]},
        [{**event(name), "api_key": reader.token}],
        {**event(name), "api_key": reader.token},
        {**event(name), "token": reader.token},
        {**event(name), "$token": reader.token},
        {"event": name, "properties": {"distinct_id": "inside", "token": reader.token}},
        {"token": reader.token, "batch": [{"event": name, "$distinct_id": "dollar", "properties": {}}]},
    ]
    for shape in shapes:
        answer = post(reader, path + slash, shape)
        assert (answer.status, answer.data) == (200, b'{"status":1}')
    people = {found["distinct_id"] for found in reader.wait_for(len(shapes), event=name)}
    assert people == {"ada", "inside", "dollar"}


def _form(text, **fields):
    parts = [f"data={quote(base64.b64encode(text).decode())}", *(f"{key}={value}" for key, value in fields.items())]
    return "&".join(parts).encode()


ENCODINGS = {
    "plain": lambda text: (text, "", {}),
    "gzip without a hint, as posthog-js": lambda text: (gzip.compress(text), "", {"Content-Type": "text/plain"}),
    "gzip-js by query": lambda text: (gzip.compress(text), "?compression=gzip-js", {}),
    "gzip by header": lambda text: (gzip.compress(text), "", {"Content-Encoding": "gzip"}),
    "gzip that a proxy undid": lambda text: (text, "", {"Content-Encoding": "gzip"}),
    "gzip declared and not": lambda text: (text, "?compression=gzip", {}),
    "deflate": lambda text: (zlib.compress(text), "", {"Content-Encoding": "deflate"}),
    "raw deflate": lambda text: (zlib.compress(text)[2:-4], "", {"Content-Encoding": "deflate"}),
    "br": lambda text: (brotli.compress(text), "", {"Content-Encoding": "br"}),
    "zstd": lambda text: (zstandard.compress(text), "", {"Content-Encoding": "zstd"}),
    "base64 body": lambda text: (base64.b64encode(text), "", {}),
    "base64 form": lambda text: (_form(text), "?compression=base64", {"Content-Type": "application/x-www-form-urlencoded"}),
    "base64 form with blanks for pluses": lambda text: (
        b"data=" + base64.b64encode(text).replace(b"+", b" "), "", {"Content-Type": "application/x-www-form-urlencoded"}
    ),
    "form without its content type": lambda text: (_form(text), "", {}),
    "json in a form": lambda text: (b"data=" + quote(text.decode()).encode(), "", {"Content-Type": "application/x-www-form-urlencoded"}),
    "lz64": lambda text: (lzstring.LZString().compressToBase64(text.decode()).encode(), "?compression=lz64", {}),
    "gzip in base64": lambda text: (base64.b64encode(gzip.compress(text)), "?compression=gzip", {}),
}  # fmt: skip


@pytest.mark.parametrize("encoding", ENCODINGS, ids=str)
def test_every_encoding_that_sdks_have_used_is_read(reader, encoding):
    """The URL and headers are hints; the bytes decide."""
    sent = event(fresh(), text="ü ? > + & = %", number=1)
    body, query, headers = ENCODINGS[encoding](json.dumps({"api_key": reader.token, "batch": [sent]}).encode())
    answer = post(reader, f"/e/{query}", body, headers)
    assert answer.status == 200, answer.data
    [found] = reader.wait_for(1, event=sent["event"])
    assert found["properties"]["text"] == "ü ? > + & = %"


def test_a_get_carries_its_data_in_the_query(reader):
    """A tracking pixel sends events in this way."""
    name = fresh()
    data = base64.b64encode(json.dumps({**event(name), "api_key": reader.token}).encode()).decode()
    answer = POOL.request("GET", f"{reader.url}/e/?data={quote(data)}&_={int(datetime.now().timestamp() * 1000)}")
    assert answer.status == 200, answer.data
    reader.wait_for(1, event=name)


def test_a_beacon_gets_204(reader):
    """No code reads the response to a beacon."""
    answer = post(reader, "/e/?beacon=1", {"api_key": reader.token, "batch": [event(fresh())]})
    assert (answer.status, answer.data) == (204, b"")


@pytest.mark.parametrize(
    ("body", "status", "says"),
    [
        (b"", 400, b"empty"),
        (b"   ", 400, b"empty"),
        (b"not json", 400, b"neither JSON"),
        (b"{broken", 400, b"not JSON"),
        (b'"text"', 400, b""),
        (b"\x1f\x8b\x08broken", 400, b"compression"),
        (gzip.compress(b'{"a":1}', mtime=0)[:-6], 400, b"cut off"),
        (b'{"api_key":"TOKEN","batch":[]}', 400, b"empty"),
        (b'{"api_key":"TOKEN","batch":{}}', 400, b"not a list"),
        (b'{"api_key":"TOKEN","batch":[3]}', 400, b"not an object"),
        (b'{"api_key":"TOKEN","event":"","distinct_id":"u"}', 400, b"no name"),
        (b'{"api_key":"TOKEN","event":"x"}', 400, b"no distinct_id"),
        (b'{"api_key":"TOKEN","event":"x","distinct_id":"  "}', 400, b"no distinct_id"),
        (b'{"api_key":"TOKEN","event":"x","distinct_id":"u","uuid":"nope"}', 400, b"not a UUID"),
        (b'{"event":"x","distinct_id":"u"}', 401, b"no project token"),
        (b'{"api_key":"phx_personal","event":"x","distinct_id":"u"}', 401, b"personal key"),
        (b'{"api_key":"' + b"x" * 65 + b'","event":"x","distinct_id":"u"}', 401, b"64"),
        (b'[{"api_key":"a","event":"x","distinct_id":"u"},{"api_key":"b","event":"x","distinct_id":"u"}]', 401, b"different"),
    ],
)  # fmt: skip
def test_what_cannot_be_taken_gets_a_clear_answer(reader, body, status, says):
    """The response is plain text that says what is wrong."""
    answer = post(reader, "/batch/", body.replace(b"TOKEN", reader.token.encode()))
    assert answer.status == status, answer.data
    assert says in answer.data
    assert answer.headers["content-type"].startswith("text/plain")


def test_one_bad_event_costs_the_others_nothing(reader):
    """PostHog's edge refuses the whole request instead (rule `accept-the-good`)."""
    name = fresh()
    batch = [event(name), {"event": name}, 17, {**event(name), "uuid": "nope"}, event(name)]
    answer = post(reader, "/batch/", {"api_key": reader.token, "batch": batch})
    assert answer.status == 200
    assert len(reader.wait_for(2, event=name)) == 2


def test_a_token_of_nobody_is_answered_as_the_edge_answers_it(reader):
    """An unknown but well-formed token gets 200; `/_ready` says why no event appears."""
    answer = post(reader, "/batch/", {"api_key": "phc_unknown_token", "batch": [event(fresh())]})
    assert answer.status == 200
    ready = POOL.request("GET", f"{reader.url}/_ready").json()
    assert any("phc_unknown_" in reason for reason in ready["not_kept"])


def test_the_body_zoo_never_gets_a_500(reader):
    """The bodies hold numeric ids, NUL, lone surrogates, NaN, broken UTF-8, deep nesting and huge
    values.
    """
    name = fresh()
    head = b'{"api_key":"%b","batch":[{"event":"%b",' % (reader.token.encode(), name.encode())
    bodies = [
        head + b'"distinct_id":42,"properties":{}}]}',
        head + b'"distinct_id":{"a":1},"properties":{}}]}',
        head + b'"distinct_id":"nul\\u0000id","properties":{"n":"\\u0000"}}]}',
        head + b'"distinct_id":"u","properties":{"s":"\\ud800"}}]}',
        head + b'"distinct_id":"u","properties":{"nan":NaN,"inf":-Infinity}}]}',
        head + b'"distinct_id":"u","properties":{"bytes":"\xff\xfe"}}]}',
        head + b'"distinct_id":"u","properties":' + b'{"a":' * 100 + b"1" + b"}" * 100 + b"}]}",
        head + b'"distinct_id":"u","properties":{"big":' + b"9" * 400 + b"}}]}",
        head + b'"distinct_id":"u","properties":{"text":"' + b"x" * 1_000_000 + b'"}}]}',
        head + b'"distinct_id":"u","properties":null}]}',
        head + b'"distinct_id":"u","properties":{"beyond":1e999}}]}',
        head + b'"distinct_id":"u","offset":NaN,"properties":{}}]}',
        head + b'"distinct_id":"u","timestamp":17,"uuid":"","properties":{}}]}',
        head + b'"distinct_id":"u",\n"properties":{\n"pretty":\r\n1}}]}',
        head + b'"distinct_id":"' + b"x" * 5000 + b'","properties":{}}]}',
    ]
    refused = [head + b'"distinct_id":"u","properties":' + b"[" * 100_000 + b"]" * 100_000 + b"}]}"]
    for body in bodies:
        answer = post(reader, "/batch/", body)
        assert answer.status == 200, (body[:200], answer.data)
    for body in refused:
        assert post(reader, "/batch/", body).status in (200, 400)
    found = reader.wait_for(len(bodies), event=name)
    assert {"42", '{"a":1}', "nul\ufffdid"} <= {one["distinct_id"] for one in found}
    assert max(len(one["distinct_id"]) for one in found) == 200


def test_a_query_with_hundreds_of_parameters_is_refused(reader):
    """The error names the limit."""
    answer = post(reader, "/e/?" + "&".join(f"p{n}=1" for n in range(300)), b"{}")
    assert (answer.status, answer.data) == (400, b"the query has more than 100 parameters")


@pytest.mark.parametrize("pieces", [1, 50])
def test_a_head_over_the_limit_is_431(reader, pieces):
    """The limit covers URL and headers, in one packet or many, and a header that never ends."""
    host, _, port = reader.url.removeprefix("http://").partition(":")
    head = b"POST /e/ HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Long: " + b"x" * 100_000 + (b"" if pieces > 1 else b"\r\n\r\n")
    with socket.create_connection((host, int(port)), timeout=WAIT_S) as connection:
        step = len(head) // pieces
        for begin in range(0, len(head), step):
            # The server keeps reading after its response, so this never fails.
            connection.sendall(head[begin : begin + step])
        # Read until the server closes the connection.
        answer = b"".join(iter(lambda: connection.recv(4096), b""))
    assert answer.startswith(b"HTTP/1.1 431 ")


def test_a_body_over_the_limit_is_413_before_it_is_read(serve):
    """The limit holds for the declared length, the received bytes and the decompressed size."""
    served = serve(environ={"HOGLINE_MAX_BODY_BYTES": "20000", "HOGLINE_MAX_DECOMPRESSED_BYTES": "100000"})
    reader = Reader(served.url, served.token, served.key)
    large = json.dumps({"api_key": reader.token, "batch": [event("x", pad="y" * 30_000)]}).encode()
    assert post(reader, "/batch/", large).status == 413
    chunked = POOL.request(
        "POST", f"{reader.url}/batch/", body=iter([large[:9000], large[9000:18_000], large[18_000:]]), chunked=True
    )
    assert chunked.status == 413
    bomb = gzip.compress(b"0" * 50_000_000)[:20_000]
    assert post(reader, "/batch/", bomb).status == 413
    for compress, name in ((brotli.compress, "br"), (zstandard.compress, "zstd"), (zlib.compress, "deflate")):
        answer = post(reader, "/batch/", compress(b"0" * 10_000_000), {"Content-Encoding": name})
        assert answer.status == 413, name


DAYS_3 = timedelta(days=3)


@pytest.mark.parametrize(
    ("fields", "wanted_s"),
    [
        ({"timestamp": -60, "sent_at": 0}, -60),
        ({"timestamp": -60 + 259_200, "sent_at": 259_200}, -60),
        ({"timestamp": -60 - 259_200, "sent_at": -259_200}, -60),
        ({"timestamp": -3600}, -3600),
        ({"offset": 90_000}, -90),
        ({}, 0),
        ({"timestamp": "garbage"}, 0),
        ({"timestamp": 259_200}, 0),
        ({"timestamp": -60 + 259_200, "sent_at": 259_200, "ignore": True}, 0),
    ],
)  # fmt: skip
def test_a_wrong_clock_is_corrected(reader, fields, wanted_s):
    """The clock's error at sending is subtracted; a time over 23 h ahead becomes the arrival time.

    Source: docs/internals/instance-protocol.md#clock-skew."""
    now = datetime.now(UTC)
    sent = event(fresh())
    sent.pop("timestamp")
    if isinstance(fields.get("timestamp"), str):
        sent["timestamp"] = fields["timestamp"]
    elif "timestamp" in fields:
        sent["timestamp"] = (now + timedelta(seconds=fields["timestamp"])).isoformat()
    if "offset" in fields:
        sent["offset"] = fields["offset"]
    if fields.get("ignore"):
        sent["properties"]["$ignore_sent_at"] = True
    body = {"api_key": reader.token, "batch": [sent]}
    if "sent_at" in fields:
        body["sent_at"] = (now + timedelta(seconds=fields["sent_at"])).isoformat()
    assert post(reader, "/batch/", body).status == 200
    [found] = reader.wait_for(1, event=sent["event"])
    age_s = (datetime.fromisoformat(found["timestamp"]) - now).total_seconds()
    assert age_s == pytest.approx(wanted_s, abs=20)


def test_the_same_event_twice_is_stored_once(reader):
    """A retry after a lost response sends the same uuid again."""
    sent = event(fresh())
    for _ in range(3):
        reader.send(sent)
    reader.send(event(after := fresh()))
    reader.wait_for(1, event=after)
    assert len(reader.events(event=sent["event"])) == 1


@pytest.mark.parametrize(
    ("properties", "headers", "ip"),
    [
        ({}, {"X-Forwarded-For": "198.51.100.7, 10.0.0.1"}, "198.51.100.7"),
        ({}, {"X-Real-IP": "198.51.100.8"}, "198.51.100.8"),
        ({}, {}, "127.0.0.1"),
        ({}, {"X-Forwarded-For": '"><script>'}, "127.0.0.1"),
        ({"$ip": "203.0.113.1"}, {"X-Forwarded-For": "198.51.100.7"}, "203.0.113.1"),
        ({"$ip": None}, {"X-Forwarded-For": "198.51.100.7"}, None),
        ({"$is_server": True}, {"X-Forwarded-For": "198.51.100.7"}, "absent"),
    ],
)
def test_the_visitors_address_is_kept_and_a_servers_own_is_not(reader, properties, headers, ip):
    """An `$ip` in the event's properties wins."""
    sent = event(fresh())
    sent["properties"] = properties
    post(reader, "/e/", {"api_key": reader.token, "batch": [sent]}, headers)
    [found] = reader.wait_for(1, event=sent["event"])
    assert found["properties"].get("$ip", "absent") == ip


def test_person_updates_at_the_top_are_folded_into_the_properties(reader):
    """posthog-python puts `$set` beside the properties, posthog-node inside."""
    sent = event(fresh(), kept=1)
    sent["$set"] = {"plan": "pro"}
    sent["$set_once"] = {"first": True}
    sent["properties"]["$set_once"] = {"first": False, "inner": 1}
    reader.send(sent)
    [found] = reader.wait_for(1, event=sent["event"])
    assert found["properties"]["kept"] == 1
    assert found["properties"]["$set"] == {"plan": "pro"}
    assert found["properties"]["$set_once"] == {"first": True, "inner": 1}


@pytest.mark.parametrize("path", ["/e/", "/flags/?v=2", "/array/phc_x/config", "/static/array.js", "/batch/"])
def test_browsers_of_any_origin_are_answered_also_on_errors(reader, path):
    """Errors have CORS headers too: SDKs would retry status 0 forever (rule `cors-on-errors`)."""
    preflight = POOL.request(
        "OPTIONS", reader.url + path,
        headers={"Origin": "https://shop.example", "Access-Control-Request-Headers": "content-type,x-posthog-session-id"},
    )  # fmt: skip
    assert preflight.status in (200, 204)
    assert preflight.headers["access-control-allow-headers"] == "content-type,x-posthog-session-id"
    assert "POST" in preflight.headers["access-control-allow-methods"]
    answer = POOL.request("POST", reader.url + path, body=b"broken", headers={"Origin": "https://shop.example"})
    for each in (preflight, answer):
        assert each.headers["access-control-allow-origin"] == "https://shop.example"
        assert each.headers["access-control-allow-credentials"] == "true"
        assert each.headers["vary"] == "Origin"


def test_the_other_paths_refuse_strangers(reader):
    """Another Host (DNS rebinding) and posts from pages of another origin are refused."""
    rebound = POOL.request("GET", f"{reader.url}/", headers={"Host": "evil.example"})
    assert rebound.status == 421
    posted = POOL.request("POST", f"{reader.url}/login", body=b"", headers={"Origin": "https://evil.example"})
    assert posted.status == 403
