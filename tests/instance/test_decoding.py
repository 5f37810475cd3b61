"""Properties of decoding: every wrapped body decodes to itself, and any other body gets a clear
error.
"""

import base64
import gzip
import json
import tracemalloc
import zlib
from datetime import UTC, datetime, timedelta

import brotli
import lzstring
import msgspec
import pytest
import zstandard
from hypothesis import example, given, settings
from hypothesis import strategies as st

from hogline_instance.events.row import time_text
from hogline_instance.ingest.admission import RequestFacts, TokenError, admit, token_of
from hogline_instance.ingest.bodies import BodyError, BodyTooLargeError, plain_json
from hogline_instance.ingest.payloads import read_batch
from hogline_instance.ingest.times import corrected

MAX_BYTES = 1_000_000
MAX_EVENTS = 10_000
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)  # fmt: skip
OBJECTS = st.dictionaries(st.text(), JSON, max_size=6)
WRAPPINGS = {
    "gzip": (gzip.compress, ""),
    "declared gzip": (gzip.compress, "gzip"),
    "deflate": (zlib.compress, "deflate"),
    "br": (brotli.compress, "br"),
    "zstd": (zstandard.compress, "zstd"),
    "base64": (base64.b64encode, ""),
    "base64 for URLs": (base64.urlsafe_b64encode, ""),
    "gzip in base64": (lambda text: base64.b64encode(gzip.compress(text)), ""),
    "plain": (bytes, ""),
}
ARRIVAL = RequestFacts(datetime(2026, 11, 24, tzinfo=UTC), "198.51.100.7", None)


def unwrap(body, encoding="", content_type="", compression=""):
    return plain_json(
        body, content_type=content_type, content_encoding=encoding, compression=compression, max_bytes=MAX_BYTES
    )


@settings(deadline=None)
@given(value=OBJECTS, wrapping=st.sampled_from(sorted(WRAPPINGS)))
def test_a_wrapped_body_unwraps_to_itself(value, wrapping):
    """This holds for every wrapping and every JSON object."""
    wrap, encoding = WRAPPINGS[wrapping]
    text = json.dumps(value).encode()
    assert unwrap(wrap(text), encoding) == text


def lz64(text):
    """Compress *text* as JavaScript's lz-string does, which reads it as UTF-16 units."""
    units = text.encode("utf-16-le", "surrogatepass")
    pairs = (units[place : place + 2] for place in range(0, len(units), 2))
    spread = "".join(pair.decode("utf-16-le", "surrogatepass") for pair in pairs)
    return lzstring.LZString().compressToBase64(spread).encode()


def test_lz_string_of_a_browser_keeps_characters_beyond_16_bits():
    """JavaScript compresses the two halves of an emoji separately; the instance joins them."""
    text = json.dumps({"event": "\U0001f600 and \u00e9"}, ensure_ascii=False)
    assert unwrap(lz64(text), compression="lz64") == text.encode()


@settings(deadline=None)
@given(value=OBJECTS)
def test_lz_string_unwraps_to_itself(value):
    """Text compressed by the JavaScript library's format decompresses to itself."""
    text = json.dumps(value, ensure_ascii=False)
    try:
        expected = text.encode()
    except UnicodeEncodeError:
        return
    assert unwrap(lz64(text), compression="lz64") == expected


BOMB_BYTES = 32_000_000
BOMBS = {
    "gzip": (lambda: gzip.compress(bytes(BOMB_BYTES)), "", ""),
    "deflate": (lambda: zlib.compress(bytes(BOMB_BYTES)), "deflate", ""),
    "br": (lambda: brotli.compress(bytes(BOMB_BYTES), quality=1), "br", ""),
    "zstd": (lambda: zstandard.compress(bytes(BOMB_BYTES)), "", ""),
    "gzip in gzip": (lambda: gzip.compress(gzip.compress(bytes(BOMB_BYTES))), "gzip", ""),
    "gzip in base64": (lambda: base64.b64encode(gzip.compress(bytes(BOMB_BYTES))), "", ""),
    "gzip in br": (lambda: brotli.compress(gzip.compress(bytes(BOMB_BYTES))), "br", ""),
    "lz64": (lambda: lz64("a" * 1_100_000), "", "lz64"),
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_decoder_stops_at_the_bound_while_it_makes_output(name):
    """A few bytes that decompress to megabytes take no more memory than a few times the limit."""
    make, encoding, compression = BOMBS[name]
    bomb = make()
    tracemalloc.start()
    try:
        with pytest.raises(BodyTooLargeError):
            unwrap(bomb, encoding, compression=compression)
        peak_bytes = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak_bytes < 8 * MAX_BYTES + len(bomb)


@pytest.mark.parametrize("encoding", ["gzip", "x-gzip", "deflate", "br", "zstd", "br, gzip", "identity"])
@pytest.mark.parametrize("inner", [bytes, gzip.compress, zstandard.compress, b"\xef\xbb\xbf".__add__])
def test_an_encoding_that_a_proxy_undid_is_passed_over(encoding, inner):
    """A proxy may decode a body but keep its Content-Encoding; the first bytes decide."""
    assert unwrap(inner(b'{"a":1}'), encoding) == b'{"a":1}'


@pytest.mark.parametrize("make", [gzip.compress, zlib.compress, brotli.compress])
def test_a_compressed_body_that_is_cut_off_is_refused(make):
    """A truncated event is not stored."""
    encoding = {gzip.compress: "gzip", zlib.compress: "deflate", brotli.compress: "br"}[make]
    with pytest.raises(BodyError, match="cut off"):
        unwrap(make(b'{"event":"x"}' * 1000)[:-2], encoding)


@settings(deadline=None, max_examples=300)
@given(
    body=st.binary(max_size=300) | st.builds(lambda head, tail: head + tail, st.sampled_from(
        [b"\x1f\x8b\x08", b"\x28\xb5\x2f\xfd", b"data=", b"{", b"[", b'{"batch":[{"event":']), st.binary(max_size=100)),
    encoding=st.sampled_from(["", "gzip", "deflate", "br", "zstd", "gzip, br", "made-up"]),
    content_type=st.sampled_from(["", "application/x-www-form-urlencoded", "text/plain"]),
    compression=st.sampled_from(["", "gzip-js", "base64", "lz64"]),
)  # fmt: skip
def test_any_bytes_are_decoded_or_refused(body, encoding, content_type, compression):
    """BodyError and TokenError become 400 and 401; any other error would be a 500."""
    try:
        batch = read_batch(unwrap(body, encoding, content_type, compression), MAX_EVENTS)
        token_of(batch, "")
        admit(batch, 1, ARRIVAL, max_event_bytes=MAX_BYTES)
    except (BodyError, TokenError):
        pass


@settings(deadline=None, max_examples=300)
@given(value=JSON | st.lists(OBJECTS) | st.fixed_dictionaries({}, optional={
    name: JSON | st.just("x") for name in
    ["event", "distinct_id", "$distinct_id", "uuid", "timestamp", "sent_at", "offset", "properties", "$set", "$set_once",
     "api_key", "token", "batch", "capture_internal", "historical_migration"]}))  # fmt: skip
def test_any_json_is_read_or_refused(value):
    """Every field may be of any type."""
    try:
        batch = read_batch(json.dumps(value).encode(), MAX_EVENTS)
        token_of(batch, "phc_x")
        for row in admit(batch, 1, ARRIVAL, max_event_bytes=MAX_BYTES).rows:
            msgspec.json.decode(row)
            assert b"\n" not in row
    except (BodyError, TokenError):
        pass


@settings(deadline=None, max_examples=200)
@given(properties=OBJECTS, name=st.text(min_size=1).filter(str.strip), who=st.text(min_size=1).filter(str.strip))
def test_an_events_properties_arrive_as_they_were(properties, name, who):
    """Only `$ip` is added, and only if the event has none."""
    for reserved in ("$ip", "$session_id", "$elements_chain", "$is_server", "$geoip_disable", "$ignore_sent_at"):
        properties.pop(reserved, None)
    event = {"event": name, "distinct_id": who, "properties": properties, "api_key": "phc_x"}
    for text in (
        json.dumps(event),
        json.dumps([event], ensure_ascii=False, indent=1),
        json.dumps({"api_key": "phc_x", "batch": [event]}),
    ):
        try:
            data = text.encode()
        except UnicodeEncodeError:
            continue
        batch = read_batch(data, MAX_EVENTS)
        assert token_of(batch, "") == "phc_x"
        admitted = admit(batch, 1, ARRIVAL, max_event_bytes=MAX_BYTES)
        if name == "$performance_event":
            return
        [row] = admitted.rows
        stored = json.loads(row)
        assert stored["properties"] == {**properties, "$ip": "198.51.100.7"}
        assert stored["event"] == name[:200].replace("\0", "\ufffd")


@pytest.mark.parametrize(
    ("given_id", "kept"), [(7, "7"), (True, "true"), ([1], "[1]"), ({"a": 1}, '{"a":1}'), (" x ", "x")]
)
def test_ids_of_other_types_are_their_json_text(given_id, kept):
    """Source: docs/internals/instance-protocol.md#validation-and-answers."""
    batch = read_batch(json.dumps({"event": "e", "distinct_id": given_id, "api_key": "phc_x"}).encode(), MAX_EVENTS)
    [row] = admit(batch, 1, ARRIVAL, max_event_bytes=MAX_BYTES).rows
    assert json.loads(row)["distinct_id"] == kept


TIMES = st.datetimes(timezones=st.sampled_from([UTC])) | st.none()


@example(timestamp=None, sent_at=None, offset_ms=float("nan"), believe=False)
@given(timestamp=TIMES, sent_at=TIMES, offset_ms=st.floats() | st.none(), believe=st.booleans())
def test_a_corrected_time_is_one_that_the_store_can_hold(timestamp, sent_at, offset_ms, believe):
    """The time is at most 23 hours ahead and never before 1970, whatever a client sends."""
    now = ARRIVAL.now
    moment = corrected(timestamp, sent_at, offset_ms, now, believe_clock=believe)
    assert datetime(1970, 1, 1, tzinfo=UTC) <= moment <= now + timedelta(hours=23)
    assert len(time_text(moment)) == len("2026-11-24 00:00:00.000000")
