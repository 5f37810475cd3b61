"""From an exception to its issue, on a running instance."""

import json
import uuid

from tests.instance.errors.bodies import entry, exception, python_frame, stored, unique


def test_the_same_mistake_is_one_issue_and_another_is_another(reader):
    """Ids in messages and moved lines change nothing; another function makes another issue."""
    kind = unique()
    sent = [exception(entry(kind, f"order {n}", [python_frame("charge", line=n)])) for n in range(1, 21)]
    other = exception(entry(kind, "order", [python_frame("refund")]))
    found = stored(reader, *sent, other)
    assert len({each["$exception_issue_id"] for each in found[:-1]}) == 1
    assert found[-1]["$exception_issue_id"] != found[0]["$exception_issue_id"]


def test_the_event_explains_its_fingerprint_and_has_what_is_searched(reader):
    """Derived properties stand on the stored event, beside what the client sent, unchanged."""
    kind = unique()
    chain = [
        entry(kind, "outer", [python_frame("route", "lib/x.py", in_app=False), python_frame()]),
        entry("KeyError", "'x'"),
    ]
    (found,) = stored(reader, exception(*chain, lib="hogline", exact=123456789012345678901234567890))
    assert found["$exception_types"] == [kind, "KeyError"]
    assert found["$exception_values"] == ["outer", "'x'"]
    assert found["$exception_sources"] == ["lib/x.py", "shop/pay.py"]
    assert found["$exception_functions"] == ["route", "charge"]
    assert found["$exception_handled"] is False
    assert found["$exception_fingerprint"] == found["$exception_proposed_fingerprint"]
    kinds = [each["type"] for each in found["$exception_fingerprint_record"]]
    assert kinds == ["exception", "frame", "frame", "exception"]
    assert found["$exact"] == 123456789012345678901234567890
    assert "$cymbal_errors" not in found


def test_a_broken_list_is_kept_without_an_issue(reader):
    """The reason stands on the event; a client cannot choose its issue."""
    sent = [exception(exception_issue_id=str(uuid.uuid4())) for _ in range(3)]
    sent[0]["properties"]["$exception_list"] = []
    sent[1]["properties"]["$exception_list"] = [{"value": "x"}]
    del sent[2]["properties"]["$exception_list"]
    for found in stored(reader, *sent):
        assert "$exception_issue_id" not in found
        assert len(found["$cymbal_errors"]) == 1


def test_a_clients_own_fingerprint_is_kept_and_a_long_one_is_hashed(reader):
    """Both group what the algorithms would tell apart."""
    short, long = f"checkout-{uuid.uuid4()}", "x" * 100 + str(uuid.uuid4())
    sent = [exception(entry(unique(), "v"), exception_fingerprint=text) for text in (short, short, long, long)]
    found = stored(reader, *sent)
    assert found[0]["$exception_fingerprint"] == short
    assert len(found[2]["$exception_fingerprint"]) == 128
    assert found[0]["$exception_fingerprint_record"] == [{"type": "manual"}]
    issues = [each["$exception_issue_id"] for each in found]
    assert issues[0] == issues[1] != issues[2] == issues[3]


def test_hostile_lists_are_stored_and_bounded(reader):
    """10,000 frames, odd types, NUL, lone surrogates and circular chains cost no event."""
    frames = [{"function": f"f{n}", "platform": "python"} for n in range(10_000)]
    odd = [{"function": ["x"], "lineno": "7", "colno": True, "in_app": "yes", "filename": {"a": 1}}, 7, None]
    sent = [
        exception(entry(unique(), "v", frames)),
        exception(entry(unique(), {"no": "text"}, odd)),
        exception(entry(unique() + "\0\ud800", "\0\ud800<script>", [python_frame("\ud800")])),
        exception(
            entry(unique(), "a", exception_id=0, parent_id=1),
            entry("B", "b", exception_id=1, parent_id=0),
            lib="hogline",
        ),
        exception(entry(unique(), "v"), exception_fingerprint="\0\ud800"),
    ]
    reader.send(body=json.dumps({"api_key": reader.token, "batch": sent}).encode())
    for each in sent:
        found = reader.wait_for(1, distinct_id=each["distinct_id"])[0]["properties"]
        assert found["$exception_issue_id"], each
        assert sum(len(one.get("stacktrace", {}).get("frames", [])) for one in found["$exception_list"]) <= 250
