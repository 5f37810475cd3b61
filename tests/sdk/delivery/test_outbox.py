"""The outbox and the batch: nothing is lost, reordered or oversized."""

import gzip

import orjson
from hypothesis import given
from hypothesis import strategies as st

from hogline.delivery.outbox import MemoryOutbox
from hogline.wire.batch import compress, encode

events = st.lists(st.binary(min_size=1, max_size=50), max_size=60)


@given(events, st.integers(1, 10), st.integers(1, 120))
def test_batches_hold_every_event_once_in_order_within_their_bounds(given_events, max_events, max_bytes):
    """The law; one event that alone is over the bound still leaves, alone."""
    outbox = MemoryOutbox(1000, 100_000)
    assert all(outbox.add(event) for event in given_events)
    taken = []
    while batch := outbox.take(max_events, max_bytes):
        assert len(batch) <= max_events
        assert sum(map(len, batch)) <= max_bytes or len(batch) == 1
        taken += batch
    assert taken == given_events
    assert (len(outbox), outbox.size_bytes) == (0, 0)


@given(events, st.integers(1, 20), st.integers(1, 500))
def test_the_outbox_never_grows_over_its_bounds(given_events, max_events, max_bytes):
    """The bounds are a count and a size, and events that do not fit are refused."""
    outbox = MemoryOutbox(max_events, max_bytes)
    kept = [event for event in given_events if outbox.add(event)]
    assert len(outbox) == len(kept) <= max_events
    assert outbox.size_bytes == sum(map(len, kept)) <= max_bytes


@given(st.lists(st.dictionaries(st.text(), st.integers(-(2**53), 2**53))), st.text(), st.booleans())
def test_a_body_holds_its_events_as_they_were(objects, token, historical):
    """decode(encode(events)) == events, compressed or not."""
    body = encode(
        [orjson.dumps(one) for one in objects], token, "2026-01-01T00:00:00+00:00", historical_migration=historical
    )
    assert gzip.decompress(compress(body)) == body
    assert orjson.loads(body) == {
        "api_key": token,
        "historical_migration": historical,
        "sent_at": "2026-01-01T00:00:00+00:00",
        "batch": objects,
    }
