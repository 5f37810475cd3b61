"""A framed record is found again, whatever bytes are around it.

The spool and the instance's journal both depend on this.
"""

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hogline.wire.records import HEADER_BYTES, frame, scan

payloads = st.lists(st.binary(max_size=60), max_size=8)


def found(data):
    return [data[begin + HEADER_BYTES : end] for begin, end, whole in scan(data) if whole]


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(payloads)
def test_what_was_framed_is_found(some):
    """Records are found in order, each whole."""
    assert found(b"".join(map(frame, some))) == some


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(payloads, st.binary(max_size=40), payloads)
def test_rubbish_in_between_costs_nothing_else(before, rubbish, behind):
    """Unless it is the beginning of a record itself, which nobody wrote there."""
    data = b"".join(map(frame, before)) + rubbish + b"".join(map(frame, behind))
    assert [one for one in found(data) if one in before + behind][-len(behind) :] == behind or not behind
    assert found(data)[: len(before)] == before


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(payloads, st.integers(0, 2000))
def test_a_torn_tail_costs_the_last_record_only(some, cut):
    """This holds wherever the crash came."""
    data = b"".join(map(frame, some))
    torn = data[: min(cut, len(data))]
    whole = found(torn)
    assert whole == some[: len(whole)]
    assert sum(HEADER_BYTES + len(one) for one in whole) <= len(torn)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.binary(max_size=400))
def test_stretches_cover_every_byte_once(data):
    """This also holds for bytes that no writer wrote."""
    place = 0
    for begin, end, _ in scan(data):
        assert begin == place < end
        place = end
    assert place == len(data)
